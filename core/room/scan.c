#include "config.h"

#include "core/room/scan.h"

/* Past the string that begins at p; NULL when it does not end. */
static const char *
skip_string(const char *p, const char *end)
{
	const char *start = p + 1;

	for (p = start; p < end; p++) {
		const char *q;

		p = memchr(p, '"', (size_t)(end - p));
		if (p == NULL)
			return NULL;
		for (q = p; q > start && q[-1] == '\\'; q--)
			;
		if (((p - q) & 1) == 0)
			return p + 1;
	}
	return NULL;
}

/* Past the object or array that begins at p. */
static const char *
skip_container(const char *p, const char *end)
{
	size_t depth = 0;

	while (p < end) {
		switch (*p) {
		case '"':
			p = skip_string(p, end);
			if (p == NULL)
				return NULL;
			break;
		case '{':
		case '[':
			depth++;
			p++;
			break;
		case '}':
		case ']':
			p++;
			if (--depth == 0)
				return p;
			break;
		default:
			p++;
		}
	}
	return NULL;
}

/* What numbers, true, false and null are made of. */
static bool
is_bare(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '+' ||
	       c == '.' || c == 'E';
}

static const char *
skip_value(const char *p, const char *end)
{
	const char *start = p;

	if (p == end)
		return NULL;
	if (*p == '"')
		return skip_string(p, end);
	if (*p == '{' || *p == '[')
		return skip_container(p, end);
	while (p < end && is_bare(*p))
		p++;
	return p != start ? p : NULL;
}

static bool
start(struct mx_scan *s, mx_str text, char open, char close)
{
	*s = (struct mx_scan){ 0 };
	if (text.n < 2 || text.p[0] != open || text.p[text.n - 1] != close) {
		s->broken = true;
		return false;
	}
	s->p = text.p + 1;
	s->end = text.p + text.n - 1;
	return true;
}

bool
mx_scan_object(struct mx_scan *s, mx_str text)
{
	return start(s, text, '{', '}');
}

bool
mx_scan_array(struct mx_scan *s, mx_str text)
{
	return start(s, text, '[', ']');
}

static bool
broken(struct mx_scan *s)
{
	s->broken = true;
	s->p = s->end;
	return false;
}

/* Takes the value at s->p and the comma behind it. */
static bool
take_value(struct mx_scan *s, mx_str *value)
{
	const char *from = s->p, *to = skip_value(from, s->end);

	if (to == NULL)
		return broken(s);
	*value = (mx_str){ from, (size_t)(to - from) };
	if (to < s->end) {
		if (*to != ',' || to + 1 == s->end)
			return broken(s);
		to++;
	}
	s->p = to;
	return true;
}

bool
mx_scan_member(struct mx_scan *s, mx_str *key, mx_str *value)
{
	const char *from = s->p, *to;

	if (s->p == s->end)
		return false;
	if (*from != '"' || (to = skip_string(from, s->end)) == NULL || to == s->end || *to != ':')
		return broken(s);
	*key = (mx_str){ from + 1, (size_t)(to - from) - 2 };
	s->p = to + 1;
	return take_value(s, value);
}

bool
mx_scan_element(struct mx_scan *s, mx_str *value)
{
	return s->p != s->end && take_value(s, value);
}

bool
mx_scan_find(mx_str object, mx_str key, mx_str *value)
{
	struct mx_scan s;
	mx_str k, v;

	if (!mx_scan_object(&s, object))
		return false;
	while (mx_scan_member(&s, &k, &v)) {
		if (mx_str_eq(k, key)) {
			*value = v;
			return true;
		}
	}
	return false;
}

bool
mx_scan_string(mx_str value, mx_str *inner)
{
	if (value.n < 2 || value.p[0] != '"')
		return false;
	*inner = (mx_str){ value.p + 1, value.n - 2 };
	return true;
}

bool
mx_scan_int(mx_str value, int64_t *out)
{
	return mx_str_int(value, INT64_MIN, INT64_MAX, out);
}

/* The four hexadecimal digits at p; -1 when they are none. */
static int32_t
hex4(const char *p, const char *end)
{
	int32_t v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = p[i];

		v = v * 16 + (c >= '0' && c <= '9' ? c - '0'
			      : c >= 'a' && c <= 'f' ? c - 'a' + 10
			      : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -70000);
		if (v < 0)
			return -1;
	}
	return v;
}

static char *
put_utf8(char *o, uint32_t c)
{
	if (c < 0x80) {
		*o++ = (char)c;
	} else if (c < 0x800) {
		*o++ = (char)(0xc0 | c >> 6);
		*o++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*o++ = (char)(0xe0 | c >> 12);
		*o++ = (char)(0x80 | (c >> 6 & 0x3f));
		*o++ = (char)(0x80 | (c & 0x3f));
	} else {
		*o++ = (char)(0xf0 | c >> 18);
		*o++ = (char)(0x80 | (c >> 12 & 0x3f));
		*o++ = (char)(0x80 | (c >> 6 & 0x3f));
		*o++ = (char)(0x80 | (c & 0x3f));
	}
	return o;
}

/* One \uXXXX, or two that are a pair, behind the 'u' at p. */
static const char *
unescape_unicode(const char *p, const char *end, char **o)
{
	int32_t hi = hex4(p, end), lo;

	if (hi < 0) {
		*(*o)++ = 'u';
		return p;
	}
	p += 4;
	if (hi >= 0xd800 && hi < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u' &&
	    (lo = hex4(p + 2, end)) >= 0xdc00 && lo < 0xe000) {
		*o = put_utf8(*o,
			      0x10000 + ((uint32_t)(hi - 0xd800) << 10) + (uint32_t)(lo - 0xdc00));
		return p + 6;
	}
	*o = put_utf8(*o, (uint32_t)hi);
	return p;
}

size_t
mx_scan_unescape(mx_str inner, char *out)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *p = inner.p, *end = inner.p + inner.n;
	char *o = out;

	while (p < end) {
		const char *f;

		if (*p != '\\' || p + 1 == end) {
			*o++ = *p++;
			continue;
		}
		p += 2;
		if (p[-1] == 'u')
			p = unescape_unicode(p, end, &o);
		else if ((f = memchr(from, p[-1], sizeof(from) - 1)) != NULL)
			*o++ = to[f - from];
		else
			*o++ = p[-1];
	}
	return (size_t)(o - out);
}

bool
mx_scan_find_str(mx_str object, mx_str key, char *buf, size_t size, mx_str *out)
{
	mx_str value, inner;

	if (!mx_scan_find(object, key, &value) || !mx_scan_string(value, &inner))
		return false;
	if (mx_scan_escaped(inner)) {
		if (inner.n > size)
			return false;
		inner = (mx_str){ buf, mx_scan_unescape(inner, buf) };
	}
	*out = inner;
	return true;
}
