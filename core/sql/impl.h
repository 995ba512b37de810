/* What the files of core/sql share: the database, its connections and their statements, the writer.
 */
#ifndef CORE_SQL_IMPL_H
#define CORE_SQL_IMPL_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "core/sql/db.h"

/* ---- connections (conn.c): one thread at a time ---- */

#define MX_CONN_BUCKETS 64
#define MX_CONN_PREPARED 256	/* statements kept prepared on a connection; the longest unused goes */

/* One statement of a connection with its prepared copies: as many as were ever open at once. */
struct mx_prepared {
	struct mx_prepared *chain;
	const struct mx_sql *key;
	/* A module that was unloaded may leave its addresses to another one's statements, so an
	 * address that is found counts only with the same text. */
	char *text;
	struct mx_query *spare;
	uint32_t open;
	uint64_t used;
};

struct mx_query {
	struct mx_conn *conn;
	struct mx_prepared *home;	/* NULL: preparing it failed, st is NULL too */
	struct mx_storage_stmt *st;
	struct mx_query *next, *prev;	/* conn->open; next also links home->spare */
	mx_error *error;
	bool started, row, done;
};

struct mx_conn {
	struct mx_db *db;
	const struct mx_storage_ops *ops;
	struct mx_storage_conn *storage;
	struct mx_txn *txn;		/* the transaction that it belongs to; NULL on a reader */
	struct mx_conn *next;		/* in the pool */
	uint64_t generation;		/* of the pool when it was opened */
	struct mx_prepared *table[MX_CONN_BUCKETS];
	uint32_t prepared;
	uint64_t clock;
	struct mx_query *open;
	uint64_t statements, uncounted;
	bool lost, snapshot;
	bool resting;			/* mx_conn_rest: it has nothing until mx_conn_wake */
	mx_error *refused;		/* mx_conn_failed: there is no connection behind it */
};

mx_error *mx_conn_open(struct mx_db *db, bool writer, struct mx_conn **out) MX_MUST_USE;
/* Moves what is behind one connection, with its statements, to another that has nothing. */
void mx_conn_move(struct mx_conn *to, struct mx_conn *from);
void mx_conn_wake(struct mx_conn *c);
void mx_conn_close(struct mx_conn **c);
/* Ends queries that were left open, and moves the counters into the database's. */
void mx_conn_tidy(struct mx_conn *c);
/* Passes a driver's error on, and notes when it says that the connection is gone. */
mx_error *mx_conn_check(struct mx_conn *c, mx_error *e) MX_MUST_USE;

/* ---- pools of them (pool.c) ---- */

struct mx_conn_wait {
	struct mx_conn_wait *next;
	pthread_cond_t served;
	struct mx_conn *conn;		/* what was handed over … */
	bool may_open;			/* … or the right to open one */
};

struct mx_conn_pool {
	struct mx_db *db;
	bool writer;			/* its connections may write: mx_write_aside */
	pthread_mutex_t lock;
	struct mx_conn *idle;		/* the last one used first: its caches are warm, the others may stay cold */
	struct mx_conn_wait *waits, **waits_end;	/* who came first is served first */
	int64_t open, max;
	uint64_t generation;		/* grows when a connection was lost: the idle ones are of no use then */
};

void mx_conn_pool_init(struct mx_conn_pool *p, struct mx_db *db, bool writer, int64_t max);
void mx_conn_pool_end(struct mx_conn_pool *p);
mx_error *mx_conn_pool_get(struct mx_conn_pool *p, struct mx_conn **out) MX_MUST_USE;
void mx_conn_pool_put(struct mx_conn_pool *p, struct mx_conn *c);
/* From now on connections are opened anew. */
void mx_conn_pool_renew(struct mx_conn_pool *p);

/* ---- transactions (txn.c) ---- */

struct mx_after {
	struct mx_after *next;
	void (*fn)(void *arg, bool committed);
	void *arg;
};

struct mx_txn {
	struct mx_db *db;
	struct mx_conn *conn;
	struct mx_arena *arena;
	struct mx_after *after, **after_end;
	bool aside;
	bool names_known;		/* db->name_max is current within this transaction */
};

