#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "core/http/internal.h"

/* An answer is written by the thread that made it, straight from the handler's buffer. Only what
 * the socket does not take at once becomes the I/O thread's (struct mx_out). */

enum { PARTS = 4 };		/* head, the module's headers, empty line, body */

struct parts {
	struct iovec v[PARTS];
	size_t total;
};

static void
set_part(struct parts *p, size_t i, mx_str s)
{
	p->v[i] = (struct iovec){ .iov_base = (void *)(uintptr_t)s.p, .iov_len = s.n };
	p->total += s.n;
}

/* ---- what is left ---- */

void
mx_out_free(struct mx_out **out)
{
	struct mx_out *o = *out;

	*out = NULL;
	if (o == NULL)
		return;
	if (event_initialized(&o->ev))
		event_del(&o->ev);
	mx_buf_free(&o->body);
	free(o);
}

/* What of the parts is not written yet. Takes body. */
static struct mx_out *
rest_of(const struct parts *p, size_t written, struct mx_buf **body)
{
	size_t head = p->total - p->v[PARTS - 1].iov_len, at = 0;
	struct mx_out *o = mx_alloc(sizeof(*o) + head);

	for (size_t i = 0; i < PARTS - 1; i++) {
		if (p->v[i].iov_len != 0)
			memcpy(o->head + at, p->v[i].iov_base, p->v[i].iov_len);
		at += p->v[i].iov_len;
	}
	o->head_n = head;
	o->head_at = written < head ? written : head;
	o->body_at = written - o->head_at;
	o->body_n = p->v[PARTS - 1].iov_len;
	o->body = *body;
	*body = NULL;
	return o;
}

/* True when all is written, or nothing more can be. */
static bool
flush(struct mx_link *l)
{
	struct mx_out *o = l->out;

	while (o->head_at < o->head_n || o->body_at < o->body_n) {
		mx_str body = o->body != NULL ? mx_buf_view(o->body) : (mx_str){ NULL, 0 };
		struct parts p = { .total = 0 };
		struct msghdr m = { .msg_iov = p.v, .msg_iovlen = 2 };
		ssize_t n;

		set_part(&p, 0, (mx_str){ o->head + o->head_at, o->head_n - o->head_at });
		set_part(&p, 1, (mx_str){ body.p + o->body_at, o->body_n - o->body_at });
		n = sendmsg(l->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (errno == EAGAIN)
				return false;
			l->closing = true;
			return true;
		}
		mx_io_deadline(l, mx_monotonic_us() + l->io->http->write_timeout);
		if ((size_t)n < o->head_n - o->head_at) {
			o->head_at += (size_t)n;
		} else {
			o->body_at += (size_t)n - (o->head_n - o->head_at);
			o->head_at = o->head_n;
		}
	}
	return true;
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct mx_link *l = arg;

	(void)fd;
	(void)what;
	if (flush(l))
		mx_link_written(l);
}

/* ---- on the I/O thread ---- */

static void
after_answer(struct mx_link *l)
{
	if (l->closing || l->io->quiet) {
		mx_link_linger(l);
	} else {
		l->phase = PHASE_IDLE;
		mx_io_deadline(l, mx_monotonic_us() + l->io->http->idle_timeout);
	}
	mx_link_run(l);
}

void
mx_link_resume(struct mx_link *l)
{
	atomic_fetch_and_explicit(&l->state, ~(uint32_t)LINK_BUSY, memory_order_acq_rel);
	after_answer(l);
}

void
mx_link_written(struct mx_link *l)
{
	mx_out_free(&l->out);
	after_answer(l);
}

void
mx_link_output(struct mx_link *l)
{
	atomic_fetch_and_explicit(&l->state, ~(uint32_t)LINK_BUSY, memory_order_acq_rel);
	l->phase = PHASE_WRITE;
	mx_io_deadline(l, mx_monotonic_us() + l->io->http->write_timeout);
	if (l->tls != NULL) {
		mx_tls_write(l, &l->out);
		return;
	}
	/* Edge-triggered like the other, as both are one registration. The first edge comes
	 * with it. */
	event_assign(&l->out->ev, l->io->base, l->fd, EV_WRITE | EV_PERSIST | EV_ET, on_writable,
		     l);
	if (event_add(&l->out->ev, NULL) != 0)
		mx_link_free(l);
}

