/* One HTTP/1.1 request after another out of a stream of bytes, on http_parser: where its head's
 * parts are, then its body as it comes. Knows no socket; what it refuses comes with the status to
 * answer. RFC 9112. */
#ifndef CORE_HTTP_PARSE_H
#define CORE_HTTP_PARSE_H

#include <http_parser.h>
#include <myelin/base.h>

enum { MX_HEADERS_MOST = 128, MX_HEAD_MOST = 60000 };

struct mx_span {			/* within the bytes of the head */
	uint16_t at, n;
};

struct mx_head {
	struct mx_span url;
	uint16_t n;
	bool value_last;		/* the parser was within a value */
	struct {
		struct mx_span name, value;
	} headers[MX_HEADERS_MOST];
};

struct mx_parse_limits {
	uint32_t uri, head;		/* bytes */
	uint16_t headers;
};

enum mx_parse_result {
	MX_PARSE_MORE = 0,		/* all was taken in; the rest has not come yet */
	MX_PARSE_DONE = 1,
	MX_PARSE_BAD = 2,		/* see status */
};

struct mx_parse {
	http_parser p;
	uint16_t status;		/* of MX_PARSE_BAD: 400, 413, 414, 431, 501, 505 */
};

void mx_parse_init(struct mx_parse *ps);

/* Reads the head in base[0..len), of which base[0..from) has been read before with the same h.
 * *used: where the head ends, when it is done; then the parser expects the body from there. h is
 * zeroed before the first call. */
enum mx_parse_result mx_parse_head(struct mx_parse *ps, struct mx_head *h,
				   const struct mx_parse_limits *limits, const char *base,
				   size_t from, size_t len, size_t *used);
/* Reads the body: calls take(arg, p, n) for each piece of it; false from it stops with
 * MX_PARSE_BAD and status 413. *used: how much belonged to this request. */
enum mx_parse_result mx_parse_body(struct mx_parse *ps,
				   bool (*take)(void *arg, const char *p, size_t n), void *arg,
				   const char *bytes, size_t n, size_t *used);

static inline bool
mx_parse_chunked(const struct mx_parse *ps)
{
	return (ps->p.flags & F_CHUNKED) != 0;
}

/* How much body is announced: 0 without one; call it right after the head. */
static inline uint64_t
mx_parse_length(const struct mx_parse *ps)
{
	return (ps->p.flags & F_CONTENTLENGTH) != 0 ? ps->p.content_length : 0;
}

/* The value of the first header of that name (lower or upper case); {NULL, 0} when absent. */
mx_str mx_head_get(const struct mx_head *h, const char *base, mx_str name);
bool mx_str_ieq(mx_str a, mx_str b);	/* ASCII letters of either case */

#endif
