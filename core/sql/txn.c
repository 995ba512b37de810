/* A transaction as its functions see it, and transactions beside the writer. */
#include "config.h"

#include "core/sql/impl.h"

void
mx_txn_init(struct mx_txn *tx, struct mx_conn *c)
{
	*tx = (struct mx_txn){ .db = c->db, .conn = c, .arena = mx_arena_new() };
	tx->after_end = &tx->after;
	c->txn = tx;
}

void
mx_txn_call_after(struct mx_txn *tx, struct mx_after **from, bool committed)
{
	struct mx_after *a = *from;

	*from = NULL;
	tx->after_end = from;
	for (; a != NULL; a = a->next)
		a->fn(a->arg, committed);
}

void
mx_txn_detach(struct mx_txn *tx)
{
	if (tx->conn == NULL)
		return;
	mx_conn_tidy(tx->conn);
	tx->conn->txn = NULL;
	tx->conn = NULL;
}

void
mx_txn_end(struct mx_txn *tx)
{
	mx_txn_detach(tx);
	mx_arena_free(&tx->arena);
}

struct mx_conn *
mx_txn_conn(struct mx_txn *tx)
{
	return tx->conn;
}

struct mx_arena *
mx_txn_arena(struct mx_txn *tx)
{
	return tx->arena;
}

mx_pos
mx_txn_pos(struct mx_txn *tx)
{
	if (tx->aside)
		mx_sql_misuse("mx_txn_pos in a write aside");
	return ++tx->db->writer.pos;
}

void
mx_txn_after(struct mx_txn *tx, void (*fn)(void *arg, bool committed), void *arg)
{
	struct mx_after *a = mx_arena_alloc(tx->arena, sizeof(*a));

	a->fn = fn;
	a->arg = arg;
	*tx->after_end = a;
	tx->after_end = &a->next;
}

/* ---- guards ---- */

static _Thread_local const struct mx_guard *guard_here;

void
mx_db_guard(const struct mx_guard *guard)
{
	guard_here = guard;
}

const struct mx_guard *
mx_guard_here(void)
{
	return guard_here;
}

mx_error *
mx_txn_run(struct mx_txn *tx, const struct mx_guard *guard, mx_write_fn *fn, void *arg)
{
	if (guard != NULL)
		MX_TRY(guard->check(tx, guard));
	return fn(tx, arg);
}

/* ---- beside the writer ---- */

static mx_error *
aside_run(struct mx_conn *c, mx_write_fn *fn, void *arg)
{
	struct mx_txn tx;

	MX_TRY(mx_conn_check(c, c->ops->begin(c->storage, true)));
	mx_txn_init(&tx, c);
	tx.aside = true;
	mx_error *e = mx_txn_run(&tx, guard_here, fn, arg);
	mx_conn_tidy(c);
	if (e == NULL && c->lost)
		e = mx_db_unavailable("the connection to the database was lost");
	if (e == NULL)
		e = mx_conn_check(c, c->ops->commit(c->storage));
	if (mx_error_is(e, MX_E_UNCERTAIN))
		c->lost = true;
	if (e != NULL && !c->lost)
		c->ops->rollback(c->storage);
	mx_txn_call_after(&tx, &tx.after, e == NULL);
	mx_txn_end(&tx);
	return e;
}

struct aside {
	mx_write_fn *fn;
	void *arg;
};

static mx_error *
aside_within(struct mx_txn *tx, void *arg)
{
	struct aside *as = arg;

	tx->aside = true;
	mx_error *e = as->fn(tx, as->arg);
	tx->aside = false;
	return e;
}

mx_error *
mx_write_aside(struct mx_db *db, mx_write_fn *fn, void *arg)
{
	struct mx_conn *c;

	if ((db->ops->caps & MX_STORAGE_ASIDE) == 0)
		return mx_write(db, aside_within, &(struct aside){ fn, arg });
	if (mx_writer_is_here(db))
		mx_sql_misuse("mx_write_aside on the writer's thread");
	MX_TRY(mx_conn_pool_get(&db->asides, &c));
	mx_error *e = aside_run(c, fn, arg);
	atomic_fetch_add_explicit(&db->writes, 1, memory_order_relaxed);
	mx_conn_pool_put(&db->asides, c);
	return e;
}
