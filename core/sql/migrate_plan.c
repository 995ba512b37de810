/* What migrations are still to be done, and about how long each takes. */
#include "config.h"

#include "core/sql/impl.h"

enum {
	TRIAL_ROWS = 100,
	TRIAL_WAIT_MS = 250,
	INDEX_FACTOR = 8,		/* an index is read, sorted and written; counting only reads */
};

static const struct mx_sql PROGRESS =
	MX_SQL("SELECT done, spent FROM migration_phase WHERE owner = $1 AND number = $2");

struct plan {
	struct mx_db *db;
	const struct mx_migration_set *set;
	const struct mx_migrated *state;
	size_t at;
	int64_t trial_rows, trial_us;
	int64_t count_us;
};

/* One batch of a backfill, with what it needs that is not there yet; all of it is undone. */
static mx_error *
trial(struct mx_txn *tx, void *arg)
{
	struct plan *p = arg;
	struct mx_conn *c = mx_txn_conn(tx);
	int64_t place = INT64_MIN;
	const char *sql;

	if (c->ops->patience != NULL)
		MX_TRY(c->ops->patience(c->storage, TRIAL_WAIT_MS));
	for (size_t i = 0; i < p->at; i++)
		if (!p->state->done[i] && mx_phase_of(&p->set->v[i], &sql) == MX_PHASE_EXPAND)
			MX_TRY(c->ops->exec(c->storage, sql));
	(void)mx_phase_of(&p->set->v[p->at], &sql);
	int64_t began = mx_monotonic_us();
	MX_TRY(mx_migrate_fill(c, sql, TRIAL_ROWS, &place, &p->trial_rows));
	p->trial_us = mx_monotonic_us() - began;
	return mx_error_new(MX_E_AGAIN, "only measured");
}

static mx_error *
progress(struct plan *p, struct mx_conn *c, int64_t *done, int64_t *spent)
{
	struct mx_query *q = mx_query(c, &PROGRESS);

	mx_bind_str(q, 1, mx_str_of(p->set->owner));
	mx_bind_int(q, 2, p->set->v[p->at].number);
	*done = *spent = 0;
	if (mx_query_next(q)) {
		*done = mx_col_int(q, 0);
		*spent = mx_col_int(q, 1);
	}
	return mx_query_end(q);
}

static mx_error *
measure_backfill(struct plan *p, struct mx_conn *c, struct mx_migrate_row *row)
{
	int64_t spent;

	MX_TRY(progress(p, c, &row->done, &spent));
	int64_t rows = row->done, us = spent;
	if (rows == 0) {
		(void)mx_error_drop(mx_write_aside(p->db, trial, p));
		rows = p->trial_rows;
		us = p->trial_us;
	}
	if (rows > 0 && row->rows >= 0)
		row->ms = (row->rows > row->done ? row->rows - row->done : 0) * us / rows / 1000;
	else if (row->rows == 0)
		row->ms = 0;
	return NULL;
}

static mx_error *
look(struct plan *p, struct mx_migrate_row *row, struct mx_older *older)
{
	MX_AUTO(mx_conn) *c = NULL;
	const char *sql;
	enum mx_phase phase = mx_phase_of(row->m, &sql);
	mx_str table = mx_phase_table(sql);

	row->phase = mx_phase_name(phase);
	MX_TRY(mx_conn_get(p->db, &c));
	int64_t began = mx_monotonic_us();
	/* A table that is only about to be made has no rows to tell of. */
	if (table.n > 0 && mx_error_drop(mx_migrate_count(c, table, &row->rows)))
		row->rows = -1;
	p->count_us = mx_monotonic_us() - began;
	if (phase == MX_PHASE_BACKFILL)
		MX_TRY(measure_backfill(p, c, row));
	else if (phase == MX_PHASE_INDEX && row->rows >= 0)
		row->ms = p->count_us * INDEX_FACTOR / 1000;
	else if (phase == MX_PHASE_EXPAND)
		row->ms = 0;
	if (phase != MX_PHASE_EXPAND && phase != MX_PHASE_INDEX) {
		MX_TRY(mx_users_older(c, p->set->owner, row->m->number, older));
		row->waits = older->there ? older->who : NULL;
	}
	return NULL;
}

mx_error *
mx_migrate_plan(struct mx_db *db, const struct mx_migration_set *set,
		void (*fn)(void *arg, const struct mx_migrate_row *row), void *arg)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	MX_AUTO(mx_conn) *c = NULL;
	struct mx_migrated state;
	struct plan p = { .db = db, .set = set, .state = &state };
	struct mx_older older;

	MX_TRY(mx_conn_get(db, &c));
	MX_TRY(mx_migrate_state(c, set->owner, set->n, a, &state));
	mx_conn_put(&c);
	for (p.at = 0; p.at < set->n; p.at++) {
		struct mx_migrate_row row = { .owner = set->owner, .m = &set->v[p.at],
					      .rows = -1, .done = 0, .ms = -1 };

		if (state.done[p.at])
			continue;
		p.trial_rows = p.trial_us = 0;
		if (state.fresh)
			row.ms = 0;
		MX_TRY(look(&p, &row, &older));
		fn(arg, &row);
	}
	return NULL;
}
