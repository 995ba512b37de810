#include "config.h"

#include <pthread.h>

#include "core/runtime/jobs.h"
#include "core/sql/db.h"

static const struct mx_migration MIGRATIONS[] = {
	{ 1, "who runs the jobs that only one process runs",
	  "CREATE TABLE job_lease (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until BIGINT NOT "
	  "NULL)" },
};
static const struct mx_sql TAKE = MX_SQL(
	"INSERT INTO job_lease (name, holder, until) VALUES ($1, $2, $3) "
	"ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until "
	"WHERE job_lease.until < $4 OR job_lease.holder = excluded.holder RETURNING until");
static const struct mx_sql GIVE =
	MX_SQL("UPDATE job_lease SET until = $3 WHERE name = $1 AND holder = $2");

static char holder[17];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
make_holder(void)
{
	mx_random_text(holder, sizeof(holder) - 1);
}

struct lease {
	const char *name;
	mx_msec until;
	bool mine;
};

static mx_error *
take(struct mx_txn *tx, void *arg)
{
	struct lease *l = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &TAKE);

	mx_bind_str(q, 1, mx_str_of(l->name));
	mx_bind_str(q, 2, mx_str_of(holder));
	mx_bind_int(q, 3, l->until);
	mx_bind_int(q, 4, mx_now());
	l->mine = mx_query_next(q);
	return mx_query_end(q);
}

static mx_error *
give(struct mx_txn *tx, void *arg)
{
	struct lease *l = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &GIVE);

	mx_bind_str(q, 1, mx_str_of(l->name));
	mx_bind_str(q, 2, mx_str_of(holder));
	mx_bind_int(q, 3, l->until);
	return mx_query_run(q);
}

const struct mx_migration_set mx_lease_tables = { "runtime", MIGRATIONS,
						  sizeof(MIGRATIONS) / sizeof(MIGRATIONS[0]) };

mx_error *
mx_lease_take(struct mx_db *db, const char *name, mx_msec lease, bool *mine)
{
	struct lease l = { name, mx_now() + lease, false };
	mx_error *e;

	pthread_once(&once, make_holder);
	e = mx_write_aside(db, take, &l);
	*mine = l.mine && e == NULL;
	return e;
}

mx_error *
mx_lease_give(struct mx_db *db, const char *name, mx_msec rest)
{
	struct lease l = { name, mx_now() + rest, false };

	return mx_write_aside(db, give, &l);
}
