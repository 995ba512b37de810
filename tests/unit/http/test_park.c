#include "config.h"

#include <assert.h>

#include "tests/unit/http/harness.h"

#include <pthread.h>

/* What request.h promises of parking, and of the end of the server. */

struct place {			/* where a test's handler keeps its request, and what has happened to it */
	_Atomic(struct mx_request *) rq;
	atomic_int runs, ends, freed, authentications;
	_Atomic int64_t wait_us;
	atomic_bool wake_early, hold, logged_out, log_out;
};
static struct place place;

static void
ended(struct mx_request *rq, void *arg)
{
	struct place *p = arg;

	assert(rq == atomic_load(&p->rq));
	atomic_store(&p->rq, NULL);
	atomic_fetch_add(&p->ends, 1);
}

static void
freed(void *arg)
{
	struct place *p = arg;

	atomic_fetch_add(&p->freed, 1);
}

static enum mx_outcome
park(struct mx_request *rq)
{
	enum mx_outcome outcome;
	mx_str q = MX_S(""), token = mx_request_token(rq);
	struct mx_buf *b;

	atomic_fetch_add(&place.runs, 1);
	if (mx_request_again(rq)) {
		(void)mx_request_query(rq, "q", &q);
		b = mx_buf_new(0);
		mx_buf_printf(b, "%d %.*s %.*s %.*s %.*s", atomic_load(&place.ends),
			      MX_SFMT(mx_request_param(rq, "name")), MX_SFMT(q), MX_SFMT(token),
			      MX_SFMT(mx_request_body(rq)));
		return mx_reply_bytes(rq, 200, "text/plain", &b);
	}
	mx_arena_defer(mx_request_arena(rq), freed, &place);
	atomic_store(&place.rq, rq);
	if (atomic_load(&place.log_out))
		atomic_store(&place.logged_out, true);
	outcome = mx_request_suspend(rq, mx_monotonic_us() + atomic_load(&place.wait_us), ended,
				     &place);
	if (atomic_load(&place.wake_early))
		mx_request_wake(rq);
	while (atomic_load(&place.hold))
		usleep(1000);
	return outcome;
}

/* Parks with something of its own in the arena. */
static enum mx_outcome
park_with_data(struct mx_request *rq)
{
	char *own = mx_request_data(rq);

	if (own == NULL) {
		own = (char *)(uintptr_t)mx_arena_str(mx_request_arena(rq),
						      mx_request_header(rq, "x-own"))
			      .p;
		mx_request_set_data(rq, own);
		return mx_request_suspend(rq, mx_monotonic_us() + 1000, NULL, NULL);
	}
	return mx_reply_json(rq, 200, json_pack("[ss]", own, own));
}

/* Never gets what it waits for. */
static enum mx_outcome
park_again(struct mx_request *rq)
{
	atomic_fetch_add(&place.runs, 1);
	return mx_request_suspend(rq, mx_monotonic_us() + 100000000, NULL, NULL);
}

static enum mx_outcome
park_briefly(struct mx_request *rq)
{
	int n = (int)(uintptr_t)mx_request_data(rq);

	if (n == 20)
		return mx_reply_empty(rq);
	mx_request_set_data(rq, (void *)(uintptr_t)(n + 1));
	return mx_request_suspend(rq, mx_monotonic_us() + 1, NULL, NULL);
}

static enum mx_outcome
answer_after_suspend(struct mx_request *rq)
{
	atomic_store(&place.rq, rq);
	(void)mx_request_suspend(rq, mx_monotonic_us() + 100000000, ended, &place);
	return mx_reply_empty(rq);
}

static enum mx_outcome
park_without_asking(struct mx_request *rq)
{
	(void)rq;
	return MX_PARK;
}

static enum mx_outcome
slow(struct mx_request *rq)
{
	atomic_fetch_add(&place.runs, 1);
	while (atomic_load(&place.hold))
		usleep(1000);
	return mx_reply_empty(rq);
}

