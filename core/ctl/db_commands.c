/* The database: its size, its own check, and bringing its tables up to date before a server does.
 */
#include "config.h"

#include <unistd.h>

#include "core/ctl/ctl.h"
#include "core/ctl/local.h"
#include "core/daemon/setup.h"

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

/* ---- migrate: the start of it is done by opening everything ---- */

static const struct mx_sql STATE = MX_SQL("SELECT owner, MAX(number), MAX(applied) FROM migration GROUP BY owner ORDER BY owner");

static mx_error *
list_migrations(struct mx_core *core, struct mx_buf *text, json_t **json)
{
	MX_AUTO(mx_conn) *c = NULL;
	struct mx_query *q;

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

static void
show_progress(void *arg, const char *owner, const struct mx_migration *m, int64_t done, int64_t total)
{
	(void)arg;
	if (total > 0)
		mx_ctl_progress_note("migration %u of %s (%s): %lld of about %lld rows", m->number, owner,
				     m->what, (long long)done, (long long)total);
	else
		mx_ctl_progress_note("migration %u of %s (%s): %lld rows", m->number, owner, m->what,
				     (long long)done);
}

/* What a server would do behind its start is done at once, as nobody else is there. */
static mx_error *
migrate_all(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, json_t **json)
{
	const struct mx_migrate_pace pace = { .hurry = true, .progress = show_progress };
	struct mx_migration_set sets[MX_SETUP_TABLES_MAX];
	size_t count = mx_setup_tables(core, sets, MX_SETUP_TABLES_MAX);
	bool open, left = false;

	(void)args, (void)n;
	for (size_t i = 0; i < count; i++) {
		MX_TRY(mx_migrate_work(mx_core_db(core), &sets[i], &pace, &open));
		left = left || open;
	}
	MX_TRY(list_migrations(core, text, json));
	if (left)
		mx_buf_str(text, MX_S("Something is left for when the other processes have ended: "
				      "see --plan.\n"));
	return NULL;
}

const struct mx_control_row mx_ctl_local_rows[] = {
	{ "db migrate", "", "Brings the tables up to date.", migrate_all },
};
const size_t mx_ctl_local_row_count = sizeof(mx_ctl_local_rows) / sizeof(mx_ctl_local_rows[0]);

/* ---- plans ---- */

struct plan {
	struct mx_buf *text;
	json_t *json;
};

static void
put_number(struct mx_buf *b, int64_t n, const char *unit)
{
	char text[40];

	if (n < 0)
		snprintf(text, sizeof(text), "?");
	else
		snprintf(text, sizeof(text), "%lld%s", (long long)n, unit);
	mx_buf_printf(b, " %12s", text);
}

static void
put_row(void *arg, const struct mx_migrate_row *row)
{
	struct plan *p = arg;

	mx_buf_printf(p->text, "%-24s %4u  %-8s", row->owner, row->m->number, row->phase);
	put_number(p->text, row->rows, " rows");
	put_number(p->text, row->ms, " ms");
	mx_buf_printf(p->text, "  %s", row->m->what);
	if (row->done > 0)
		mx_buf_printf(p->text, "; %lld are done", (long long)row->done);
	if (row->waits != NULL)
		mx_buf_printf(p->text, "; waits for the end of %s", row->waits);
	mx_buf_byte(p->text, '\n');
	json_array_append_new(
		p->json, json_pack("{s:s,s:I,s:s,s:s,s:o,s:I,s:o,s:o}", "owner", row->owner, "number",
				   (json_int_t)row->m->number, "phase", row->phase, "what", row->m->what,
				   "rows", row->rows < 0 ? json_null() : json_integer(row->rows), "done",
				   (json_int_t)row->done, "ms",
				   row->ms < 0 ? json_null() : json_integer(row->ms), "waits_for",
				   row->waits != NULL ? json_string(row->waits) : json_null()));
}

static mx_error *
make_plan(struct mx_core *core, void *arg)
{
	struct mx_migration_set sets[MX_SETUP_TABLES_MAX];
	size_t n = mx_setup_tables(core, sets, MX_SETUP_TABLES_MAX);

	for (size_t i = 0; i < n; i++)
		MX_TRY(mx_migrate_plan(mx_core_db(core), &sets[i], put_row, arg));
	return NULL;
}

static mx_error *
plan(struct mx_ctl *ctl)
{
	MX_AUTO(mx_buf) *text = mx_buf_new(0);
	MX_AUTO_JSON *json = json_array();
	mx_error *e = mx_ctl_local_database(ctl, make_plan, &(struct plan){ text, json });

	if (e != NULL)
		return e;
	if (ctl->json)
		mx_ctl_write_json(json);
	else if (json_array_size(json) == 0)
		mx_ctl_write(MX_S("There is nothing to do.\n"));
	else
		mx_ctl_write(mx_buf_view(text));
	return NULL;
}

static mx_error *
migrate(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	int fd;

	if (n == 1 && strcmp(args[0], "--plan") == 0)
		return plan(ctl);
	if (n == 1) {
		*status = MX_CTL_USAGE;
		return mx_error_new(MX_E_BAD_REQUEST, "%s: expected --plan, or nothing", args[0]);
	}
	MX_TRY(mx_ctl_connect(ctl, &fd));
	if (fd < 0)
		return mx_ctl_forward(ctl, MX_CTL_ANYWHERE,
				      (const mx_str[]){ MX_S("db"), MX_S("migrate") }, 2, status);
	close(fd);
	puts("The server runs: it has brought the tables of its modules up to date when it started "
	     "them, and does by itself what takes longer: db migrate --plan shows what is left.");
	return NULL;
}

const struct mx_ctl_command mx_ctl_db_commands[] = {
	{ "db stat", "", "prints the size of the database and what was done with it", NULL, 0, 0,
	  stat_db },
	{ "db migrate", "[--plan]", "brings the tables up to date, before the server is started",
	  "Prints the number of the last migration of the core's areas and of each module. A "
	  "server does the same when it starts, and behind its start what takes long.\n"
	  "There is no way back: make a copy first.\n"
	  "With --plan nothing is done: what this program would do is shown, beside a running server "
	  "too: whose migration, its number and phase, how many rows its table has, and about how long "
	  "it takes (of a backfill measured with a batch of 100 rows that is undone; a server rests "
	  "between batches and takes five times as long). Phases are: expand, at the start; index, "
	  "backfill, behind it; contract, once no process of an older version is there; whole, at the "
	  "start, and not while a process of an older version is there.",
	  0, 1, migrate },
	{ "db check", "", "runs the database's own consistency check",
	  "Exit status 1 when it finds damage.", 0, 0, check },
};
const size_t mx_ctl_db_command_count = sizeof(mx_ctl_db_commands) / sizeof(mx_ctl_db_commands[0]);
