/* Migrations at the start: what brings an owner's tables from any released form to one that this
 * program works with, and the record of it. What may take long is left to migrate_work.c. */
#include "config.h"

#include <stdlib.h>
#include <time.h>

#include "core/sql/impl.h"

enum {
	ALTER_WAIT_MS = 250,		/* how long one attempt waits for a table's lock */
	ALTER_PAUSE_MS = 250,
	ALTER_PATIENCE_MS = 60000,
	LOOK_EVERY_MS = 200,
};

static const struct mx_migration MIGRATIONS[] = {
	{ 1, "the stream's position",
	  "CREATE TABLE stream (one {key} CHECK (one = 1), pos BIGINT NOT NULL);\n"
	  "INSERT INTO stream (one, pos) VALUES (1, 0);\n" },
	{ 2, "interned strings",
	  "CREATE TABLE name (nid {key}, text TEXT NOT NULL UNIQUE);\n" },
	{ 3, "the last batch of each process that writes, where several may",
	  "CREATE TABLE writer (id {key}, batch BIGINT NOT NULL, seen BIGINT NOT NULL);\n" },
	{ 4, "which batch has moved the stream last",
	  "ALTER TABLE stream ADD COLUMN who BIGINT NOT NULL DEFAULT 0;\n"
	  "ALTER TABLE stream ADD COLUMN batch BIGINT NOT NULL DEFAULT 0;\n" },
	{ 5, "migrations in phases, and the processes that must know of them",
	  "CREATE TABLE migration_phase (owner TEXT NOT NULL, number BIGINT NOT NULL, phase TEXT NOT "
	  "NULL, place BIGINT NOT NULL, alone BIGINT NOT NULL, done BIGINT NOT NULL, total BIGINT NOT "
	  "NULL, spent BIGINT NOT NULL, PRIMARY KEY (owner, number)) {unkeyed};\n"
	  "CREATE TABLE migration_holder (one {key} CHECK (one = 1), holder BIGINT NOT NULL);\n"
	  "CREATE TABLE process (id {key}, seen BIGINT NOT NULL, knows TEXT NOT NULL);\n" },
};
static const struct mx_migration_set OWN = { "sql", MIGRATIONS,
					     sizeof(MIGRATIONS) / sizeof(MIGRATIONS[0]) };

static const struct mx_sql LAST =
	MX_SQL("SELECT COALESCE(MAX(number), 0) FROM migration WHERE owner = $1");
static const struct mx_sql APPLIED =
	MX_SQL("SELECT m.number, COALESCE(p.phase, '') FROM migration m LEFT JOIN migration_phase p "
	       "ON p.owner = m.owner AND p.number = m.number WHERE m.owner = $1 ORDER BY m.number");
static const struct mx_sql RECORD =
	MX_SQL("INSERT INTO migration (owner, number, applied) VALUES ($1, $2, {now})");
static const struct mx_sql RECORD_PHASE =
	MX_SQL("INSERT INTO migration_phase (owner, number, phase, place, alone, done, total, spent) "
	       "VALUES ($1, $2, $3, 0, 1, 0, 0, 0) ON CONFLICT (owner, number) DO NOTHING");

/* ---- what is applied ---- */

static mx_error *
newer(const char *owner, int64_t number, size_t n)
{
	return mx_error_new(MX_E_CONFIG,
			    "the tables of %s are newer (%lld) than this program knows "
			    "(%zu): install a newer one",
			    owner, (long long)number, n);
}

mx_error *
mx_migrate_state(struct mx_conn *c, const char *owner, size_t n, struct mx_arena *a,
		 struct mx_migrated *out)
{
	struct mx_query *q = mx_query(c, &APPLIED);
	mx_error *e = NULL;

