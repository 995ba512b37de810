#include "config.h"

#include "core/http/internal.h"

/* A request's way from its last byte to its answer: who may ask, how often, in which pool, and
 * what happens when its handler parks it. */

/* ---- who asks, and how often ---- */

static mx_error *
check_user(const struct mx_request *rq)
{
	const struct mx_auth *who = rq->auth;
	bool lenient = (rq->route->flags & MX_ROUTE_SUSPENDED_OK) != 0;

	if (who->locked && !lenient)
		return mx_error_with(mx_error_new(MX_E_USER_LOCKED, "This account is locked"),
				     "soft_logout", json_true());
	/* A suspended user may read. */
	if (who->suspended && !lenient && rq->method != HTTP_GET && rq->method != HTTP_HEAD)
		return mx_error_new(MX_E_USER_SUSPENDED, "This account is suspended");
	if (who->guest && (rq->route->auth == MX_AUTH_USER || rq->route->auth == MX_AUTH_ADMIN))
		return mx_error_new(MX_E_GUEST_FORBIDDEN, "Guests may not do this");
	if (!who->admin && rq->route->auth == MX_AUTH_ADMIN)
		return mx_error_new(MX_E_FORBIDDEN, "Only administrators may do this");
	return NULL;
}

/* Once a request: what its client has done through another process is known here. */
static mx_error *
freshen(struct mx_request *rq)
{
	const struct mx_http_hooks *hooks = &rq->http->hooks;

	if (rq->fresh || hooks->fresh == NULL)
		return NULL;
	rq->fresh = true;
	return hooks->fresh(hooks->arg);
}

static mx_error *
authenticate(struct mx_request *rq)
{
	const struct mx_http_hooks *hooks = &rq->http->hooks;
	const struct mx_auth *who = NULL;

	if (rq->route->auth == MX_AUTH_NONE || rq->asked->token.p == NULL)
		return NULL;
	if (hooks->authenticate == NULL)
		return mx_error_new(MX_E_UNKNOWN_TOKEN, "Unknown access token");
	MX_TRY(hooks->authenticate(hooks->arg, rq, rq->asked->token, &who));
	if (rq->auth != NULL)
		hooks->release(hooks->arg, rq->auth);
	rq->auth = who;
	return check_user(rq);
}

mx_error *
mx_request_limit(struct mx_request *rq, enum mx_rate_class class, mx_str key)
{
	struct mx_rates *rates = rq->http->rates;
	mx_msec wait;

	if (!atomic_load_explicit(&rq->http->rate_limits, memory_order_relaxed))
		return NULL;
	wait = mx_rates_take(rates, class, mx_rates_key(rates, key.p, key.n), mx_monotonic_us());
	if (wait == 0)
		return NULL;
	atomic_fetch_add_explicit(&rq->link->io->limited, 1, memory_order_relaxed);
	return mx_error_with(mx_error_new(MX_E_LIMIT_EXCEEDED, "Too many requests"),
			     "retry_after_ms", json_integer(wait));
}

static mx_error *
limit_route(struct mx_request *rq)
{
	enum mx_rate_class class = rq->route->rate;
	bool by_user = rq->auth != NULL && class != MX_RATE_LOGIN && class != MX_RATE_REGISTER;
	mx_str who;

	if (class == MX_RATE_NONE)
		return NULL;
	who = by_user ? (mx_str){ (const char *)&rq->auth->user, sizeof(rq->auth->user) }
		      : mx_address_bytes(&rq->address);
	return mx_request_limit(rq, class, who);
}

/* ---- running ---- */

/* Authenticating may block: only who needs no user runs on the I/O thread. */
static bool
is_inline(const struct mx_request *rq)
{
	const struct mx_route *r = rq->route;

	return r == NULL || ((r->flags & MX_ROUTE_INLINE) != 0 &&
			     (r->auth == MX_AUTH_NONE ||
			      (r->auth == MX_AUTH_OPTIONAL && rq->asked->token.p == NULL)));
}

static void
put_conn(const struct mx_http *h, struct mx_run *run)
{
	if (run->conn != NULL)
		h->hooks.conn_put(h->hooks.arg, run->conn);
	run->conn = NULL;
}

void
mx_request_conn_back(struct mx_request *rq)
{
	put_conn(rq->http, rq->run);
}

