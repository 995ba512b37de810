/* The file of the write-ahead log. SQLite writes a log page by page with two system calls each, the
 * page and a header of 24 bytes before it; for a message that is eight. With synchronous=FULL
 * nobody else looks at what a transaction has written before the log is synced at its commit, so it
 * is enough to hand it to the system then: one call for what stands in one piece. What a transaction
 * that is undone has written early (its pages did not fit into the cache) is forgotten, as its place
 * in the log may be another's by then. All other files are SQLite's own. */
#include "config.h"

#include <stdlib.h>

#include "sqlite.h"

#define COLLECTED (120 << 10)		/* SQLite writes less than 128 KiB at once */

struct log_file {
	sqlite3_file file;
	sqlite3_file *real;		/* behind it in the same memory */
	char *bytes;			/* NULL until something is written */
	int n;
	sqlite3_int64 at;		/* where the bytes belong */
	bool direct;			/* a commit may write behind its sync: where a write can harm its neighbours */
};

static struct log_file *
of(sqlite3_file *file)
{
	return (struct log_file *)(void *)file;
}

/* What could not be written is forgotten: it belongs to a commit that fails with it. */
static int
flush(struct log_file *l)
{
	int n = l->n;

	l->n = 0;
	return n > 0 ? l->real->pMethods->xWrite(l->real, l->bytes, n, l->at) : SQLITE_OK;
}

static int
log_write(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 at)
{
	struct log_file *l = of(file);
	int rc;

	if (l->direct)
		return l->real->pMethods->xWrite(l->real, bytes, n, at);
	if (l->bytes == NULL && (l->bytes = malloc(COLLECTED)) == NULL)
		return SQLITE_NOMEM;
	if (l->n > 0 && (at != l->at + l->n || n > COLLECTED - l->n)) {
		rc = flush(l);
		if (rc != SQLITE_OK)
			return rc;
	}
	if (n > COLLECTED)
		return l->real->pMethods->xWrite(l->real, bytes, n, at);
	if (l->n == 0)
		l->at = at;
	memcpy(l->bytes + l->n, bytes, (size_t)n);
	l->n += n;
	return SQLITE_OK;
}

static int
log_read(sqlite3_file *file, void *bytes, int n, sqlite3_int64 at)
{
	int rc = flush(of(file));

	return rc == SQLITE_OK ? of(file)->real->pMethods->xRead(of(file)->real, bytes, n, at) : rc;
}

static int
log_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	int rc = flush(of(file));

	return rc == SQLITE_OK ? of(file)->real->pMethods->xTruncate(of(file)->real, size) : rc;
}

static int
log_sync(sqlite3_file *file, int flags)
{
	int rc = flush(of(file));

	return rc == SQLITE_OK ? of(file)->real->pMethods->xSync(of(file)->real, flags) : rc;
}

static int
log_size(sqlite3_file *file, sqlite3_int64 *size)
{
	int rc = flush(of(file));

	return rc == SQLITE_OK ? of(file)->real->pMethods->xFileSize(of(file)->real, size) : rc;
}

static int
log_close(sqlite3_file *file)
{
	struct log_file *l = of(file);

	free(l->bytes);
	return l->real->pMethods->xClose(l->real);
}

static int
log_lock(sqlite3_file *file, int level)
{
	return of(file)->real->pMethods->xLock(of(file)->real, level);
}

static int
log_unlock(sqlite3_file *file, int level)
{
	return of(file)->real->pMethods->xUnlock(of(file)->real, level);
}

static int
log_reserved(sqlite3_file *file, int *out)
{
	return of(file)->real->pMethods->xCheckReservedLock(of(file)->real, out);
}

static int
log_control(sqlite3_file *file, int op, void *arg)
{
	return of(file)->real->pMethods->xFileControl(of(file)->real, op, arg);
}

static int
log_sector(sqlite3_file *file)
{
	return of(file)->real->pMethods->xSectorSize(of(file)->real);
}

static int
log_device(sqlite3_file *file)
{
	return of(file)->real->pMethods->xDeviceCharacteristics(of(file)->real);
}

static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = log_close,
	.xRead = log_read,
	.xWrite = log_write,
	.xTruncate = log_truncate,
	.xSync = log_sync,
	.xFileSize = log_size,
	.xLock = log_lock,
	.xUnlock = log_unlock,
	.xCheckReservedLock = log_reserved,
	.xFileControl = log_control,
	.xSectorSize = log_sector,
	.xDeviceCharacteristics = log_device,
};

static int
open_file(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *out)
{
	sqlite3_vfs *system = vfs->pAppData;
	struct log_file *l = of(file);
	int rc;

	if ((flags & SQLITE_OPEN_WAL) == 0)
		return system->xOpen(system, name, file, flags, out);
	*l = (struct log_file){ .real = (sqlite3_file *)(void *)(l + 1) };
	rc = system->xOpen(system, name, l->real, flags, out);
	if (rc != SQLITE_OK)
		return rc;
	l->direct = (l->real->pMethods->xDeviceCharacteristics(l->real) &
		     SQLITE_IOCAP_POWERSAFE_OVERWRITE) == 0;
	file->pMethods = &methods;
	return SQLITE_OK;
}

void
log_file_forget(void *db)
{
	sqlite3_file *file = NULL;

	if (sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file) == SQLITE_OK &&
	    file != NULL && file->pMethods == &methods)
		of(file)->n = 0;
}

void
log_file_begin(struct mx_storage *s)
{
	sqlite3_vfs *system = sqlite3_vfs_find(NULL);

	/* Where no commit is synced, it must be in the file when it ends. */
	if (strcmp(s->options.synchronous, "full") != 0)
		return;
	snprintf(s->vfs_name, sizeof(s->vfs_name), "myelin-%p", (void *)s);
	s->vfs = *system;
	s->vfs.zName = s->vfs_name;
	s->vfs.pNext = NULL;
	s->vfs.pAppData = system;
	s->vfs.szOsFile = (int)sizeof(struct log_file) + system->szOsFile;
	s->vfs.xOpen = open_file;
	sqlite3_vfs_register(&s->vfs, 0);
}

void
log_file_end(struct mx_storage *s)
{
	if (s->vfs.zName != NULL)
		sqlite3_vfs_unregister(&s->vfs);
}
