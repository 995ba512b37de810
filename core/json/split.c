#include "config.h"

#include "core/json/split.h"

#include "core/json/json.h"

#include <stdlib.h>

#define KEY_MAX 64	/* of a key that is wanted */

enum state {
	START,
	FIRST_KEY,	/* or the end of the object */
	NEXT_KEY,
	KEY,
	COLON,
	VALUE,
	IN_VALUE,
	AFTER_VALUE,
	FIRST_ELEMENT,	/* or the end of the array */
	NEXT_ELEMENT,
	IN_ELEMENT,
	AFTER_ELEMENT,
	END
};

struct mx_split {
	struct mx_split_want want;
	enum state state;
	uint64_t total, elements;
	unsigned seen_arrays, seen_members;
	/* the key, or the value */
	char key[KEY_MAX];
	size_t key_n;
	bool key_other, escaped;	/* not one that is wanted; behind a backslash */
	int array, member;		/* which of the wanted it is; -1: none */
	size_t depth;			/* within the value */
	bool string, bare;		/* in a string; a number, true, false or null */
	size_t max;			/* bytes of the value that are kept; 0: none */
	bool too_large;
	struct mx_buf *b;		/* the value's bytes that came with earlier calls */
};

struct mx_split *
mx_split_new(const struct mx_split_want *want)
{
	struct mx_split *s = mx_alloc(sizeof(*s));
	size_t max = want->element_max > want->member_max ? want->element_max : want->member_max;

	s->want = *want;
	s->b = mx_buf_new(max);
	return s;
}

void
mx_split_free(struct mx_split **sp)
{
	struct mx_split *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	mx_buf_free(&s->b);
	free(s);
}

static bool
space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static mx_error *
wrong(void)
{
	return mx_error_new(MX_E_NOT_JSON, "not JSON, or no object");
}

/* ---- keys ---- */

static int
find_name(const char *const names[MX_SPLIT_ARRAYS], mx_str key)
{
	for (int i = 0; i < MX_SPLIT_ARRAYS && names[i] != NULL; i++)
		if (mx_str_eq(key, mx_str_of(names[i])))
			return i;
	return -1;
}

static mx_error *
key_ended(struct mx_split *s)
{
	mx_str key = { s->key, s->key_n };

	s->array = s->key_other ? -1 : find_name(s->want.arrays, key);
	s->member = s->key_other ? -1 : find_name(s->want.members, key);
	if ((s->array >= 0 && (s->seen_arrays >> s->array & 1) != 0) ||
	    (s->member >= 0 && (s->seen_members >> s->member & 1) != 0))
		return mx_error_new(MX_E_BAD_JSON, "%.*s is there twice", MX_SFMT(key));
	if (s->array >= 0)
		s->seen_arrays |= 1u << s->array;
	if (s->member >= 0)
		s->seen_members |= 1u << s->member;
	s->state = COLON;
	return NULL;
}

static mx_error *
take_key(struct mx_split *s, char c)
{
	if (s->escaped) {
		s->escaped = false;
	} else if (c == '"') {
		return key_ended(s);
	} else if (c == '\\') {
		s->escaped = true;
		s->key_other = true;	/* no name that is wanted needs escapes */
	}
	if (s->key_n < KEY_MAX)
		s->key[s->key_n++] = c;
	else
		s->key_other = true;
	return NULL;
}

/* ---- values ---- */

static mx_error *
begin_value(struct mx_split *s, char c, enum state state, size_t max)
{
	if (c == ',' || c == ':' || c == ']' || c == '}')
		return wrong();
	s->state = state;
	s->max = max;
	s->depth = 0;
	s->string = s->bare = s->escaped = s->too_large = false;
	mx_buf_truncate(s->b, 0);
	return NULL;
}

/* The end of the value's part of the bytes at p; *whole: the value ends there. */
static const char *
follow_value(struct mx_split *s, const char *p, const char *end, bool *whole)
{
	*whole = false;
	for (; p < end; p++) {
		if (s->string) {
			if (s->escaped) {
				s->escaped = false;
				continue;
			}
			p = mx_json_special(p, end);
			if (p == end)
				break;
			s->escaped = *p == '\\';
			if (*p != '"')
				continue;
			s->string = false;
		} else if (*p == '"') {
			s->string = true;
			continue;
		} else if (*p == '{' || *p == '[') {
			s->depth++;
			continue;
		} else if (s->depth > 0) {
			if (*p != '}' && *p != ']')
				continue;
			s->depth--;
		} else if (!space(*p) && *p != ',' && *p != '}' && *p != ']') {
			s->bare = true;
			continue;
		} else {
			*whole = true;	/* behind something bare */
			return p;
		}
		if (s->depth == 0) {
			*whole = true;
			return p + 1;
		}
	}
	return p;
}

