/* Logging in, refreshing, logging out. Client-Server API, "Login", "Refreshing access tokens",
 * "Logging out".
 *
 * A client that refreshes has pairs: an access token and a refresh token with one number. A refresh
 * makes another pair and leaves the old one working, since its answer may be lost; the first use of
 * the new pair ends the old one. */
#include "config.h"

#include "core/account/internal.h"

#include <stdlib.h>

static void
token_make(const char *prefix, char *out, unsigned char hash[MX_SHA256_SIZE])
{
	size_t n = strlen(prefix);

	memcpy(out, prefix, n);
	mx_random_text(out + n, MX_ACCOUNT_TOKEN_RANDOM);
	token_hash(mx_str_of(out), hash);
}

static mx_error *
device_id_check(mx_str id)
{
	if (id.n > MX_ACCOUNT_DEVICE_ID_MAX)
		return mx_error_new(MX_E_INVALID_PARAM, "A device id has at most %d bytes",
				    MX_ACCOUNT_DEVICE_ID_MAX);
	if (memchr(id.p, '\0', id.n) != NULL)
		return mx_error_new(MX_E_INVALID_PARAM, "A device id must not contain NUL");
	return NULL;
}

static void
tokens_make(struct mx_accounts *as, bool refresh, struct session_plan *p)
{
	p->now = mx_now();
	p->token = random_nid();
	token_make("mxa_", p->access, p->access_hash);
	p->access_lifetime = as->options->session_lifetime.ms;
	if (refresh) {
		p->pair = random_nid();
		token_make("mxr_", p->refresh, p->refresh_hash);
		p->access_lifetime = as->options->access_token_lifetime.ms;
		p->refresh_lifetime = as->options->refresh_token_lifetime.ms;
	}
}

mx_error *
session_plan(struct mx_accounts *as, const struct mx_new_session *n, struct mx_arena *a,
	     struct session_plan *p)
{
	*p = (struct session_plan){ .n = n, .chosen = n->device_id.n > 0, .gone.arena = a };
	if (p->chosen)
		MX_TRY(device_id_check(n->device_id));
	else
		mx_random_text(p->device_id, 10);
	MX_TRY(device_name_check(n->display_name));
	tokens_make(as, n->refresh && !n->no_device, p);
	if (n->lifetime > 0)
		p->access_lifetime = n->lifetime;
	return NULL;
}

static const struct mx_sql ACCESS_INSERT =
	MX_SQL("INSERT INTO access_token (hash, nid, user_nid, device_nid, created, expires, pair, replaces)"
	       " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
static const struct mx_sql REFRESH_INSERT =
	MX_SQL("INSERT INTO refresh_token (hash, pair, user_nid, device_nid, created, expires, replaces)"
	       " VALUES ($1, $2, $3, $4, $5, $6, $7)");

static mx_error *
tokens_insert(struct mx_txn *tx, const struct session_plan *p, mx_nid user, mx_nid device,
	      mx_nid replaces)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &ACCESS_INSERT);

	mx_bind_blob(q, 1, p->access_hash, MX_SHA256_SIZE);
	mx_bind_int(q, 2, p->token);
	mx_bind_int(q, 3, user);
	mx_bind_int(q, 4, device);
	mx_bind_int(q, 5, p->now);
	mx_bind_int(q, 6, p->access_lifetime != 0 ? p->now + p->access_lifetime : 0);
	mx_bind_int(q, 7, p->pair);
	mx_bind_int(q, 8, replaces);
	MX_TRY(mx_query_run(q));
	if (p->pair == 0)
		return NULL;
	q = mx_query(mx_txn_conn(tx), &REFRESH_INSERT);
	mx_bind_blob(q, 1, p->refresh_hash, MX_SHA256_SIZE);
	mx_bind_int(q, 2, p->pair);
	mx_bind_int(q, 3, user);
	mx_bind_int(q, 4, device);
	mx_bind_int(q, 5, p->now);
	mx_bind_int(q, 6, p->refresh_lifetime != 0 ? p->now + p->refresh_lifetime : 0);
	mx_bind_int(q, 7, replaces);
	return mx_query_run(q);
}