void
mx_link_text(struct mx_link *l, mx_str text)
{
	if (l->tls != NULL)
		mx_tls_text(l, text);
	else
		(void)send(l->fd, text.p, text.n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void
mx_link_refuse(struct mx_link *l, uint16_t status)
{
	static const struct {
		uint16_t status;
		const char *reason, *text;
	} rows[] = {
		{ 400, "Bad Request", "This is no HTTP/1.1 request" },
		{ 408, "Request Timeout", "The request came too slowly" },
		{ 413, "Content Too Large", "The body is too large" },
		{ 414, "URI Too Long", "The path is too long" },
		{ 431, "Request Header Fields Too Large", "The headers are too large" },
		{ 501, "Not Implemented", "The method is not known" },
		{ 505, "HTTP Version Not Supported", "Only HTTP/1.1 is spoken here" },
	};
	size_t i = 0;
	char body[128], text[512];
	int n;

	while (i < sizeof(rows) / sizeof(rows[0]) - 1 && rows[i].status != status)
		i++;
	n = snprintf(body, sizeof(body), "{\"errcode\":\"%s\",\"error\":\"%s\"}",
		     status == 501 ? "M_UNRECOGNIZED" : "M_UNKNOWN", rows[i].text);
	n = snprintf(text, sizeof(text),
		     "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
		     "Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n%s",
		     rows[i].status, rows[i].reason, n, body);
	atomic_fetch_add_explicit(&l->io->requests[rows[i].status / 100], 1, memory_order_relaxed);
	l->unread = true;
	l->closing = true;
	mx_link_text(l, (mx_str){ text, (size_t)n });
	if (l->tls == NULL) {
		mx_link_linger(l);
		return;
	}
	l->phase = PHASE_WRITE;
	mx_io_deadline(l, mx_monotonic_us() + l->io->http->write_timeout);
}

/* ---- by who has the answer ---- */

/* The link is free again: nothing of it may be touched after this. */
static void
release(struct mx_link *l, bool on_io)
{
	uint32_t busy = LINK_BUSY;

	if (!l->closing) {
		/* The wheel need not know: it asks again when it is early, and being late by what
		 * it held before does not matter here. */
		l->phase = PHASE_IDLE;
		l->deadline = mx_monotonic_us() + l->io->http->idle_timeout;
		if (on_io) {
			atomic_fetch_and_explicit(&l->state, ~(uint32_t)LINK_BUSY,
						  memory_order_acq_rel);
			return;
		}
		if (l->in == NULL && atomic_compare_exchange_strong(&l->state, &busy, 0))
			return;
	}
	/* Something came in the meantime, or is to be closed. */
	mx_io_post(l, TODO_RESUME);
}

static void
count(const struct mx_request *rq)
{
	int class = rq->answer.status / 100;

	atomic_fetch_add_explicit(&rq->link->io->requests[class < 6 ? class : 5], 1,
				  memory_order_relaxed);
}

void
mx_answer_send(struct mx_request *rq, bool on_io)
{
	struct mx_link *l = rq->link;
	bool unread = mx_upload_unread(rq);
	bool alive = rq->keep_alive && !unread &&
		     !atomic_load_explicit(&rq->http->draining, memory_order_acquire);
	char head[MX_HEAD_BYTES];
	struct parts p = { .total = 0 };
	struct msghdr m = { .msg_iov = p.v, .msg_iovlen = PARTS };
	ssize_t n = 0;

	set_part(&p, 0, (mx_str){ head, mx_answer_head(rq, alive, head) });
	set_part(&p, 1, rq->answer.headers != NULL ? mx_buf_view(rq->answer.headers) : MX_S(""));
	set_part(&p, 2, MX_S("\r\n"));
	set_part(&p, 3,
		 rq->answer.body != NULL && rq->method != HTTP_HEAD ? mx_buf_view(rq->answer.body)
								    : MX_S(""));
	count(rq);
	l->closing = !alive;
	l->unread = l->unread || unread;
	l->rq = NULL;
	if (l->tls == NULL) {
		n = sendmsg(l->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			l->closing = true;
			n = (ssize_t)p.total;
		} else if (n < 0) {
			n = 0;
		}
	}
	if ((size_t)n < p.total) {
		l->out = rest_of(&p, (size_t)n, &rq->answer.body);
		mx_io_post(l, TODO_OUTPUT);
	} else {
		release(l, on_io);
	}
	mx_request_free(&rq);
}
