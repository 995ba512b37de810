#include "config.h"

#include "core/runtime/option.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>

/* ---- numbers ---- */

static void
range_of(const struct mx_option *row, int64_t *min, int64_t *max)
{
	*min = row->min;
	*max = row->max >= row->min && row->max != 0 ? row->max : INT64_MAX;
	if (row->max == 0 && row->min < 0)
		*max = 0;
}

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit DURATIONS[] = {
	{ "ms", 1 },      { "s", 1000 },     { "m", 60000 },
	{ "h", 3600000 }, { "d", 86400000 }, { "w", 604800000 },
};
static const struct unit SIZES[] = {
	{ "B", 1 },         { "K", 1 << 10 },          { "KiB", 1 << 10 },
	{ "M", 1 << 20 },   { "MiB", 1 << 20 },        { "G", 1 << 30 },
	{ "GiB", 1 << 30 }, { "T", (int64_t)1 << 40 }, { "TiB", (int64_t)1 << 40 },
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct unit *
unit_find(const struct unit *units, size_t n, mx_str name)
{
	for (size_t i = 0; i < n; i++)
		if (mx_str_eq(mx_str_of(units[i].name), name))
			return &units[i];
	return NULL;
}

static size_t
span(mx_str s, bool digits)
{
	size_t n = 0;

	while (n < s.n && (isdigit((unsigned char)s.p[n]) != 0) == digits)
		n++;
	return n;
}

/* Numbers with units, added up: "1h30m". A number without a unit counts `bare` each; bare 0: only a
 * lone 0 may. */
static bool
parse_units(mx_str s, const struct unit *units, size_t n, int64_t bare, int64_t *out)
{
	int64_t sum = 0;

	if (s.n == 0)
		return false;
	while (s.n > 0) {
		size_t digits = span(s, true);
		mx_str number = { s.p, digits }, rest = { s.p + digits, s.n - digits };
		mx_str name = { rest.p, span(rest, false) };
		const struct unit *unit = unit_find(units, n, name);
		int64_t v, factor = unit != NULL ? unit->factor : bare;

		if (!mx_str_int(number, 0, INT64_MAX, &v) || (unit == NULL && name.n > 0))
			return false;
		if (unit == NULL && bare == 0 && v != 0)
			return false;
		if (__builtin_mul_overflow(v, factor, &v) || __builtin_add_overflow(sum, v, &sum))
			return false;
		s = (mx_str){ rest.p + name.n, rest.n - name.n };
	}
	*out = sum;
	return true;
}

static bool
in_range(const struct mx_option *row, int64_t v)
{
	int64_t min, max;

	range_of(row, &min, &max);
	return v >= min && v <= max;
}

static void
put_duration(struct mx_buf *b, int64_t ms)
{
	size_t i = COUNT(DURATIONS) - 2;	/* up to days */

	while (i > 0 && (ms == 0 || ms % DURATIONS[i].factor != 0))
		i--;
	mx_buf_printf(b, "%lld%s", (long long)(ms / DURATIONS[i].factor), DURATIONS[i].name);
}

static void
put_size(struct mx_buf *b, int64_t bytes)
{
	static const char letters[] = { 0, 'K', 'M', 'G', 'T' };
	size_t i = 0;

	while (i + 1 < COUNT(letters) && bytes != 0 && bytes % 1024 == 0) {
		bytes /= 1024;
		i++;
	}
	mx_buf_int(b, bytes);
	if (letters[i] != 0)
		mx_buf_byte(b, letters[i]);
}

static void
put_number(const struct mx_option *row, struct mx_buf *b, int64_t v)
{
	if (row->type == MX_OPT_MSEC)
		put_duration(b, v);
	else if (row->type == MX_OPT_SIZE)
		put_size(b, v);
	else
		mx_buf_int(b, v);
}

static void
put_range(const struct mx_option *row, struct mx_buf *b)
{
	int64_t min, max;

	range_of(row, &min, &max);
	if (max != INT64_MAX) {
		mx_buf_str(b, MX_S(" from "));
		put_number(row, b, min);
		mx_buf_str(b, MX_S(" to "));
		put_number(row, b, max);
	} else if (min != 0) {
		mx_buf_str(b, MX_S(" of at least "));
		put_number(row, b, min);
	}
}

/* ---- words ---- */

static void
put_choices(const char *choices, struct mx_buf *b)
{
	for (mx_str rest = mx_str_of(choices), one; rest.n > 0;) {
		if (!mx_str_cut(rest, '|', &one, &rest))
			rest = (mx_str){ NULL, 0 };
		mx_buf_str(b, one);
		if (rest.n > 0)
			mx_buf_str(b, MX_S(", "));
	}
}

void
mx_option_words(const struct mx_option *row, struct mx_buf *b)
{
	switch (row->type) {
	case MX_OPT_BOOL:
		mx_buf_str(b, MX_S("yes or no"));
		break;
	case MX_OPT_INT:
		mx_buf_str(b, MX_S("whole number"));
		put_range(row, b);
		break;
	case MX_OPT_MSEC:
		mx_buf_str(b, MX_S("duration (10s, 5m, 2h, 1d, 250ms)"));
		put_range(row, b);
		break;
	case MX_OPT_SIZE:
		mx_buf_str(b, MX_S("size (512, 64K, 50M, 1G)"));
		put_range(row, b);
		break;
	case MX_OPT_LIST:
		mx_buf_str(b, row->choices != NULL ? MX_S("list of: ")
						   : MX_S("list, separated by commas"));
		if (row->choices != NULL)
			put_choices(row->choices, b);
		break;
	default:
		mx_buf_str(b, row->choices != NULL ? MX_S("one of: ") : MX_S("text"));
		if (row->choices != NULL)
			put_choices(row->choices, b);
	}
}

static mx_error *
expected(const struct mx_option *row)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	mx_option_words(row, b);
	return mx_error_new(MX_E_CONFIG, "expected %s%s",
			    row->type == MX_OPT_BOOL || row->choices != NULL ? "" : "a ",
			    mx_buf_cstr(b));
}

