/* The table of registration tokens. A use is pending from the moment the token is shown until the
 * account is made; a registration that is given up stops counting after an hour, so that nothing
 * has to be undone for it, not even after a crash. */
#include "config.h"

#include "auth_token.h"

enum { PENDING_MS = 3600 * 1000, PENDING_MAX = 10000 };

#define COLUMNS                                                                                    \
	"SELECT r.token, r.uses_allowed, r.expiry, r.completed, (SELECT count(*) FROM "            \
	"auth_token_pending p WHERE p.token = r.token AND p.expires > $1) FROM "                   \
	"auth_token_registration r "

static const struct mx_sql GET = MX_SQL(COLUMNS "WHERE r.token = $2");
static const struct mx_sql LIST = MX_SQL(COLUMNS "ORDER BY r.token");
static const struct mx_sql COUNT = MX_SQL("SELECT count(*) FROM auth_token_registration");
static const struct mx_sql MAKE =
	MX_SQL("INSERT INTO auth_token_registration (token, uses_allowed, expiry, completed) "
	       "VALUES ($1, $2, $3, 0)");
static const struct mx_sql CHANGE = MX_SQL(
	"UPDATE auth_token_registration SET uses_allowed = $2, expiry = $3 WHERE token = $1");
static const struct mx_sql DELETE = MX_SQL("DELETE FROM auth_token_registration WHERE token = $1");
static const struct mx_sql FORGET = MX_SQL("DELETE FROM auth_token_pending WHERE token = $1");
static const struct mx_sql BEGIN =
	MX_SQL("INSERT INTO auth_token_pending (id, token, expires) VALUES ($1, $2, $3)");
static const struct mx_sql END = MX_SQL("DELETE FROM auth_token_pending WHERE id = $1");
static const struct mx_sql COMPLETE =
	MX_SQL("UPDATE auth_token_registration SET completed = completed + 1 WHERE token = $1");
static const struct mx_sql COLLECT = MX_SQL("DELETE FROM auth_token_pending WHERE expires < $1");

bool
reg_valid(const struct reg_token *t)
{
	return (t->expiry == 0 || t->expiry > mx_now()) &&
	       (t->uses < 0 || t->pending + t->completed < t->uses);
}

mx_error *
reg_check_name(mx_str token)
{
	bool good = token.n > 0 && token.n <= REG_TOKEN_MAX;

	for (size_t i = 0; good && i < token.n; i++) {
		char c = token.p[i];

		good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		       c == '.' || c == '_' || c == '~' || c == '-';
	}
	return good ? NULL
		    : mx_error_new(MX_E_INVALID_PARAM,
				   "A registration token has from 1 to %d characters: letters, "
				   "digits, dots, underscores, tildes and hyphens",
				   REG_TOKEN_MAX);
}

static mx_error *
unknown(mx_str token)
{
	return mx_error_new(MX_E_NOT_FOUND, "No such registration token: %.*s", MX_SFMT(token));
}

/* ---- reading ---- */

static struct reg_token
row(const struct mx_query *q)
{
	return (struct reg_token){ .token = mx_col_str(q, 0),
				   .uses = mx_col_null(q, 1) ? -1 : mx_col_int(q, 1),
				   .expiry = mx_col_int(q, 2),
				   .completed = mx_col_int(q, 3),
				   .pending = mx_col_int(q, 4) };
}

mx_error *
reg_get(struct mx_conn *c, mx_str token, struct mx_arena *a, struct reg_token *out)
{
	struct mx_query *q;
	bool found;

	/* What can be no token is not asked for: it may hold what the database takes for no text. */
	if (mx_error_drop(reg_check_name(token)))
		return unknown(token);
	q = mx_query(c, &GET);
	mx_bind_int(q, 1, mx_now());
	mx_bind_str(q, 2, token);
	found = mx_query_next(q);
	if (found) {
		*out = row(q);
		out->token = mx_arena_str(a, token);
	}
	MX_TRY(mx_query_end(q));
	return found ? NULL : unknown(token);
}

mx_error *
reg_list(struct mx_conn *c, void (*fn)(void *arg, const struct reg_token *t), void *arg)
{
	struct mx_query *q = mx_query(c, &LIST);

	mx_bind_int(q, 1, mx_now());
	while (mx_query_next(q)) {
		struct reg_token t = row(q);

		fn(arg, &t);
	}
	return mx_query_end(q);
}

/* ---- changing ---- */

static void
bind_limits(struct mx_query *q, const struct reg_token *t)
{
	mx_bind_str(q, 1, t->token);
	if (t->uses >= 0)
		mx_bind_int(q, 2, t->uses);
	else
		mx_bind_null(q, 2);
	mx_bind_int(q, 3, t->expiry);
}

