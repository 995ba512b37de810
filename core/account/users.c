/* The users of this server. */
#include "config.h"

#include "core/account/internal.h"

#include <stdlib.h>

mx_error *
user_id_of(struct mx_accounts *as, mx_str id_or_localpart, struct mx_arena *a, mx_str *out)
{
	mx_str server;

	if (mx_str_starts(id_or_localpart, MX_S("@"))) {
		if (!mx_id_user(id_or_localpart, NULL, &server) ||
		    !mx_str_eq(server, mx_str_of(as->server_name)))
			return mx_error_new(MX_E_NOT_FOUND, "This is not a user of this server");
		*out = id_or_localpart;
		return NULL;
	}
	*out = mx_arena_printf(a, "@%.*s:%s", MX_SFMT(id_or_localpart), as->server_name);
	if (id_or_localpart.n == 0 || !mx_id_user(*out, NULL, NULL))
		return mx_error_new(MX_E_NOT_FOUND, "This is not a user of this server");
	return NULL;
}

/* ---- reading ---- */

#define USER_COLUMNS "a.nid, a.created, a.password IS NOT NULL, a.appservice, a.admin, a.guest, a.deactivated, a.locked, a.suspended"

static void
user_read(struct mx_query *q, struct mx_arena *a, struct mx_user *out)
{
	mx_str appservice = mx_col_str(q, 3);

	*out = (struct mx_user){
		.nid = mx_col_int(q, 0),
		.created = mx_col_int(q, 1),
		.has_password = !mx_col_null(q, 2) && mx_col_int(q, 2) != 0,
		.admin = mx_col_int(q, 4) != 0,
		.guest = mx_col_int(q, 5) != 0,
		.deactivated = mx_col_int(q, 6) != 0,
		.locked = mx_col_int(q, 7) != 0,
		.suspended = mx_col_int(q, 8) != 0,
	};
	if (appservice.n > 0)
		out->appservice = mx_arena_str(a, appservice);
}

static const struct mx_sql USER_GET = MX_SQL("SELECT " USER_COLUMNS " FROM account a WHERE a.nid = $1");

mx_error *
mx_user_get(struct mx_accounts *as, struct mx_conn *c, mx_str id_or_localpart, struct mx_arena *a,
	    struct mx_user *out)
{
	bool found = false;
	mx_nid nid = 0;
	mx_str id;

	MX_TRY(user_id_of(as, id_or_localpart, a, &id));
	MX_TRY(mx_name_find(c, id, &nid));
	if (nid != 0) {
		struct mx_query *q = mx_query(c, &USER_GET);

		mx_bind_int(q, 1, nid);
		found = mx_query_next(q);
		if (found)
			user_read(q, a, out);
		MX_TRY(mx_query_end(q));
	}
	if (!found)
		return mx_error_new(MX_E_NOT_FOUND, "There is no such user on this server");
	out->user_id = mx_arena_str(a, id);
	return NULL;
}

static const struct mx_sql USER_LIST =
	MX_SQL("SELECT " USER_COLUMNS " FROM account a WHERE a.nid > $1 ORDER BY a.nid LIMIT $2");

mx_error *
mx_user_list(struct mx_accounts *as, struct mx_conn *c, mx_nid after, size_t limit,
	     struct mx_arena *a, struct mx_user *out, size_t *n)
{
	struct mx_query *q = mx_query(c, &USER_LIST);

	(void)as;
	*n = 0;
	mx_bind_int(q, 1, after);
	mx_bind_int(q, 2, (int64_t)limit);
	while (*n < limit && mx_query_next(q))
		user_read(q, a, &out[(*n)++]);
	MX_TRY(mx_query_end(q));
	for (size_t i = 0; i < *n; i++)
		MX_TRY(mx_name_text(c, out[i].nid, a, &out[i].user_id));
	return NULL;
}

static const struct mx_sql USER_COUNT = MX_SQL("SELECT count(*) FROM account");

mx_error *
mx_user_count(struct mx_accounts *as, struct mx_conn *c, int64_t *out)
{
	struct mx_query *q = mx_query(c, &USER_COUNT);

	(void)as;
	*out = mx_query_next(q) ? mx_col_int(q, 0) : 0;
	return mx_query_end(q);
}

/* ---- making ---- */

static mx_error *
localpart_check(struct mx_accounts *as, mx_str localpart)
{
	if (!mx_id_localpart_strict(localpart))
		return mx_error_new(MX_E_INVALID_USERNAME,
				    "A user name consists of a-z, 0-9 and . _ = - / +");
	if (localpart.n + strlen(as->server_name) + 2 > 255)
		return mx_error_new(MX_E_INVALID_USERNAME,
				    "This user name is too long: a user id has at most 255 bytes");
	return NULL;
}

static mx_error *
in_use(void)
{
	return mx_error_new(MX_E_USER_IN_USE, "This user name is taken");
}

