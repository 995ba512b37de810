/* The table of sessions, and what requests and other processes do with one. */
#include "config.h"

#include "core/account/uia.h"
#include "core/sql/db.h"

#include <stdlib.h>

enum { BUCKETS = 1024 };

struct uia {
	pthread_mutex_t lock;
	const struct mx_account_options *options;
	struct session *buckets[BUCKETS];
	struct session *newest, *oldest;	/* by last_us */
	struct session *held;		/* that requests work with */
	size_t count;
};

struct uia *
uia_new(const struct mx_account_options *o)
{
	struct uia *u = mx_alloc(sizeof(*u));

	pthread_mutex_init(&u->lock, NULL);
	u->options = o;
	return u;
}

static void
session_free(struct session *s)
{
	json_decref(s->completed);
	json_decref(s->memory);
	json_decref(s->flows);
	free(s->user_id);
	free(s->method);
	free(s->path);
	free(s);
}

/* ---- the table; its lock is held ---- */

static struct session **
bucket_of(struct uia *u, mx_str id)
{
	return &u->buckets[mx_hash(id.p, id.n) % BUCKETS];
}

static void
age_remove(struct uia *u, struct session *s)
{
	if (s->newer != NULL)
		s->newer->older = s->older;
	else
		u->newest = s->older;
	if (s->older != NULL)
		s->older->newer = s->newer;
	else
		u->oldest = s->newer;
}

static void
age_push(struct uia *u, struct session *s)
{
	s->last_us = mx_monotonic_us();
	s->newer = NULL;
	s->older = u->newest;
	if (u->newest != NULL)
		u->newest->newer = s;
	else
		u->oldest = s;
	u->newest = s;
}

/* Ends a session: out of the table, and freed unless a request still works with it. */
static void
session_end(struct uia *u, struct session *s)
{
	if (s->over)
		return;
	struct session **at = bucket_of(u, mx_str_of(s->id));
	while (*at != s)
		at = &(*at)->chain;
	*at = s->chain;
	age_remove(u, s);
	u->count--;
	s->over = true;
	if (s->holder == NULL)
		session_free(s);
}

static void
expire(struct uia *u)
{
	int64_t limit = mx_monotonic_us() - u->options->uia_timeout.ms * 1000;

	while (u->oldest != NULL &&
	       (u->oldest->last_us < limit || u->count > (size_t)u->options->uia_sessions))
		session_end(u, u->oldest);
}

void
uia_free(struct uia **up)
{
	struct uia *u = *up;

	if (u == NULL)
		return;
	while (u->oldest != NULL)
		session_end(u, u->oldest);
	pthread_mutex_destroy(&u->lock);
	free(u);
	*up = NULL;
}

/* ---- a request's hold on a session ---- */

/* In the request's arena; session is NULL once it was given back. */
struct hold {
	struct session *session;
};

static void
unhold(void *arg)
{
	struct hold *h = arg;
	struct session *s = h->session;

	if (s == NULL)
		return;
	struct uia *u = s->uia;
	h->session = NULL;
	pthread_mutex_lock(&u->lock);
	struct session **at = &u->held;
	while (*at != s)
		at = &(*at)->held;
	*at = s->held;
	s->holder = NULL;
	s->hold = NULL;
	bool over = s->over;
	pthread_mutex_unlock(&u->lock);
	if (over)
		session_free(s);
}

/* Lock held; hold_until_end follows. */
static void
hold(struct uia *u, struct session *s, struct mx_request *rq)
{
	s->holder = rq;
	s->held = u->held;
	u->held = s;
}

/* Gives the session back when the request ends at the latest. */
static void
hold_until_end(struct session *s, struct mx_request *rq)
{
	struct hold *h;

	if (s->hold != NULL)
		return;
	h = mx_arena_alloc(mx_request_arena(rq), sizeof(*h));
	h->session = s;
	s->hold = h;
	mx_arena_defer(mx_request_arena(rq), unhold, h);
}

struct session *
held_by(struct uia *u, const struct mx_request *rq)
{
	struct session *s;

	pthread_mutex_lock(&u->lock);
	for (s = u->held; s != NULL && s->holder != rq; s = s->held)
		;
	pthread_mutex_unlock(&u->lock);
	return s;
}

static bool
session_fits(const struct session *s, const struct mx_request *rq, mx_nid who)
{
	return s->who == who && mx_str_eq(mx_str_of(s->method), mx_request_method(rq)) &&
	       mx_str_eq(mx_str_of(s->path), mx_request_path(rq));
}

/* The session of that id, held by this request; *out NULL when there is none. own: it must be one of
 * this very operation, of the user who. */
static mx_error *
session_take(struct uia *u, struct mx_request *rq, mx_str id, bool own, mx_nid who,
	     struct session **out)
{
	bool busy = false;
	struct session *s;