struct making {
	const struct reg_token *token;
	int64_t max;
};

static mx_error *
make(struct mx_txn *tx, void *arg)
{
	const struct making *m = arg;
	struct mx_conn *c = mx_txn_conn(tx);
	struct reg_token there;
	mx_error *e = reg_get(c, m->token->token, mx_txn_arena(tx), &there);
	struct mx_query *q;
	int64_t n;

	if (e == NULL)
		return mx_error_new(MX_E_EXISTS, "Token already exists: %.*s",
				    MX_SFMT(m->token->token));
	if (!mx_error_is(e, MX_E_NOT_FOUND))
		return e;
	mx_error_free(&e);
	q = mx_query(c, &COUNT);
	n = mx_query_next(q) ? mx_col_int(q, 0) : 0;
	MX_TRY(mx_query_end(q));
	if (n >= m->max)
		return mx_error_new(MX_E_LIMIT_EXCEEDED,
				    "There are %lld registration tokens already: delete some",
				    (long long)n);
	q = mx_query(c, &MAKE);
	bind_limits(q, m->token);
	return mx_query_run(q);
}

mx_error *
reg_make(struct mx_db *db, struct reg_token *t, size_t length, int64_t max, struct mx_arena *a)
{
	struct making m = { t, max };
	char random[REG_TOKEN_MAX + 1];

	if (t->token.n > 0) {
		MX_TRY(reg_check_name(t->token));
	} else {
		mx_random_text(random, length);
		t->token = mx_arena_str(a, mx_str_of(random));
	}
	return mx_write(db, make, &m);
}

static mx_error *
change(struct mx_txn *tx, void *arg)
{
	const struct reg_token *t = arg;
	struct reg_token there;
	struct mx_query *q;

	MX_TRY(reg_get(mx_txn_conn(tx), t->token, mx_txn_arena(tx), &there));
	q = mx_query(mx_txn_conn(tx), &CHANGE);
	bind_limits(q, t);
	return mx_query_run(q);
}

mx_error *
reg_change(struct mx_db *db, const struct reg_token *t)
{
	struct reg_token copy = *t;

	return mx_write(db, change, &copy);
}

static mx_error *
run_for(struct mx_conn *c, const struct mx_sql *sql, mx_str value)
{
	struct mx_query *q = mx_query(c, sql);

	mx_bind_str(q, 1, value);
	return mx_query_run(q);
}

static mx_error *
delete (struct mx_txn *tx, void *arg)
{
	const mx_str *token = arg;
	struct reg_token there;

	MX_TRY(reg_get(mx_txn_conn(tx), *token, mx_txn_arena(tx), &there));
	MX_TRY(run_for(mx_txn_conn(tx), &FORGET, *token));
	return run_for(mx_txn_conn(tx), &DELETE, *token);
}

mx_error *
reg_delete(struct mx_db *db, mx_str token)
{
	return mx_write(db, delete, &token);
}

/* ---- uses ---- */

struct use {
	mx_str token, id;
};

static mx_error *
begin(struct mx_txn *tx, void *arg)
{
	const struct use *u = arg;
	struct reg_token t;
	struct mx_query *q;

	MX_TRY(reg_get(mx_txn_conn(tx), u->token, mx_txn_arena(tx), &t));
	if (!reg_valid(&t))
		return unknown(u->token);
	if (t.pending >= PENDING_MAX)
		return mx_error_new(MX_E_LIMIT_EXCEEDED,
				    "Too many registrations with this token have begun");
	q = mx_query(mx_txn_conn(tx), &BEGIN);
	mx_bind_str(q, 1, u->id);
	mx_bind_str(q, 2, u->token);
	mx_bind_int(q, 3, mx_now() + PENDING_MS);
	return mx_query_run(q);
}

mx_error *
reg_begin(struct mx_db *db, mx_str token, mx_str id)
{
	struct use u = { token, id };

	return mx_write(db, begin, &u);
}

static mx_error *
complete(struct mx_txn *tx, void *arg)
{
	const struct use *u = arg;

	MX_TRY(run_for(mx_txn_conn(tx), &END, u->id));
	return run_for(mx_txn_conn(tx), &COMPLETE, u->token);
}

mx_error *
reg_complete(struct mx_db *db, mx_str token, mx_str id)
{
	struct use u = { token, id };

	return mx_write(db, complete, &u);
}

mx_error *
reg_collect(struct mx_txn *tx, mx_msec now)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &COLLECT);

	mx_bind_int(q, 1, now);
	return mx_query_run(q);
}
