#include "config.h"

#include "tests/unit/http/handlers.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/un.h>

/* ---- connections ---- */

static void
a_connection_serves_many_requests(void **state)
{
	struct server s;
	int fd;

	(void)state;
	begin(&s);
	fd = dial(s.port);
	for (int i = 0; i < 100; i++) {
		char *answer;

		say(fd, i % 2 == 0 ? GET("/where/x") : GET("/inline/x"));
		answer = hear(fd);
		assert_status(answer, 200);
		assert_string_equal(body_of(answer), "x||-|-");
		free(answer);
	}
	assert_int_equal(stats(&s).connections, 1);
	assert_int_equal(stats(&s).requests[2], 100);
	close(fd);
	EVENTUALLY(stats(&s).open == 0);
	server_stop(&s);
}

static void
pipelined_requests_are_answered_in_order(void **state)
{
	struct server s;
	int fd;

	(void)state;
	begin(&s);
	fd = dial(s.port);
	for (int i = 0; i < 300; i++) {
		char text[128];

		(void)snprintf(text, sizeof(text), "GET /%s/%d HTTP/1.1\r\n" HOST "\r\n",
			       i % 3 == 0 ? "where" : "inline", i);
		say(fd, text);
	}
	say(fd, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nend");
	for (int i = 0; i < 300; i++) {
		char *answer = hear(fd);

		assert_status(answer, 200);
		assert_int_equal(atoi(body_of(answer)), i);
		free(answer);
	}
	char *last = hear(fd);
	assert_string_equal(body_of(last), "end");
	free(last);
	close(fd);
	server_stop(&s);
}

static void
a_request_may_come_byte_by_byte(void **state)
{
	static const char text[] =
		"\r\nPOST /echo?x=y HTTP/1.1\r\n" HOST "X-Empty:\r\nContent-Length: 5\r\n\r\nhello"
		"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
		"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX-Trailer: 1\r\n\r\n";
	struct server s;
	char *answer;
	int fd;

	(void)state;
	begin(&s);
	fd = dial(s.port);
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		say_bytes(fd, text + i, 1);
		if (i % 16 == 0)
			usleep(500);
	}
	answer = hear(fd);
	assert_string_equal(body_of(answer), "hello");
	free(answer);
	answer = hear(fd);
	assert_string_equal(body_of(answer), "abcdefg");
	free(answer);
	close(fd);
	server_stop(&s);
}