	*out = (struct mx_migrated){ .done = mx_arena_alloc(a, n + 1), .open = n, .fresh = true };
	memset(out->done, 0, n + 1);
	mx_bind_str(q, 1, mx_str_of(owner));
	while (e == NULL && mx_query_next(q)) {
		int64_t number = mx_col_int(q, 0);

		out->fresh = false;
		if (number > (int64_t)n) {
			if (!mx_phase_suits_older(mx_col_str(q, 1)))
				e = newer(owner, number, n);
		} else if (number >= 1 && !out->done[number - 1]) {
			out->done[number - 1] = true;
			out->open--;
		}
	}
	mx_error *ended = mx_query_end(q);
	if (e == NULL)
		return ended;
	mx_error_free(&ended);
	return e;
}

mx_error *
mx_migrate_check(struct mx_conn *c, const char *owner, size_t n)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_migrated state;

	return mx_migrate_state(c, owner, n, a, &state);
}

static mx_error *
check_numbers(const struct mx_migration_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->v[i].number != i + 1)
			return mx_error_new(
				MX_E_CONFIG,
				"the migrations of %s are not numbered from 1 without a gap",
				set->owner);
	return NULL;
}

/* ---- applying one ---- */

mx_error *
mx_migrate_record(struct mx_conn *c, const char *owner, const struct mx_migration *m)
{
	const char *sql;
	enum mx_phase phase = mx_phase_of(m, &sql);
	struct mx_query *q = mx_query(c, &RECORD);

	mx_bind_str(q, 1, mx_str_of(owner));
	mx_bind_int(q, 2, m->number);
	MX_TRY(mx_query_run(q));
	if (phase == MX_PHASE_WHOLE)
		return NULL;
	q = mx_query(c, &RECORD_PHASE);
	mx_bind_str(q, 1, mx_str_of(owner));
	mx_bind_int(q, 2, m->number);
	mx_bind_str(q, 3, mx_str_of(mx_phase_name(phase)));
	return mx_query_run(q);
}

mx_error *
mx_migrate_named(mx_error *e, const char *owner, const struct mx_migration *m)
{
	return mx_error_wrap(e, "migration %u of %s (%s)", m->number, owner, m->what);
}

/* Within one transaction, whatever its phase: the tables are small, or nobody else's. */
static mx_error *
apply(struct mx_conn *c, const char *owner, const struct mx_migration *m)
{
	const char *sql;
	int64_t rows = 1, place = INT64_MIN;

	if (mx_phase_of(m, &sql) != MX_PHASE_BACKFILL)
		MX_TRY(mx_conn_check(c, c->ops->exec(c->storage, sql)));
	else
		while (rows > 0)
			MX_TRY(mx_migrate_fill(c, sql, MX_FILL_MOST, &place, &rows));
	return mx_migrate_record(c, owner, m);
}

mx_error *
mx_migrate_older_error(const struct mx_older *older, const char *owner, uint32_t number)
{
	return mx_error_new(MX_E_CONFIG,
			    "migration %u of %s cannot be applied beside a process of an older version "
			    "(%s): stop that first",
			    number, owner, older->who);
}

/* ---- what older programs can work with, while they run ---- */

static mx_error *
alter(struct mx_txn *tx, void *arg)
{
	const struct mx_migrate_step *step = arg;
	const struct mx_migration *m = &step->set->v[step->at];
	struct mx_conn *c = mx_txn_conn(tx);
	struct mx_migrated state;
	struct mx_older older;
	const char *sql;

	if (c->ops->patience != NULL)
		MX_TRY(c->ops->patience(c->storage, ALTER_WAIT_MS));
	if (c->ops->lock != NULL)
		MX_TRY(c->ops->lock(c->storage));
	MX_TRY(mx_migrate_state(c, step->set->owner, step->set->n, mx_txn_arena(tx), &state));
	if (state.done[step->at])
		return NULL;
	if (mx_phase_of(m, &sql) == MX_PHASE_CONTRACT) {
		MX_TRY(mx_users_older(c, step->set->owner, m->number, &older));
		if (older.there)
			return mx_migrate_older_error(&older, step->set->owner, m->number);
	}
	MX_TRY(c->ops->exec(c->storage, sql));
	return mx_migrate_record(c, step->set->owner, m);
}

