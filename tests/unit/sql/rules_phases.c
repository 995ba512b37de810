/* Migrations in phases: versions side by side, and tables that stay usable. */
#include "config.h"

#include <time.h>

#include "tests/unit/sql/rules.h"

enum { MANY = 3000 };

static const struct mx_migration OLD[] = {
	{ 1, "notes", "CREATE TABLE note (id {key}, at BIGINT NOT NULL);\n" },
};
static const struct mx_migration NEW[] = {
	{ 1, "notes", "CREATE TABLE note (id {key}, at BIGINT NOT NULL);\n" },
	{ 2, "the day of each", MX_EXPAND "ALTER TABLE note ADD COLUMN day BIGINT;\n" },
	{ 3, "the days of those before",
	  MX_BACKFILL "UPDATE note SET day = at / 10 WHERE id IN (SELECT id FROM note WHERE id > $1 "
		      "AND day IS NULL ORDER BY id LIMIT $2) RETURNING id" },
	{ 4, "notes by day", MX_INDEX "CREATE INDEX note_day ON note (day)" },
	{ 5, "the time goes", MX_CONTRACT "ALTER TABLE note DROP COLUMN at;\n" },
};
static const struct mx_migration_set old_set = { "note", OLD, 1 }, new_set = { "note", NEW, 5 };

static const struct mx_sql ADD_OLD = MX_SQL("INSERT INTO note (id, at) VALUES ($1, $2)");
static const struct mx_sql WITHOUT_DAY = MX_SQL("SELECT COUNT(*) FROM note WHERE day IS NULL");
static const struct mx_sql WRONG_DAY = MX_SQL("SELECT COUNT(*) FROM note WHERE day <> id / 10");
static const struct mx_sql NOTES = MX_SQL("SELECT COUNT(*) FROM note");
static const struct mx_sql DONE = MX_SQL("SELECT COUNT(*) FROM migration WHERE owner = 'note'");
static const struct mx_sql DROP = MX_SQL("DROP TABLE IF EXISTS note");
static const struct mx_sql FORGET = MX_SQL("DELETE FROM migration WHERE owner = 'note'");
static const struct mx_sql FORGET_PHASES = MX_SQL("DELETE FROM migration_phase WHERE owner = 'note'");
static const struct mx_sql FORGET_USERS = MX_SQL("DELETE FROM process");
static const struct mx_sql AGE = MX_SQL("UPDATE process SET seen = seen - 3600000");

static struct mx_db *other;		/* a process of the version before */

struct notes {
	int64_t from, n;
};

static mx_error *
add_notes(struct mx_txn *tx, void *arg)
{
	const struct notes *a = arg;

	for (int64_t id = a->from; id < a->from + a->n; id++) {
		struct mx_query *q = mx_query(mx_txn_conn(tx), &ADD_OLD);

		mx_bind_int(q, 1, id);
		mx_bind_int(q, 2, id);
		MX_TRY(mx_query_run(q));
	}
	return NULL;
}

static void
sql_now(const struct mx_sql *sql)
{
	assert_ok(mx_write(db, do_sql_fn, &(struct do_sql){ sql }));
}

static int
fresh_note(void **state)
{
	fresh(state);
	sql_now(&DROP);
	sql_now(&FORGET);
	sql_now(&FORGET_PHASES);
	sql_now(&FORGET_USERS);
	other = NULL;
	return 0;
}

static int
gone_note(void **state)
{
	mx_db_close(&other);
	return gone(state);
}
#define PHASE_RULE(f) cmocka_unit_test_setup_teardown(f, fresh_note, gone_note)

static bool
work(struct mx_db *at, bool hurry)
{
	bool open;

	assert_ok(mx_migrate_work(at, &new_set, &(struct mx_migrate_pace){ .hurry = hurry }, &open));
	return open;
}

static void
old_process_with_notes(int64_t n)
{
	assert_ok(place_open(&other, NULL));
	assert_ok(mx_migrate_set(other, &old_set));
	assert_ok(mx_write(other, add_notes, &(struct notes){ 1, n }));
}

static void
a_new_database_gets_all_at_once(void **state)
{
	(void)state;
	assert_ok(mx_migrate_set(db, &new_set));
	assert_int_equal(ask_int(db, &DONE), 5);
	assert_false(work(db, false));
	assert_ok(mx_migrate_set(db, &new_set));
}