static void
connection_close_is_honoured(void **state)
{
	struct server s;
	char *answer;
	int fd;

	(void)state;
	begin(&s);
	fd = dial(s.port);
	say(fd, "GET /where/x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	answer = hear(fd);
	assert_has(answer, "Connection: close\r\n");
	assert_true(is_closed(fd));
	free(answer);
	close(fd);
	fd = dial(s.port);
	say(fd, "GET /where/x HTTP/1.0\r\n\r\n");
	answer = hear(fd);
	assert_status(answer, 200);
	assert_true(is_closed(fd));
	free(answer);
	close(fd);
	fd = dial(s.port);
	say(fd, "GET /where/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	answer = hear(fd);
	assert_has(answer, "Connection: keep-alive\r\n");
	free(answer);
	say(fd, GET("/where/y"));
	answer = hear(fd);
	assert_status(answer, 200);
	free(answer);
	close(fd);
	server_stop(&s);
}

static void
a_truncated_request_leaves_nothing(void **state)
{
	static const char *const texts[] = { "", "GET", "GET /where/x HTTP/1.1\r\nHost: a",
					     "POST /echo HTTP/1.1\r\n" HOST
					     "Content-Length: 10\r\n\r\nabc" };
	struct server s;

	(void)state;
	begin(&s);
	for (size_t i = 0; i < COUNT(texts); i++) {
		int fd = dial(s.port);

		say(fd, texts[i]);
		shutdown(fd, SHUT_WR);
		assert_true(is_closed(fd));
		close(fd);
	}
	EVENTUALLY(stats(&s).open == 0 && stats(&s).active == 0);
	server_stop(&s);
}

static void
a_large_answer_waits_for_a_slow_reader(void **state)
{
	struct server s;
	char *answer;
	int fd, small = 65536;

	(void)state;
	begin(&s);
	fd = dial(s.port);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	say(fd, GET("/big") GET("/where/next"));
	usleep(20000);
	answer = hear(fd);
	assert_status(answer, 200);
	assert_int_equal(strlen(body_of(answer)), 8 << 19);
	assert_string_equal(body_of(answer) + (8 << 19) - 8, "0524287\n");
	free(answer);
	answer = hear(fd);
	assert_has(answer, "next");
	free(answer);
	close(fd);
	/* And one that goes away in the middle. */
	fd = dial(s.port);
	say(fd, GET("/big"));
	free(hear_answer(fd, true));
	close(fd);
	EVENTUALLY(stats(&s).open == 0);
	server_stop(&s);
}

/* ---- slow clients ---- */

static void
slow_clients_are_sent_away(void **state)
{
	struct server s;
	char *answer;
	int fd;

	(void)state;
	server_init(&s);
	s.o.header_timeout.ms = s.o.body_timeout.ms = s.o.idle_timeout.ms = 60;
	server_start(&s, routes, COUNT(routes));
	fd = dial(s.port);
	say(fd, "GET /where/x HTTP/1.1\r\n");
	answer = hear(fd);
	assert_status(answer, 408);
	assert_true(is_closed(fd));
	free(answer);
	close(fd);
	fd = dial(s.port);
	say(fd, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nabc");
	answer = hear(fd);
	assert_status(answer, 408);
	assert_true(is_closed(fd));
	free(answer);
	close(fd);
	/* Idle: before the first request, and after one. */
	fd = dial(s.port);
	assert_true(is_closed(fd));
	close(fd);
	fd = dial(s.port);
	say(fd, GET("/where/x"));
	free(hear(fd));
	assert_true(is_closed(fd));
	close(fd);
	EVENTUALLY(stats(&s).open == 0);
	server_stop(&s);
}

static void
who_takes_nothing_of_an_answer_is_sent_away(void **state)
{
	struct server s;
	int fd, small = 4096;

	(void)state;
	server_init(&s);
	s.o.write_timeout.ms = 60;
	server_start(&s, routes, COUNT(routes));
	fd = dial(s.port);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (int i = 0; i < 4; i++)
		say(fd, GET("/big"));
	EVENTUALLY(stats(&s).connections == 1);
	EVENTUALLY(stats(&s).open == 0);
	close(fd);
	server_stop(&s);
}

/* ---- listeners and limits of connections ---- */

static void
proxies_that_are_trusted_say_who_asks(void **state)
{
#define FROM(list) "GET /address HTTP/1.1\r\n" HOST "X-Forwarded-For: " list "\r\n\r\n"
	static const char *const trusted[] = { "127.0.0.0/8", "10.0.0.0/8" };
	struct server s;

	(void)state;
	begin(&s);
	expect(&s, FROM("192.0.2.1"), 200, "\r\n\r\n127.0.0.1");
	server_stop(&s);
	server_init(&s);
	s.o.trusted_proxies = (struct mx_list){ trusted, 2 };
	server_start(&s, routes, COUNT(routes));
	expect(&s, GET("/address"), 200, "\r\n\r\n127.0.0.1");
	expect(&s, FROM("198.51.100.9, 192.0.2.1, 10.1.2.3"), 200, "\r\n\r\n192.0.2.1");
	expect(&s, FROM("2001:db8::1"), 200, "\r\n\r\n2001:db8::1");
	expect(&s, FROM("192.0.2.1, junk, 10.0.0.1"), 200, "\r\n\r\n10.0.0.1");
	expect(&s,
	       "GET /address HTTP/1.1\r\n" HOST
	       "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n",
	       200, "\r\n\r\n192.0.2.7");
	server_stop(&s);
}

static void
a_unix_socket_is_served(void **state)
{
	char path[] = "/tmp/myelin-http-XXXXXX", word[64];
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	const char *words[] = { "127.0.0.1:0", word };
	struct server s;
	char *answer;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(path));
	(void)snprintf(word, sizeof(word), "unix:%s/s", path);
	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s/s", path);
	/* What a server that was killed has left is no hindrance. */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd);
	server_init(&s);
	s.o.listen = (struct mx_list){ words, 2 };
	server_start(&s, routes, COUNT(routes));
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	say(fd, GET("/address"));
	answer = hear(fd);
	assert_string_equal(body_of(answer), "unix");
	free(answer);
	close(fd);
	server_stop(&s);
	assert_int_not_equal(access(un.sun_path, F_OK), 0);
	assert_int_equal(rmdir(path), 0);
}

static void
a_star_is_all_addresses(void **state)
{
	static const char *const words[] = { "*:0", "127.0.0.1:0" };
	struct server s, other;
	mx_error *e;
	char taken[64];

	(void)state;
	for (size_t i = 0; i < COUNT(words); i++) {
		server_init(&s);
		s.words[0] = words[i];
		server_start(&s, routes, COUNT(routes));
		expect(&s, GET("/where/x"), 200, NULL);
		server_stop(&s);
	}
	/* Where somebody else listens already. */
	begin(&s);
	server_init(&other);
	(void)snprintf(taken, sizeof(taken), "127.0.0.1:%u", s.port);
	other.words[0] = taken;
	must(mx_http_new(NULL, &other.o, NULL, &other.h));
	e = mx_http_start(other.h);
	assert_true(mx_error_is(e, MX_E_CONFIG));
	assert_has(mx_error_text(e), taken);
	mx_error_free(&e);
	server_stop(&other);
	expect(&s, GET("/where/x"), 200, NULL);
	server_stop(&s);
}

static void
connections_are_limited(void **state)
{
	struct server s;
	char *answer;
	int fds[3];

	(void)state;
	server_init(&s);
	s.o.max_connections_per_address = 2;
	server_start(&s, routes, COUNT(routes));
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 3; i++)
			fds[i] = dial(s.port);
		answer = hear(fds[2]);
		assert_status(answer, 503);
		assert_true(is_closed(fds[2]));
		free(answer);
		for (int i = 0; i < 3; i++)
			close(fds[i]);
		EVENTUALLY(stats(&s).open == 0);
	}
	assert_int_equal(stats(&s).refused, 3);
	server_stop(&s);
	server_init(&s);
	s.o.max_connections = 1;
	server_start(&s, routes, COUNT(routes));
	fds[0] = dial(s.port);
	EVENTUALLY(stats(&s).open == 1);
	fds[1] = dial(s.port);
	answer = hear(fds[1]);
	assert_status(answer, 503);
	free(answer);
	close(fds[0]);
	close(fds[1]);
	server_stop(&s);
}