/* The request itself may be gone. */
static void
end_run(const struct mx_http *h, struct mx_run *run)
{
	put_conn(h, run);
	if (run->self != NULL && h->hooks.unpin != NULL)
		h->hooks.unpin(run->self);
	*run = (struct mx_run){ 0 };
}

static void
requeue(struct mx_request *rq)
{
	mx_pool_push(mx_http_pool(rq->http, rq->route->flags), &rq->job, MX_LANE_AGAIN);
}

/* Tells who waits that the waiting is over. */
static void
end_parking(struct mx_request *rq)
{
	void (*fn)(struct mx_request *, void *) = rq->on_end;

	rq->suspended = false;
	rq->on_end = NULL;
	if (fn != NULL)
		fn(rq, rq->on_arg);
}

/* The client of a parked request is gone; rq is ours. */
static void
end_lost(struct mx_request *rq, bool on_io)
{
	struct mx_link *l = rq->link;

	end_parking(rq);
	atomic_fetch_add_explicit(&l->io->requests[0], 1, memory_order_relaxed);
	l->rq = NULL;
	l->closing = true;
	mx_request_free(&rq);
	if (on_io)
		mx_link_resume(l);
	else
		mx_io_post(l, TODO_RESUME);
}

/* Who was logged out while the handler ran was woken before there was anything to wake. */
static bool
still_allowed(const struct mx_request *rq)
{
	const struct mx_http_hooks *hooks = &rq->http->hooks;

	return rq->auth == NULL || hooks->current == NULL || hooks->current(hooks->arg, rq->auth);
}

/* Whether nothing has changed for the user since it was authenticated. */
static bool
is_known_still(const struct mx_request *rq)
{
	const struct mx_http_hooks *hooks = &rq->http->hooks;

	return rq->auth != NULL && hooks->current != NULL && hooks->current(hooks->arg, rq->auth);
}

static void
park(struct mx_request *rq)
{
	struct mx_link *l = rq->link;
	uint32_t asked = atomic_load(&l->park);
	uint32_t count = asked & ~(uint32_t)PARK_MASK;

	mx_request_shrink(rq);
	if (!still_allowed(rq)) {
		requeue(rq);
		return;
	}
	atomic_fetch_add_explicit(&rq->http->parked, 1, memory_order_relaxed);
	mx_io_park_deadline(l, rq->deadline);
	asked = count | PARK_ASKED;
	if (atomic_compare_exchange_strong(&l->park, &asked, count | PARK_WAITING))
		return;			/* somebody else's from here on */
	atomic_fetch_sub_explicit(&rq->http->parked, 1, memory_order_relaxed);
	if (asked == (count | PARK_LOST))
		end_lost(rq, false);
	else
		requeue(rq);
}

static void
log_request(const struct mx_request *rq)
{
	if (mx_log_wants("http", MX_DEBUG))
		mx_log("http", MX_DEBUG, "HTTP001", "answered",
		       mx_fs("method", mx_request_method(rq)), mx_fs("path", rq->asked->path),
		       mx_fi("status", rq->answer.status),
		       mx_fi("us", mx_monotonic_us() - rq->begun),
		       mx_fs("address", mx_request_address(rq)));
}

/* After a run of the handler. */
static void
settle(struct mx_request *rq, enum mx_outcome outcome, bool on_io)
{
	bool answered = rq->answer.status != 0;

	end_run(rq->http, rq->run);
	if (outcome == MX_PARK && rq->suspended && !answered && !rq->drained) {
		park(rq);
		return;
	}
	if (rq->suspended) {		/* it has answered after all, or must not wait any more */
		atomic_store(&rq->link->park, atomic_load(&rq->link->park) & ~(uint32_t)PARK_MASK);
		end_parking(rq);
	}
	if (!answered && outcome == MX_PARK && rq->drained) {
		mx_answer_error(rq, mx_error_new(MX_E_UNAVAILABLE, "The server is shutting down"));
	} else if (!answered) {
		mx_log("http", MX_ERROR, "HTTP002", "a handler returned without an answer",
		       mx_fs("method", mx_request_method(rq)),
		       mx_fz("route", rq->route != NULL ? rq->route->path : ""));
		mx_answer_error(rq, mx_error_new(MX_E_UNKNOWN, "Internal server error"));
	}
	log_request(rq);
	mx_answer_send(rq, on_io);
}