static void
versions_run_side_by_side(void **state)
{
	struct mx_db *third;

	(void)state;
	old_process_with_notes(MANY);
	assert_ok(mx_migrate_set(db, &new_set));
	assert_int_equal(ask_int(db, &DONE), 2);
	/* The one before goes on, and can be started again. */
	assert_ok(mx_write(other, add_notes, &(struct notes){ MANY + 1, 10 }));
	assert_ok(place_open(&third, NULL));
	assert_ok(mx_migrate_set(third, &old_set));
	mx_db_close(&third);
	/* All is filled, but it may write more. */
	assert_true(work(db, true));
	assert_int_equal(ask_int(db, &WITHOUT_DAY), 0);
	assert_int_equal(ask_int(db, &WRONG_DAY), 0);
	assert_int_equal(ask_int(db, &DONE), 2);
	/* Behind the place that was reached, too. */
	assert_ok(mx_write(other, add_notes, &(struct notes){ -5, 5 }));
	assert_true(work(db, true));
	mx_db_close(&other);
	assert_false(work(db, true));
	assert_int_equal(ask_int(db, &WITHOUT_DAY), 0);
	assert_int_equal(ask_int(db, &NOTES), MANY + 15);
	assert_int_equal(ask_int(db, &DONE), 5);
	/* What was contracted is not for the one before. */
	assert_ok(place_open(&other, NULL));
	assert_code(mx_migrate_set(other, &old_set), MX_E_CONFIG);
}

static bool
at_once(void *arg)
{
	return ++*(int *)arg > 3;
}

static void
a_backfill_goes_on_where_it_was_stopped(void **state)
{
	int asked = 0;
	struct mx_migrate_pace pace = { .stop = at_once, .arg = &asked };
	bool open;

	(void)state;
	old_process_with_notes(MANY);
	mx_db_close(&other);
	assert_ok(mx_migrate_set(db, &new_set));
	assert_ok(mx_migrate_work(db, &new_set, &pace, &open));
	assert_true(open);
	int64_t left = ask_int(db, &WITHOUT_DAY);
	assert_true(left > 0 && left < MANY);
	mx_db_close(&db);
	assert_ok(place_open(&db, NULL));
	assert_ok(mx_migrate_set(db, &new_set));
	assert_int_equal(ask_int(db, &WITHOUT_DAY), left);
	assert_false(work(db, true));
	assert_int_equal(ask_int(db, &WITHOUT_DAY), 0);
	assert_int_equal(ask_int(db, &DONE), 5);
}

static void
one_process_works_at_a_time(void **state)
{
	int asked = 0;
	struct mx_migrate_pace pace = { .stop = at_once, .arg = &asked };
	bool open;

	(void)state;
	old_process_with_notes(MANY);
	mx_db_close(&other);
	assert_ok(place_open(&other, NULL));
	assert_ok(mx_migrate_set(db, &new_set));
	assert_ok(mx_migrate_set(other, &new_set));
	assert_ok(mx_migrate_work(other, &new_set, &pace, &open));
	int64_t left = ask_int(db, &WITHOUT_DAY);
	assert_true(work(db, true));
	assert_int_equal(ask_int(db, &WITHOUT_DAY), left);
	/* It was killed, and says nothing for long enough. */
	sql_now(&AGE);
	assert_false(work(db, true));
	assert_int_equal(ask_int(db, &WITHOUT_DAY), 0);
}

static void *
show_life(void *arg)
{
	static const struct mx_sql LIVE = MX_SQL("UPDATE process SET seen = seen + 1");

	while (!atomic_load((atomic_bool *)arg))
		assert_ok(mx_write(other, do_sql_fn, &(struct do_sql){ &LIVE }));
	return NULL;
}

static void
a_whole_one_needs_the_others_gone(void **state)
{
	static const struct mx_migration whole[] = {
		{ 1, "notes", "" }, { 2, "another form", "ALTER TABLE note ADD COLUMN x BIGINT;\n" }
	};
	static const struct mx_migration_set set = { "note", whole, 2 };

	atomic_bool end = false;
	pthread_t thread;

	(void)state;
	old_process_with_notes(1);
	assert_ok(mx_migrate_all(db, &set, 1));
	assert_int_equal(ask_int(db, &DONE), 1);
	/* It shows that it is there. */
	assert_int_equal(pthread_create(&thread, NULL, show_life, &end), 0);
	mx_error *e = mx_migrate_set(db, &set);
	atomic_store(&end, true);
	pthread_join(thread, NULL);
	assert_code(e, MX_E_CONFIG);
	assert_int_equal(ask_int(db, &DONE), 1);
	/* It was killed, and says nothing for long enough. */
	sql_now(&AGE);
	assert_ok(mx_migrate_set(db, &set));
	assert_int_equal(ask_int(db, &DONE), 2);
	assert_code(mx_migrate_set(other, &old_set), MX_E_CONFIG);
}

/* ---- while others use the table ---- */

struct traffic {
	atomic_bool end;
	_Atomic int64_t slowest;
	int64_t written, next;
	pthread_t thread;
};

static void *
write_notes(void *arg)
{
	struct traffic *t = arg;

	for (; !atomic_load(&t->end); t->written++) {
		int64_t began = mx_monotonic_us();

		assert_ok(mx_write(other, add_notes, &(struct notes){ t->next + t->written, 1 }));
		int64_t took = mx_monotonic_us() - began;
		if (took > atomic_load(&t->slowest))
			atomic_store(&t->slowest, took);
	}
	return NULL;
}

