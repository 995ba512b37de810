/* Migrations: what brings an owner's tables from any released form to today's, and the record of
 * it. */
#include "config.h"

#include "core/sql/impl.h"

const struct mx_migration mx_sql_migrations[] = {
	{ 1, "the stream's position",
	  "CREATE TABLE stream (one {key} CHECK (one = 1), pos BIGINT NOT NULL);\n"
	  "INSERT INTO stream (one, pos) VALUES (1, 0);\n" },
	{ 2, "interned strings",
	  "CREATE TABLE name (nid {key}, text TEXT NOT NULL UNIQUE);\n" },
	{ 3, "the last batch of each process that writes, where several may",
	  "CREATE TABLE writer (id {key}, batch BIGINT NOT NULL, seen BIGINT NOT NULL);\n" },
};
const size_t mx_sql_migration_count = sizeof(mx_sql_migrations) / sizeof(mx_sql_migrations[0]);

static const struct mx_sql APPLIED =
	MX_SQL("SELECT COALESCE(MAX(number), 0) FROM migration WHERE owner = $1");
static const struct mx_sql RECORD =
	MX_SQL("INSERT INTO migration (owner, number, applied) VALUES ($1, $2, {now})");

static mx_error *
make_table(struct mx_txn *tx, void *arg)
{
	struct mx_conn *c = mx_txn_conn(tx);

	(void)arg;
	return mx_conn_check(
		c,
		c->ops->exec(c->storage,
			     "CREATE TABLE IF NOT EXISTS migration (owner TEXT NOT NULL, number "
			     "BIGINT NOT NULL, "
			     "applied BIGINT NOT NULL, PRIMARY KEY (owner, number)) {unkeyed};\n"));
}

mx_error *
mx_migrate_prepare(struct mx_db *db)
{
	return mx_write(db, make_table, NULL);
}

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

mx_error *
mx_migrate(struct mx_db *db, const char *owner, const struct mx_migration *m, size_t n)
{
	MX_AUTO(mx_conn) *c = NULL;
	int64_t last;

	for (size_t i = 0; i < n; i++)
		if (m[i].number != i + 1)
			return mx_error_new(
				MX_E_CONFIG,
				"the migrations of %s are not numbered from 1 without a gap",
				owner);
	MX_TRY(mx_conn_get(db, &c));
	MX_TRY(applied(c, owner, &last));
	mx_conn_put(&c);
	if (last > (int64_t)n)
		return mx_error_new(MX_E_CONFIG,
				    "the tables of %s are newer (%lld) than this program knows "
				    "(%zu): install a newer one",
				    owner, (long long)last, n);
	for (size_t i = (size_t)last; i < n; i++) {
		struct step step = { owner, &m[i] };
		MX_TRY(mx_error_wrap(mx_write(db, apply, &step), "migration %u of %s (%s)",
				     m[i].number, owner, m[i].what));
	}
	return NULL;
}
