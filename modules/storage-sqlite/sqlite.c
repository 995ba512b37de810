/* The SQLite driver: write-ahead log, one writing connection, small caches. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sqlite.h"

enum command {
	BEGIN_READ,
	BEGIN_WRITE,
	COMMIT,
	ROLLBACK,
	SAVEPOINT,
	RELEASE,
	ROLLBACK_TO,
	COMMANDS
};

static const char *const command_text[COMMANDS] = {
	"BEGIN",       "BEGIN IMMEDIATE", "COMMIT",        "ROLLBACK",
	"SAVEPOINT f", "RELEASE f",       "ROLLBACK TO f",
};

struct mx_storage_conn {
	struct mx_storage *storage;
	sqlite3 *db;
	sqlite3_stmt *commands[COMMANDS];
	bool writer;
	bool within;			/* a transaction was begun and is not over */
};

struct mx_storage_stmt {
	struct mx_storage_conn *conn;
	sqlite3_stmt *st;
	mx_error *error;		/* of a bind; the next run reports it */
};

static const struct mx_storage_word words[] = {
	{ "blob", "BLOB" },
	{ "key", "INTEGER PRIMARY KEY" },
	{ "unkeyed", "WITHOUT ROWID" },
	{ "now", "CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)" },
};
#define WORDS (sizeof(words) / sizeof(words[0]))

static enum mx_code
code_of(sqlite3 *db)
{
	switch (sqlite3_extended_errcode(db)) {
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID:
		return MX_E_EXISTS;
	default:
		break;
	}
	switch (sqlite3_errcode(db) & 0xff) {
	case SQLITE_FULL:
	case SQLITE_IOERR:
	case SQLITE_READONLY:
		return MX_E_STORAGE;
	case SQLITE_BUSY:
	case SQLITE_CANTOPEN:
	case SQLITE_PROTOCOL:
		return MX_E_UNAVAILABLE;
	default:
		return MX_E_UNKNOWN;
	}
}

mx_error *
sqlite_failed(sqlite3 *db, const char *what)
{
	return mx_error_new(code_of(db), "SQLite: %s: %s", what, sqlite3_errmsg(db));
}

/* ---- the database ---- */

/* Memory statistics put a lock around every allocation of all connections. */
static void
configure_library(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	sqlite3_initialize();
}

/* SQLite would make the file readable for everyone. Only when it is new: closing a file drops the
 * locks that SQLite itself holds on it. */
static mx_error *
create_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 && errno != EEXIST)
		return mx_error_new(MX_E_UNAVAILABLE, "cannot create %s: %s", path,
				    strerror(errno));
	if (fd >= 0)
		close(fd);
	return NULL;
}

static mx_error *
set_pragma(sqlite3 *db, const char *text)
{
	return sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK ? NULL
								     : sqlite_failed(db, text);
}

mx_error *
sqlite_open_file(struct mx_storage *s, sqlite3 **out)
{
	bool full = strcmp(s->options.synchronous, "full") == 0;

	*out = NULL;
	MX_TRY(create_file(s->path));
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
		    SQLITE_OPEN_PRIVATECACHE;
	if (sqlite3_open_v2(s->path, out, flags, s->vfs.zName) != SQLITE_OK) {
		mx_error *e = mx_error_new(MX_E_UNAVAILABLE, "SQLite: cannot open %s: %s", s->path,
					   *out != NULL ? sqlite3_errmsg(*out) : "no memory");
		sqlite3_close(*out);
		*out = NULL;
		return e;
	}
	sqlite3_busy_timeout(*out, (int)s->options.busy.ms);
	mx_error *e = set_pragma(*out, full ? "PRAGMA synchronous = FULL"
					    : "PRAGMA synchronous = NORMAL");
	if (e != NULL) {
		sqlite3_close(*out);
		*out = NULL;
	}
	return e;
}

/* The log of a database is a property of the file, but a file system may refuse it. */
static mx_error *
use_wal(sqlite3 *db, const char *path)
{
	sqlite3_stmt *st = NULL;

	if (sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &st, NULL) != SQLITE_OK ||
	    sqlite3_step(st) != SQLITE_ROW) {
		mx_error *e = sqlite_failed(db, "journal_mode");
		sqlite3_finalize(st);
		return e;
	}
	bool ok = sqlite3_stricmp((const char *)sqlite3_column_text(st, 0), "wal") == 0;
	sqlite3_finalize(st);
	if (!ok)
		return mx_error_new(
			MX_E_CONFIG,
			"%s cannot be used with a write-ahead log: is it on a network file system?",
			path);
	return NULL;
}