/* The server's own answers: OPTIONS, and GET /health. */
static void
answer_self(struct mx_request *rq)
{
	struct mx_buf *b;

	if (rq->method == HTTP_OPTIONS) {
		(void)mx_reply_empty(rq);
	} else if (mx_request_draining(rq)) {
		mx_answer_error(rq, mx_error_new(MX_E_UNAVAILABLE, "The server is shutting down"));
	} else {
		b = mx_buf_new(0);
		mx_buf_str(b, MX_S("{\"status\":\"ok\"}"));
		(void)mx_reply_buf(rq, 200, &b);
	}
}

static void
run_handler(struct mx_request *rq, bool on_io)
{
	const struct mx_http *h = rq->http;
	struct mx_run *run = rq->run;
	enum mx_outcome outcome = MX_DONE;

	rq->drained = mx_request_draining(rq);
	if (rq->route != NULL)
		outcome = rq->route->handler(rq);
	else
		answer_self(rq);
	if (outcome == MX_HELD)
		end_run(h, run);
	else
		settle(rq, outcome, on_io);
}

static void
run_here(struct mx_request *rq)
{
	struct mx_run run = { 0 };
	mx_error *e = rq->refusal;

	rq->run = &run;
	rq->refusal = NULL;
	if (e == NULL && rq->route != NULL)
		e = limit_route(rq);
	if (e != NULL)
		settle(rq, mx_reply_error(rq, e), true);
	else
		run_handler(rq, true);
}

/* On the I/O thread. True: it is answered or waits, or an error of the user's is told. */
static bool
try_here(struct mx_request *rq)
{
	const struct mx_http_hooks *hooks = &rq->http->hooks;
	struct mx_run run = { 0 };
	enum mx_outcome outcome;
	mx_error *e;

	if ((rq->route->flags & MX_ROUTE_TRY) == 0 || rq->admitted || hooks->known == NULL ||
	    rq->asked->token.p == NULL ||
	    !hooks->known(hooks->arg, rq, rq->asked->token, &rq->auth))
		return false;
	rq->run = &run;
	e = check_user(rq);
	if (e == NULL)
		e = limit_route(rq);
	rq->admitted = true;
	if (e != NULL) {
		settle(rq, mx_reply_error(rq, e), true);
		return true;
	}
	rq->drained = mx_request_draining(rq);
	rq->on_trial = true;
	outcome = rq->route->handler(rq);
	if (outcome == MX_AGAIN) {
		end_run(rq->http, &run);
		rq->on_trial = false;
		return false;
	}
	settle(rq, outcome, true);
	return true;
}

/* On a worker, before more of the body is read. */
static void
ask(struct mx_request *rq)
{
	struct mx_run run = { 0 };

	rq->run = &run;
	rq->asking = false;
	rq->refusal = freshen(rq);
	if (rq->refusal == NULL)
		rq->refusal = authenticate(rq);
	if (rq->refusal == NULL)
		rq->refusal = limit_route(rq);
	rq->known = true;
	rq->admitted = true;
	end_run(rq->http, &run);
	mx_io_post(rq->link, TODO_BODY);
}

static void
run_on_worker(struct mx_pool_job *job)
{
	struct mx_request *rq =
		(struct mx_request *)(void *)((char *)job - offsetof(struct mx_request, job));
	struct mx_link *l = rq->link;
	struct mx_run run = { 0 };
	mx_error *e = NULL;

	if (rq->asking) {
		ask(rq);
		return;
	}
	rq->run = &run;
	rq->on_trial = false;
	if (rq->suspended) {
		if ((atomic_load(&l->state) & LINK_GONE) != 0) {
			end_lost(rq, false);
			return;
		}
		end_parking(rq);
		atomic_store(&l->park, atomic_load(&l->park) & ~(uint32_t)PARK_MASK);
		rq->again = true;
	}
	/* Anew after a wait: the user may have been logged out. */
	if (!rq->again)
		e = freshen(rq);
	if (e == NULL && (!rq->admitted || (rq->again && !is_known_still(rq))))
		e = authenticate(rq);
	if (e == NULL && !rq->admitted)
		e = limit_route(rq);
	rq->admitted = true;
	if (e != NULL)
		settle(rq, mx_reply_error(rq, e), false);
	else
		run_handler(rq, false);
}

static void
make_busy(struct mx_request *rq)
{
	rq->job.run = run_on_worker;
	rq->link->phase = PHASE_BUSY;
	atomic_fetch_or_explicit(&rq->link->state, LINK_BUSY, memory_order_acq_rel);
}

