#include "config.h"

#include "tests/unit/http/harness.h"

#include <pthread.h>

/* What request.h promises of requests that are held. */

static struct {
	_Atomic(struct mx_request *) rq;
	atomic_int runs, thens, conns, pins;
	atomic_bool resume_at_once, again, returns;
} place;

static enum mx_outcome
then(struct mx_request *rq)
{
	mx_str name = mx_request_param(rq, "name");

	atomic_fetch_add(&place.thens, 1);
	if (atomic_load(&place.again))
		return MX_AGAIN;
	return mx_reply_json(rq, 200, json_pack("[is%]", *(int *)mx_request_data(rq), name.p,
						name.n));
}

static enum mx_outcome
hold(struct mx_request *rq)
{
	int *own;

	(void)mx_request_conn(rq);
	if (mx_request_again(rq))
		return mx_reply_json(rq, 200, json_string("again"));
	own = mx_arena_alloc(mx_request_arena(rq), sizeof(*own));
	*own = atomic_fetch_add(&place.runs, 1) + 1;
	mx_request_set_data(rq, own);
	mx_request_hold(rq, then);
	if (atomic_load(&place.resume_at_once))
		mx_request_resume(rq);
	else
		atomic_store(&place.rq, rq);
	/* It may be answered while its handler is still here. */
	while (!atomic_load(&place.returns))
		usleep(1000);
	return MX_HELD;
}

static const struct mx_route routes[] = {
	{ .method = "GET", .path = "/hold/{name}", .handler = hold },
	{ .method = "GET", .path = "/inline/{name}", .handler = hold, .flags = MX_ROUTE_INLINE },
};

#define HOST "Host: localhost\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

static struct mx_conn *
conn_get(void *arg)
{
	(void)arg;
	atomic_fetch_add(&place.conns, 1);
	return (struct mx_conn *)(void *)&place;
}

static void
conn_put(void *arg, struct mx_conn *c)
{
	(void)arg;
	(void)c;
	atomic_fetch_sub(&place.conns, 1);
}

static void
pin(struct mx_module_self *self)
{
	(void)self;
	atomic_fetch_add(&place.pins, 1);
}

static void
unpin(struct mx_module_self *self)
{
	(void)self;
	atomic_fetch_sub(&place.pins, 1);
}

static void
begin(struct server *s)
{
	struct mx_router_row rows[COUNT(routes)];
	struct mx_router *r;

	memset(&place, 0, sizeof(place));
	atomic_store(&place.returns, true);
	server_init(s);
	s->hooks.conn_get = conn_get;
	s->hooks.conn_put = conn_put;
	s->hooks.pin = pin;
	s->hooks.unpin = unpin;
	for (size_t i = 0; i < COUNT(routes); i++)
		rows[i] = (struct mx_router_row){ .route = &routes[i],
						  .self = (void *)&place,
						  .owner = "test" };
	must(mx_router_new(rows, COUNT(rows), &r));
	must(mx_http_new(NULL, &s->o, &s->hooks, &s->h));
	mx_http_set_router(s->h, r);
	mx_router_unref(&r);
	must(mx_http_start(s->h));
	s->port = mx_http_port(s->h, 0);
}

static void
hear_end(int fd, const char *body)
{
	char *answer = hear(fd);

	assert_status(answer, 200);
	assert_string_equal(body_of(answer), body);
	free(answer);
}

static struct mx_request *
held(void)
{
	struct mx_request *rq;

	EVENTUALLY(atomic_load(&place.rq) != NULL);
	rq = atomic_load(&place.rq);
	atomic_store(&place.rq, NULL);
	return rq;
}

static void
it_is_answered_when_it_is_resumed(void **state)
{
	static const char *const paths[] = { GET("/hold/a%20b") GET("/hold/c"),
					     GET("/inline/a%20b") GET("/inline/c") };
	struct server s;

	(void)state;
	for (size_t i = 0; i < COUNT(paths); i++) {
		int fd;

		begin(&s);
		fd = dial(s.port);
		say(fd, paths[i]);
		mx_request_resume(held());
		hear_end(fd, "[1,\"a b\"]");
		/* What came behind it is next. */
		mx_request_resume(held());
		hear_end(fd, "[2,\"c\"]");
		close(fd);
		server_stop(&s);
		assert_int_equal(atomic_load(&place.conns), 0);
		assert_int_equal(atomic_load(&place.pins), 0);
	}
}

