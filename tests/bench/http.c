#include "config.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/http/options.h"

/* What the HTTP server alone can do: tests/bench/http PORT [IO_THREADS [WORKERS]], then wrk against
 *	/inline	a small JSON answer from the I/O thread
 *	/worker	the same from a worker
 *	/big	256 KiB
 *	/park	waits for 10 minutes; /wake wakes all of them
 * until it gets SIGTERM. */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mx_request *waiting[200000];
static size_t n_waiting;

static enum mx_outcome
small(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);

	mx_buf_str(b, MX_S("{\"event_id\":\"$143273582443PhrSnzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\"}"));
	return mx_reply_buf(rq, 200, &b);
}

static enum mx_outcome
big(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);

	mx_buf_byte(b, '"');
	for (int i = 0; i < 256 * 1024 / 64; i++)
		mx_buf_str(
			b,
			MX_S("0123456789012345678901234567890123456789012345678901234567890123"));
	mx_buf_byte(b, '"');
	return mx_reply_buf(rq, 200, &b);
}

static void
ended(struct mx_request *rq, void *arg)
{
	(void)arg;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < n_waiting; i++) {
		if (waiting[i] == rq) {
			waiting[i] = waiting[--n_waiting];
			break;
		}
	}
	pthread_mutex_unlock(&lock);
}

static enum mx_outcome
park(struct mx_request *rq)
{
	enum mx_outcome outcome;

	if (mx_request_again(rq))
		return mx_reply_empty(rq);
	pthread_mutex_lock(&lock);
	waiting[n_waiting++] = rq;
	outcome = mx_request_suspend(rq, mx_monotonic_us() + 600000000, ended, NULL);
	pthread_mutex_unlock(&lock);
	return outcome;
}

static enum mx_outcome
wake(struct mx_request *rq)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < n_waiting; i++)
		mx_request_wake(waiting[i]);
	pthread_mutex_unlock(&lock);
	return mx_reply_empty(rq);
}

static const struct mx_route routes[] = {
	{ .method = "GET", .path = "/inline", .handler = small, .flags = MX_ROUTE_INLINE },
	{ .method = "GET", .path = "/worker", .handler = small },
	{ .method = "GET", .path = "/big", .handler = big },
	{ .method = "GET", .path = "/park", .handler = park },
	{ .method = "GET", .path = "/wake", .handler = wake },
};

static void
must(mx_error *e)
{
	if (e == NULL)
		return;
	(void)fprintf(stderr, "http: %s\n", mx_error_text(e));
	exit(1);
}

int
main(int argc, char **argv)
{
	enum { ROUTES = sizeof(routes) / sizeof(routes[0]) };
	struct mx_http_options o = test_http_options();
	struct mx_router_row rows[ROUTES];
	struct mx_router *router;
	struct mx_http *h;
	char address[64];
	const char *words[] = { address, NULL };
	sigset_t set;
	int signal;

	(void)snprintf(address, sizeof(address), "127.0.0.1:%s", argc > 1 ? argv[1] : "18008");
	o.listen = (struct mx_list){ words, 1 };
	o.io_threads = argc > 2 ? atoi(argv[2]) : 0;
	if (argc > 3)
		o.workers = atoi(argv[3]);
	o.max_connections_per_address = 0;
	for (size_t i = 0; i < ROUTES; i++)
		rows[i] = (struct mx_router_row){ .route = &routes[i], .owner = "bench" };
	must(mx_router_new(rows, ROUTES, &router));
	must(mx_http_new(NULL, &o, NULL, &h));
	mx_http_set_router(h, router);
	mx_router_unref(&router);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	must(mx_http_start(h));
	sigwait(&set, &signal);
	mx_http_stop(&h);
	return 0;
}
