/* Which processes use the tables, and how far each knows their migrations: what is contracted must
 * be used by none any more. A process is there while it says so; one that was killed is gone after
 * MX_USER_STALE_MS. */
#include "config.h"

#include <stdlib.h>
#include <unistd.h>

#include <myelin/log.h>

#include "core/sql/impl.h"

/* Times are the database's: clocks that differ do no harm. */
static const struct mx_sql FORGET = MX_SQL("DELETE FROM process WHERE seen < {now} - 3600000");
static const struct mx_sql NOTE =
	MX_SQL("INSERT INTO process (id, seen, knows) VALUES ($1, {now}, $2) "
	       "ON CONFLICT (id) DO UPDATE SET seen = excluded.seen, knows = excluded.knows");
static const struct mx_sql LEAVE = MX_SQL("DELETE FROM process WHERE id = $1");
static const struct mx_sql OTHERS =
	MX_SQL("SELECT id, seen, knows FROM process WHERE id <> $1 AND seen > {now} - $2");
static const struct mx_sql HOLD =
	MX_SQL("INSERT INTO migration_holder (one, holder) VALUES (1, $1) "
	       "ON CONFLICT (one) DO UPDATE SET holder = excluded.holder "
	       "WHERE migration_holder.holder = excluded.holder OR NOT EXISTS (SELECT 1 FROM process "
	       "WHERE id = migration_holder.holder AND seen > {now} - $2) RETURNING holder");

void
mx_users_init(struct mx_users *u)
{
	pthread_mutex_init(&u->lock, NULL);
}

void
mx_users_end(struct mx_users *u)
{
	for (size_t i = 0; i < u->n; i++)
		free(u->v[i].owner);
	free(u->v);
	pthread_mutex_destroy(&u->lock);
}

static struct mx_known *
find(struct mx_users *u, const char *owner)
{
	for (size_t i = 0; i < u->n; i++)
		if (strcmp(u->v[i].owner, owner) == 0)
			return &u->v[i];
	return NULL;
}

bool
mx_users_knows(struct mx_db *db, const char *owner, size_t n)
{
	struct mx_users *u = &db->users;

	pthread_mutex_lock(&u->lock);
	const struct mx_known *k = find(u, owner);
	bool knows = k != NULL && k->n == n;
	pthread_mutex_unlock(&u->lock);
	return knows;
}

void
mx_users_learn(struct mx_db *db, const char *owner, size_t n)
{
	struct mx_users *u = &db->users;

	pthread_mutex_lock(&u->lock);
	struct mx_known *k = find(u, owner);
	if (k == NULL) {
		u->v = mx_realloc(u->v, u->n + 1, sizeof(*u->v));
		k = &u->v[u->n++];
		k->owner = mx_str_dup(mx_str_of(owner));
	}
	k->n = n;
	pthread_mutex_unlock(&u->lock);
}

mx_error *
mx_users_note(struct mx_db *db, struct mx_conn *c, const struct mx_migration_set *sets, size_t n)
{
	MX_AUTO(mx_buf) *knows = mx_buf_new(0);
	struct mx_users *u = &db->users;

	mx_buf_printf(knows, "%s, process %ld\n", mx_version(), (long)getpid());
	/* The first that stands there counts. */
	for (size_t i = 0; i < n; i++)
		mx_buf_printf(knows, "%s=%zu\n", sets[i].owner, sets[i].n);
	pthread_mutex_lock(&u->lock);
	for (size_t i = 0; i < u->n; i++)
		mx_buf_printf(knows, "%s=%zu\n", u->v[i].owner, u->v[i].n);
	u->noted = true;
	u->beat = mx_monotonic_us();
	pthread_mutex_unlock(&u->lock);
	MX_TRY(mx_query_run(mx_query(c, &FORGET)));
	struct mx_query *q = mx_query(c, &NOTE);
	mx_bind_int(q, 1, db->writer.id);
	mx_bind_str(q, 2, mx_buf_view(knows));
	return mx_query_run(q);
}

