/* Statements and reading. */
#include "config.h"

#include "tests/unit/sql/rules.h"

static const struct mx_sql GET = MX_SQL("SELECT id, name, data FROM item WHERE id = $1");
static const struct mx_sql ALL = MX_SQL("SELECT id FROM item ORDER BY id");
static const struct mx_sql BAD = MX_SQL("SELECT nonsense FROM nowhere");

static int64_t
ask_on(struct mx_conn *c, const struct mx_sql *sql)
{
	struct mx_query *q = mx_query(c, sql);
	int64_t v = mx_query_next(q) ? mx_col_int(q, 0) : -1;

	assert_ok(mx_query_end(q));
	return v;
}

/* ---- statements ---- */

static mx_error *
add_kinds(struct mx_txn *tx, void *arg)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &ADD);

	(void)arg;
	mx_bind_int(q, 1, INT64_C(9007199254740993));
	mx_bind_str(q, 2, MX_S(""));
	mx_bind_blob(q, 3, "\0\xff\\x'", 5);
	return mx_query_run(q);
}

static void
values_come_back_as_they_were_bound(void **state)
{
	MX_AUTO(mx_conn) *c = NULL;

	(void)state;
	assert_ok(mx_write(db, add_kinds, NULL));
	assert_ok(mx_conn_get(db, &c));
	struct mx_query *q = mx_query(c, &GET);
	mx_bind_int(q, 1, INT64_C(9007199254740993));
	assert_true(mx_query_next(q));
	assert_true(mx_col_int(q, 0) == INT64_C(9007199254740993));
	assert_false(mx_col_null(q, 1));
	assert_non_null(mx_col_str(q, 1).p);
	assert_int_equal(mx_col_str(q, 1).n, 0);
	assert_int_equal(mx_col_str(q, 2).n, 5);
	assert_memory_equal(mx_col_str(q, 2).p, "\0\xff\\x'", 5);
	assert_false(mx_query_next(q));
	assert_false(mx_query_next(q));
	assert_ok(mx_query_end(q));
}

static void
null_reads_as_nothing(void **state)
{
	struct add a = { .id = 1 };
	MX_AUTO(mx_conn) *c = NULL;

	(void)state;
	assert_ok(mx_write(db, add, &a));
	assert_ok(mx_conn_get(db, &c));
	struct mx_query *q = mx_query(c, &GET);
	mx_bind_int(q, 1, 1);
	assert_true(mx_query_next(q));
	assert_true(mx_col_null(q, 1));
	assert_null(mx_col_str(q, 1).p);
	assert_int_equal(mx_col_int(q, 2), 0);
	assert_ok(mx_query_end(q));
}

static void
numbers_of_all_kinds_read_alike(void **state)
{
	static const struct mx_sql KINDS =
		MX_SQL("SELECT COUNT(*), SUM(id), -SUM(id) * 100000, MAX(id) = 3, EXISTS (SELECT 1 FROM item WHERE id = 9), "
		       "1, SUM(id) * 0, CAST(7 AS INTEGER), name FROM item GROUP BY name");
	static const int64_t wanted[] = { 3, 6, -600000, 1, 0, 1, 0, 7 };
	MX_AUTO(mx_conn) *c = NULL;
	char text[24];

	(void)state;
	for (int i = 1; i <= 3; i++)
		assert_ok(mx_write(db, add, &(struct add){ .id = i }));
	assert_ok(mx_conn_get(db, &c));
	struct mx_query *q = mx_query(c, &KINDS);
	assert_true(mx_query_next(q));
	for (int i = 0; i < 8; i++) {
		assert_int_equal(mx_col_int(q, i), wanted[i]);
		snprintf(text, sizeof(text), "%lld", (long long)wanted[i]);
		assert_true(mx_str_eq(mx_col_str(q, i), mx_str_of(text)));
	}
	assert_true(mx_col_null(q, 8));
	assert_ok(mx_query_end(q));
}

static void
a_parameter_has_the_type_that_was_bound(void **state)
{
	static const struct mx_sql ECHO = MX_SQL("SELECT $1, $2, COALESCE($3, 5) + 1 FROM (SELECT 1) AS one "
					       "WHERE $4 = 2 OR $4 IS NULL");
	MX_AUTO(mx_conn) *c = NULL;

	(void)state;
	assert_ok(mx_conn_get(db, &c));
	for (int round = 0; round < 3; round++) {
		struct mx_query *q = mx_query(c, &ECHO);
		mx_bind_int(q, 1, -1);
		mx_bind_str(q, 2, MX_S("two"));
		if (round == 1)
			mx_bind_int(q, 3, 40);
		else
			mx_bind_null(q, 3);
		if (round == 2)
			mx_bind_int(q, 4, 2);
		else
			mx_bind_null(q, 4);
		assert_true(mx_query_next(q));
		assert_int_equal(mx_col_int(q, 0), -1);
		assert_true(mx_str_eq(mx_col_str(q, 1), MX_S("two")));
		assert_int_equal(mx_col_int(q, 2), round == 1 ? 41 : 6);
		assert_ok(mx_query_end(q));
	}
}

