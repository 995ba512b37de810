#include "config.h"

#include <stdlib.h>

#include "core/base/utf8.h"

int
mx_str_cmp(mx_str a, mx_str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n != 0 ? memcmp(a.p, b.p, n) : 0;

	return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

bool
mx_str_cut(mx_str s, char sep, mx_str *head, mx_str *tail)
{
	const char *at = s.n != 0 ? memchr(s.p, sep, s.n) : NULL;
	size_t n;

	if (at == NULL) {
		*head = s;
		*tail = (mx_str){ NULL, 0 };
		return false;
	}
	n = (size_t)(at - s.p);
	*head = (mx_str){ s.p, n };
	*tail = (mx_str){ at + 1, s.n - n - 1 };
	return true;
}

bool
mx_str_int(mx_str s, int64_t min, int64_t max, int64_t *out)
{
	bool negative = s.n != 0 && s.p[0] == '-';
	size_t i = negative ? 1 : 0;
	int64_t v = 0;

	if (i == s.n)
		return false;
	for (; i < s.n; i++) {
		int digit = s.p[i] - '0';

		/* Downwards, because INT64_MIN has no positive counterpart. */
		if (digit < 0 || digit > 9 || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_sub_overflow(v, digit, &v))
			return false;
	}
	if (!negative) {
		if (v == INT64_MIN)
			return false;
		v = -v;
	}
	if (v < min || v > max)
		return false;
	*out = v;
	return true;
}

/* The length of the well-formed sequence at p (Unicode, table 3-7), or 0. */
static size_t
sequence(const unsigned char *p, size_t n)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (n < len)
		return 0;
	switch (p[0]) {
	case 0xe0: low = 0xa0; break;	/* overlong below */
	case 0xed: high = 0x9f; break;	/* surrogates above */
	case 0xf0: low = 0x90; break;
	case 0xf4: high = 0x8f; break;	/* beyond U+10FFFF above */
	}
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

size_t
mx_utf8_prefix(mx_str s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t i = 0;

	while (i < s.n) {
		uint64_t word;
		size_t len;

		while (s.n - i >= sizeof(word)) {	/* most text is ASCII */
			memcpy(&word, p + i, sizeof(word));
			if ((word & 0x8080808080808080u) != 0)
				break;
			i += sizeof(word);
		}
		if (i == s.n)
			break;
		len = sequence(p + i, s.n - i);
		if (len == 0)
			break;
		i += len;
	}
	return i;
}

bool
mx_str_utf8(mx_str s)
{
	return mx_utf8_prefix(s) == s.n;
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool
matches_one(char pattern, char c, unsigned flags)
{
	return pattern == c || (pattern == '?' && (flags & MX_GLOB_ONE) != 0) ||
	       ((flags & MX_GLOB_CASELESS) != 0 && lower(pattern) == lower(c));
}

bool
mx_glob(mx_str pattern, mx_str s, unsigned flags)
{
	size_t p = 0, i = 0, star = SIZE_MAX, retry = 0;

	while (i < s.n) {
		if (p < pattern.n && pattern.p[p] == '*') {
			star = p++;
			retry = i;
		} else if (p < pattern.n && matches_one(pattern.p[p], s.p[i], flags)) {
			p++;
			i++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			i = ++retry;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.p[p] == '*')
		p++;
	return p == pattern.n;
}

char *
mx_str_dup(mx_str s)
{
	char *z = mx_realloc(NULL, s.n + 1, 1);

	if (s.n != 0)
		memcpy(z, s.p, s.n);
	z[s.n] = '\0';
	return z;
}