/* ---- text and lists ---- */

static bool
is_choice(const char *choices, mx_str text)
{
	for (mx_str rest = mx_str_of(choices), one; rest.n > 0;) {
		if (!mx_str_cut(rest, '|', &one, &rest))
			rest = (mx_str){ NULL, 0 };
		if (mx_str_eq(one, text))
			return true;
	}
	return false;
}

static mx_str
trim(mx_str s)
{
	while (s.n > 0 && isspace((unsigned char)s.p[0]))
		s.p++, s.n--;
	while (s.n > 0 && isspace((unsigned char)s.p[s.n - 1]))
		s.n--;
	return s;
}

/* Takes a string in double quotes from the front of *s, with \" and \\ inside. */
static bool
take_quoted(mx_str *s, struct mx_arena *a, mx_str *out)
{
	char *copy = mx_arena_alloc(a, s->n + 1);
	size_t n = 0;

	for (size_t i = 1; i < s->n; i++) {
		char c = s->p[i];

		if (c == '"') {
			*out = (mx_str){ copy, n };
			*s = (mx_str){ s->p + i + 1, s->n - i - 1 };
			return true;
		}
		if (c == '\\' && i + 1 < s->n && (s->p[i + 1] == '"' || s->p[i + 1] == '\\'))
			c = s->p[++i];
		copy[n++] = c;
	}
	return false;
}