static void
mistakes_in_the_configuration_are_named(void **state)
{
	static const char *const bad[] = { "127.0.0.1",          "127.0.0.1:", "example.org:80",
					   "127.0.0.1:99999999", "unix:",      "tls:127.0.0.1:0" };
	static const char *const network[] = { "10.0.0.0/33" };
	struct server s;
	mx_error *e;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		server_init(&s);
		s.words[0] = bad[i];
		must(mx_http_new(NULL, &s.o, NULL, &s.h));
		e = mx_http_start(s.h);
		assert_true(mx_error_is(e, MX_E_CONFIG));
		mx_error_free(&e);
		server_stop(&s);
	}
	server_init(&s);
	s.o.trusted_proxies = (struct mx_list){ network, 1 };
	e = mx_http_new(NULL, &s.o, NULL, &s.h);
	assert_true(mx_error_is(e, MX_E_CONFIG));
	mx_error_free(&e);
}

static void
an_offer_to_upgrade_is_passed_over(void **state)
{
	struct server s;
	char *answer;
	int fd;

	(void)state;
	begin(&s);
	fd = dial(s.port);
	say(fd, "POST /echo HTTP/1.1\r\n" HOST
		"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
		"Content-Length: 3\r\n\r\nabc");
	answer = hear(fd);
	assert_string_equal(body_of(answer), "abc");
	free(answer);
	say(fd, "GET /where/x HTTP/1.1\r\n" HOST
		"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" GET("/where/y"));
	answer = hear(fd);
	assert_has(answer, "x||");
	free(answer);
	answer = hear(fd);
	assert_has(answer, "y||");
	free(answer);
	close(fd);
	server_stop(&s);
}

