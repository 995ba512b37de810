#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "modules/storage-sqlite/sqlite.h"
#include "tests/unit/sql/place.h"

static const struct sqlite_options driver = { .synchronous = "full",
					      .reader_cache = { 256 << 10 },
					      .writer_cache = { 4 << 20 },
					      .wal = { 2 << 20 },
					      .busy = { 300 } };
static sqlite3 *other;
static char dir[] = "/tmp/myelin-sql-XXXXXX";

bool
place_start(void)
{
	return mkdtemp(dir) != NULL;
}

static void
path_of(char out[128], const char *suffix)
{
	snprintf(out, 128, "%s/test.db%s", dir, suffix);
}

void
place_stop(void)
{
	char path[128];

	path_of(path, "");
	unlink(path);
	path_of(path, "-wal");
	unlink(path);
	path_of(path, "-shm");
	unlink(path);
	rmdir(dir);
}

bool
place_restart(void)
{
	return false;
}

/* Another program holds the file's lock. */
void
place_down(void)
{
	char path[128];

	path_of(path, "");
	if (sqlite3_open(path, &other) != SQLITE_OK ||
	    sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
		abort();
}

void
place_up(void)
{
	sqlite3_close(other);
}

mx_error *
place_open(struct mx_db **out, const struct mx_db_options *options)
{
	char path[128];

	path_of(path, "");
	return mx_db_open(&sqlite_ops, &driver, mx_str_of(path), options, out);
}