void mx_txn_init(struct mx_txn *tx, struct mx_conn *c);
/* Calls what stands at *from and behind, and forgets it. */
void mx_txn_call_after(struct mx_txn *tx, struct mx_after **from, bool committed);
/* Takes it off its connection, which may then be closed. */
void mx_txn_detach(struct mx_txn *tx);
void mx_txn_end(struct mx_txn *tx);

/* Of this thread, or NULL. */
const struct mx_guard *mx_guard_here(void);
/* Runs a function of a write, if its guard lets it. */
mx_error *mx_txn_run(struct mx_txn *tx, const struct mx_guard *guard, mx_write_fn *fn,
		     void *arg) MX_MUST_USE;

/* ---- the writer (writer.c) ---- */

struct mx_job {
	struct mx_job *next;
	mx_write_fn *fn;
	void *arg;
	void (*done)(void *arg, mx_error *e);
	mx_error *error;
	const struct mx_guard *guard;	/* of the thread that handed it in; a copy where it is on the heap */
	int64_t since;			/* mx_monotonic_us when it was handed in */
	bool heap;			/* made by mx_write_later; otherwise on the stack of a caller who waits */
	bool refused;
	sem_t woken;
};

struct mx_writer {
	pthread_t thread;
	pthread_mutex_t lock;		/* guards the queue */
	pthread_cond_t work;
	struct mx_job *first, **last;
	int64_t waiting;
	bool idle, stop;
	bool look, looking;		/* others have written; the thread is reading what */
	pthread_cond_t looked;

	/* the writer thread's own */
	struct mx_conn *conn;
	struct mx_job **batch;
	int64_t next_attempt, back_off;	/* of connecting, in microseconds */
	mx_pos pos;			/* the last position that was allotted */
	bool follows;			/* the table stream is there */
	bool current;			/* pos is what the database says, unless others write */
	int64_t id, batches;		/* of this process, in the table writer */
	bool failing;			/* the disk did, at the last batch */
	int64_t locked_at;		/* when the lock of the batch that runs was there */
};

mx_error *mx_writer_start(struct mx_db *db) MX_MUST_USE;
/* Finishes what was handed in and ends the thread; its connection stays open. */
void mx_writer_stop(struct mx_db *db);
/* Whether the calling thread is the writer of db. */
bool mx_writer_is_here(const struct mx_db *db);
/* MX_E_STORAGE and MX_E_UNCERTAIN with retry_after_ms, for those who asked; what exactly failed is
 * for the log. */
mx_error *mx_db_disk_fails(void) MX_MUST_USE;
mx_error *mx_db_uncertain(void) MX_MUST_USE;
/* MX_E_UNAVAILABLE with retry_after_ms. */
mx_error *mx_db_unavailable(const char *text) MX_MUST_USE;

/* ---- a batch of it (batch.c), on the writer's thread ---- */

#define MX_BATCH_ATTEMPTS 3	/* runs of a batch whose connection is lost each time */

/* Runs these functions and tells who waits for them. */
void mx_batch_run(struct mx_db *db, struct mx_job **jobs, size_t n);
/* Tells who waits that job->error is what became of it. It may be gone afterwards. */
void mx_job_deliver(struct mx_job *job);
/* Reads the positions of other processes, without the lock: what they have committed is whole. */
mx_error *mx_batch_look(struct mx_db *db) MX_MUST_USE;

/* Lets the writer read what other processes have written, with its next batch or now. */
void mx_writer_look(struct mx_db *db);
/* Returns when it does not do that now, and will not before it is asked again. */
void mx_writer_look_end(struct mx_db *db);

/* ---- other processes (follow.c) ---- */

struct mx_note {
	struct mx_note *next;
	size_t n;
	char text[];
};

struct mx_follow {
	pthread_t thread;
	pthread_mutex_t lock;		/* guards the queue of what is to be told */
	struct mx_note *first, **last;
	size_t waiting;
	int wake;			/* an eventfd */
	atomic_bool running;
	atomic_bool stop, alone;	/* nobody else is there */
	atomic_bool renew;		/* the connection is to be opened anew */
	int64_t company_until;		/* the thread's own: not alone before this */