/* As a service manager starts us: sd_listen_fds(3). */
static void
inherited_sockets_are_served(void **state)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int kept = fcntl(3, F_DUPFD_CLOEXEC, 10), fd = socket(AF_INET, SOCK_STREAM, 0);
	struct server s;
	char pid[16];

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(fd, 10), 0);
	if (fd != 3) {
		assert_int_equal(dup2(fd, 3), 3);
		close(fd);
	}
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	server_init(&s);
	s.words[0] = "not looked at";
	server_start(&s, routes, COUNT(routes));
	assert_null(getenv("LISTEN_FDS"));
	expect(&s, GET("/where/x"), 200, NULL);
	server_stop(&s);
	if (kept >= 0) {
		dup2(kept, 3);
		close(kept);
	}
	/* Meant for another process. */
	setenv("LISTEN_PID", "1", 1);
	setenv("LISTEN_FDS", "1", 1);
	begin(&s);
	expect(&s, GET("/where/x"), 200, NULL);
	server_stop(&s);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
}

static void
who_comes_when_descriptors_are_used_up_waits(void **state)
{
	struct rlimit before, few;
	struct server s;
	char *answer;
	int fds[3], next;

	(void)state;
	begin(&s);
	next = dup(0);
	close(next);
	for (size_t i = 0; i < COUNT(fds); i++)
		fds[i] = dial(s.port);
	EVENTUALLY(stats(&s).open == COUNT(fds));
	/* Our end of one more connection fits, the server's does not. */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	next = dup(0);
	close(next);
	few = before;
	few.rlim_cur = (rlim_t)next + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	next = dial(s.port);
	say(next, GET("/where/x"));
	say(fds[0], GET("/where/y"));
	answer = hear(fds[0]);
	assert_status(answer, 200);
	free(answer);
	assert_int_equal(stats(&s).open, COUNT(fds));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	answer = hear(next);
	assert_status(answer, 200);
	free(answer);
	close(next);
	for (size_t i = 0; i < COUNT(fds); i++)
		close(fds[i]);
	server_stop(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_serves_many_requests),
		cmocka_unit_test(pipelined_requests_are_answered_in_order),
		cmocka_unit_test(a_request_may_come_byte_by_byte),
		cmocka_unit_test(connection_close_is_honoured),
		cmocka_unit_test(a_truncated_request_leaves_nothing),
		cmocka_unit_test(a_large_answer_waits_for_a_slow_reader),
		cmocka_unit_test(slow_clients_are_sent_away),
		cmocka_unit_test(who_takes_nothing_of_an_answer_is_sent_away),
		cmocka_unit_test(proxies_that_are_trusted_say_who_asks),
		cmocka_unit_test(a_unix_socket_is_served),
		cmocka_unit_test(a_star_is_all_addresses),
		cmocka_unit_test(connections_are_limited),
		cmocka_unit_test(mistakes_in_the_configuration_are_named),
		cmocka_unit_test(an_offer_to_upgrade_is_passed_over),
		cmocka_unit_test(inherited_sockets_are_served),
		cmocka_unit_test(who_comes_when_descriptors_are_used_up_waits),
	};

	return cmocka_run_group_tests_name("http server", tests, NULL, NULL);
}