static mx_error *
parse_list(const struct mx_option *row, mx_str text, struct mx_arena *a, struct mx_list *out)
{
	size_t most = 1, n = 0;
	const char **v;

	for (size_t i = 0; i < text.n; i++)
		most += text.p[i] == ',';
	v = mx_arena_alloc(a, (most + 1) * sizeof(*v));
	text = trim(text);
	for (bool more = text.n > 0; more;) {
		mx_str one, rest;

		text = trim(text);
		if (text.n > 0 && text.p[0] == '"') {
			if (!take_quoted(&text, a, &one))
				return mx_error_new(MX_E_CONFIG, "a quoted string does not end");
			text = trim(text);
			more = text.n > 0;
			if (more && text.p[0] != ',')
				return mx_error_new(MX_E_CONFIG,
						    "expected a comma after a quoted string");
			if (more)
				text.p++, text.n--;
		} else {
			more = mx_str_cut(text, ',', &one, &rest);
			one = trim(one);
			if (more)
				text = rest;
			if (one.n == 0)
				return mx_error_new(MX_E_CONFIG, "an element of the list is empty");
		}
		if (row->choices != NULL && !is_choice(row->choices, one))
			return expected(row);
		v[n++] = mx_arena_str(a, one).p;
	}
	*out = (struct mx_list){ v, n };
	return NULL;
}

static mx_error *
parse_text(const struct mx_option *row, mx_str text, struct mx_arena *a, const char **out)
{
	mx_str whole = text, inner;

	/* Quotes around the whole value keep spaces at its ends; any others are part of it. */
	if (text.n >= 2 && text.p[0] == '"' && take_quoted(&whole, a, &inner) && whole.n == 0)
		text = inner;
	if (row->choices != NULL && !is_choice(row->choices, text))
		return expected(row);
	*out = mx_arena_str(a, text).p;
	return NULL;
}

static bool
parse_bool(mx_str s, bool *out)
{
	static const char *const yes[] = { "yes", "true", "on", "1" }, *const no[] = { "no",
										       "false",
										       "off", "0" };

	for (size_t i = 0; i < COUNT(yes); i++) {
		if (mx_str_eq(s, mx_str_of(yes[i])) || mx_str_eq(s, mx_str_of(no[i]))) {
			*out = mx_str_eq(s, mx_str_of(yes[i]));
			return true;
		}
	}
	return false;
}

mx_error *
mx_option_parse(const struct mx_option *row, mx_str text, struct mx_arena *a, void *values)
{
	void *at = (char *)values + row->offset;
	int64_t v = 0;
	bool good = false;

	switch (row->type) {
	case MX_OPT_STR:
		return parse_text(row, text, a, at);
	case MX_OPT_LIST:
		return parse_list(row, text, a, at);
	case MX_OPT_BOOL:
		return parse_bool(text, at) ? NULL : expected(row);
	case MX_OPT_INT:
		good = mx_str_int(text, INT64_MIN, INT64_MAX, &v);
		break;
	case MX_OPT_MSEC:
		good = parse_units(text, DURATIONS, COUNT(DURATIONS), 0, &v);
		break;
	case MX_OPT_SIZE:
		good = parse_units(text, SIZES, COUNT(SIZES), 1, &v);
		break;
	default:
		break;
	}
	if (!good || !in_range(row, v))
		return expected(row);
	memcpy(at, &v, sizeof(v));	/* int64_t, mx_duration and mx_size alike */
	return NULL;
}

mx_error *
mx_option_default(const struct mx_option *row, struct mx_arena *a, void *values)
{
	static const char *const none[] = { NULL };

	if (row->def != NULL)
		return mx_option_parse(row, mx_str_of(row->def), a, values);
	if (row->type == MX_OPT_LIST)
		memcpy((char *)values + row->offset, &(struct mx_list){ none, 0 },
		       sizeof(struct mx_list));
	return NULL;
}

/* ---- rows ---- */

static size_t
value_size(uint32_t type)
{
	switch (type) {
	case MX_OPT_BOOL:
		return sizeof(bool);
	case MX_OPT_INT:
	case MX_OPT_MSEC:
	case MX_OPT_SIZE:
		return sizeof(int64_t);
	case MX_OPT_STR:
		return sizeof(const char *);
	case MX_OPT_LIST:
		return sizeof(struct mx_list);
	default:
		return 0;
	}
}

