#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/http/internal.h"

/* When another process takes over: how long who is connected may still ask. A client that keeps a
 * connection expects that it ends; one that has just made it does not. */
enum { GRACE_US = 1000000, GRACE_OF_THE_NEW_US = 5000000 };

/* ---- messages ---- */

static void
notify(struct mx_io *io)
{
	uint64_t one = 1;

	while (write(io->wakeup_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

void
mx_io_post(struct mx_link *l, enum link_todo todo)
{
	struct mx_io *io = l->io;
	struct mx_link *head = atomic_load_explicit(&io->messages, memory_order_relaxed);

	l->todo = (uint8_t)todo;
	do
		l->next_message = head;
	while (!atomic_compare_exchange_weak_explicit(&io->messages, &head, l, memory_order_acq_rel,
						      memory_order_relaxed));
	/* Who finds the queue empty wakes the thread, for all who come until it looks. */
	if (head == NULL)
		notify(io);
}

void
mx_io_command(struct mx_io *io, enum io_command c)
{
	atomic_fetch_or_explicit(&io->commands, (uint32_t)c, memory_order_acq_rel);
	notify(io);
}

static void
adopt(struct mx_link *l)
{
	mx_error *e;

	if (l->io->draining && !l->io->gentle) {
		mx_link_free(l);
		return;
	}
	e = mx_link_adopt(l);
	if (e == NULL && l->io->gentle)
		mx_io_deadline(l, mx_monotonic_us() + GRACE_OF_THE_NEW_US);
	if (e != NULL) {
		mx_log("http", MX_WARN, "HTTP010", "a connection could not be served", mx_fe(e));
		mx_error_free(&e);
		mx_link_free(l);
	}
}

static void
handle(struct mx_link *l)
{
	switch (l->todo) {
	case TODO_ADOPT:
		adopt(l);
		break;
	case TODO_RESUME:
		mx_link_resume(l);
		break;
	case TODO_OUTPUT:
		mx_link_output(l);
		break;
	case TODO_BODY:
		mx_link_body(l);
		break;
	case TODO_READ:
		mx_link_read(l);
		break;
	case TODO_THEN:
		mx_request_then(l);
		break;
	default:
		break;
	}
}

/* The queue is a stack; who came first is served first. */
static struct mx_link *
take_messages(struct mx_io *io)
{
	struct mx_link *l = atomic_exchange_explicit(&io->messages, NULL, memory_order_acq_rel);
	struct mx_link *first = NULL;

	while (l != NULL) {
		struct mx_link *next = l->next_message;

		l->next_message = first;
		first = l;
		l = next;
	}
	return first;
}

static void
each_link(struct mx_io *io, void (*fn)(struct mx_link *l))
{
	struct mx_link *next;

	for (struct mx_link *l = io->links; l != NULL; l = next) {
		next = l->next;
		fn(l);
	}
}

static void
drain_link(struct mx_link *l)
{
	if (!mx_link_is_mine(l))
		mx_request_drain(l);
	else if (l->phase == PHASE_IDLE && !l->io->gentle)
		mx_link_free(l);
	else if (l->phase == PHASE_IDLE)
		mx_io_deadline(l, mx_monotonic_us() + (l->asked ? GRACE_US : GRACE_OF_THE_NEW_US));
}

static void
quiet_link(struct mx_link *l)
{
	if (!mx_link_is_mine(l))
		mx_request_drain(l);
	else
		mx_link_drop(l, MX_E_UNAVAILABLE, "The server is shutting down");
}

static void
obey(struct mx_io *io, uint32_t commands)
{
	struct mx_http *h = io->http;

	if ((commands & IO_DRAIN) != 0 && !io->draining) {
		io->draining = true;
		io->gentle = atomic_load(&h->handed_over);
		if (io->number == 0)
			mx_listen_stop(h);
		each_link(io, drain_link);
	}
	if ((commands & IO_QUIET) != 0 && !io->quiet) {
		io->quiet = true;
		each_link(io, quiet_link);
		pthread_mutex_lock(&h->lock);
		h->n_quiet++;
		pthread_cond_broadcast(&h->changed);
		pthread_mutex_unlock(&h->lock);
	}
	if ((commands & IO_STOP) != 0)
		event_base_loopbreak(io->base);
}

/* Sets the one timer for the wheel's next slot; by the I/O thread, with the lock held. */
static void
arm(struct mx_io *io)
{
	int64_t next = mx_wheel_next(&io->wheel), wait;
	struct timeval tv;

	if (next >= io->armed)
		return;
	io->armed = next;
	wait = next - mx_monotonic_us();
	if (wait < 0)
		wait = 0;
	tv = (struct timeval){ .tv_sec = wait / 1000000, .tv_usec = wait % 1000000 };
	evtimer_add(&io->tick, &tv);
}

static void
on_wakeup(evutil_socket_t fd, short what, void *arg)
{
	struct mx_io *io = arg;
	uint64_t count;
	uint32_t commands;

	(void)what;
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	for (struct mx_link *l = take_messages(io), *next; l != NULL; l = next) {
		next = l->next_message;
		handle(l);
	}
	if (atomic_exchange_explicit(&io->rearm, false, memory_order_acq_rel)) {
		pthread_mutex_lock(&io->wheel_lock);
		arm(io);
		pthread_mutex_unlock(&io->wheel_lock);
	}
	commands = atomic_exchange_explicit(&io->commands, 0, memory_order_acq_rel);
	if (commands != 0)
		obey(io, commands);
}

/* ---- deadlines ---- */

/* Whether something sooner than the timer has been put in. */
static bool
put(struct mx_link *l, int64_t at)
{
	struct mx_io *io = l->io;
	bool sooner = !mx_wheel_has(&l->timer) || (int64_t)l->timer.tick > at / MX_WHEEL_UNIT_US;

	if (sooner)
		mx_wheel_set(&io->wheel, &l->timer, at);
	return sooner && at < io->armed;
}

void
mx_io_deadline(struct mx_link *l, int64_t at)
{
	struct mx_io *io = l->io;

	l->deadline = at;
	pthread_mutex_lock(&io->wheel_lock);
	if (put(l, at))
		arm(io);
	pthread_mutex_unlock(&io->wheel_lock);
}

void
mx_io_park_deadline(struct mx_link *l, int64_t at)
{
	struct mx_io *io = l->io;
	bool rearm;

	pthread_mutex_lock(&io->wheel_lock);
	l->park_deadline = at;
	l->park_count = atomic_load(&l->park) & ~(uint32_t)PARK_MASK;
	rearm = put(l, at);
	pthread_mutex_unlock(&io->wheel_lock);
	if (rearm && !atomic_exchange_explicit(&io->rearm, true, memory_order_acq_rel))
		notify(io);
}

/* Looks what the link's deadline is now: the wheel may hold one that was moved since. */
static void
due(struct mx_link *l, int64_t now)
{
	struct mx_io *io = l->io;
	uint32_t park;
	int64_t at = INT64_MAX;

	if (mx_link_is_mine(l)) {
		if (l->deadline <= now)
			mx_link_timeout(l);
		else
			mx_io_deadline(l, l->deadline);
		return;
	}
	pthread_mutex_lock(&io->wheel_lock);
	park = atomic_load_explicit(&l->park, memory_order_acquire);
	if ((park & ~(uint32_t)PARK_MASK) == l->park_count)
		at = l->park_deadline;
	put(l, at > now && at != INT64_MAX ? at : now + io->http->idle_timeout);
	pthread_mutex_unlock(&io->wheel_lock);
	if (at <= now)
		mx_request_expired(l, park);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct mx_io *io = arg;
	int64_t now = mx_monotonic_us();
	struct mx_wheel_entry *e;

	(void)fd;
	(void)what;
	pthread_mutex_lock(&io->wheel_lock);
	mx_wheel_advance(&io->wheel, now);
	while ((e = mx_wheel_pop(&io->wheel)) != NULL) {
		pthread_mutex_unlock(&io->wheel_lock);
		due((struct mx_link *)((char *)e - offsetof(struct mx_link, timer)), now);
		pthread_mutex_lock(&io->wheel_lock);
	}
	io->armed = INT64_MAX;
	arm(io);
	pthread_mutex_unlock(&io->wheel_lock);
}

/* ---- the thread ---- */

static void *
loop(void *arg)
{
	struct mx_io *io = arg;

	event_base_loop(io->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

mx_error *
mx_io_init(struct mx_io *io, struct mx_http *h, unsigned number)
{
	struct event_config *config = event_config_new();

	io->http = h;
	io->number = number;
	io->armed = INT64_MAX;
	io->wakeup_fd = -1;
	pthread_mutex_init(&io->wheel_lock, NULL);
	pthread_mutex_init(&io->router_lock, NULL);
	mx_wheel_init(&io->wheel, mx_monotonic_us());
	io->scratch = mx_alloc(sizeof(*io->scratch) + MX_SCRATCH);
	io->scratch->cap = MX_SCRATCH;
	event_config_require_features(config,
				      EV_FEATURE_ET | EV_FEATURE_O1 | EV_FEATURE_EARLY_CLOSE);
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	io->base = event_base_new_with_config(config);
	event_config_free(config);
	if (io->base == NULL)
		return mx_error_new(MX_E_CONFIG, "http: this system has no epoll");
	io->wakeup_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (io->wakeup_fd < 0)
		return mx_error_new(MX_E_CONFIG, "http: eventfd: %s", strerror(errno));
	event_assign(&io->wakeup, io->base, io->wakeup_fd, EV_READ | EV_PERSIST, on_wakeup, io);
	evtimer_assign(&io->tick, io->base, on_tick, io);
	event_add(&io->wakeup, NULL);
	return NULL;
}

mx_error *
mx_io_start(struct mx_io *io)
{
	sigset_t all, before;
	char name[16];
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&io->thread, NULL, loop, io);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0)
		return mx_error_new(MX_E_CONFIG, "http: a thread could not be started: %s",
				    strerror(error));
	(void)snprintf(name, sizeof(name), "io-%u", io->number % 1000);
	(void)pthread_setname_np(io->thread, name);
	return NULL;
}

void
mx_io_join(struct mx_io *io)
{
	mx_io_command(io, IO_STOP);
	pthread_join(io->thread, NULL);
}

void
mx_io_free(struct mx_io *io)
{
	if (io->base != NULL) {
		for (struct mx_link *l = take_messages(io), *next; l != NULL; l = next) {
			next = l->next_message;
			if (l->todo == TODO_ADOPT)
				mx_link_free(l);
		}
		while (io->links != NULL)
			mx_link_free(io->links);
		if (io->wakeup_fd >= 0)
			event_del(&io->wakeup);
		event_base_free(io->base);
	}
	if (io->wakeup_fd >= 0)
		close(io->wakeup_fd);
	mx_router_unref(&io->router);
	pthread_mutex_destroy(&io->wheel_lock);
	pthread_mutex_destroy(&io->router_lock);
	free(io->scratch);
}
