/* Everything that is counted: the core's parts first, then what the modules' tables name. */
#include "config.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/daemon/server.h"
#include "core/http/fetch.h"
#include "core/http/server.h"
#include "core/room/rooms.h"
#include "core/runtime/jobs.h"
#include "core/runtime/registry.h"
#include "core/sql/db.h"
#include "core/stream/stream.h"

static void
metric(struct mx_buf *b, const char *name, bool counter, const char *help, int64_t value)
{
	mx_buf_printf(b, "# HELP myelin_%s %s\n# TYPE myelin_%s %s\nmyelin_%s %lld\n", name, help,
		      name, counter ? "counter" : "gauge", name, (long long)value);
}

static void
seconds(struct mx_buf *b, const char *name, const char *help, uint64_t us)
{
	mx_buf_printf(b,
		      "# HELP myelin_%s %s\n# TYPE myelin_%s counter\nmyelin_%s %llu.%06llu\n",
		      name, help, name, name, (unsigned long long)us / 1000000,
		      (unsigned long long)us % 1000000);
}

static void
head(struct mx_buf *b, const char *name, bool counter, const char *help)
{
	mx_buf_printf(b, "# HELP myelin_%s %s\n# TYPE myelin_%s %s\n", name, help, name,
		      counter ? "counter" : "gauge");
}

/* ---- the process ---- */

/* A line of /proc/self/status in bytes. */
static int64_t
status_bytes(const char *key)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	long long kib = 0;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, key, strlen(key)) == 0)
			kib = strtoll(line + strlen(key), NULL, 10);
	if (f != NULL)
		fclose(f);
	return kib * 1024;
}

static int64_t
open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	int64_t n = 0;

	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		closedir(d);
	return n - 3;	/* . and .. and the folder itself */
}

static void
process(struct mx_core *core, struct mx_buf *b)
{
	const struct mx_server *s = core->main;

	head(b, "info", false, "The version that runs.");
	mx_buf_printf(b, "myelin_info{version=\"%s\"} 1\n", mx_version());
	if (s != NULL)
		metric(b, "start_time_seconds", false, "When the server was started (Unix time).",
		       s->started / 1000);
	metric(b, "resident_memory_bytes", false, "Memory of the process that is in use.",
	       status_bytes("VmRSS:"));
	metric(b, "open_files", false, "Open file descriptors.", open_files());
}

/* ---- the parts of the core ---- */

static void
http(struct mx_core *core, struct mx_buf *b)
{
	struct mx_http_stats st;

	mx_http_stats(core->http, &st);
	metric(b, "http_connections_total", true, "Connections accepted.", (int64_t)st.connections);
	metric(b, "http_connections_refused_total", true, "Connections refused at a limit.",
	       (int64_t)st.refused);
	metric(b, "http_limited_total", true, "Requests refused by a rate limit.",
	       (int64_t)st.limited);
	head(b, "http_requests_total", true,
	     "Requests answered, by the first digit of the status; 0: the client was gone.");
	for (size_t i = 0; i < sizeof(st.requests) / sizeof(st.requests[0]); i++)
		mx_buf_printf(b, "myelin_http_requests_total{status=\"%zu\"} %llu\n", i,
			      (unsigned long long)st.requests[i]);
	metric(b, "http_connections", false, "Open connections.", (int64_t)st.open);
	metric(b, "http_requests_active", false, "Requests that are being worked on.",
	       (int64_t)st.active);
	metric(b, "http_requests_parked", false, "Requests that wait for something to happen.",
	       (int64_t)st.parked);
	head(b, "http_requests_queued", false, "Requests that wait for a worker.");
	mx_buf_printf(b,
		      "myelin_http_requests_queued{pool=\"local\"} "
		      "%zu\nmyelin_http_requests_queued{pool=\"remote\"} %zu\n"
		      "myelin_http_requests_queued{pool=\"cpu\"} %zu\n"
		      "myelin_http_requests_queued{pool=\"upload\"} %zu\n",
		      st.queued_local, st.queued_remote, st.queued_cpu, st.queued_upload);
}

static void
fetch(struct mx_core *core, struct mx_buf *b)
{
	struct mx_fetch_stats st;

	mx_fetcher_stats(core->fetcher, &st);
	metric(b, "fetch_requests_total", true, "Requests to other servers.", (int64_t)st.requests);
	metric(b, "fetch_failures_total", true, "Requests to other servers without an answer.",
	       (int64_t)st.failures);
	metric(b, "fetch_received_bytes_total", true, "Bytes of other servers' answers.",
	       (int64_t)st.received);
	metric(b, "fetch_active", false, "Requests to other servers that are under way.",
	       (int64_t)st.active);
}

static void
database(struct mx_core *core, struct mx_buf *b)
{
	struct mx_sql_stats st;

	mx_sql_stats(core->db, &st);
	metric(b, "sql_statements_total", true, "Statements run.", (int64_t)st.statements);
	metric(b, "sql_reads_total", true, "Connections taken for reading.", (int64_t)st.reads);
	metric(b, "sql_batches_total", true, "Transactions of the writer.", (int64_t)st.batches);
	metric(b, "sql_writes_total", true, "Changes made by the writer.", (int64_t)st.writes);
	seconds(b, "sql_writer_lock_seconds_total",
		"Time in which this process held the writer's lock, for which all others wait.",
		st.lock_us);
	seconds(b, "sql_writer_lock_wait_seconds_total",
		"Time in which this process waited for the writer's lock.", st.lock_wait_us);
	metric(b, "sql_retries_total", true, "Batches that were run again.", (int64_t)st.retries);
	metric(b, "stream_position", true, "The position up to which everything is durable.",
	       mx_db_position(core->db));
}