mx_error *
mx_option_check(const struct mx_option *row, size_t struct_size)
{
	size_t size = value_size(row->type);
	MX_AUTO(mx_arena) *a = NULL;

	if (row->name == NULL || row->name[0] == 0)
		return mx_error_new(MX_E_CONFIG, "an option has no name");
	for (const char *p = row->name; *p != 0; p++)
		if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '_')
			return mx_error_new(MX_E_CONFIG,
					    "option \"%s\": a name is made of a-z, 0-9 and _",
					    row->name);
	if (size == 0)
		return mx_error_new(MX_E_CONFIG, "option \"%s\" is of an unknown type (%u)",
				    row->name, row->type);
	if (row->offset > struct_size || struct_size - row->offset < size)
		return mx_error_new(MX_E_CONFIG,
				    "option \"%s\" lies outside of its struct of %zu bytes "
				    "(is options_size the size of the struct?)",
				    row->name, struct_size);
	if (row->def != NULL) {
		void *values;

		a = mx_arena_new();
		values = mx_arena_alloc(a, struct_size);
		return mx_error_wrap(mx_option_default(row, a, values),
				     "the default of option \"%s\"", row->name);
	}
	return NULL;
}

static bool
text_same(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool
mx_option_same(const struct mx_option *row, const void *a, const void *b)
{
	const void *x = (const char *)a + row->offset, *y = (const char *)b + row->offset;

	if (row->type == MX_OPT_STR)
		return text_same(*(const char *const *)x, *(const char *const *)y);
	if (row->type == MX_OPT_LIST) {
		const struct mx_list *l = x, *r = y;

		for (size_t i = 0; i < l->n && i < r->n; i++)
			if (strcmp(l->v[i], r->v[i]) != 0)
				return false;
		return l->n == r->n;
	}
	return memcmp(x, y, value_size(row->type)) == 0;
}

static const char *
copy_text(const char *z, struct mx_arena *a)
{
	return z != NULL ? mx_arena_str(a, mx_str_of(z)).p : NULL;
}

struct mx_option *
mx_options_copy(const void *rows, size_t n, size_t stride, struct mx_arena *a)
{
	struct mx_option *copy = mx_arena_alloc(a, (n + 1) * sizeof(*copy));

	for (size_t i = 0; i < n; i++) {
		struct mx_option *o = &copy[i];

		memcpy(o, (const char *)rows + i * stride,
		       stride < sizeof(*o) ? stride : sizeof(*o));
		o->name = copy_text(o->name, a);
		o->def = copy_text(o->def, a);
		o->choices = copy_text(o->choices, a);
		o->help = copy_text(o->help, a);
	}
	return copy;
}

/* ---- mistyped names ---- */

enum { NEAREST_MAX = 63 };

/* How many letters to change, add, leave out or swap with their neighbour to get from a to b. */
static unsigned
distance(mx_str a, mx_str b)
{
	unsigned rows[3][NEAREST_MAX + 2];
	unsigned *before = rows[0], *last = rows[1], *now = rows[2];

	for (unsigned j = 0; j <= b.n; j++)
		last[j] = j;
	for (unsigned i = 1; i <= a.n; i++) {
		unsigned *spare = before;

		now[0] = i;
		for (unsigned j = 1; j <= b.n; j++) {
			unsigned cost = tolower((unsigned char)a.p[i - 1]) !=
					tolower((unsigned char)b.p[j - 1]);
			unsigned best = last[j - 1] + cost;

			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] &&
			    a.p[i - 2] == b.p[j - 1] && before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			now[j] = best;
		}
		before = last;
		last = now;
		now = spare;
	}
	return last[b.n];
}

const char *
mx_nearest(mx_str typed, size_t n, const char *(*at)(void *arg, size_t i), void *arg)
{
	unsigned best = (unsigned)(typed.n / 3) + 1;
	const char *found = NULL;

	if (typed.n > NEAREST_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		const char *name = at(arg, i);
		mx_str s = mx_str_of(name);
		unsigned d = s.n > NEAREST_MAX ? UINT_MAX : distance(typed, s);

		if (d < best || (d == best && found == NULL)) {
			best = d;
			found = name;
		}
	}
	return found;
}
