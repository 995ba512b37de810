#include "config.h"

#include <stdlib.h>

#include "core/json/json.h"
#include "core/room/event_big.h"
#include "core/room/scan.h"

/* More digits than any 64-bit integer has; fewer than what no real holds. */
#define DIGITS 19
#define REAL_DIGITS 300

/* Past the string that begins at p, or end. */
static const char *
skip_string(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\' && p + 1 < end)
			p++;
	return p < end ? p + 1 : end;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_number(char c)
{
	return is_digit(c) || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* Whether the token is an integer that a tree cannot hold. */
static bool
is_big(mx_str token)
{
	int64_t v;

	if (token.n < DIGITS || mx_str_int(token, INT64_MIN, INT64_MAX, &v))
		return false;
	for (size_t i = token.p[0] == '-'; i < token.n; i++)
		if (!is_digit(token.p[i]))
			return false;
	return true;
}

static void
write_token(mx_str token, struct mx_buf *b)
{
	if (!is_big(token)) {
		mx_buf_str(b, token);
	} else if (token.n > REAL_DIGITS) {
		mx_buf_str(b, token.p[0] == '-' ? MX_S("-1e300") : MX_S("1e300"));
	} else {
		mx_buf_str(b, token);
		mx_buf_add(b, ".0", 2);
	}
}

mx_error *
mx_json_parse_big(mx_str text, json_t **out)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	const char *p = text.p, *end = text.p + text.n, *from;

	while (p < end) {
		from = p;
		if (*p == '"') {
			p = skip_string(p, end);
			mx_buf_add(b, from, (size_t)(p - from));
		} else if (is_digit(*p) || *p == '-') {
			while (p < end && is_number(*p))
				p++;
			write_token((mx_str){ from, (size_t)(p - from) }, b);
		} else {
			mx_buf_byte(b, *p++);
		}
	}
	return mx_json_parse(mx_buf_view(b), out);
}

/* ---- canonical ---- */

/* Without what may stand between tokens. */
static void
compact(mx_str text, struct mx_buf *b)
{
	const char *p = text.p, *end = text.p + text.n, *from;

	while (p < end) {
		from = p;
		if (*p == '"') {
			p = skip_string(p, end);
			mx_buf_add(b, from, (size_t)(p - from));
		} else {
			if (strchr(" \t\r\n", *p) == NULL)
				mx_buf_byte(b, *p);
			p++;
		}
	}
}

struct member {
	mx_str key, value;	/* the key decoded */
};

static int
by_key(const void *a, const void *b)
{
	return mx_str_cmp(((const struct member *)a)->key, ((const struct member *)b)->key);
}

static mx_str
decode(struct mx_arena *a, mx_str inner)
{
	char *out;

	if (!mx_scan_escaped(inner))
		return inner;
	out = mx_arena_alloc(a, inner.n);
	return (mx_str){ out, mx_scan_unescape(inner, out) };
}

static void write_value(struct mx_arena *a, mx_str value, struct mx_buf *b);

static void
write_object(struct mx_arena *a, mx_str object, const char *except, struct mx_buf *b)
{
	struct mx_scan s;
	struct member *v;
	mx_str key, value, left_out = mx_str_of(except);
	bool comma = false;
	size_t n = 0, i = 0;

	for (mx_scan_object(&s, object); mx_scan_member(&s, &key, &value);)
		n++;
	v = mx_arena_alloc(a, (n + 1) * sizeof(*v));
	for (mx_scan_object(&s, object); i < n && mx_scan_member(&s, &key, &value); i++)
		v[i] = (struct member){ decode(a, key), value };
	qsort(v, n, sizeof(*v), by_key);
	mx_buf_byte(b, '{');
	for (i = 0; i < n; i++) {
		if (left_out.p != NULL && mx_str_eq(v[i].key, left_out))
			continue;
		if (comma)
			mx_buf_byte(b, ',');
		comma = true;
		mx_json_quote(v[i].key, b);
		mx_buf_byte(b, ':');
		write_value(a, v[i].value, b);
	}
	mx_buf_byte(b, '}');
}

static void
write_array(struct mx_arena *a, mx_str array, struct mx_buf *b)
{
	struct mx_scan s;
	mx_str value;
	bool comma = false;

	mx_buf_byte(b, '[');
	for (mx_scan_array(&s, array); mx_scan_element(&s, &value); comma = true) {
		if (comma)
			mx_buf_byte(b, ',');
		write_value(a, value, b);
	}
	mx_buf_byte(b, ']');
}

static void
write_number(struct mx_arena *a, mx_str number, struct mx_buf *b)
{
	for (size_t i = 0; i < number.n; i++) {
		if (is_digit(number.p[i]) || number.p[i] == '-')
			continue;
		mx_json_real(strtod(mx_arena_str(a, number).p, NULL), b);
		return;
	}
	mx_buf_str(b, mx_str_eq(number, MX_S("-0")) ? MX_S("0") : number);
}

static void
write_value(struct mx_arena *a, mx_str value, struct mx_buf *b)
{
	mx_str inner;

	if (mx_scan_is_object(value))
		write_object(a, value, NULL, b);
	else if (mx_scan_is_array(value))
		write_array(a, value, b);
	else if (mx_scan_string(value, &inner))
		mx_json_quote(decode(a, inner), b);
	else if (is_digit(value.p[0]) || value.p[0] == '-')
		write_number(a, value, b);
	else
		mx_buf_str(b, value);
}

mx_error *
mx_json_canonical_big(mx_str text, struct mx_buf *b)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	MX_AUTO(mx_buf) *plain = mx_buf_new(0);

	compact(text, plain);
	write_object(a, mx_buf_view(plain), "unsigned", b);
	if (mx_buf_failed(b))
		return mx_error_new(MX_E_TOO_LARGE, "the canonical JSON is too large");
	return NULL;
}
