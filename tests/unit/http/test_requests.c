#include "config.h"

#include "tests/unit/http/handlers.h"

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
who_sends_on_after_an_early_answer_is_cut_off(void **state)
{
	enum { BLOCK = 1 << 20, MOST = 1 << 30 };
	struct server s;
	char *block = calloc(1, BLOCK);
	size_t sent = 0;
	ssize_t n;
	int fd;

	(void)state;
	begin(&s);
	fd = dial(s.port);
	say(fd, "POST /nowhere HTTP/1.1\r\n" HOST "Content-Length: 4000000000\r\n\r\n");
	while (sent < MOST && (n = send(fd, block, BLOCK, MSG_NOSIGNAL)) > 0)
		sent += (size_t)n;
	assert_in_range(sent, 8 * BLOCK, 256 * BLOCK);
	EVENTUALLY(stats(&s).open == 0);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_request_is_refused),
		cmocka_unit_test(limits_of_the_head_hold),
		cmocka_unit_test(limits_of_bodies_hold),
		cmocka_unit_test(an_early_answer_arrives),
		cmocka_unit_test(who_sends_on_after_an_early_answer_is_cut_off),
		cmocka_unit_test(a_small_body_of_a_refused_request_is_skipped),
		cmocka_unit_test(expect_continue_is_answered_when_the_body_is_wanted),
		cmocka_unit_test(paths_and_methods_are_told_apart),
		cmocka_unit_test(browsers_may_ask_from_anywhere),
		cmocka_unit_test(head_is_get_without_the_body),
		cmocka_unit_test(parameters_and_queries_are_decoded),
		cmocka_unit_test(bodies_are_json_objects),
		cmocka_unit_test(a_handler_that_errs_is_a_500),
		cmocka_unit_test(a_header_cannot_begin_another),
	};

	return cmocka_run_group_tests_name("http requests", tests, NULL, NULL);
}
