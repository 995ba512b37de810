#include "config.h"

#include "tests/unit/http/harness.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/un.h>

/* ---- handlers ---- */

static enum mx_outcome
echo(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);

	mx_buf_str(b, mx_request_body(rq));
	return mx_reply_bytes(rq, 200, "text/plain", &b);
}

static enum mx_outcome
where(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);
	mx_str a = MX_S("-"), second = MX_S("-");

	(void)mx_request_query(rq, "a", &a);
	(void)mx_request_query_nth(rq, "a", 1, &second);
	mx_buf_printf(b, "%.*s|%.*s|%.*s|%.*s", MX_SFMT(mx_request_param(rq, "one")),
		      MX_SFMT(mx_request_param(rq, "two")), MX_SFMT(a), MX_SFMT(second));
	return mx_reply_bytes(rq, 200, "text/plain", &b);
}

static enum mx_outcome
number(struct mx_request *rq)
{
	int64_t n;
	mx_error *e = mx_request_query_int(rq, "n", 1, 10, 7, &n);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_json(rq, 200, json_integer(n));
}

static enum mx_outcome
json(struct mx_request *rq)
{
	json_t *o, *again;
	mx_error *e = mx_request_json(rq, &o);

	if (e == NULL)
		e = mx_request_json(rq, &again);
	if (e != NULL)
		return mx_reply_error(rq, e);
	if (o != again)
		return MX_DONE;
	return mx_reply_json(rq, 200, json_incref(o));
}

static enum mx_outcome
address(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);

	mx_buf_str(b, mx_request_address(rq));
	return mx_reply_bytes(rq, 200, "text/plain", &b);
}

static enum mx_outcome
big(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);

	for (int i = 0; i < 1 << 19; i++)
		mx_buf_printf(b, "%07d\n", i);
	return mx_reply_bytes(rq, 200, "text/plain", &b);
}

static enum mx_outcome
silent(struct mx_request *rq)
{
	(void)rq;
	return MX_DONE;
}

static enum mx_outcome
twice(struct mx_request *rq)
{
	(void)mx_reply_empty(rq);
	return mx_reply_json(rq, 201, json_array());
}

static enum mx_outcome
header(struct mx_request *rq)
{
	mx_reply_header(rq, "X-Good", MX_S("yes"));
	mx_reply_header(rq, "X-Bad", MX_S("no\r\nX-Worse: 1"));
	return mx_reply_empty(rq);
}

static enum mx_outcome
too_large(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(4);

	mx_buf_str(b, MX_S("12345"));
	return mx_reply_buf(rq, 200, &b);
}

static const struct mx_route routes[] = {
	{ .method = "POST", .path = "/echo", .handler = echo, .body_limit = 1 << 20 },
	{ .method = "PUT", .path = "/small", .handler = echo, .body_limit = 10 },
	{ .method = "POST", .path = "/default", .handler = echo },
	{ .method = "GET", .path = "/where/{one}", .handler = where },
	{ .method = "GET", .path = "/where/{one}/{two}", .handler = where },
	{ .method = "GET", .path = "/inline/{one}", .handler = where, .flags = MX_ROUTE_INLINE },
	{ .method = "GET", .path = "/number", .handler = number },
	{ .method = "POST", .path = "/json", .handler = json },
	{ .method = "GET", .path = "/address", .handler = address },
	{ .method = "GET", .path = "/big", .handler = big },
	{ .method = "GET", .path = "/silent", .handler = silent },
	{ .method = "GET", .path = "/twice", .handler = twice },
	{ .method = "GET", .path = "/header", .handler = header },
	{ .method = "GET", .path = "/too-large", .handler = too_large },
};

#define HOST "Host: localhost\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

static void
begin(struct server *s)
{
	server_init(s);
	server_start(s, routes, COUNT(routes));
}

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

/* ---- what is refused ---- */

