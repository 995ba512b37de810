/* User-interactive authentication. Client-Server API, "User-Interactive Authentication API".
 *
 * A session says which stages are done. It lives in memory, and beside other processes in the
 * database between two requests: a client whose session is gone is simply given another. While a request works with a session no other does, so that what it
 * remembers needs no lock. A session is bound to the user, the method and the path that it was made
 * for; a client that comes with another session's name starts anew. */
#include "config.h"

#include "core/account/internal.h"
#include "core/sql/db.h"

#include <myelin/core.h>
#include <stdlib.h>

enum { BUCKETS = 1024, ID_LENGTH = 24, STAGES_MAX = 8, ATTEMPTS_MAX = 20 };

struct session {
	char id[ID_LENGTH + 1];
	char *method, *path;
	mx_nid who;			/* 0: nobody yet */
	char *user_id;			/* of who; NULL */
	int64_t last_us;		/* mx_monotonic_us when it was last worked with */
	unsigned attempts;		/* that failed */
	json_t *completed;		/* stage names, at most STAGES_MAX */
	json_t *flows;			/* what was asked for, as the client has it; NULL: nothing yet */
	json_t *memory;
	struct mx_request *holder;	/* the request that works with it, or NULL */
	struct hold *hold;		/* in that request's arena */
	struct uia *uia;
	bool over;			/* out of the table: freed when its holder ends */
	struct session *chain, *newer, *older, *held;
};

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

static struct session *
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

static struct session *
session_new(struct uia *u, struct mx_request *rq, const struct mx_auth *who)
{
	struct session *s = mx_alloc(sizeof(*s));

	mx_random_text(s->id, ID_LENGTH);
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

/* As session_take, beside other processes: one of them may have begun the session or gone on with
 * it. */
static mx_error *
session_fetch(struct mx_accounts *as, struct mx_request *rq, mx_str id, bool own, mx_nid who,
	      struct session **out)
{
	MX_AUTO_JSON *stored = NULL;

	*out = NULL;
	if (id.n != ID_LENGTH || memchr(id.p, 0, id.n) != NULL)
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

/* Gives the session back, for whoever goes on with it. */
static void
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

/* ---- stages ---- */

typedef const char *const *const *mx_flows;

static bool
flows_name(mx_flows flows, size_t n, const char *stage)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; flows[i][k] != NULL; k++)
			if (strcmp(flows[i][k], stage) == 0)
				return true;
	return false;
}

static bool
completed(const struct session *s, const char *stage)
{
	const json_t *v;
	size_t i;

	json_array_foreach(s->completed, i, v)
		if (strcmp(json_string_value(v), stage) == 0)
			return true;
	return false;
}

static bool
flow_done(const struct session *s, const char *const *flow)
{
	for (size_t k = 0; flow[k] != NULL; k++)
		if (!completed(s, flow[k]))
			return false;
	return true;
}

static bool
all_done(const struct session *s, mx_flows flows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (flow_done(s, flows[i]))
			return true;
	return false;
}

struct trial {
	struct mx_request *rq;
	const json_t *auth;
	const char *stage;
	const struct mx_auth *who;
	mx_error *e;
	bool tried, stranger;		/* stranger: it proved somebody else */
};

static mx_error *
try_stage(void *arg, const char *name, const void *ops, struct mx_module_self *self)
{
	struct trial *t = arg;

	if (!t->tried && strcmp(name, t->stage) == 0) {
		t->tried = true;
		t->e = ((const struct mx_stage_ops *)ops)->check(self, t->rq, t->auth);
	}
	return NULL;
}

static bool
is_stage(const struct mx_login_ops *o)
{
	return o->size <= offsetof(struct mx_login_ops, flags) ||
	       (o->flags & MX_LOGIN_NO_STAGE) == 0;
}

static mx_error *
try_login(void *arg, const char *name, const void *ops, struct mx_module_self *self)
{
	const struct mx_login_ops *o = ops;
	struct trial *t = arg;
	mx_str proven = { NULL, 0 }, mine;

	if (t->tried || strcmp(name, t->stage) != 0 || !is_stage(o))
		return NULL;
	t->tried = true;
	t->e = o->login(self, t->rq, t->auth, t->who->user_id, &proven);
	if (t->e == NULL &&
	    (!mx_id_user(t->who->user_id, &mine, NULL) || !mx_str_eq(mine, proven))) {
		t->stranger = true;
		t->e = mx_error_new(MX_E_FORBIDDEN, "This is not the user who is logged in");
	}
	return NULL;
}

/* NULL: the stage is done. */
static mx_error *
attempt(struct mx_accounts *as, struct trial *t)
{
	if (as->ports.providers == NULL)
		return mx_error_new(MX_E_FORBIDDEN, "No module can check this stage");
	MX_TRY(as->ports.providers(as->ports.arg, "stage", try_stage, t));
	if (!t->tried && t->who != NULL)
		MX_TRY(as->ports.providers(as->ports.arg, "login", try_login, t));
	if (!t->tried)
		return mx_error_new(MX_E_FORBIDDEN, "No module can check this stage");
	return t->e;
}

