#include "config.h"

#include "tests/unit/http/harness.h"

#include <pthread.h>

/* What request.h promises of routes with MX_ROUTE_TRY. */

static struct mx_auth alice = { .user = 1 };
static atomic_int tried, ran, refs, conns;
static _Atomic(struct mx_request *) waiting;

static void
ended(struct mx_request *rq, void *arg)
{
	(void)rq;
	(void)arg;
}

/* Where it ran, and whether it had waited. */
static enum mx_outcome
tell(struct mx_request *rq)
{
	char thread[16];
	struct mx_buf *b = mx_buf_new(0);

	(void)pthread_getname_np(pthread_self(), thread, sizeof(thread));
	mx_buf_printf(b, "%.*s%s", (int)strcspn(thread, "-"), thread,
		      mx_request_again(rq) ? " again" : "");
	return mx_reply_bytes(rq, 200, "text/plain", &b);
}

static enum mx_outcome
handle(struct mx_request *rq)
{
	mx_str how = mx_request_param(rq, "how");
	enum mx_outcome outcome;

	if (!mx_request_on_trial(rq)) {
		atomic_fetch_add(&ran, 1);
		(void)mx_request_conn(rq);
		return tell(rq);
	}
	atomic_fetch_add(&tried, 1);
	if (mx_str_eq(how, MX_S("answer")))
		return tell(rq);
	if (mx_str_eq(how, MX_S("fail")))
		return mx_reply_error(rq, mx_error_new(MX_E_INVALID_PARAM, "no"));
	if (mx_str_eq(how, MX_S("again")))
		return MX_AGAIN;
	outcome = mx_request_suspend(rq, mx_monotonic_us() + 100000000, ended, NULL);
	atomic_store(&waiting, rq);
	return outcome;
}

static const struct mx_route routes[] = {
	{ .method = "GET", .path = "/{how}", .handler = handle, .auth = MX_AUTH_USER,
	  .rate = MX_RATE_READ, .flags = MX_ROUTE_TRY },
	{ .method = "GET", .path = "/plain/{how}", .handler = handle, .auth = MX_AUTH_USER },
};

#define ASK(path, token)                                                                           \
	"GET " path " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " token "\r\n\r\n"

static mx_error *
authenticate(void *arg, struct mx_request *rq, mx_str token, const struct mx_auth **out)
{
	(void)arg;
	(void)rq;
	(void)token;
	atomic_fetch_add(&refs, 1);
	*out = &alice;
	return NULL;
}

static bool
known(void *arg, struct mx_request *rq, mx_str token, const struct mx_auth **out)
{
	if (!mx_str_eq(token, MX_S("known")))
		return false;
	return authenticate(arg, rq, token, out) == NULL;
}

static void
release(void *arg, const struct mx_auth *auth)
{
	(void)arg;
	(void)auth;
	atomic_fetch_sub(&refs, 1);
}

static struct mx_conn *
conn_get(void *arg)
{
	(void)arg;
	atomic_fetch_add(&conns, 1);
	return (struct mx_conn *)(void *)&alice;
}

static void
conn_put(void *arg, struct mx_conn *c)
{
	(void)arg;
	(void)c;
	atomic_fetch_sub(&conns, 1);
}

static void
begin(struct server *s)
{
	server_init(s);
	s->hooks.authenticate = authenticate;
	s->hooks.known = known;
	s->hooks.release = release;
	s->hooks.conn_get = conn_get;
	s->hooks.conn_put = conn_put;
	alice = (struct mx_auth){ .user = 1 };
	atomic_store(&tried, 0);
	atomic_store(&ran, 0);
	atomic_store(&waiting, NULL);
}

static void
end(struct server *s)
{
	server_stop(s);
	assert_int_equal(atomic_load(&refs), 0);
	assert_int_equal(atomic_load(&conns), 0);
}

static void
says(struct server *s, const char *text, const char *body)
{
	char *answer = ask(s, text);

	assert_status(answer, 200);
	assert_string_equal(body_of(answer), body);
	free(answer);
}

static void
the_io_thread_answers_or_passes_it_on(void **state)
{
	struct server s;

	(void)state;
	begin(&s);
	server_start(&s, routes, COUNT(routes));
	says(&s, ASK("/answer", "known"), "io");
	expect(&s, ASK("/fail", "known"), 400, "M_INVALID_PARAM");
	assert_int_equal(atomic_load(&ran), 0);
	says(&s, ASK("/again", "known"), "worker");
	assert_int_equal(atomic_load(&tried), 3);
	assert_int_equal(atomic_load(&ran), 1);
	end(&s);
}

static void
only_who_is_known_and_where_it_is_wanted(void **state)
{
	struct server s;

	(void)state;
	begin(&s);
	server_start(&s, routes, COUNT(routes));
	says(&s, ASK("/answer", "other"), "worker");
	says(&s, ASK("/plain/answer", "known"), "worker");
	expect(&s, "GET /answer HTTP/1.1\r\nHost: localhost\r\n\r\n", 401, "M_MISSING_TOKEN");
	assert_int_equal(atomic_load(&tried), 0);
	end(&s);
}

static void
it_may_wait_and_runs_on_a_worker_then(void **state)
{
	struct server s;
	char *answer;
	int fd;

	(void)state;
	begin(&s);
	server_start(&s, routes, COUNT(routes));
	fd = dial(s.port);
	say(fd, ASK("/park", "known"));
	EVENTUALLY(stats(&s).parked == 1);
	mx_request_wake(atomic_load(&waiting));
	answer = hear(fd);
	assert_string_equal(body_of(answer), "worker again");
	free(answer);
	/* Many clients hang up while they wait. */
	say(fd, ASK("/park", "known"));
	EVENTUALLY(stats(&s).parked == 1);
	close(fd);
	EVENTUALLY(stats(&s).open == 0 && stats(&s).active == 0);
	end(&s);
}

static void
who_may_not_is_refused_and_the_limits_count_once(void **state)
{
	struct server s;

	(void)state;
	begin(&s);
	s.o.rate_limits = true;
	s.o.read_burst = 2;
	s.o.read_every.ms = 3600000;
	server_start(&s, routes, COUNT(routes));
	says(&s, ASK("/again", "known"), "worker");
	says(&s, ASK("/answer", "known"), "io");
	expect(&s, ASK("/answer", "known"), 429, "M_LIMIT_EXCEEDED");
	expect(&s, ASK("/again", "known"), 429, "M_LIMIT_EXCEEDED");
	assert_int_equal(stats(&s).limited, 2);
	alice.locked = true;
	expect(&s, ASK("/answer", "known"), 401, "M_USER_LOCKED");
	assert_int_equal(atomic_load(&tried), 2);
	end(&s);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_io_thread_answers_or_passes_it_on),
		cmocka_unit_test(only_who_is_known_and_where_it_is_wanted),
		cmocka_unit_test(it_may_wait_and_runs_on_a_worker_then),
		cmocka_unit_test(who_may_not_is_refused_and_the_limits_count_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
