/* The SQLite driver's own. */
#ifndef STORAGE_SQLITE_H
#define STORAGE_SQLITE_H

#include <pthread.h>
#include <sqlite3.h>

#include <myelin/module.h>

struct sqlite_options {
	const char *synchronous;	/* "full", "relaxed" */
	struct mx_size reader_cache, writer_cache, wal;
	struct mx_size mmap;
	struct mx_duration busy;
};
extern const struct mx_option sqlite_option_rows[];
extern const size_t sqlite_option_count;
extern const struct mx_storage_ops sqlite_ops;

/* Copies the write-ahead log into the database beside the writer, so that commits stay short. */
enum checkpoint_state {
	CHECKPOINT_RESTING,
	CHECKPOINT_ASKED,		/* the thread is to copy */
	CHECKPOINT_FINISHING,		/* the writer is to copy the rest after its next commit */
};
struct checkpointer {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	sqlite3 *db;
	int limit;			/* pages of the log from which on it is copied */
	int next;			/* ask again at this many: a reader may keep the log from starting over */
	enum checkpoint_state state;
	bool running, stop;
	bool active;			/* there was a commit since the thread looked last */
};

struct mx_storage {
	char *path;
	struct sqlite_options options;
	struct checkpointer checkpointer;
	sqlite3_vfs vfs;		/* log_file.c; zName NULL: SQLite's own */
	char vfs_name[32];
};

/* Writes of the log by the piece, for connections that are opened between these two. */
void log_file_begin(struct mx_storage *s);
void log_file_end(struct mx_storage *s);
/* A transaction on this sqlite3 * was undone. */
void log_file_forget(void *db);

mx_error *checkpointer_start(struct mx_storage *s) MX_MUST_USE;
void checkpointer_stop(struct mx_storage *s);
/* After each commit of the writer, on its connection. */
int checkpointer_committed(void *storage, sqlite3 *db, const char *name, int pages);

mx_error *sqlite_open_file(struct mx_storage *s, sqlite3 **out) MX_MUST_USE;
mx_error *sqlite_failed(sqlite3 *db, const char *what) MX_MUST_USE;

#endif
