/* The core's own commands of the control socket. */
#include "config.h"

#include <stdlib.h>
#include <time.h>

#include "core/daemon/migrator.h"
#include "core/daemon/server.h"
#include "core/http/server.h"
#include "core/runtime/durable.h"
#include "core/runtime/jobs.h"
#include "core/runtime/loader.h"
#include "core/runtime/registry.h"
#include "core/sql/db.h"

enum { LOOK_EVERY_MS = 20 };

static mx_error *
one_argument(size_t n, const char *what)
{
	return n == 1 ? NULL : mx_error_new(MX_E_BAD_REQUEST, "expected one argument: %s", what);
}

static mx_error *
no_argument(size_t n)
{
	return n == 0 ? NULL : mx_error_new(MX_E_BAD_REQUEST, "expected no arguments");
}

/* ---- modules ---- */

static mx_error *
module_list(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, json_t **json)
{
	unsigned ticket;
	struct mx_generation *g;

	(void)args;
	MX_TRY(no_argument(n));
	*json = json_array();
	g = mx_registry_enter(core, &ticket);
	for (size_t i = 0; g != NULL && i < g->module_count; i++) {
		const struct mx_module_self *m = g->modules[i];

		mx_buf_printf(text, "%-24s %-10s %s\n", m->name, m->image->version,
			      m->image->summary);
		json_array_append_new(*json,
				      json_pack("{s:s,s:s,s:s,s:s,s:I}", "name", m->name, "version",
						m->image->version, "summary", m->image->summary,
						"file", m->image->file, "running",
						(json_int_t)atomic_load(&m->pins)));
	}
	mx_registry_leave(core, ticket);
	return NULL;
}

static mx_error *
module_hooks(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, json_t **json)
{
	unsigned ticket;
	struct mx_generation *g;

	(void)args;
	MX_TRY(no_argument(n));
	*json = json_array();
	g = mx_registry_enter(core, &ticket);
	for (size_t id = 0; g != NULL && id < MX_HOOK_COUNT; id++) {
		if (g->hooks[id].n > 0)
			mx_buf_printf(text, "%s\n", mx_hook_name((uint32_t)id));
		for (size_t i = 0; i < g->hooks[id].n; i++) {
			const struct mx_hook_entry *h = g->hooks[id].v[i];
			uint64_t calls = atomic_load(&h->calls), us = atomic_load(&h->us),
				 refusals = atomic_load(&h->refusals);

			mx_buf_printf(text, "  %5d %-24s %10llu calls %10llu us %8llu refused\n",
				      h->priority, h->self->name, (unsigned long long)calls,
				      (unsigned long long)us, (unsigned long long)refusals);
			json_array_append_new(
				*json, json_pack("{s:s,s:s,s:i,s:I,s:I,s:I}", "hook",
						 mx_hook_name((uint32_t)id), "module",
						 h->self->name, "priority", (int)h->priority,
						 "calls", (json_int_t)calls, "microseconds",
						 (json_int_t)us, "refusals", (json_int_t)refusals));
		}
	}
	mx_registry_leave(core, ticket);
	return NULL;
}

struct show {
	const char *name;
	struct mx_buf *text;
};

static mx_error *
show_on_main(struct mx_core *core, void *arg)
{
	struct show *s = arg;
	struct mx_image *im;

	MX_TRY(mx_module_peek(core, s->name, &im));
	mx_image_describe(im, s->text);
	mx_image_free(&im);
	return NULL;
}

static mx_error *
module_show(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, json_t **json)
{
	struct mx_module_self *self;
	struct show show = { .text = text };
	char *name;
	mx_error *e;

	(void)json;
	MX_TRY(one_argument(n, "a module or its file"));
	name = mx_str_dup(args[0]);
	self = mx_registry_module(core, name);
	if (self != NULL) {
		mx_image_describe(self->image, text);
		mx_self_unpin(self);
		free(name);
		return NULL;
	}
	show.name = name;
	e = core->on_main(core, show_on_main, &show);
	free(name);
	return e;
}

struct change {
	const char *name;
	mx_error *(*fn)(struct mx_core *core, struct mx_config *config, const char *name);
	size_t leaving;
};

static mx_error *
change_on_main(struct mx_core *core, void *arg)
{
	struct change *c = arg;
	struct mx_server *s = core->main;
	struct mx_config *config = mx_setup_config(s->setup);
	mx_error *e = c->fn(core, config, c->name);

	mx_config_free(&config);
	mx_jobs_poke(core);
	mx_migrator_poke(s->migrator);
	if (e == NULL)
		e = mx_durable_changed(core);
	s->leaving = mx_modules_reap(core);
	return e;
}

