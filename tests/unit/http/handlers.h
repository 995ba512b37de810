/* The handlers and routes that most tests of the server ask. */
#ifndef TESTS_HTTP_HANDLERS_H
#define TESTS_HTTP_HANDLERS_H

#include "tests/unit/http/harness.h"

static enum mx_outcome
echo(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);

	mx_buf_str(b, mx_request_body(rq));
	return mx_reply_bytes(rq, 200, "text/plain", &b);
}

static enum mx_outcome
where(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);
	mx_str a = MX_S("-"), second = MX_S("-");

	(void)mx_request_query(rq, "a", &a);
	(void)mx_request_query_nth(rq, "a", 1, &second);
	mx_buf_printf(b, "%.*s|%.*s|%.*s|%.*s", MX_SFMT(mx_request_param(rq, "one")),
		      MX_SFMT(mx_request_param(rq, "two")), MX_SFMT(a), MX_SFMT(second));
	return mx_reply_bytes(rq, 200, "text/plain", &b);
}

static enum mx_outcome
number(struct mx_request *rq)
{
	int64_t n;
	mx_error *e = mx_request_query_int(rq, "n", 1, 10, 7, &n);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_json(rq, 200, json_integer(n));
}

static enum mx_outcome
json(struct mx_request *rq)
{
	json_t *o, *again;
	mx_error *e = mx_request_json(rq, &o);

	if (e == NULL)
		e = mx_request_json(rq, &again);
	if (e != NULL)
		return mx_reply_error(rq, e);
	if (o != again)
		return MX_DONE;
	return mx_reply_json(rq, 200, json_incref(o));
}

static enum mx_outcome
address(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);

	mx_buf_str(b, mx_request_address(rq));
	return mx_reply_bytes(rq, 200, "text/plain", &b);
}

static enum mx_outcome
big(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);

	for (int i = 0; i < 1 << 19; i++)
		mx_buf_printf(b, "%07d\n", i);
	return mx_reply_bytes(rq, 200, "text/plain", &b);
}

static enum mx_outcome
silent(struct mx_request *rq)
{
	(void)rq;
	return MX_DONE;
}

static enum mx_outcome
twice(struct mx_request *rq)
{
	(void)mx_reply_empty(rq);
	return mx_reply_json(rq, 201, json_array());
}

static enum mx_outcome
header(struct mx_request *rq)
{
	mx_reply_header(rq, "X-Good", MX_S("yes"));
	mx_reply_header(rq, "X-Bad", MX_S("no\r\nX-Worse: 1"));
	return mx_reply_empty(rq);
}

static enum mx_outcome
too_large(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(4);

	mx_buf_str(b, MX_S("12345"));
	return mx_reply_buf(rq, 200, &b);
}

static const struct mx_route routes[] = {
	{ .method = "POST", .path = "/echo", .handler = echo, .body_limit = 1 << 20 },
	{ .method = "PUT", .path = "/small", .handler = echo, .body_limit = 10 },
	{ .method = "POST", .path = "/default", .handler = echo },
	{ .method = "GET", .path = "/where/{one}", .handler = where },
	{ .method = "GET", .path = "/where/{one}/{two}", .handler = where },
	{ .method = "GET", .path = "/inline/{one}", .handler = where, .flags = MX_ROUTE_INLINE },
	{ .method = "GET", .path = "/number", .handler = number },
	{ .method = "POST", .path = "/json", .handler = json },
	{ .method = "GET", .path = "/address", .handler = address },
	{ .method = "GET", .path = "/big", .handler = big },
	{ .method = "GET", .path = "/silent", .handler = silent },
	{ .method = "GET", .path = "/twice", .handler = twice },
	{ .method = "GET", .path = "/header", .handler = header },
	{ .method = "GET", .path = "/too-large", .handler = too_large },
};

#define HOST "Host: localhost\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

static void
begin(struct server *s)
{
	server_init(s);
	server_start(s, routes, COUNT(routes));
}

#endif
