/* From an access token to who it belongs to. */
#include "config.h"

#include "core/account/internal.h"

#include <myelin/log.h>
#include <stdlib.h>

void
token_hash(mx_str token, unsigned char out[MX_SHA256_SIZE])
{
	mx_sha256(token.p, token.n, out);
}

static const struct mx_sql TOKEN_GET =
	MX_SQL("SELECT t.nid, t.user_nid, t.device_nid, t.expires, t.replaces, a.admin, a.guest, "
	       "a.locked, a.suspended,"
	       " a.deactivated, d.id"
	       " FROM access_token t JOIN account a ON a.nid = t.user_nid LEFT JOIN device d ON "
	       "d.nid = t.device_nid"
	       " WHERE t.hash = $1");

struct token_row {
	struct mx_auth auth;
	mx_msec expires;
	mx_nid replaces;		/* the pair that this token took over from and that still works; 0: none */
	bool deactivated;
};

static mx_error *
token_read(struct mx_conn *c, const unsigned char hash[MX_SHA256_SIZE], struct mx_arena *a,
	   struct token_row *row, bool *found)
{
	struct mx_query *q = mx_query(c, &TOKEN_GET);

	mx_bind_blob(q, 1, hash, MX_SHA256_SIZE);
	*found = mx_query_next(q);
	if (*found) {
		row->auth.token = mx_col_int(q, 0);
		row->auth.user = mx_col_int(q, 1);
		row->auth.device = mx_col_int(q, 2);
		row->expires = mx_col_int(q, 3);
		row->replaces = mx_col_int(q, 4);
		row->auth.admin = mx_col_int(q, 5) != 0;
		row->auth.guest = mx_col_int(q, 6) != 0;
		row->auth.locked = mx_col_int(q, 7) != 0;
		row->auth.suspended = mx_col_int(q, 8) != 0;
		row->deactivated = mx_col_int(q, 9) != 0;
		row->auth.device_id = mx_arena_str(a, mx_col_str(q, 10));
	}
	MX_TRY(mx_query_end(q));
	if (*found)
		MX_TRY(mx_name_text(c, row->auth.user, a, &row->auth.user_id));
	return NULL;
}

static mx_error *
unknown_token(void)
{
	return mx_error_with(mx_error_new(MX_E_UNKNOWN_TOKEN, "This access token is not valid"),
			     "soft_logout", json_false());
}

static mx_error *
load_row(struct mx_accounts *as, const unsigned char hash[MX_SHA256_SIZE], struct mx_arena *a,
	 struct token_row *row)
{
	bool found = false;
	struct mx_conn *c;

	MX_TRY(mx_conn_get(as->db, &c));
	mx_error *e = token_read(c, hash, a, row, &found);
	mx_conn_put(&c);
	if (e != NULL)
		return e;
	if (!found || row->deactivated)
		return unknown_token();
	if (row->expires != 0 && mx_now() >= row->expires)
		return mx_error_with(
			mx_error_new(MX_E_UNKNOWN_TOKEN, "This access token has expired"),
			"soft_logout", json_true());
	return NULL;
}

static mx_error *
load(struct mx_accounts *as, const unsigned char hash[MX_SHA256_SIZE], struct auth_entry **out)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct token_row row = { 0 };
	uint64_t epoch = auth_cache_epoch(as->cache);

	MX_TRY(load_row(as, hash, a, &row));
	if (row.replaces != 0) {
		/* The first use of a refreshed token ends the pair before it. */
		MX_TRY(pair_confirm(as, row.auth.user, row.auth.device, row.replaces));
		epoch = auth_cache_epoch(as->cache);
		MX_TRY(load_row(as, hash, a, &row));
	}
	*out = auth_entry_new(as->cache, &row.auth, hash, row.expires);
	auth_cache_keep(as->cache, *out, epoch);
	return NULL;
}

static void
flush_soon(struct mx_core *core, void *arg)
{
	(void)core;
	mx_error *e = seen_flush(arg);
	if (e != NULL)
		mx_log("account", MX_WARN, "ACC001", "last uses of devices were not written",
		       mx_fe(e));
	mx_error_free(&e);
}

static void
note_use(struct mx_accounts *as, struct auth_entry *e, struct mx_request *rq, mx_msec now)
{
	mx_msec seen = atomic_load_explicit(&e->seen, memory_order_relaxed);

	if (e->auth.device == 0 || now - seen < as->options->last_seen_interval.ms ||
	    !atomic_compare_exchange_strong(&e->seen, &seen, now))
		return;
	mx_str address = rq != NULL ? mx_request_address(rq) : (mx_str){ NULL, 0 };
	if (seen_note(as->seen, e->auth.device, now, address) && as->ports.defer != NULL)
		as->ports.defer(as->ports.arg, flush_soon, as);
}

mx_error *
mx_accounts_authenticate(struct mx_accounts *as, struct mx_request *rq, mx_str token,
			 const struct mx_auth **out)
{
	unsigned char hash[MX_SHA256_SIZE];
	mx_msec now = mx_now();

	*out = NULL;
	if (token.n == 0)
		return mx_error_new(MX_E_MISSING_TOKEN, "An access token is needed here");
	if (token.n > MX_ACCOUNT_TOKEN_MAX)
		return unknown_token();
	token_hash(token, hash);
	struct auth_entry *e = auth_cache_find(as->cache, hash, now);
	if (e == NULL)
		MX_TRY(load(as, hash, &e));
	note_use(as, e, rq, now);
	*out = &e->auth;
	return NULL;
}

bool
mx_accounts_peek(struct mx_accounts *as, struct mx_request *rq, mx_str token,
		 const struct mx_auth **out)
{
	unsigned char hash[MX_SHA256_SIZE];
	mx_msec now = mx_now();

	*out = NULL;
	if (token.n == 0 || token.n > MX_ACCOUNT_TOKEN_MAX)
		return false;
	token_hash(token, hash);
	struct auth_entry *e = auth_cache_find(as->cache, hash, now);
	if (e == NULL)
		return false;
	note_use(as, e, rq, now);
	*out = &e->auth;
	return true;
}
