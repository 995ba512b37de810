/* The database as the core opens it. What the rest does with it stands in <myelin/sql.h>; what a
 * driver is, in <myelin/storage.h>. The writer is a thread of the process, started by mx_db_open
 * and ended by mx_db_close. */
#ifndef CORE_SQL_DB_H
#define CORE_SQL_DB_H

#include <myelin/module.h>

/* The section [database] of myelin.conf. */
struct mx_db_options {
	const char *url;		/* "sqlite:PATH", "postgres:CONNINFO" */
	int64_t readers;		/* connections for reading, opened as they are needed */
	int64_t batch;			/* the most functions in one transaction of the writer */
	int64_t queue;			/* the most writes that wait; more are refused */
	int64_t name_cache;		/* interned strings kept in memory */
	struct mx_duration read_wait;	/* how long a reader waits for a connection */
	struct mx_duration write_wait;	/* how long a write waits while the database is away */
	struct mx_duration poll;	/* how often to look at what others wrote, without being told */
};
extern const struct mx_option mx_db_option_rows[];
extern const size_t mx_db_option_count;
/* The built-in values, for tests and tools that have no configuration. */
void mx_db_options_default(struct mx_db_options *o);

/* "sqlite:/var/lib/…" into the name of the storage provider and what its driver's open takes as
 * `where`; borrowed. */
mx_error *mx_db_url(mx_str url, mx_str *provider, mx_str *where) MX_MUST_USE;

/* Opens the database through a driver, brings the tables of core/sql up to date and starts the
 * writer. ops and driver_options (the filled struct of the driver's own section) must stay valid
 * until mx_db_close. The options are copied; NULL: the built-in ones. Fails when the database
 * cannot be reached now. */
mx_error *mx_db_open(const struct mx_storage_ops *ops, const void *driver_options, mx_str where,
		     const struct mx_db_options *options, struct mx_db **out) MX_MUST_USE;
/* Finishes what was handed in, ends the writer, and closes all connections. No reader may hold one
 * any more and no one may call mx_write: drain first. */
void mx_db_close(struct mx_db **db);

/* What a thread writes under a condition: in the transaction of each of its writes (mx_write,
 * mx_write_later and mx_write_aside) check comes before the function, and its error is the
 * function's. size: of the whole that begins with it, and that is copied where a write outlives the
 * call. NULL ends it. */
struct mx_guard {
	mx_error *(*check)(struct mx_txn *tx, const struct mx_guard *guard);
	size_t size;
};
void mx_db_guard(const struct mx_guard *guard);

/* The migrations of an owner. */
struct mx_migration_set {
	const char *owner;
	const struct mx_migration *v;
	size_t n;
};
mx_error *mx_migrate_set(struct mx_db *db, const struct mx_migration_set *set) MX_MUST_USE;
/* Those of many in one transaction: what a new database needs is one commit. Either all that were
 * missing are applied or none is, and the error names which could not be. */
mx_error *mx_migrate_all(struct mx_db *db, const struct mx_migration_set *sets,
			 size_t n) MX_MUST_USE;

/* What was left over at the start, in order: indexes are built, tables filled in small batches, and
 * what is not needed any more goes once no process of an older version is there. One process of the
 * server does that at a time, and what it has done lasts. */
struct mx_migrate_pace {
	bool hurry;			/* nobody else uses the database: large batches, no pauses */
	bool (*stop)(void *arg);	/* may be NULL; asked again and again */
	/* May be NULL. total: what was estimated at the beginning, 0: not known. */
	void (*progress)(void *arg, const char *owner, const struct mx_migration *m, int64_t done,
			 int64_t total);
	void *arg;
};
/* *open: something is left, because of `stop`, another process, or a process of an older version. */
mx_error *mx_migrate_work(struct mx_db *db, const struct mx_migration_set *set,
			  const struct mx_migrate_pace *pace, bool *open) MX_MUST_USE;
/* Says from time to time (called at least every 5 s) that this process is there. MX_E_CONFIG: it was
 * away for so long that others have gone on to what it does not know: it must end. */
mx_error *mx_db_beat(struct mx_db *db) MX_MUST_USE;
/* Says so now: another process is about to come, and may look. */
mx_error *mx_db_is_here(struct mx_db *db) MX_MUST_USE;

