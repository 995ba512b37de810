/* The rules of <myelin/sql.h>; linked with each kind of database (place.h), and what their files
 * share. */
#include "config.h"

#include <myelin/log.h>

#include "tests/unit/sql/rules.h"

struct mx_db *db;

const struct mx_migration migrations[2] = {
	{ 1, "a table", "CREATE TABLE item (id {key}, name TEXT UNIQUE, data {blob});\n" },
	{ 2, "another; with a semicolon",
	  "CREATE TABLE pair (a BIGINT NOT NULL, b TEXT NOT NULL, PRIMARY KEY (a, b)) {unkeyed};\n"
	  "CREATE INDEX pair_b ON pair (b);\n" },
};

const struct mx_sql COUNT = MX_SQL("SELECT COUNT(*) FROM item");
const struct mx_sql EMPTY = MX_SQL("DELETE FROM item");
const struct mx_sql ADD = MX_SQL("INSERT INTO item (id, name, data) VALUES ($1, $2, $3)");

int
fresh(void **state)
{
	(void)state;
	assert_ok(place_open(&db, NULL));
	assert_ok(mx_migrate(db, "test", migrations, 2));
	assert_ok(mx_write(db, do_sql_fn, &(struct do_sql){ &EMPTY }));
	return 0;
}

int
gone(void **state)
{
	(void)state;
	mx_db_close(&db);
	return 0;
}

static void
add_after(void *arg, bool committed)
{
	struct add *a = arg;

	if (committed)
		a->after_true++;
	else
		a->after_false++;
}

mx_error *
add(struct mx_txn *tx, void *arg)
{
	struct add *a = arg;

	mx_txn_after(tx, add_after, a);
	if (a->position)
		a->pos = mx_txn_pos(tx);
	struct mx_query *q = mx_query(mx_txn_conn(tx), &ADD);
	mx_bind_int(q, 1, a->id);
	mx_bind_str(q, 2, mx_str_of(a->name));
	mx_bind_null(q, 3);
	MX_TRY(mx_query_run(q));
	if (a->read) {
		q = mx_query(mx_txn_conn(tx), &COUNT);
		mx_query_next(q);
		MX_TRY(mx_query_end(q));
	}
	return a->fail != 0 ? mx_error_new(a->fail, "as asked") : NULL;
}

mx_error *
intern(struct mx_txn *tx, void *arg)
{
	struct intern *in = arg;

	MX_TRY(mx_name_intern(tx, mx_str_of(in->text), &in->nid));
	return in->fail ? mx_error_new(MX_E_AGAIN, "as asked") : NULL;
}

int
main(void)
{
	if (!place_start())
		return 77;
	assert_ok(mx_log_levels("error,sql=error"));
	int failed = reading_rules() + writing_rules() + names_rules() + sharing_rules() + phases_rules();
	place_stop();
	return failed;
}