static mx_error *
op_open(const void *options, mx_str where, struct mx_storage **out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	*out = NULL;
	pthread_once(&once, configure_library);
	if (sqlite3_threadsafe() == 0)
		return mx_error_new(MX_E_CONFIG, "this SQLite was built without threads");
	if (where.n == 0 || where.p[0] == ':')
		return mx_error_new(MX_E_CONFIG,
				    "[database] url has no path: sqlite:/var/lib/myelin/myelin.db");
	struct mx_storage *s = mx_alloc(sizeof(*s));
	s->path = mx_str_dup(where);
	s->options = (struct sqlite_options){ .synchronous = "full",
					      .reader_cache = { 256 << 10 },
					      .writer_cache = { 4 << 20 },
					      .wal = { 2 << 20 },
					      .busy = { 5000 } };
	if (options != NULL)
		s->options = *(const struct sqlite_options *)options;
	log_file_begin(s);
	*out = s;
	return NULL;
}

static void
op_close(struct mx_storage **sp)
{
	struct mx_storage *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	log_file_end(s);
	free(s->path);
	free(s);
}

/* ---- connections ---- */

static mx_error *
set_up(struct mx_storage_conn *c, bool writer)
{
	const struct sqlite_options *o = &c->storage->options;
	char text[96];

	snprintf(text, sizeof(text), "PRAGMA cache_size = -%lld",
		 (long long)(writer ? o->writer_cache : o->reader_cache).bytes / 1024);
	MX_TRY(set_pragma(c->db, text));
	if (!writer) {
		snprintf(text, sizeof(text), "PRAGMA mmap_size = %lld", (long long)o->mmap.bytes);
		MX_TRY(set_pragma(c->db, text));
		return set_pragma(c->db, "PRAGMA query_only = 1");
	}
	MX_TRY(use_wal(c->db, c->storage->path));
	snprintf(text, sizeof(text), "PRAGMA journal_size_limit = %lld", (long long)o->wal.bytes * 4);
	MX_TRY(set_pragma(c->db, text));
	MX_TRY(set_pragma(c->db, "PRAGMA wal_autocheckpoint = 0"));
	sqlite3_wal_hook(c->db, checkpointer_committed, c->storage);
	sqlite3_rollback_hook(c->db, log_file_forget, c->db);
	return NULL;
}

static void
op_disconnect(struct mx_storage_conn **cp)
{
	struct mx_storage_conn *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	for (int i = 0; i < COMMANDS; i++)
		sqlite3_finalize(c->commands[i]);
	if (c->writer)
		checkpointer_stop(c->storage);
	sqlite3_close(c->db);
	free(c);
}

static mx_error *
op_connect(struct mx_storage *s, bool writer, struct mx_storage_conn **out)
{
	struct mx_storage_conn *c = mx_alloc(sizeof(*c));

	*out = NULL;
	c->storage = s;
	mx_error *e = sqlite_open_file(s, &c->db);
	if (e == NULL)
		e = set_up(c, writer);
	if (e == NULL && writer) {
		e = checkpointer_start(s);
		c->writer = e == NULL;
	}
	if (e != NULL)
		op_disconnect(&c);
	*out = c;
	return e;
}

/* ---- statements ---- */

static mx_error *
op_prepare(struct mx_storage_conn *c, const char *text, struct mx_storage_stmt **out)
{
	MX_AUTO(mx_buf) *sql = mx_buf_new(0);
	sqlite3_stmt *st;

	*out = NULL;
	MX_TRY(mx_storage_dialect(text, '?', words, WORDS, sql));
	if (sqlite3_prepare_v3(c->db, mx_buf_cstr(sql), -1, SQLITE_PREPARE_PERSISTENT, &st, NULL) !=
	    SQLITE_OK)
		return sqlite_failed(c->db, text);
	if (st == NULL)
		return mx_error_new(MX_E_UNKNOWN, "an SQL statement is empty");
	*out = mx_alloc(sizeof(**out));
	(*out)->conn = c;
	(*out)->st = st;
	return NULL;
}