	/* coming in: with the lock */
	pthread_cond_t in;
	bool is_in;			/* whoever is there knows of us */
	struct mx_db_peers peers;
	char *facts;
	mx_error *kept_out;		/* the first reason why; with the lock once it is set */
	int64_t *known_by;		/* the thread's own */
	size_t known_n;
};

/* The database may be another server now. */
void mx_follow_renew(struct mx_db *db);
/* Within a batch: tells the others of it. */
mx_error *mx_follow_note_batch(struct mx_db *db, struct mx_conn *c) MX_MUST_USE;

/* ---- read-your-writes through any process (fresh.c) ---- */

struct mx_fresh {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	uint64_t begun, ended;		/* questions to the database */
	bool asking;
	mx_pos pos;			/* the last answer */
	_Atomic mx_pos shown;		/* what the caches and the ring know */
	atomic_int waiting;
};

void mx_fresh_init(struct mx_fresh *f);
void mx_fresh_end(struct mx_fresh *f);
/* Everything up to here is known to all that follows the stream. */
void mx_fresh_shown(struct mx_db *db, mx_pos pos);

/* ---- clocks that are set anew (skew.c) ---- */

struct mx_skew {
	pthread_mutex_t lock;
	bool known;
	mx_msec apart;			/* the database's clock, less ours */
	mx_msec wall;			/* the system's clock, less the one that is never set */
};

void mx_skew_init(struct mx_skew *s);
void mx_skew_end(struct mx_skew *s);
/* The database has just said what time it is. */
void mx_skew_see(struct mx_db *db, mx_msec theirs);

/* ---- whether the database still holds what we know (lineage.c) ---- */

struct mx_batch_mark {			/* a batch that has moved the stream */
	mx_pos pos;
	int64_t who, batch;		/* in the table writer; who 0: not known */
};

struct mx_lineage {
	pthread_mutex_t lock;
	struct mx_batch_mark last;	/* that we know of */
	int64_t ours, ours_at;		/* our own last batch, and when (mx_monotonic_us) */
	atomic_bool broken;
	bool raised;			/* the writer thread's own */
};

void mx_lineage_init(struct mx_lineage *l);
void mx_lineage_end(struct mx_lineage *l);
bool mx_lineage_broken(const struct mx_db *db);
void mx_lineage_note(struct mx_db *db, struct mx_batch_mark m);
void mx_lineage_note_ours(struct mx_db *db, int64_t batch);
/* Looks at the database behind c; afterwards it may be broken. */
mx_error *mx_lineage_check(struct mx_db *db, struct mx_conn *c) MX_MUST_USE;
void mx_lineage_break(struct mx_db *db, mx_pos known, mx_pos now);
/* On the writer's thread, once it is broken: tells whoever is to start this process anew. The error
 * for those who wait. */
mx_error *mx_lineage_fall(struct mx_db *db, struct mx_conn *c) MX_MUST_USE;

/* ---- names (names.c) ---- */

struct mx_name_cache;
struct mx_name_cache *mx_name_cache_new(int64_t max);
void mx_name_cache_free(struct mx_name_cache **nc);

/* ---- migrations in phases (phase.c, migrate.c, migrate_work.c, migrate_plan.c) ---- */

enum mx_phase {
	MX_PHASE_WHOLE = 0,
	MX_PHASE_EXPAND,
	MX_PHASE_INDEX,
	MX_PHASE_BACKFILL,
	MX_PHASE_CONTRACT,
};
/* *sql: what stands behind the word. */
enum mx_phase mx_phase_of(const struct mx_migration *m, const char **sql);
const char *mx_phase_name(enum mx_phase phase);
/* Whether a program that does not know a migration of this phase can work with what it has made. */
bool mx_phase_suits_older(mx_str name);
/* The table that a statement is about, or empty. */
mx_str mx_phase_table(const char *sql);

