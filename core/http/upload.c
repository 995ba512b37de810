#include "config.h"

/* Bodies that their handlers read themselves (MX_ROUTE_STREAM). While a handler works, nothing is
 * read, and the sender waits; when it wants more, it gives its link to the I/O thread, which reads
 * what there is, at most a buffer, and gives the link back. So the link has one owner at every
 * moment, and TLS is read where it must be. */

#include "core/http/internal.h"

#include <stdlib.h>

struct mx_upload {
	pthread_mutex_t lock;		/* for asked */
	pthread_cond_t filled;
	bool asked;			/* the I/O thread has the link, to read for the handler */

	/* Of who has the link. */
	char *bytes;
	uint32_t n, at, cap;
	bool ended;
	uint64_t received, limit;
	int64_t length;			/* -1: not announced */
	int64_t asked_at, waited;	/* microseconds */
	enum mx_code failure;		/* when why is set */
	const char *why;
};

static bool
take(void *arg, const char *p, size_t n)
{
	struct mx_upload *u = arg;

	if (u->n + n > u->cap) {
		u->cap = u->n + (uint32_t)n;
		u->bytes = mx_realloc(u->bytes, u->cap, 1);
	}
	memcpy(u->bytes + u->n, p, n);
	u->n += (uint32_t)n;
	u->received += n;
	return true;
}

static void
fail(struct mx_upload *u, enum mx_code code, const char *why)
{
	if (u->why != NULL)
		return;
	u->failure = code;
	u->why = why;
}

/* ---- on the I/O thread ---- */

void
mx_upload_begin(struct mx_request *rq, struct mx_input *in)
{
	struct mx_parse *parse = &rq->link->parse;
	struct mx_upload *u = mx_alloc(sizeof(*u));

	pthread_mutex_init(&u->lock, NULL);
	pthread_cond_init(&u->filled, NULL);
	u->length = rq->chunked ? -1 : (int64_t)mx_parse_length(parse);
	u->limit = rq->body_limit;
	rq->upload = u;
	mx_upload_feed(rq, in);
}

void
mx_upload_feed(struct mx_request *rq, struct mx_input *in)
{
	struct mx_upload *u = rq->upload;
	size_t used;

	switch (mx_parse_body(&rq->link->parse, take, u, in->bytes + in->parsed,
			      in->len - in->parsed, &used)) {
	case MX_PARSE_DONE:
		u->ended = true;
		break;
	case MX_PARSE_MORE:
		break;
	default:
		fail(u, MX_E_BAD_REQUEST, "The body is malformed");
		break;
	}
	in->parsed += (uint32_t)used;
}

bool
mx_upload_has(const struct mx_request *rq)
{
	const struct mx_upload *u = rq->upload;

	return u->n > 0 || u->ended || u->why != NULL;
}

void
mx_upload_fail(struct mx_request *rq, enum mx_code code, const char *why)
{
	fail(rq->upload, code, why);
}

/* Who sends may take a while at first, and then a second for each 1,000 bytes; the time in which
 * the handler did not read is not the sender's. */
int64_t
mx_upload_wait(struct mx_request *rq)
{
	struct mx_upload *u = rq->upload;

	u->n = u->at = 0;
	u->asked_at = mx_monotonic_us();
	return u->asked_at + rq->http->body_timeout + (int64_t)u->received * 1000 - u->waited;
}

void
mx_upload_give(struct mx_request *rq)
{
	struct mx_upload *u = rq->upload;

	u->waited += mx_monotonic_us() - u->asked_at;
	pthread_mutex_lock(&u->lock);
	u->asked = false;
	pthread_cond_signal(&u->filled);
	pthread_mutex_unlock(&u->lock);
}

/* ---- by who has the request ---- */

bool
mx_upload_unread(const struct mx_request *rq)
{
	return rq->upload != NULL && !rq->upload->ended;
}

void
mx_upload_free(struct mx_upload **upload)
{
	struct mx_upload *u = *upload;

	*upload = NULL;
	if (u == NULL)
		return;
	pthread_mutex_destroy(&u->lock);
	pthread_cond_destroy(&u->filled);
	free(u->bytes);
	free(u);
}

static void
wait_filled(struct mx_request *rq)
{
	struct mx_upload *u = rq->upload;

	/* Others need it more than who waits for a slow sender. */
	mx_request_conn_back(rq);
	u->asked = true;
	mx_io_post(rq->link, TODO_READ);
	pthread_mutex_lock(&u->lock);
	while (u->asked)
		pthread_cond_wait(&u->filled, &u->lock);
	pthread_mutex_unlock(&u->lock);
}

static void
check_limit(struct mx_upload *u)
{
	if (u->received > u->limit || (u->length > 0 && (uint64_t)u->length > u->limit))
		fail(u, MX_E_TOO_LARGE, "The body is too large");
}

mx_error *
mx_request_read(struct mx_request *rq, void *to, size_t space, size_t *n)
{
	struct mx_upload *u = rq->upload;

	*n = 0;
	if (u == NULL)
		return mx_error_new(MX_E_UNKNOWN, "only routes with MX_ROUTE_STREAM read a body");
	check_limit(u);
	if (u->why == NULL && u->at == u->n && !u->ended) {
		wait_filled(rq);
		check_limit(u);
	}
	/* What came before the failure is of no use to anybody. */
	if (u->why != NULL)
		return u->failure == MX_E_TOO_LARGE
			       ? mx_error_new(u->failure, "%s: at most %llu bytes", u->why,
					      (unsigned long long)u->limit)
			       : mx_error_new(u->failure, "%s", u->why);
	*n = u->n - u->at < space ? u->n - u->at : space;
	if (*n > 0)
		memcpy(to, u->bytes + u->at, *n);
	u->at += (uint32_t)*n;
	return NULL;
}

int64_t
mx_request_length(const struct mx_request *rq)
{
	return rq->upload != NULL ? rq->upload->length : (int64_t)rq->body_n;
}

void
mx_request_set_limit(struct mx_request *rq, uint64_t most)
{
	if (rq->upload != NULL)
		rq->upload->limit = most;
}