static mx_error *
count_on_main(struct mx_core *core, void *arg)
{
	struct change *c = arg;

	c->leaving = mx_modules_reap(core);
	return NULL;
}

static mx_error *
unload(struct mx_core *core, struct mx_config *config, const char *name)
{
	(void)config;
	return mx_module_unload(core, name);
}

/* Waits until what was replaced has left, as long as a drain may take. */
static mx_error *
wait_left(struct mx_core *core, struct change *c)
{
	int64_t until = mx_monotonic_us() + core->server.drain_timeout.ms * 1000;

	for (;;) {
		MX_TRY(core->on_main(core, count_on_main, c));
		if (c->leaving == 0 || mx_monotonic_us() > until)
			return NULL;
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_EVERY_MS * 1000000L }, NULL);
	}
}

static mx_error *
change(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, const char *done,
       mx_error *(*fn)(struct mx_core *core, struct mx_config *config, const char *name))
{
	struct change c = { .fn = fn };
	char *name;
	mx_error *e;

	MX_TRY(one_argument(n, "the name of a module"));
	name = mx_str_dup(args[0]);
	c.name = name;
	e = core->on_main(core, change_on_main, &c);
	if (e == NULL)
		e = wait_left(core, &c);
	if (e == NULL)
		mx_buf_printf(text, "%s is %s%s\n", name, done,
			      c.leaving > 0 ? "; what still runs of the old one keeps it in memory "
					      "until it ends"
					    : "");
	free(name);
	return e;
}

static mx_error *
module_load(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, json_t **json)
{
	(void)json;
	return change(core, args, n, text, "loaded", mx_module_load);
}

static mx_error *
module_unload(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text,
	      json_t **json)
{
	(void)json;
	return change(core, args, n, text, "unloaded", unload);
}

static mx_error *
module_reload(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text,
	      json_t **json)
{
	(void)json;
	return change(core, args, n, text, "reloaded", mx_module_reload);
}

/* ---- the server ---- */

static mx_error *
metrics(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, json_t **json)
{
	(void)args;
	(void)json;
	MX_TRY(no_argument(n));
	mx_server_metrics(core, text);
	return NULL;
}

static void
put_job(void *arg, const struct mx_job_stats *st)
{
	mx_buf_printf(arg, "Job %s/%s: %llu runs, %llu failed, %s\n", st->module, st->name,
		      (unsigned long long)st->runs, (unsigned long long)st->failures,
		      st->running ? "running" : "waiting");
}

static mx_error *
status(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, json_t **json)
{
	const struct mx_server *s = core->main;
	struct mx_http_stats http;
	struct mx_sql_stats sql;
	unsigned ticket;
	struct mx_generation *g;
	size_t modules;
	mx_msec up = mx_now() - s->started;

	(void)args;
	MX_TRY(no_argument(n));
	mx_http_stats(core->http, &http);
	mx_sql_stats(core->db, &sql);
	g = mx_registry_enter(core, &ticket);
	modules = g != NULL ? g->module_count : 0;
	mx_registry_leave(core, ticket);
	mx_buf_printf(text,
		      "Server: %s, Myelin %s, up %lld s\nConfiguration: %s\nModules: %zu loaded, "
		      "%zu leaving\n"
		      "HTTP: %zu connections, %zu requests running, %zu waiting\nDatabase: "
		      "position %lld, %llu writes in %llu batches\n",
		      core->server.name, mx_version(), (long long)(up / 1000), s->setup->file,
		      modules, (size_t)s->leaving, http.open, http.active, http.parked,
		      (long long)mx_db_position(core->db), (unsigned long long)sql.writes,
		      (unsigned long long)sql.batches);
	mx_jobs_each(core, put_job, text);
	*json = json_pack("{s:s,s:s,s:I,s:s,s:I,s:I,s:I,s:I,s:I}", "server_name", core->server.name,
			  "version", mx_version(), "uptime_ms", (json_int_t)up, "config",
			  s->setup->file, "modules", (json_int_t)modules, "connections",
			  (json_int_t)http.open, "requests_running", (json_int_t)http.active,
			  "requests_waiting", (json_int_t)http.parked, "position",
			  (json_int_t)mx_db_position(core->db));
	return NULL;
}

static mx_error *
db_stat(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, json_t **json)
{
	struct mx_sql_stats st;
	int64_t bytes;

	(void)args;
	MX_TRY(no_argument(n));
	MX_TRY(mx_db_disk_size(core->db, &bytes));
	mx_sql_stats(core->db, &st);
	mx_buf_printf(text,
		      "Size: %lld bytes\nPosition: %lld\nStatements: %llu\nBatches: %llu\nWrites: "
		      "%llu\nRetries: %llu\n",
		      (long long)bytes, (long long)mx_db_position(core->db),
		      (unsigned long long)st.statements, (unsigned long long)st.batches,
		      (unsigned long long)st.writes, (unsigned long long)st.retries);
	*json = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "bytes", (json_int_t)bytes, "position",
			  (json_int_t)mx_db_position(core->db), "statements",
			  (json_int_t)st.statements, "batches", (json_int_t)st.batches, "writes",
			  (json_int_t)st.writes, "retries", (json_int_t)st.retries);
	return NULL;
}