static void
op_finalize(struct mx_storage_stmt **stp)
{
	struct mx_storage_stmt *st = *stp;

	if (st == NULL)
		return;
	*stp = NULL;
	sqlite3_finalize(st->st);
	mx_error_free(&st->error);
	free(st);
}

static void
bound(struct mx_storage_stmt *st, int rc)
{
	if (rc != SQLITE_OK && st->error == NULL)
		st->error = mx_error_new(MX_E_UNKNOWN, "SQLite: bind: %s", sqlite3_errstr(rc));
}

static void
op_bind_int(struct mx_storage_stmt *st, int i, int64_t v)
{
	bound(st, sqlite3_bind_int64(st->st, i, v));
}

static void
op_bind_text(struct mx_storage_stmt *st, int i, mx_str v)
{
	bound(st, sqlite3_bind_text64(st->st, i, v.p, v.n, SQLITE_TRANSIENT, SQLITE_UTF8));
}

static void
op_bind_blob(struct mx_storage_stmt *st, int i, const void *p, size_t n)
{
	bound(st, sqlite3_bind_blob64(st->st, i, p, n, SQLITE_TRANSIENT));
}

static void
op_bind_null(struct mx_storage_stmt *st, int i)
{
	bound(st, sqlite3_bind_null(st->st, i));
}

static void
op_reset(struct mx_storage_stmt *st)
{
	sqlite3_reset(st->st);
	sqlite3_clear_bindings(st->st);
	mx_error_free(&st->error);
}

/* Some errors end the transaction behind our back; what came then would be committed by itself. */
static mx_error *
still_within(const struct mx_storage_conn *c)
{
	if (c->within && sqlite3_get_autocommit(c->db))
		return mx_error_new(MX_E_UNAVAILABLE, "SQLite ended the transaction");
	return NULL;
}

static mx_error *
op_step(struct mx_storage_stmt *st, bool *row)
{
	*row = false;
	if (st->error != NULL) {
		mx_error *e = st->error;
		st->error = NULL;
		return e;
	}
	MX_TRY(still_within(st->conn));
	switch (sqlite3_step(st->st)) {
	case SQLITE_ROW:
		*row = true;
		return NULL;
	case SQLITE_DONE:
		return NULL;
	default:
		return sqlite_failed(st->conn->db, sqlite3_sql(st->st));
	}
}

static mx_error *
op_run(struct mx_storage_stmt *st)
{
	bool row = true;
	mx_error *e = NULL;

	while (e == NULL && row)
		e = op_step(st, &row);
	op_reset(st);
	return e;
}

static bool
op_col_null(const struct mx_storage_stmt *st, int i)
{
	return sqlite3_column_type(st->st, i) == SQLITE_NULL;
}

static int64_t
op_col_int(const struct mx_storage_stmt *st, int i)
{
	return sqlite3_column_int64(st->st, i);
}

static mx_str
op_col_str(const struct mx_storage_stmt *st, int i)
{
	int type = sqlite3_column_type(st->st, i);

	if (type == SQLITE_NULL)
		return (mx_str){ NULL, 0 };
	const char *p = type == SQLITE_BLOB ? sqlite3_column_blob(st->st, i) :
					      (const char *)sqlite3_column_text(st->st, i);
	size_t n = (size_t)sqlite3_column_bytes(st->st, i);
	return p != NULL ? (mx_str){ p, n } : MX_S("");
}

/* ---- transactions ---- */