static void
what_is_no_request_is_refused(void **state)
{
	static const struct {
		const char *text;
		int status;
	} rows[] = {
		{ "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400 },
		{ "GET /where/x HTTP/1.1\r\n\r\n", 400 },
		{ "GET /where/x HTTP/1.1\r\n" HOST HOST "\r\n", 400 },
		{ "GET /where/x HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n", 400 },
		{ "GET /where/x HTTP/1.1\r\n" HOST "Bad Name: b\r\n\r\n", 400 },
		{ "POST /echo HTTP/1.1\r\n" HOST "Content-Length : 1\r\n\r\na", 400 },
		{ "GET /where/x HTTP/2.0\r\n" HOST "\r\n", 505 },
		{ "BREW /where/x HTTP/1.1\r\n" HOST "\r\n", 501 },
		{ "CONNECT example.org:443 HTTP/1.1\r\n" HOST "\r\n", 501 },
		{ "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		  400 },
		{ "POST /echo HTTP/1.1\r\n" HOST
		  "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		  400 },
		{ "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n\r\n",
		  400 },
		{ "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400 },
	};
	struct server s;

	(void)state;
	begin(&s);
	for (size_t i = 0; i < COUNT(rows); i++)
		expect(&s, rows[i].text, rows[i].status, "M_U");
	EVENTUALLY(stats(&s).open == 0);
	server_stop(&s);
}

static void
limits_of_the_head_hold(void **state)
{
	struct server s;
	char text[40000];
	size_t n;

	(void)state;
	begin(&s);
	n = (size_t)snprintf(text, sizeof(text), "GET /where/");
	memset(text + n, 'a', 17000);
	(void)snprintf(text + n + 17000, 100, " HTTP/1.1\r\n" HOST "\r\n");
	expect(&s, text, 414, NULL);
	n = (size_t)snprintf(text, sizeof(text), "GET /where/x HTTP/1.1\r\n" HOST "X: ");
	memset(text + n, 'a', 34000);
	(void)snprintf(text + n + 34000, 100, "\r\n\r\n");
	expect(&s, text, 431, NULL);
	n = (size_t)snprintf(text, sizeof(text), "GET /where/x HTTP/1.1\r\n" HOST);
	for (int i = 0; i < 100; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "X-%d: 1\r\n", i);
	(void)snprintf(text + n, sizeof(text) - n, "\r\n");
	expect(&s, text, 431, NULL);
	server_stop(&s);
}

static void
limits_of_bodies_hold(void **state)
{
	struct server s;
	char *text = malloc(80000);
	size_t n;

	(void)state;
	begin(&s);
	expect(&s, "PUT /small HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n0123456789", 200,
	       "0123456789");
	expect(&s, "PUT /small HTTP/1.1\r\n" HOST "Content-Length: 11\r\n\r\n0123456789a", 413,
	       "M_TOO_LARGE");
	expect(&s, "PUT /small HTTP/1.1\r\n" HOST "Content-Length: 5000000000\r\n\r\n", 413,
	       "M_TOO_LARGE");
	expect(&s, "PUT /small HTTP/1.1\r\n" HOST "Content-Length: 999999999999999999999\r\n\r\n",
	       400, NULL);
	expect(&s,
	       "PUT /small HTTP/1.1\r\n" HOST
	       "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n6\r\nfghijk\r\n",
	       413, NULL);
	/* Nobody is known to the route: 64 KiB. */
	n = (size_t)snprintf(text, 200,
			     "POST /default HTTP/1.1\r\n" HOST "Content-Length: 65537\r\n\r\n");
	memset(text + n, 'a', 65537);
	text[n + 65537] = 0;
	expect(&s, text, 413, NULL);
	n = (size_t)snprintf(text, 200,
			     "POST /default HTTP/1.1\r\n" HOST "Content-Length: 65536\r\n\r\n");
	memset(text + n, 'a', 65536);
	text[n + 65536] = 0;
	expect(&s, text, 200, NULL);
	free(text);
	server_stop(&s);
}

/* A client that sends on after it was refused must still be able to read why. */
static void
an_early_answer_arrives(void **state)
{
	struct server s;
	char *block = calloc(1, 1 << 20), *answer;
	int fd;

	(void)state;
	begin(&s);
	fd = dial(s.port);
	say(fd, "POST /nowhere HTTP/1.1\r\n" HOST "Content-Length: 2097152\r\n\r\n");
	(void)send(fd, block, 1 << 20, MSG_NOSIGNAL);
	usleep(10000);
	(void)send(fd, block, 1 << 20, MSG_NOSIGNAL);
	answer = hear(fd);
	assert_status(answer, 404);
	assert_has(answer, "Connection: close");
	free(answer);
	free(block);
	close(fd);
	server_stop(&s);
}

static void
a_small_body_of_a_refused_request_is_skipped(void **state)
{
	struct server s;
	char *answer;
	int fd;

	(void)state;
	begin(&s);
	fd = dial(s.port);
	say(fd, "POST /nowhere HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello" GET("/where/x"));
	answer = hear(fd);
	assert_status(answer, 404);
	free(answer);
	answer = hear(fd);
	assert_status(answer, 200);
	free(answer);
	close(fd);
	server_stop(&s);
}

static void
expect_continue_is_answered_when_the_body_is_wanted(void **state)
{
	struct server s;
	char *answer;
	int fd;

	(void)state;
	begin(&s);
	fd = dial(s.port);
	say(fd, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
	answer = hear(fd);
	assert_status(answer, 100);
	free(answer);
	say(fd, "hello");
	answer = hear(fd);
	assert_status(answer, 200);
	assert_string_equal(body_of(answer), "hello");
	free(answer);
	close(fd);
	expect(&s,
	       "PUT /small HTTP/1.1\r\n" HOST "Content-Length: 50\r\nExpect: 100-continue\r\n\r\n",
	       413, NULL);
	server_stop(&s);
}

/* ---- routes ---- */

static void
paths_and_methods_are_told_apart(void **state)
{
	struct server s;

	(void)state;
	begin(&s);
	expect(&s, GET("/nowhere"), 404, "\"errcode\":\"M_UNRECOGNIZED\"");
	expect(&s, GET("/echo"), 405, "\r\nAllow: POST, OPTIONS\r\n");
	expect(&s, "DELETE /where/x HTTP/1.1\r\n" HOST "\r\n", 405,
	       "\r\nAllow: GET, HEAD, OPTIONS\r\n");
	expect(&s, "GET http://example.org/where/x?a=b HTTP/1.1\r\n" HOST "\r\n", 200, "x||b|-");
	expect(&s, GET("/health"), 200, "{\"status\":\"ok\"}");
	expect(&s, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 200, NULL);
	server_stop(&s);
}

static void
browsers_may_ask_from_anywhere(void **state)
{
	static const char *const texts[] = {
		GET("/where/x"),
		GET("/nowhere"),
		GET("/echo"),
		GET("/silent"),
		"OPTIONS /where/x HTTP/1.1\r\n" HOST "\r\n",
		"OPTIONS /nowhere HTTP/1.1\r\n" HOST "\r\n",
	};
	static const int statuses[] = { 200, 404, 405, 500, 200, 200 };
	struct server s;

	(void)state;
	begin(&s);
	for (size_t i = 0; i < COUNT(texts); i++) {
		char *answer = ask(&s, texts[i]);

		assert_status(answer, statuses[i]);
		assert_has(answer, "Access-Control-Allow-Origin: *\r\n");
		assert_has(answer,
			   "Access-Control-Allow-Methods: GET, POST, PUT, DELETE, OPTIONS\r\n");
		assert_has(answer, "Access-Control-Allow-Headers: X-Requested-With, Content-Type, "
				   "Authorization\r\n");
		assert_has(answer, "\r\nDate: ");
		free(answer);
	}
	server_stop(&s);
}

static void
head_is_get_without_the_body(void **state)
{
	struct server s;
	char *answer;
	int fd;

	(void)state;
	begin(&s);
	fd = dial(s.port);
	say(fd, "HEAD /where/abc HTTP/1.1\r\n" HOST "\r\n" GET("/where/x"));
	answer = hear_answer(fd, true);
	assert_status(answer, 200);
	assert_has(answer, "Content-Length: 8\r\n");
	free(answer);
	answer = hear(fd);
	assert_string_equal(body_of(answer), "x||-|-");
	free(answer);
	close(fd);
	server_stop(&s);
}

static void
parameters_and_queries_are_decoded(void **state)
{
	struct server s;

	(void)state;
	begin(&s);
	expect(&s, GET("/where/%21a%2Fb%3Ac+d/e"), 200, "!a/b:c+d|e|");
	expect(&s, GET("/where/x?a=1%2B1+2&a=%C3%A9&b=3"), 200, "x||1+1 2|\xc3\xa9");
	expect(&s, GET("/where/x?%61=1"), 200, "x||1|-");
	expect(&s, GET("/where/x?a"), 200, "x|||-");
	expect(&s, GET("/where/x?"), 200, "x||-|-");
	expect(&s, GET("/where/x/"), 200, "x||-|-");
	expect(&s, GET("/where/x?a=%zz"), 400, "M_INVALID_PARAM");
	expect(&s, GET("/where/x?a=%c3"), 400, "M_INVALID_PARAM");
	expect(&s, GET("/where/x?a=%00"), 400, "M_INVALID_PARAM");
	expect(&s, GET("/where/%zz"), 400, "M_INVALID_PARAM");
	expect(&s, GET("/where/%ff"), 400, "M_INVALID_PARAM");
	expect(&s, GET("/where/a%00b"), 400, "M_INVALID_PARAM");
	expect(&s, GET("/number"), 200, "\r\n\r\n7");
	expect(&s, GET("/number?n=10"), 200, "\r\n\r\n10");
	expect(&s, GET("/number?n=11"), 400, "M_INVALID_PARAM");
	expect(&s, GET("/number?n=x"), 400, "M_INVALID_PARAM");
	server_stop(&s);
}

static void
bodies_are_json_objects(void **state)
{
#define POST_JSON(n, body) "POST /json HTTP/1.1\r\n" HOST "Content-Length: " n "\r\n\r\n" body
	struct server s;

	(void)state;
	begin(&s);
	expect(&s, POST_JSON("7", "{\"a\":1}"), 200, "{\"a\":1}");
	expect(&s, POST_JSON("0", ""), 200, "{}");
	expect(&s, "POST /json HTTP/1.1\r\n" HOST "\r\n", 200, "{}");
	expect(&s, POST_JSON("2", "[]"), 400, "M_BAD_JSON");
	expect(&s, POST_JSON("2", "{]"), 400, "M_NOT_JSON");
	expect(&s, POST_JSON("9", "{\"a\":\"\xff\"}"), 400, "M_NOT_JSON");
	server_stop(&s);
}

/* ---- handlers that err ---- */

static void
a_handler_that_errs_is_a_500(void **state)
{
	struct server s;

	(void)state;
	begin(&s);
	expect(&s, GET("/silent"), 500, "M_UNKNOWN");
	expect(&s, GET("/too-large"), 500, "M_UNKNOWN");
	expect(&s, GET("/twice"), 200, "{}");
	server_stop(&s);
}

static void
a_header_cannot_begin_another(void **state)
{
	struct server s;
	char *answer;

	(void)state;
	begin(&s);
	answer = ask(&s, GET("/header"));
	assert_has(answer, "X-Good: yes\r\n");
	assert_null(strstr(answer, "X-Worse"));
	free(answer);
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
		cmocka_unit_test(what_is_no_request_is_refused),
		cmocka_unit_test(limits_of_the_head_hold),
		cmocka_unit_test(limits_of_bodies_hold),
		cmocka_unit_test(an_early_answer_arrives),
		cmocka_unit_test(a_small_body_of_a_refused_request_is_skipped),
		cmocka_unit_test(expect_continue_is_answered_when_the_body_is_wanted),
		cmocka_unit_test(paths_and_methods_are_told_apart),
		cmocka_unit_test(browsers_may_ask_from_anywhere),
		cmocka_unit_test(head_is_get_without_the_body),
		cmocka_unit_test(parameters_and_queries_are_decoded),
		cmocka_unit_test(bodies_are_json_objects),
		cmocka_unit_test(a_handler_that_errs_is_a_500),
		cmocka_unit_test(a_header_cannot_begin_another),
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
