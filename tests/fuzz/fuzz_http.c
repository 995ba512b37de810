#include "config.h"

#include "core/http/parse.h"
#include "core/http/text.h"
#include "tests/fuzz/fuzz.h"

/* A stream of requests in pieces: whatever they are cut to, the same requests come out. The first
 * byte says how long the pieces are, and what is a limit. */

enum { MOST_BODY = 4096 };

struct outcome {
	uint64_t hash;		/* of all heads and bodies */
	unsigned requests;
	size_t body;
};

static void
mix(struct outcome *o, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		o->hash = (o->hash ^ (unsigned char)p[i]) * UINT64_C(1099511628211);
}

static bool
take(void *arg, const char *p, size_t n)
{
	struct outcome *o = arg;

	if (n > MOST_BODY - o->body)
		return false;
	o->body += n;
	mix(o, p, n);
	return true;
}

static void
look_at(struct outcome *o, const struct mx_head *h, const char *base)
{
	mx_str url = { base + h->url.at, h->url.n }, path, query, value;
	char *scratch = malloc(url.n + 1);
	size_t n;

	mix(o, url.p, url.n);
	for (unsigned i = 0; i < h->n; i++) {
		mix(o, base + h->headers[i].name.at, h->headers[i].name.n);
		mix(o, base + h->headers[i].value.at, h->headers[i].value.n);
	}
	if (!mx_str_cut(url, '?', &path, &query))
		query = (mx_str){ NULL, 0 };
	fuzz_holds(mx_percent_valid(path) == mx_percent_decode(path, false, scratch, &n));
	if (mx_query_valid(query, scratch))
		(void)mx_query_find(query, MX_S("a"), 1, &value);
	free(scratch);
}

/* Reads all requests that are in bytes, `piece` bytes at a time, as a connection does. */
static struct outcome
read_all(const char *bytes, size_t len, size_t piece, const struct mx_parse_limits *limits)
{
	struct outcome o = { .hash = UINT64_C(14695981039346656037) };
	struct mx_head *h = calloc(1, sizeof(*h));
	enum mx_parse_result result = MX_PARSE_DONE;
	struct mx_parse ps;
	size_t at = 0, used, to = 0;

	mx_parse_init(&ps);
	while (at < len && result == MX_PARSE_DONE) {
		size_t begin = at;

		memset(h, 0, sizeof(*h));
		do {
			to = at >= to ? (to + piece < len ? to + piece : len) : to;
			result = mx_parse_head(&ps, h, limits, bytes + begin, at - begin,
					       to - begin, &used);
			fuzz_holds(used <= to - begin);
			at = begin + used;
		} while (result == MX_PARSE_MORE && at < len);
		if (result != MX_PARSE_DONE)
			break;
		o.requests++;
		o.body = 0;
		look_at(&o, h, bytes + begin);
		do {
			to = at >= to ? (to + piece < len ? to + piece : len) : to;
			result = mx_parse_body(&ps, take, &o, bytes + at, to - at, &used);
			fuzz_holds(used <= to - at);
			at += used;
		} while (result == MX_PARSE_MORE && at < len);
	}
	if (result == MX_PARSE_BAD)
		fuzz_holds(ps.status >= 400 && ps.status < 600);
	free(h);
	return o;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mx_parse_limits limits = { .uri = 1024, .head = MX_HEAD_MOST, .headers = 16 };
	struct outcome whole, cut;

	if (size == 0 || size > 20000)
		return 0;
	whole = read_all((const char *)data + 1, size - 1, size, &limits);
	cut = read_all((const char *)data + 1, size - 1, 1 + data[0] % 32, &limits);
	fuzz_holds(whole.requests == cut.requests);
	fuzz_holds(whole.hash == cut.hash);
	limits.head = 64 + data[0];
	(void)read_all((const char *)data + 1, size - 1, 1 + data[0] % 32, &limits);
	return 0;
}