static const struct mx_route routes[] = {
	{ .method = "GET", .path = "/park/{name}", .handler = park },
	{ .method = "POST", .path = "/park/{name}", .handler = park, .auth = MX_AUTH_USER },
	{ .method = "GET", .path = "/inline/{name}", .handler = park, .flags = MX_ROUTE_INLINE },
	{ .method = "GET", .path = "/data", .handler = park_with_data },
	{ .method = "GET", .path = "/again", .handler = park_again },
	{ .method = "GET", .path = "/briefly", .handler = park_briefly },
	{ .method = "GET", .path = "/answer", .handler = answer_after_suspend },
	{ .method = "GET", .path = "/without", .handler = park_without_asking },
	{ .method = "GET", .path = "/slow", .handler = slow },
};

#define HOST "Host: localhost\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

static const struct mx_auth alice = { .user = 1 };

static mx_error *
authenticate(void *arg, struct mx_request *rq, mx_str token, const struct mx_auth **out)
{
	(void)arg;
	(void)rq;
	(void)token;
	atomic_fetch_add(&place.authentications, 1);
	if (atomic_load(&place.logged_out))
		return mx_error_new(MX_E_UNKNOWN_TOKEN, "Logged out");
	*out = &alice;
	return NULL;
}

static void
release(void *arg, const struct mx_auth *auth)
{
	(void)arg;
	(void)auth;
}

static bool
current(void *arg, const struct mx_auth *auth)
{
	(void)arg;
	(void)auth;
	return !atomic_load(&place.logged_out);
}

static void
begin(struct server *s)
{
	memset(&place, 0, sizeof(place));
	atomic_store(&place.wait_us, 100000000);
	server_init(s);
	s->hooks.authenticate = authenticate;
	s->hooks.release = release;
	s->hooks.current = current;
	server_start(s, routes, COUNT(routes));
}

static void
hear_end(int fd, const char *body)
{
	char *answer = hear(fd);

	assert_status(answer, 200);
	assert_string_equal(body_of(answer), body);
	free(answer);
}

static void
a_wake_runs_the_handler_again_once(void **state)
{
	struct server s;
	struct mx_request *rq;
	int fd;

	(void)state;
	begin(&s);
	fd = dial(s.port);
	say(fd, GET("/park/a%2Fb?q=%20x"));
	EVENTUALLY(stats(&s).parked == 1);
	assert_int_equal(atomic_load(&place.freed), 1);
	rq = atomic_load(&place.rq);
	mx_request_wake(rq);
	hear_end(fd, "1 a/b  x  ");
	assert_int_equal(atomic_load(&place.runs), 2);
	assert_int_equal(atomic_load(&place.ends), 1);
	/* The connection goes on. */
	say(fd, GET("/health"));
	free(hear(fd));
	close(fd);
	server_stop(&s);
}

static void
what_was_asked_survives(void **state)
{
	struct server s;
	int fd;

	(void)state;
	begin(&s);
	fd = dial(s.port);
	say(fd, "POST /park/n?q=v HTTP/1.1\r\n" HOST
		"X-Long: aaaaaaaaaaaaaaaaaaaaaaaaa\r\nAuthorization: Bearer tok\r\n"
		"Content-Length: 4\r\n\r\nbody");
	EVENTUALLY(stats(&s).parked == 1);
	mx_request_wake(atomic_load(&place.rq));
	hear_end(fd, "1 n v tok body");
	/* Nothing has changed for the user meanwhile. */
	assert_int_equal(atomic_load(&place.authentications), 1);
	close(fd);
	fd = dial(s.port);
	say(fd, "GET /data HTTP/1.1\r\n" HOST "X-Own: mine\r\n\r\n");
	hear_end(fd, "[\"mine\",\"mine\"]");
	close(fd);
	server_stop(&s);
}

static void
a_wake_before_the_handler_returns_counts(void **state)
{
	static const char *const paths[] = { GET("/park/x"), GET("/inline/x") };
	struct server s;

	(void)state;
	for (size_t i = 0; i < COUNT(paths); i++) {
		int fd;

		begin(&s);
		atomic_store(&place.wake_early, true);
		fd = dial(s.port);
		say(fd, paths[i]);
		hear_end(fd, "1 x   ");
		assert_int_equal(atomic_load(&place.ends), 1);
		close(fd);
		server_stop(&s);
	}
}

