/* The rules of <myelin/sql.h>; linked with each kind of database (place.h). */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>

#include <myelin/log.h>

#include "tests/unit/sql/common.h"
#include "tests/unit/sql/place.h"

static struct mx_db *db;

static const struct mx_migration migrations[] = {
	{ 1, "a table", "CREATE TABLE item (id {key}, name TEXT UNIQUE, data {blob});\n" },
	{ 2, "another; with a semicolon",
	  "CREATE TABLE pair (a BIGINT NOT NULL, b TEXT NOT NULL, PRIMARY KEY (a, b)) {unkeyed};\n"
	  "CREATE INDEX pair_b ON pair (b);\n" },
};

static const struct mx_sql COUNT = MX_SQL("SELECT COUNT(*) FROM item");
static const struct mx_sql EMPTY = MX_SQL("DELETE FROM item");
static const struct mx_sql ADD = MX_SQL("INSERT INTO item (id, name, data) VALUES ($1, $2, $3)");
static const struct mx_sql GET = MX_SQL("SELECT id, name, data FROM item WHERE id = $1");
static const struct mx_sql ALL = MX_SQL("SELECT id FROM item ORDER BY id");
static const struct mx_sql BAD = MX_SQL("SELECT nonsense FROM nowhere");

static int
fresh(void **state)
{
	(void)state;
	assert_ok(place_open(&db, NULL));
	assert_ok(mx_migrate(db, "test", migrations, 2));
	assert_ok(mx_write(db, do_sql_fn, &(struct do_sql){ &EMPTY }));
	return 0;
}

static int
gone(void **state)
{
	(void)state;
	mx_db_close(&db);
	return 0;
}

struct add {
	int64_t id;
	const char *name;
	enum mx_code fail;	/* after the row was added */
	bool position, read;
	mx_pos pos;
	int after_true, after_false;
	pthread_t thread;
	mx_error *error;
};

static void
add_after(void *arg, bool committed)
{
	struct add *a = arg;

	if (committed)
		a->after_true++;
	else
		a->after_false++;
}

static mx_error *
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

/* ---- writing ---- */

static void
who_wrote_reads_what_it_wrote(void **state)
{
	(void)state;
	for (int i = 1; i <= 50; i++) {
		struct add a = { .id = i };
		assert_ok(mx_write(db, add, &a));
		assert_int_equal(a.after_true, 1);
		assert_int_equal(a.after_false, 0);
		assert_int_equal(ask_int(db, &COUNT), i);
	}
}

static void
a_failed_function_leaves_nothing(void **state)
{
	struct add a = { .id = 1, .fail = MX_E_FORBIDDEN, .position = true };
	mx_pos before = mx_db_position(db);

	(void)state;
	assert_code(mx_write(db, add, &a), MX_E_FORBIDDEN);
	assert_int_equal(a.after_false, 1);
	assert_int_equal(a.after_true, 0);
	assert_int_equal(ask_int(db, &COUNT), 0);
	assert_int_equal(mx_db_position(db), before);
	a = (struct add){ .id = 1, .position = true };
	assert_ok(mx_write(db, add, &a));
	assert_int_equal(a.pos, before + 1);
	assert_int_equal(mx_db_position(db), before + 1);
}

