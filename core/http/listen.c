#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/http/internal.h"

enum { ACCEPT_BATCH = 64, PAUSE_US = 200000, FIRST_FD = 3 };

/* ---- accepting: on the first I/O thread, which deals the links out ---- */

static void
turn_away(struct mx_http *h, int fd)
{
	static const char text[] =
		"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
		"Content-Length: 64\r\nConnection: close\r\n\r\n"
		"{\"errcode\":\"M_UNKNOWN\",\"error\":\"There are too many connections\"}";

	(void)send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
	atomic_fetch_add_explicit(&h->ios[0].refused, 1, memory_order_relaxed);
}

static void
welcome(struct mx_listener *at, int fd, const struct sockaddr *sa)
{
	struct mx_http *h = at->http;
	struct mx_address peer;
	struct mx_io *io;
	struct mx_link *l;
	uint64_t guest = 0;

	mx_address_from(sa, &peer);
	if (atomic_load_explicit(&h->open, memory_order_relaxed) >= (size_t)h->o->max_connections) {
		turn_away(h, fd);
		return;
	}
	if (h->o->max_connections_per_address > 0 && peer.family == MX_ADDRESS_IP &&
	    !mx_networks_have(h->trusted, &peer)) {
		guest = mx_address_key(&peer) | 1;
		if (!mx_guests_enter(h->guests, guest, h->o->max_connections_per_address)) {
			turn_away(h, fd);
			return;
		}
	}
	io = &h->ios[h->next_io++ % h->n_ios];
	l = mx_link_new(io, fd, at->is_tls, &peer, guest);
	atomic_fetch_add_explicit(&h->ios[0].accepted, 1, memory_order_relaxed);
	mx_io_post(l, TODO_ADOPT);
}

static void
on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	struct mx_listener *at = arg;

	(void)fd;
	(void)what;
	event_add(&at->ev, NULL);
}

static void
on_connection(evutil_socket_t listener, short what, void *arg)
{
	struct mx_listener *at = arg;

	(void)what;
	for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
		struct sockaddr_storage sa = { .ss_family = AF_UNSPEC };
		socklen_t n = sizeof(sa);
		int fd =
			accept4(listener, (struct sockaddr *)&sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			welcome(at, fd, (const struct sockaddr *)&sa);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			struct timeval tv = { .tv_usec = PAUSE_US };

			/* Asking again at once would spin: whoever waits, waits in the backlog. */
			mx_log("http", MX_WARN, "HTTP011",
			       "connections wait: no more can be opened",
			       mx_fz("reason", strerror(errno)));
			event_del(&at->ev);
			evtimer_add(&at->pause, &tv);
		}
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

void
mx_listen_start(struct mx_http *h)
{
	for (size_t i = 0; i < h->n_listeners; i++) {
		struct mx_listener *at = &h->listeners[i];

		event_assign(&at->ev, h->ios[0].base, at->fd, EV_READ | EV_PERSIST, on_connection,
			     at);
		evtimer_assign(&at->pause, h->ios[0].base, on_pause_over, at);
		event_add(&at->ev, NULL);
	}
}

void
mx_listen_stop(struct mx_http *h)
{
	for (size_t i = 0; i < h->n_listeners; i++) {
		struct mx_listener *at = &h->listeners[i];

		event_del(&at->ev);
		event_del(&at->pause);
		close(at->fd);
		at->fd = -1;
	}
}

void
mx_listen_close(struct mx_http *h)
{
	for (size_t i = 0; i < h->n_listeners; i++) {
		if (h->listeners[i].fd >= 0)
			close(h->listeners[i].fd);
		if (h->listeners[i].path != NULL && !atomic_load(&h->handed_over))
			(void)unlink(h->listeners[i].path);
		free(h->listeners[i].path);
		free(h->listeners[i].word);
	}
	free(h->listeners);
	h->listeners = NULL;
	h->n_listeners = 0;
}

/* ---- opening ---- */

static mx_error *
refused(const char *word, const char *why)
{
	return mx_error_new(MX_E_CONFIG, "[http] listen = %s: %s", word, why);
}

static void
set_up_tcp(int fd)
{
	int one = 1;

	/* Connections inherit it. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static mx_error *
bind_and_listen(struct mx_http *h, int fd, const struct sockaddr *sa, socklen_t n, const char *word)
{
	if (bind(fd, sa, n) != 0 || listen(fd, (int)h->o->backlog) != 0) {
		mx_error *e = refused(word, strerror(errno));

		close(fd);
		return e;
	}
	return NULL;
}

/* "ADDRESS:PORT" or "[ADDRESS]:PORT"; *host is "*" for all addresses. */
static bool
split_address(mx_str where, mx_str *host, int64_t *port)
{
	size_t colon = where.n;

	while (colon > 0 && where.p[colon - 1] != ':')
		colon--;
	if (colon == 0)
		return false;
	*host = (mx_str){ where.p, colon - 1 };
	if (host->n >= 2 && host->p[0] == '[' && host->p[host->n - 1] == ']')
		*host = (mx_str){ host->p + 1, host->n - 2 };
	return mx_str_int((mx_str){ where.p + colon, where.n - colon }, 0, 65535, port);
}

static mx_error *
find_address(const char *word, mx_str host, int64_t port, struct addrinfo **out)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC,
				  .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV };
	char name[128], service[16];
	int error;

	(void)snprintf(name, sizeof(name), "%.*s", MX_SFMT(host));
	(void)snprintf(service, sizeof(service), "%lld", (long long)port);
	error = getaddrinfo(name, service, &hints, out);
	return error != 0 ? refused(word, gai_strerror(error)) : NULL;
}

