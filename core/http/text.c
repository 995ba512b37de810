#include "config.h"

#include "core/http/text.h"

#include <time.h>

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool
escape(mx_str s, size_t at, char *out)
{
	int high, low;

	if (s.n - at < 3)
		return false;
	high = hex(s.p[at + 1]);
	low = hex(s.p[at + 2]);
	if (high < 0 || low < 0)
		return false;
	*out = (char)(high << 4 | low);
	return true;
}

bool
mx_percent_valid(mx_str s)
{
	const char *end = s.p + s.n, *at = s.p;
	char c;

	while (at < end && (at = memchr(at, '%', (size_t)(end - at))) != NULL) {
		if (!escape(s, (size_t)(at - s.p), &c))
			return false;
		at += 3;
	}
	return true;
}

bool
mx_percent_decode(mx_str s, bool plus, char *out, size_t *n)
{
	size_t to = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '%') {
			if (!escape(s, i, &c))
				return false;
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		out[to++] = c;
	}
	*n = to;
	return true;
}

static bool
text_is_valid(mx_str s, char *scratch)
{
	size_t n;

	return mx_percent_decode(s, true, scratch, &n) && memchr(scratch, 0, n) == NULL &&
	       mx_str_utf8((mx_str){ scratch, n });
}

bool
mx_query_valid(mx_str query, char *scratch)
{
	mx_str pair, name, value;
	bool more = query.n > 0;

	while (more) {
		more = mx_str_cut(query, '&', &pair, &query);
		if (!mx_str_cut(pair, '=', &name, &value))
			value = (mx_str){ NULL, 0 };
		if (!text_is_valid(name, scratch) || !text_is_valid(value, scratch))
			return false;
	}
	return true;
}

/* Whether an encoded name is that name. */
static bool
name_is(mx_str encoded, mx_str name)
{
	size_t i = 0, at = 0;

	for (; i < encoded.n && at < name.n; i++, at++) {
		char c = encoded.p[i];

		if (c == '%') {
			if (!escape(encoded, i, &c))
				return false;
			i += 2;
		} else if (c == '+') {
			c = ' ';
		}
		if (c != name.p[at])
			return false;
	}
	return i == encoded.n && at == name.n;
}

bool
mx_query_find(mx_str query, mx_str name, size_t nth, mx_str *value)
{
	mx_str pair, key, rest;
	bool more = query.n > 0;

	while (more) {
		more = mx_str_cut(query, '&', &pair, &query);
		if (!mx_str_cut(pair, '=', &key, &rest))
			rest = (mx_str){ pair.p + pair.n, 0 };
		if (name_is(key, name) && nth-- == 0) {
			*value = rest;
			return true;
		}
	}
	return false;
}

void
mx_http_date(int64_t seconds, char out[MX_HTTP_DATE])
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t t = (time_t)seconds;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL)
		memset(&tm, 0, sizeof(tm));
	(void)snprintf(out, MX_HTTP_DATE, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
		       days + 3 * tm.tm_wday, (unsigned)tm.tm_mday % 100, months + 3 * tm.tm_mon,
		       (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
		       (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}
