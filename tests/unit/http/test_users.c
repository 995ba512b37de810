#include "config.h"

#include "tests/unit/http/harness.h"

/* Who may ask, before how much is read of whom, and how often. */

static atomic_int authenticated, released, answered, in_conn;
static atomic_size_t body_seen;		/* how much body was there when somebody was to be authenticated */

static struct mx_auth who[] = {
	{ .user = 1, .user_id = { "@alice:x", 8 } },
	{ .user = 2, .user_id = { "@admin:x", 8 }, .admin = true },
	{ .user = 3, .user_id = { "@guest:x", 8 }, .guest = true },
	{ .user = 4, .user_id = { "@locked:x", 9 }, .locked = true },
	{ .user = 5, .user_id = { "@suspended:x", 12 }, .suspended = true },
};

static mx_error *
authenticate(void *arg, struct mx_request *rq, mx_str token, const struct mx_auth **out)
{
	int64_t n;

	(void)arg;
	atomic_fetch_add(&authenticated, 1);
	atomic_store(&body_seen, mx_request_body(rq).n);
	(void)mx_request_conn(rq);
	if (!mx_str_int(token, 1, (int64_t)COUNT(who), &n))
		return mx_error_new(MX_E_UNKNOWN_TOKEN, "Unknown access token");
	*out = &who[n - 1];
	return NULL;
}

static void
release(void *arg, const struct mx_auth *auth)
{
	(void)arg;
	(void)auth;
	atomic_fetch_add(&released, 1);
}

static struct mx_conn *
conn_get(void *arg)
{
	atomic_fetch_add(&in_conn, 1);
	return arg;
}

static void
conn_put(void *arg, struct mx_conn *c)
{
	if ((void *)c != arg)
		abort();
	atomic_fetch_sub(&in_conn, 1);
}

static enum mx_outcome
answer(struct mx_request *rq)
{
	const struct mx_auth *auth = mx_request_auth(rq);
	struct mx_buf *b = mx_buf_new(0);

	atomic_fetch_add(&answered, 1);
	(void)mx_request_conn(rq);
	mx_buf_str(b, auth != NULL ? auth->user_id : MX_S("nobody"));
	mx_buf_printf(b, " %zu", mx_request_body(rq).n);
	return mx_reply_bytes(rq, 200, "text/plain", &b);
}

