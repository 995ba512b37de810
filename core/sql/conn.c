/* A connection, the statements prepared on it, and running one. */
#include "config.h"

#include <stdlib.h>

#include <myelin/log.h>

#include "core/sql/impl.h"

/* Whether the database behind it is the one that we know. */
static mx_error *
look(struct mx_db *db, struct mx_conn *c, bool writer)
{
	if (!writer)
		return mx_lineage_check(db, c);
	MX_TRY(mx_conn_check(c, c->ops->begin(c->storage, true)));
	mx_error *e = mx_lineage_check(db, c);

	if (!c->lost)
		c->ops->rollback(c->storage);
	return e;
}

mx_error *
mx_conn_open(struct mx_db *db, bool writer, struct mx_conn **out)
{
	struct mx_storage_conn *storage;

	*out = NULL;
	MX_TRY(db->ops->connect(db->storage, writer, &storage));
	struct mx_conn *c = mx_alloc(sizeof(*c));
	c->db = db;
	c->ops = db->ops;
	c->storage = storage;
	mx_error *e = db->ops->lock != NULL ? look(db, c, writer) : NULL;
	if (e != NULL)
		mx_conn_close(&c);
	*out = c;
	return e;
}

struct mx_conn *
mx_conn_failed(struct mx_db *db, mx_error *e)
{
	struct mx_conn *c = mx_alloc(sizeof(*c));

	c->db = db;
	c->ops = db->ops;
	c->lost = true;
	c->refused = e;
	return c;
}

void
mx_conn_move(struct mx_conn *to, struct mx_conn *from)
{
	to->storage = from->storage;
	to->generation = from->generation;
	to->prepared = from->prepared;
	to->clock = from->clock;
	to->lost = from->lost;
	memcpy(to->table, from->table, sizeof(to->table));
	from->storage = NULL;
	from->prepared = 0;
	memset(from->table, 0, sizeof(from->table));
	for (size_t i = 0; i < MX_CONN_BUCKETS; i++)
		for (struct mx_prepared *p = to->table[i]; p != NULL; p = p->chain)
			for (struct mx_query *q = p->spare; q != NULL; q = q->next)
				q->conn = to;
}

mx_error *
mx_conn_check(struct mx_conn *c, mx_error *e)
{
	if (!mx_error_is(e, MX_E_UNAVAILABLE))
		return e;
	if (!c->lost)
		mx_log("sql", MX_INFO, "SQL014", "a connection is of no use any more", mx_fe(e));
	c->lost = true;
	mx_error_free(&e);
	return mx_db_unavailable("the connection to the database was lost");
}

/* ---- statements ---- */

static struct mx_prepared **
bucket(struct mx_conn *c, const struct mx_sql *key)
{
	uintptr_t k = (uintptr_t)key / sizeof(*key);

	return &c->table[(k ^ (k >> 6) ^ (k >> 12)) % MX_CONN_BUCKETS];
}

static void
query_free(struct mx_query *q)
{
	if (q->st != NULL)
		q->conn->ops->finalize(&q->st);
	mx_error_free(&q->error);
	free(q);
}

/* Takes *at out of its chain; none of its copies is open. */
static void
prepared_drop(struct mx_conn *c, struct mx_prepared **at)
{
	struct mx_prepared *p = *at;

	*at = p->chain;
	while (p->spare != NULL) {
		struct mx_query *q = p->spare;
		p->spare = q->next;
		query_free(q);
	}
	free(p->text);
	free(p);
	c->prepared--;
}

static void
prepared_drop_oldest(struct mx_conn *c)
{
	struct mx_prepared **oldest = NULL;

	for (size_t i = 0; i < MX_CONN_BUCKETS; i++)
		for (struct mx_prepared **at = &c->table[i]; *at != NULL; at = &(*at)->chain)
			if ((*at)->open == 0 && (oldest == NULL || (*at)->used < (*oldest)->used))
				oldest = at;
	if (oldest != NULL)
		prepared_drop(c, oldest);
}

static struct mx_prepared *
prepared_find(struct mx_conn *c, const struct mx_sql *s)
{
	struct mx_prepared **head = bucket(c, s), **stale = NULL;

	for (struct mx_prepared **at = head; *at != NULL; at = &(*at)->chain) {
		struct mx_prepared *p = *at;
		if (p->key != s)
			continue;
		if (strcmp(p->text, s->text) == 0)
			return p;
		if (p->open == 0)
			stale = at;
	}
	if (stale != NULL)
		prepared_drop(c, stale);
	if (c->prepared >= MX_CONN_PREPARED)
		prepared_drop_oldest(c);
	struct mx_prepared *p = mx_alloc(sizeof(*p));
	p->key = s;
	p->text = mx_str_dup(mx_str_of(s->text));
	p->chain = *head;
	*head = p;
	c->prepared++;
	return p;
}

/* ---- queries ---- */

static void
query_link(struct mx_query *q)
{
	struct mx_conn *c = q->conn;

	q->prev = NULL;
	q->next = c->open;
	if (c->open != NULL)
		c->open->prev = q;
	c->open = q;
}

static void
query_unlink(struct mx_query *q)
{
	if (q->prev != NULL)
		q->prev->next = q->next;
	else
		q->conn->open = q->next;
	if (q->next != NULL)
		q->next->prev = q->prev;
}

static mx_error *
gone(const struct mx_conn *c)
{
	if (c->refused != NULL)
		return mx_error_new(mx_error_code(c->refused), "%s", mx_error_text(c->refused));
	return mx_db_unavailable("the connection to the database was lost");
}