void
mx_request_dispatch(struct mx_request *rq)
{
	struct mx_http *h = rq->http;

	make_busy(rq);
	if (rq->refusal == NULL && !is_inline(rq)) {
		struct mx_pool *pool = mx_http_pool(h, rq->route->flags);

		if (try_here(rq))
			return;
		if (mx_pool_queued(pool) < (size_t)h->o->max_queue) {
			mx_pool_push(pool, &rq->job, MX_LANE_FRESH);
			return;
		}
		rq->refusal = mx_error_new(MX_E_UNAVAILABLE, "The server is overloaded");
	}
	run_here(rq);
}

void
mx_request_ask(struct mx_request *rq)
{
	make_busy(rq);
	rq->asking = true;
	mx_pool_push(rq->http->local, &rq->job, MX_LANE_FRESH);
}

/* ---- holding ---- */

void
mx_request_hold(struct mx_request *rq, mx_handler *then)
{
	struct mx_http *h = rq->http;

	rq->then = then;
	if (rq->self != NULL && h->hooks.pin != NULL) {
		h->hooks.pin(rq->self);
		rq->run->self = rq->self;
	}
	atomic_fetch_add_explicit(&h->held, 1, memory_order_relaxed);
}

void
mx_request_resume(struct mx_request *rq)
{
	mx_io_post(rq->link, TODO_THEN);
}

void
mx_request_then(struct mx_link *l)
{
	struct mx_request *rq = l->rq;
	struct mx_run run = { 0 };
	enum mx_outcome outcome;

	rq->run = &run;
	outcome = rq->then(rq);
	mx_http_less(rq->http, &rq->http->held);
	if (outcome == MX_AGAIN && !l->io->quiet) {
		rq->again = true;
		requeue(rq);
		return;
	}
	if (outcome == MX_AGAIN)
		mx_answer_error(rq, mx_error_new(MX_E_UNAVAILABLE, "The server is shutting down"));
	settle(rq, MX_DONE, true);
	mx_link_run(l);
}

/* ---- parking ---- */

enum mx_outcome
mx_request_suspend(struct mx_request *rq, int64_t deadline_us,
		   void (*on_end)(struct mx_request *rq, void *arg), void *arg)
{
	struct mx_link *l = rq->link;
	uint32_t count = (atomic_load(&l->park) & ~(uint32_t)PARK_MASK) + PARK_ONE;
	uint32_t asked = count | PARK_ASKED;

	rq->on_end = on_end;
	rq->on_arg = arg;
	rq->deadline = deadline_us;
	rq->suspended = true;
	atomic_store(&l->park, asked);
	/* Who hangs up or drains sets its mark and looks at the parking then; we do it the other
	 * way round. */
	if ((atomic_load(&l->state) & LINK_GONE) != 0)
		(void)atomic_compare_exchange_strong(&l->park, &asked, count | PARK_LOST);
	else if (atomic_load(&rq->http->draining))
		(void)atomic_compare_exchange_strong(&l->park, &asked, count | PARK_EARLY);
	return MX_PARK;
}

/* Ends the parking that `now` was read of. True: the request was waiting, and is the caller's
 * now. Else whoever runs it will see what came early. */
static bool
claim(struct mx_link *l, uint32_t now, enum park_state early)
{
	uint32_t count = now & ~(uint32_t)PARK_MASK;

	while ((now & ~(uint32_t)PARK_MASK) == count) {
		if (now == (count | PARK_ASKED)) {
			if (atomic_compare_exchange_strong(&l->park, &now, count | (uint32_t)early))
				return false;
		} else if (now == (count | PARK_WAITING)) {
			if (atomic_compare_exchange_strong(&l->park, &now, count | PARK_CLAIMED)) {
				atomic_fetch_sub_explicit(&l->io->http->parked, 1,
							  memory_order_relaxed);
				return true;
			}
		} else {
			return false;
		}
	}
	return false;
}

void
mx_request_wake(struct mx_request *rq)
{
	struct mx_link *l = rq->link;

	if (claim(l, atomic_load(&l->park), PARK_EARLY))
		requeue(rq);
}

void
mx_request_expired(struct mx_link *l, uint32_t now)
{
	if (claim(l, now, PARK_EARLY))
		requeue(l->rq);
}

void
mx_request_drain(struct mx_link *l)
{
	mx_request_expired(l, atomic_load(&l->park));
}

void
mx_request_lost(struct mx_link *l)
{
	if (claim(l, atomic_load(&l->park), PARK_LOST))
		end_lost(l->rq, true);
}