static enum mx_outcome
login(struct mx_request *rq)
{
	mx_error *e = mx_request_limit(rq, MX_RATE_LOGIN, mx_request_param(rq, "user"));

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

static const struct mx_route routes[] = {
	{ .method = "GET", .path = "/none", .handler = answer },
	{ .method = "GET",
	  .path = "/optional",
	  .handler = answer,
	  .auth = MX_AUTH_OPTIONAL,
	  .flags = MX_ROUTE_INLINE },
	{ .method = "GET", .path = "/user", .handler = answer, .auth = MX_AUTH_USER },
	{ .method = "PUT", .path = "/user", .handler = answer, .auth = MX_AUTH_USER },
	{ .method = "POST",
	  .path = "/logout",
	  .handler = answer,
	  .auth = MX_AUTH_USER,
	  .flags = MX_ROUTE_SUSPENDED_OK },
	{ .method = "GET", .path = "/guest", .handler = answer, .auth = MX_AUTH_GUEST },
	{ .method = "GET",
	  .path = "/admin",
	  .handler = answer,
	  .auth = MX_AUTH_ADMIN,
	  .flags = MX_ROUTE_REMOTE },
	{ .method = "GET", .path = "/cpu", .handler = answer, .flags = MX_ROUTE_CPU },
	{ .method = "PUT",
	  .path = "/write",
	  .handler = answer,
	  .auth = MX_AUTH_OPTIONAL,
	  .rate = MX_RATE_WRITE },
	{ .method = "GET", .path = "/register", .handler = answer, .rate = MX_RATE_REGISTER },
	{ .method = "GET", .path = "/login/{user}", .handler = login, .rate = MX_RATE_NONE },
};

#define HOST "Host: localhost\r\n"
#define AS(n) "Authorization: Bearer " n "\r\n"
#define GET(path, more) "GET " path " HTTP/1.1\r\n" HOST more "\r\n"
#define PUT(path, more) "PUT " path " HTTP/1.1\r\n" HOST more "Content-Length: 0\r\n\r\n"

static void
begin(struct server *s)
{
	atomic_store(&authenticated, 0);
	atomic_store(&released, 0);
	atomic_store(&answered, 0);
	server_init(s);
	s->hooks = (struct mx_http_hooks){ .arg = s,
					   .authenticate = authenticate,
					   .release = release,
					   .conn_get = conn_get,
					   .conn_put = conn_put };
}

static void
finish(struct server *s)
{
	server_stop(s);
	assert_int_equal(atomic_load(&in_conn), 0);
}

static void
routes_say_who_may_ask(void **state)
{
	struct server s;

	(void)state;
	begin(&s);
	server_start(&s, routes, COUNT(routes));
	expect(&s, GET("/none", AS("9")), 200, "nobody 0");
	assert_int_equal(atomic_load(&authenticated), 0);
	expect(&s, GET("/optional", ""), 200, "nobody 0");
	expect(&s, GET("/optional", AS("1")), 200, "@alice:x 0");
	expect(&s, GET("/optional", AS("9")), 401, "M_UNKNOWN_TOKEN");
	expect(&s, GET("/user", ""), 401, "M_MISSING_TOKEN");
	expect(&s, GET("/user", "Authorization: Basic 1\r\n"), 401, "M_MISSING_TOKEN");
	expect(&s, GET("/user", "Authorization: Bearer \r\n"), 401, "M_MISSING_TOKEN");
	expect(&s, GET("/user", AS("x")), 401, "M_UNKNOWN_TOKEN");
	expect(&s, GET("/user", AS("1")), 200, "@alice:x 0");
	expect(&s, GET("/user", "authorization: bearer  1\r\n"), 200, "@alice:x 0");
	expect(&s, GET("/user?access_token=%31", ""), 200, "@alice:x 0");
	expect(&s, GET("/user", AS("3")), 403, "M_GUEST_ACCESS_FORBIDDEN");
	expect(&s, GET("/guest", AS("3")), 200, "@guest:x 0");
	expect(&s, GET("/admin", AS("1")), 403, "M_FORBIDDEN");
	expect(&s, GET("/admin", AS("2")), 200, "@admin:x 0");
	expect(&s, GET("/user", AS("4")), 401, "M_USER_LOCKED");
	expect(&s, GET("/user", AS("4")), 401, "\"soft_logout\":true");
	expect(&s, GET("/user", AS("5")), 200, "@suspended:x 0");
	expect(&s, PUT("/user", AS("5")), 403, "M_USER_SUSPENDED");
	expect(&s, "POST /logout HTTP/1.1\r\n" HOST AS("4") "Content-Length: 0\r\n\r\n", 200,
	       "@locked:x 0");
	expect(&s, "POST /logout HTTP/1.1\r\n" HOST AS("5") "Content-Length: 0\r\n\r\n", 200,
	       "@suspended:x 0");
	expect(&s, GET("/cpu", ""), 200, "nobody 0");
	finish(&s);
	assert_int_equal(atomic_load(&released), atomic_load(&authenticated) - 2);
}

static void
a_large_body_is_read_of_who_is_known(void **state)
{
	static const char sized[] =
		"PUT /user HTTP/1.1\r\n" HOST "%sContent-Length: 200000\r\n%s\r\n";
	char *block = calloc(1, 200000), text[512], *answer;
	struct server s;
	int fd;

	(void)state;
	begin(&s);
	server_start(&s, routes, COUNT(routes));
	/* Nobody is refused before the body. */
	(void)snprintf(text, sizeof(text), sized, "", "");
	expect(&s, text, 401, "M_MISSING_TOKEN");
	(void)snprintf(text, sizeof(text), sized, AS("x"), "");
	expect(&s, text, 401, "M_UNKNOWN_TOKEN");
	(void)snprintf(text, sizeof(text), sized, AS("x"), "Expect: 100-continue\r\n");
	expect(&s, text, 401, "M_UNKNOWN_TOKEN");
	assert_int_equal(atomic_load(&body_seen), 0);
	/* And somebody is let on. */
	fd = dial(s.port);
	(void)snprintf(text, sizeof(text), sized, AS("1"), "Expect: 100-continue\r\n");
	say(fd, text);
	answer = hear(fd);
	assert_status(answer, 100);
	free(answer);
	say_bytes(fd, block, 200000);
	answer = hear(fd);
	assert_string_equal(body_of(answer), "@alice:x 200000");
	free(answer);
	/* All at once, twice. */
	(void)snprintf(text, sizeof(text), sized, AS("1"), "");
	for (int i = 0; i < 2; i++) {
		say(fd, text);
		say_bytes(fd, block, 200000);
	}
	for (int i = 0; i < 2; i++) {
		answer = hear(fd);
		assert_string_equal(body_of(answer), "@alice:x 200000");
		free(answer);
	}
	assert_int_equal(atomic_load(&body_seen), 0);
	close(fd);
	free(block);
	finish(&s);
}

static void
a_chunked_body_is_asked_for_when_it_grows(void **state)
{
	static const char head[] =
		"PUT /user HTTP/1.1\r\n" HOST "%sTransfer-Encoding: chunked\r\n\r\n";
	char *block = malloc(1005), text[256], *answer;
	struct server s;
	int fd;

	(void)state;
	begin(&s);
	server_start(&s, routes, COUNT(routes));
	memcpy(block, "3e8\r\n", 5);
	memset(block + 5, 'x', 1000);
	for (int known = 0; known < 2; known++) {
		fd = dial(s.port);
		(void)snprintf(text, sizeof(text), head, known ? AS("1") : AS("x"));
		say(fd, text);
		for (int i = 0; i < 100; i++) {
			if (send(fd, block, 5, MSG_NOSIGNAL) < 0 ||
			    send(fd, block + 5, 1000, MSG_NOSIGNAL) < 0 ||
			    send(fd, "\r\n", 2, MSG_NOSIGNAL) < 0)
				break;
		}
		(void)send(fd, "0\r\n\r\n", 5, MSG_NOSIGNAL);
		answer = hear(fd);
		assert_status(answer, known ? 200 : 401);
		assert_true(atomic_load(&body_seen) <= 65536);
		assert_true(atomic_load(&body_seen) > 30000);
		free(answer);
		close(fd);
	}
	free(block);
	finish(&s);
}

static void
who_asks_too_often_waits(void **state)
{
	struct server s;
	char *text;

	(void)state;
	begin(&s);
	s.o.rate_limits = true;
	s.o.write_every.ms = s.o.register_every.ms = s.o.login_every.ms = 3600000;
	s.o.write_burst = s.o.register_burst = s.o.login_burst = 3;
	server_start(&s, routes, COUNT(routes));
	/* Each user has its own, and so has each address. */
	for (int i = 0; i < 4; i++) {
		expect(&s, PUT("/write", AS("1")), i < 3 ? 200 : 429, NULL);
		expect(&s, PUT("/write", AS("2")), i < 3 ? 200 : 429, NULL);
		expect(&s, PUT("/write", ""), i < 3 ? 200 : 429, NULL);
		expect(&s, GET("/register", ""), i < 3 ? 200 : 429, NULL);
		expect(&s, GET("/login/alice", ""), i < 3 ? 200 : 429, NULL);
		expect(&s, GET("/login/bob", ""), i < 3 ? 200 : 429, NULL);
	}
	text = ask(&s, PUT("/write", AS("1")));
	assert_has(text, "\"errcode\":\"M_LIMIT_EXCEEDED\"");
	assert_has(text, "\"retry_after_ms\":35");
	assert_has(text, "Retry-After: 3");
	free(text);
	expect(&s, GET("/user", AS("1")), 200, NULL);
	assert_int_equal(stats(&s).limited, 7);
	/* New limits at a reload. */
	s.o.rate_limits = false;
	must(mx_http_reload(s.h, &s.o));
	expect(&s, PUT("/write", AS("1")), 200, NULL);
	finish(&s);
}

/* ---- modules ---- */

static struct mx_module_self *const self = (struct mx_module_self *)&who[0];
static atomic_int pins;

static void
pin(struct mx_module_self *m)
{
	assert_ptr_equal(m, self);
	atomic_fetch_add(&pins, 1);
}

static void
unpin(struct mx_module_self *m)
{
	(void)m;
	atomic_fetch_sub(&pins, 1);
}

static enum mx_outcome
wait(struct mx_request *rq)
{
	if (mx_request_again(rq))
		return mx_reply_empty(rq);
	return mx_request_suspend(rq, mx_monotonic_us() + 10000000, NULL, NULL);
}

static void
a_request_keeps_its_module_and_its_router(void **state)
{
	static const struct mx_route old = { .method = "GET", .path = "/old", .handler = wait };
	const struct mx_router_row row = { .route = &old, .self = self, .owner = "old" };
	struct mx_router *r;
	struct server s;
	char *text;
	int fd;

	(void)state;
	begin(&s);
	s.hooks.pin = pin;
	s.hooks.unpin = unpin;
	server_start(&s, routes, COUNT(routes));
	must(mx_router_new(&row, 1, &r));
	mx_http_set_router(s.h, r);
	mx_router_unref(&r);
	expect(&s, GET("/none", ""), 404, NULL);
	fd = dial(s.port);
	say(fd, GET("/old", ""));
	EVENTUALLY(stats(&s).parked == 1);
	assert_int_equal(atomic_load(&pins), 1);
	r = make_router(routes, COUNT(routes));
	mx_http_set_router(s.h, r);
	mx_router_unref(&r);
	expect(&s, GET("/old", ""), 404, NULL);
	expect(&s, GET("/none", ""), 200, NULL);
	assert_int_equal(atomic_load(&pins), 1);
	assert_true(mx_http_drain(s.h, 5000));
	text = hear(fd);
	assert_status(text, 200);
	free(text);
	close(fd);
	EVENTUALLY(atomic_load(&pins) == 0);
	finish(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routes_say_who_may_ask),
		cmocka_unit_test(a_large_body_is_read_of_who_is_known),
		cmocka_unit_test(a_chunked_body_is_asked_for_when_it_grows),
		cmocka_unit_test(who_asks_too_often_waits),
		cmocka_unit_test(a_request_keeps_its_module_and_its_router),
	};

	return cmocka_run_group_tests_name("http users", tests, NULL, NULL);
}
