/* What the tests of core/sql share: a database in a directory of its own. */
#ifndef TESTS_SQL_COMMON_H
#define TESTS_SQL_COMMON_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/sql/db.h"

/* Fails the test with the error's text. */
static inline void
ok_at(mx_error *e, const char *file, int line)
{
	if (e == NULL)
		return;
	print_error("%s:%d: %s\n", file, line, mx_error_text(e));
	mx_error_free(&e);
	_fail(file, line);
}
#define assert_ok(e) ok_at((e), __FILE__, __LINE__)

/* Fails unless e has the code; frees it. */
static inline void
code_at(mx_error *e, enum mx_code code, const char *file, int line)
{
	if (!mx_error_is(e, code)) {
		print_error("%s:%d: %s\n", file, line, e != NULL ? mx_error_text(e) : "no error");
		_fail(file, line);
	}
	mx_error_free(&e);
}
#define assert_code(e, code) code_at((e), (code), __FILE__, __LINE__)

/* One statement without rows, in a write of its own. */
struct do_sql {
	const struct mx_sql *sql;
};

static inline mx_error *
do_sql_fn(struct mx_txn *tx, void *arg)
{
	return mx_query_run(mx_query(mx_txn_conn(tx), ((struct do_sql *)arg)->sql));
}

static inline int64_t
ask_int(struct mx_db *db, const struct mx_sql *sql)
{
	MX_AUTO(mx_conn) *c = NULL;

	assert_ok(mx_conn_get(db, &c));
	struct mx_query *q = mx_query(c, sql);
	int64_t v = mx_query_next(q) ? mx_col_int(q, 0) : -1;
	assert_ok(mx_query_end(q));
	return v;
}

#endif
