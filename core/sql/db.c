/* Opening and closing the database, its options and its counters. */
#include "config.h"

#include <stdlib.h>

#include "core/sql/impl.h"

const struct mx_option mx_db_option_rows[] = {
	MX_OPT(struct mx_db_options, url, .def = "sqlite:/var/lib/myelin/myelin.db",
	       .flags = MX_OPT_SECRET,		/* it may hold a password */
	       .help = "The database: sqlite:PATH or postgres:CONNINFO."),
	MX_OPT(struct mx_db_options, readers, .def = "24", .min = 1, .max = 1000,
	       .help = "The most connections for reading; opened as they are needed. At least as "
		       "many as workers."),
	MX_OPT(struct mx_db_options, batch, .def = "256", .min = 1, .max = 10000,
	       .help = "The most writes that are committed together."),
	MX_OPT(struct mx_db_options, queue, .def = "4096", .min = 1, .max = 1000000,
	       .help = "The most writes that wait; more are answered \"try again later\"."),
	MX_OPT(struct mx_db_options, name_cache, .def = "20000", .min = 16, .max = 10000000,
	       .help = "Interned strings (user ids, event types) that are kept in memory."),
	MX_OPT(struct mx_db_options, read_wait, .def = "10s", .min = 1, .max = 600000,
	       .help = "How long a request waits for a connection for reading."),
	MX_OPT(struct mx_db_options, write_wait, .def = "5s", .min = 1, .max = 600000,
	       .help = "How long a write waits while the database cannot be reached."),
	MX_OPT(struct mx_db_options, poll, .def = "5s", .min = 10, .max = 600000,
	       .help = "How often a process looks at what others on the same database have written "
		       "if nobody tells it."),
};
const size_t mx_db_option_count = sizeof(mx_db_option_rows) / sizeof(mx_db_option_rows[0]);

void
mx_db_options_default(struct mx_db_options *o)
{
	*o = (struct mx_db_options){ .url = "sqlite:/var/lib/myelin/myelin.db",
				     .readers = 24,
				     .batch = 256,
				     .queue = 4096,
				     .name_cache = 20000,
				     .read_wait = { 10000 },
				     .write_wait = { 5000 },
				     .poll = { 5000 } };
}

mx_error *
mx_db_url(mx_str url, mx_str *provider, mx_str *where)
{
	if (mx_str_cut(url, ':', provider, where) && provider->n > 0)
		return NULL;
	*provider = *where = (mx_str){ NULL, 0 };
	return mx_error_new(MX_E_CONFIG, "[database] url must name its driver first, as in "
					 "sqlite:/var/lib/myelin/myelin.db");
}

mx_error *
mx_db_unavailable(const char *text)
{
	return mx_error_with(mx_error_new(MX_E_UNAVAILABLE, "%s", text), "retry_after_ms",
			     json_integer(2000));
}

mx_error *
mx_db_disk_fails(void)
{
	return mx_error_with(mx_error_new(MX_E_STORAGE, "The server cannot store anything now"),
			     "retry_after_ms", json_integer(10000));
}

mx_error *
mx_db_uncertain(void)
{
	return mx_error_with(mx_error_new(MX_E_UNCERTAIN, "It is not known whether this was stored"),
			     "retry_after_ms", json_integer(10000));
}

void
mx_sql_misuse(const char *what)
{
	fprintf(stderr, "myelin: a rule of <myelin/sql.h> was broken: %s\n", what);
	abort();
}

/* The tables of core/sql are there. What processes left behind that are gone goes after a day. */
static mx_error *
tables_are_there(struct mx_txn *tx, void *arg)
{
	static const struct mx_sql FORGET_GONE =
		MX_SQL("DELETE FROM writer WHERE seen < {now} - 86400000 "
		       "AND id <> (SELECT who FROM stream WHERE one = 1)");

	(void)arg;
	tx->db->writer.follows = true;
	return mx_query_run(mx_query(mx_txn_conn(tx), &FORGET_GONE));
}

static mx_error *
nothing(struct mx_txn *tx, void *arg)
{
	(void)tx;
	(void)arg;
	return NULL;
}