static const struct mx_sql ACCOUNT_CHECK =
	MX_SQL("SELECT a.deactivated, (SELECT count(*) FROM device d WHERE d.user_nid = a.nid) FROM account a WHERE a.nid = $1");

static mx_error *
account_check(struct mx_txn *tx, mx_nid user, int64_t *devices)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &ACCOUNT_CHECK);

	mx_bind_int(q, 1, user);
	bool found = mx_query_next(q), deactivated = found && mx_col_int(q, 0) != 0;
	*devices = found ? mx_col_int(q, 1) : 0;
	MX_TRY(mx_query_end(q));
	if (!found)
		return mx_error_new(MX_E_NOT_FOUND, "There is no such account");
	if (deactivated)
		return mx_error_new(MX_E_USER_DEACTIVATED, "This account has been deactivated");
	return NULL;
}

static const struct mx_sql DEVICE_FIND = MX_SQL("SELECT nid FROM device WHERE user_nid = $1 AND id = $2");
static const struct mx_sql DEVICE_INSERT =
	MX_SQL("INSERT INTO device (nid, user_nid, id, display_name, created, last_seen) VALUES ($1, $2, $3, $4, $5, $5)");
static const struct mx_sql DEVICE_UNUSED =
	MX_SQL("SELECT id FROM device WHERE user_nid = $1 AND nid <> $2 ORDER BY last_seen, nid LIMIT 1");

/* Makes room for one more device: removes the one that was unused for longest. */
static mx_error *
device_make_room(struct mx_txn *tx, struct session_plan *p, mx_nid user, mx_nid keep)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &DEVICE_UNUSED);
	mx_str id = { NULL, 0 };
	bool found;

	mx_bind_int(q, 1, user);
	mx_bind_int(q, 2, keep);
	if (mx_query_next(q))
		id = mx_arena_str(mx_txn_arena(tx), mx_col_str(q, 0));
	MX_TRY(mx_query_end(q));
	return id.p != NULL ? device_remove(tx, user, id, &p->gone, &found) : NULL;
}

static mx_error *
device_insert(struct mx_accounts *as, struct mx_txn *tx, const struct session_plan *p, mx_nid user,
	      mx_str id, mx_nid *out)
{
	MX_TRY(device_list_changed(as, tx, user, out));
	struct mx_query *q = mx_query(mx_txn_conn(tx), &DEVICE_INSERT);
	mx_bind_int(q, 1, *out);
	mx_bind_int(q, 2, user);
	mx_bind_str(q, 3, id);
	mx_bind_str(q, 4, p->n->display_name.n > 0 ? p->n->display_name : (mx_str){ NULL, 0 });
	mx_bind_int(q, 5, p->now);
	return mx_query_run(q);
}

mx_error *
session_write(struct mx_accounts *as, struct mx_txn *tx, struct session_plan *p, mx_nid user,
	      bool fresh)
{
	mx_str id = p->chosen ? p->n->device_id : mx_str_of(p->device_id);
	int64_t devices = 0;
	mx_nid device = 0;

	p->gone.n = 0;
	if (!fresh)
		MX_TRY(account_check(tx, user, &devices));
	if (p->n->no_device)
		return tokens_insert(tx, p, user, 0, 0);
	if (p->chosen && !fresh) {
		struct mx_query *q = mx_query(mx_txn_conn(tx), &DEVICE_FIND);

		mx_bind_int(q, 1, user);
		mx_bind_str(q, 2, id);
		if (mx_query_next(q))
			device = mx_col_int(q, 0);
		MX_TRY(mx_query_end(q));
	}
	if (device != 0) {
		MX_TRY(device_tokens_remove(tx, user, device));
		MX_TRY(accounts_changed(as, tx, user, device));
	} else {
		MX_TRY(device_insert(as, tx, p, user, id, &device));
		if (devices >= as->options->max_devices) {
			MX_TRY(device_make_room(tx, p, user, device));
			MX_TRY(accounts_changed(as, tx, user, 0));
		}
	}
	return tokens_insert(tx, p, user, device, 0);
}