static mx_error *
open_tcp(struct mx_http *h, const char *word, mx_str where, int *out)
{
	struct addrinfo *found;
	int64_t port;
	mx_str host;
	int one = 1, only6, fd = -1;
	bool all;
	mx_error *e;

	if (!split_address(where, &host, &port))
		return refused(word, "expected ADDRESS:PORT");
	all = mx_str_eq(host, MX_S("*"));
	only6 = !all;
	MX_TRY(find_address(word, all ? MX_S("::") : host, port, &found));
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 && all && errno == EAFNOSUPPORT) {	/* a system without IPv6 */
		freeaddrinfo(found);
		MX_TRY(find_address(word, MX_S("0.0.0.0"), port, &found));
		fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	}
	if (fd < 0) {
		freeaddrinfo(found);
		return refused(word, strerror(errno));
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (found->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof(only6));
	set_up_tcp(fd);
	e = bind_and_listen(h, fd, found->ai_addr, found->ai_addrlen, word);
	freeaddrinfo(found);
	if (e == NULL)
		*out = fd;
	return e;
}

/* Removes a socket that nobody listens on any more. */
static void
remove_stale(const struct sockaddr_un *un)
{
	struct stat st;
	int fd;

	if (lstat(un->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)un, sizeof(*un)) != 0 && errno == ECONNREFUSED)
		(void)unlink(un->sun_path);
	close(fd);
}

static mx_error *
open_unix(struct mx_http *h, const char *word, mx_str path, struct mx_listener *out)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	unsigned long mode;
	char *end;
	int fd;

	mode = strtoul(h->o->unix_mode, &end, 8);
	if (*end != 0 || end == h->o->unix_mode || mode > 0777)
		return mx_error_new(MX_E_CONFIG,
				    "[http] unix_mode = %s: expected permissions in octal",
				    h->o->unix_mode);
	if (path.n == 0 || path.n >= sizeof(un.sun_path))
		return refused(word, "the path is empty or too long");
	memcpy(un.sun_path, path.p, path.n);
	remove_stale(&un);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return refused(word, strerror(errno));
	MX_TRY(bind_and_listen(h, fd, (const struct sockaddr *)&un, sizeof(un), word));
	out->fd = fd;
	out->is_unix = true;
	out->path = mx_str_dup(path);
	if (chmod(out->path, (mode_t)mode) != 0)
		return refused(word, strerror(errno));
	return NULL;
}

/* ---- from another process ---- */

void
mx_http_inherit(struct mx_http *h, const struct mx_http_socket *v, size_t n)
{
	h->handed = mx_alloc((n + 1) * sizeof(h->handed[0]));
	h->n_handed = n;
	for (size_t i = 0; i < n; i++)
		h->handed[i] = (struct mx_http_socket){ mx_str_dup(mx_str_of(v[i].word)), v[i].fd };
}

void
mx_listen_forget(struct mx_http *h)
{
	for (size_t i = 0; i < h->n_handed; i++) {
		if (h->handed[i].fd >= 0)
			close(h->handed[i].fd);
		free((char *)(uintptr_t)h->handed[i].word);
	}
	free(h->handed);
	h->handed = NULL;
	h->n_handed = 0;
}

size_t
mx_http_sockets(const struct mx_http *h, struct mx_http_socket *v, size_t most)
{
	size_t n = h->n_listeners < most ? h->n_listeners : most;

	for (size_t i = 0; i < n; i++)
		v[i] = (struct mx_http_socket){ h->listeners[i].word, h->listeners[i].fd };
	return n;
}

