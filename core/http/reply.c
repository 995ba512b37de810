#include "config.h"

#include <stdlib.h>

#include "core/http/internal.h"
#include "core/http/text.h"

/* ---- the head ---- */

static char *
add(char *to, mx_str s)
{
	memcpy(to, s.p, s.n);
	return to + s.n;
}

static char *
add_number(char *to, uint64_t v)
{
	char digits[20];
	size_t n = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	while (n > 0)
		*to++ = digits[--n];
	return to;
}

/* Written once a second by each thread. */
static mx_str
date(void)
{
	static _Thread_local char text[MX_HTTP_DATE];
	static _Thread_local int64_t second;
	int64_t now = mx_now() / 1000;

	if (now != second) {
		second = now;
		mx_http_date(now, text);
	}
	return (mx_str){ text, MX_HTTP_DATE - 1 };
}

/* Client-Server API, "Web Browser Clients". */
#define CORS                                                                                       \
	"Access-Control-Allow-Origin: *\r\n"                                                       \
	"Access-Control-Allow-Methods: GET, POST, PUT, DELETE, OPTIONS\r\n"                        \
	"Access-Control-Allow-Headers: X-Requested-With, Content-Type, Authorization\r\n"

size_t
mx_answer_head(const struct mx_request *rq, bool keep_alive, char out[MX_HEAD_BYTES])
{
	const struct mx_answer *a = &rq->answer;
	mx_str type = mx_str_of(a->type);
	char *to = out;

	to = add(to, MX_S("HTTP/1.1 "));
	to = add_number(to, (uint64_t)a->status);
	*to++ = ' ';
	to = add(to, mx_str_of(http_status_str((enum http_status)a->status)));
	to = add(to, MX_S("\r\nDate: "));
	to = add(to, date());
	to = add(to, MX_S("\r\nContent-Type: "));
	to = add(to, (mx_str){ type.p, type.n < 128 ? type.n : 128 });
	to = add(to, MX_S("\r\nContent-Length: "));
	to = add_number(to, a->body != NULL ? mx_buf_view(a->body).n : 0);
	to = add(to, MX_S("\r\n" CORS));
	if (rq->method == HTTP_OPTIONS)
		to = add(to, MX_S("Access-Control-Max-Age: 86400\r\n"));
	if (!keep_alive)
		to = add(to, MX_S("Connection: close\r\n"));
	else if (rq->http_minor == 0)
		to = add(to, MX_S("Connection: keep-alive\r\n"));
	return (size_t)(to - out);
}

/* ---- what handlers call ---- */

/* Takes the body. */
static void
answer(struct mx_request *rq, int status, const char *type, struct mx_buf *body)
{
	if (rq->answer.status != 0) {
		mx_log("http", MX_ERROR, "HTTP003", "a handler answered twice",
		       mx_fz("route", rq->route != NULL ? rq->route->path : ""),
		       mx_fi("status", status));
		mx_buf_free(&body);
		return;
	}
	if (status < 200 || status > 599)
		status = 500;
	if (body != NULL && mx_buf_failed(body)) {
		mx_log("http", MX_ERROR, "HTTP004", "an answer was larger than its limit",
		       mx_fz("route", rq->route != NULL ? rq->route->path : ""));
		mx_buf_truncate(body, 0);
		mx_answer_error(rq, mx_error_new(MX_E_UNKNOWN, "The answer is too large"));
		mx_buf_free(&body);
		return;
	}
	rq->answer.status = status;
	rq->answer.type = type;
	rq->answer.body = body;
}

enum mx_outcome
mx_reply_buf(struct mx_request *rq, int status, struct mx_buf **json)
{
	struct mx_buf *body = *json;

	*json = NULL;
	answer(rq, status, "application/json", body);
	return MX_DONE;
}

enum mx_outcome
mx_reply_json(struct mx_request *rq, int status, json_t *body)
{
	struct mx_buf *b = mx_buf_new(0);

	mx_json_dump(body, b);
	json_decref(body);
	return mx_reply_buf(rq, status, &b);
}

enum mx_outcome
mx_reply_empty(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);

	mx_buf_str(b, MX_S("{}"));
	return mx_reply_buf(rq, 200, &b);
}

enum mx_outcome
mx_reply_bytes(struct mx_request *rq, int status, const char *content_type, struct mx_buf **b)
{
	struct mx_buf *body = *b;

	*b = NULL;
	/* It is written after the handler has returned. */
	answer(rq, status, mx_arena_str(mx_request_arena(rq), mx_str_of(content_type)).p, body);
	return MX_DONE;
}

/* Client-Server API, "Rate limiting": the body's retry_after_ms as the header, too. */
static void
add_retry_after(struct mx_request *rq, const struct mx_buf *b)
{
	char text[24];
	mx_str raw;
	int64_t ms;

	if (!mx_json_raw(mx_buf_view(b), MX_S("retry_after_ms"), &raw) ||
	    !mx_str_int(raw, 0, INT64_MAX / 2, &ms))
		return;
	(void)snprintf(text, sizeof(text), "%lld", (long long)(ms + 999) / 1000);
	mx_reply_header(rq, "Retry-After", mx_str_of(text));
}

/* What is no fault of ours is no error; and a full disk has been told once, and should not be
 * filled with how many had to hear of it. */
static enum mx_level
level_of(const mx_error *e)
{
	switch (mx_error_code(e)) {
	case MX_E_STORAGE:
		return MX_DEBUG;
	case MX_E_UNAVAILABLE:
	case MX_E_UNCERTAIN:
	case MX_E_REMOTE:
		return MX_WARN;
	default:
		return MX_ERROR;
	}
}

void
mx_answer_error(struct mx_request *rq, mx_error *e)
{
	struct mx_buf *b = mx_buf_new(0);
	int status = mx_error_status(e);

	if (status >= 500)
		mx_log("http", level_of(e), "HTTP005",
		       "a request failed", mx_fs("method", mx_request_method(rq)),
		       mx_fz("route", rq->route != NULL ? rq->route->path : ""), mx_fe(e));
	mx_error_json(e, b);
	if (status == 429 || status >= 500)
		add_retry_after(rq, b);
	mx_error_free(&e);
	answer(rq, status, "application/json", b);
}

enum mx_outcome
mx_reply_error(struct mx_request *rq, mx_error *e)
{
	mx_answer_error(rq, e);
	return MX_DONE;
}

static bool
is_plain(mx_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

void
mx_reply_header(struct mx_request *rq, const char *name, mx_str value)
{
	struct mx_buf **b = &rq->answer.headers;

	/* A value that a stranger chose must not begin another header. */
	if (!is_plain(mx_str_of(name)) || !is_plain(value)) {
		mx_log("http", MX_WARN, "HTTP006", "a header with control characters was left out",
		       mx_fz("route", rq->route != NULL ? rq->route->path : ""));
		return;
	}
	if (*b == NULL)
		*b = mx_buf_new(0);
	mx_buf_str(*b, mx_str_of(name));
	mx_buf_str(*b, MX_S(": "));
	mx_buf_str(*b, value);
	mx_buf_str(*b, MX_S("\r\n"));
}
