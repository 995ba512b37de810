/* The part of migrations that takes long: indexes, backfills, and contracting when the time has
 * come. */
#include "config.h"

#include <time.h>

#include <myelin/log.h>

#include "core/sql/impl.h"

enum {
	FIRST_ROWS = 100,
	BATCH_US = 20000,		/* how long one batch may keep the writer */
	HURRY_US = 200000,
	REST_FACTOR = 4,		/* pauses are this many times longer than batches */
	BEAT_EVERY_US = 2000000,
};

static const struct mx_sql PLACE =
	MX_SQL("SELECT place, alone, done, total, spent FROM migration_phase "
	       "WHERE owner = $1 AND number = $2");
static const struct mx_sql MOVE = MX_SQL(
	"INSERT INTO migration_phase (owner, number, phase, place, alone, done, total, spent) "
	"VALUES ($1, $2, 'backfill', $3, $4, $5, $6, $7) ON CONFLICT (owner, number) DO UPDATE SET "
	"place = excluded.place, alone = excluded.alone, done = excluded.done, "
	"total = excluded.total, spent = excluded.spent");

struct work {
	struct mx_db *db;
	const struct mx_migration_set *set;
	const struct mx_migration *m;
	const char *sql;
	const struct mx_migrate_pace *pace;
	int64_t beat, most;

	/* a backfill, as its row has it */
	int64_t place, done, total, spent;
	bool alone;			/* no older process was there when this pass began */
	bool waits, over;
	int64_t rows;			/* of the last batch */
};

/* Long enough at one thing for the others to wonder. */
static bool
is_stopped(void *arg)
{
	struct work *w = arg;

	if (mx_monotonic_us() - w->beat > BEAT_EVERY_US) {
		w->beat = mx_monotonic_us();
		(void)mx_error_drop(mx_db_beat(w->db));
	}
	return w->pace->stop != NULL && w->pace->stop(w->pace->arg);
}

/* ---- a backfill ---- */

mx_error *
mx_migrate_fill(struct mx_conn *c, const char *sql, int64_t most, int64_t *place, int64_t *rows)
{
	const struct mx_sql statement = { sql };
	struct mx_query *q = mx_query(c, &statement);
	int64_t from = *place;

	*rows = 0;
	mx_bind_int(q, 1, from);
	mx_bind_int(q, 2, most);
	for (; mx_query_next(q); ++*rows)
		if (mx_col_int(q, 0) > *place)
			*place = mx_col_int(q, 0);
	MX_TRY(mx_query_end(q));
	if (*rows > 0 && *place == from)
		return mx_error_new(MX_E_CONFIG, "a backfill returns no key behind the last one");
	return NULL;
}

mx_error *
mx_migrate_count(struct mx_conn *c, mx_str table, int64_t *out)
{
	MX_AUTO(mx_buf) *text = mx_buf_new(0);

	mx_buf_printf(text, "SELECT COUNT(*) FROM %.*s", MX_SFMT(table));
	const struct mx_sql count = { mx_buf_cstr(text) };
	struct mx_query *q = mx_query(c, &count);

	*out = mx_query_next(q) ? mx_col_int(q, 0) : -1;
	return mx_query_end(q);
}

static mx_error *
read_place(struct work *w)
{
	MX_AUTO(mx_conn) *c = NULL;

	MX_TRY(mx_conn_get(w->db, &c));
	struct mx_query *q = mx_query(c, &PLACE);
	mx_bind_str(q, 1, mx_str_of(w->set->owner));
	mx_bind_int(q, 2, w->m->number);
	bool found = mx_query_next(q);
	if (found) {
		w->place = mx_col_int(q, 0);
		w->alone = mx_col_int(q, 1) != 0;
		w->done = mx_col_int(q, 2);
		w->total = mx_col_int(q, 3);
		w->spent = mx_col_int(q, 4);
	}
	MX_TRY(mx_query_end(q));
	if (found)
		return NULL;
	w->place = INT64_MIN;
	mx_str table = mx_phase_table(w->sql);
	return table.n > 0 ? mx_migrate_count(c, table, &w->total) : NULL;
}

/* At the end of a pass that older processes may have written behind, there is another. */
static mx_error *
end_pass(struct work *w, struct mx_conn *c)
{
	struct mx_older older;

	if (w->alone) {
		w->over = true;
		return mx_migrate_record(c, w->set->owner, w->m);
	}
	MX_TRY(mx_users_older(c, w->set->owner, w->m->number, &older));
	w->waits = older.there;
	w->alone = !older.there;
	if (w->alone)
		w->place = INT64_MIN;
	return NULL;
}

struct fill {
	const struct work *from;
	struct work to;
};

static mx_error *
fill(struct mx_txn *tx, void *arg)
{
	struct fill *f = arg;
	struct work *w = &f->to;
	struct mx_conn *c = mx_txn_conn(tx);
	struct mx_older older;
	int64_t began = mx_monotonic_us();

	*w = *f->from;
	if (w->place == INT64_MIN) {
		MX_TRY(mx_users_older(c, w->set->owner, w->m->number, &older));
		w->alone = !older.there;
	}
	MX_TRY(mx_migrate_fill(c, w->sql, w->most, &w->place, &w->rows));
	w->done += w->rows;
	w->spent += mx_monotonic_us() - began;
	if (w->rows == 0)
		MX_TRY(end_pass(w, c));
	if (w->over)
		return NULL;
	struct mx_query *q = mx_query(c, &MOVE);
	mx_bind_str(q, 1, mx_str_of(w->set->owner));
	mx_bind_int(q, 2, w->m->number);
	mx_bind_int(q, 3, w->place);
	mx_bind_int(q, 4, w->alone);
	mx_bind_int(q, 5, w->done);
	mx_bind_int(q, 6, w->total);
	mx_bind_int(q, 7, w->spent);
	return mx_query_run(q);
}