static void
it_keeps_no_worker_and_no_connection(void **state)
{
	enum { MANY = 20 };		/* there are four workers */
	struct mx_request *rqs[MANY];
	struct server s;
	int fds[MANY];

	(void)state;
	begin(&s);
	for (int i = 0; i < MANY; i++) {
		fds[i] = dial(s.port);
		say(fds[i], GET("/hold/x"));
		rqs[i] = held();
	}
	EVENTUALLY(atomic_load(&place.conns) == 0 && atomic_load(&place.pins) == MANY);
	for (int i = MANY; i-- > 0;)
		mx_request_resume(rqs[i]);
	for (int i = 0; i < MANY; i++) {
		char body[32];

		(void)snprintf(body, sizeof(body), "[%d,\"x\"]", i + 1);
		hear_end(fds[i], body);
		close(fds[i]);
	}
	server_stop(&s);
}

static void
it_may_be_answered_before_its_handler_returns(void **state)
{
	struct server s;
	int fd;

	(void)state;
	begin(&s);
	atomic_store(&place.returns, false);
	atomic_store(&place.resume_at_once, true);
	fd = dial(s.port);
	say(fd, GET("/hold/x"));
	hear_end(fd, "[1,\"x\"]");
	/* The request is gone, its module and connection are not, as the handler is still there. */
	EVENTUALLY(stats(&s).active == 0);
	assert_int_equal(atomic_load(&place.conns), 1);
	assert_int_equal(atomic_load(&place.pins), 1);
	atomic_store(&place.returns, true);
	EVENTUALLY(atomic_load(&place.conns) == 0 && atomic_load(&place.pins) == 0);
	close(fd);
	server_stop(&s);
}

static void
again_runs_the_handler_once_more(void **state)
{
	struct server s;
	int fd;

	(void)state;
	begin(&s);
	atomic_store(&place.again, true);
	fd = dial(s.port);
	say(fd, GET("/hold/x"));
	mx_request_resume(held());
	hear_end(fd, "\"again\"");
	assert_int_equal(atomic_load(&place.thens), 1);
	close(fd);
	server_stop(&s);
	assert_int_equal(atomic_load(&place.conns), 0);
	assert_int_equal(atomic_load(&place.pins), 0);
}

static void
a_client_that_hangs_up_changes_nothing(void **state)
{
	static const struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	struct server s;

	(void)state;
	for (int with_reset = 0; with_reset < 2; with_reset++) {
		struct mx_request *rq;
		int fd;

		begin(&s);
		fd = dial(s.port);
		say(fd, GET("/hold/x"));
		rq = held();
		if (with_reset)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
		usleep(5000);
		assert_int_equal(stats(&s).active, 1);
		mx_request_resume(rq);
		EVENTUALLY(stats(&s).open == 0 && stats(&s).active == 0);
		assert_int_equal(atomic_load(&place.thens), 1);
		server_stop(&s);
	}
}

static void *
resume_late(void *arg)
{
	struct mx_request *rq = arg;

	while (!mx_request_draining(rq))
		usleep(1000);
	usleep(20000);
	mx_request_resume(rq);
	return NULL;
}

static void
the_end_of_the_server_waits_for_it(void **state)
{
	struct server s;

	(void)state;
	for (int again = 0; again < 2; again++) {
		pthread_t thread;
		int fd;

		begin(&s);
		s.drain = 1;
		atomic_store(&place.again, again == 1);
		fd = dial(s.port);
		say(fd, GET("/hold/x"));
		assert_int_equal(pthread_create(&thread, NULL, resume_late, held()), 0);
		server_stop(&s);
		pthread_join(thread, NULL);
		assert_int_equal(atomic_load(&place.thens), 1);
		assert_int_equal(atomic_load(&place.pins), 0);
		close(fd);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_answered_when_it_is_resumed),
		cmocka_unit_test(it_keeps_no_worker_and_no_connection),
		cmocka_unit_test(it_may_be_answered_before_its_handler_returns),
		cmocka_unit_test(again_runs_the_handler_once_more),
		cmocka_unit_test(a_client_that_hangs_up_changes_nothing),
		cmocka_unit_test(the_end_of_the_server_waits_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
