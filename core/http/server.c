#include "config.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/http/internal.h"

enum { IO_THREADS_MOST = 4, CPU_NICE = 5 };

static void
set_rates(struct mx_http *h, const struct mx_http_options *o)
{
	mx_rates_set(h->rates, MX_RATE_READ,
		     (struct mx_rate){ o->read_every.ms * 1000, o->read_burst });
	mx_rates_set(h->rates, MX_RATE_WRITE,
		     (struct mx_rate){ o->write_every.ms * 1000, o->write_burst });
	mx_rates_set(h->rates, MX_RATE_LOGIN,
		     (struct mx_rate){ o->login_every.ms * 1000, o->login_burst });
	mx_rates_set(h->rates, MX_RATE_REGISTER,
		     (struct mx_rate){ o->register_every.ms * 1000, o->register_burst });
	atomic_store(&h->rate_limits, o->rate_limits);
}

static unsigned
cores(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? (unsigned)n : 1;
}

static mx_error *
make_ios(struct mx_http *h)
{
	unsigned n = (unsigned)h->o->io_threads;

	if (n == 0)
		n = cores() < IO_THREADS_MOST ? cores() : IO_THREADS_MOST;
	h->ios = mx_alloc(n * sizeof(h->ios[0]));
	for (unsigned i = 0; i < n; i++) {
		h->n_ios++;
		MX_TRY(mx_io_init(&h->ios[i], h, i));
	}
	return NULL;
}

static void
destroy(struct mx_http **http)
{
	struct mx_http *h = *http;

	mx_listen_close(h);
	mx_listen_forget(h);
	for (unsigned i = 0; i < h->n_ios; i++)
		mx_io_free(&h->ios[i]);
	free(h->ios);
	mx_rates_free(&h->rates);
	mx_networks_free(&h->trusted);
	mx_guests_free(&h->guests);
	mx_tls_free(&h->tls);
	pthread_mutex_destroy(&h->lock);
	pthread_cond_destroy(&h->changed);
	free(h);
	*http = NULL;
}

mx_error *
mx_http_new(struct mx_core *core, const struct mx_http_options *o,
	    const struct mx_http_hooks *hooks, struct mx_http **out)
{
	struct mx_http *h = mx_alloc(sizeof(*h));
	pthread_condattr_t monotonic;
	mx_error *e;

	h->core = core;
	h->o = o;
	if (hooks != NULL)
		h->hooks = *hooks;
	h->limits = (struct mx_parse_limits){ .uri = (uint32_t)o->uri_limit.bytes,
					      .head = (uint32_t)o->header_limit.bytes,
					      .headers = (uint16_t)o->header_count };
	h->header_timeout = o->header_timeout.ms * 1000;
	h->body_timeout = o->body_timeout.ms * 1000;
	h->write_timeout = o->write_timeout.ms * 1000;
	h->idle_timeout = o->idle_timeout.ms * 1000;
	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&h->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	h->rates = mx_rates_new((size_t)o->rate_table);
	set_rates(h, o);
	if (h->hooks.tell != NULL)
		mx_rates_share(h->rates, h->hooks.rate_secret, h->hooks.tell, h->hooks.arg);
	h->guests = mx_guests_new();
	e = mx_networks_new("[http] trusted_proxies", o->trusted_proxies.v, o->trusted_proxies.n,
			    &h->trusted);
	if (e == NULL)
		e = make_ios(h);
	if (e != NULL) {
		destroy(&h);
		return e;
	}
	*out = h;
	return NULL;
}

void
mx_http_told(struct mx_http *h, mx_str text)
{
	mx_rates_told(h->rates, text, mx_monotonic_us());
}

void
mx_http_set_router(struct mx_http *h, struct mx_router *r)
{
	for (unsigned i = 0; i < h->n_ios; i++) {
		struct mx_io *io = &h->ios[i];
		struct mx_router *old;

		pthread_mutex_lock(&io->router_lock);
		old = io->router;
		io->router = mx_router_ref(r);
		pthread_mutex_unlock(&io->router_lock);
		mx_router_unref(&old);
	}
}

mx_error *
mx_http_start(struct mx_http *h)
{
	unsigned cpu = h->o->cpu_workers > 0 ? (unsigned)h->o->cpu_workers : cores();

	MX_TRY(mx_listen_open(h));
	h->local = mx_pool_new("worker", (unsigned)h->o->workers, 0);
	h->remote = mx_pool_new("remote", (unsigned)h->o->remote_workers, 0);
	h->cpu = mx_pool_new("cpu", cpu, CPU_NICE);
	mx_listen_start(h);
	for (unsigned i = 0; i < h->n_ios; i++) {
		MX_TRY(mx_io_start(&h->ios[i]));
		h->n_started++;
	}
	return NULL;
}