static void
rest(const struct work *w, int64_t us)
{
	us *= REST_FACTOR;
	if (!w->pace->hurry)
		nanosleep(&(struct timespec){ .tv_sec = us / 1000000,
					      .tv_nsec = us % 1000000 * 1000 },
			  NULL);
}

static mx_error *
backfill(struct work *w, bool *open)
{
	int64_t aim = w->pace->hurry ? HURRY_US : BATCH_US;

	w->most = FIRST_ROWS;
	MX_TRY(read_place(w));
	while (!w->over) {
		if (is_stopped(w)) {
			*open = true;
			return NULL;
		}
		int64_t before = w->spent;
		struct fill f = { .from = w };

		MX_TRY(mx_write(w->db, fill, &f));
		*w = f.to;
		if (w->pace->progress != NULL)
			w->pace->progress(w->pace->arg, w->set->owner, w->m, w->done, w->total);
		if (w->waits) {
			*open = true;
			return NULL;
		}
		int64_t took = w->spent - before;
		if (took < aim / 2 && w->most < MX_FILL_MOST)
			w->most *= 2;
		else if (took > aim && w->most > 1)
			w->most /= 2;
		rest(w, took);
	}
	return NULL;
}

/* ---- an index ---- */

static mx_error *
record(struct mx_txn *tx, void *arg)
{
	struct work *w = arg;

	return mx_migrate_record(mx_txn_conn(tx), w->set->owner, w->m);
}

static mx_error *
index_beside(struct work *w)
{
	struct mx_db *db = w->db;
	struct mx_storage_conn *c;

	MX_TRY(db->ops->connect(db->storage, true, &c));
	mx_error *e = db->ops->index(c, w->sql, is_stopped, w);
	db->ops->disconnect(&c);
	return e != NULL ? e : mx_write_aside(db, record, w);
}

static mx_error *
build_index(struct work *w, const struct mx_migrate_step *step, bool *open)
{
	if (w->db->ops->index == NULL)
		return mx_migrate_alter(w->db, step);
	mx_error *e = mx_migrate_named(index_beside(w), w->set->owner, w->m);
	if (!mx_error_is(e, MX_E_AGAIN))
		return e;
	mx_error_free(&e);
	*open = true;
	return NULL;
}

/* ---- contracting ---- */

static mx_error *
contract(struct work *w, const struct mx_migrate_step *step, bool *open)
{
	MX_AUTO(mx_conn) *c = NULL;
	struct mx_older older;

	MX_TRY(mx_conn_get(w->db, &c));
	MX_TRY(mx_users_older(c, w->set->owner, w->m->number, &older));
	mx_conn_put(&c);
	*open = older.there;
	return older.there ? NULL : mx_migrate_alter(w->db, step);
}

/* ---- one after the other ---- */

static mx_error *
go_on(struct work *w, const struct mx_migrate_step *step, bool *open)
{
	int64_t began = mx_monotonic_us();
	mx_error *e = NULL;

	switch (mx_phase_of(w->m, &w->sql)) {
	case MX_PHASE_INDEX:
		e = build_index(w, step, open);
		break;
	case MX_PHASE_BACKFILL:
		e = backfill(w, open);
		break;
	case MX_PHASE_CONTRACT:
		e = contract(w, step, open);
		break;
	default:
		*open = true;
		break;
	}
	if (e == NULL && !*open)
		mx_log("sql", MX_INFO, "SQL021", "a migration is done",
		       mx_fz("owner", w->set->owner), mx_fi("number", w->m->number),
		       mx_fz("what", w->m->what), mx_fi("rows", w->done),
		       mx_fi("ms", (mx_monotonic_us() - began) / 1000));
	return e;
}

static mx_error *
state_of(struct mx_db *db, const struct mx_migration_set *set, struct mx_arena *a,
	 struct mx_migrated *out)
{
	MX_AUTO(mx_conn) *c = NULL;

	MX_TRY(mx_conn_get(db, &c));
	return mx_migrate_state(c, set->owner, set->n, a, out);
}

mx_error *
mx_migrate_work(struct mx_db *db, const struct mx_migration_set *set,
		const struct mx_migrate_pace *pace, bool *open)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_migrated state;
	bool mine = false;

	*open = false;
	MX_TRY(state_of(db, set, a, &state));
	if (state.open == 0)
		return NULL;
	MX_TRY(mx_users_hold(db, &mine));
	/* Somebody else may have done it while we were not the one. */
	if (mine)
		MX_TRY(state_of(db, set, a, &state));
	*open = !mine && state.open > 0;
	for (size_t i = 0; i < set->n && !*open; i++) {
		struct mx_migrate_step step = { set, i };
		struct work w = { .db = db, .set = set, .m = &set->v[i], .pace = pace };

		if (!state.done[i])
			MX_TRY(mx_migrate_named(go_on(&w, &step, open), set->owner, w.m));
	}
	return NULL;
}
