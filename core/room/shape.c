/* How much of an event a client wants, and in which format. Client-Server API, "Filter";
 * Appendices, "Dot-separated property paths". Most filters say nothing of it, and their events are
 * copied as ever; for the others each event is taken apart. */
#include "config.h"

#include <myelin/view.h>

#include "core/json/json.h"

#include <stdlib.h>

enum { MAX_PATHS = 1000 };

struct path {
	char **names;
	size_t n;
};

struct mx_shape {
	bool federation;
	struct path *paths;		/* none: everything */
	size_t n;
};

/* ---- reading ---- */

/* The names between the dots; a backslash before a dot or a backslash makes it a plain one. */
static struct path
split(mx_str text)
{
	struct path p = { .names = mx_alloc((text.n + 1) * sizeof(*p.names)) };
	char *name = mx_alloc(text.n + 1);
	size_t n = 0;

	for (size_t i = 0; i <= text.n; i++) {
		if (i < text.n && text.p[i] == '\\' && i + 1 < text.n &&
		    (text.p[i + 1] == '.' || text.p[i + 1] == '\\')) {
			name[n++] = text.p[++i];
		} else if (i < text.n && text.p[i] != '.') {
			name[n++] = text.p[i];
		} else {
			p.names[p.n++] = mx_str_dup((mx_str){ name, n });
			n = 0;
		}
	}
	free(name);
	return p;
}

static mx_error *
read_fields(const json_t *fields, struct mx_shape *s)
{
	const json_t *field;
	size_t i;

	if (json_array_size(fields) > MAX_PATHS)
		return mx_error_new(MX_E_BAD_JSON, "event_fields has more than %d entries",
				    MAX_PATHS);
	s->paths = mx_alloc((json_array_size(fields) + 1) * sizeof(*s->paths));
	json_array_foreach(fields, i, field) {
		if (!json_is_string(field))
			return mx_error_new(MX_E_BAD_JSON, "event_fields holds something that is "
							   "no string");
		s->paths[s->n++] = split(
			(mx_str){ json_string_value(field), json_string_length(field) });
	}
	return NULL;
}

mx_error *
mx_shape_parse(const json_t *filter, struct mx_shape **out)
{
	MX_AUTO(mx_shape) *s = NULL;
	mx_str format = MX_S("client");
	json_t *fields = NULL;

	*out = NULL;
	MX_TRY(mx_json_opt_str(filter, "event_format", &format));
	if (!mx_str_eq(format, MX_S("client")) && !mx_str_eq(format, MX_S("federation")))
		return mx_error_new(MX_E_BAD_JSON,
				    "event_format is neither \"client\" nor \"federation\"");
	MX_TRY(mx_json_opt_array(filter, "event_fields", &fields));
	s = mx_alloc(sizeof(*s));
	s->federation = mx_str_eq(format, MX_S("federation"));
	if (fields != NULL)
		MX_TRY(read_fields(fields, s));
	if (s->federation || s->n > 0) {
		*out = s;
		s = NULL;
	}
	return NULL;
}

void
mx_shape_free(struct mx_shape **sp)
{
	struct mx_shape *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->n; i++) {
		for (size_t k = 0; k < s->paths[i].n; k++)
			free(s->paths[i].names[k]);
		free(s->paths[i].names);
	}
	free(s->paths);
	free(s);
}

/* ---- cutting ---- */

static json_t *
follow(json_t *from, const struct path *p)
{
	for (size_t i = 0; i < p->n && from != NULL; i++)
		from = json_object_get(from, p->names[i]);
	return from;
}

static void
copy(json_t *from, json_t *to, const struct path *p)
{
	json_t *value = follow(from, p), *next;

	if (value == NULL)
		return;
	for (size_t i = 0; i + 1 < p->n; i++) {
		next = json_object_get(to, p->names[i]);
		if (next == NULL) {
			next = json_object();
			json_object_set_new(to, p->names[i], next);
		}
		to = next;
	}
	json_object_set(to, p->names[p->n - 1], value);
}

static mx_error *
cut(const struct mx_shape *s, mx_str event, struct mx_buf *b)
{
	MX_AUTO_JSON *whole = NULL;
	MX_AUTO_JSON *kept = json_object();

	MX_TRY(mx_json_parse(event, &whole));
	for (size_t i = 0; i < s->n; i++)
		copy(whole, kept, &s->paths[i]);
	mx_json_dump(kept, b);
	return NULL;
}

mx_error *
mx_event_write_as(const struct mx_reader *r, const struct mx_shape *s, struct mx_event *ev,
		  struct mx_buf *b)
{
	MX_AUTO(mx_buf) *whole = NULL;

	if (s == NULL)
		return mx_event_write(r, ev, b);
	if (s->federation && s->n == 0) {
		mx_buf_str(b, mx_event_json(ev));
		return NULL;
	}
	if (s->federation)
		return cut(s, mx_event_json(ev), b);
	whole = mx_buf_new(0);
	MX_TRY(mx_event_write(r, ev, whole));
	return cut(s, mx_buf_view(whole), b);
}

mx_error *
mx_events_write_as(const struct mx_reader *r, const struct mx_shape *s, const struct mx_events *l,
		   struct mx_buf *b)
{
	if (s == NULL)
		return mx_events_write(r, l, b);
	mx_buf_byte(b, '[');
	for (size_t i = 0; i < l->n; i++) {
		if (i > 0)
			mx_buf_byte(b, ',');
		MX_TRY(mx_event_write_as(r, s, l->v[i], b));
	}
	mx_buf_byte(b, ']');
	return NULL;
}
