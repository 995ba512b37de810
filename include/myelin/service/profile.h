/* The service "profile", version 1: what users of this server say about themselves. The module
 * client-profile publishes it; who uses it requires "profile>=1" or, when it can do without,
 * "?profile>=1", and asks mx_self_service(self, "profile"). Client-Server API, "Profiles".
 *
 * Functions may block on the database: call them on a worker, with no lock held. c is a connection
 * for reading. */
#ifndef MYELIN_SERVICE_PROFILE_H
#define MYELIN_SERVICE_PROFILE_H

#include <myelin/core.h>

#define MX_PROFILE_VERSION 1

struct mx_profile_user {
	mx_nid user;
	mx_str user_id;
	mx_str displayname, avatar_url;		/* empty when unset */
};

struct mx_profile_service {
	uint32_t size;
	/* Adds displayname and avatar_url to the content of an m.room.member event, where the user
	 * has them and the content does not; users of other servers have none. */
	mx_error *(*fill)(struct mx_core *core, struct mx_conn *c, mx_nid user, json_t *content);
	/* Strings in the arena. */
	mx_error *(*get)(struct mx_core *core, struct mx_conn *c, mx_nid user, struct mx_arena *a,
			 struct mx_profile_user *out);
	/* Users of this server whose id or display name contains the term, without regard to case,
	 * in the order of user ids behind `after` (empty: from the first); at most *n, and *n says
	 * how many came. */
	mx_error *(*search)(struct mx_core *core, struct mx_conn *c, mx_str term, mx_str after,
			    struct mx_arena *a, struct mx_profile_user *out, size_t *n);
	/* What PUT /profile/{userId}/{field} does, for administrators and when an account is
	 * erased: stores the value (NULL removes the field), tells the rooms, runs profile_changed.
	 */
	mx_error *(*set)(struct mx_core *core, struct mx_conn *c, mx_nid user, mx_str user_id,
			 mx_str field, json_t *value);
};

#endif
