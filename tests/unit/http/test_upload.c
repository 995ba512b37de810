#include "config.h"

#include "tests/unit/http/harness.h"

#include <pthread.h>

/* Bodies that their handlers read: who may send one, how much is taken of it when, and how it
 * ends. */

static _Atomic bool gate, conn_out;
static _Atomic uint64_t limit;
static _Atomic unsigned runs;

static struct mx_auth alice = { .user = 1, .user_id = { "@alice:x", 8 } };

static mx_error *
authenticate(void *arg, struct mx_request *rq, mx_str token, const struct mx_auth **out)
{
	(void)arg;
	(void)mx_request_conn(rq);
	if (!mx_str_eq(token, MX_S("alice")))
		return mx_error_new(MX_E_UNKNOWN_TOKEN, "Unknown access token");
	*out = &alice;
	return NULL;
}

static void
release(void *arg, const struct mx_auth *auth)
{
	(void)arg;
	(void)auth;
}

static struct mx_conn *
conn_get(void *arg)
{
	atomic_store(&conn_out, true);
	return arg;
}

static void
conn_put(void *arg, struct mx_conn *c)
{
	(void)arg;
	(void)c;
	atomic_store(&conn_out, false);
}

static uint64_t
sum(uint64_t s, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		s = s * 31 + (unsigned char)p[i];
	return s;
}

/* Reads all and tells how much and what it was. */
static enum mx_outcome
swallow(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);
	char piece[10000];
	size_t all = 0, n;
	uint64_t s = 0;

	atomic_fetch_add(&runs, 1);
	if (atomic_load(&limit) != 0)
		mx_request_set_limit(rq, atomic_load(&limit));
	(void)mx_request_conn(rq);
	while (!atomic_load(&gate))
		usleep(1000);
	do {
		mx_error *e = mx_request_read(rq, piece, sizeof(piece), &n), *again;

		if (e != NULL) {
			size_t none;

			/* It stays so. */
			again = mx_request_read(rq, piece, sizeof(piece), &none);
			if (none != 0 || !mx_error_is(again, mx_error_code(e)))
				abort();
			mx_error_free(&again);
			mx_buf_free(&b);
			return mx_reply_error(rq, e);
		}
		s = sum(s, piece, n);
		all += n;
	} while (n > 0);
	mx_buf_printf(b, "%lld %zu %llu", (long long)mx_request_length(rq), all,
		      (unsigned long long)s);
	return mx_reply_bytes(rq, 200, "text/plain", &b);
}

/* Answers without reading. */
static enum mx_outcome
wave_off(struct mx_request *rq)
{
	return mx_reply_error(rq, mx_error_new(MX_E_FORBIDDEN, "not now"));
}

static const struct mx_route routes[] = {
	{ .method = "POST", .path = "/swallow", .handler = swallow, .flags = MX_ROUTE_STREAM,
	  .body_limit = 1 << 30 },
	{ .method = "POST", .path = "/mine", .handler = swallow, .flags = MX_ROUTE_STREAM,
	  .auth = MX_AUTH_USER, .body_limit = 1 << 30 },
	{ .method = "POST", .path = "/off", .handler = wave_off, .flags = MX_ROUTE_STREAM },
	{ .method = "GET", .path = "/swallow", .handler = swallow, .flags = MX_ROUTE_STREAM },
	{ .method = "POST", .path = "/plain", .handler = swallow },
};

#define HOST "Host: localhost\r\n"

static void
prepare(struct server *s)
{
	server_init(s);
	s->hooks = (struct mx_http_hooks){ .arg = s, .authenticate = authenticate,
					   .release = release, .conn_get = conn_get,
					   .conn_put = conn_put };
	atomic_store(&gate, true);
	atomic_store(&limit, 0);
	atomic_store(&runs, 0);
}

static void
begin(struct server *s)
{
	prepare(s);
	server_start(s, routes, COUNT(routes));
}

static char *
block_of(size_t n)
{
	char *p = malloc(n);

	for (size_t i = 0; i < n; i++)
		p[i] = (char)('a' + i * 7 % 26);
	return p;
}

/* ---- what arrives ---- */

static void
bodies_arrive_whole(void **state)
{
	static const size_t sizes[] = { 0, 1, 65536, 65537, 5000000 };
	char *block = block_of(5000000), head[200], expected[100], *answer;
	struct server s;
	int fd;

	(void)state;
	begin(&s);
	fd = dial(s.port);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		(void)snprintf(head, sizeof(head),
			       "POST /swallow HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n",
			       sizes[i]);
		say(fd, head);
		say_bytes(fd, block, sizes[i]);
		answer = hear(fd);
		assert_status(answer, 200);
		(void)snprintf(expected, sizeof(expected), "%zu %zu %llu", sizes[i], sizes[i],
			       (unsigned long long)sum(0, block, sizes[i]));
		assert_string_equal(body_of(answer), expected);
		free(answer);
	}
	say(fd, "GET /swallow HTTP/1.1\r\n" HOST "\r\n");
	answer = hear(fd);
	assert_string_equal(body_of(answer), "0 0 0");
	free(answer);
	/* All on one connection. */
	assert_int_equal(stats(&s).connections, 1);
	close(fd);
	free(block);
	server_stop(&s);
}