static mx_error *
bring_up(struct mx_db *db)
{
	MX_TRY(mx_migrate_prepare(db));
	/* From the next transaction on, each begins by reading the stream's position when that is
	 * in doubt. */
	MX_TRY(mx_write(db, tables_are_there, NULL));
	return mx_write(db, nothing, NULL);
}

mx_error *
mx_db_open(const struct mx_storage_ops *ops, const void *driver_options, mx_str where,
	   const struct mx_db_options *options, struct mx_db **out)
{
	*out = NULL;
	if (ops->size < offsetof(struct mx_storage_ops, patience))
		return mx_error_new(MX_E_CONFIG,
				    "the storage driver was built for another version");
	struct mx_db *db = mx_alloc(sizeof(*db));
	memcpy(&db->driver, ops, ops->size < sizeof(*ops) ? ops->size : sizeof(*ops));
	db->ops = &db->driver;
	if (options != NULL)
		db->options = *options;
	else
		mx_db_options_default(&db->options);
	db->options.url = NULL;
	mx_fresh_init(&db->fresh);
	mx_skew_init(&db->skew);
	mx_lineage_init(&db->lineage);
	mx_users_init(&db->users);
	mx_conn_pool_init(&db->readers, db, false, db->options.readers);
	mx_conn_pool_init(&db->asides, db, true, 2);
	db->names = mx_name_cache_new(db->options.name_cache);

	mx_error *e = ops->open(driver_options, where, &db->storage);
	if (e == NULL)
		e = mx_writer_start(db);
	if (e == NULL)
		e = bring_up(db);
	if (e != NULL) {
		mx_db_close(&db);
		return mx_error_wrap(e, "cannot open the database");
	}
	*out = db;
	return NULL;
}

void
mx_db_close(struct mx_db **dbp)
{
	struct mx_db *db = *dbp;

	if (db == NULL)
		return;
	*dbp = NULL;
	mx_db_unfollow(db);
	/* Who watched has gone before. */
	db->watch = (struct mx_db_watch){ 0 };
	mx_users_leave(db);
	mx_writer_stop(db);
	mx_conn_pool_end(&db->readers);
	mx_conn_pool_end(&db->asides);
	/* The writer's connection goes last: for SQLite it is the one that tidies up the files. */
	mx_conn_close(&db->writer.conn);
	if (db->storage != NULL)
		db->ops->close(&db->storage);
	mx_name_cache_free(&db->names);
	mx_fresh_end(&db->fresh);
	mx_skew_end(&db->skew);
	mx_lineage_end(&db->lineage);
	mx_users_end(&db->users);
	free(db);
}

mx_pos
mx_db_position(const struct mx_db *db)
{
	return atomic_load_explicit(&db->position, memory_order_acquire);
}

void
mx_db_set_watch(struct mx_db *db, const struct mx_db_watch *watch)
{
	db->watch = *watch;
}

mx_error *
mx_db_disk_size(struct mx_db *db, int64_t *out)
{
	MX_AUTO(mx_conn) *c = NULL;

	MX_TRY(mx_conn_get(db, &c));
	return mx_conn_check(c, db->ops->disk_size(c->storage, out));
}

mx_error *
mx_db_check(struct mx_db *db, char **report)
{
	MX_AUTO(mx_conn) *c = NULL;

	*report = NULL;
	MX_TRY(mx_conn_get(db, &c));
	return mx_conn_check(c, db->ops->check(c->storage, report));
}

void
mx_sql_stats(const struct mx_db *db, struct mx_sql_stats *out)
{
	out->statements = atomic_load_explicit(&db->statements, memory_order_relaxed);
	out->reads = atomic_load_explicit(&db->reads, memory_order_relaxed);
	out->batches = atomic_load_explicit(&db->batches, memory_order_relaxed);
	out->writes = atomic_load_explicit(&db->writes, memory_order_relaxed);
	out->lock_us = atomic_load_explicit(&db->lock_us, memory_order_relaxed);
	out->lock_wait_us = atomic_load_explicit(&db->lock_wait_us, memory_order_relaxed);
	out->retries = atomic_load_explicit(&db->retries, memory_order_relaxed);
}