/* ---- the answer ---- */

struct asking {
	struct mx_request *rq;
	mx_flows flows;
	size_t n;
	json_t *params;
};

static mx_error *
add_params(void *arg, const char *name, const void *ops, struct mx_module_self *self)
{
	const struct mx_stage_ops *o = ops;
	struct asking *a = arg;

	if (o->params != NULL && flows_name(a->flows, a->n, name))
		json_object_set_new(a->params, name, o->params(self, a->rq));
	return NULL;
}

static json_t *
flows_json(mx_flows flows, size_t n)
{
	json_t *all = json_array();

	for (size_t i = 0; i < n; i++) {
		json_t *stages = json_array();

		for (size_t k = 0; flows[i][k] != NULL; k++)
			json_array_append_new(stages, json_string(flows[i][k]));
		json_array_append_new(all, json_pack("{s:o}", "stages", stages));
	}
	return all;
}

/* The 401. why (taken, may be NULL): what was wrong with the attempt. */
static mx_error *
ask(struct mx_accounts *as, struct mx_request *rq, struct session *s, mx_flows flows, size_t n,
    mx_error *why)
{
	struct asking a = { .rq = rq, .flows = flows, .n = n, .params = json_object() };
	mx_error *e = mx_error_new(MX_E_UIA, "user-interactive authentication");

	if (why != NULL) {
		e = mx_error_with(e, "errcode", json_string(mx_error_errcode(why)));
		e = mx_error_with(e, "error", json_string(mx_error_text(why)));
		mx_error_free(&why);
	}
	if (as->ports.providers != NULL)
		mx_error_drop(as->ports.providers(as->ports.arg, "stage", add_params, &a));
	json_decref(s->flows);
	s->flows = flows_json(flows, n);
	e = mx_error_with(e, "flows", json_deep_copy(s->flows));
	e = mx_error_with(e, "params", a.params);
	e = mx_error_with(e, "session", json_string(s->id));
	return mx_error_with(e, "completed", json_copy(s->completed));
}

/* Tries the stage, unless the session has passed it. */
static mx_error *
try_in(struct mx_accounts *as, struct session *s, struct trial *t)
{
	if (completed(s, t->stage))
		return NULL;
	if (s->attempts >= ATTEMPTS_MAX)
		return mx_error_new(MX_E_FORBIDDEN,
				    "Too many attempts in this session: begin a new one");
	MX_TRY(attempt(as, t));
	if (json_array_size(s->completed) < STAGES_MAX)
		json_array_append_new(s->completed, json_string(t->stage));
	return NULL;
}

/* Works the request's auth dict into its session: NULL when that went well or there was nothing to
 * do. */
static mx_error *
advance(struct mx_accounts *as, struct session *s, struct trial *t, mx_flows flows, size_t n,
	mx_str type)
{
	t->stage = mx_arena_str(mx_request_arena(t->rq), type).p;
	if (memchr(type.p, '\0', type.n) != NULL || !flows_name(flows, n, t->stage))
		return mx_error_new(MX_E_INVALID_PARAM,
				    "This authentication type is in none of the flows");
	return try_in(as, s, t);
}

static mx_error *
check(struct mx_request *rq, mx_flows flows, size_t n, const struct mx_auth *who)
{
	struct mx_accounts *as = mx_core_accounts(mx_request_core(rq));
	struct trial t = { .rq = rq, .who = who };
	mx_str id = { NULL, 0 }, type = { NULL, 0 };
	json_t *body, *auth = NULL;
	struct session *s = NULL;
	mx_nid nid = who != NULL ? who->user : 0;

	MX_TRY(mx_request_json(rq, &body));
	/* The js-sdk sends null before it knows what is asked for. */
	if (!json_is_null(json_object_get(body, "auth")))
		MX_TRY(mx_json_opt_object(body, "auth", &auth));
	if (auth != NULL) {
		MX_TRY(mx_json_opt_str(auth, "session", &id));
		MX_TRY(mx_json_opt_str(auth, "type", &type));
	}
	if (id.n > 0)
		MX_TRY(session_fetch(as, rq, id, true, nid, &s));
	if (s == NULL)
		s = session_new(as->uia, rq, who);
	t.auth = auth;
	mx_error *e = type.n > 0 ? advance(as, s, &t, flows, n, type) : NULL;
	/* Trying again with the same session helps who mistyped, not who is somebody else, and not
	 * against our failures. */
	if (e != NULL &&
	    (t.stranger || mx_error_status(e) >= 500 || mx_error_is(e, MX_E_LIMIT_EXCEEDED)))
		return e;
	if (e != NULL)
		s->attempts++;
	else if (all_done(s, flows, n))
		return NULL;
	return ask(as, rq, s, flows, n, e);
}