void
session_result(const struct session_plan *p, mx_str user_id, struct mx_arena *a,
	       struct mx_session *out)
{
	*out = (struct mx_session){ .user_id = mx_arena_str(a, user_id),
				    .expires_in = p->access_lifetime };
	if (!p->n->no_device)
		out->device_id =
			mx_arena_str(a, p->chosen ? p->n->device_id : mx_str_of(p->device_id));
	out->access_token = mx_arena_str(a, mx_str_of(p->access));
	if (p->pair != 0)
		out->refresh_token = mx_arena_str(a, mx_str_of(p->refresh));
}

struct opening {
	struct mx_accounts *as;
	struct session_plan plan;
	struct mx_arena *arena;
	mx_str user_id;
};

static mx_error *
open_write(struct mx_txn *tx, void *arg)
{
	struct opening *o = arg;

	MX_TRY(session_write(o->as, tx, &o->plan, o->plan.n->user, false));
	return mx_name_text(mx_txn_conn(tx), o->plan.n->user, o->arena, &o->user_id);
}

mx_error *
mx_session_open(struct mx_accounts *as, const struct mx_new_session *n, struct mx_arena *a,
		struct mx_session *out)
{
	struct opening o = { .as = as, .arena = a };

	MX_TRY(session_plan(as, n, a, &o.plan));
	MX_TRY(mx_write(as->db, open_write, &o));
	devices_gone(as, n->user, &o.plan.gone);
	session_result(&o.plan, o.user_id, a, out);
	return NULL;
}

/* ---- refreshing ---- */

struct refreshing {
	struct mx_accounts *as;
	struct session_plan plan;
	unsigned char hash[MX_SHA256_SIZE];
	mx_nid user;
	struct mx_arena *arena;
	mx_str user_id;
};

static const struct mx_sql REFRESH_GET =
	MX_SQL("SELECT r.pair, r.user_nid, r.device_nid, r.expires, r.replaces, a.deactivated"
	       " FROM refresh_token r JOIN account a ON a.nid = r.user_nid WHERE r.hash = $1");
static const struct mx_sql PAIR_REFRESH_DELETE =
	MX_SQL("DELETE FROM refresh_token WHERE user_nid = $1 AND device_nid = $2 AND pair = $3");
static const struct mx_sql PAIR_ACCESS_EXPIRE = MX_SQL(
	"UPDATE access_token SET expires = $4"
	" WHERE user_nid = $1 AND device_nid = $2 AND pair = $3 AND (expires = 0 OR expires > $4)");
static const struct mx_sql ACCESS_CONFIRMED =
	MX_SQL("UPDATE access_token SET replaces = 0 WHERE user_nid = $1 AND device_nid = $2 AND "
	       "replaces = $3");
static const struct mx_sql REFRESH_CONFIRMED =
	MX_SQL("UPDATE refresh_token SET replaces = 0 WHERE user_nid = $1 AND device_nid = $2 AND "
	       "replaces = $3");

/* Far enough ago that another process, or this one once its clock is set right, does not take it for
 * the future. */
#define LONG_AGO (INT64_C(24) * 3600 * 1000)

/* The pair `old` ends. Its access token expires instead of vanishing: who still has it is told that
 * it is out of date (soft_logout), not that the device is gone. */
static mx_error *
pair_end(struct mx_accounts *as, struct mx_txn *tx, mx_nid user, mx_nid device, mx_nid old,
	 mx_msec now)
{
	static const struct mx_sql *const statements[] = {
		&PAIR_REFRESH_DELETE, &ACCESS_CONFIRMED, &REFRESH_CONFIRMED, &PAIR_ACCESS_EXPIRE
	};

	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
		struct mx_query *q = mx_query(mx_txn_conn(tx), statements[i]);

		mx_bind_int(q, 1, user);
		mx_bind_int(q, 2, device);
		mx_bind_int(q, 3, old);
		if (statements[i] == &PAIR_ACCESS_EXPIRE)
			mx_bind_int(q, 4, now - LONG_AGO);
		MX_TRY(mx_query_run(q));
	}
	return accounts_changed(as, tx, user, device);
}