static void
chunks_and_what_comes_behind_them_are_told_apart(void **state)
{
	static const char *const parts[] = {
		"POST /swallow HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", "3\r", "\nab",
		"c\r\n2\r\nde\r\n", "0", "\r\n", "\r\nPOST /swallow HTTP/1.1\r\n" HOST
		"Content-Length: 2\r\n\r\nhiGET /health HTTP/1.1\r\n" HOST "\r\n" };
	char expected[100], *answer;
	struct server s;
	int fd;

	(void)state;
	begin(&s);
	fd = dial(s.port);
	for (size_t i = 0; i < COUNT(parts); i++) {
		say(fd, parts[i]);
		usleep(2000);
	}
	answer = hear(fd);
	(void)snprintf(expected, sizeof(expected), "-1 5 %llu",
		       (unsigned long long)sum(0, "abcde", 5));
	assert_string_equal(body_of(answer), expected);
	free(answer);
	answer = hear(fd);
	(void)snprintf(expected, sizeof(expected), "2 2 %llu", (unsigned long long)sum(0, "hi", 2));
	assert_string_equal(body_of(answer), expected);
	free(answer);
	answer = hear(fd);
	assert_status(answer, 200);
	free(answer);
	close(fd);
	server_stop(&s);
}

static void
the_body_is_asked_for_when_it_is_read(void **state)
{
	struct server s;
	char *answer;
	int fd;

	(void)state;
	begin(&s);
	atomic_store(&gate, false);
	fd = dial(s.port);
	say(fd, "POST /mine HTTP/1.1\r\n" HOST "Authorization: Bearer alice\r\n"
		"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
	EVENTUALLY(atomic_load(&runs) == 1);
	{
		struct pollfd p = { .fd = fd, .events = POLLIN };

		assert_int_equal(poll(&p, 1, 20), 0);
	}
	atomic_store(&gate, true);
	answer = hear(fd);
	assert_status(answer, 100);
	free(answer);
	/* A connection to the database is not kept for who waits. */
	EVENTUALLY(!atomic_load(&conn_out));
	say(fd, "hello");
	answer = hear(fd);
	assert_status(answer, 200);
	free(answer);
	close(fd);
	server_stop(&s);
}

/* ---- who is refused, and when ---- */

/* Sends until the socket takes no more for a while, or to the end; how much it was. */
static size_t
push(int fd, const char *block, size_t n, size_t all)
{
	size_t sent = 0;

	while (sent < all) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		ssize_t now;

		if (poll(&p, 1, 200) == 0)
			break;
		now = send(fd, block, all - sent < n ? all - sent : n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (now < 0 && errno == EAGAIN)
			continue;
		if (now < 0)
			break;
		sent += (size_t)now;
	}
	return sent;
}

static void
a_stranger_is_refused_before_the_body(void **state)
{
	static const char *const who[] = { "", "Authorization: Bearer mallory\r\n" };
	struct server s;
	char head[200], *answer;
	int fd;

	(void)state;
	begin(&s);
	for (size_t i = 0; i < COUNT(who); i++) {
		fd = dial(s.port);
		(void)snprintf(head, sizeof(head),
			       "POST /mine HTTP/1.1\r\n" HOST "%sContent-Length: 1000000000\r\n\r\n",
			       who[i]);
		say(fd, head);
		answer = hear(fd);
		assert_status(answer, 401);
		assert_has(answer, "Connection: close");
		free(answer);
		close(fd);
	}
	assert_int_equal(atomic_load(&runs), 0);
	fd = dial(s.port);
	say(fd, "POST /off HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nhalf");
	answer = hear(fd);
	assert_status(answer, 403);
	assert_has(answer, "Connection: close");
	free(answer);
	close(fd);
	EVENTUALLY(stats(&s).open == 0);
	server_stop(&s);
}

static void
a_sender_waits_for_the_handler(void **state)
{
	enum { BLOCK = 1 << 20, ALL = 64 << 20 };
	char *block = calloc(1, BLOCK), expected[100], *answer;
	struct server s;
	size_t sent;
	int fd;

	(void)state;
	begin(&s);
	atomic_store(&gate, false);
	fd = dial(s.port);
	(void)snprintf(expected, sizeof(expected),
		       "POST /swallow HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n", ALL);
	say(fd, expected);
	sent = push(fd, block, BLOCK, ALL);
	/* The kernel's buffers are full, and nothing else. */
	assert_true(sent < ALL / 2);
	atomic_store(&gate, true);
	while (sent < ALL) {
		size_t more = push(fd, block, BLOCK, ALL - sent);

		assert_true(more > 0);
		sent += more;
	}
	answer = hear(fd);
	assert_status(answer, 200);
	(void)snprintf(expected, sizeof(expected), "%d %d 0", ALL, ALL);
	assert_string_equal(body_of(answer), expected);
	free(answer);
	free(block);
	close(fd);
	server_stop(&s);
}

static void
limits_hold(void **state)
{
	struct server s;

	(void)state;
	begin(&s);
	atomic_store(&limit, 5);
	expect(&s, "POST /swallow HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nabcde", 200, "5 5 ");
	expect(&s, "POST /swallow HTTP/1.1\r\n" HOST "Content-Length: 6\r\n\r\n", 413,
	       "at most 5 bytes");
	expect(&s, "POST /swallow HTTP/1.1\r\n" HOST
	       "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n", 413,
	       "M_TOO_LARGE");
	atomic_store(&limit, 0);
	/* Without one of its own the usual one holds. */
	expect(&s, "GET /swallow HTTP/1.1\r\n" HOST "Content-Length: 65537\r\n\r\n", 413, NULL);
	expect(&s, "POST /plain HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\na", 500, NULL);
	server_stop(&s);
}

static void
what_is_no_body_is_refused(void **state)
{
	struct server s;
	char *answer;
	int fd;

	(void)state;
	begin(&s);
	expect(&s, "POST /swallow HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400,
	       "malformed");
	fd = dial(s.port);
	say(fd, "POST /swallow HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	EVENTUALLY(atomic_load(&runs) == 2);
	say(fd, "what?\r\n");
	answer = hear(fd);
	assert_status(answer, 400);
	free(answer);
	close(fd);
	fd = dial(s.port);
	say(fd, "POST /swallow HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nhalf");
	shutdown(fd, SHUT_WR);
	answer = hear(fd);
	assert_status(answer, 400);
	assert_has(answer, "ended early");
	free(answer);
	close(fd);
	/* Who is gone is no trouble. */
	for (int hard = 0; hard < 2; hard++) {
		struct linger no = { .l_onoff = hard };

		fd = dial(s.port);
		say(fd, "POST /swallow HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nhalf");
		EVENTUALLY(stats(&s).active == 1);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &no, sizeof(no));
		close(fd);
		EVENTUALLY(stats(&s).open == 0 && stats(&s).active == 0);
	}
	server_stop(&s);
}

static void
who_is_too_slow_is_refused(void **state)
{
	struct server s;
	char *answer;
	int fd;

	(void)state;
	prepare(&s);
	s.o.body_timeout.ms = 50;
	server_start(&s, routes, COUNT(routes));
	fd = dial(s.port);
	say(fd, "POST /swallow HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\n");
	answer = hear(fd);
	assert_status(answer, 408);
	free(answer);
	close(fd);
	/* A byte now and then does not help. */
	fd = dial(s.port);
	say(fd, "POST /swallow HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n");
	for (int i = 0; i < 10000 && send(fd, "x", 1, MSG_NOSIGNAL) == 1; i++) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (poll(&p, 1, 5) != 0)
			break;
	}
	answer = hear(fd);
	assert_status(answer, 408);
	free(answer);
	close(fd);
	/* The time that the handler takes is not the sender's. */
	atomic_store(&gate, false);
	atomic_store(&runs, 0);
	fd = dial(s.port);
	say(fd, "POST /swallow HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\n");
	EVENTUALLY(atomic_load(&runs) == 1);
	usleep(200000);
	say(fd, "late");
	atomic_store(&gate, true);
	answer = hear(fd);
	assert_status(answer, 200);
	free(answer);
	close(fd);
	server_stop(&s);
}

