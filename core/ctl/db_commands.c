/* The database: its size, its own check, and bringing its tables up to date before a server does.
 */
#include "config.h"

#include <unistd.h>

#include "core/ctl/ctl.h"
#include "core/ctl/local.h"

static mx_error *
stat_db(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	(void)args, (void)n;
	return mx_ctl_forward(ctl, MX_CTL_ANYWHERE, (const mx_str[]){ MX_S("db"), MX_S("stat") }, 2,
			      status);
}

static mx_error *
check(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	struct mx_ctl_answer answer = { 0 };
	mx_error *e = mx_ctl_ask(ctl, MX_CTL_ANYWHERE,
				 (const mx_str[]){ MX_S("db"), MX_S("check") }, 2, &answer, status);

	(void)args, (void)n;
	if (e == NULL) {
		/* A driver that has nothing to check with says so, and that is no damage. */
		if (!mx_str_starts(mx_str_of(answer.text), MX_S("ok")) &&
		    !mx_str_starts(mx_str_of(answer.text), MX_S("not checked")))
			*status = MX_CTL_FAILED;
		if (ctl->json)
			mx_ctl_write(*status == MX_CTL_OK ? MX_S("true\n") : MX_S("false\n"));
		else
			mx_ctl_write(mx_str_of(answer.text));
	}
	mx_ctl_answer_free(&answer);
	return e;
}

/* ---- migrate: done by opening everything; here is what came of it ---- */

static const struct mx_sql STATE = MX_SQL("SELECT owner, MAX(number), MAX(applied) FROM migration GROUP BY owner ORDER BY owner");

static mx_error *
list_migrations(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text,
		json_t **json)
{
	MX_AUTO(mx_conn) *c = NULL;
	struct mx_query *q;

	(void)args, (void)n;
	MX_TRY(mx_conn_get(mx_core_db(core), &c));
	*json = json_object();
	q = mx_query(c, &STATE);
	while (mx_query_next(q)) {
		mx_str owner = mx_col_str(q, 0);

		mx_buf_printf(text, "%-24.*s %lld\n", MX_SFMT(owner), (long long)mx_col_int(q, 1));
		json_object_setn_new(*json, owner.p, owner.n, json_integer(mx_col_int(q, 1)));
	}
	return mx_query_end(q);
}

const struct mx_control_row mx_ctl_local_rows[] = {
	{ "db migrate", "", "Brings the tables up to date.", list_migrations },
};
const size_t mx_ctl_local_row_count = sizeof(mx_ctl_local_rows) / sizeof(mx_ctl_local_rows[0]);

static mx_error *
migrate(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	int fd;

	(void)args, (void)n;
	MX_TRY(mx_ctl_connect(ctl, &fd));
	if (fd < 0)
		return mx_ctl_forward(ctl, MX_CTL_ANYWHERE,
				      (const mx_str[]){ MX_S("db"), MX_S("migrate") }, 2, status);
	close(fd);
	puts("The server runs: it has brought the tables of its modules up to date when it started "
	     "them.");
	return NULL;
}

const struct mx_ctl_command mx_ctl_db_commands[] = {
	{ "db stat", "", "prints the size of the database and what was done with it", NULL, 0, 0,
	  stat_db },
	{ "db migrate", "", "brings the tables up to date, before the server is started",
	  "Prints the number of the last migration of the core's areas and of each module. A "
	  "server does the same when it starts.\n"
	  "There is no way back: make a copy first.",
	  0, 0, migrate },
	{ "db check", "", "runs the database's own consistency check",
	  "Exit status 1 when it finds damage.", 0, 0, check },
};
const size_t mx_ctl_db_command_count = sizeof(mx_ctl_db_commands) / sizeof(mx_ctl_db_commands[0]);