	pthread_mutex_lock(&u->lock);
	expire(u);
	for (s = *bucket_of(u, id); s != NULL && !mx_str_eq(mx_str_of(s->id), id); s = s->chain)
		;
	if (s != NULL && own && !session_fits(s, rq, who))
		s = NULL;
	if (s != NULL && s->holder != NULL && s->holder != rq)
		busy = true;
	else if (s != NULL && s->holder == NULL) {
		hold(u, s, rq);
		age_remove(u, s);
		age_push(u, s);
	}
	pthread_mutex_unlock(&u->lock);
	if (busy)
		return mx_error_with(
			mx_error_new(MX_E_LIMIT_EXCEEDED,
				     "Another request of this authentication session is running"),
			"retry_after_ms", json_integer(500));
	if (s != NULL)
		hold_until_end(s, rq);
	*out = s;
	return NULL;
}

/* Into the table, held by the request. */
static void
session_add(struct uia *u, struct session *s, struct mx_request *rq)
{
	s->uia = u;
	pthread_mutex_lock(&u->lock);
	struct session **at = bucket_of(u, mx_str_of(s->id));
	s->chain = *at;
	*at = s;
	age_push(u, s);
	u->count++;
	hold(u, s, rq);
	expire(u);
	pthread_mutex_unlock(&u->lock);
	hold_until_end(s, rq);
}

struct session *
session_new(struct uia *u, struct mx_request *rq, const struct mx_auth *who)
{
	struct session *s = mx_alloc(sizeof(*s));

	mx_random_text(s->id, UIA_ID);
	s->method = mx_str_dup(mx_request_method(rq));
	s->path = mx_str_dup(mx_request_path(rq));
	if (who != NULL) {
		s->who = who->user;
		s->user_id = mx_str_dup(who->user_id);
	}
	s->completed = json_array();
	s->memory = json_object();
	session_add(u, s, rq);
	return s;
}

/* ---- between processes ---- */

static json_t *
session_json(const struct session *s)
{
	return json_pack("{s:s, s:s, s:I, s:s?, s:I, s:O, s:O?, s:O}", "method", s->method, "path",
			 s->path, "who", (json_int_t)s->who, "user_id", s->user_id, "attempts",
			 (json_int_t)s->attempts, "completed", s->completed, "flows", s->flows,
			 "memory", s->memory);
}

static json_t *
taken(const json_t *stored, const char *name)
{
	json_t *v = json_object_get(stored, name);

	return json_is_null(v) ? NULL : json_incref(v);
}

/* What another process has made of the session, into s. */
static void
session_read(struct session *s, const json_t *stored)
{
	const char *user_id = json_string_value(json_object_get(stored, "user_id"));

	free(s->method);
	free(s->path);
	free(s->user_id);
	json_decref(s->completed);
	json_decref(s->flows);
	json_decref(s->memory);
	s->method = mx_str_dup(mx_json_str(stored, "method"));
	s->path = mx_str_dup(mx_json_str(stored, "path"));
	s->user_id = user_id != NULL ? mx_str_dup(mx_str_of(user_id)) : NULL;
	s->who = json_integer_value(json_object_get(stored, "who"));
	s->attempts = (unsigned)json_integer_value(json_object_get(stored, "attempts"));
	s->completed = taken(stored, "completed");
	s->flows = taken(stored, "flows");
	s->memory = taken(stored, "memory");
}

static bool
stored_fits(const json_t *stored, const struct mx_request *rq, bool own, mx_nid who)
{
	return stored != NULL &&
	       (!own || (json_integer_value(json_object_get(stored, "who")) == who &&
			 mx_str_eq(mx_json_str(stored, "method"), mx_request_method(rq)) &&
			 mx_str_eq(mx_json_str(stored, "path"), mx_request_path(rq))));
}

mx_error *
session_fetch(struct mx_accounts *as, struct mx_request *rq, mx_str id, bool own, mx_nid who,
	      struct session **out)
{
	MX_AUTO_JSON *stored = NULL;

	*out = NULL;
	if (id.n != UIA_ID || memchr(id.p, 0, id.n) != NULL)
		return NULL;
	MX_TRY(session_take(as->uia, rq, id, own, who, out));
	if (mx_db_alone(as->db))
		return NULL;
	MX_TRY(uia_get(mx_request_conn(rq), id, &stored));
	if (!stored_fits(stored, rq, own, who))
		return NULL;
	if (*out == NULL) {
		struct session *s = mx_alloc(sizeof(*s));

		memcpy(s->id, id.p, id.n);
		session_read(s, stored);
		session_add(as->uia, s, rq);
		*out = s;
	} else {
		session_read(*out, stored);
	}
	return NULL;
}

void
session_leave(struct mx_accounts *as, struct session *s)
{
	MX_AUTO_JSON *stored = NULL;
	mx_error *e;

	if (!mx_db_alone(as->db)) {
		stored = session_json(s);
		e = uia_put(as, mx_str_of(s->id), stored);
		if (e != NULL)
			mx_log("account", MX_WARN, "ACC004",
			       "an authentication session is known to this process only",
			       mx_fe(e));
		mx_error_free(&e);
	}
	unhold(s->hold);
}

void
session_over(struct uia *u, struct session *s)
{
	pthread_mutex_lock(&u->lock);
	session_end(u, s);
	pthread_mutex_unlock(&u->lock);
}
