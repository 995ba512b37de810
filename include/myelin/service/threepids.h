/* The service "threepids", version 1: mail addresses and telephone numbers of users of this server.
 * The module client-account publishes it; who uses it requires "threepids>=1" or, when it can do
 * without, "?threepids>=1", and asks mx_self_service(self, "threepids"). Client-Server API,
 * "Account management".
 *
 * Functions may block on the database: call them on a worker, with no lock held. c is a connection
 * for reading. */
#ifndef MYELIN_SERVICE_THREEPIDS_H
#define MYELIN_SERVICE_THREEPIDS_H

#include <myelin/core.h>

#define MX_THREEPIDS_VERSION 1

struct mx_threepid {
	mx_str medium;			/* "email" or "msisdn" */
	mx_str address;			/* mail in lower case, a number in digits */
	mx_msec validated, added;
};

struct mx_threepids_service {
	uint32_t size;
	/* Those of a user, in the arena. */
	mx_error *(*list)(struct mx_core *core, struct mx_conn *c, mx_nid user, struct mx_arena *a,
			  struct mx_threepid **out, size_t *n);
	/* The user has these and no others; what it had keeps its times. MX_E_INVALID_PARAM,
	 * MX_E_THREEPID_IN_USE when another user has one. */
	mx_error *(*replace)(struct mx_core *core, mx_nid user, const struct mx_threepid *list,
			     size_t n);
	/* Whose it is; MX_E_NOT_FOUND, and MX_E_INVALID_PARAM for what is no address. */
	mx_error *(*find)(struct mx_core *core, struct mx_conn *c, mx_str medium, mx_str address,
			  mx_nid *user);
};

#endif
