/* Names, migrations, and looking after the database. */
#include "config.h"

#include "tests/unit/sql/rules.h"

/* ---- names ---- */

static void
a_name_has_one_number_for_ever(void **state)
{
	MX_AUTO(mx_conn) *c = NULL;
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct intern one = { "@alice:example.org", 0, false },
		      two = { "@bob:example.org", 0, false };
	mx_nid nid;
	mx_str text;

	(void)state;
	assert_ok(mx_write(db, intern, &one));
	assert_ok(mx_write(db, intern, &two));
	assert_true(one.nid != 0 && two.nid != 0 && one.nid != two.nid);
	mx_db_close(&db);
	assert_ok(place_open(&db, NULL));
	assert_ok(mx_conn_get(db, &c));
	for (int i = 0; i < 2; i++) {
		assert_ok(mx_name_find(c, MX_S("@alice:example.org"), &nid));
		assert_int_equal(nid, one.nid);
		assert_ok(mx_name_text(c, two.nid, a, &text));
		assert_true(mx_str_eq(text, MX_S("@bob:example.org")));
	}
	/* The second round came from memory. */
	assert_int_equal(mx_conn_statements(c), 2);
	assert_ok(mx_name_find(c, MX_S("@carol:example.org"), &nid));
	assert_int_equal(nid, 0);
	assert_code(mx_name_text(c, 1000000, a, &text), MX_E_NOT_FOUND);
}

static void
a_name_of_a_failed_function_is_not_remembered(void **state)
{
	MX_AUTO(mx_conn) *c = NULL;
	struct intern in = { "@dave:example.org", 0, true };
	mx_nid nid;

	(void)state;
	assert_code(mx_write(db, intern, &in), MX_E_AGAIN);
	assert_ok(mx_conn_get(db, &c));
	assert_ok(mx_name_find(c, MX_S("@dave:example.org"), &nid));
	assert_int_equal(nid, 0);
	in.fail = false;
	assert_ok(mx_write(db, intern, &in));
	assert_ok(mx_name_find(c, MX_S("@dave:example.org"), &nid));
	assert_int_equal(nid, in.nid);
}

static void
the_cache_of_names_is_bounded_and_right(void **state)
{
	MX_AUTO(mx_conn) *c = NULL;
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_db_options o;
	mx_nid nids[200];
	char text[32];

	(void)state;
	mx_db_close(&db);
	mx_db_options_default(&o);
	o.name_cache = 100;
	assert_ok(place_open(&db, &o));
	for (int i = 0; i < 200; i++) {
		snprintf(text, sizeof(text), "#%d:example.org", i);
		struct intern in = { text, 0, false };
		assert_ok(mx_write(db, intern, &in));
		nids[i] = in.nid;
	}
	assert_ok(mx_conn_get(db, &c));
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 200; i++) {
			mx_nid nid;
			mx_str back;
			snprintf(text, sizeof(text), "#%d:example.org", i);
			assert_ok(mx_name_find(c, mx_str_of(text), &nid));
			assert_int_equal(nid, nids[i]);
			assert_ok(mx_name_text(c, nid, a, &back));
			assert_true(mx_str_eq(back, mx_str_of(text)));
		}
	assert_true(mx_conn_statements(c) >= 200);
}

/* ---- migrations ---- */

