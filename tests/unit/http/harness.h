/* A server on a free port of 127.0.0.1 and a client that says and hears bytes. */
#ifndef TESTS_HTTP_HARNESS_H
#define TESTS_HTTP_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/http/options.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { PATIENCE_MS = 10000 };

/* ---- the server ---- */

struct server {
	struct mx_http_options o;
	struct mx_http_hooks hooks;
	const char *words[2];
	struct mx_http *h;
	uint16_t port;
	mx_msec drain;		/* how long server_stop waits for what runs */
};

static inline void
must(mx_error *e)
{
	if (e != NULL)
		fail_msg("%s", mx_error_text(e));
}

/* The options may be changed between this and server_start. */
static inline void
server_init(struct server *s)
{
	memset(s, 0, sizeof(*s));
	s->o = test_http_options();
	s->words[0] = "127.0.0.1:0";
	s->o.listen = (struct mx_list){ s->words, 1 };
	s->o.rate_limits = false;
	s->o.io_threads = 2;
	s->o.workers = 4;
	s->o.remote_workers = s->o.cpu_workers = 1;
	s->drain = PATIENCE_MS;
}

static inline struct mx_router *
make_router(const struct mx_route *routes, size_t n)
{
	struct mx_router_row rows[64];
	struct mx_router *r;

	assert_true(n <= COUNT(rows));
	for (size_t i = 0; i < n; i++)
		rows[i] = (struct mx_router_row){ .route = &routes[i], .owner = "test" };
	must(mx_router_new(rows, n, &r));
	return r;
}

static inline void
server_start(struct server *s, const struct mx_route *routes, size_t n)
{
	struct mx_router *r = make_router(routes, n);

	must(mx_http_new(NULL, &s->o, &s->hooks, &s->h));
	mx_http_set_router(s->h, r);
	mx_router_unref(&r);
	must(mx_http_start(s->h));
	s->port = mx_http_port(s->h, 0);
}

static inline void
server_stop(struct server *s)
{
	(void)mx_http_drain(s->h, s->drain);
	mx_http_stop(&s->h);
	assert_null(s->h);
}

static inline struct mx_http_stats
stats(struct server *s)
{
	struct mx_http_stats out;

	mx_http_stats(s->h, &out);
	return out;
}

/* Waits for a condition, not for a time. */
#define EVENTUALLY(condition)                                                                      \
	do {                                                                                       \
		int tries_ = PATIENCE_MS;                                                          \
		while (!(condition) && tries_-- > 0)                                               \
			usleep(1000);                                                              \
		assert_true(condition);                                                            \
	} while (0)

/* ---- the client ---- */

static inline int
dial(uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval tv = { .tv_sec = PATIENCE_MS / 1000 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	return fd;
}

static inline void
say_bytes(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		assert_true(sent > 0);
		p += sent;
		n -= (size_t)sent;
	}
}

static inline void
say(int fd, const char *text)
{
	say_bytes(fd, text, strlen(text));
}

/* One answer: its head and what Content-Length announces; "" when the peer has closed. Free it. */
static inline char *
hear_answer(int fd, bool head_only)
{
	size_t cap = 1 << 16, n = 0, whole = 0;
	char *text = malloc(cap);

	for (;;) {
		ssize_t got = recv(fd, text + n, 1, 0);

		if (got < 0 && errno == EAGAIN)
			fail_msg("no answer");
		if (got <= 0)
			break;
		n++;
		text[n] = 0;
		if (n > 4 && memcmp(text + n - 4, "\r\n\r\n", 4) == 0) {
			const char *length = strcasestr(text, "\r\ncontent-length:");

			whole = n +
				(length != NULL && !head_only ? strtoul(length + 17, NULL, 10) : 0);
			break;
		}
	}
	while (n < whole) {
		ssize_t got;

		if (whole + 1 > cap) {
			cap = whole + 1;
			text = realloc(text, cap);
		}
		got = recv(fd, text + n, whole - n, 0);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	text[n] = 0;
	return text;
}

static inline char *
hear(int fd)
{
	return hear_answer(fd, false);
}

static inline bool
is_closed(int fd)
{
	char c;

	return recv(fd, &c, 1, 0) <= 0;
}

static inline int
status_of(const char *answer)
{
	return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : 0;
}

static inline const char *
body_of(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");

	return end != NULL ? end + 4 : "";
}

#define assert_status(answer, expected)                                                            \
	do {                                                                                       \
		if (status_of(answer) != (expected))                                               \
			fail_msg("expected %d, got: %s", (expected), (answer));                    \
	} while (0)
#define assert_has(text, part)                                                                     \
	do {                                                                                       \
		if (strstr((text), (part)) == NULL)                                                \
			fail_msg("\"%s\" is not in: %s", (part), (text));                          \
	} while (0)

/* Says it on a connection of its own and returns the answer. */
static inline char *
ask(struct server *s, const char *text)
{
	int fd = dial(s->port);
	char *answer;

	say(fd, text);
	answer = hear(fd);
	close(fd);
	return answer;
}

/* Asks and expects a status and a part of the answer. */
static inline void
expect(struct server *s, const char *text, int status, const char *part)
{
	char *answer = ask(s, text);

	assert_status(answer, status);
	if (part != NULL)
		assert_has(answer, part);
	free(answer);
}

#endif