/* ---- the end ---- */

static void *
stop_it(void *arg)
{
	server_stop(arg);
	return NULL;
}

static void
the_end_of_the_server_ends_uploads(void **state)
{
	pthread_t stopper;
	struct server s;
	char *answer;
	int fd;

	(void)state;
	prepare(&s);
	s.drain = 20;
	server_start(&s, routes, COUNT(routes));
	fd = dial(s.port);
	say(fd, "POST /swallow HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nhalf");
	EVENTUALLY(atomic_load(&runs) == 1);
	pthread_create(&stopper, NULL, stop_it, &s);
	answer = hear(fd);
	assert_status(answer, 503);
	assert_has(answer, "shutting down");
	free(answer);
	close(fd);
	pthread_join(stopper, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_arrive_whole),
		cmocka_unit_test(chunks_and_what_comes_behind_them_are_told_apart),
		cmocka_unit_test(the_body_is_asked_for_when_it_is_read),
		cmocka_unit_test(a_stranger_is_refused_before_the_body),
		cmocka_unit_test(a_sender_waits_for_the_handler),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(what_is_no_body_is_refused),
		cmocka_unit_test(who_is_too_slow_is_refused),
		cmocka_unit_test(the_end_of_the_server_ends_uploads),
	};

	return cmocka_run_group_tests_name("http uploads", tests, NULL, NULL);
}
