/* Mail addresses and telephone numbers of accounts. This server sends no mail and no messages, and
 * trusts no identity server: administrators say what is whose, users see it and may delete it.
 * Client-Server API, "Account management". */
#include "config.h"

#include "client_account.h"

enum { ADDRESS_MAX = 500, ADDRESSES_MAX = 100, DIGITS_MAX = 15 };

static const struct mx_sql LIST =
	MX_SQL("SELECT medium, address, validated, added FROM client_account_threepid WHERE "
	       "user_nid = $1 ORDER BY medium, address");
static const struct mx_sql FIND = MX_SQL(
	"SELECT user_nid FROM client_account_threepid WHERE medium = $1 AND address = $2");
static const struct mx_sql PUT =
	MX_SQL("INSERT INTO client_account_threepid (medium, address, user_nid, validated, added) "
	       "VALUES ($1, $2, $3, $4, $4) ON CONFLICT (medium, address) DO NOTHING");
static const struct mx_sql DROP = MX_SQL(
	"DELETE FROM client_account_threepid WHERE medium = $1 AND address = $2 AND user_nid = $3");
static const struct mx_sql DROP_ALL = MX_SQL("DELETE FROM client_account_threepid WHERE user_nid = $1");

/* ---- addresses ---- */

static mx_error *
bad_address(void)
{
	return mx_error_new(MX_E_INVALID_PARAM,
			    "A mail address is \"name@domain\"; a telephone number has up to %d "
			    "digits, with the country's code first",
			    DIGITS_MAX);
}

static bool
is_number(mx_str s)
{
	bool digits = s.n > 0 && s.n <= DIGITS_MAX;

	for (size_t i = 0; digits && i < s.n; i++)
		digits = s.p[i] >= '0' && s.p[i] <= '9';
	return digits;
}

static bool
is_mail(mx_str s)
{
	mx_str name, domain;

	if (s.n > ADDRESS_MAX || !mx_str_utf8(s) || !mx_str_cut(s, '@', &name, &domain))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ')
			return false;
	return name.n > 0 && domain.n > 0 && memchr(domain.p, '@', domain.n) == NULL;
}

/* As it is kept: one address has one spelling. In the arena. */
static mx_error *
canonical(mx_str medium, mx_str address, struct mx_arena *a, mx_str *out)
{
	MX_AUTO(mx_buf) *folded = mx_buf_new(0);

	if (mx_str_eq(medium, MX_S("msisdn"))) {
		*out = address;
		return is_number(address) ? NULL : bad_address();
	}
	if (!mx_str_eq(medium, MX_S("email")))
		return mx_error_new(MX_E_INVALID_PARAM, "medium is email or msisdn");
	if (!is_mail(address))
		return bad_address();
	mx_str_fold(address, folded);
	*out = mx_arena_str(a, mx_buf_view(folded));
	return NULL;
}

/* ---- the table ---- */

static mx_error *
list(struct mx_core *core, struct mx_conn *c, mx_nid user, struct mx_arena *a,
     struct mx_threepid **out, size_t *n)
{
	struct mx_query *q = mx_query(c, &LIST);

	(void)core;
	*out = mx_arena_alloc(a, ADDRESSES_MAX * sizeof(**out));
	*n = 0;
	mx_bind_int(q, 1, user);
	while (*n < ADDRESSES_MAX && mx_query_next(q))
		(*out)[(*n)++] = (struct mx_threepid){ .medium = mx_arena_str(a, mx_col_str(q, 0)),
						       .address = mx_arena_str(a, mx_col_str(q, 1)),
						       .validated = mx_col_int(q, 2),
						       .added = mx_col_int(q, 3) };
	return mx_query_end(q);
}

static mx_error *
owner(struct mx_conn *c, mx_str medium, mx_str address, mx_nid *user)
{
	struct mx_query *q = mx_query(c, &FIND);

	mx_bind_str(q, 1, medium);
	mx_bind_str(q, 2, address);
	*user = mx_query_next(q) ? mx_col_int(q, 0) : 0;
	return mx_query_end(q);
}

static mx_error *
find(struct mx_core *core, struct mx_conn *c, mx_str medium, mx_str address, mx_nid *user)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();

	(void)core;
	*user = 0;
	MX_TRY(canonical(medium, address, a, &address));
	MX_TRY(owner(c, medium, address, user));
	return *user != 0 ? NULL
			  : mx_error_new(MX_E_NOT_FOUND, "Nobody here has this address");
}