struct mx_migrated {
	bool *done;			/* of those that are known here, by number - 1 */
	size_t open;			/* how many are not */
	bool fresh;			/* none was ever applied */
};
/* MX_E_CONFIG: there is one that is not known here, and that must be. */
mx_error *mx_migrate_state(struct mx_conn *c, const char *owner, size_t n, struct mx_arena *a,
			   struct mx_migrated *out) MX_MUST_USE;
mx_error *mx_migrate_check(struct mx_conn *c, const char *owner, size_t n) MX_MUST_USE;

struct mx_migrate_step {
	const struct mx_migration_set *set;
	size_t at;
};
/* In a transaction that waits for no table for long, again and again. */
mx_error *mx_migrate_alter(struct mx_db *db, const struct mx_migrate_step *step) MX_MUST_USE;
mx_error *mx_migrate_record(struct mx_conn *c, const char *owner,
			    const struct mx_migration *m) MX_MUST_USE;
mx_error *mx_migrate_named(mx_error *e, const char *owner, const struct mx_migration *m);
#define MX_FILL_MOST 20000		/* rows in one batch */
/* One batch of a backfill: what follows *place, which moves. */
mx_error *mx_migrate_fill(struct mx_conn *c, const char *sql, int64_t most, int64_t *place,
			  int64_t *rows) MX_MUST_USE;
/* How many rows a table has. */
mx_error *mx_migrate_count(struct mx_conn *c, mx_str table, int64_t *out) MX_MUST_USE;

/* ---- who uses the tables (users.c) ---- */

#define MX_USER_BEAT_MS 10000
#define MX_USER_STALE_MS 40000

struct mx_known {
	char *owner;
	size_t n;			/* how many of its migrations this process knows */
};
struct mx_users {
	pthread_mutex_t lock;
	struct mx_known *v;
	size_t n;
	bool noted;
	int64_t beat;			/* when this process last said that it is there; microseconds */
};
struct mx_older {
	bool there;
	int64_t id, seen;
	char who[80];
};
void mx_users_init(struct mx_users *u);
void mx_users_end(struct mx_users *u);
bool mx_users_knows(struct mx_db *db, const char *owner, size_t n);
void mx_users_learn(struct mx_db *db, const char *owner, size_t n);
/* Says that this process is there, and what it knows: these sets, too. */
mx_error *mx_users_note(struct mx_db *db, struct mx_conn *c, const struct mx_migration_set *sets,
			size_t n) MX_MUST_USE;
/* One of the other processes that use the owner's tables and do not know this migration. */
mx_error *mx_users_older(struct mx_conn *c, const char *owner, uint32_t number,
			 struct mx_older *out) MX_MUST_USE;
mx_error *mx_migrate_older_error(const struct mx_older *older, const char *owner, uint32_t number);
/* Whether this process is the one that works on migrations; it stays that while it is there. */
mx_error *mx_users_hold(struct mx_db *db, bool *mine) MX_MUST_USE;
void mx_users_leave(struct mx_db *db);

/* ---- the database (db.c) ---- */

struct mx_db {
	const struct mx_storage_ops *ops;
	struct mx_storage_ops driver;	/* a copy, with NULL for what an older driver lacks */
	struct mx_storage *storage;
	struct mx_db_options options;	/* url is not kept */
	struct mx_db_watch watch;
	struct mx_conn_pool readers, asides;
	struct mx_writer writer;
	struct mx_follow follow;
	struct mx_fresh fresh;
	struct mx_skew skew;
	struct mx_lineage lineage;
	struct mx_users users;
	struct mx_name_cache *names;
	mx_nid name_max;		/* the writer's: the last nid that was allotted, at least */
	_Atomic mx_pos position;
	atomic_uint_fast64_t statements, reads, batches, writes, retries;
	atomic_uint_fast64_t lock_us, lock_wait_us;	/* the writer's lock: held, waited for */
};

/* Makes the table that mx_migrate keeps its records in, and core/sql's own. */
mx_error *mx_migrate_prepare(struct mx_db *db) MX_MUST_USE;

/* Aborts with a message: the caller broke a rule of the interface. */
_Noreturn void mx_sql_misuse(const char *what);

#endif
