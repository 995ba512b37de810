/* User-interactive authentication: the stages, and what is asked for. Client-Server API,
 * "User-Interactive Authentication API". */
#include "config.h"

#include "core/account/uia.h"
#include "core/sql/db.h"

#include <myelin/core.h>
#include <stdlib.h>

enum { ATTEMPTS_MAX = 20 };

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
	if (json_array_size(s->completed) < UIA_STAGES_MAX)
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
	session_over(as->uia, s);
}