static bool
take_handed(struct mx_http *h, const char *word, int *fd)
{
	for (size_t i = 0; i < h->n_handed; i++) {
		if (h->handed[i].fd < 0 || strcmp(h->handed[i].word, word) != 0)
			continue;
		*fd = h->handed[i].fd;
		h->handed[i].fd = -1;
		return true;
	}
	return false;
}

/* What a service manager had opened for the process before this one. */
static bool
take_inherited_again(struct mx_http *h)
{
	static const char *const words[] = { "inherited:", "inherited:tls" };

	h->listeners = mx_alloc((h->n_handed + 1) * sizeof(h->listeners[0]));
	for (size_t i = 0; i < 2; i++) {
		int fd;

		while (take_handed(h, words[i], &fd))
			h->listeners[h->n_listeners++] =
				(struct mx_listener){ .fd = fd, .http = h, .is_tls = i == 1,
						      .word = mx_str_dup(mx_str_of(words[i])) };
	}
	if (h->n_listeners > 0)
		return true;
	free(h->listeners);
	h->listeners = NULL;
	return false;
}

static mx_error *
open_word(struct mx_http *h, const char *word, struct mx_listener *out)
{
	mx_str where = mx_str_of(word);

	out->fd = -1;
	out->http = h;
	out->word = mx_str_dup(where);
	if (mx_str_starts(where, MX_S("tls:"))) {
		out->is_tls = true;
		where = (mx_str){ where.p + 4, where.n - 4 };
	}
	if (mx_str_starts(where, MX_S("unix:"))) {
		where = (mx_str){ where.p + 5, where.n - 5 };
		out->is_unix = take_handed(h, word, &out->fd);
		if (!out->is_unix)
			return open_unix(h, word, where, out);
		out->path = mx_str_dup(where);
		return NULL;
	}
	if (take_handed(h, word, &out->fd))
		return NULL;
	return open_tcp(h, word, where, &out->fd);
}

/* The nth name in LISTEN_FDNAMES. */
static bool
is_named_tls(const char *names, int64_t nth)
{
	mx_str rest = mx_str_of(names), name = { NULL, 0 };

	for (; nth >= 0; nth--)
		(void)mx_str_cut(rest, ':', &name, &rest);
	return mx_str_starts(name, MX_S("tls"));
}

/* Sockets that a service manager has opened for us: sd_listen_fds(3). */
static bool
take_inherited(struct mx_http *h)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS"),
		   *names = getenv("LISTEN_FDNAMES");
	int64_t n;

	if (pid == NULL || fds == NULL ||
	    !mx_str_int(mx_str_of(pid), (int64_t)getpid(), (int64_t)getpid(), &n) ||
	    !mx_str_int(mx_str_of(fds), 1, 64, &n))
		return false;
	h->listeners = mx_alloc((size_t)n * sizeof(h->listeners[0]));
	h->n_listeners = (size_t)n;
	for (int64_t i = 0; i < n; i++) {
		struct mx_listener *at = &h->listeners[i];

		*at = (struct mx_listener){ .fd = FIRST_FD + (int)i, .http = h };
		at->is_tls = names != NULL && is_named_tls(names, i);
		at->word = mx_str_dup(at->is_tls ? MX_S("inherited:tls") : MX_S("inherited:"));
		(void)fcntl(at->fd, F_SETFD, FD_CLOEXEC);
		(void)fcntl(at->fd, F_SETFL, O_NONBLOCK);
		set_up_tcp(at->fd);
	}
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	return true;
}

mx_error *
mx_listen_open(struct mx_http *h)
{
	const struct mx_list *words = &h->o->listen;
	bool tls = false;

	if (!take_inherited(h) && !take_inherited_again(h)) {
		h->listeners = mx_alloc((words->n + 1) * sizeof(h->listeners[0]));
		for (size_t i = 0; i < words->n; i++) {
			h->n_listeners++;
			MX_TRY(open_word(h, words->v[i], &h->listeners[i]));
		}
	}
	mx_listen_forget(h);
	for (size_t i = 0; i < h->n_listeners; i++)
		tls = tls || h->listeners[i].is_tls;
	return tls ? mx_tls_new(h->o, &h->tls) : NULL;
}

uint16_t
mx_http_port(const struct mx_http *h, size_t nth)
{
	struct sockaddr_storage sa;
	socklen_t n = sizeof(sa);

	if (nth >= h->n_listeners ||
	    getsockname(h->listeners[nth].fd, (struct sockaddr *)&sa, &n) != 0)
		return 0;
	if (sa.ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)(const void *)&sa)->sin6_port);
	return sa.ss_family == AF_INET
		       ? ntohs(((const struct sockaddr_in *)(const void *)&sa)->sin_port)
		       : 0;
}
