#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/http/internal.h"

enum { INPUT_STEP = 4096, LINGER_US = 2000000, LINGER_BYTES = 1 << 27 };

/* ---- its life ---- */

struct mx_link *
mx_link_new(struct mx_io *io, int fd, bool is_tls, const struct mx_address *peer, uint64_t guest)
{
	struct mx_link *l = mx_alloc(sizeof(*l));

	l->io = io;
	l->fd = fd;
	l->is_tls = is_tls;
	l->peer = *peer;
	l->guest = guest;
	atomic_init(&l->state, 0);
	atomic_init(&l->park, PARK_RUNNING);
	mx_parse_init(&l->parse);
	atomic_fetch_add_explicit(&io->http->open, 1, memory_order_relaxed);
	return l;
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct mx_link *l = arg;

	(void)fd;
	mx_link_event(l, LINK_READABLE | ((what & EV_CLOSED) != 0 ? LINK_GONE : 0));
}

/* Edge-triggered, once. */
static bool
watch(struct mx_link *l)
{
	event_assign(&l->ev, l->io->base, l->fd, EV_READ | EV_CLOSED | EV_PERSIST | EV_ET, on_event,
		     l);
	return event_add(&l->ev, NULL) == 0;
}

mx_error *
mx_link_adopt(struct mx_link *l)
{
	struct mx_io *io = l->io;

	l->next = io->links;
	l->prev = &io->links;
	if (l->next != NULL)
		l->next->prev = &l->next;
	io->links = l;
	mx_io_deadline(l, mx_monotonic_us() + io->http->header_timeout);
	if (l->is_tls)
		return mx_tls_adopt(l);
	return watch(l) ? NULL : mx_error_new(MX_E_UNAVAILABLE, "it could not be watched");
}

void
mx_link_free(struct mx_link *l)
{
	struct mx_io *io = l->io;
	struct mx_http *h = io->http;

	pthread_mutex_lock(&io->wheel_lock);
	mx_wheel_remove(&io->wheel, &l->timer);
	pthread_mutex_unlock(&io->wheel_lock);
	if (event_initialized(&l->ev))
		event_del(&l->ev);
	if (l->tls != NULL)
		mx_tls_close(l);
	mx_out_free(&l->out);
	if (l->rq != NULL)
		mx_request_free(&l->rq);
	if (l->fd >= 0)
		close(l->fd);
	if (l->prev != NULL) {
		*l->prev = l->next;
		if (l->next != NULL)
			l->next->prev = l->prev;
	}
	if (l->guest != 0)
		mx_guests_leave(h->guests, l->guest);
	free(l->in);
	free(l);
	mx_http_less(h, &h->open);
}

bool
mx_link_is_mine(const struct mx_link *l)
{
	return (atomic_load_explicit(&l->state, memory_order_acquire) & LINK_BUSY) == 0;
}

/* ---- reading ---- */

static void
forget_input(struct mx_link *l)
{
	free(l->in);
	l->in = NULL;
}

static void
clear_head(struct mx_head *h)
{
	h->url = (struct mx_span){ 0 };
	h->n = 0;
	h->value_last = false;
}

/* Keeps what of `in` has not been used: a head that has begun (with where its parts are), or what
 * came behind a request. */
static void
keep(struct mx_link *l, struct mx_input *in, bool head)
{
	uint32_t from = head ? 0 : in->parsed;
	uint32_t n = in->len - from;

	if (n == 0) {
		forget_input(l);
		return;
	}
	if (in != l->in) {
		struct mx_input *own = mx_realloc(NULL, sizeof(*own) + n + INPUT_STEP, 1);

		memcpy(own->bytes, in->bytes + from, n);
		own->cap = n + INPUT_STEP;
		own->head = in->head;
		own->parsed = in->parsed - from;
		l->in = own;
	} else if (from > 0) {
		memmove(in->bytes, in->bytes + from, n);
		in->parsed = 0;
	}
	l->in->len = n;
	if (!head)
		clear_head(&l->in->head);
}