static void
a_statement_may_be_open_several_times(void **state)
{
	MX_AUTO(mx_conn) *c = NULL;
	int64_t sum = 0;

	(void)state;
	for (int i = 1; i <= 3; i++)
		assert_ok(mx_write(db, add, &(struct add){ .id = i }));
	assert_ok(mx_conn_get(db, &c));
	struct mx_query *outer = mx_query(c, &ALL);
	while (mx_query_next(outer)) {
		struct mx_query *inner = mx_query(c, &ALL);
		while (mx_query_next(inner))
			sum += mx_col_int(outer, 0) * mx_col_int(inner, 0);
		assert_ok(mx_query_end(inner));
	}
	assert_ok(mx_query_end(outer));
	assert_int_equal(sum, 36);
	assert_int_equal(mx_conn_statements(c), 4);
	assert_int_equal(mx_conn_statements(c), 0);
}

static void
an_error_sticks_until_the_end_of_the_query(void **state)
{
	MX_AUTO(mx_conn) *c = NULL;

	(void)state;
	assert_ok(mx_conn_get(db, &c));
	struct mx_query *q = mx_query(c, &BAD);
	mx_bind_int(q, 1, 1);
	assert_false(mx_query_next(q));
	assert_int_equal(mx_col_int(q, 0), 0);
	assert_code(mx_query_end(q), MX_E_UNKNOWN);
	q = mx_query(c, &GET);
	mx_bind_str(q, 1, (mx_str){ "a\0b", 3 });
	assert_false(mx_query_next(q));
	assert_code(mx_query_end(q), MX_E_INVALID_PARAM);
	q = mx_query(c, &COUNT);
	assert_true(mx_query_next(q));
	assert_ok(mx_query_end(q));
}

static void
a_reused_address_is_another_statement(void **state)
{
	MX_AUTO(mx_conn) *c = NULL;
	struct mx_sql *s = malloc(sizeof(*s));

	(void)state;
	s->text = "SELECT 1";
	assert_ok(mx_conn_get(db, &c));
	struct mx_query *q = mx_query(c, s);
	assert_true(mx_query_next(q));
	assert_int_equal(mx_col_int(q, 0), 1);
	assert_ok(mx_query_end(q));
	s->text = "SELECT 2";
	q = mx_query(c, s);
	assert_true(mx_query_next(q));
	assert_int_equal(mx_col_int(q, 0), 2);
	assert_ok(mx_query_end(q));
	free(s);
}

struct many_sql {
	struct mx_conn *c;
	const struct mx_sql *sql;
	int n;
};

static mx_error *
ask_many(struct mx_txn *tx, void *arg)
{
	struct many_sql *m = arg;

	for (int i = 0; i < m->n; i++) {
		struct mx_query *q = mx_query(m->c != NULL ? m->c : mx_txn_conn(tx), &m->sql[i]);
		if (!mx_query_next(q) || mx_col_int(q, 0) != i)
			abort();
		MX_TRY(mx_query_end(q));
	}
	return NULL;
}

static void
a_connection_keeps_a_bounded_number_of_statements(void **state)
{
	MX_AUTO(mx_conn) *c = NULL;
	static struct mx_sql many[600];
	static char text[600][24];

	(void)state;
	assert_ok(mx_conn_get(db, &c));
	for (int i = 0; i < 600; i++) {
		snprintf(text[i], sizeof(text[i]), "SELECT %d", i);
		many[i].text = text[i];
	}
	struct many_sql m = { c, many, 600 };
	assert_ok(ask_many(NULL, &m));
	assert_ok(ask_many(NULL, &m));
	m.c = NULL;
	assert_ok(mx_write(db, ask_many, &m));
	assert_ok(mx_write(db, ask_many, &m));
}

/* ---- reading ---- */

static void
a_snapshot_does_not_see_later_writes(void **state)
{
	MX_AUTO(mx_conn) *c = NULL;

	(void)state;
	assert_ok(mx_write(db, add, &(struct add){ .id = 1 }));
	assert_ok(mx_conn_get(db, &c));
	assert_ok(mx_snapshot_begin(c));
	struct mx_query *q = mx_query(c, &COUNT);
	assert_true(mx_query_next(q));
	assert_int_equal(mx_col_int(q, 0), 1);
	assert_ok(mx_query_end(q));
	assert_ok(mx_write(db, add, &(struct add){ .id = 2 }));
	q = mx_query(c, &COUNT);
	assert_true(mx_query_next(q));
	assert_int_equal(mx_col_int(q, 0), 1);
	assert_ok(mx_query_end(q));
	mx_snapshot_end(c);
	q = mx_query(c, &COUNT);
	assert_true(mx_query_next(q));
	assert_int_equal(mx_col_int(q, 0), 2);
	assert_ok(mx_query_end(q));
}

