/* m.login.token: a token that a logged-in user makes for another device. Client-Server API,
 * "Token-based". */
#include "config.h"

#include "auth_token.h"

enum { TOKEN_RANDOM = 40, TOKEN_MAX = 255, TOKENS_A_USER = 10 };

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

mx_error *
login_collect(struct mx_txn *tx, mx_msec now)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &TOKENS_OLD);

	mx_bind_int(q, 1, now);
	return mx_query_run(q);
}

static mx_error *
get_token(struct mx_request *rq, json_t **answer)
{
	const struct token_options *o = mx_self_options(mx_request_self(rq));
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

enum mx_outcome
login_get_token(struct mx_request *rq)
{
	json_t *answer = NULL;
	mx_error *e = get_token(rq, &answer);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_json(rq, 200, answer);
}

static void
describe(struct mx_module_self *self, json_t *flow)
{
	const struct token_options *o = mx_self_options(self);

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

const struct mx_login_ops login_ops = {
	.size = sizeof(struct mx_login_ops), .describe = describe, .login = login, .flags = MX_LOGIN_NO_STAGE,
};