mx_error *
mx_uia_check(struct mx_request *rq, mx_flows flows, size_t n, const struct mx_auth *who)
{
	struct mx_accounts *as = mx_core_accounts(mx_request_core(rq));
	mx_error *e = check(rq, flows, n, who);
	struct session *s = e != NULL ? held_by(as->uia, rq) : NULL;

	/* Given back before the answer: the client may try again the moment it has it. */
	if (s != NULL)
		session_leave(as, s);
	return e;
}

/* ---- proving the user who is logged in ---- */

enum { CONFIRM_FLOWS = 16 };

struct confirming {
	struct mx_arena *arena;
	const char *const *flows[CONFIRM_FLOWS];
	size_t n;
};

static mx_error *
add_flow(void *arg, const char *name, const void *ops, struct mx_module_self *self)
{
	struct confirming *c = arg;

	(void)self;
	if (c->n < CONFIRM_FLOWS && is_stage(ops)) {
		const char **flow = mx_arena_alloc(c->arena, 2 * sizeof(*flow));

		flow[0] = mx_arena_str(c->arena, mx_str_of(name)).p;
		c->flows[c->n++] = flow;
	}
	return NULL;
}

mx_error *
mx_uia_confirm(struct mx_request *rq)
{
	struct mx_accounts *as = mx_core_accounts(mx_request_core(rq));
	struct confirming c = { .arena = mx_request_arena(rq) };

	if (as->ports.providers != NULL)
		MX_TRY(as->ports.providers(as->ports.arg, "login", add_flow, &c));
	if (c.n == 0)
		return mx_error_new(MX_E_FORBIDDEN, "This server has no way for you to confirm "
						    "this: no module that could is loaded");
	return mx_uia_check(rq, c.flows, c.n, mx_request_auth(rq));
}

json_t *
mx_uia_memory(struct mx_request *rq)
{
	struct mx_accounts *as = mx_core_accounts(mx_request_core(rq));
	const struct mx_auth *who = mx_request_auth(rq);
	struct session *s = held_by(as->uia, rq);
	json_t *body;

	if (s == NULL && !mx_error_drop(mx_request_json(rq, &body))) {
		mx_str id = mx_json_str(json_object_get(body, "auth"), "session");

		if (id.n == 0 ||
		    mx_error_drop(session_fetch(as, rq, id, true, who != NULL ? who->user : 0, &s)))
			return NULL;
	}
	return s != NULL ? s->memory : NULL;
}

/* ---- by a browser ---- */

static bool
asks_for(const struct session *s, mx_str stage)
{
	const json_t *flow, *name;
	size_t i, k;

	json_array_foreach(s->flows, i, flow)
		json_array_foreach(json_object_get(flow, "stages"), k, name)
			if (mx_str_eq(stage, mx_str_of(json_string_value(name))))
				return true;
	return false;
}

mx_error *
mx_uia_pass(struct mx_request *rq, mx_str session, mx_str stage, json_t *auth)
{
	struct mx_accounts *as = mx_core_accounts(mx_request_core(rq));
	struct mx_auth who = { 0 };
	struct trial t = { .rq = rq, .auth = auth };
	struct session *s = NULL;
	mx_error *e;

	MX_TRY(session_fetch(as, rq, session, false, 0, &s));
	if (s == NULL || !asks_for(s, stage))
		return mx_error_new(MX_E_NOT_FOUND, "This authentication session is over, or does "
						    "not ask for this: begin anew in your client");
	if (s->user_id != NULL) {
		who.user = s->who;
		who.user_id = mx_str_of(s->user_id);
		t.who = &who;
		json_object_set_new(auth, "identifier",
				    json_pack("{s:s, s:s}", "type", "m.id.user", "user",
					      s->user_id));
	}
	t.stage = mx_arena_str(mx_request_arena(rq), stage).p;
	e = try_in(as, s, &t);
	if (e != NULL && mx_error_status(e) < 500 && !mx_error_is(e, MX_E_LIMIT_EXCEEDED))
		s->attempts++;
	session_leave(as, s);
	return e;
}

struct finishing {
	struct mx_request *rq;
	const struct session *s;
};

static mx_error *
tell_stage(void *arg, const char *name, const void *ops, struct mx_module_self *self)
{
	const struct mx_stage_ops *o = ops;
	const struct finishing *f = arg;

	if (o->size > offsetof(struct mx_stage_ops, done) && o->done != NULL &&
	    completed(f->s, name))
		o->done(self, f->rq);
	return NULL;
}

void
mx_uia_finish(struct mx_request *rq)
{
	struct mx_accounts *as = mx_core_accounts(mx_request_core(rq));
	struct session *s = held_by(as->uia, rq);
	struct finishing f = { rq, s };

	if (s == NULL)
		return;
	if (as->ports.providers != NULL)
		mx_error_drop(as->ports.providers(as->ports.arg, "stage", tell_stage, &f));
	/* What is left behind goes with the next one that ends. */
	if (!mx_db_alone(as->db))
		mx_error_drop(uia_drop(as, mx_str_of(s->id)));
	pthread_mutex_lock(&as->uia->lock);
	session_end(as->uia, s);
	pthread_mutex_unlock(&as->uia->lock);
}
