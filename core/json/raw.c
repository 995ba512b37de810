#include "config.h"

#include "core/json/json.h"

/* All of these move within [p, end) and never beyond, whatever the bytes are; on bytes that are not
 * JSON the answer is merely useless. */

static const char *
skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p;
}

/* p is behind the opening quote; returns where the closing one is, or end. */
static const char *
string_end(const char *p, const char *end, bool *escaped)
{
	for (;;) {
		p = mx_json_special(p, end);
		if (p == end || *p == '"')
			return p;
		if (*p == '\\') {
			*escaped = true;
			p++;
		}
		if (p < end)
			p++;
	}
}

static const char *
skip_string(const char *p, const char *end)
{
	bool escaped;

	p = string_end(p + 1, end, &escaped);
	return p < end ? p + 1 : end;
}

static const char *
skip_container(const char *p, const char *end)
{
	size_t depth = 0;

	while (p < end) {
		switch (*p) {
		case '"':
			p = skip_string(p, end);
			continue;
		case '{': case '[':
			depth++;
			break;
		case '}': case ']':
			if (--depth == 0)
				return p + 1;
			break;
		}
		p++;
	}
	return end;
}

static const char *
skip_value(const char *p, const char *end)
{
	if (p == end)
		return end;
	if (*p == '"')
		return skip_string(p, end);
	if (*p == '{' || *p == '[')
		return skip_container(p, end);
	while (p < end && *p != ',' && *p != '}' && *p != ']' && *p != ' ' && *p != '\n' &&
	       *p != '\r' && *p != '\t')
		p++;
	return p;
}

/* The four hexadecimal digits behind \u, or -1. */
static int
hex4(const char *p, const char *end)
{
	int v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = p[i];
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 :
			c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;

		if (digit < 0)
			return -1;
		v = v * 16 + digit;
	}
	return v;
}

static size_t
utf8(int c, char to[4])
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 63));
		to[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 63));
	to[2] = (char)(0x80 | (c >> 6 & 63));
	to[3] = (char)(0x80 | (c & 63));
	return 4;
}

/* Decodes the escape whose backslash *p is behind into to, and moves *p behind it; 0 when it is
 * none. */
static size_t
unescape(const char **p, const char *end, char to[4])
{
	int c, low;

	if (*p == end)
		return 0;
	switch (*(*p)++) {
	case '"': to[0] = '"'; return 1;
	case '\\': to[0] = '\\'; return 1;
	case '/': to[0] = '/'; return 1;
	case 'b': to[0] = '\b'; return 1;
	case 'f': to[0] = '\f'; return 1;
	case 'n': to[0] = '\n'; return 1;
	case 'r': to[0] = '\r'; return 1;
	case 't': to[0] = '\t'; return 1;
	case 'u': break;
	default: return 0;
	}
	c = hex4(*p, end);
	if (c < 0)
		return 0;
	*p += 4;
	if (c >= 0xd800 && c < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
		low = hex4(*p + 2, end);
		if (low < 0xdc00 || low > 0xdfff)
			return 0;
		*p += 6;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	return utf8(c, to);
}

/* Whether the string between p and end, which has escapes, is key. */
static bool
escaped_is(const char *p, const char *end, mx_str key)
{
	char bytes[4];
	size_t n;

	while (p < end) {
		if (*p == '\\') {
			p++;
			n = unescape(&p, end, bytes);
		} else {
			bytes[0] = *p++;
			n = 1;
		}
		if (n == 0 || n > key.n || memcmp(bytes, key.p, n) != 0)
			return false;
		key.p += n;
		key.n -= n;
	}
	return key.n == 0;
}

bool
mx_json_raw(mx_str text, mx_str key, mx_str *raw)
{
	const char *end, *p;

	if (text.n == 0)
		return false;
	end = text.p + text.n;
	p = skip_space(text.p, end);
	if (p == end || *p != '{')
		return false;
	for (p++;;) {
		const char *name, *name_end, *value;
		bool escaped = false, found;

		p = skip_space(p, end);
		if (p == end || *p != '"')
			return false;
		name = p + 1;
		name_end = string_end(name, end, &escaped);
		if (name_end == end)
			return false;
		found = escaped ? escaped_is(name, name_end, key) :
			mx_str_eq((mx_str){ name, (size_t)(name_end - name) }, key);
		p = skip_space(name_end + 1, end);
		if (p == end || *p != ':')
			return false;
		value = skip_space(p + 1, end);
		p = skip_value(value, end);
		if (found) {
			*raw = (mx_str){ value, (size_t)(p - value) };
			return p != value;
		}
		p = skip_space(p, end);
		if (p == end || *p != ',')
			return false;
		p++;
	}
}