/* As the migrator does it: who finds no moment between the others' writes tries again. */
static mx_error *
work_on(const struct mx_migration_set *set, bool *open)
{
	mx_error *e = NULL;

	for (int i = 0; i < 20; i++) {
		mx_error_free(&e);
		e = mx_migrate_work(db, set, &(struct mx_migrate_pace){ 0 }, open);
		if (!mx_error_is(e, MX_E_UNAVAILABLE))
			break;
	}
	return e;
}

static void
nobody_waits_for_long(void **state)
{
	enum { BIG = 120000, ROUND = 20000 };
	static const struct mx_migration big[] = {
		{ 1, "notes", "" },
		{ 2, "the day of each", MX_EXPAND "ALTER TABLE note ADD COLUMN day BIGINT;\n" },
		{ 3, "notes by time", MX_INDEX "CREATE INDEX note_at ON note (at)" },
		{ 4, "the days of those before",
		  MX_BACKFILL "UPDATE note SET day = at / 10 WHERE id IN (SELECT id FROM note WHERE "
			      "id > $1 AND day IS NULL ORDER BY id LIMIT $2) RETURNING id" },
	};
	static const struct mx_migration_set set = { "note", big, 4 };
	static const struct mx_sql DONE_3 =
		MX_SQL("SELECT COUNT(*) FROM migration WHERE owner = 'note' AND number = 3");
	struct traffic t = { .next = BIG + 1 };
	bool open;

	(void)state;
	assert_ok(place_open(&other, NULL));
	assert_ok(mx_migrate_set(other, &old_set));
	for (int64_t from = 1; from <= BIG; from += ROUND)
		assert_ok(mx_write(other, add_notes, &(struct notes){ from, ROUND }));
	assert_int_equal(pthread_create(&t.thread, NULL, write_notes, &t), 0);
	int64_t began = mx_monotonic_us();
	assert_ok(mx_migrate_set(db, &set));
	int64_t expanded = mx_monotonic_us();
	assert_ok(work_on(&set, &open));
	int64_t filled = mx_monotonic_us();
	atomic_store(&t.end, true);
	pthread_join(t.thread, NULL);
	/* It is not over, as the one before still writes; all that was there is filled. */
	assert_true(open);
	assert_int_equal(ask_int(db, &DONE_3), 1);
	mx_db_close(&other);
	assert_ok(mx_migrate_work(db, &set, &(struct mx_migrate_pace){ 0 }, &open));
	assert_false(open);
	assert_int_equal(ask_int(db, &WITHOUT_DAY), 0);
	assert_int_equal(ask_int(db, &NOTES), BIG + t.written);
	print_message("expand %lld ms, index and backfill of %d rows %lld ms beside %lld writes, the slowest "
		      "%lld ms\n", (long long)(expanded - began) / 1000, BIG,
		      (long long)(filled - expanded) / 1000, (long long)t.written,
		      (long long)t.slowest / 1000);
	assert_true(t.written > 0);
	assert_true(t.slowest < (filled - began) / 2);
}

/* ---- plans ---- */

struct planned {
	size_t n;
	char phases[100];
	int64_t rows, ms;
};

static void
note_row(void *arg, const struct mx_migrate_row *row)
{
	struct planned *p = arg;
	size_t at = strlen(p->phases);

	p->n++;
	snprintf(p->phases + at, sizeof(p->phases) - at, "%s ", row->phase);
	if (strcmp(row->phase, "backfill") == 0) {
		p->rows = row->rows;
		p->ms = row->ms;
	}
}

static void
a_plan_changes_nothing(void **state)
{
	struct planned p = { 0 };

	(void)state;
	old_process_with_notes(MANY);
	assert_ok(mx_migrate_plan(db, &new_set, note_row, &p));
	assert_string_equal(p.phases, "expand backfill index contract ");
	assert_int_equal(p.rows, MANY);
	assert_true(p.ms >= 0);
	assert_int_equal(ask_int(db, &DONE), 1);
	assert_ok(mx_migrate_set(db, &new_set));
	mx_db_close(&other);
	assert_false(work(db, true));
	p = (struct planned){ 0 };
	assert_ok(mx_migrate_plan(db, &new_set, note_row, &p));
	assert_int_equal(p.n, 0);
}

int
phases_rules(void)
{
	const struct CMUnitTest tests[] = {
		PHASE_RULE(a_new_database_gets_all_at_once),
		PHASE_RULE(versions_run_side_by_side),
		PHASE_RULE(a_backfill_goes_on_where_it_was_stopped),
		PHASE_RULE(one_process_works_at_a_time),
		PHASE_RULE(a_whole_one_needs_the_others_gone),
		PHASE_RULE(nobody_waits_for_long),
		PHASE_RULE(a_plan_changes_nothing),
	};

	return cmocka_run_group_tests_name("phases", tests, NULL, NULL);
}
