#include "config.h"

#include "core/daemon/server.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/account/accounts.h"
#include "core/account/commands.h"
#include "core/room/commands.h"
#include "core/daemon/migrator.h"
#include "core/daemon/notify.h"
#include "core/daemon/peers.h"
#include "core/http/fetch.h"
#include "core/http/rate.h"
#include "core/http/server.h"
#include "core/runtime/durable.h"
#include "core/runtime/hooks.h"
#include "core/runtime/jobs.h"
#include "core/runtime/loader.h"
#include "core/runtime/option.h"
#include "core/runtime/pool.h"
#include "core/runtime/registry.h"
#include "core/sql/db.h"
#include "core/stream/stream.h"

enum { DEFER_THREADS = 2 };

/* ---- calls from other threads ---- */

struct mx_call {
	struct mx_call *next;
	mx_error *(*fn)(struct mx_core *core, void *arg);
	void *arg;
	mx_error *result;
	sem_t done;
};

static void
wake(void *arg)
{
	struct mx_server *s = arg;
	uint64_t one = 1;
	ssize_t ignored = write(s->wake, &one, sizeof(one));

	(void)ignored;
}

static mx_error *
on_main(struct mx_core *core, mx_error *(*fn)(struct mx_core *core, void *arg), void *arg)
{
	struct mx_server *s = core->main;
	struct mx_call call = { .fn = fn, .arg = arg };
	bool closed;

	if (pthread_equal(pthread_self(), s->main))
		return fn(core, arg);
	sem_init(&call.done, 0, 0);
	pthread_mutex_lock(&s->lock);
	closed = s->closed;
	if (!closed) {
		struct mx_call **end = &s->calls;

		while (*end != NULL)
			end = &(*end)->next;
		*end = &call;
	}
	pthread_mutex_unlock(&s->lock);
	if (closed) {
		call.result = mx_error_new(MX_E_UNAVAILABLE, "the server is stopping");
	} else {
		wake(s);
		while (sem_wait(&call.done) != 0)
			continue;
	}
	sem_destroy(&call.done);
	return call.result;
}

static void
run_calls(struct mx_server *s)
{
	for (;;) {
		struct mx_call *call;

		pthread_mutex_lock(&s->lock);
		call = s->calls;
		if (call != NULL)
			s->calls = call->next;
		pthread_mutex_unlock(&s->lock);
		if (call == NULL)
			return;
		call->result = call->fn(s->core, call->arg);
		sem_post(&call->done);
	}
}

void
mx_server_turn(struct mx_server *s)
{
	uint64_t n;
	ssize_t ignored = read(s->wake, &n, sizeof(n));

	(void)ignored;
	run_calls(s);
	s->leaving = mx_modules_reap(s->core);
}

/* ---- what HTTP asks ---- */

static mx_error *
authenticate(void *arg, struct mx_request *rq, mx_str token, const struct mx_auth **out)
{
	struct mx_core *core = arg;

	return mx_accounts_authenticate(core->accounts, rq, token, out);
}

static bool
known(void *arg, struct mx_request *rq, mx_str token, const struct mx_auth **out)
{
	struct mx_core *core = arg;

	return mx_db_alone(core->db) && mx_accounts_peek(core->accounts, rq, token, out);
}

static void
release(void *arg, const struct mx_auth *auth)
{
	(void)arg;
	mx_auth_release(auth);
}

static bool
current(void *arg, const struct mx_auth *auth)
{
	(void)arg;
	return mx_auth_current(auth);
}

static struct mx_conn *
conn_get(void *arg)
{
	struct mx_core *core = arg;
	struct mx_conn *c;
	mx_error *e = mx_conn_get(core->db, &c);

	return e == NULL ? c : mx_conn_failed(core->db, e);
}

static void
database_fell(void *arg)
{
	struct mx_core *core = arg;
	struct mx_server *s = core->main;

	atomic_store(&s->anew, true);
	wake(s);
}

static mx_error *
follow(struct mx_core *core)
{
	MX_AUTO(mx_buf) *facts = mx_buf_new(0);

	mx_peer_facts(core, facts);
	return mx_db_follow(core->db, &(struct mx_db_peers){ .facts = mx_buf_view(facts),
							     .meets = mx_peer_meets,
							     .fell = database_fell,
							     .arg = core });
}

static mx_error *
fresh(void *arg)
{
	struct mx_core *core = arg;

	return mx_db_fresh(core->db);
}

static void
conn_put(void *arg, struct mx_conn *c)
{
	(void)arg;
	mx_conn_put(&c);
}

/* What the core's own parts tell those of other processes; modules have names without a dot. */
#define TOPIC_HTTP "core.http"
#define TOPIC_HERE "core.here"		/* by who comes in; what is said to any topic brings the streams together */
#define TOPIC_WELCOME "core.welcome"

