#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/sql/place.h"

extern const struct mx_storage_ops sqlite_ops;

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

mx_error *
place_open(struct mx_db **out, const struct mx_db_options *options)
{
	char path[128];

	path_of(path, "");
	return mx_db_open(&sqlite_ops, NULL, mx_str_of(path), options, out);
}
