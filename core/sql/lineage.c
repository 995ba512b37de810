/* Whether the database is still the one that we know. After a failover to a replica that had not
 * received everything, or a crash of a server that does not sync its disk, it comes back older than
 * what this process has seen and answered from. The stream's row names the batch that moved it last,
 * and each process that writes keeps the number of its last batch: a database that lacks the batch
 * that we know of, or our own last one, has lost it, even if others have moved the stream past that
 * position since. Every new connection is looked at before it is used, so none of them shows anything
 * of a database that does not hold what our memory holds. */
#include "config.h"

#include <myelin/log.h>

#include "core/sql/impl.h"

#define UNHEARD 10000		/* positions that may be ahead of what this process knows */
#define FORGOTTEN_US (INT64_C(12) * 3600 * 1000000)	/* rows of writers are kept for a day */

static const struct mx_sql STANDS =
	MX_SQL("SELECT pos, (SELECT batch FROM writer WHERE id = $1), "
	       "(SELECT batch FROM writer WHERE id = $2) FROM stream WHERE one = 1");
static const struct mx_sql RAISE =
	MX_SQL("UPDATE stream SET pos = $1 WHERE one = 1 AND pos < $1");

void
mx_lineage_init(struct mx_lineage *l)
{
	pthread_mutex_init(&l->lock, NULL);
}

void
mx_lineage_end(struct mx_lineage *l)
{
	pthread_mutex_destroy(&l->lock);
}

bool
mx_lineage_broken(const struct mx_db *db)
{
	return atomic_load(&db->lineage.broken);
}

/* ---- what we know ---- */

void
mx_lineage_note(struct mx_db *db, struct mx_batch_mark m)
{
	struct mx_lineage *l = &db->lineage;

	pthread_mutex_lock(&l->lock);
	l->last = m;
	pthread_mutex_unlock(&l->lock);
}

void
mx_lineage_note_ours(struct mx_db *db, int64_t batch)
{
	struct mx_lineage *l = &db->lineage;

	pthread_mutex_lock(&l->lock);
	l->ours = batch;
	l->ours_at = mx_monotonic_us();
	pthread_mutex_unlock(&l->lock);
}

/* ---- whether it holds ---- */

void
mx_lineage_break(struct mx_db *db, mx_pos known, mx_pos now)
{
	if (!atomic_exchange(&db->lineage.broken, true))
		mx_log("sql", MX_ERROR, "SQL002",
		       "the database has lost what it had acknowledged: this process forgets all "
		       "that it knows and starts anew",
		       mx_fi("known", known), mx_fi("now", now));
}

static bool
lacks(const struct mx_query *q, int column, int64_t batch)
{
	return mx_col_null(q, column) || mx_col_int(q, column) < batch;
}

mx_error *
mx_lineage_check(struct mx_db *db, struct mx_conn *c)
{
	struct mx_lineage *l = &db->lineage;

	pthread_mutex_lock(&l->lock);
	struct mx_batch_mark last = l->last;
	int64_t ours = mx_monotonic_us() - l->ours_at < FORGOTTEN_US ? l->ours : 0;
	pthread_mutex_unlock(&l->lock);
	if ((last.pos == 0 && ours == 0) || mx_lineage_broken(db))
		return NULL;

	struct mx_query *q = mx_query(c, &STANDS);
	mx_bind_int(q, 1, last.who);
	mx_bind_int(q, 2, db->writer.id);
	bool there = mx_query_next(q);
	mx_pos now = mx_col_int(q, 0);
	bool lost = !there || now < last.pos || (last.who != 0 && lacks(q, 1, last.batch)) ||
		    (ours != 0 && lacks(q, 2, ours));
	MX_TRY(mx_query_end(q));
	if (lost)
		mx_lineage_break(db, last.pos, now);
	return NULL;
}

/* ---- once it does not ---- */

/* Clients hold positions that are gone: what comes from now on stands behind them, and behind those
 * that another process had given away and we had not heard of. */
static mx_error *
raise(struct mx_db *db, struct mx_conn *c)
{
	MX_TRY(mx_conn_check(c, c->ops->begin(c->storage, true)));
	mx_error *e = mx_conn_check(c, c->ops->lock(c->storage));
	if (e == NULL) {
		struct mx_query *q = mx_query(c, &RAISE);
		mx_bind_int(q, 1, mx_db_position(db) + UNHEARD);
		e = mx_query_run(q);
	}
	if (e == NULL)
		e = mx_conn_check(c, c->ops->commit(c->storage));
	if (e != NULL && !c->lost)
		c->ops->rollback(c->storage);
	return e;
}

mx_error *
mx_lineage_fall(struct mx_db *db, struct mx_conn *c)
{
	const struct mx_db_peers *p = &db->follow.peers;

	if (!db->lineage.raised && mx_error_drop(raise(db, c)))
		c->lost = true;
	else if (!db->lineage.raised && db->follow.running && p->fell != NULL)
		p->fell(p->arg);
	db->lineage.raised = !c->lost;
	return mx_db_unavailable("the database has lost what it had acknowledged");
}