static int
command(struct mx_storage_conn *c, enum command which)
{
	sqlite3_stmt **st = &c->commands[which];

	if (*st == NULL) {
		int rc = sqlite3_prepare_v3(c->db, command_text[which], -1,
					    SQLITE_PREPARE_PERSISTENT, st, NULL);
		if (rc != SQLITE_OK)
			return rc;
	}
	int rc = sqlite3_step(*st);
	sqlite3_reset(*st);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static mx_error *
command_checked(struct mx_storage_conn *c, enum command which)
{
	MX_TRY(still_within(c));
	return command(c, which) == SQLITE_OK ? NULL : sqlite_failed(c->db, command_text[which]);
}

static mx_error *
op_begin(struct mx_storage_conn *c, bool write)
{
	MX_TRY(command_checked(c, write ? BEGIN_WRITE : BEGIN_READ));
	c->within = true;
	return NULL;
}

static void
op_rollback(struct mx_storage_conn *c)
{
	c->within = false;
	if (!sqlite3_get_autocommit(c->db))
		command(c, ROLLBACK);
}

/* A failed sync leaves it open whether the pages reached the disk. */
static mx_error *
op_commit(struct mx_storage_conn *c)
{
	MX_TRY(still_within(c));
	int rc = command(c, COMMIT);
	if (rc == SQLITE_OK) {
		c->within = false;
		return NULL;
	}
	mx_error *e = sqlite_failed(c->db, "COMMIT");
	if ((sqlite3_errcode(c->db) & 0xff) != SQLITE_IOERR)
		return e;
	mx_error *uncertain = mx_error_new(MX_E_UNCERTAIN, "%s", mx_error_text(e));
	mx_error_free(&e);
	return uncertain;
}

static mx_error *
op_savepoint(struct mx_storage_conn *c)
{
	return command_checked(c, SAVEPOINT);
}

static mx_error *
op_release(struct mx_storage_conn *c)
{
	return command_checked(c, RELEASE);
}

static mx_error *
op_rollback_to(struct mx_storage_conn *c)
{
	MX_TRY(command_checked(c, ROLLBACK_TO));
	return command_checked(c, RELEASE);
}

static mx_error *
op_exec(struct mx_storage_conn *c, const char *script)
{
	MX_AUTO(mx_buf) *sql = mx_buf_new(0);

	MX_TRY(mx_storage_dialect(script, '?', words, WORDS, sql));
	MX_TRY(still_within(c));
	return sqlite3_exec(c->db, mx_buf_cstr(sql), NULL, NULL, NULL) == SQLITE_OK
		       ? NULL
		       : sqlite_failed(c->db, "script");
}

/* ---- looking after it ---- */

static mx_error *
op_disk_size(struct mx_storage_conn *c, int64_t *out)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	MX_AUTO(mx_buf) *path = mx_buf_new(0);
	struct stat st;

	*out = 0;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		mx_buf_truncate(path, 0);
		mx_buf_printf(path, "%s%s", c->storage->path, suffixes[i]);
		if (stat(mx_buf_cstr(path), &st) == 0)
			*out += st.st_size;
	}
	return NULL;
}

static mx_error *
op_check(struct mx_storage_conn *c, char **report)
{
	MX_AUTO(mx_buf) *text = mx_buf_new(0);
	sqlite3_stmt *st;
	int rc;

	*report = NULL;
	if (sqlite3_prepare_v2(c->db, "PRAGMA integrity_check", -1, &st, NULL) != SQLITE_OK)
		return sqlite_failed(c->db, "integrity_check");
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		mx_buf_printf(text, "%s\n", (const char *)sqlite3_column_text(st, 0));
	mx_error *e = rc == SQLITE_DONE ? NULL : sqlite_failed(c->db, "integrity_check");
	sqlite3_finalize(st);
	if (e == NULL)
		*report = mx_str_dup(mx_buf_view(text));
	return e;
}

const struct mx_storage_ops sqlite_ops = {
	.size = sizeof(struct mx_storage_ops),
	/* Another process may have the file open too; to begin a write is to hold the lock of the
	   batch. */
	.caps = MX_STORAGE_NOTIFY,
	.open = op_open,
	.close = op_close,
	.connect = op_connect,
	.disconnect = op_disconnect,
	.prepare = op_prepare,
	.finalize = op_finalize,
	.bind_int = op_bind_int,
	.bind_text = op_bind_text,
	.bind_blob = op_bind_blob,
	.bind_null = op_bind_null,
	.step = op_step,
	.run = op_run,
	.reset = op_reset,
	.col_null = op_col_null,
	.col_int = op_col_int,
	.col_str = op_col_str,
	.begin = op_begin,
	.commit = op_commit,
	.rollback = op_rollback,
	.savepoint = op_savepoint,
	.release = op_release,
	.rollback_to = op_rollback_to,
	.exec = op_exec,
	.disk_size = op_disk_size,
	.check = op_check,
};
