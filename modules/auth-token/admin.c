/* Registration tokens by HTTP: Synapse's admin API, "Registration Tokens". */
#include "config.h"

#include "auth_token.h"

static struct mx_db *
db_of(struct mx_request *rq)
{
	return mx_core_db(mx_request_core(rq));
}

static json_t *
token_json(const struct reg_token *t)
{
	return json_pack("{s:s%, s:o, s:I, s:I, s:o}", "token", t->token.p, t->token.n,
			 "uses_allowed", t->uses >= 0 ? json_integer(t->uses) : json_null(),
			 "pending", (json_int_t)t->pending, "completed", (json_int_t)t->completed,
			 "expiry_time", t->expiry != 0 ? json_integer(t->expiry) : json_null());
}

/* ---- what is asked ---- */

/* uses_allowed and expiry_time, where the body has them; null takes a limit away. */
static mx_error *
read_limits(const json_t *body, struct reg_token *t)
{
	const json_t *uses = json_object_get(body, "uses_allowed"),
		     *expiry = json_object_get(body, "expiry_time");

	if (uses != NULL && !json_is_null(uses)) {
		if (!json_is_integer(uses) || json_integer_value(uses) < 0)
			return mx_error_new(MX_E_INVALID_PARAM,
					    "uses_allowed must be a non-negative integer or null");
		t->uses = json_integer_value(uses);
	} else if (uses != NULL) {
		t->uses = -1;
	}
	if (expiry != NULL && !json_is_null(expiry)) {
		if (!json_is_integer(expiry))
			return mx_error_new(MX_E_INVALID_PARAM,
					    "expiry_time must be an integer or null");
		if (json_integer_value(expiry) < mx_now())
			return mx_error_new(MX_E_INVALID_PARAM,
					    "expiry_time must not be in the past");
		t->expiry = json_integer_value(expiry);
	} else if (expiry != NULL) {
		t->expiry = 0;
	}
	return NULL;
}

static mx_error *
read_new(const json_t *body, struct reg_token *t, size_t *length)
{
	const json_t *token = json_object_get(body, "token"),
		     *wanted = json_object_get(body, "length");

	*t = (struct reg_token){ .uses = -1 };
	*length = REG_LENGTH;
	if (token != NULL) {
		t->token = mx_json_str(body, "token");
		MX_TRY(reg_check_name(t->token));
	}
	if (wanted != NULL && (!json_is_integer(wanted) || json_integer_value(wanted) < 1 ||
			       json_integer_value(wanted) > REG_TOKEN_MAX))
		return mx_error_new(MX_E_INVALID_PARAM,
				    "length must be an integer from 1 to %d", REG_TOKEN_MAX);
	if (wanted != NULL)
		*length = (size_t)json_integer_value(wanted);
	return read_limits(body, t);
}

/* ---- the routes ---- */

static mx_error *
create(struct mx_request *rq, struct reg_token *t)
{
	const struct token_options *o = mx_self_options(mx_request_self(rq));
	size_t length;
	json_t *body;
	mx_error *e;

	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(read_new(body, t, &length));
	e = reg_make(db_of(rq), t, length, o->max_registration_tokens, mx_request_arena(rq));
	if (mx_error_is(e, MX_E_EXISTS)) {
		mx_error_free(&e);
		return mx_error_new(MX_E_INVALID_PARAM, "Token already exists: %.*s",
				    MX_SFMT(t->token));
	}
	return e;
}

static mx_error *
get(struct mx_request *rq, struct reg_token *t)
{
	return reg_get(mx_request_conn(rq), mx_request_param(rq, "token"), mx_request_arena(rq), t);
}

static mx_error *
put(struct mx_request *rq, struct reg_token *t)
{
	json_t *body;

	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(get(rq, t));
	MX_TRY(read_limits(body, t));
	return reg_change(db_of(rq), t);
}

static enum mx_outcome
answer(struct mx_request *rq, mx_error *e, const struct reg_token *t)
{
	return e != NULL ? mx_reply_error(rq, e) : mx_reply_json(rq, 200, token_json(t));
}

enum mx_outcome
admin_token_new(struct mx_request *rq)
{
	struct reg_token t;
	mx_error *e = create(rq, &t);

	return answer(rq, e, &t);
}

enum mx_outcome
admin_token_get(struct mx_request *rq)
{
	struct reg_token t;
	mx_error *e = get(rq, &t);

	return answer(rq, e, &t);
}

enum mx_outcome
admin_token_put(struct mx_request *rq)
{
	struct reg_token t;
	mx_error *e = put(rq, &t);

	return answer(rq, e, &t);
}

enum mx_outcome
admin_token_delete(struct mx_request *rq)
{
	mx_error *e = reg_delete(db_of(rq), mx_request_param(rq, "token"));

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

struct listing {
	json_t *tokens;
	int valid;			/* only the valid (1) or invalid (0); -1: all */
};

static void
add(void *arg, const struct reg_token *t)
{
	struct listing *l = arg;

	if (l->valid < 0 || reg_valid(t) == (l->valid != 0))
		json_array_append_new(l->tokens, token_json(t));
}

static mx_error *
list(struct mx_request *rq, struct listing *l)
{
	mx_str valid;

	if (mx_request_query(rq, "valid", &valid)) {
		if (!mx_str_eq(valid, MX_S("true")) && !mx_str_eq(valid, MX_S("false")))
			return mx_error_new(MX_E_INVALID_PARAM, "valid is true or false");
		l->valid = mx_str_eq(valid, MX_S("true"));
	}
	return reg_list(mx_request_conn(rq), add, l);
}

enum mx_outcome
admin_tokens(struct mx_request *rq)
{
	struct listing l = { json_array(), -1 };
	mx_error *e = list(rq, &l);

	if (e == NULL)
		return mx_reply_json(rq, 200, json_pack("{s:o}", "registration_tokens", l.tokens));
	json_decref(l.tokens);
	return mx_reply_error(rq, e);
}
