#include "config.h"

#include "core/json/json.h"

static void
dump_object(const json_t *o, struct mx_buf *b)
{
	json_t *object = (json_t *)o;	/* iterating changes nothing */
	char before = '{';

	if (json_object_size(o) == 0)
		mx_buf_byte(b, before);
	for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i)) {
		mx_buf_byte(b, before);
		before = ',';
		mx_json_quote(mx_str_of(json_object_iter_key(i)), b);
		mx_buf_byte(b, ':');
		mx_json_dump(json_object_iter_value(i), b);
	}
	mx_buf_byte(b, '}');
}

static void
dump_array(const json_t *v, struct mx_buf *b)
{
	size_t n = json_array_size(v);

	mx_buf_byte(b, '[');
	for (size_t i = 0; i < n; i++) {
		if (i != 0)
			mx_buf_byte(b, ',');
		mx_json_dump(json_array_get(v, i), b);
	}
	mx_buf_byte(b, ']');
}

void
mx_json_dump(const json_t *v, struct mx_buf *b)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT: dump_object(v, b); return;
	case JSON_ARRAY: dump_array(v, b); return;
	case JSON_STRING:
		mx_json_quote((mx_str){ json_string_value(v), json_string_length(v) }, b);
		return;
	case JSON_INTEGER: mx_buf_int(b, json_integer_value(v)); return;
	case JSON_REAL: mx_json_real(json_real_value(v), b); return;
	case JSON_TRUE: mx_buf_str(b, MX_S("true")); return;
	case JSON_FALSE: mx_buf_str(b, MX_S("false")); return;
	case JSON_NULL: mx_buf_str(b, MX_S("null")); return;
	}
}

/* ---- the writer ---- */

static inline void
separate(struct mx_jw *w)
{
	if (w->comma)
		mx_buf_byte(w->b, ',');
}

static void
open_with(struct mx_jw *w, char c)
{
	separate(w);
	mx_buf_byte(w->b, c);
	w->comma = false;
}

static void
close_with(struct mx_jw *w, char c)
{
	mx_buf_byte(w->b, c);
	w->comma = true;
}

void
mx_jw_object(struct mx_jw *w)
{
	open_with(w, '{');
}

void
mx_jw_object_end(struct mx_jw *w)
{
	close_with(w, '}');
}

void
mx_jw_array(struct mx_jw *w)
{
	open_with(w, '[');
}

void
mx_jw_array_end(struct mx_jw *w)
{
	close_with(w, ']');
}

void
mx_jw_key(struct mx_jw *w, mx_str key)
{
	separate(w);
	mx_json_quote(key, w->b);
	mx_buf_byte(w->b, ':');
	w->comma = false;
}

void
mx_jw_str(struct mx_jw *w, mx_str s)
{
	separate(w);
	mx_json_quote(s, w->b);
	w->comma = true;
}

void
mx_jw_int(struct mx_jw *w, int64_t v)
{
	separate(w);
	mx_buf_int(w->b, v);
	w->comma = true;
}

void
mx_jw_bool(struct mx_jw *w, bool v)
{
	mx_jw_raw(w, v ? MX_S("true") : MX_S("false"));
}

void
mx_jw_null(struct mx_jw *w)
{
	mx_jw_raw(w, MX_S("null"));
}

void
mx_jw_raw(struct mx_jw *w, mx_str json)
{
	separate(w);
	mx_buf_str(w->b, json);
	w->comma = true;
}

void
mx_jw_json(struct mx_jw *w, const json_t *v)
{
	separate(w);
	mx_json_dump(v, w->b);
	w->comma = true;
}
