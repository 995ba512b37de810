#include "config.h"

#include <math.h>
#include <stdlib.h>

#include "core/json/json.h"

#define MAX_INTEGER (((int64_t)1 << 53) - 1)
#define FEW 16		/* members that are sorted on the stack: an event has no more */

struct member {
	const char *key;
	json_t *value;
};

static mx_error *write_value(const json_t *v, bool strict, int depth, struct mx_buf *b);

static mx_error *
write_integer(int64_t v, bool strict, struct mx_buf *b)
{
	if (strict && (v > MAX_INTEGER || v < -MAX_INTEGER))
		return mx_error_new(MX_E_BAD_JSON, "an integer is beyond 2^53 - 1");
	mx_buf_int(b, v);
	return NULL;
}

/* 1e10 and -0.0 are integers that were written otherwise (Appendices, the last example of
 * "Canonical JSON"). */
static mx_error *
write_real(double v, bool strict, struct mx_buf *b)
{
	if (!strict) {
		mx_json_real(v, b);
		return NULL;
	}
	if (v != floor(v))
		return mx_error_new(MX_E_BAD_JSON, "a number has a fraction");
	if (!(fabs(v) <= (double)MAX_INTEGER))
		return mx_error_new(MX_E_BAD_JSON, "an integer is beyond 2^53 - 1");
	mx_buf_int(b, (int64_t)v);
	return NULL;
}

static mx_error *
write_array(const json_t *v, bool strict, int depth, struct mx_buf *b)
{
	size_t n = json_array_size(v);

	mx_buf_byte(b, '[');
	for (size_t i = 0; i < n; i++) {
		if (i != 0)
			mx_buf_byte(b, ',');
		MX_TRY(write_value(json_array_get(v, i), strict, depth, b));
	}
	mx_buf_byte(b, ']');
	return NULL;
}

static int
by_key(const void *a, const void *b)
{
	/* Bytes of UTF-8 sort as the code points do. */
	return strcmp(((const struct member *)a)->key, ((const struct member *)b)->key);
}

static void
sort(struct member *members, size_t n)
{
	if (n > FEW) {
		qsort(members, n, sizeof(members[0]), by_key);
		return;
	}
	/* By insertion: members are few, and mostly in order already. */
	for (size_t i = 1; i < n; i++) {
		struct member one = members[i];
		size_t k = i;

		for (; k > 0 && strcmp(members[k - 1].key, one.key) > 0; k--)
			members[k] = members[k - 1];
		members[k] = one;
	}
}

static mx_error *
write_members(const struct member *members, size_t n, bool strict, int depth, struct mx_buf *b)
{
	mx_buf_byte(b, '{');
	for (size_t i = 0; i < n; i++) {
		if (i != 0)
			mx_buf_byte(b, ',');
		mx_json_quote(mx_str_of(members[i].key), b);
		mx_buf_byte(b, ':');
		MX_TRY(write_value(members[i].value, strict, depth, b));
	}
	mx_buf_byte(b, '}');
	return NULL;
}

static bool
is_among(const char *key, const char *const list[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(key, list[i]) == 0)
			return true;
	return false;
}

static mx_error *
write_object(const json_t *o, bool strict, int depth, const char *const except[],
	     size_t except_count, struct mx_buf *b)
{
	json_t *object = (json_t *)o;	/* iterating changes nothing */
	struct member few[FEW], *members = few;
	size_t size = json_object_size(o), n = 0;
	mx_error *e;

	if (size > FEW)
		members = mx_realloc(NULL, size, sizeof(members[0]));
	for (void *i = json_object_iter(object); i != NULL && n < size;
	     i = json_object_iter_next(object, i)) {
		const char *key = json_object_iter_key(i);

		if (except_count == 0 || !is_among(key, except, except_count))
			members[n++] = (struct member){ key, json_object_iter_value(i) };
	}
	sort(members, n);
	e = write_members(members, n, strict, depth, b);
	if (members != few)
		free(members);
	return e;
}

/* depth: how many levels there are around v. */
static mx_error *
write_value(const json_t *v, bool strict, int depth, struct mx_buf *b)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
	case JSON_ARRAY:
		if (depth >= MX_JSON_DEPTH)
			return mx_error_new(MX_E_BAD_JSON, "more than %d levels", MX_JSON_DEPTH);
		return json_is_array(v) ? write_array(v, strict, depth + 1, b) :
			write_object(v, strict, depth + 1, NULL, 0, b);
	case JSON_STRING:
		mx_json_quote((mx_str){ json_string_value(v), json_string_length(v) }, b);
		return NULL;
	case JSON_INTEGER:
		return write_integer(json_integer_value(v), strict, b);
	case JSON_REAL:
		return write_real(json_real_value(v), strict, b);
	case JSON_TRUE:
		mx_buf_str(b, MX_S("true"));
		return NULL;
	case JSON_FALSE:
		mx_buf_str(b, MX_S("false"));
		return NULL;
	case JSON_NULL:
		mx_buf_str(b, MX_S("null"));
		return NULL;
	}
	return mx_error_new(MX_E_UNKNOWN, "a JSON value of no type");
}

/* Half a form must never be hashed or signed: what failed leaves nothing behind, and no room is a
 * failure. */
static mx_error *
finish(mx_error *e, size_t before, struct mx_buf *b)
{
	if (e == NULL && mx_buf_failed(b))
		e = mx_error_new(MX_E_TOO_LARGE, "the canonical JSON is too large");
	if (e != NULL)
		mx_buf_truncate(b, before);
	return e;
}

mx_error *
mx_json_canonical(const json_t *v, bool strict, struct mx_buf *b)
{
	size_t before = mx_buf_view(b).n;

	return finish(write_value(v, strict, 0, b), before, b);
}

mx_error *
mx_json_canonical_except(const json_t *o, bool strict, const char *const except[],
			 size_t except_count, struct mx_buf *b)
{
	size_t before = mx_buf_view(b).n;

	if (!json_is_object(o))
		return mx_error_new(MX_E_BAD_JSON, "not an object");
	return finish(write_object(o, strict, 1, except, except_count, b), before, b);
}
