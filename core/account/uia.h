/* Sessions of user-interactive authentication, from inside (uia_session.c).
 *
 * A session says which stages are done. It lives in memory, and beside other processes in the
 * database between two requests: a client whose session is gone is simply given another. While a
 * request works with a session no other does, so that what it remembers needs no lock. A session is
 * bound to the user, the method and the path that it was made for; a client that comes with another
 * session's name starts anew. */
#ifndef CORE_ACCOUNT_UIA_H
#define CORE_ACCOUNT_UIA_H

#include "core/account/internal.h"

enum { UIA_ID = 24, UIA_STAGES_MAX = 8 };

struct session {
	char id[UIA_ID + 1];
	char *method, *path;
	mx_nid who;			/* 0: nobody yet */
	char *user_id;			/* of who; NULL */
	int64_t last_us;		/* mx_monotonic_us when it was last worked with */
	unsigned attempts;		/* that failed */
	json_t *completed;		/* stage names, at most UIA_STAGES_MAX */
	json_t *flows;			/* what was asked for, as the client has it; NULL: nothing yet */
	json_t *memory;
	struct mx_request *holder;	/* the request that works with it, or NULL */
	struct hold *hold;		/* in that request's arena */
	struct uia *uia;
	bool over;			/* out of the table: freed when its holder ends */
	struct session *chain, *newer, *older, *held;
};

struct session *session_new(struct uia *u, struct mx_request *rq, const struct mx_auth *who);
/* The session of that id, held by this request; *out NULL when there is none. own: it must be one of
 * this very operation, of the user who. Beside other processes, one of them may have begun it or gone
 * on with it. */
mx_error *session_fetch(struct mx_accounts *as, struct mx_request *rq, mx_str id, bool own,
			mx_nid who, struct session **out) MX_MUST_USE;
/* The one that the request holds, or NULL. */
struct session *held_by(struct uia *u, const struct mx_request *rq);
/* Gives the session back, for whoever goes on with it. */
void session_leave(struct mx_accounts *as, struct session *s);
/* There is nothing to go on with. */
void session_over(struct uia *u, struct session *s);

#endif