/* What is still to be done, without doing it. */
struct mx_migrate_row {
	const char *owner;
	const struct mx_migration *m;
	const char *phase;		/* "whole", "expand", "index", "backfill", "contract" */
	int64_t rows, done;		/* -1: not known; of a backfill: that it has filled */
	int64_t ms;			/* about how long it will take; -1: not known */
	const char *waits;		/* for whom, or NULL */
};
/* A backfill's time is measured with a batch that is undone. rows are called back in order. */
mx_error *mx_migrate_plan(struct mx_db *db, const struct mx_migration_set *set,
			  void (*fn)(void *arg, const struct mx_migrate_row *row),
			  void *arg) MX_MUST_USE;

/* What stands for a connection that could not be had: every query on it fails with e. Takes e;
 * mx_conn_put frees it. */
struct mx_conn *mx_conn_failed(struct mx_db *db, mx_error *e);

/* The stream position up to which everything is durable and may be read. */
mx_pos mx_db_position(const struct mx_db *db);

/* Who follows the stream in memory (core/stream) watches the writer. Set once, before the first
 * write. Both are called on the writer's thread, must not block, and must not write. */
struct mx_db_watch {
	/* After the `after` calls of a batch whose positions are now visible, before any caller of
	 * mx_write returns. */
	void (*published)(void *arg, mx_pos upto);
	/* Only on a shared database: other processes have taken the positions after `since` up to
	 * `upto`; read them through c. At the start of a batch, inside its transaction, or between
	 * two, in a transaction that only reads. */
	mx_error *(*caught_up)(void *arg, struct mx_conn *c, mx_pos since, mx_pos upto);
	/* Only where processes can tell each other, before the commit of a batch that has taken the positions after
	 * `since` up to `upto`: what the other processes need of it is written through c. */
	mx_error *(*closing)(void *arg, struct mx_conn *c, mx_pos since, mx_pos upto);
	/* Another process has told this by mx_db_tell. On a thread of its own. */
	void (*told)(void *arg, mx_str text);
	void *arg;
};
void mx_db_set_watch(struct mx_db *db, const struct mx_db_watch *watch);

/* ---- other processes on the same database ---- */

/* Whether they can tell each other what they have written. Where they cannot, others (a tool of the
 * operator) may write all the same, and are noticed at the next batch. */
bool mx_db_tells(const struct mx_db *db);
/* From now on what they write is followed as it is committed. Call it when everything that watches
 * is there, and before anybody is served: when it returns the others know that there is one more.
 * Its facts are what it says of itself, without NUL and at most 3,900 bytes; who is there asks its
 * own meets(arg, facts) about them, on a thread of its own, and an error keeps the new one out: it
 * gets MX_E_CONFIG. Both are copied. */
struct mx_db_peers {
	mx_str facts;
	mx_error *(*meets)(void *arg, mx_str facts);
	/* The database has come back without what it had acknowledged. From now on nothing is read
	 * or written, and this process is to start anew. On the writer's thread, once. */
	void (*fell)(void *arg);
	void *arg;
};
mx_error *mx_db_follow(struct mx_db *db, const struct mx_db_peers *peers) MX_MUST_USE;
/* Before anything that watches goes. */
void mx_db_unfollow(struct mx_db *db);
/* Whether there is none now. */
bool mx_db_alone(const struct mx_db *db);
/* Returns when what any of them has committed by now is known here too: before a request is
 * answered, whose client may have spoken with another process a moment ago. MX_E_UNAVAILABLE. */
mx_error *mx_db_fresh(struct mx_db *db) MX_MUST_USE;
/* Tells them something in passing: it leaves no trace, and whoever cannot be told now misses it.
 * text: without NUL, under 4,000 bytes. Never blocks; from any thread. */
void mx_db_tell(struct mx_db *db, mx_str text);

/* The bytes of the database's files, and its own consistency check (*report: for a person, free()
 * it). */
mx_error *mx_db_disk_size(struct mx_db *db, int64_t *out) MX_MUST_USE;
mx_error *mx_db_check(struct mx_db *db, char **report) MX_MUST_USE;

#endif