static bool
take_body(void *arg, const char *p, size_t n)
{
	struct mx_request *rq = arg;

	if (rq->refusal != NULL)
		return true;
	if (n > rq->body_limit - rq->body_n)
		return false;
	if (rq->body_n + n + 1 > rq->body_cap) {
		size_t cap = rq->body_cap != 0 ? (size_t)rq->body_cap * 2 : 1024;

		while (cap < rq->body_n + n + 1)
			cap *= 2;
		rq->body = mx_realloc(rq->body, cap, 1);
		rq->body_cap = (uint32_t)cap;
	}
	memcpy(rq->body + rq->body_n, p, n);
	rq->body_n += (uint32_t)n;
	return true;
}

/* Answers before the body is here: what still comes is not wanted. */
static void
answer_early(struct mx_link *l, mx_error *e)
{
	struct mx_request *rq = l->rq;

	if (rq->refusal == NULL)
		rq->refusal = e;
	else
		mx_error_free(&e);
	rq->keep_alive = false;
	l->unread = true;
	forget_input(l);
	mx_request_dispatch(rq);
}

static void
body_deadline(struct mx_link *l)
{
	/* At least 1,000 bytes a second, after some time to begin with. */
	mx_io_deadline(l, l->rq->begun + l->io->http->body_timeout + (int64_t)l->rq->body_n * 1000);
}

static void
send_continue(struct mx_link *l)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct mx_request *rq = l->rq;

	if (!rq->expects)
		return;
	rq->expects = false;
	mx_link_text(l, MX_S(text));
}

static bool
is_upload(const struct mx_request *rq)
{
	return rq->route != NULL && (rq->route->flags & MX_ROUTE_STREAM) != 0;
}

/* Its handler reads the body, but for what has come already. */
static void
begin_upload(struct mx_link *l, struct mx_input *in)
{
	struct mx_request *rq = l->rq;

	if (in->len - in->parsed > 1)
		rq->expects = false;
	mx_upload_begin(rq, in);
	keep(l, in, false);
	mx_request_dispatch(rq);
}

/* The link is its handler's again, which finds what has come, or why nothing does. */
static void
give_upload(struct mx_link *l)
{
	struct mx_request *rq = l->rq;

	l->phase = PHASE_BUSY;
	atomic_fetch_or_explicit(&l->state, LINK_BUSY, memory_order_acq_rel);
	mx_upload_give(rq);
}

static void
feed_upload(struct mx_link *l, struct mx_input *in)
{
	mx_upload_feed(l->rq, in);
	keep(l, in, false);
	if (mx_upload_has(l->rq))
		give_upload(l);
}

void
mx_link_drop(struct mx_link *l, enum mx_code code, const char *why)
{
	if (l->phase != PHASE_UPLOAD) {
		mx_link_free(l);
		return;
	}
	mx_upload_fail(l->rq, code, why);
	give_upload(l);
}

/* The head is complete: refuses, asks who it is, or goes on to the body. False when the link is
 * given away. */
static bool
begin(struct mx_link *l, struct mx_input *in)
{
	uint64_t length = mx_parse_length(&l->parse);
	struct mx_request *rq = mx_request_new(l, in);

	l->rq = rq;
	l->asked = true;
	l->phase = PHASE_BODY;
	if (rq->refusal == NULL && is_upload(rq)) {
		begin_upload(l, in);
		return false;
	}
	if (length > rq->body_limit && rq->refusal == NULL)
		rq->refusal = mx_error_new(
			MX_E_TOO_LARGE, "The body is too large: at most %u bytes", rq->body_limit);
	if (rq->refusal != NULL && (length > MX_UNKNOWN_BODY || rq->chunked || rq->expects)) {
		answer_early(l, NULL);
		return false;
	}
	/* What has come already is proof enough that the client does not wait for it. */
	if (in->len - in->parsed > 1)
		rq->expects = false;
	if (rq->refusal == NULL && length > MX_UNKNOWN_BODY && !rq->known) {
		keep(l, in, false);
		mx_request_ask(rq);
		return false;
	}
	if (length > 0 && rq->refusal == NULL) {
		rq->body_cap = (uint32_t)length + 1;
		rq->body = mx_realloc(NULL, rq->body_cap, 1);
	}
	send_continue(l);
	return true;
}

static mx_error *
bad_body(const struct mx_link *l)
{
	if (l->parse.status == 413)
		return mx_error_new(MX_E_TOO_LARGE, "The body is too large: at most %u bytes",
				    l->rq->body_limit);
	return mx_error_new(MX_E_BAD_REQUEST, "The body is malformed");
}