static void
the_deadline_runs_it_again(void **state)
{
	static const int waits_ms[] = { -5, 0, 1, 30, 700 };
	struct server s;

	(void)state;
	for (size_t i = 0; i < COUNT(waits_ms); i++) {
		int64_t before;
		int fd;

		begin(&s);
		atomic_store(&place.wait_us, (int64_t)waits_ms[i] * 1000);
		fd = dial(s.port);
		before = mx_monotonic_us();
		say(fd, GET("/park/x"));
		hear_end(fd, "1 x   ");
		assert_true(mx_monotonic_us() - before >= (int64_t)waits_ms[i] * 1000);
		assert_int_equal(atomic_load(&place.runs), 2);
		close(fd);
		server_stop(&s);
	}
}

static void
it_may_park_many_times(void **state)
{
	struct server s;
	int fd;

	(void)state;
	begin(&s);
	fd = dial(s.port);
	say(fd, GET("/briefly") GET("/briefly"));
	hear_end(fd, "{}");
	hear_end(fd, "{}");
	close(fd);
	server_stop(&s);
}

static void
a_client_that_hangs_up_ends_it(void **state)
{
	static const struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	struct server s;

	(void)state;
	for (int with_reset = 0; with_reset < 2; with_reset++) {
		int fd;

		begin(&s);
		fd = dial(s.port);
		say(fd, GET("/park/x"));
		EVENTUALLY(stats(&s).parked == 1);
		if (with_reset)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
		EVENTUALLY(stats(&s).open == 0);
		assert_int_equal(stats(&s).parked, 0);
		assert_int_equal(stats(&s).active, 0);
		assert_int_equal(stats(&s).requests[0], 1);
		assert_int_equal(atomic_load(&place.ends), 1);
		assert_int_equal(atomic_load(&place.runs), 1);
		server_stop(&s);
	}
}

static void
a_client_that_hangs_up_before_the_handler_returns_ends_it(void **state)
{
	struct server s;
	int fd;

	(void)state;
	begin(&s);
	atomic_store(&place.hold, true);
	fd = dial(s.port);
	say(fd, GET("/park/x"));
	EVENTUALLY(atomic_load(&place.runs) == 1);
	close(fd);
	usleep(5000);
	atomic_store(&place.hold, false);
	EVENTUALLY(stats(&s).open == 0 && stats(&s).active == 0);
	assert_int_equal(atomic_load(&place.ends), 1);
	assert_int_equal(atomic_load(&place.runs), 1);
	server_stop(&s);
}

static void
more_that_comes_while_it_waits_is_no_end(void **state)
{
	struct server s;
	int fd;

	(void)state;
	begin(&s);
	fd = dial(s.port);
	say(fd, GET("/park/x"));
	EVENTUALLY(stats(&s).parked == 1);
	say(fd, GET("/health"));
	usleep(5000);
	assert_int_equal(stats(&s).parked, 1);
	mx_request_wake(atomic_load(&place.rq));
	hear_end(fd, "1 x   ");
	hear_end(fd, "{\"status\":\"ok\"}");
	close(fd);
	server_stop(&s);
}

static void
who_was_logged_out_meanwhile_is_told(void **state)
{
	struct server s;
	char *answer;
	int fd;

	(void)state;
	begin(&s);
	fd = dial(s.port);
	say(fd, "POST /park/n HTTP/1.1\r\n" HOST
		"Authorization: Bearer tok\r\nContent-Length: 0\r\n\r\n");
	EVENTUALLY(stats(&s).parked == 1);
	atomic_store(&place.logged_out, true);
	mx_request_wake(atomic_load(&place.rq));
	answer = hear(fd);
	assert_status(answer, 401);
	assert_has(answer, "M_UNKNOWN_TOKEN");
	free(answer);
	close(fd);
	server_stop(&s);
}

