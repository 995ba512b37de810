/* Tokens in place of passwords: m.login.token, which a logged-in user makes for another device, and
 * registration tokens, which the operator gives to the people who may register. Client-Server API,
 * "Token-based", "Token-authenticated registration". */
#include "config.h"

#include <myelin/module.h>

struct options {
	struct mx_list registration_tokens;
	bool login_tokens;
	struct mx_duration login_token_lifetime;
};

static const struct mx_option options[] = {
	MX_OPT(struct options, registration_tokens, .flags = MX_OPT_SECRET | MX_OPT_RELOAD,
	       .help = "Tokens that allow to register, each any number of times, where "
		       "client-register asks for one."),
	MX_OPT(struct options, login_tokens, .def = "yes", .flags = MX_OPT_RELOAD,
	       .help = "Whether users may make a token that logs another of their devices in."),
	MX_OPT(struct options, login_token_lifetime, .def = "2m", .min = 1000, .max = 3600000,
	       .flags = MX_OPT_RELOAD, .help = "Of such a token."),
};

static const struct mx_migration migrations[] = {
	{ 1, "login tokens",
	  "CREATE TABLE auth_token_login (hash {blob} PRIMARY KEY, user_nid BIGINT NOT NULL, "
	  "expires BIGINT NOT NULL) {unkeyed};\n"
	  "CREATE INDEX auth_token_login_user ON auth_token_login (user_nid)" },
};

enum { TOKEN_RANDOM = 40, TOKEN_MAX = 255, TOKENS_A_USER = 10 };

/* ---- login tokens ---- */

struct login_token {
	unsigned char hash[MX_SHA256_SIZE];
	mx_nid user;
	mx_msec now, expires;
	bool found;
};

static const struct mx_sql TOKEN_EXPIRED =
	MX_SQL("DELETE FROM auth_token_login WHERE user_nid = $1 AND expires < $2");
static const struct mx_sql TOKEN_COUNT = MX_SQL("SELECT count(*) FROM auth_token_login WHERE user_nid = $1");
static const struct mx_sql TOKEN_INSERT = MX_SQL("INSERT INTO auth_token_login (hash, user_nid, expires) VALUES ($1, $2, $3)");
static const struct mx_sql TOKEN_TAKE =
	MX_SQL("DELETE FROM auth_token_login WHERE hash = $1 RETURNING user_nid, expires");
static const struct mx_sql TOKENS_OLD = MX_SQL("DELETE FROM auth_token_login WHERE expires < $1");

static mx_error *
token_insert(struct mx_txn *tx, void *arg)
{
	const struct login_token *t = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &TOKEN_EXPIRED);

	mx_bind_int(q, 1, t->user);
	mx_bind_int(q, 2, t->now);
	MX_TRY(mx_query_run(q));
	q = mx_query(mx_txn_conn(tx), &TOKEN_COUNT);
	mx_bind_int(q, 1, t->user);
	int64_t n = mx_query_next(q) ? mx_col_int(q, 0) : 0;
	MX_TRY(mx_query_end(q));
	if (n >= TOKENS_A_USER)
		return mx_error_with(
			mx_error_new(MX_E_LIMIT_EXCEEDED,
				     "You have %d login tokens already: use them first",
				     TOKENS_A_USER),
			"retry_after_ms", json_integer(t->expires - t->now));
	q = mx_query(mx_txn_conn(tx), &TOKEN_INSERT);
	mx_bind_blob(q, 1, t->hash, MX_SHA256_SIZE);
	mx_bind_int(q, 2, t->user);
	mx_bind_int(q, 3, t->expires);
	return mx_query_run(q);
}

static mx_error *
token_take(struct mx_txn *tx, void *arg)
{
	struct login_token *t = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &TOKEN_TAKE);

	mx_bind_blob(q, 1, t->hash, MX_SHA256_SIZE);
	t->found = mx_query_next(q);
	if (t->found) {
		t->user = mx_col_int(q, 0);
		t->expires = mx_col_int(q, 1);
	}
	return mx_query_end(q);
}

static mx_error *
tokens_collect(struct mx_txn *tx, void *arg)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &TOKENS_OLD);

	mx_bind_int(q, 1, *(const mx_msec *)arg);
	return mx_query_run(q);
}

static mx_error *
get_token(struct mx_request *rq, json_t **answer)
{
	const struct options *o = mx_self_options(mx_request_self(rq));
	struct login_token t = { .user = mx_request_auth(rq)->user, .now = mx_now() };
	char token[4 + TOKEN_RANDOM + 1] = "mxl_";

	if (!o->login_tokens)
		return mx_error_new(MX_E_BAD_REQUEST, "This server gives no login tokens");
	MX_TRY(mx_uia_confirm(rq));
	mx_random_text(token + 4, TOKEN_RANDOM);
	mx_sha256(token, strlen(token), t.hash);
	t.expires = t.now + o->login_token_lifetime.ms;
	MX_TRY(mx_write(mx_core_db(mx_request_core(rq)), token_insert, &t));
	/* Each token is confirmed anew. */
	mx_uia_finish(rq);
	*answer = json_pack("{s:s, s:I}", "login_token", token, "expires_in_ms",
			    (json_int_t)o->login_token_lifetime.ms);
	return NULL;
}

