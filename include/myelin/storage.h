/* What a storage module provides: a driver for one database, not a copy of every query. The kind
 * "storage" of provider. sql.h stands on it; nothing else calls it. */
#ifndef MYELIN_STORAGE_H
#define MYELIN_STORAGE_H

#include <myelin/sql.h>

#define MX_STORAGE_ABI 1

enum mx_storage_caps {
	MX_STORAGE_NOTIFY = 1 << 0,	/* other processes may write: each batch begins with what they wrote */
	MX_STORAGE_DEFERS = 1 << 1,	/* run() may report an error later, at the latest from commit() */
	MX_STORAGE_ASIDE = 1 << 2,	/* a second writing transaction may run beside the writer's */
};

struct mx_storage;		/* an opened database: the driver's */
struct mx_storage_conn;		/* a connection: the driver's */
struct mx_storage_stmt;		/* a prepared statement on a connection: the driver's */

/* MX_E_UNAVAILABLE from any of these means that the connection (or its transaction) is gone: the
 * core disconnects it and opens another one. MX_E_EXISTS: a unique constraint. A connection is used
 * by one thread at a time. */
struct mx_storage_ops {
	uint32_t size, caps;
	/* where: the value of [database] url behind the scheme; options are the driver's own
	 * section. */
	mx_error *(*open)(const void *options, mx_str where, struct mx_storage **out);
	void (*close)(struct mx_storage **s);
	/* writer: the one connection that writes; others read. Connections may be opened from any
	 * thread. */
	mx_error *(*connect)(struct mx_storage *s, bool writer, struct mx_storage_conn **out);
	void (*disconnect)(struct mx_storage_conn **c);

	/* text: with $n and dialect words. The statement lives as long as its connection. */
	mx_error *(*prepare)(struct mx_storage_conn *c, const char *text,
			     struct mx_storage_stmt **out);
	void (*finalize)(struct mx_storage_stmt **st);
	void (*bind_int)(struct mx_storage_stmt *st, int i, int64_t v);
	void (*bind_text)(struct mx_storage_stmt *st, int i, mx_str v);
	void (*bind_blob)(struct mx_storage_stmt *st, int i, const void *p, size_t n);
	void (*bind_null)(struct mx_storage_stmt *st, int i);
	mx_error *(*step)(struct mx_storage_stmt *st, bool *row);
	mx_error *(*run)(struct mx_storage_stmt *st);		/* no rows wanted; resets */
	void (*reset)(struct mx_storage_stmt *st);		/* ends a run, forgets the parameters */
	bool (*col_null)(const struct mx_storage_stmt *st, int i);
	int64_t (*col_int)(const struct mx_storage_stmt *st, int i);
	mx_str (*col_str)(const struct mx_storage_stmt *st, int i);

	mx_error *(*begin)(struct mx_storage_conn *c, bool write);
	/* Where beginning to write does not keep other processes' writers out: waits for the lock
	 * of the batch, inside the transaction. May be NULL. */
	mx_error *(*lock)(struct mx_storage_conn *c);
	mx_error *(*commit)(struct mx_storage_conn *c);		/* MX_E_UNCERTAIN: look again */
	void (*rollback)(struct mx_storage_conn *c);
	mx_error *(*savepoint)(struct mx_storage_conn *c);
	mx_error *(*release)(struct mx_storage_conn *c);	/* keeps what the savepoint guarded */
	mx_error *(*rollback_to)(struct mx_storage_conn *c);	/* undoes and ends it */
	mx_error *(*exec)(struct mx_storage_conn *c, const char *script);	/* migrations: several statements */
	/* The size in bytes of the database's files, journals included. */
	mx_error *(*disk_size)(struct mx_storage_conn *c, int64_t *out);
	/* The database's own consistency check; *report is text for a person, freed by the caller.
	 */
	mx_error *(*check)(struct mx_storage_conn *c, char **report);

	/* Between the processes that share a database; all NULL where there is but one. notify, on
	 * the writer's connection and within its transaction: tells who listens, once it is
	 * committed; outside of one, at once. text: without NUL, at most MX_STORAGE_NOTE bytes. */
	mx_error *(*notify)(struct mx_storage_conn *c, mx_str text);
	/* A connection that hears what is told from now on. Only hear and disconnect take it. */
	mx_error *(*listen)(struct mx_storage *s, struct mx_storage_conn **out);
	/* Waits until something was told (*text: borrowed until the next call), wake_fd can be read,
	 * or ms are over: then text->p is NULL. */
	mx_error *(*hear)(struct mx_storage_conn *c, int wake_fd, int ms, mx_str *text);
	/* How many others listen now, besides this connection. */
	mx_error *(*others)(struct mx_storage_conn *c, int64_t *out);

	/* Since 1.3; NULL where writing needs no patience. Within a transaction: from here on it
	 * waits at most this long for any lock, then it fails with MX_E_UNAVAILABLE. */
	mx_error *(*patience)(struct mx_storage_conn *c, mx_msec ms);
	/* Since 1.3; NULL where an index is built within a transaction. Outside of any, on a
	 * connection that nobody else uses: runs a CREATE INDEX while others write to the table. What
	 * an earlier attempt has left is done again. stop is asked every now and then: MX_E_AGAIN. */
	mx_error *(*index)(struct mx_storage_conn *c, const char *sql, bool (*stop)(void *arg),
			   void *arg);
};
#define MX_STORAGE_NOTE 4000

/* For drivers: copies text onto out with each $n written as `param`n and each dialect word
 * ("{blob}") replaced. What stands in quotes or comments stays as it is; an unknown word is an
 * error. */
struct mx_storage_word {
	const char *word, *text;	/* "blob", "BYTEA" */
};
MX_API mx_error *mx_storage_dialect(const char *text, char param,
				    const struct mx_storage_word *words, size_t n,
				    struct mx_buf *out) MX_MUST_USE;

#endif