static void
migrations_run_once_and_in_order(void **state)
{
	static const struct mx_migration bad[] = {
		{ 1, "fine", "CREATE TABLE half (a BIGINT);\n" },
		{ 2, "breaks half-way", "CREATE TABLE other (a BIGINT);\nINSERT INTO nowhere VALUES (1);\n" },
	};
	static const struct mx_migration gap[] = { { 2, "not the first", "" } };
	static const struct mx_sql HALF = MX_SQL("SELECT COUNT(*) FROM half");
	static const struct mx_sql OTHER = MX_SQL("SELECT COUNT(*) FROM other");
	static const struct mx_sql *const none[] = { &HALF, &OTHER };
	MX_AUTO(mx_conn) *c = NULL;

	(void)state;
	assert_ok(mx_migrate(db, "test", migrations, 2));
	assert_code(mx_migrate(db, "test", migrations, 1), MX_E_CONFIG);
	assert_code(mx_migrate(db, "gap", gap, 1), MX_E_CONFIG);
	mx_error *e = mx_migrate(db, "bad", bad, 2);
	assert_non_null(e);
	assert_non_null(strstr(mx_error_text(e), "breaks half-way"));
	mx_error_free(&e);
	/* Neither, as its owner is new; then each for itself. */
	for (size_t i = 0; i < 2; i++) {
		if (i == 1)
			assert_ok(mx_migrate(db, "bad", bad, 1));
		e = mx_migrate(db, "bad", bad, 2);
		assert_non_null(e);
		mx_error_free(&e);
		assert_ok(mx_conn_get(db, &c));
		struct mx_query *q = mx_query(c, none[i]);
		assert_false(mx_query_next(q));
		e = mx_query_end(q);
		assert_non_null(e);
		mx_error_free(&e);
		mx_conn_put(&c);
	}
	assert_int_equal(ask_int(db, &HALF), 0);
}

static void
migrations_of_many_are_one_transaction(void **state)
{
	static const struct mx_migration one[] = { { 1, "a", "CREATE TABLE one (a BIGINT);\n" } };
	static const struct mx_migration two[] = {
		{ 1, "b", "CREATE TABLE two (a BIGINT);\n" },
		{ 2, "c", "ALTER TABLE two ADD COLUMN b BIGINT;\n" },
	};
	static const struct mx_migration wrong[] = {
		{ 1, "cannot be", "INSERT INTO nowhere VALUES (1);\n" },
	};
	static const struct mx_migration_set sets[] = { { "one", one, 1 }, { "two", two, 1 } };
	static const struct mx_migration_set later[] = {
		{ "one", one, 1 }, { "two", two, 2 }, { "wrong", wrong, 1 }
	};
	static const struct mx_sql ONE = MX_SQL("SELECT COUNT(*) FROM one");
	static const struct mx_sql TWO = MX_SQL("SELECT COUNT(*) FROM two");
	static const struct mx_sql RECORDED =
		MX_SQL("SELECT COUNT(*) FROM migration WHERE owner = 'two'");
	struct mx_sql_stats before, after;

	(void)state;
	mx_sql_stats(db, &before);
	assert_ok(mx_migrate_all(db, sets, 2));
	mx_sql_stats(db, &after);
	assert_int_equal(after.batches - before.batches, 1);
	assert_int_equal(ask_int(db, &ONE), 0);
	assert_int_equal(ask_int(db, &TWO), 0);
	/* Nothing of it, as one cannot be; it is named. */
	mx_error *e = mx_migrate_all(db, later, 3);
	assert_non_null(e);
	assert_non_null(strstr(mx_error_text(e), "migration 1 of wrong (cannot be)"));
	mx_error_free(&e);
	assert_int_equal(ask_int(db, &RECORDED), 1);
	assert_ok(mx_migrate_all(db, later, 2));
	assert_int_equal(ask_int(db, &RECORDED), 2);
	/* What is newer than what is known here. */
	assert_code(mx_migrate_all(db, sets, 2), MX_E_CONFIG);
	assert_ok(mx_migrate(db, "two", two, 2));
}

/* ---- the rest ---- */

static void
the_database_can_be_measured_and_checked(void **state)
{
	char *report;
	int64_t size;

	(void)state;
	assert_ok(mx_db_disk_size(db, &size));
	assert_true(size > 4096);
	assert_ok(mx_db_check(db, &report));
	assert_true(strcmp(report, "ok\n") == 0 || strncmp(report, "not checked", 11) == 0);
	free(report);
}

int
names_rules(void)
{
	const struct CMUnitTest tests[] = {
		RULE(a_name_has_one_number_for_ever),
		RULE(a_name_of_a_failed_function_is_not_remembered),
		RULE(the_cache_of_names_is_bounded_and_right),
		RULE(migrations_run_once_and_in_order),
		RULE(migrations_of_many_are_one_transaction),
		RULE(the_database_can_be_measured_and_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