struct mx_query *
mx_query(struct mx_conn *c, const struct mx_sql *s)
{
	if (c->resting)
		mx_conn_wake(c);
	struct mx_prepared *p = prepared_find(c, s);
	struct mx_query *q = p->spare;

	p->used = ++c->clock;
	if (q != NULL) {
		p->spare = q->next;
	} else {
		q = mx_alloc(sizeof(*q));
		q->conn = c;
		q->home = p;
	}
	p->open++;
	query_link(q);
	if (c->lost)
		q->error = gone(c);
	else if (q->st == NULL)
		q->error = mx_conn_check(c, c->ops->prepare(c->storage, s->text, &q->st));
	return q;
}

void
mx_bind_int(struct mx_query *q, int i, int64_t v)
{
	if (q->error == NULL)
		q->conn->ops->bind_int(q->st, i, v);
}

void
mx_bind_str(struct mx_query *q, int i, mx_str v)
{
	if (q->error != NULL)
		return;
	if (v.p == NULL)
		q->conn->ops->bind_null(q->st, i);
	else if (v.n != 0 && memchr(v.p, 0, v.n) != NULL)
		q->error = mx_error_new(MX_E_INVALID_PARAM, "text must not contain a NUL byte");
	else
		q->conn->ops->bind_text(q->st, i, v);
}

void
mx_bind_blob(struct mx_query *q, int i, const void *p, size_t n)
{
	if (q->error != NULL)
		return;
	if (p == NULL)
		q->conn->ops->bind_null(q->st, i);
	else
		q->conn->ops->bind_blob(q->st, i, p, n);
}

void
mx_bind_null(struct mx_query *q, int i)
{
	if (q->error == NULL)
		q->conn->ops->bind_null(q->st, i);
}

/* Whether q may go on; counts it once. */
static bool
query_go(struct mx_query *q)
{
	struct mx_conn *c = q->conn;

	if (q->error == NULL && c->lost)
		q->error = gone(c);
	if (q->error != NULL)
		return false;
	if (!q->started) {
		q->started = true;
		c->statements++;
		c->uncounted++;
	}
	return true;
}

bool
mx_query_next(struct mx_query *q)
{
	q->row = false;
	if (q->done || !query_go(q))
		return false;
	q->error = mx_conn_check(q->conn, q->conn->ops->step(q->st, &q->row));
	if (q->error != NULL)
		q->row = false;
	q->done = !q->row;
	return q->row;
}

bool
mx_col_null(const struct mx_query *q, int i)
{
	return !q->row || q->conn->ops->col_null(q->st, i);
}

int64_t
mx_col_int(const struct mx_query *q, int i)
{
	return q->row ? q->conn->ops->col_int(q->st, i) : 0;
}

mx_str
mx_col_str(const struct mx_query *q, int i)
{
	return q->row ? q->conn->ops->col_str(q->st, i) : (mx_str){ NULL, 0 };
}

/* Gives q back to its statement; the copy may be used again when nothing went wrong in preparing
 * it. */
static mx_error *
query_done(struct mx_query *q)
{
	mx_error *e = q->error;

	query_unlink(q);
	q->home->open--;
	q->error = NULL;
	q->started = q->row = q->done = false;
	if (q->st == NULL) {
		query_free(q);
		return e;
	}
	q->next = q->home->spare;
	q->home->spare = q;
	return e;
}

mx_error *
mx_query_end(struct mx_query *q)
{
	if (q->st != NULL)
		q->conn->ops->reset(q->st);
	return query_done(q);
}

mx_error *
mx_query_run(struct mx_query *q)
{
	if (!query_go(q))
		return mx_query_end(q);
	q->error = mx_conn_check(q->conn, q->conn->ops->run(q->st));
	return query_done(q);
}

/* ---- tidying up ---- */

void
mx_conn_tidy(struct mx_conn *c)
{
	while (c->open != NULL) {
		mx_log("sql", MX_ERROR, "SQL001", "a query was not ended",
		       mx_fz("statement", c->open->home->text));
		mx_error *e = mx_query_end(c->open);
		mx_error_free(&e);
	}
	atomic_fetch_add_explicit(&c->db->statements, c->uncounted, memory_order_relaxed);
	c->uncounted = 0;
}

void
mx_conn_close(struct mx_conn **cp)
{
	struct mx_conn *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	mx_conn_tidy(c);
	for (size_t i = 0; i < MX_CONN_BUCKETS; i++)
		while (c->table[i] != NULL)
			prepared_drop(c, &c->table[i]);
	if (c->storage != NULL)
		c->ops->disconnect(&c->storage);
	mx_error_free(&c->refused);
	free(c);
}

uint64_t
mx_conn_statements(struct mx_conn *c)
{
	uint64_t n = c->statements;

	c->statements = 0;
	return n;
}

mx_error *
mx_snapshot_begin(struct mx_conn *c)
{
	if (c->txn != NULL || c->snapshot)
		mx_sql_misuse("mx_snapshot_begin inside of a transaction");
	if (c->resting)
		mx_conn_wake(c);
	if (c->lost)
		return gone(c);
	MX_TRY(mx_conn_check(c, c->ops->begin(c->storage, false)));
	c->snapshot = true;
	return NULL;
}

void
mx_snapshot_end(struct mx_conn *c)
{
	if (!c->snapshot)
		return;
	c->snapshot = false;
	mx_conn_tidy(c);
	/* Nothing was changed, so there is nothing to commit, and a rollback cannot fail. */
	if (!c->lost)
		c->ops->rollback(c->storage);
}