struct confirming {
	struct mx_accounts *as;
	mx_nid user, device, replaced;
};

static mx_error *
confirm_write(struct mx_txn *tx, void *arg)
{
	const struct confirming *c = arg;

	return pair_end(c->as, tx, c->user, c->device, c->replaced, mx_now());
}

mx_error *
pair_confirm(struct mx_accounts *as, mx_nid user, mx_nid device, mx_nid replaced)
{
	struct confirming c = { .as = as, .user = user, .device = device, .replaced = replaced };

	return mx_write(as->db, confirm_write, &c);
}

static const struct mx_sql PAIRS =
	MX_SQL("SELECT count(*) OVER (), pair FROM refresh_token "
	       "WHERE user_nid = $1 AND device_nid = $2 AND pair <> $3 ORDER BY created, pair LIMIT 1");

/* What is made of one token at once, or again because an answer was lost, is never used but for one
 * of them: a device keeps so many pairs, and the oldest goes. */
enum { PAIRS_MAX = 16 };

static mx_error *
pairs_trim(struct mx_accounts *as, struct mx_txn *tx, mx_nid user, mx_nid device, mx_nid used,
	   mx_msec now)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &PAIRS);

	mx_bind_int(q, 1, user);
	mx_bind_int(q, 2, device);
	mx_bind_int(q, 3, used);
	int64_t n = mx_query_next(q) ? mx_col_int(q, 0) : 0;
	mx_nid oldest = mx_col_int(q, 1);
	MX_TRY(mx_query_end(q));
	return n + 1 < PAIRS_MAX ? NULL : pair_end(as, tx, user, device, oldest, now);
}

static mx_error *
refresh_unknown(void)
{
	return mx_error_with(mx_error_new(MX_E_UNKNOWN_TOKEN,
					  "This refresh token is not valid or was used before"),
			     "soft_logout", json_false());
}

static mx_error *
refresh_write(struct mx_txn *tx, void *arg)
{
	struct refreshing *r = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &REFRESH_GET);

	mx_bind_blob(q, 1, r->hash, MX_SHA256_SIZE);
	if (!mx_query_next(q)) {
		MX_TRY(mx_query_end(q));
		return refresh_unknown();
	}
	mx_nid pair = mx_col_int(q, 0), device = mx_col_int(q, 2), replaces = mx_col_int(q, 4);
	mx_msec expires = mx_col_int(q, 3);
	bool deactivated = mx_col_int(q, 5) != 0;
	r->user = mx_col_int(q, 1);
	MX_TRY(mx_query_end(q));
	if (deactivated)
		return refresh_unknown();
	if (expires != 0 && r->plan.now >= expires)
		return mx_error_with(
			mx_error_new(MX_E_UNKNOWN_TOKEN, "This refresh token has expired"),
			"soft_logout", json_true());
	if (replaces != 0)
		MX_TRY(pair_end(r->as, tx, r->user, device, replaces, r->plan.now));
	MX_TRY(pairs_trim(r->as, tx, r->user, device, pair, r->plan.now));
	MX_TRY(mx_name_text(mx_txn_conn(tx), r->user, r->arena, &r->user_id));
	return tokens_insert(tx, &r->plan, r->user, device, pair);
}

mx_error *
mx_session_refresh(struct mx_accounts *as, mx_str refresh_token, struct mx_arena *a,
		   struct mx_session *out)
{
	struct mx_new_session n = { .refresh = true };
	struct refreshing r = { .as = as, .plan = { .n = &n }, .arena = a };