struct change {
	mx_nid user;
	const struct mx_threepid *list;
	size_t n;
	mx_msec now;
};

static bool
holds(const struct change *ch, const struct mx_threepid *t)
{
	for (size_t i = 0; i < ch->n; i++)
		if (mx_str_eq(ch->list[i].medium, t->medium) &&
		    mx_str_eq(ch->list[i].address, t->address))
			return true;
	return false;
}

static mx_error *
drop(struct mx_conn *c, mx_nid user, mx_str medium, mx_str address)
{
	struct mx_query *q = mx_query(c, &DROP);

	mx_bind_str(q, 1, medium);
	mx_bind_str(q, 2, address);
	mx_bind_int(q, 3, user);
	return mx_query_run(q);
}

static mx_error *
put(struct mx_conn *c, const struct change *ch, const struct mx_threepid *t)
{
	struct mx_query *q;
	mx_nid now;

	MX_TRY(owner(c, t->medium, t->address, &now));
	if (now != 0 && now != ch->user)
		return mx_error_new(MX_E_THREEPID_IN_USE, "%.*s belongs to another account",
				    MX_SFMT(t->address));
	q = mx_query(c, &PUT);
	mx_bind_str(q, 1, t->medium);
	mx_bind_str(q, 2, t->address);
	mx_bind_int(q, 3, ch->user);
	mx_bind_int(q, 4, ch->now);
	return mx_query_run(q);
}

static mx_error *
replace_in(struct mx_txn *tx, void *arg)
{
	const struct change *ch = arg;
	struct mx_conn *c = mx_txn_conn(tx);
	struct mx_threepid *now;
	size_t n;

	MX_TRY(list(NULL, c, ch->user, mx_txn_arena(tx), &now, &n));
	for (size_t i = 0; i < n; i++)
		if (!holds(ch, &now[i]))
			MX_TRY(drop(c, ch->user, now[i].medium, now[i].address));
	for (size_t i = 0; i < ch->n; i++)
		MX_TRY(put(c, ch, &ch->list[i]));
	return NULL;
}

static mx_error *
replace(struct mx_core *core, mx_nid user, const struct mx_threepid *wanted, size_t n)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_threepid *copy = mx_arena_alloc(a, (n + 1) * sizeof(*copy));
	struct change ch = { .user = user, .list = copy, .n = n, .now = mx_now() };

	if (n > ADDRESSES_MAX)
		return mx_error_new(MX_E_INVALID_PARAM, "An account has at most %d addresses",
				    ADDRESSES_MAX);
	for (size_t i = 0; i < n; i++) {
		copy[i] = wanted[i];
		MX_TRY(canonical(wanted[i].medium, wanted[i].address, a, &copy[i].address));
	}
	return mx_write(mx_core_db(core), replace_in, &ch);
}

const struct mx_threepids_service threepids_service = {
	.size = sizeof(struct mx_threepids_service),
	.list = list,
	.replace = replace,
	.find = find,
};

static mx_error *
forget_in(struct mx_txn *tx, void *arg)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &DROP_ALL);

	mx_bind_int(q, 1, *(const mx_nid *)arg);
	return mx_query_run(q);
}

mx_error *
threepids_forget(struct mx_core *core, mx_nid user)
{
	return mx_write(mx_core_db(core), forget_in, &user);
}

/* ---- what users ask ---- */

static json_t *
json_of(mx_str s)
{
	return json_stringn(s.p, s.n);
}

enum mx_outcome
threepid_list(struct mx_request *rq)
{
	json_t *all = json_array();
	struct mx_threepid *v;
	size_t n = 0;
	mx_error *e = list(NULL, mx_request_conn(rq), mx_request_auth(rq)->user,
			   mx_request_arena(rq), &v, &n);

	for (size_t i = 0; e == NULL && i < n; i++)
		json_array_append_new(all, json_pack("{s:o, s:o, s:I, s:I}", "medium",
						     json_of(v[i].medium), "address",
						     json_of(v[i].address), "validated_at",
						     (json_int_t)v[i].validated, "added_at",
						     (json_int_t)v[i].added));
	if (e == NULL)
		return mx_reply_json(rq, 200, json_pack("{s:o}", "threepids", all));
	json_decref(all);
	return mx_reply_error(rq, e);
}