/* Holds the writer until told, so that what is handed in meanwhile becomes one batch. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool entered, open;
};

static mx_error *
pass_gate(struct mx_txn *tx, void *arg)
{
	struct gate *g = arg;

	(void)tx;
	pthread_mutex_lock(&g->lock);
	g->entered = true;
	pthread_cond_broadcast(&g->changed);
	while (!g->open)
		pthread_cond_wait(&g->changed, &g->lock);
	pthread_mutex_unlock(&g->lock);
	return NULL;
}

static void
gate_close(struct gate *g)
{
	*g = (struct gate){ .open = false };
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->changed, NULL);
	mx_write_later(db, pass_gate, NULL, g);
	pthread_mutex_lock(&g->lock);
	while (!g->entered)
		pthread_cond_wait(&g->changed, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

static void
gate_open(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->open = true;
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

struct later {
	struct add add;
	atomic_int *left;
	enum mx_code code;
	bool failed;
	int *order;
	int done_at;
};

static mx_error *
later_fn(struct mx_txn *tx, void *arg)
{
	return add(tx, &((struct later *)arg)->add);
}

static void
later_done(void *arg, mx_error *e)
{
	struct later *l = arg;

	l->failed = e != NULL;
	l->code = e != NULL ? mx_error_code(e) : 0;
	l->done_at = ++*l->order;
	mx_error_free(&e);
	atomic_fetch_sub(l->left, 1);
}

static void
hand_in(struct later *l, int n)
{
	static atomic_int left;
	static int order;
	struct gate g;

	order = 0;
	atomic_store(&left, n);
	gate_close(&g);
	for (int i = 0; i < n; i++) {
		l[i].left = &left;
		l[i].order = &order;
		mx_write_later(db, later_fn, later_done, &l[i]);
	}
	gate_open(&g);
	while (atomic_load(&left) > 0)
		usleep(500);
}

static void
functions_of_a_batch_fail_alone(void **state)
{
	struct later l[5] = { { .add = { .id = 1, .position = true } },
			      { .add = { .id = 2, .position = true, .fail = MX_E_AGAIN } },
			      { .add = { .id = 3, .position = true } },
			      { .add = { .id = 4, .position = true, .fail = MX_E_FORBIDDEN } },
			      { .add = { .id = 5, .position = true } } };
	struct mx_sql_stats before, after;
	mx_pos pos = mx_db_position(db);

	(void)state;
	mx_sql_stats(db, &before);
	hand_in(l, 5);
	mx_sql_stats(db, &after);
	assert_int_equal(after.batches - before.batches, 2);
	assert_int_equal(after.writes - before.writes, 6);
	assert_int_equal(ask_int(db, &COUNT), 3);
	assert_int_equal(l[1].code, MX_E_AGAIN);
	assert_int_equal(l[3].code, MX_E_FORBIDDEN);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(l[i].add.after_true, i % 2 == 0);
		assert_int_equal(l[i].add.after_false, i % 2 == 1);
		assert_int_equal(l[i].done_at, i + 1);
	}
	/* Positions of those that failed are given to the next. */
	assert_int_equal(l[0].add.pos, pos + 1);
	assert_int_equal(l[2].add.pos, pos + 2);
	assert_int_equal(l[4].add.pos, pos + 3);
	assert_int_equal(mx_db_position(db), pos + 3);
}

static void
a_constraint_is_the_fault_of_one_function(void **state)
{
	struct later l[4] = { { .add = { .id = 1, .name = "a", .position = true } },
			      { .add = { .id = 2, .name = "a", .position = true } },
			      { .add = { .id = 3, .name = "b", .position = true, .read = true } },
			      { .add = { .id = 3, .name = "c", .position = true, .read = true } } };

	(void)state;
	hand_in(l, 4);
	assert_false(l[0].failed);
	assert_true(l[1].failed);
	assert_int_equal(l[1].code, MX_E_EXISTS);
	assert_false(l[2].failed);
	assert_int_equal(l[3].code, MX_E_EXISTS);
	assert_int_equal(ask_int(db, &COUNT), 2);
	assert_int_equal(l[2].add.pos, l[0].add.pos + 1);
	assert_int_equal(mx_db_position(db), l[2].add.pos);
}

static void
more_writes_than_may_wait_are_refused(void **state)
{
	struct mx_db_options o;
	struct later l[6] = { { .add = { .id = 1 } }, { .add = { .id = 2 } }, { .add = { .id = 3 } },
			      { .add = { .id = 4 } }, { .add = { .id = 5 } }, { .add = { .id = 6 } } };

	(void)state;
	mx_db_close(&db);
	mx_db_options_default(&o);
	o.queue = 4;
	assert_ok(place_open(&db, &o));
	hand_in(l, 6);
	for (int i = 0; i < 4; i++)
		assert_false(l[i].failed);
	assert_int_equal(l[4].code, MX_E_UNAVAILABLE);
	assert_int_equal(l[5].code, MX_E_UNAVAILABLE);
	assert_int_equal(ask_int(db, &COUNT), 4);
}

