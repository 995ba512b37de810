/* The PostgreSQL driver's own. */
#ifndef STORAGE_POSTGRES_H
#define STORAGE_POSTGRES_H

#include <libpq-fe.h>

#include <myelin/module.h>

struct postgres_options {
	struct mx_duration connect_wait, lock_wait;
};
extern const struct mx_option postgres_option_rows[];
extern const size_t postgres_option_count;
extern const struct mx_storage_ops postgres_ops;

extern const struct mx_storage_word postgres_words[];
extern const size_t postgres_word_count;

struct mx_storage {
	char *conninfo;
	struct postgres_options options;
};

/* ---- a connection (connect.c) ----
 * The writer's is in pipeline mode: commands are sent without waiting for their answers, which are
 * collected at the next read or at the commit. After an error the server skips everything until the
 * next synchronisation. */

/* A command whose answer is still to come. */
struct sent {
	struct mx_storage_stmt *prepares;	/* what it prepares, if it does */
	bool commits;
};

struct mx_storage_conn {
	struct mx_storage *storage;
	PGconn *pg;
	bool writer;
	uint64_t names;			/* of prepared statements, given so far */
	uint64_t *dead;			/* names that are not used any more and wait to be dropped */
	size_t dead_count, dead_room;

	struct sent *pending;		/* a ring */
	size_t pending_count, pending_first, pending_room;
	uint64_t sent_count;		/* commands since the transaction began … */
	uint64_t collected_count;	/* … and their answers */
	uint64_t savepoint_at;		/* sent_count when the savepoint was set */
	bool within, guarded;		/* in a transaction; in a savepoint of it */
	mx_error *deferred;		/* the first error among the answers */
	PGnotify *heard;		/* what postgres_hear has handed out last */
	uint64_t deferred_at;
};

#define CHANNEL "myelin"		/* of notifications */
#define LOCK_OF_THE_BATCH "1299801452"	/* "Myel" */
#define LOCK_OF_WHO_LISTENS "1299801453"	/* shared by all of them, so that they can be counted */

mx_error *postgres_connect(struct mx_storage *s, PGconn **out) MX_MUST_USE;
/* From an answer, or (r == NULL) from the state of the connection. */
mx_error *postgres_failed(PGconn *pg, const PGresult *r) MX_MUST_USE;
/* Whether r (or its absence) tells that the connection is gone. */
bool postgres_is_lost(PGconn *pg, const PGresult *r);
bool postgres_result_ok(const PGresult *r);
/* Runs one command without parameters outside of the pipeline, and expects no rows. */
mx_error *postgres_simple(PGconn *pg, const char *sql) MX_MUST_USE;
/* Remembers to drop a statement's name. */
void postgres_bury(struct mx_storage_conn *c, uint64_t name);
/* Drops what was buried; in the pipeline on the writer's connection. */
void postgres_drop_buried(struct mx_storage_conn *c);

/* ---- what stands between (pooler.c) ---- */

/* Runs what goes first on a new connection, which may have to wait for a session; the last answer
 * goes to *out, unless out is NULL. */
mx_error *postgres_first(struct mx_storage *s, PGconn *pg, const char *sql,
			 PGresult **out) MX_MUST_USE;
/* MX_E_CONFIG: whoever is behind pg does not keep it a session. */
mx_error *postgres_check_pooler(struct mx_storage *s, PGconn *pg) MX_MUST_USE;

/* ---- the pipeline (pipeline.c) ---- */

/* Notes that a command was put into the pipeline (sent: what PQsend… returned). */
mx_error *pipeline_sent(struct mx_storage_conn *c, int sent, struct sent what) MX_MUST_USE;
/* Sends a command without parameters. */
mx_error *pipeline_command(struct mx_storage_conn *c, const char *sql,
			   struct sent what) MX_MUST_USE;
/* Sends one of the commands that set_up has prepared. */
mx_error *pipeline_prepared(struct mx_storage_conn *c, const char *name,
			    struct sent what) MX_MUST_USE;
/* Waits for all answers; the last one's result goes to *last, unless last is NULL. An error of a
 * command is c->deferred afterwards; what is returned is the loss of the connection. */
mx_error *pipeline_collect(struct mx_storage_conn *c, PGresult **last) MX_MUST_USE;
/* The same, and the server takes commands again after an error. */
mx_error *pipeline_sync(struct mx_storage_conn *c) MX_MUST_USE;
/* The deferred error, as often as it is asked for. */
mx_error *pipeline_error(const struct mx_storage_conn *c) MX_MUST_USE;

/* ---- statements (statement.c), transactions (transaction.c), results (result.c) ---- */

int64_t result_int(const PGresult *r, int row, int column);
bool result_is_number(const PGresult *r, int column);

mx_error *postgres_prepare(struct mx_storage_conn *c, const char *text,
			   struct mx_storage_stmt **out) MX_MUST_USE;
void postgres_finalize(struct mx_storage_stmt **st);
void postgres_bind_int(struct mx_storage_stmt *st, int i, int64_t v);
void postgres_bind_text(struct mx_storage_stmt *st, int i, mx_str v);
void postgres_bind_blob(struct mx_storage_stmt *st, int i, const void *p, size_t n);
void postgres_bind_null(struct mx_storage_stmt *st, int i);
mx_error *postgres_step(struct mx_storage_stmt *st, bool *row) MX_MUST_USE;
mx_error *postgres_run(struct mx_storage_stmt *st) MX_MUST_USE;
void postgres_reset(struct mx_storage_stmt *st);
bool postgres_col_null(const struct mx_storage_stmt *st, int i);
int64_t postgres_col_int(const struct mx_storage_stmt *st, int i);
mx_str postgres_col_str(const struct mx_storage_stmt *st, int i);
/* The pipeline tells what became of preparing st. */
void postgres_prepare_failed(struct mx_storage_stmt *st);

mx_error *postgres_begin(struct mx_storage_conn *c, bool write) MX_MUST_USE;
mx_error *postgres_lock(struct mx_storage_conn *c) MX_MUST_USE;
mx_error *postgres_commit(struct mx_storage_conn *c) MX_MUST_USE;
void postgres_rollback(struct mx_storage_conn *c);
mx_error *postgres_savepoint(struct mx_storage_conn *c) MX_MUST_USE;
mx_error *postgres_release(struct mx_storage_conn *c) MX_MUST_USE;
mx_error *postgres_rollback_to(struct mx_storage_conn *c) MX_MUST_USE;
mx_error *postgres_exec(struct mx_storage_conn *c, const char *script) MX_MUST_USE;
mx_error *postgres_patience(struct mx_storage_conn *c, mx_msec ms) MX_MUST_USE;
mx_error *postgres_index(struct mx_storage_conn *c, const char *sql, bool (*stop)(void *arg),
			 void *arg) MX_MUST_USE;

/* ---- between processes (notify.c) ---- */
mx_error *postgres_notify(struct mx_storage_conn *c, mx_str text) MX_MUST_USE;
mx_error *postgres_listen(struct mx_storage *s, struct mx_storage_conn **out) MX_MUST_USE;
mx_error *postgres_hear(struct mx_storage_conn *c, int wake_fd, int ms, mx_str *text) MX_MUST_USE;
mx_error *postgres_others(struct mx_storage_conn *c, int64_t *out) MX_MUST_USE;
void postgres_disconnect(struct mx_storage_conn **c);

#endif