static void
a_reader_cannot_write(void **state)
{
	MX_AUTO(mx_conn) *c = NULL;

	(void)state;
	assert_ok(mx_conn_get(db, &c));
	mx_error *e = mx_query_run(mx_query(c, &EMPTY));
	assert_non_null(e);
	mx_error_free(&e);
}

static void
who_waits_too_long_for_a_connection_is_told(void **state)
{
	struct mx_db_options o;
	struct mx_conn *one, *two, *three = NULL;

	(void)state;
	mx_db_close(&db);
	mx_db_options_default(&o);
	o.readers = 2;
	o.read_wait.ms = 20;
	assert_ok(place_open(&db, &o));
	assert_ok(mx_conn_get(db, &one));
	assert_ok(mx_conn_get(db, &two));
	assert_code(mx_conn_get(db, &three), MX_E_UNAVAILABLE);
	assert_null(three);
	mx_conn_put(&one);
	assert_ok(mx_conn_get(db, &three));
	mx_conn_put(&three);
	mx_conn_put(&two);
}

static void *
put_soon(void *arg)
{
	struct mx_conn *c = arg;

	usleep(20000);
	mx_conn_put(&c);
	return NULL;
}

static void
who_waits_gets_the_connection_that_is_put_back(void **state)
{
	struct mx_db_options o;
	struct mx_conn *one, *two;
	pthread_t t;

	(void)state;
	mx_db_close(&db);
	mx_db_options_default(&o);
	o.readers = 1;
	assert_ok(place_open(&db, &o));
	assert_ok(mx_conn_get(db, &one));
	pthread_create(&t, NULL, put_soon, one);
	assert_ok(mx_conn_get(db, &two));
	pthread_join(t, NULL);
	mx_conn_put(&two);
}

static void
a_connection_rests(void **state)
{
	struct add a = { .id = 1, .name = "one" };
	struct mx_db_options o;
	struct mx_conn *one, *two;
	struct mx_query *q;

	(void)state;
	mx_db_close(&db);
	mx_db_options_default(&o);
	o.readers = 1;
	o.read_wait.ms = 10;
	assert_ok(place_open(&db, &o));
	assert_ok(mx_write(db, add, &a));
	assert_ok(mx_conn_get(db, &one));
	for (int i = 0; i < 3; i++) {
		q = mx_query(one, &GET);
		mx_bind_int(q, 1, 1);
		assert_true(mx_query_next(q));
		/* Not while somebody reads. */
		mx_conn_rest(one);
		assert_int_equal(mx_col_int(q, 0), 1);
		assert_ok(mx_query_end(q));
		assert_code(mx_conn_get(db, &two), MX_E_UNAVAILABLE);
		mx_conn_rest(one);
		mx_conn_rest(one);
		assert_ok(mx_conn_get(db, &two));
		assert_int_equal(ask_on(two, &COUNT), 1);
		if (i < 2) {
			mx_conn_put(&two);
			continue;
		}
		/* Who wakes waits as others do. */
		q = mx_query(one, &COUNT);
		assert_false(mx_query_next(q));
		assert_code(mx_query_end(q), MX_E_UNAVAILABLE);
		mx_conn_put(&one);
		mx_conn_put(&two);
	}
	/* Nor inside of a snapshot; and one that rests may be put back. */
	assert_ok(mx_conn_get(db, &one));
	mx_conn_rest(one);
	assert_ok(mx_snapshot_begin(one));
	mx_conn_rest(one);
	assert_code(mx_conn_get(db, &two), MX_E_UNAVAILABLE);
	mx_snapshot_end(one);
	mx_conn_rest(one);
	mx_conn_put(&one);
	assert_ok(mx_conn_get(db, &two));
	mx_conn_put(&two);
}

int
reading_rules(void)
{
	const struct CMUnitTest tests[] = {
		RULE(values_come_back_as_they_were_bound),
		RULE(null_reads_as_nothing),
		RULE(numbers_of_all_kinds_read_alike),
		RULE(a_parameter_has_the_type_that_was_bound),
		RULE(a_statement_may_be_open_several_times),
		RULE(an_error_sticks_until_the_end_of_the_query),
		RULE(a_reused_address_is_another_statement),
		RULE(a_connection_keeps_a_bounded_number_of_statements),
		RULE(a_snapshot_does_not_see_later_writes),
		RULE(a_reader_cannot_write),
		RULE(who_waits_too_long_for_a_connection_is_told),
		RULE(who_waits_gets_the_connection_that_is_put_back),
		RULE(a_connection_rests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
