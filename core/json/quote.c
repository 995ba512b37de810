#include "config.h"

#include "core/base/buf.h"
#include "core/json/json.h"

/* Writes the escape for one byte and returns its length; canonical JSON: the short ones where there
 * are. */
static size_t
escape(unsigned char c, char to[6])
{
	static const char digits[] = "0123456789abcdef";

	to[0] = '\\';
	switch (c) {
	case '"': to[1] = '"'; return 2;
	case '\\': to[1] = '\\'; return 2;
	case '\b': to[1] = 'b'; return 2;
	case '\f': to[1] = 'f'; return 2;
	case '\n': to[1] = 'n'; return 2;
	case '\r': to[1] = 'r'; return 2;
	case '\t': to[1] = 't'; return 2;
	}
	memcpy(to + 1, "u00", 3);
	to[4] = digits[c >> 4];
	to[5] = digits[c & 15];
	return 6;
}

void
mx_json_quote(mx_str s, struct mx_buf *b)
{
	const char *p = s.n != 0 ? s.p : "", *end = p + s.n;
	char *to = mx_buf_space(b, s.n + 2);
	char escaped[6];

	if (to == NULL)
		return;
	*to++ = '"';
	b->n++;
	while (p < end) {
		const char *run = p;
		size_t n;

		p = mx_json_special(p, end);
		n = (size_t)(p - run);
		memcpy(to, run, n);
		to += n;
		b->n += n;
		if (p == end)
			break;
		n = escape((unsigned char)*p++, escaped);
		to = mx_buf_space(b, n + (size_t)(end - p) + 1);
		if (to == NULL)
			return;
		memcpy(to, escaped, n);
		to += n;
		b->n += n;
	}
	*to = '"';
	b->n++;
}
