/* What the files of client-profile share. Tables: client_profile_fields (a field of a user, its
 * JSON), client_profile_names (what a search for users looks at) and client_profile_spread (users
 * whose rooms do not all know their new profile yet). */
#ifndef CLIENT_PROFILE_PROFILE_H
#define CLIENT_PROFILE_PROFILE_H

#include <myelin/module.h>
#include <myelin/service/profile.h>

struct profile_options {
	bool require_login;		/* profiles are shown to users only */
	bool shared_rooms_only;		/* and only to who shares a room */
	int64_t spread_batch;		/* rooms told of a new profile in one go */
	bool default_displayname;	/* a new user is called by its localpart */
};

enum {
	PROFILE_MAX = 65536,		/* bytes of a profile as JSON */
	PROFILE_KEY_MAX = 255,
	PROFILE_NAME_MAX = 1000,	/* bytes of a display name */
	PROFILE_AVATAR_MAX = 1000,
};

/* ---- store.c ---- */
enum { PROFILE_MIGRATIONS = 1 };
extern const struct mx_migration profile_migrations[PROFILE_MIGRATIONS];
/* The JSON of a field, in the arena; {NULL, 0} when the user has none of that name. */
mx_error *profile_field(struct mx_conn *c, mx_nid user, mx_str field, struct mx_arena *a,
			mx_str *json) MX_MUST_USE;
/* All fields as one JSON object, onto b. */
mx_error *profile_all(struct mx_conn *c, mx_nid user, struct mx_buf *b) MX_MUST_USE;
/* Display name and avatar as strings in the arena. */
mx_error *profile_pair(struct mx_conn *c, mx_nid user, struct mx_arena *a, mx_str *displayname,
		       mx_str *avatar_url) MX_MUST_USE;
struct profile_change {
	struct mx_stream *stream;
	mx_nid user;
	mx_str user_id, field;
	mx_str json;			/* {NULL, 0}: the field goes */
	mx_str folded;			/* of a display name: what a search looks at */
	bool name;			/* the field is displayname */
	bool spread;			/* the rooms have to be told */
	bool changed;			/* set: whether it was another before */
};
/* MX_E_PROFILE_TOO_LARGE. */
mx_error *profile_store(struct mx_db *db, struct profile_change *change) MX_MUST_USE;
mx_error *profile_search(struct mx_conn *c, mx_str term, mx_str after, struct mx_arena *a,
			 struct mx_profile_user *out, size_t *n) MX_MUST_USE;
/* A new user can be found by its id. */
mx_error *profile_add_name(struct mx_db *db, mx_nid user, mx_str user_id) MX_MUST_USE;

/* A user whose rooms are being told; stamp is that of the newest change. */
struct profile_spread {
	mx_nid user;
	int64_t stamp;
	mx_nid after;			/* the room that was told last */
	int told;			/* in this batch */
	bool again;			/* set by profile_spread_step: begin anew */
};
mx_error *profile_spread_next(struct mx_conn *c, mx_nid after, struct profile_spread *out,
			      bool *found) MX_MUST_USE;
mx_error *profile_spread_get(struct mx_conn *c, mx_nid user, struct profile_spread *out,
			     bool *found) MX_MUST_USE;
/* How far it has come, or that it is done. When the profile has changed since it began, and rooms
 * were told, they may have been told of the old one after the new one: then it has to begin anew.
 */
mx_error *profile_spread_step(struct mx_db *db, struct profile_spread *s, bool done) MX_MUST_USE;

/* ---- spread.c ---- */
/* Tells the user's rooms soon, on a worker. Lost requests are found again by profile_spread_job. */
void profile_spread_soon(struct mx_core *core, mx_nid user, int64_t batch);
mx_error *profile_spread_job(struct mx_module_self *self) MX_MUST_USE;

/* ---- set.c ---- */
/* Checks the field's name: MX_E_INVALID_PARAM, MX_E_KEY_TOO_LARGE. */
mx_error *profile_check_key(mx_str field) MX_MUST_USE;
/* Checks and stores a value (NULL, null, and "" for name and avatar: remove it), and tells whom it
 * concerns. */
mx_error *profile_set(struct mx_core *core, mx_nid user, mx_str user_id, mx_str field,
		      const json_t *value, int64_t batch) MX_MUST_USE;

/* A new user is called by its localpart, and can be found by it. */
mx_error *profile_set_default(struct mx_core *core, mx_nid user, mx_str user_id) MX_MUST_USE;

extern const struct mx_profile_service profile_service;

#endif