static void
tell_http(void *arg, mx_str text)
{
	struct mx_core *core = arg;

	if (!mx_db_alone(core->db))
		mx_core_tell(core, MX_S(TOPIC_HTTP), text);
}

static void
told(void *arg, mx_str text)
{
	struct mx_core *core = arg;
	mx_str topic, rest;

	if (!mx_str_cut(text, ' ', &topic, &rest))
		return;
	if (mx_str_eq(topic, MX_S(TOPIC_HTTP)))
		mx_http_told(core->http, rest);
	else if (mx_str_eq(topic, MX_S(TOPIC_HERE)))
		mx_core_tell(core, MX_S(TOPIC_WELCOME), MX_S(""));
	else
		mx_hooks_told(core, text);
}

/* What the processes of this server know and nobody else: they have one signing key, whose
 * signatures of this text are one, and are never published. */
static void
rate_secret(struct mx_core *core, unsigned char out[MX_RATE_SECRET])
{
	unsigned char hash[MX_SHA256_SIZE];
	char signature[87];

	mx_sign_bytes(core->key, MX_S("myelin: what the rate limits are counted by"), signature);
	mx_sha256(signature, sizeof(signature) - 1, hash);
	memcpy(out, hash, MX_RATE_SECRET);
}

static mx_error *
open_http(struct mx_core *core, const struct mx_http_options *options)
{
	struct mx_http_hooks hooks = {
		.arg = core,
		.authenticate = authenticate,
		.known = known,
		.release = release,
		.current = current,
		.conn_get = conn_get,
		.conn_put = conn_put,
		.fresh = fresh,
		.pin = mx_self_pin,
		.unpin = mx_self_unpin,
	};

	const struct mx_http_socket *sockets;
	size_t n;

	if (core->shared) {
		hooks.tell = tell_http;
		rate_secret(core, hooks.rate_secret);
	}
	MX_TRY(mx_http_new(core, options, &hooks, &core->http));
	sockets = mx_handover_sockets(&n);
	mx_http_inherit(core->http, sockets, n);
	return NULL;
}

/* ---- starting ---- */

static mx_error *
set_levels(const struct mx_setup *setup)
{
	const struct mx_log_options *log = mx_setup_section(setup, "log");

	return mx_error_wrap(mx_log_levels(log->levels), "[log] levels");
}

static mx_error *
quit(struct mx_core *core, void *arg)
{
	(void)core;
	((struct mx_server *)arg)->quit = true;
	return NULL;
}

/* This process may not use the tables any more. */
static void
tables_are_over(void *arg)
{
	struct mx_server *s = arg;

	(void)mx_error_drop(on_main(s->core, quit, s));
}

static mx_error *
start_all(struct mx_server *s)
{
	struct mx_core *core = s->core;
	const struct mx_http_options *http = mx_setup_section(s->setup, "http");

	core->pool = mx_pool_new("defer", DEFER_THREADS, 0);
	mx_jobs_new(core);
	MX_TRY(open_http(core, http));
	MX_TRY(mx_fetcher_new(mx_setup_section(s->setup, "fetch"), &core->fetcher));
	MX_TRY(mx_modules_start(core));
	mx_control_register(core, mx_server_commands, mx_server_command_count);
	mx_control_register(core, mx_account_commands, mx_account_command_count);
	mx_control_register(core, mx_room_commands, mx_room_command_count);
	/* A process that takes over replaces the socket of the one before it, once it serves. */
	if (!mx_handover_received())
		MX_TRY(mx_control_start(core, core->server.control));
	mx_stream_on_told(core->stream, told, core);
	MX_TRY(follow(core));
	mx_core_tell(core, MX_S(TOPIC_HERE), MX_S(""));
	MX_TRY(mx_http_start(core->http));
	MX_TRY(mx_durable_start(core));
	MX_TRY(mx_jobs_start(core));
	MX_TRY(mx_migrator_start(core, tables_are_over, s, &s->migrator));
	return mx_handover_received() ? mx_control_start(core, core->server.control) : NULL;
}

mx_error *
mx_server_open(const char *file, const char *const *set, size_t set_count, bool check,
	       struct mx_server **out)
{
	struct mx_server *s = mx_alloc(sizeof(*s));
	struct mx_setup_options o = {
		.file = file, .set = set, .set_count = set_count, .wake = wake, .wake_arg = s
	};
	mx_error *e;

	*out = s;
	s->main = pthread_self();
	s->started = mx_now();
	s->handover.ready = -1;
	pthread_mutex_init(&s->lock, NULL);
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	e = mx_setup_read(&o, &s->setup);
	s->core = s->setup->core;
	s->core->main = s;
	s->core->on_main = on_main;
	if (e == NULL)
		e = set_levels(s->setup);
	if (e != NULL || check)
		return e;
	MX_TRY(mx_setup_lock(s->setup));
	MX_TRY(mx_setup_open(s->setup));
	return start_all(s);
}

