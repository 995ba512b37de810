/* OpenID tokens: a user proves to another service who it is, and that service asks here.
 * Client-Server API, "OpenID"; Server-Server API, "OpenID". */
#include "config.h"

#include "client_account.h"

enum { TOKEN_RANDOM = 40, TOKEN_MAX = 255, LIFETIME_S = 3600 };

static const struct mx_sql TOKEN_INSERT = MX_SQL("INSERT INTO client_account_openid (hash, user_nid, expires) VALUES ($1, $2, $3)");
static const struct mx_sql TOKEN_GET = MX_SQL("SELECT user_nid FROM client_account_openid WHERE hash = $1 AND expires > $2");
static const struct mx_sql TOKENS_OLD =
	MX_SQL("DELETE FROM client_account_openid WHERE expires < $1");

struct openid_token {
	unsigned char hash[MX_SHA256_SIZE];
	mx_nid user;
	mx_msec expires;
};

static mx_error *
token_insert(struct mx_txn *tx, void *arg)
{
	const struct openid_token *t = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &TOKEN_INSERT);

	mx_bind_blob(q, 1, t->hash, MX_SHA256_SIZE);
	mx_bind_int(q, 2, t->user);
	mx_bind_int(q, 3, t->expires);
	return mx_query_run(q);
}

static mx_error *
request_token(struct mx_request *rq, json_t **answer)
{
	const struct mx_auth *auth = mx_request_auth(rq);
	struct mx_core *core = mx_request_core(rq);
	struct openid_token t = { .user = auth->user,
				  .expires = mx_now() + (mx_msec)LIFETIME_S * 1000 };
	char token[4 + TOKEN_RANDOM + 1] = "mxo_";
	json_t *body;

	MX_TRY(mx_request_json(rq, &body));
	if (!mx_str_eq(mx_request_param(rq, "userId"), auth->user_id))
		return mx_error_new(MX_E_FORBIDDEN, "A token can be had for oneself only");
	mx_random_text(token + 4, TOKEN_RANDOM);
	mx_sha256(token, strlen(token), t.hash);
	MX_TRY(mx_write_aside(mx_core_db(core), token_insert, &t));
	mx_str server = mx_core_server_name(core);
	*answer = json_pack("{s:s, s:s, s:s%, s:i}", "access_token", token, "token_type", "Bearer",
			    "matrix_server_name", server.p, server.n, "expires_in", LIFETIME_S);
	return NULL;
}

enum mx_outcome
openid_request_token(struct mx_request *rq)
{
	json_t *answer = NULL;
	mx_error *e = request_token(rq, &answer);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_json(rq, 200, answer);
}

static mx_error *
userinfo(struct mx_request *rq, json_t **answer)
{
	unsigned char hash[MX_SHA256_SIZE];
	mx_str token, user_id;
	mx_nid user = 0;

	if (!mx_request_query(rq, "access_token", &token))
		return mx_error_new(MX_E_MISSING_TOKEN, "Missing parameter: access_token");
	if (token.n <= TOKEN_MAX) {
		mx_sha256(token.p, token.n, hash);
		struct mx_query *q = mx_query(mx_request_conn(rq), &TOKEN_GET);
		mx_bind_blob(q, 1, hash, sizeof(hash));
		mx_bind_int(q, 2, mx_now());
		if (mx_query_next(q))
			user = mx_col_int(q, 0);
		MX_TRY(mx_query_end(q));
	}
	if (user == 0)
		return mx_error_new(MX_E_UNKNOWN_TOKEN, "This token is unknown or has expired");
	MX_TRY(mx_name_text(mx_request_conn(rq), user, mx_request_arena(rq), &user_id));
	*answer = json_pack("{s:s%}", "sub", user_id.p, user_id.n);
	return NULL;
}

enum mx_outcome
openid_userinfo(struct mx_request *rq)
{
	json_t *answer = NULL;
	mx_error *e = userinfo(rq, &answer);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_json(rq, 200, answer);
}

static mx_error *
collect_write(struct mx_txn *tx, void *arg)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &TOKENS_OLD);

	mx_bind_int(q, 1, *(const mx_msec *)arg);
	return mx_query_run(q);
}

mx_error *
openid_collect(struct mx_module_self *self)
{
	mx_msec now = mx_now();

	return mx_write_aside(mx_core_db(mx_self_core(self)), collect_write, &now);
}