static mx_error *
db_check(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, json_t **json)
{
	char *report = NULL;
	mx_error *e;

	(void)args;
	(void)json;
	MX_TRY(no_argument(n));
	e = mx_db_check(core->db, &report);
	if (report != NULL)
		mx_buf_printf(text, "%s\n", report);
	free(report);
	return e;
}

static mx_error *
log_level(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, json_t **json)
{
	char *spec;
	mx_error *e;

	(void)core;
	(void)json;
	MX_TRY(one_argument(n, "levels, such as info,http=debug"));
	spec = mx_str_dup(args[0]);
	e = mx_log_levels(spec);
	free(spec);
	if (e == NULL)
		mx_buf_str(text, MX_S("log levels are set until the next reload\n"));
	return e;
}

static mx_error *
config_on_main(struct mx_core *core, void *arg)
{
	mx_config_dump(core->config, arg);
	return NULL;
}

static mx_error *
config_show(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, json_t **json)
{
	(void)args;
	(void)json;
	MX_TRY(no_argument(n));
	return core->on_main(core, config_on_main, text);
}

static mx_error *
reload_on_main(struct mx_core *core, void *arg)
{
	(void)arg;
	return mx_server_reload(core->main);
}

static mx_error *
reload(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, json_t **json)
{
	(void)args;
	(void)json;
	MX_TRY(no_argument(n));
	MX_TRY(core->on_main(core, reload_on_main, NULL));
	mx_buf_str(text, MX_S("the configuration is taken up\n"));
	return NULL;
}

static mx_error *
stop_on_main(struct mx_core *core, void *arg)
{
	(void)arg;
	((struct mx_server *)core->main)->quit = true;
	return NULL;
}

static mx_error *
stop(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, json_t **json)
{
	(void)args;
	(void)json;
	MX_TRY(no_argument(n));
	MX_TRY(core->on_main(core, stop_on_main, NULL));
	mx_buf_str(text, MX_S("the server stops\n"));
	return NULL;
}

static mx_error *
upgrade_on_main(struct mx_core *core, void *arg)
{
	(void)arg;
	return mx_handover_start(core->main);
}

static mx_error *
upgrade(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, json_t **json)
{
	struct mx_handover *h = &((struct mx_server *)core->main)->handover;

	(void)args;
	(void)json;
	MX_TRY(no_argument(n));
	MX_TRY(core->on_main(core, upgrade_on_main, NULL));
	while (atomic_load(&h->state) == MX_HANDOVER_STARTING)
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_EVERY_MS * 1000000L }, NULL);
	if (atomic_load(&h->state) == MX_HANDOVER_FAILED)
		return mx_error_new(MX_E_EXISTS, "the new process did not come up, and this one "
						 "goes on: its log says why");
	mx_buf_printf(text, "process %ld serves; the one before ends when what runs there has\n",
		      (long)h->pid);
	return NULL;
}

const struct mx_control_row mx_server_commands[] = {
	{ "status", "", "What the server is and does.", status },
	{ "metrics", "", "Everything that is counted, in the text format of Prometheus.", metrics },
	{ "reload", "", "Takes up the configuration and the certificates anew.", reload },
	{ "upgrade", "", "Starts the program anew, which takes over without a gap.", upgrade },
	{ "stop", "", "Stops the server once what runs has ended.", stop },
	{ "module list", "", "The loaded modules.", module_list },
	{ "module load", "NAME", "Loads a module.", module_load },
	{ "module unload", "NAME", "Unloads a module once nothing of it runs.", module_unload },
	{ "module reload", "NAME", "Replaces a module by what its file holds now.", module_reload },
	{ "module show", "NAME|FILE", "What a module says of itself, loaded or not.", module_show },
	{ "module hooks", "", "The hooks in the order in which they run, with counts.",
	  module_hooks },
	{ "config show", "", "The configuration in force, without secrets.", config_show },
	{ "log level", "LEVELS",
	  "Sets what is logged: a level, then exceptions by area: info,http=debug", log_level },
	{ "db stat", "", "The database's size and counters.", db_stat },
	{ "db check", "", "Runs the database's own consistency check.", db_check },
};
const size_t mx_server_command_count = sizeof(mx_server_commands) / sizeof(mx_server_commands[0]);
