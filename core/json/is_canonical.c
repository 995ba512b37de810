/* Text that is in canonical form already, found without a tree. Appendices, "Canonical JSON". */
#include "config.h"

#include "core/json/json.h"

#define LEVELS 32		/* deeper than anybody writes, and far from MX_JSON_DEPTH */
#define DIGITS 15		/* of which no number is beyond 2^53 - 1 */

/* All of these return what is behind the value at p; NULL when that is not known to be canonical. */
static const char *past_value(const char *p, const char *end, unsigned levels);

/* p is behind the backslash. Only the shortest escape of what needs one. */
static const char *
past_escape(const char *p, const char *end)
{
	if (p == end)
		return NULL;
	if (memchr("\"\\bfnrt", *p, 7) != NULL)
		return p + 1;
	if (end - p < 5 || memcmp(p, "u00", 3) != 0 || (p[3] != '0' && p[3] != '1'))
		return NULL;
	if (!((p[4] >= '0' && p[4] <= '9') || (p[4] >= 'a' && p[4] <= 'f')))
		return NULL;
	/* These have shorter ones: \b, \t, \n, \f, \r. */
	return p[3] == '0' && memchr("89acd", p[4], 5) != NULL ? NULL : p + 5;
}

static const char *
past_string(const char *p, const char *end)
{
	for (p++;;) {
		p = mx_json_special(p, end);
		if (p == end || (*p != '"' && *p != '\\'))
			return NULL;
		if (*p == '"')
			return p + 1;
		p = past_escape(p + 1, end);
		if (p == NULL)
			return NULL;
	}
}

static const char *
past_number(const char *p, const char *end)
{
	bool minus = *p == '-';
	const char *digits = p + minus;

	for (p = digits; p < end && *p >= '0' && *p <= '9'; p++)
		continue;
	if (p == digits || p - digits > DIGITS || (*digits == '0' && (minus || p - digits > 1)))
		return NULL;
	return p;
}

static const char *
past_word(const char *p, const char *end, mx_str word)
{
	return (size_t)(end - p) >= word.n && memcmp(p, word.p, word.n) == 0 ? p + word.n : NULL;
}

static const char *
past_array(const char *p, const char *end, unsigned levels)
{
	if (++p < end && *p == ']')
		return p + 1;
	for (;; p++) {
		p = past_value(p, end, levels);
		if (p == NULL || p == end || (*p != ',' && *p != ']'))
			return NULL;
		if (*p == ']')
			return p + 1;
	}
}

/* Whether b may come behind a. Keys with escapes are not compared here. */
static bool
in_order(mx_str a, mx_str b)
{
	int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return order < 0 || (order == 0 && a.n < b.n);
}

static const char *
past_object(const char *p, const char *end, unsigned levels)
{
	mx_str before = { NULL, 0 }, key;

	if (++p < end && *p == '}')
		return p + 1;
	for (;; p++) {
		if (p == end || *p != '"')
			return NULL;
		key.p = p + 1;
		p = mx_json_special(key.p, end);
		if (end - p < 3 || p[0] != '"' || p[1] != ':')
			return NULL;
		key.n = (size_t)(p - key.p);
		if (before.p != NULL && !in_order(before, key))
			return NULL;
		before = key;
		p = past_value(p + 2, end, levels);
		if (p == NULL || p == end || (*p != ',' && *p != '}'))
			return NULL;
		if (*p == '}')
			return p + 1;
	}
}

static const char *
past_value(const char *p, const char *end, unsigned levels)
{
	if (p == end || levels == 0)
		return NULL;
	switch (*p) {
	case '"': return past_string(p, end);
	case '{': return past_object(p, end, levels - 1);
	case '[': return past_array(p, end, levels - 1);
	case 't': return past_word(p, end, MX_S("true"));
	case 'f': return past_word(p, end, MX_S("false"));
	case 'n': return past_word(p, end, MX_S("null"));
	default: return past_number(p, end);
	}
}

bool
mx_json_is_canonical(mx_str text)
{
	return text.n > 0 && past_value(text.p, text.p + text.n, LEVELS) == text.p + text.n &&
	       mx_str_utf8(text);
}