static void
feed_body(struct mx_link *l, struct mx_input *in)
{
	struct mx_request *rq = l->rq;
	enum mx_parse_result result;
	size_t used;

	result = mx_parse_body(&l->parse, take_body, rq, in->bytes + in->parsed,
			       in->len - in->parsed, &used);
	in->parsed += (uint32_t)used;
	switch (result) {
	case MX_PARSE_DONE:
		keep(l, in, false);
		mx_request_dispatch(rq);
		break;
	case MX_PARSE_MORE:
		forget_input(l);
		if (!rq->known && rq->refusal == NULL && rq->body_n >= MX_UNKNOWN_BODY)
			mx_request_ask(rq);
		else
			body_deadline(l);
		break;
	default:
		answer_early(l, bad_body(l));
		break;
	}
}

/* Empty lines before a request, which some clients send behind a body, are none yet. */
static bool
is_blank(const struct mx_input *in)
{
	for (uint32_t i = 0; i < in->len; i++) {
		if (in->bytes[i] != '\r' && in->bytes[i] != '\n')
			return false;
	}
	return true;
}

/* True when the head is complete and its body follows. */
static bool
feed_head(struct mx_link *l, struct mx_input *in)
{
	size_t used;

	switch (mx_parse_head(&l->parse, &in->head, &l->io->http->limits, in->bytes, in->parsed,
			      in->len, &used)) {
	case MX_PARSE_DONE:
		in->parsed = (uint32_t)used;
		return begin(l, in);
	case MX_PARSE_MORE:
		in->parsed = in->len;
		if (is_blank(in)) {
			forget_input(l);
			return false;
		}
		keep(l, in, true);
		if (l->phase != PHASE_HEAD) {
			l->phase = PHASE_HEAD;
			mx_io_deadline(l, mx_monotonic_us() + l->io->http->header_timeout);
		}
		return false;
	default:
		mx_link_refuse(l, l->parse.status);
		return false;
	}
}

/* Uses the bytes of `in`, which is the link's own or the I/O thread's. The link may be given away
 * after it. */
static void
feed(struct mx_link *l, struct mx_input *in)
{
	if (l->phase == PHASE_UPLOAD)
		feed_upload(l, in);
	else if (l->phase == PHASE_BODY || feed_head(l, in))
		feed_body(l, in);
}

/* Where to read to, and how much: the rest of a head goes behind its beginning. */
static struct mx_input *
room(struct mx_link *l, size_t *n)
{
	struct mx_input *in = l->io->scratch;

	if (l->in != NULL && l->phase != PHASE_LINGER) {
		if (l->in->len == l->in->cap) {
			l->in = mx_realloc(l->in, sizeof(*l->in) + l->in->cap + INPUT_STEP, 1);
			l->in->cap += INPUT_STEP;
		}
		*n = l->in->cap - l->in->len;
		return l->in;
	}
	in->len = in->parsed = 0;
	clear_head(&in->head);
	*n = in->cap;
	if (l->phase == PHASE_BODY && !l->rq->known && l->rq->refusal == NULL)
		*n = MX_UNKNOWN_BODY - l->rq->body_n;
	return in;
}

/* What is thrown away need not be deciphered. */
static bool
is_ciphered(const struct mx_link *l)
{
	return l->tls != NULL && l->phase != PHASE_LINGER;
}

static ssize_t
receive(struct mx_link *l, void *p, size_t n)
{
	return is_ciphered(l) ? mx_tls_read(l, p, n) : recv(l->fd, p, n, MSG_DONTWAIT);
}

/* Reads once. False when there is nothing to read now, or the link is no more. */
static bool
read_some(struct mx_link *l)
{
	size_t space;
	struct mx_input *in = room(l, &space);
	uint32_t before;
	ssize_t n;

	before = atomic_fetch_and_explicit(&l->state, ~(uint32_t)LINK_READABLE,
					   memory_order_acq_rel);
	n = receive(l, in->bytes + in->len, space);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n < 0 && errno == EINTR) {
		atomic_fetch_or_explicit(&l->state, LINK_READABLE, memory_order_relaxed);
		return true;
	}
	if (n <= 0) {
		mx_link_drop(l, MX_E_BAD_REQUEST, "The body ended early");
		return false;
	}
	/* Edges come for new bytes only: what did not fit, and the end of the stream, are asked
	 * for. */
	if ((size_t)n == space || (before & LINK_GONE) != 0 || is_ciphered(l))
		atomic_fetch_or_explicit(&l->state, LINK_READABLE, memory_order_relaxed);
	if (l->phase == PHASE_LINGER) {
		l->thrown_away += (uint32_t)n;
		if (l->thrown_away >= LINGER_BYTES)
			l->phase = PHASE_CLOSED;
		return true;
	}
	in->len += (uint32_t)n;
	feed(l, in);
	return true;
}