mx_error *
mx_migrate_alter(struct mx_db *db, const struct mx_migrate_step *step)
{
	int64_t until = mx_monotonic_us() + ALTER_PATIENCE_MS * INT64_C(1000);

	for (;;) {
		mx_error *e = mx_write_aside(db, alter, (void *)(uintptr_t)step);

		if (!mx_error_is(e, MX_E_UNAVAILABLE) || mx_monotonic_us() > until)
			return mx_migrate_named(e, step->set->owner, &step->set->v[step->at]);
		mx_error_free(&e);
		nanosleep(&(struct timespec){ .tv_nsec = ALTER_PAUSE_MS * 1000000L }, NULL);
	}
}

/* ---- what they cannot ---- */

static mx_error *
older_now(struct mx_db *db, const char *owner, uint32_t number, struct mx_older *out)
{
	MX_AUTO(mx_conn) *c = NULL;

	MX_TRY(mx_conn_get(db, &c));
	return mx_users_older(c, owner, number, out);
}

/* One that was killed looks as if it were there for a while; one that is shows a sign of life. */
static mx_error *
wait_for_older(struct mx_db *db, const char *owner, uint32_t number)
{
	struct mx_older first, now;

	MX_TRY(older_now(db, owner, number, &first));
	for (now = first; now.there;) {
		if (now.id == first.id && now.seen != first.seen)
			return mx_migrate_older_error(&now, owner, number);
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_EVERY_MS * 1000000L }, NULL);
		first = now;
		MX_TRY(older_now(db, owner, number, &now));
	}
	return NULL;
}

static mx_error *
apply_whole(struct mx_txn *tx, void *arg)
{
	const struct mx_migrate_step *step = arg;
	const struct mx_migration *m = &step->set->v[step->at];
	struct mx_conn *c = mx_txn_conn(tx);
	struct mx_migrated state;
	struct mx_older older;

	/* Another process may have been faster; the lock of the batch orders us. */
	MX_TRY(mx_migrate_state(c, step->set->owner, step->set->n, mx_txn_arena(tx), &state));
	if (state.done[step->at])
		return NULL;
	MX_TRY(mx_users_older(c, step->set->owner, m->number, &older));
	if (older.there)
		return mx_migrate_older_error(&older, step->set->owner, m->number);
	return apply(c, step->set->owner, m);
}

static mx_error *
go_whole(struct mx_db *db, const struct mx_migrate_step *step)
{
	struct mx_migration_set before = { step->set->owner, step->set->v, step->at };
	const struct mx_migration *m = &step->set->v[step->at];
	bool open;

	/* It may count on all that stands before it. */
	MX_TRY(wait_for_older(db, before.owner, m->number));
	MX_TRY(mx_migrate_work(db, &before, &(struct mx_migrate_pace){ .hurry = true }, &open));
	if (open)
		return mx_error_new(MX_E_UNAVAILABLE,
				    "what comes before migration %u of %s is being done by another "
				    "process: start again when it is done",
				    m->number, before.owner);
	return mx_migrate_named(mx_write(db, apply_whole, (void *)(uintptr_t)step), before.owner, m);
}

/* ---- one set ---- */

static mx_error *
read_state(struct mx_db *db, const struct mx_migration_set *set, struct mx_arena *a,
	   struct mx_migrated *out)
{
	MX_AUTO(mx_conn) *c = NULL;

	MX_TRY(check_numbers(set));
	MX_TRY(mx_conn_get(db, &c));
	return mx_migrate_state(c, set->owner, set->n, a, out);
}

