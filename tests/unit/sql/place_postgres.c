/* A PostgreSQL of the test's own: made in a directory of its own, reachable by a socket in it, run
 * by a user who is not root, and ended by its process id. */
#include "config.h"

#include <glob.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/sql/place.h"

extern const struct mx_storage_ops postgres_ops;

static char dir[] = "/tmp/myelin-pg-XXXXXX";
static char conninfo[128];

/* The path of a server program; false when there is none. */
static bool
find(const char *name, char out[256])
{
	char pattern[64];
	glob_t g;

	snprintf(pattern, sizeof(pattern), "/usr/lib/postgresql/*/bin/%s", name);
	if (glob(pattern, 0, NULL, &g) == 0 && g.gl_pathc > 0)
		snprintf(out, 256, "%s", g.gl_pathv[g.gl_pathc - 1]);
	else
		snprintf(out, 256, "/usr/bin/%s", name);
	globfree(&g);
	return access(out, X_OK) == 0;
}

/* Runs a shell command as somebody who may run PostgreSQL. */
static int
run(const char *command)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct passwd *who = getpwnam("postgres");
		if (who == NULL)
			who = getpwnam("nobody");
		if (geteuid() == 0 &&
		    (who == NULL || setgid(who->pw_gid) != 0 || setuid(who->pw_uid) != 0))
			_exit(1);
		if (chdir(dir) != 0)
			_exit(1);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(1);
	}
	return pid < 0 || waitpid(pid, &status, 0) != pid ? -1 : status;
}

static void
control(const char *what)
{
	char pg_ctl[256], command[1024];

	if (find("pg_ctl", pg_ctl)) {
		snprintf(command, sizeof(command), "%s -D %s/data -w -l %s/log %s >/dev/null 2>&1",
			 pg_ctl, dir, dir, what);
		run(command);
	}
}

void
place_stop(void)
{
	char command[64];

	control("-m immediate stop");
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	if (system(command) != 0)
		fprintf(stderr, "%s could not be removed\n", dir);
}

/* A test that aborts leaves no server behind. */
static void
stop_on_abort(int number)
{
	(void)number;
	signal(SIGABRT, SIG_DFL);
	place_stop();
	abort();
}

bool
place_start(void)
{
	char initdb[256], pg_ctl[256], command[2048];

	if (!find("initdb", initdb) || !find("pg_ctl", pg_ctl) || mkdtemp(dir) == NULL)
		return false;
	struct passwd *who = getpwnam("postgres");
	if (who == NULL)
		who = getpwnam("nobody");
	if (geteuid() == 0 && (who == NULL || chown(dir, who->pw_uid, who->pw_gid) != 0))
		return false;
	chmod(dir, 0755);
	snprintf(command, sizeof(command),
		 "HOME=%s; export HOME; %s -D %s/data -U myelin -A trust -E UTF8 --locale=C "
		 "--no-sync >%s/log 2>&1 && "
		 "%s -D %s/data -w -t 60 -l %s/log -o \"-c listen_addresses='' -c "
		 "unix_socket_directories='%s'\" start >/dev/null",
		 dir, initdb, dir, dir, pg_ctl, dir, dir, dir);
	snprintf(conninfo, sizeof(conninfo), "host=%s user=myelin dbname=postgres", dir);
	signal(SIGABRT, stop_on_abort);
	if (run(command) == 0)
		return true;
	fprintf(stderr, "PostgreSQL does not start, see %s/log\n", dir);
	exit(99);
}

void
place_down(void)
{
	control("-m immediate stop");
}

void
place_up(void)
{
	char command[128];

	snprintf(command, sizeof(command),
		 "-o \"-c listen_addresses='' -c unix_socket_directories='%s'\" start", dir);
	control(command);
}

bool
place_restart(void)
{
	place_down();
	place_up();
	return true;
}

mx_error *
place_open(struct mx_db **out, const struct mx_db_options *options)
{
	return mx_db_open(&postgres_ops, NULL, mx_str_of(conninfo), options, out);
}