static void *
many_writes(void *arg)
{
	int64_t base = *(int64_t *)arg;

	for (int i = 0; i < 100; i++) {
		struct add a = { .id = base + i, .position = true, .fail = i % 7 == 0 ? MX_E_AGAIN : 0 };
		mx_error *e = mx_write(db, add, &a);
		if ((e != NULL) != (i % 7 == 0) || (e == NULL && mx_db_position(db) < a.pos))
			abort();
		mx_error_free(&e);
	}
	return NULL;
}

static void
many_callers_write_without_gaps(void **state)
{
	pthread_t t[16];
	int64_t base[16];
	mx_pos before = mx_db_position(db);

	(void)state;
	for (int i = 0; i < 16; i++) {
		base[i] = i * 1000 + 1;
		pthread_create(&t[i], NULL, many_writes, &base[i]);
	}
	for (int i = 0; i < 16; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(ask_int(db, &COUNT), 16 * 85);
	assert_int_equal(mx_db_position(db) - before, 16 * 85);
	mx_db_close(&db);
	assert_ok(place_open(&db, NULL));
	assert_int_equal(mx_db_position(db) - before, 16 * 85);
}

struct watch {
	mx_pos published;
	int calls;
};

static void
published(void *arg, mx_pos upto)
{
	struct watch *w = arg;

	w->published = upto;
	w->calls++;
}

static void
the_watcher_hears_of_each_batch_that_moved_the_stream(void **state)
{
	struct watch w = { 0 };

	(void)state;
	mx_db_set_watch(db, &(struct mx_db_watch){ .published = published, .arg = &w });
	assert_ok(mx_write(db, add, &(struct add){ .id = 1 }));
	assert_int_equal(w.calls, 0);
	struct add a = { .id = 2, .position = true };
	assert_ok(mx_write(db, add, &a));
	assert_int_equal(w.calls, 1);
	assert_int_equal(w.published, a.pos);
}

static void
a_write_aside_is_durable_too(void **state)
{
	struct add a = { .id = 1 };

	(void)state;
	assert_ok(mx_write_aside(db, add, &a));
	assert_int_equal(a.after_true, 1);
	assert_int_equal(ask_int(db, &COUNT), 1);
	a = (struct add){ .id = 2, .fail = MX_E_FORBIDDEN };
	assert_code(mx_write_aside(db, add, &a), MX_E_FORBIDDEN);
	assert_int_equal(a.after_false, 1);
	assert_int_equal(ask_int(db, &COUNT), 1);
}

/* ---- names ---- */

struct intern {
	const char *text;
	mx_nid nid;
	bool fail;
};

static mx_error *
intern(struct mx_txn *tx, void *arg)
{
	struct intern *in = arg;

	MX_TRY(mx_name_intern(tx, mx_str_of(in->text), &in->nid));
	return in->fail ? mx_error_new(MX_E_AGAIN, "as asked") : NULL;
}

static void
a_name_has_one_number_for_ever(void **state)
{
	MX_AUTO(mx_conn) *c = NULL;
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct intern one = { "@alice:example.org", 0, false }, two = { "@bob:example.org", 0, false };
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

/* ---- another process writes too ---- */

struct neighbour {
	struct mx_db *db;
	mx_pos seen;			/* everything up to here was published or caught up with */
	int64_t base;
	mx_nid nids[20];
	atomic_int gaps, caught_up;
	pthread_t thread;
};

static mx_error *
neighbour_caught_up(void *arg, struct mx_conn *c, mx_pos since, mx_pos upto)
{
	struct neighbour *n = arg;
	static const struct mx_sql POS = MX_SQL("SELECT pos FROM stream");

	n->gaps += since != n->seen || upto <= since;
	n->caught_up++;
	struct mx_query *q = mx_query(c, &POS);
	n->gaps += !mx_query_next(q) || mx_col_int(q, 0) != upto;
	return mx_query_end(q);
}

static void
neighbour_published(void *arg, mx_pos upto)
{
	struct neighbour *n = arg;

	n->gaps += upto <= n->seen;
	n->seen = upto;
}

static void *
neighbour_write(void *arg)
{
	struct neighbour *n = arg;
	char text[32];

	for (int i = 0; i < 100; i++) {
		struct add a = { .id = n->base + i, .position = true, .fail = i % 5 == 0 ? MX_E_AGAIN : 0 };
		mx_error *e = mx_write(n->db, add, &a);
		if ((e != NULL) != (i % 5 == 0))
			abort();
		mx_error_free(&e);
		snprintf(text, sizeof(text), "!%d:shared.example", i / 5);
		struct intern in = { text, 0, false };
		if (mx_error_drop(mx_write(n->db, intern, &in)))
			abort();
		n->nids[i / 5] = in.nid;
	}
	return NULL;
}

static void
two_processes_make_one_stream(void **state)
{
	struct neighbour n[2] = { { .db = db, .base = 1000 }, { .base = 2000 } };
	mx_pos before = mx_db_position(db);

	(void)state;
	assert_ok(place_open(&n[1].db, NULL));
	for (int i = 0; i < 2; i++) {
		n[i].seen = before;
		mx_db_set_watch(n[i].db, &(struct mx_db_watch){ neighbour_published, neighbour_caught_up, &n[i] });
		pthread_create(&n[i].thread, NULL, neighbour_write, &n[i]);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(n[i].thread, NULL);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(n[i].gaps, 0);
		/* One more write, and each has seen everything. */
		assert_ok(mx_write(n[i].db, intern, &(struct intern){ "x", 0, false }));
		assert_int_equal(mx_db_position(n[i].db), before + 160);
	}
	assert_true(n[0].caught_up + n[1].caught_up > 0);
	assert_memory_equal(n[0].nids, n[1].nids, sizeof(n[0].nids));
	assert_int_equal(ask_int(db, &COUNT), 160);
	mx_db_close(&n[1].db);
}

/* ---- a database that goes away ---- */

static void
a_database_that_was_away_is_found_again(void **state)
{
	mx_error *e;

	(void)state;
	assert_ok(mx_write(db, add, &(struct add){ .id = 1 }));
	assert_int_equal(ask_int(db, &COUNT), 1);
	if (!place_restart())
		skip();
	assert_ok(mx_write(db, add, &(struct add){ .id = 2, .position = true }));
	/* Of the connections for reading, the first to be used finds out. */
	MX_AUTO(mx_conn) *c = NULL;
	assert_ok(mx_conn_get(db, &c));
	struct mx_query *q = mx_query(c, &COUNT);
	mx_query_next(q);
	e = mx_query_end(q);
	assert_code(e, MX_E_UNAVAILABLE);
	mx_conn_put(&c);
	assert_int_equal(ask_int(db, &COUNT), 2);
}

static void
while_the_database_is_away_a_write_is_answered(void **state)
{
	MX_AUTO(mx_buf) *json = mx_buf_new(0);
	struct mx_db_options o;
	struct add a = { .id = 1, .position = true };

	(void)state;
	mx_db_close(&db);
	mx_db_options_default(&o);
	o.write_wait.ms = 200;
	assert_ok(place_open(&db, &o));
	mx_pos before = mx_db_position(db);
	place_down();
	int64_t start = mx_monotonic_us();
	for (int i = 0; i < 3; i++) {
		mx_error *e = mx_write(db, add, &a);
		assert_true(mx_error_is(e, MX_E_UNAVAILABLE));
		mx_error_json(e, json);
		mx_error_free(&e);
	}
	assert_true(mx_monotonic_us() - start < 10 * 1000000);
	assert_non_null(strstr(mx_buf_cstr(json), "\"retry_after_ms\":"));
	assert_int_equal(a.after_true, 0);
	place_up();
	mx_error *e;
	while ((e = mx_write(db, add, &a)) != NULL)
		assert_code(e, MX_E_UNAVAILABLE);
	assert_int_equal(a.pos, before + 1);
	/* A reader's connection may not have noticed yet. */
	struct mx_conn *c = NULL;
	assert_ok(mx_conn_get(db, &c));
	struct mx_query *q = mx_query(c, &COUNT);
	mx_query_next(q);
	e = mx_query_end(q);
	mx_error_free(&e);
	mx_conn_put(&c);
	assert_int_equal(ask_int(db, &COUNT), 1);
}

static void
a_database_that_is_away_does_not_hold_up_the_end(void **state)
{
	struct later l = { .add = { .id = 1 } };
	atomic_int left = 1;
	int order = 0;

	(void)state;
	l.left = &left;
	l.order = &order;
	place_down();
	mx_write_later(db, later_fn, later_done, &l);
	int64_t start = mx_monotonic_us();
	mx_db_close(&db);
	assert_true(mx_monotonic_us() - start < 4 * 1000000);
	assert_int_equal(atomic_load(&left), 0);
	assert_int_equal(l.code, MX_E_UNAVAILABLE);
	place_up();
	assert_ok(place_open(&db, NULL));
}

static mx_error *
add_and_restart(struct mx_txn *tx, void *arg)
{
	static const struct mx_sql ONE = MX_SQL("SELECT 1");
	struct add *a = arg;

	MX_TRY(add(tx, a));
	if (a->after_false == 0)
		place_restart();
	struct mx_query *q = mx_query(mx_txn_conn(tx), &ONE);
	mx_query_next(q);
	return mx_query_end(q);
}

static void
a_batch_whose_connection_is_lost_runs_again(void **state)
{
	struct add a = { .id = 1, .position = true };
	struct mx_sql_stats stats;

	(void)state;
	if (!place_restart())
		skip();
	assert_ok(mx_write(db, add_and_restart, &a));
	assert_int_equal(a.after_false, 1);
	assert_int_equal(a.after_true, 1);
	mx_sql_stats(db, &stats);
	assert_int_not_equal(stats.retries, 0);
	assert_int_equal(mx_db_position(db), a.pos);
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
	MX_AUTO(mx_conn) *c = NULL;

	(void)state;
	assert_ok(mx_migrate(db, "test", migrations, 2));
	assert_code(mx_migrate(db, "test", migrations, 1), MX_E_CONFIG);
	assert_code(mx_migrate(db, "gap", gap, 1), MX_E_CONFIG);
	mx_error *e = mx_migrate(db, "bad", bad, 2);
	assert_non_null(e);
	assert_non_null(strstr(mx_error_text(e), "breaks half-way"));
	mx_error_free(&e);
	assert_int_equal(ask_int(db, &HALF), 0);
	assert_ok(mx_conn_get(db, &c));
	struct mx_query *q = mx_query(c, &OTHER);
	assert_false(mx_query_next(q));
	e = mx_query_end(q);
	assert_non_null(e);
	mx_error_free(&e);
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
main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fresh, gone)
	const struct CMUnitTest tests[] = {
		T(values_come_back_as_they_were_bound),
		T(null_reads_as_nothing),
		T(numbers_of_all_kinds_read_alike),
		T(a_parameter_has_the_type_that_was_bound),
		T(a_statement_may_be_open_several_times),
		T(an_error_sticks_until_the_end_of_the_query),
		T(a_reused_address_is_another_statement),
		T(a_connection_keeps_a_bounded_number_of_statements),
		T(a_snapshot_does_not_see_later_writes),
		T(a_reader_cannot_write),
		T(who_waits_too_long_for_a_connection_is_told),
		T(who_waits_gets_the_connection_that_is_put_back),
		T(who_wrote_reads_what_it_wrote),
		T(a_failed_function_leaves_nothing),
		T(functions_of_a_batch_fail_alone),
		T(a_constraint_is_the_fault_of_one_function),
		T(more_writes_than_may_wait_are_refused),
		T(many_callers_write_without_gaps),
		T(the_watcher_hears_of_each_batch_that_moved_the_stream),
		T(a_write_aside_is_durable_too),
		T(a_name_has_one_number_for_ever),
		T(a_name_of_a_failed_function_is_not_remembered),
		T(the_cache_of_names_is_bounded_and_right),
		T(two_processes_make_one_stream),
		T(a_database_that_was_away_is_found_again),
		T(while_the_database_is_away_a_write_is_answered),
		T(a_database_that_is_away_does_not_hold_up_the_end),
		T(a_batch_whose_connection_is_lost_runs_again),
		T(migrations_run_once_and_in_order),
		T(the_database_can_be_measured_and_checked),
	};

	(void)argc;
	(void)argv;
	if (!place_start())
		return 77;
	assert_ok(mx_log_levels("error,sql=error"));
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	place_stop();
	return failed;
}