/* The address of the body, as it is kept. */
static mx_error *
read_address(struct mx_request *rq, mx_str *medium, mx_str *address)
{
	mx_str id_server;
	json_t *body;

	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(mx_json_opt_str(body, "id_server", &id_server));
	MX_TRY(mx_json_get_str(body, "medium", medium));
	MX_TRY(mx_json_get_str(body, "address", address));
	return canonical(*medium, *address, mx_request_arena(rq), address);
}

struct deletion {
	mx_nid user;
	mx_str medium, address;
};

static mx_error *
delete_in(struct mx_txn *tx, void *arg)
{
	const struct deletion *d = arg;

	return drop(mx_txn_conn(tx), d->user, d->medium, d->address);
}

static enum mx_outcome
reply_unbound(struct mx_request *rq, mx_error *e)
{
	/* No identity server was ever told of it. */
	return e != NULL ? mx_reply_error(rq, e)
			 : mx_reply_json(rq, 200, json_pack("{s:s}", "id_server_unbind_result",
							    "no-support"));
}

enum mx_outcome
threepid_delete(struct mx_request *rq)
{
	struct deletion d = { .user = mx_request_auth(rq)->user };
	mx_error *e = read_address(rq, &d.medium, &d.address);

	if (e == NULL)
		e = mx_write(mx_core_db(mx_request_core(rq)), delete_in, &d);
	return reply_unbound(rq, e);
}

enum mx_outcome
threepid_unbind(struct mx_request *rq)
{
	mx_str medium, address;

	return reply_unbound(rq, read_address(rq, &medium, &address));
}

/* ---- what this server does not do ---- */

static mx_error *
need(const json_t *o, const char *const *keys)
{
	mx_str value;

	for (; *keys != NULL; keys++)
		MX_TRY(mx_json_get_str(o, *keys, &value));
	return NULL;
}

static mx_error *
not_trusted(const json_t *creds)
{
	static const char *const keys[] = { "client_secret", "id_server", "sid", NULL };

	MX_TRY(need(creds, keys));
	return mx_error_new(MX_E_NOT_TRUSTED, "This server works with no identity server");
}

enum mx_outcome
threepid_post(struct mx_request *rq)
{
	json_t *body, *creds;
	mx_error *e = mx_request_json(rq, &body);

	if (e == NULL)
		e = mx_json_get_object(body, "three_pid_creds", &creds);
	return mx_reply_error(rq, e != NULL ? e : not_trusted(creds));
}

enum mx_outcome
threepid_bind(struct mx_request *rq)
{
	json_t *body;
	mx_error *e = mx_request_json(rq, &body);

	return mx_reply_error(rq, e != NULL ? e : not_trusted(body));
}

enum mx_outcome
threepid_add(struct mx_request *rq)
{
	static const char *const keys[] = { "client_secret", "sid", NULL };
	json_t *body;
	mx_error *e = mx_request_json(rq, &body);

	if (e == NULL)
		e = need(body, keys);
	return mx_reply_error(rq, e != NULL ? e
					    : mx_error_new(MX_E_THREEPID_AUTH,
							   "This server has validated no such "
							   "address"));
}

/* The six requests for a token by mail or message: to register, to add an address, to set a new
 * password. */
static mx_error *
no_token(struct mx_request *rq, const char *const *keys, const char *what)
{
	int64_t attempt = 0;
	json_t *body;

	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(need(body, keys));
	if (json_object_get(body, "send_attempt") == NULL)
		return mx_error_new(MX_E_MISSING_PARAM, "Missing parameter: send_attempt");
	MX_TRY(mx_json_opt_int(body, "send_attempt", &attempt));
	return mx_error_new(MX_E_THREEPID_MEDIUM, "This server sends no %s", what);
}

enum mx_outcome
threepid_mail_token(struct mx_request *rq)
{
	static const char *const keys[] = { "client_secret", "email", NULL };

	return mx_reply_error(rq, no_token(rq, keys, "mail"));
}

enum mx_outcome
threepid_phone_token(struct mx_request *rq)
{
	static const char *const keys[] = { "client_secret", "country", "phone_number", NULL };

	return mx_reply_error(rq, no_token(rq, keys, "text messages"));
}
