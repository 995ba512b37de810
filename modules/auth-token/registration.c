/* m.login.registration_token: the stage, and the question whether a token is one. A token stands in
 * the configuration, and is good for ever, or in the table, where its uses are counted.
 * Client-Server API, "Token-authenticated registration". */
#include "config.h"

#include "auth_token.h"

#define STAGE "m.login.registration_token"

/* Takes the same time whichever character is wrong. */
static bool
same(mx_str a, const char *b)
{
	size_t n = strlen(b);
	unsigned char differ = a.n != n;

	for (size_t i = 0; i < a.n; i++)
		differ |= (unsigned char)a.p[i] ^ (unsigned char)(n > 0 ? b[i % n] : 0);
	return differ == 0;
}

static bool
configured(const struct token_options *o, mx_str token)
{
	bool valid = false;

	for (size_t i = 0; i < o->registration_tokens.n; i++)
		valid |= same(token, o->registration_tokens.v[i]);
	return valid && token.n > 0;
}

/* ---- the stage ---- */

static mx_error *
stage_check(struct mx_module_self *self, struct mx_request *rq, const json_t *auth)
{
	json_t *memory = mx_uia_memory(rq);
	char id[REG_ID + 1];
	mx_str token;
	mx_error *e;

	MX_TRY(mx_json_get_str(auth, "token", &token));
	if (configured(mx_self_options(self), token))
		return NULL;
	mx_random_text(id, REG_ID);
	e = reg_begin(mx_core_db(mx_self_core(self)), token, mx_str_of(id));
	if (mx_error_is(e, MX_E_NOT_FOUND)) {
		mx_error_free(&e);
		return mx_error_new(MX_E_UNAUTHORIZED, "This registration token is not valid");
	}
	MX_TRY(e);
	json_object_set_new(memory, STAGE,
			    json_pack("{s:s%, s:s}", "token", token.p, token.n, "id", id));
	return NULL;
}

/* The account is made: the use that was pending is one that happened. */
static void
stage_done(struct mx_module_self *self, struct mx_request *rq)
{
	const json_t *use = json_object_get(mx_uia_memory(rq), STAGE);
	mx_error *e;

	if (use == NULL)
		return;
	e = reg_complete(mx_core_db(mx_self_core(self)), mx_json_str(use, "token"),
			 mx_json_str(use, "id"));
	if (e != NULL)
		mx_log("auth-token", MX_WARN, "TOK001",
		       "the use of a registration token was not counted", mx_fe(e));
	mx_error_free(&e);
}

const struct mx_stage_ops registration_ops = {
	.size = sizeof(struct mx_stage_ops), .check = stage_check, .done = stage_done,
};

/* ---- GET /register/m.login.registration_token/validity ---- */

static mx_error *
validity(struct mx_request *rq, bool *valid)
{
	struct reg_token t;
	mx_str token;
	mx_error *e;

	if (!mx_request_query(rq, "token", &token))
		return mx_error_new(MX_E_MISSING_PARAM, "Missing parameter: token");
	*valid = configured(mx_self_options(mx_request_self(rq)), token);
	if (*valid)
		return NULL;
	e = reg_get(mx_request_conn(rq), token, mx_request_arena(rq), &t);
	if (mx_error_is(e, MX_E_NOT_FOUND)) {
		mx_error_free(&e);
		return NULL;
	}
	*valid = e == NULL && reg_valid(&t);
	return e;
}

enum mx_outcome
registration_validity(struct mx_request *rq)
{
	bool valid = false;
	mx_error *e = validity(rq, &valid);

	return e != NULL ? mx_reply_error(rq, e)
			 : mx_reply_json(rq, 200, json_pack("{s:b}", "valid", (int)valid));
}