/* Whether something that was read has not been looked at: what came behind a request. */
static bool
has_input(const struct mx_link *l)
{
	return l->in != NULL && l->in->parsed < l->in->len && l->phase != PHASE_LINGER;
}

void
mx_link_run(struct mx_link *l)
{
	unsigned turns = 0;

	while (mx_link_is_mine(l) && l->phase != PHASE_WRITE) {
		bool behind = has_input(l);

		if (l->phase == PHASE_CLOSED ||
		    (l->phase == PHASE_IDLE && !behind && l->io->draining && !l->io->gentle)) {
			mx_link_free(l);
			return;
		}
		if (turns++ >= MX_TURN && !is_ciphered(l)) {
			event_active(&l->ev, EV_READ, 0);
			return;
		}
		if (behind) {
			feed(l, l->in);
			continue;
		}
		if ((atomic_load_explicit(&l->state, memory_order_relaxed) & LINK_READABLE) == 0 ||
		    !read_some(l))
			return;
	}
}

/* Whether a client has hung up that no end of stream was seen of. */
static bool
is_broken(const struct mx_link *l)
{
	char c;
	ssize_t n;

	if (l->tls != NULL)
		return false;
	n = recv(l->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

void
mx_link_event(struct mx_link *l, uint32_t bits)
{
	uint32_t before = atomic_fetch_or(&l->state, bits);

	if ((before & LINK_BUSY) == 0) {
		mx_link_run(l);
		return;
	}
	if ((bits & LINK_GONE) == 0 && is_broken(l)) {
		bits |= LINK_GONE;
		atomic_fetch_or(&l->state, LINK_GONE);
	}
	if ((bits & LINK_GONE) != 0)
		mx_request_lost(l);
}

void
mx_link_body(struct mx_link *l)
{
	struct mx_request *rq = l->rq;

	atomic_fetch_and_explicit(&l->state, ~(uint32_t)LINK_BUSY, memory_order_acq_rel);
	l->phase = PHASE_BODY;
	if (l->io->quiet) {
		mx_link_free(l);
		return;
	}
	if (rq->refusal != NULL) {
		answer_early(l, NULL);
		return;
	}
	rq->begun = mx_monotonic_us();
	body_deadline(l);
	send_continue(l);
	mx_link_run(l);
}

void
mx_link_read(struct mx_link *l)
{
	atomic_fetch_and_explicit(&l->state, ~(uint32_t)LINK_BUSY, memory_order_acq_rel);
	l->phase = PHASE_UPLOAD;
	mx_io_deadline(l, mx_upload_wait(l->rq));
	if (l->io->quiet) {
		mx_link_drop(l, MX_E_UNAVAILABLE, "The server is shutting down");
		return;
	}
	send_continue(l);
	mx_link_run(l);
}

void
mx_link_linger(struct mx_link *l)
{
	l->phase = PHASE_CLOSED;
	if (!l->unread)
		return;
	if (l->tls != NULL)
		mx_tls_finish(l);
	if (shutdown(l->fd, SHUT_WR) != 0 || (l->tls != NULL && !watch(l)))
		return;
	/* Closing now would reset the connection, and the client might never see the answer. */
	l->phase = PHASE_LINGER;
	mx_io_deadline(l, mx_monotonic_us() + LINGER_US);
	atomic_fetch_or_explicit(&l->state, LINK_READABLE, memory_order_relaxed);
}

void
mx_link_timeout(struct mx_link *l)
{
	switch (l->phase) {
	case PHASE_HEAD:
		mx_link_refuse(l, 408);
		mx_link_run(l);
		break;
	case PHASE_BODY:
		answer_early(l, mx_error_new(MX_E_TIMEOUT, "The body came too slowly"));
		break;
	default:
		mx_link_drop(l, MX_E_TIMEOUT, "The body came too slowly");
		break;
	}
}