static enum mx_outcome
post_get_token(struct mx_request *rq)
{
	json_t *answer = NULL;
	mx_error *e = get_token(rq, &answer);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_json(rq, 200, answer);
}

static void
describe(struct mx_module_self *self, json_t *flow)
{
	const struct options *o = mx_self_options(self);

	if (o->login_tokens)
		json_object_set_new(flow, "get_login_token", json_true());
}

static mx_error *
login(struct mx_module_self *self, struct mx_request *rq, const json_t *body, mx_str user,
      mx_str *localpart)
{
	struct login_token t = { 0 };
	mx_str token, user_id;

	if (user.n > 0)
		return mx_error_new(MX_E_FORBIDDEN, "A login token proves nobody a second time");
	MX_TRY(mx_json_get_str(body, "token", &token));
	if (token.n <= TOKEN_MAX) {
		mx_sha256(token.p, token.n, t.hash);
		MX_TRY(mx_write(mx_core_db(mx_self_core(self)), token_take, &t));
	}
	if (!t.found || t.expires < mx_now())
		return mx_error_new(
			MX_E_FORBIDDEN,
			"This login token is not valid, was used before, or has expired");
	MX_TRY(mx_name_text(mx_request_conn(rq), t.user, mx_request_arena(rq), &user_id));
	if (!mx_id_user(user_id, localpart, NULL))
		return mx_error_new(MX_E_UNKNOWN, "the user of a login token has no user id");
	return NULL;
}

static const struct mx_login_ops login_ops = {
	.size = sizeof(login_ops), .describe = describe, .login = login, .flags = MX_LOGIN_NO_STAGE,
};

/* ---- registration tokens ---- */

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
registration_token_valid(const struct options *o, mx_str token)
{
	bool valid = false;

	for (size_t i = 0; i < o->registration_tokens.n; i++)
		valid |= same(token, o->registration_tokens.v[i]);
	return valid && token.n > 0;
}

static mx_error *
stage_check(struct mx_module_self *self, struct mx_request *rq, const json_t *auth)
{
	mx_str token;

	(void)rq;
	MX_TRY(mx_json_get_str(auth, "token", &token));
	if (!registration_token_valid(mx_self_options(self), token))
		return mx_error_new(MX_E_UNAUTHORIZED, "This registration token is not valid");
	return NULL;
}

static const struct mx_stage_ops stage_ops = { .size = sizeof(stage_ops), .check = stage_check };

static enum mx_outcome
get_validity(struct mx_request *rq)
{
	const struct options *o = mx_self_options(mx_request_self(rq));
	mx_str token;

	if (!mx_request_query(rq, "token", &token))
		return mx_reply_error(rq,
				      mx_error_new(MX_E_MISSING_PARAM, "Missing parameter: token"));
	return mx_reply_json(rq, 200,
			     json_pack("{s:b}", "valid", (int)registration_token_valid(o, token)));
}

/* ---- the module ---- */

static void
capabilities(struct mx_module_self *self, struct mx_request *rq, json_t *all)
{
	const struct options *o = mx_self_options(self);

	(void)rq;
	json_object_set_new(all, "m.get_login_token",
			    json_pack("{s:b}", "enabled", (int)o->login_tokens));
}

static mx_error *
collect(struct mx_module_self *self)
{
	mx_msec now = mx_now();

	return mx_write_aside(mx_core_db(mx_self_core(self)), tokens_collect, &now);
}

static const struct mx_route routes[] = {
	{ "POST", "/_matrix/client/v1/login/get_token", post_get_token, MX_AUTH_USER, MX_RATE_LOGIN,
	  MX_ROUTE_CPU, 0 },
	{ "GET", "/_matrix/client/v1/register/m.login.registration_token/validity", get_validity,
	  MX_AUTH_NONE, MX_RATE_LOGIN, 0, 0 },
};

static const struct mx_provider_row providers[] = {
	{ "login", "m.login.token", MX_LOGIN_ABI, &login_ops },
	{ "stage", "m.login.registration_token", MX_STAGE_ABI, &stage_ops },
};

static const struct mx_hook_row hooks[] = { MX_ON(capabilities, MX_PRIO_NORMAL, capabilities) };
static const struct mx_job_row jobs[] = { { "expired login tokens", 3600 * 1000, MX_ONE_PROCESS,
					    collect } };

MX_MODULE(auth_token) = {
	MX_MODULE_HEAD("auth-token", "0.1.0",
		       "Logging in with a short-lived token, registering with the operator's"),
	.options = MX_TABLE(options),
	.options_size = sizeof(struct options),
	.migrations = MX_TABLE(migrations),
	.routes = MX_TABLE(routes),
	.hooks = MX_TABLE(hooks),
	.providers = MX_TABLE(providers),
	.jobs = MX_TABLE(jobs),
};
