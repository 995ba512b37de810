#include "config.h"

#include "core/http/parse.h"

/* What the callbacks of one call work on. */
struct context {
	struct mx_parse *ps;
	struct mx_head *h;
	const struct mx_parse_limits *limits;
	const char *base;
	bool (*take)(void *arg, const char *p, size_t n);
	void *arg;
	bool head_done, message_done;
};

static int
refuse(struct context *c, uint16_t status)
{
	c->ps->status = status;
	return -1;
}

/* Pieces of one part follow one another, because the head lies in one piece of memory. One that
 * doesn't is a value folded over several lines, which RFC 9112, 5.2 lets a server refuse. */
static bool
extend(struct context *c, struct mx_span *s, const char *at, size_t n)
{
	size_t offset = (size_t)(at - c->base);

	if (offset + n > MX_HEAD_MOST)
		return false;
	if (s->n == 0)
		s->at = (uint16_t)offset;
	else if (s->at + s->n != offset)
		return false;
	s->n = (uint16_t)(s->n + n);
	return true;
}

static int
on_url(http_parser *p, const char *at, size_t n)
{
	struct context *c = p->data;

	if (c->h->url.n + n > c->limits->uri || !extend(c, &c->h->url, at, n))
		return refuse(c, 414);
	return 0;
}

static int
on_field(http_parser *p, const char *at, size_t n)
{
	struct context *c = p->data;
	struct mx_head *h = c->h;

	if (h == NULL)			/* a trailer of a chunked body: not used */
		return 0;
	if (h->n == 0 || h->value_last) {
		if (h->n >= c->limits->headers || h->n >= MX_HEADERS_MOST)
			return refuse(c, 431);
		memset(&h->headers[h->n], 0, sizeof(h->headers[0]));
		h->n++;
		h->value_last = false;
	}
	return extend(c, &h->headers[h->n - 1].name, at, n) ? 0 : refuse(c, 431);
}

static int
on_value(http_parser *p, const char *at, size_t n)
{
	struct context *c = p->data;
	struct mx_head *h = c->h;

	if (h == NULL)
		return 0;
	h->value_last = true;
	return n == 0 || extend(c, &h->headers[h->n - 1].value, at, n) ? 0 : refuse(c, 400);
}

static int
on_headers_complete(http_parser *p)
{
	struct context *c = p->data;

	/* An offer to upgrade is not taken: the request is answered as it is. */
	if (p->method != HTTP_CONNECT)
		p->upgrade = 0;
	c->head_done = true;
	http_parser_pause(p, 1);
	return 0;
}

static int
on_body(http_parser *p, const char *at, size_t n)
{
	struct context *c = p->data;

	return c->take(c->arg, at, n) ? 0 : refuse(c, 413);
}

static int
on_message_complete(http_parser *p)
{
	struct context *c = p->data;

	c->message_done = true;
	http_parser_pause(p, 1);
	return 0;
}

static const http_parser_settings settings = {
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

void
mx_parse_init(struct mx_parse *ps)
{
	http_parser_init(&ps->p, HTTP_REQUEST);
	ps->status = 0;
}

static enum mx_parse_result
bad(struct mx_parse *ps, uint16_t status)
{
	if (ps->status == 0)
		ps->status = status;
	return MX_PARSE_BAD;
}

static uint16_t
status_of(const http_parser *p)
{
	switch (HTTP_PARSER_ERRNO(p)) {
	case HPE_HEADER_OVERFLOW:
		return 431;
	case HPE_INVALID_METHOD:
		return 501;
	case HPE_INVALID_VERSION:
		return 505;
	default:
		return 400;
	}
}

/* RFC 9112, 3.2: one Host, which HTTP/1.0 may leave out; 5.1: no space in or behind a name, which
 * the parser lets pass when it was built lenient, as Debian's is. */
static bool
headers_are_right(const struct mx_head *h, const char *base, const http_parser *p)
{
	unsigned hosts = 0;

	for (unsigned i = 0; i < h->n; i++) {
		mx_str name = { base + h->headers[i].name.at, h->headers[i].name.n };

		if (memchr(name.p, ' ', name.n) != NULL)
			return false;
		if (name.n == 4 && mx_str_ieq(name, MX_S("host")))
			hosts++;
	}
	return hosts == 1 || (hosts == 0 && p->http_minor == 0);
}

enum mx_parse_result
mx_parse_head(struct mx_parse *ps, struct mx_head *h, const struct mx_parse_limits *limits,
	      const char *base, size_t from, size_t len, size_t *used)
{
	struct context c = { .ps = ps, .h = h, .limits = limits, .base = base };
	size_t most = len < MX_HEAD_MOST ? len : MX_HEAD_MOST;
	size_t n;

	ps->p.data = &c;
	n = http_parser_execute(&ps->p, &settings, base + from, most - from);
	ps->p.data = NULL;
	*used = from + n;
	if (c.head_done) {
		http_parser_pause(&ps->p, 0);
		if (ps->p.http_major != 1)
			return bad(ps, 505);
		if (ps->p.method == HTTP_CONNECT)
			return bad(ps, 501);
		if (*used > limits->head)
			return bad(ps, 431);
		return headers_are_right(h, base, &ps->p) ? MX_PARSE_DONE : bad(ps, 400);
	}
	if (HTTP_PARSER_ERRNO(&ps->p) != HPE_OK) {
		uint16_t status = status_of(&ps->p);

		/* A method that is not known, or no HTTP at all. */
		return bad(ps, status == 501 && (base[0] < 'A' || base[0] > 'Z') ? 400 : status);
	}
	/* Bytes that are no part of a message (empty lines before it) count as well. */
	return len >= limits->head || len >= MX_HEAD_MOST ? bad(ps, 431) : MX_PARSE_MORE;
}

enum mx_parse_result
mx_parse_body(struct mx_parse *ps, bool (*take)(void *arg, const char *p, size_t n), void *arg,
	      const char *bytes, size_t n, size_t *used)
{
	struct context c = { .ps = ps, .take = take, .arg = arg };

	ps->p.data = &c;
	*used = http_parser_execute(&ps->p, &settings, bytes, n);
	ps->p.data = NULL;
	if (c.message_done) {
		http_parser_pause(&ps->p, 0);
		return MX_PARSE_DONE;
	}
	return HTTP_PARSER_ERRNO(&ps->p) == HPE_OK ? MX_PARSE_MORE : bad(ps, status_of(&ps->p));
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool
mx_str_ieq(mx_str a, mx_str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	}
	return true;
}

mx_str
mx_head_get(const struct mx_head *h, const char *base, mx_str name)
{
	for (unsigned i = 0; i < h->n; i++) {
		mx_str s = { base + h->headers[i].name.at, h->headers[i].name.n };

		if (mx_str_ieq(s, name))
			return (mx_str){ base + h->headers[i].value.at, h->headers[i].value.n };
	}
	return (mx_str){ NULL, 0 };
}
