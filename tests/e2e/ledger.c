/* A module in two versions: the second moves what the first keeps into another column, while both
 * run. Built with -DVERSION=1 or 2. */
#include <myelin/module.h>

#define FIRST { 1, "entries", "CREATE TABLE ledger_entry (id {key}, at BIGINT NOT NULL, note TEXT NOT NULL DEFAULT '');\n" }

#if VERSION == 1
static const struct mx_migration migrations[] = { FIRST };
static const struct mx_sql ADD =
	MX_SQL("INSERT INTO ledger_entry (id, at, note) VALUES ((SELECT COALESCE(MAX(id), 0) + 1 FROM ledger_entry), $1, 'old')");
#else
static const struct mx_migration migrations[] = {
	FIRST,
	{ 2, "the day of each entry", MX_EXPAND "ALTER TABLE ledger_entry ADD COLUMN day BIGINT;\n" },
	{ 3, "the days of those before",
	  MX_BACKFILL "UPDATE ledger_entry SET day = at / 10 WHERE id IN (SELECT id FROM ledger_entry WHERE id > $1 "
		      "AND day IS NULL ORDER BY id LIMIT $2) RETURNING id" },
	{ 4, "entries by day", MX_INDEX "CREATE INDEX ledger_entry_day ON ledger_entry (day)" },
	{ 5, "the note goes", MX_CONTRACT "ALTER TABLE ledger_entry DROP COLUMN note;\n" },
};
static const struct mx_sql ADD =
	MX_SQL("INSERT INTO ledger_entry (id, at, day) VALUES ((SELECT COALESCE(MAX(id), 0) + 1 FROM ledger_entry), $1, $1 / 10)");
#endif
static const struct mx_sql FILL =
	MX_SQL("INSERT INTO ledger_entry (id, at) WITH RECURSIVE g(i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM g WHERE i < $2) "
	       "SELECT i, i FROM g");
static const struct mx_sql COUNT = MX_SQL("SELECT COUNT(*) FROM ledger_entry");

static mx_error *
add(struct mx_txn *tx, void *arg)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &ADD);

	mx_bind_int(q, 1, *(int64_t *)arg);
	return mx_query_run(q);
}

static enum mx_outcome
post_entry(struct mx_request *rq)
{
	int64_t at = 70;
	mx_error *e = mx_write(mx_core_db(mx_request_core(rq)), add, &at);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

static const struct mx_route routes[] = {
	{ .method = "POST", .path = "/_matrix/client/unstable/org.example.ledger/entries", .handler = post_entry, .auth = MX_AUTH_USER },
};

static mx_error *
fill_all(struct mx_txn *tx, void *arg)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &FILL);

	mx_bind_int(q, 1, 1);
	mx_bind_int(q, 2, *(int64_t *)arg);
	return mx_query_run(q);
}

static mx_error *
fill(struct mx_module_self *self, const mx_str *args, size_t n, struct mx_buf *out)
{
	int64_t rows;

	(void)out;
	if (n != 1 || !mx_str_int(args[0], 1, 10000000, &rows))
		return mx_error_new(MX_E_BAD_REQUEST, "expected how many");
	return mx_write(mx_core_db(mx_self_core(self)), fill_all, &rows);
}

static mx_error *
ask(struct mx_module_self *self, const struct mx_sql *sql, struct mx_buf *out)
{
	MX_AUTO(mx_conn) *c = NULL;

	MX_TRY(mx_conn_get(mx_core_db(mx_self_core(self)), &c));
	struct mx_query *q = mx_query(c, sql);
	if (mx_query_next(q))
		mx_buf_printf(out, "%lld\n", (long long)mx_col_int(q, 0));
	return mx_query_end(q);
}

static mx_error *
count(struct mx_module_self *self, const mx_str *args, size_t n, struct mx_buf *out)
{
	(void)args, (void)n;
	return ask(self, &COUNT, out);
}

#if VERSION == 2
static mx_error *
unfilled(struct mx_module_self *self, const mx_str *args, size_t n, struct mx_buf *out)
{
	static const struct mx_sql UNFILLED = MX_SQL("SELECT COUNT(*) FROM ledger_entry WHERE day IS NULL OR day <> at / 10");

	(void)args, (void)n;
	return ask(self, &UNFILLED, out);
}
#endif

static const struct mx_command_row commands[] = {
	{ "ledger fill", "ROWS", "Makes entries.", fill },
	{ "ledger count", "", "Counts them.", count },
#if VERSION == 2
	{ "ledger unfilled", "", "Counts those without a day.", unfilled },
#endif
};

MX_MODULE(ledger) = {
	MX_MODULE_HEAD("ledger", VERSION == 1 ? "1.0" : "2.0", "Entries, in two versions"),
	.migrations = MX_TABLE(migrations),
	.routes = MX_TABLE(routes),
	.commands = MX_TABLE(commands),
};