static void
arrivals(const struct mx_rooms_stats *rs, struct mx_buf *b)
{
	head(b, "rooms_events_total", true,
	     "Events of other servers, by what became of them and why.");
	for (int f = 0; f < MX_FATE_COUNT; f++)
		for (int k = 0; k < MX_REASON_COUNT; k++)
			if (rs->arrived[f][k] > 0)
				mx_buf_printf(b,
					      "myelin_rooms_events_total{fate=\"%s\",reason=\"%s\"} "
					      "%llu\n",
					      mx_fate_name((enum mx_fate)f),
					      mx_reason_name((enum mx_reason)k),
					      (unsigned long long)rs->arrived[f][k]);
}

static void
stream_and_rooms(struct mx_core *core, struct mx_buf *b)
{
	struct mx_stream_stats ss;
	struct mx_rooms_stats rs;

	mx_stream_stats(core->stream, &ss);
	metric(b, "stream_published_total", true, "Items published.", (int64_t)ss.published);
	metric(b, "stream_wakes_total", true, "Waiting requests woken.", (int64_t)ss.wakes);
	metric(b, "stream_parked", false, "Requests that wait for the stream.", (int64_t)ss.parked);
	metric(b, "stream_present_users", false, "Users whose rooms are in memory.",
	       (int64_t)ss.present);
	mx_rooms_stats(core->rooms, &rs);
	metric(b, "rooms_sent_total", true, "Events made.", (int64_t)rs.sent);
	metric(b, "rooms_conflicts_total", true,
	       "Events prepared anew because the room had moved on.", (int64_t)rs.conflicts);
	metric(b, "rooms_event_cache_hits_total", true, "Events found in memory.",
	       (int64_t)rs.event_hits);
	metric(b, "rooms_event_cache_misses_total", true, "Events read from the database.",
	       (int64_t)rs.event_misses);
	metric(b, "rooms_event_cache_bytes", false, "Events in memory.", (int64_t)rs.event_bytes);
	metric(b, "rooms_state_cache_hits_total", true, "State nodes found in memory.",
	       (int64_t)rs.node_hits);
	metric(b, "rooms_state_cache_misses_total", true, "State nodes read from the database.",
	       (int64_t)rs.node_misses);
	metric(b, "rooms_state_cache_bytes", false, "State nodes in memory.",
	       (int64_t)rs.node_bytes);
	metric(b, "rooms_in_memory", false, "Rooms in memory.", (int64_t)rs.rooms);
	arrivals(&rs, b);
}

/* ---- modules ---- */

static void
put_name(struct mx_buf *b, const char *s)
{
	for (; *s != 0; s++)
		mx_buf_byte(b, isalnum((unsigned char)*s) ? *s : '_');
}

static void
module_metrics(struct mx_module_self *self, struct mx_buf *b)
{
	MX_AUTO(mx_buf) *name = mx_buf_new(0);

	for (size_t i = 0; i < self->image->metric_count; i++) {
		const struct mx_metric_row *m = &self->image->metrics[i];

		mx_buf_truncate(name, 0);
		put_name(name, self->name);
		mx_buf_byte(name, '_');
		put_name(name, m->name);
		metric(b, mx_buf_cstr(name), m->counter != 0, m->help != NULL ? m->help : "",
		       m->read(self));
	}
}

static void
hooks(const struct mx_generation *g, struct mx_buf *b)
{
	static const char *const heads[][2] = {
		{ "hook_calls_total", "Calls of a module's hook." },
		{ "hook_refusals_total", "What a module's hook refused." },
		{ "hook_microseconds_total", "Time spent in a module's hook." },
	};

	for (size_t k = 0; k < 3; k++) {
		head(b, heads[k][0], true, heads[k][1]);
		for (size_t id = 0; id < MX_HOOK_COUNT; id++) {
			for (size_t i = 0; i < g->hooks[id].n; i++) {
				const struct mx_hook_entry *h = g->hooks[id].v[i];
				uint64_t v = k == 0   ? atomic_load(&h->calls)
					     : k == 1 ? atomic_load(&h->refusals)
						      : atomic_load(&h->us);

				mx_buf_printf(b, "myelin_%s{module=\"%s\",hook=\"%s\"} %llu\n",
					      heads[k][0], h->self->name,
					      mx_hook_name((uint32_t)id), (unsigned long long)v);
			}
		}
	}
}

static void
put_job(void *arg, const struct mx_job_stats *st)
{
	mx_buf_printf(arg,
		      "myelin_job_runs_total{module=\"%s\",job=\"%s\",failed=\"no\"} %llu\n"
		      "myelin_job_runs_total{module=\"%s\",job=\"%s\",failed=\"yes\"} %llu\n",
		      st->module, st->name, (unsigned long long)(st->runs - st->failures),
		      st->module, st->name, (unsigned long long)st->failures);
}

void
mx_server_metrics(struct mx_core *core, struct mx_buf *b)
{
	unsigned ticket;
	struct mx_generation *g;

	process(core, b);
	if (core->http != NULL)
		http(core, b);
	if (core->fetcher != NULL)
		fetch(core, b);
	if (core->db != NULL)
		database(core, b);
	if (core->stream != NULL && core->rooms != NULL)
		stream_and_rooms(core, b);
	head(b, "job_runs_total", true, "Runs of a module's job.");
	mx_jobs_each(core, put_job, b);
	g = mx_registry_enter(core, &ticket);
	if (g != NULL) {
		hooks(g, b);
		for (size_t i = 0; i < g->module_count; i++)
			module_metrics(g->modules[i], b);
	}
	mx_registry_leave(core, ticket);
}