static void
who_is_logged_out_before_it_waits_is_told(void **state)
{
	struct server s;
	char *answer;
	int fd;

	(void)state;
	begin(&s);
	atomic_store(&place.log_out, true);
	fd = dial(s.port);
	say(fd, "POST /park/n HTTP/1.1\r\n" HOST
		"Authorization: Bearer tok\r\nContent-Length: 0\r\n\r\n");
	answer = hear(fd);		/* though nobody wakes it */
	assert_status(answer, 401);
	assert_int_equal(atomic_load(&place.runs), 1);
	assert_int_equal(atomic_load(&place.ends), 1);
	free(answer);
	close(fd);
	server_stop(&s);
}

static void
misuse_is_a_500_or_an_answer(void **state)
{
	struct server s;

	(void)state;
	begin(&s);
	expect(&s, GET("/without"), 500, "M_UNKNOWN");
	expect(&s, GET("/answer"), 200, "{}");
	assert_int_equal(atomic_load(&place.ends), 1);
	server_stop(&s);
}

/* ---- the end ---- */

static void *
drain(void *arg)
{
	struct server *s = arg;

	return mx_http_drain(s->h, s->drain) ? arg : NULL;
}

static void
draining_runs_what_waits_and_closes(void **state)
{
	struct server s;
	void *done;
	pthread_t thread;
	char *answer;
	int parked, stubborn, running, idle;

	(void)state;
	begin(&s);
	parked = dial(s.port);
	say(parked, GET("/park/x"));
	stubborn = dial(s.port);
	say(stubborn, GET("/again"));
	EVENTUALLY(stats(&s).parked == 2);
	atomic_store(&place.hold, true);
	running = dial(s.port);
	say(running, GET("/slow"));
	EVENTUALLY(atomic_load(&place.runs) == 3);
	idle = dial(s.port);
	EVENTUALLY(stats(&s).open == 4);
	assert_int_equal(pthread_create(&thread, NULL, drain, &s), 0);
	assert_true(is_closed(idle));
	answer = hear(parked);
	assert_status(answer, 200);
	assert_has(answer, "Connection: close");
	free(answer);
	answer = hear(stubborn);		/* one that would wait again */
	assert_status(answer, 503);
	free(answer);
	/* Nobody is let in, and what runs is waited for. */
	EVENTUALLY(stats(&s).active == 1);
	atomic_store(&place.hold, false);
	answer = hear(running);
	assert_status(answer, 200);
	assert_true(is_closed(running));
	free(answer);
	pthread_join(thread, &done);
	assert_non_null(done);
	close(parked);
	close(stubborn);
	close(running);
	close(idle);
	server_stop(&s);
}

static void
draining_gives_up_at_its_timeout(void **state)
{
	struct server s;
	int fd;

	(void)state;
	begin(&s);
	atomic_store(&place.hold, true);
	fd = dial(s.port);
	say(fd, GET("/slow"));
	EVENTUALLY(atomic_load(&place.runs) == 1);
	assert_false(mx_http_drain(s.h, 50));
	/* While it drains, health says so on what is still open; here all is closed but the one. */
	atomic_store(&place.hold, false);
	free(hear(fd));
	close(fd);
	server_stop(&s);
}

/* ---- all at once ---- */

enum { CROWD = 200, ROUNDS = 20 };

static struct {
	pthread_mutex_t lock;
	struct mx_request *rqs[CROWD * 2];
	size_t n;
} crowd = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void
leave_crowd(struct mx_request *rq, void *arg)
{
	(void)arg;
	pthread_mutex_lock(&crowd.lock);
	for (size_t i = 0; i < crowd.n; i++) {
		if (crowd.rqs[i] == rq)
			crowd.rqs[i--] = crowd.rqs[--crowd.n];
	}
	pthread_mutex_unlock(&crowd.lock);
}

static enum mx_outcome
join_crowd(struct mx_request *rq)
{
	enum mx_outcome outcome;

	if (mx_request_again(rq))
		return mx_reply_empty(rq);
	pthread_mutex_lock(&crowd.lock);
	crowd.rqs[crowd.n++] = rq;
	outcome = mx_request_suspend(rq, mx_monotonic_us() + 3000, leave_crowd, NULL);
	pthread_mutex_unlock(&crowd.lock);
	return outcome;
}