	if (refresh_token.n == 0 || refresh_token.n > MX_ACCOUNT_TOKEN_MAX)
		return refresh_unknown();
	token_hash(refresh_token, r.hash);
	tokens_make(as, true, &r.plan);
	MX_TRY(mx_write(as->db, refresh_write, &r));
	session_result(&r.plan, r.user_id, a, out);
	out->device_id = (mx_str){ NULL, 0 };
	return NULL;
}

/* ---- logging out ---- */

struct closing {
	struct mx_accounts *as;
	mx_nid user, token;
	mx_str device_id;		/* empty: only the token, or with token 0 everything */
	struct gone_devices gone;
};

static const struct mx_sql TOKEN_DELETE =
	MX_SQL("DELETE FROM access_token WHERE user_nid = $1 AND device_nid = 0 AND nid = $2");

static mx_error *
close_write(struct mx_txn *tx, void *arg)
{
	struct closing *cl = arg;
	bool found;

	cl->gone.n = 0;
	if (cl->device_id.n > 0) {
		MX_TRY(device_remove(tx, cl->user, cl->device_id, &cl->gone, &found));
	} else if (cl->token != 0) {
		struct mx_query *q = mx_query(mx_txn_conn(tx), &TOKEN_DELETE);

		mx_bind_int(q, 1, cl->user);
		mx_bind_int(q, 2, cl->token);
		MX_TRY(mx_query_run(q));
	} else {
		MX_TRY(devices_remove_all(tx, cl->user, 0, &cl->gone));
	}
	if (cl->gone.n > 0)
		MX_TRY(device_list_changed(cl->as, tx, cl->user, NULL));
	return accounts_changed(cl->as, tx, cl->user, cl->gone.n == 1 ? cl->gone.v[0].nid : 0);
}

mx_error *
mx_session_close(struct mx_accounts *as, const struct mx_auth *who)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct closing cl = { .as = as,
			      .user = who->user,
			      .token = who->token,
			      .device_id = who->device_id,
			      .gone.arena = a };

	MX_TRY(mx_write(as->db, close_write, &cl));
	devices_gone(as, who->user, &cl.gone);
	return NULL;
}

mx_error *
mx_session_close_all(struct mx_accounts *as, mx_nid user)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct closing cl = { .as = as, .user = user, .gone.arena = a };

	MX_TRY(mx_write(as->db, close_write, &cl));
	devices_gone(as, user, &cl.gone);
	return NULL;
}

/* ---- what has expired ---- */

static const struct mx_sql REFRESH_EXPIRED =
	MX_SQL("DELETE FROM refresh_token WHERE expires > 0 AND expires < $1");
/* An access token whose refresh token lives is kept: its client is to hear that it expired, not
 * that it is unknown. */
static const struct mx_sql ACCESS_EXPIRED = MX_SQL(
	"DELETE FROM access_token WHERE expires > 0 AND expires < $1 AND NOT EXISTS (SELECT 1 FROM "
	"refresh_token r"
	" WHERE r.user_nid = access_token.user_nid AND r.device_nid = access_token.device_nid"
	" AND r.pair = access_token.pair)");

/* How long the server remembers that a token existed. */
#define EXPIRED_KEEP ((mx_msec)30 * 24 * 3600 * 1000)

static mx_error *
collect_write(struct mx_txn *tx, void *arg)
{
	static const struct mx_sql *const statements[] = { &REFRESH_EXPIRED, &ACCESS_EXPIRED };

	for (size_t i = 0; i < 2; i++) {
		struct mx_query *q = mx_query(mx_txn_conn(tx), statements[i]);

		mx_bind_int(q, 1, *(const mx_msec *)arg - EXPIRED_KEEP);
		MX_TRY(mx_query_run(q));
	}
	return NULL;
}

mx_error *
mx_sessions_collect(struct mx_accounts *as)
{
	mx_msec now = mx_now();

	return mx_write_aside(as->db, collect_write, &now);
}

mx_error *
mx_sessions_seen(struct mx_accounts *as)
{
	return seen_flush(as);
}