static mx_error *
hand_out(struct mx_split *s, mx_str text)
{
	if (s->state == IN_ELEMENT) {
		s->state = AFTER_ELEMENT;
		if (s->elements++ == s->want.elements_max)
			return mx_error_new(MX_E_TOO_LARGE, "there are too many elements");
		if (s->too_large)
			text = (mx_str){ NULL, 0 };
		return s->want.element(s->want.arg, (size_t)s->array, text);
	}
	s->state = AFTER_VALUE;
	if (s->member < 0)
		return NULL;
	if (s->too_large)
		return mx_error_new(MX_E_TOO_LARGE, "%s is too large",
				    s->want.members[s->member]);
	return s->want.member(s->want.arg, (size_t)s->member, text);
}

/* Takes what of the value is in the bytes; *p is then behind it. */
static mx_error *
take_value(struct mx_split *s, const char **p, const char *end)
{
	bool whole;
	const char *to = follow_value(s, *p, end, &whole);
	mx_str part = { *p, (size_t)(to - *p) }, before = mx_buf_view(s->b);

	*p = to;
	if (s->depth > MX_JSON_DEPTH)
		return mx_error_new(MX_E_BAD_JSON, "more than %d levels", MX_JSON_DEPTH);
	if (before.n + part.n > s->max)
		s->too_large = true;
	if (s->too_large)
		part.n = 0;
	if (whole && before.n == 0)
		return hand_out(s, part);
	mx_buf_str(s->b, part);
	return whole ? hand_out(s, mx_buf_view(s->b)) : NULL;
}

/* ---- what is between ---- */

static mx_error *
begin_array(struct mx_split *s, char c)
{
	if (c != '[')
		return mx_error_new(MX_E_BAD_JSON, "%s is not a list", s->want.arrays[s->array]);
	s->state = FIRST_ELEMENT;
	return NULL;
}

/* One byte that is no part of a value. *again: it begins one. */
static mx_error *
take_byte(struct mx_split *s, char c, bool *again)
{
	*again = false;
	if (s->state == KEY)
		return take_key(s, c);
	if (space(c))
		return NULL;
	switch (s->state) {
	case START:
		s->state = FIRST_KEY;
		return c == '{' ? NULL : wrong();
	case FIRST_KEY:
	case NEXT_KEY:
		if (c == '}' && s->state == FIRST_KEY) {
			s->state = END;
			return NULL;
		}
		s->state = KEY;
		s->key_n = 0;
		s->key_other = s->escaped = false;
		return c == '"' ? NULL : wrong();
	case COLON:
		s->state = VALUE;
		return c == ':' ? NULL : wrong();
	case VALUE:
		if (s->array >= 0)
			return begin_array(s, c);
		*again = true;
		return begin_value(s, c, IN_VALUE, s->member >= 0 ? s->want.member_max : 0);
	case AFTER_VALUE:
		s->state = c == ',' ? NEXT_KEY : END;
		return c == ',' || c == '}' ? NULL : wrong();
	case FIRST_ELEMENT:
		if (c == ']') {
			s->state = AFTER_VALUE;
			return NULL;
		}
		/* fall through */
	case NEXT_ELEMENT:
		*again = true;
		return begin_value(s, c, IN_ELEMENT, s->want.element_max);
	case AFTER_ELEMENT:
		s->state = c == ',' ? NEXT_ELEMENT : AFTER_VALUE;
		return c == ',' || c == ']' ? NULL : wrong();
	case KEY:
	case IN_VALUE:
	case IN_ELEMENT:
	case END:
		break;
	}
	return wrong();
}

mx_error *
mx_split_feed(struct mx_split *s, mx_str bytes)
{
	const char *p = bytes.p, *end = p + bytes.n;
	bool again;

	s->total += bytes.n;
	if (s->total > s->want.total_max)
		return mx_error_new(MX_E_TOO_LARGE, "the answer is larger than is allowed");
	while (p < end) {
		if (s->state == IN_VALUE || s->state == IN_ELEMENT) {
			MX_TRY(take_value(s, &p, end));
			continue;
		}
		MX_TRY(take_byte(s, *p, &again));
		if (!again)
			p++;
	}
	return NULL;
}

mx_error *
mx_split_end(const struct mx_split *s)
{
	return s->state == END ? NULL : mx_error_new(MX_E_NOT_JSON, "not JSON: it ends too early");
}