/* ---- stopping ---- */

static void
close_calls(struct mx_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->closed = true;
	pthread_mutex_unlock(&s->lock);
	run_calls(s);
}

void
mx_server_close(struct mx_server **server)
{
	struct mx_server *s = *server;
	struct mx_core *core;

	*server = NULL;
	if (s == NULL)
		return;
	core = s->core;
	close_calls(s);
	if (core->http != NULL && !mx_http_drain(core->http, core->server.drain_timeout.ms))
		mx_log("runtime", MX_WARN, "RUN041",
		       "requests were cut off at the end of the drain");
	/* Whoever still waits for another server waits no longer. */
	if (core->fetcher != NULL)
		mx_fetcher_abort(core->fetcher);
	mx_control_stop(core);
	mx_migrator_stop(&s->migrator);
	mx_modules_drain(core);
	mx_jobs_stop(core);
	mx_durable_stop(core);
	/* What others tell is told to HTTP, too. */
	if (core->db != NULL)
		mx_db_unfollow(core->db);
	if (core->http != NULL)
		mx_http_stop(&core->http);
	/* The writer may still finish what was handed in: from here on it tells no module, so that
	 * nothing is deferred. */
	mx_registry_publish(core, NULL);
	if (core->pool != NULL)
		mx_pool_stop(&core->pool);
	mx_setup_close(&s->setup);
	close(s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* ---- reloading ---- */

/* Takes over what may change. Numbers change in place, where the parts of the server read them;
 * texts and lists are for the parts that have a function of their own to take them up. */
static void
merge_section(const struct mx_core_section *row, void *live, const void *now, struct mx_buf *notes)
{
	for (size_t i = 0; i < *row->n; i++) {
		const struct mx_option *o = &row->rows[i];
		void *at = (char *)live + o->offset;
		const void *from = (const char *)now + o->offset;

		if (mx_option_same(o, live, now))
			continue;
		if ((o->flags & MX_OPT_RELOAD) == 0)
			mx_buf_printf(notes, "[%s] %s\n", row->name, o->name);
		else if (o->type == MX_OPT_BOOL)
			__atomic_store_n((bool *)at, *(const bool *)from, __ATOMIC_RELAXED);
		else if (o->type != MX_OPT_STR && o->type != MX_OPT_LIST)
			__atomic_store_n((int64_t *)at, *(const int64_t *)from, __ATOMIC_RELAXED);
	}
}

static mx_error *
reload_core(struct mx_server *s, struct mx_values *fresh[MX_CORE_SECTIONS], struct mx_buf *notes)
{
	mx_error *e = NULL;

	for (size_t i = 0; i < MX_CORE_SECTIONS; i++) {
		const struct mx_core_section *row = mx_core_section(i);

		if (strcmp(row->name, "http") == 0)
			e = mx_http_reload(s->core->http, fresh[i]->data);
		else if (strcmp(row->name, "log") == 0)
			e = mx_error_wrap(
				mx_log_levels(
					((const struct mx_log_options *)fresh[i]->data)->levels),
				"[log] levels");
		if (e != NULL)
			return e;
		merge_section(row, s->setup->sections[i]->data, fresh[i]->data, notes);
	}
	s->core->server.drain_timeout =
		((const struct mx_server_options *)mx_setup_section(s->setup, "server"))
			->drain_timeout;
	return NULL;
}

mx_error *
mx_server_reload(struct mx_server *s)
{
	struct mx_values *fresh[MX_CORE_SECTIONS];
	MX_AUTO(mx_buf) *notes = mx_buf_new(0);
	struct mx_config *config;
	mx_error *e = mx_setup_reread(s->setup, &config, fresh);

	mx_notify("RELOADING=1");
	if (e == NULL)
		e = reload_core(s, fresh, notes);
	if (e == NULL) {
		mx_modules_reload_options(s->core, config, notes);
		mx_config_free(&s->setup->config);
		s->core->config = s->setup->config = config;
	} else {
		mx_config_free(&config);
	}
	for (size_t i = 0; i < MX_CORE_SECTIONS; i++)
		mx_values_free(&fresh[i]);
	for (mx_str rest = mx_buf_view(notes), line; mx_str_cut(rest, '\n', &line, &rest);)
		mx_log("runtime", MX_WARN, "RUN043", "a changed option needs a restart",
		       mx_fs("option", line));
	if (e == NULL)
		mx_log("runtime", MX_INFO, "RUN042", "configuration is taken up");
	mx_notify("READY=1");
	return e;
}