static atomic_bool waking;

static void *
wake_all(void *arg)
{
	while (atomic_load(&waking)) {
		pthread_mutex_lock(&crowd.lock);
		for (size_t i = 0; i < crowd.n; i++)
			mx_request_wake(crowd.rqs[i]);
		pthread_mutex_unlock(&crowd.lock);
		usleep(500);
	}
	return arg;
}

static const struct mx_route crowd_routes[] = {
	{ .method = "GET", .path = "/crowd", .handler = join_crowd },
	{ .method = "GET", .path = "/inline", .handler = join_crowd, .flags = MX_ROUTE_INLINE },
};

static void
wakes_deadlines_and_hang_ups_may_meet(void **state)
{
	struct server s;
	pthread_t wakers[2];
	int fds[CROWD];

	(void)state;
	server_init(&s);
	server_start(&s, crowd_routes, COUNT(crowd_routes));
	atomic_store(&waking, true);
	for (size_t i = 0; i < COUNT(wakers); i++)
		assert_int_equal(pthread_create(&wakers[i], NULL, wake_all, NULL), 0);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < CROWD; i++) {
			fds[i] = dial(s.port);
			say(fds[i], i % 4 == 0 ? GET("/inline") : GET("/crowd"));
			if (i % 3 == 0)
				say(fds[i], GET("/crowd"));
		}
		for (int i = 0; i < CROWD; i++) {
			if (i % 5 != 0) {
				char *answer = hear(fds[i]);

				assert_status(answer, 200);
				free(answer);
			}
			close(fds[i]);
		}
	}
	EVENTUALLY(stats(&s).open == 0 && stats(&s).active == 0);
	assert_int_equal(stats(&s).parked, 0);
	assert_int_equal(crowd.n, 0);
	atomic_store(&waking, false);
	for (size_t i = 0; i < COUNT(wakers); i++)
		pthread_join(wakers[i], NULL);
	server_stop(&s);
}

static void
a_server_may_stop_under_load(void **state)
{
	struct server s;
	pthread_t waker;
	int fds[CROWD];

	(void)state;
	for (int round = 0; round < 5; round++) {
		server_init(&s);
		server_start(&s, crowd_routes, COUNT(crowd_routes));
		atomic_store(&waking, true);
		assert_int_equal(pthread_create(&waker, NULL, wake_all, NULL), 0);
		for (int i = 0; i < CROWD; i++) {
			fds[i] = dial(s.port);
			say(fds[i], GET("/crowd") GET("/crowd") GET("/inline"));
		}
		server_stop(&s);
		atomic_store(&waking, false);
		pthread_join(waker, NULL);
		assert_int_equal(crowd.n, 0);
		for (int i = 0; i < CROWD; i++)
			close(fds[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wake_runs_the_handler_again_once),
		cmocka_unit_test(what_was_asked_survives),
		cmocka_unit_test(a_wake_before_the_handler_returns_counts),
		cmocka_unit_test(the_deadline_runs_it_again),
		cmocka_unit_test(it_may_park_many_times),
		cmocka_unit_test(a_client_that_hangs_up_ends_it),
		cmocka_unit_test(a_client_that_hangs_up_before_the_handler_returns_ends_it),
		cmocka_unit_test(more_that_comes_while_it_waits_is_no_end),
		cmocka_unit_test(who_was_logged_out_meanwhile_is_told),
		cmocka_unit_test(who_is_logged_out_before_it_waits_is_told),
		cmocka_unit_test(misuse_is_a_500_or_an_answer),
		cmocka_unit_test(draining_runs_what_waits_and_closes),
		cmocka_unit_test(draining_gives_up_at_its_timeout),
		cmocka_unit_test(wakes_deadlines_and_hang_ups_may_meet),
		cmocka_unit_test(a_server_may_stop_under_load),
	};

	return cmocka_run_group_tests_name("http parking", tests, NULL, NULL);
}
