/* Migrations: what brings an owner's tables from any released form to today's, and the record of
 * it. */
#include "config.h"

#include "core/sql/impl.h"

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
};

static const struct mx_sql APPLIED =
	MX_SQL("SELECT COALESCE(MAX(number), 0) FROM migration WHERE owner = $1");
static const struct mx_sql RECORD =
	MX_SQL("INSERT INTO migration (owner, number, applied) VALUES ($1, $2, {now})");

static mx_error *
applied(struct mx_conn *c, const char *owner, int64_t *out)
{
	struct mx_query *q = mx_query(c, &APPLIED);

	mx_bind_str(q, 1, mx_str_of(owner));
	*out = mx_query_next(q) ? mx_col_int(q, 0) : 0;
	return mx_query_end(q);
}

struct step {
	const char *owner;
	const struct mx_migration *m;
};

static mx_error *
apply(struct mx_txn *tx, void *arg)
{
	const struct step *step = arg;
	struct mx_conn *c = mx_txn_conn(tx);
	int64_t last;

	/* Another process may have been faster; the lock of the batch orders us. */
	MX_TRY(applied(c, step->owner, &last));
	if (last >= step->m->number)
		return NULL;
	MX_TRY(mx_conn_check(c, c->ops->exec(c->storage, step->m->sql)));
	struct mx_query *q = mx_query(c, &RECORD);
	mx_bind_str(q, 1, mx_str_of(step->owner));
	mx_bind_int(q, 2, step->m->number);
	return mx_query_run(q);
}

static mx_error *
named(mx_error *e, const struct step *step)
{
	return mx_error_wrap(e, "migration %u of %s (%s)", step->m->number, step->owner,
			     step->m->what);
}

/* ---- one after the other ---- */

static mx_error *
check(const struct mx_migration_set *set, int64_t last)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->v[i].number != i + 1)
			return mx_error_new(
				MX_E_CONFIG,
				"the migrations of %s are not numbered from 1 without a gap",
				set->owner);
	if (last > (int64_t)set->n)
		return mx_error_new(MX_E_CONFIG,
				    "the tables of %s are newer (%lld) than this program knows "
				    "(%zu): install a newer one",
				    set->owner, (long long)last, set->n);
	return NULL;
}

mx_error *
mx_migrate(struct mx_db *db, const char *owner, const struct mx_migration *m, size_t n)
{
	struct mx_migration_set set = { owner, m, n };
	MX_AUTO(mx_conn) *c = NULL;
	int64_t last;

	MX_TRY(mx_conn_get(db, &c));
	MX_TRY(applied(c, owner, &last));
	mx_conn_put(&c);
	MX_TRY(check(&set, last));
	for (size_t i = (size_t)last; i < n; i++) {
		struct step step = { owner, &m[i] };
		MX_TRY(named(mx_write(db, apply, &step), &step));
	}
	return NULL;
}

mx_error *
mx_migrate_set(struct mx_db *db, const struct mx_migration_set *set)
{
	return mx_migrate(db, set->owner, set->v, set->n);
}

/* ---- all at once ---- */

struct sets {
	const struct mx_migration_set *v;
	size_t n;
};

static mx_error *
apply_sets(struct mx_txn *tx, void *arg)
{
	const struct sets *sets = arg;
	int64_t last;

	for (size_t i = 0; i < sets->n; i++) {
		MX_TRY(applied(mx_txn_conn(tx), sets->v[i].owner, &last));
		MX_TRY(check(&sets->v[i], last));
		for (size_t k = (size_t)last; k < sets->v[i].n; k++) {
			struct step step = { sets->v[i].owner, &sets->v[i].v[k] };
			MX_TRY(named(apply(tx, &step), &step));
		}
	}
	return NULL;
}

mx_error *
mx_migrate_all(struct mx_db *db, const struct mx_migration_set *sets, size_t n)
{
	return mx_write(db, apply_sets, &(struct sets){ sets, n });
}

/* ---- core/sql's own ---- */

static mx_error *
make_tables(struct mx_txn *tx, void *arg)
{
	struct mx_conn *c = mx_txn_conn(tx);

	MX_TRY(mx_conn_check(
		c,
		c->ops->exec(c->storage,
			     "CREATE TABLE IF NOT EXISTS migration (owner TEXT NOT NULL, number "
			     "BIGINT NOT NULL, "
			     "applied BIGINT NOT NULL, PRIMARY KEY (owner, number)) {unkeyed};\n")));
	return apply_sets(tx, arg);
}

mx_error *
mx_migrate_prepare(struct mx_db *db)
{
	static const struct mx_migration_set own = { "sql", MIGRATIONS,
						     sizeof(MIGRATIONS) /
							     sizeof(MIGRATIONS[0]) };

	return mx_write(db, make_tables, &(struct sets){ &own, 1 });
}