mx_error *
mx_migrate_set(struct mx_db *db, const struct mx_migration_set *set)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_migrated state;

	MX_TRY(read_state(db, set, a, &state));
	/* The others know of us before anything is done, and what is contracted in the meantime is
	 * seen. */
	if (state.fresh || !mx_users_knows(db, set->owner, set->n)) {
		MX_TRY(mx_migrate_all(db, set, 1));
		MX_TRY(read_state(db, set, a, &state));
	}
	for (size_t i = 0; i < set->n && state.open > 0; i++) {
		struct mx_migrate_step step = { set, i };
		const char *sql;

		if (state.done[i])
			continue;
		switch (mx_phase_of(&set->v[i], &sql)) {
		case MX_PHASE_WHOLE:
			MX_TRY(go_whole(db, &step));
			break;
		case MX_PHASE_EXPAND:
			MX_TRY(mx_migrate_alter(db, &step));
			break;
		default:
			break;
		}
	}
	return NULL;
}

mx_error *
mx_migrate(struct mx_db *db, const char *owner, const struct mx_migration *m, size_t n)
{
	return mx_migrate_set(db, &(struct mx_migration_set){ owner, m, n });
}

/* ---- all at once ---- */

struct sets {
	const struct mx_migration_set *v;
	size_t n;
};

/* Those of a new owner; of another one what needs no waiting. */
static mx_error *
apply_set(struct mx_txn *tx, const struct mx_migration_set *set)
{
	struct mx_conn *c = mx_txn_conn(tx);
	struct mx_migrated state;
	struct mx_older older;
	const char *sql;

	MX_TRY(check_numbers(set));
	MX_TRY(mx_migrate_state(c, set->owner, set->n, mx_txn_arena(tx), &state));
	for (size_t i = 0; i < set->n; i++) {
		const struct mx_migration *m = &set->v[i];

		if (state.done[i])
			continue;
		if (!state.fresh) {
			if (mx_phase_of(m, &sql) != MX_PHASE_WHOLE)
				return NULL;
			MX_TRY(mx_users_older(c, set->owner, m->number, &older));
			if (older.there)
				return NULL;
		}
		MX_TRY(mx_migrate_named(apply(c, set->owner, m), set->owner, m));
	}
	return NULL;
}

static mx_error *
apply_sets(struct mx_txn *tx, void *arg)
{
	const struct sets *sets = arg;

	for (size_t i = 0; i < sets->n; i++)
		MX_TRY(apply_set(tx, &sets->v[i]));
	return mx_users_note(tx->db, mx_txn_conn(tx), sets->v, sets->n);
}

mx_error *
mx_migrate_all(struct mx_db *db, const struct mx_migration_set *sets, size_t n)
{
	MX_TRY(mx_write(db, apply_sets, &(struct sets){ sets, n }));
	for (size_t i = 0; i < n; i++)
		mx_users_learn(db, sets[i].owner, sets[i].n);
	return NULL;
}

/* ---- core/sql's own, which all of this stands on ---- */

static mx_error *
make_tables(struct mx_txn *tx, void *arg)
{
	struct mx_conn *c = mx_txn_conn(tx);

	(void)arg;
	MX_TRY(mx_conn_check(
		c,
		c->ops->exec(c->storage,
			     "CREATE TABLE IF NOT EXISTS migration (owner TEXT NOT NULL, number "
			     "BIGINT NOT NULL, "
			     "applied BIGINT NOT NULL, PRIMARY KEY (owner, number)) {unkeyed};\n")));
	struct mx_query *q = mx_query(c, &LAST);
	mx_bind_str(q, 1, mx_str_of(OWN.owner));
	int64_t last = mx_query_next(q) ? mx_col_int(q, 0) : 0;
	MX_TRY(mx_query_end(q));
	if (last > (int64_t)OWN.n)
		return mx_migrate_check(c, OWN.owner, OWN.n);
	for (size_t i = (size_t)last; i < OWN.n; i++)
		MX_TRY(mx_migrate_named(apply(c, OWN.owner, &OWN.v[i]), OWN.owner, &OWN.v[i]));
	return NULL;
}

mx_error *
mx_migrate_prepare(struct mx_db *db)
{
	return mx_write(db, make_tables, NULL);
}