mx_error *
mx_http_reload(struct mx_http *h, const struct mx_http_options *o)
{
	set_rates(h, o);
	return h->tls != NULL ? mx_tls_reload(h->tls, o) : NULL;
}

static void
tell_all(struct mx_http *h, enum io_command c)
{
	for (unsigned i = 0; i < h->n_started; i++)
		mx_io_command(&h->ios[i], c);
}

static bool
is_drained(struct mx_http *h)
{
	return h->n_started == 0 || (atomic_load(&h->open) == 0 && atomic_load(&h->active) == 0);
}

void
mx_http_less(struct mx_http *h, _Atomic size_t *n)
{
	if (atomic_fetch_sub(n, 1) != 1 || !atomic_load(&h->draining))
		return;
	pthread_mutex_lock(&h->lock);
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
}

bool
mx_http_drain(struct mx_http *h, mx_msec most)
{
	struct timespec until;
	int error = 0;
	bool done;

	atomic_store(&h->draining, true);
	tell_all(h, IO_DRAIN);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += most / 1000;
	until.tv_nsec += most % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&h->lock);
	while (!is_drained(h) && error == 0)
		error = pthread_cond_timedwait(&h->changed, &h->lock, &until);
	done = is_drained(h);
	pthread_mutex_unlock(&h->lock);
	return done;
}

void
mx_http_hand_over(struct mx_http *h)
{
	atomic_store(&h->handed_over, true);
}

void
mx_http_stop(struct mx_http **http)
{
	struct mx_http *h = *http;

	if (h == NULL)
		return;
	if (!atomic_load(&h->draining))
		(void)mx_http_drain(h, 0);
	/* First nothing new comes from the I/O threads, then the workers end, then the writes that
	 * they handed in, then what carries their answers. */
	tell_all(h, IO_QUIET);
	pthread_mutex_lock(&h->lock);
	while (h->n_quiet < h->n_started)
		pthread_cond_wait(&h->changed, &h->lock);
	pthread_mutex_unlock(&h->lock);
	mx_pool_stop(&h->local);
	mx_pool_stop(&h->remote);
	mx_pool_stop(&h->cpu);
	if (h->upload != NULL)
		mx_pool_stop(&h->upload);
	pthread_mutex_lock(&h->lock);
	while (atomic_load(&h->held) > 0)
		pthread_cond_wait(&h->changed, &h->lock);
	pthread_mutex_unlock(&h->lock);
	for (unsigned i = 0; i < h->n_started; i++)
		mx_io_join(&h->ios[i]);
	destroy(http);
}

/* Most servers never need it, and some for nothing but it. */
static struct mx_pool *
upload_pool(struct mx_http *h)
{
	struct mx_pool *p;

	pthread_mutex_lock(&h->lock);
	if (h->upload == NULL)
		h->upload = mx_pool_new("upload", (unsigned)h->o->upload_workers, 0);
	p = h->upload;
	pthread_mutex_unlock(&h->lock);
	return p;
}

struct mx_pool *
mx_http_pool(struct mx_http *h, uint32_t route_flags)
{
	if ((route_flags & MX_ROUTE_STREAM) != 0)
		return upload_pool(h);
	if ((route_flags & MX_ROUTE_REMOTE) != 0)
		return h->remote;
	return (route_flags & MX_ROUTE_CPU) != 0 ? h->cpu : h->local;
}

void
mx_http_stats(struct mx_http *h, struct mx_http_stats *out)
{
	*out = (struct mx_http_stats){ .open = atomic_load(&h->open),
				       .active = atomic_load(&h->active),
				       .parked = atomic_load(&h->parked) };
	out->active = out->active > out->parked ? out->active - out->parked : 0;
	for (unsigned i = 0; i < h->n_ios; i++) {
		struct mx_io *io = &h->ios[i];

		out->connections += atomic_load_explicit(&io->accepted, memory_order_relaxed);
		out->refused += atomic_load_explicit(&io->refused, memory_order_relaxed);
		out->limited += atomic_load_explicit(&io->limited, memory_order_relaxed);
		for (unsigned k = 0; k < 6; k++)
			out->requests[k] +=
				atomic_load_explicit(&io->requests[k], memory_order_relaxed);
	}
	if (h->local != NULL) {
		out->queued_local = mx_pool_queued(h->local);
		out->queued_remote = mx_pool_queued(h->remote);
		out->queued_cpu = mx_pool_queued(h->cpu);
	}
	pthread_mutex_lock(&h->lock);
	if (h->upload != NULL)
		out->queued_upload = mx_pool_queued(h->upload);
	pthread_mutex_unlock(&h->lock);
}