/* ---- the others ---- */

/* How far one knows the owner's; -1: it does not use these tables. */
static int64_t
knows_of(mx_str knows, const char *owner)
{
	mx_str line, name, number;
	int64_t n;

	while (mx_str_cut(knows, '\n', &line, &knows))
		if (mx_str_cut(line, '=', &name, &number) && mx_str_eq(name, mx_str_of(owner)) &&
		    mx_str_int(number, 0, INT64_MAX, &n))
			return n;
	return -1;
}

mx_error *
mx_users_older(struct mx_conn *c, const char *owner, uint32_t number, struct mx_older *out)
{
	struct mx_query *q = mx_query(c, &OTHERS);

	*out = (struct mx_older){ 0 };
	mx_bind_int(q, 1, c->db->writer.id);
	mx_bind_int(q, 2, MX_USER_STALE_MS);
	while (mx_query_next(q)) {
		mx_str knows = mx_col_str(q, 2), who = MX_S("");
		int64_t n = knows_of(knows, owner);

		if (n < 0 || n >= number)
			continue;
		(void)mx_str_cut(knows, '\n', &who, &knows);
		out->there = true;
		out->id = mx_col_int(q, 0);
		out->seen = mx_col_int(q, 1);
		snprintf(out->who, sizeof(out->who), "%.*s", MX_SFMT(who));
	}
	return mx_query_end(q);
}

static mx_error *
hold(struct mx_txn *tx, void *arg)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &HOLD);

	mx_bind_int(q, 1, tx->db->writer.id);
	mx_bind_int(q, 2, MX_USER_STALE_MS);
	*(bool *)arg = mx_query_next(q);
	return mx_query_end(q);
}

mx_error *
mx_users_hold(struct mx_db *db, bool *mine)
{
	*mine = false;
	return mx_write_aside(db, hold, mine);
}

/* ---- being there ---- */

static mx_error *
note(struct mx_txn *tx, void *arg)
{
	(void)arg;
	return mx_users_note(tx->db, mx_txn_conn(tx), NULL, 0);
}

/* Whoever was away for so long that the others took it for gone asks whether it may stay. */
static mx_error *
still_welcome(struct mx_db *db)
{
	MX_AUTO(mx_conn) *c = NULL;
	struct mx_users *u = &db->users;

	MX_TRY(mx_conn_get(db, &c));
	for (size_t i = 0;; i++) {
		char owner[128];

		pthread_mutex_lock(&u->lock);
		bool more = i < u->n;
		size_t n = more ? u->v[i].n : 0;
		if (more)
			snprintf(owner, sizeof(owner), "%s", u->v[i].owner);
		pthread_mutex_unlock(&u->lock);
		if (!more)
			return NULL;
		MX_TRY(mx_migrate_check(c, owner, n));
	}
}

mx_error *
mx_db_is_here(struct mx_db *db)
{
	return mx_write_aside(db, note, NULL);
}

mx_error *
mx_db_beat(struct mx_db *db)
{
	struct mx_users *u = &db->users;
	int64_t now = mx_monotonic_us();

	pthread_mutex_lock(&u->lock);
	int64_t away = (now - u->beat) / 1000;
	bool noted = u->noted;
	pthread_mutex_unlock(&u->lock);
	if (!noted || away < MX_USER_BEAT_MS)
		return NULL;
	MX_TRY(mx_db_is_here(db));
	return away > MX_USER_STALE_MS ? still_welcome(db) : NULL;
}

static mx_error *
leave(struct mx_txn *tx, void *arg)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &LEAVE);

	(void)arg;
	mx_bind_int(q, 1, tx->db->writer.id);
	return mx_query_run(q);
}

void
mx_users_leave(struct mx_db *db)
{
	if (db->users.noted)
		(void)mx_error_drop(mx_write_aside(db, leave, NULL));
}