mx_error *
mx_user_available(struct mx_accounts *as, struct mx_conn *c, mx_str localpart)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_user user;

	MX_TRY(localpart_check(as, localpart));
	mx_error *e = mx_user_get(as, c, localpart, a, &user);
	if (e == NULL)
		return in_use();
	if (!mx_error_is(e, MX_E_NOT_FOUND))
		return e;
	mx_error_free(&e);
	return NULL;
}

struct making {
	struct mx_accounts *as;
	const struct mx_new_user *u;
	mx_str user_id, hash;
	mx_msec now;
	struct session_plan *session;	/* NULL: none is opened */
	mx_nid nid;
};

static const struct mx_sql USER_INSERT =
	MX_SQL("INSERT INTO account (nid, localpart, created, password, appservice, admin, guest)"
	       " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (nid) DO NOTHING RETURNING nid");

static mx_error *
make_write(struct mx_txn *tx, void *arg)
{
	struct making *m = arg;

	MX_TRY(mx_name_intern(tx, m->user_id, &m->nid));
	struct mx_query *q = mx_query(mx_txn_conn(tx), &USER_INSERT);
	mx_bind_int(q, 1, m->nid);
	mx_bind_str(q, 2, m->u->localpart);
	mx_bind_int(q, 3, m->now);
	mx_bind_str(q, 4, m->hash.n > 0 ? m->hash : (mx_str){ NULL, 0 });
	mx_bind_str(q, 5, m->u->appservice.n > 0 ? m->u->appservice : (mx_str){ NULL, 0 });
	mx_bind_int(q, 6, m->u->admin);
	mx_bind_int(q, 7, m->u->guest);
	bool made = mx_query_next(q);
	MX_TRY(mx_query_end(q));
	if (!made)
		return in_use();
	return m->session != NULL ? session_write(m->as, tx, m->session, m->nid, true) : NULL;
}

mx_error *
mx_user_register(struct mx_accounts *as, const struct mx_new_user *u,
		 const struct mx_new_session *n, struct mx_arena *a, mx_nid *out,
		 struct mx_session *session)
{
	struct making m = { .as = as, .u = u, .hash = u->password_hash, .now = mx_now() };
	struct session_plan plan;
	char *hash = NULL;

	MX_TRY(localpart_check(as, u->localpart));
	MX_TRY(user_id_of(as, u->localpart, a, &m.user_id));
	if (n != NULL) {
		MX_TRY(session_plan(as, n, a, &plan));
		m.session = &plan;
	}
	if (u->password.n > 0 && u->password_hash.n == 0) {
		MX_TRY(password_possible(u->password));
		MX_TRY(password_hash(as, u->password, &hash));
		m.hash = mx_str_of(hash);
	}
	mx_error *e = mx_write(as->db, make_write, &m);
	free(hash);
	if (e != NULL)
		return e;
	if (out != NULL)
		*out = m.nid;
	if (as->ports.user_created != NULL)
		as->ports.user_created(as->ports.arg, m.nid, m.user_id);
	if (n != NULL)
		session_result(&plan, m.user_id, a, session);
	return NULL;
}

mx_error *
mx_user_create(struct mx_accounts *as, const struct mx_new_user *u, mx_nid *out)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();

	return mx_user_register(as, u, NULL, a, out, NULL);
}

/* ---- changing ---- */

static mx_error *
no_user(void)
{
	return mx_error_new(MX_E_NOT_FOUND,
			    "There is no such user on this server, or it is deactivated");
}

static const struct mx_sql SET_ADMIN =
	MX_SQL("UPDATE account SET admin = $2 WHERE nid = $1 AND deactivated = 0 RETURNING nid");
static const struct mx_sql SET_LOCKED =
	MX_SQL("UPDATE account SET locked = $2 WHERE nid = $1 AND deactivated = 0 RETURNING nid");
static const struct mx_sql SET_SUSPENDED = MX_SQL(
	"UPDATE account SET suspended = $2 WHERE nid = $1 AND deactivated = 0 RETURNING nid");
static const struct mx_sql SET_PASSWORD =
	MX_SQL("UPDATE account SET password = $2 WHERE nid = $1 AND deactivated = 0 RETURNING nid");
static const struct mx_sql SET_DEACTIVATED =
	MX_SQL("UPDATE account SET deactivated = 1, admin = 0, password = NULL, leaving = $2 WHERE "
	       "nid = $1 AND deactivated = 0 RETURNING nid");
static const struct mx_sql SET_ACTIVE =
	MX_SQL("UPDATE account SET deactivated = 0, leaving = 0, password = $2 WHERE nid = $1 AND "
	       "deactivated = 1 RETURNING nid");

struct setting {
	struct mx_accounts *as;
	mx_nid user, keep;
	const struct mx_sql *sql;	/* $1: the user; $2: the value */
	mx_str text;			/* the value if it is one, else number */
	int64_t number;
	bool remove_devices;
	struct gone_devices gone;
	mx_str user_id;
};

static mx_error *
set_write(struct mx_txn *tx, void *arg)
{
	struct setting *s = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), s->sql);

	s->gone.n = 0;
	mx_bind_int(q, 1, s->user);
	if (s->text.n > 0)
		mx_bind_str(q, 2, s->text);
	else
		mx_bind_int(q, 2, s->number);
	bool found = mx_query_next(q);
	MX_TRY(mx_query_end(q));
	if (!found)
		return no_user();
	if (s->remove_devices) {
		MX_TRY(devices_remove_all(tx, s->user, s->keep, &s->gone));
		if (s->gone.n > 0)
			MX_TRY(device_list_changed(s->as, tx, s->user, NULL));
	}
	if (s->sql == &SET_DEACTIVATED)
		MX_TRY(mx_name_text(mx_txn_conn(tx), s->user, s->gone.arena, &s->user_id));
	return accounts_changed(s->as, tx, s->user, 0);
}

static mx_error *
set(struct setting *s)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();

	s->gone.arena = a;
	MX_TRY(mx_write(s->as->db, set_write, s));
	devices_gone(s->as, s->user, &s->gone);
	if (s->sql == &SET_DEACTIVATED && s->as->ports.user_deactivated != NULL)
		s->as->ports.user_deactivated(s->as->ports.arg, s->user, s->user_id);
	return NULL;
}

mx_error *
mx_user_set(struct mx_accounts *as, mx_nid user, enum mx_user_flag flag, bool on)
{
	struct setting s = { .as = as, .user = user, .number = on };

	switch (flag) {
	case MX_USER_ADMIN:
		s.sql = &SET_ADMIN;
		break;
	case MX_USER_LOCKED:
		s.sql = &SET_LOCKED;
		break;
	case MX_USER_SUSPENDED:
		s.sql = &SET_SUSPENDED;
		break;
	}
	if (s.sql == NULL)
		return mx_error_new(MX_E_UNKNOWN, "there is no flag %d of a user", (int)flag);
	return set(&s);
}

static mx_error *
set_hash(struct setting *s, mx_str password)
{
	char *hash;

	MX_TRY(password_possible(password));
	MX_TRY(password_hash(s->as, password, &hash));
	s->text = mx_str_of(hash);
	mx_error *e = set(s);
	free(hash);
	return e;
}

mx_error *
mx_user_set_password(struct mx_accounts *as, mx_nid user, mx_str password, bool logout_devices,
		     mx_nid keep)
{
	struct setting s = { .as = as,
			     .user = user,
			     .keep = keep,
			     .sql = &SET_PASSWORD,
			     .remove_devices = logout_devices };

	return set_hash(&s, password);
}

mx_error *
mx_user_deactivate(struct mx_accounts *as, mx_nid user, bool erase)
{
	struct setting s = { .as = as,
			     .user = user,
			     .sql = &SET_DEACTIVATED,
			     .number = erase ? 2 : 1,
			     .remove_devices = true };

	return set(&s);
}

mx_error *
mx_user_reactivate(struct mx_accounts *as, mx_nid user, mx_str password)
{
	struct setting s = { .as = as, .user = user, .sql = &SET_ACTIVE };

	return set_hash(&s, password);
}

static const struct mx_sql DEPARTING = MX_SQL("SELECT nid, leaving FROM account WHERE leaving > 0 ORDER BY nid LIMIT $1");
static const struct mx_sql DEPARTED =
	MX_SQL("UPDATE account SET leaving = 0 WHERE nid = $1 AND leaving > 0");

mx_error *
mx_users_departing(struct mx_accounts *as, struct mx_conn *c, struct mx_arena *a, size_t max,
		   struct mx_departing *out, size_t *n)
{
	struct mx_query *q = mx_query(c, &DEPARTING);

	(void)as;
	*n = 0;
	mx_bind_int(q, 1, (int64_t)max);
	for (; *n < max && mx_query_next(q); (*n)++)
		out[*n] = (struct mx_departing){ .user = mx_col_int(q, 0),
						 .erase = mx_col_int(q, 1) == 2 };
	MX_TRY(mx_query_end(q));
	for (size_t i = 0; i < *n; i++)
		MX_TRY(mx_name_text(c, out[i].user, a, &out[i].user_id));
	return NULL;
}

static mx_error *
departed_write(struct mx_txn *tx, void *arg)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &DEPARTED);

	mx_bind_int(q, 1, *(const mx_nid *)arg);
	return mx_query_run(q);
}

mx_error *
mx_user_departed(struct mx_accounts *as, mx_nid user)
{
	return mx_write_aside(as->db, departed_write, &user);
}
