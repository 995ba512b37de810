/* The forward extremities of a room: what its next event names as prev_events. One, as long as nobody
 * writes at the same time; a list otherwise. Server-Server API, "PDUs". */
#include "config.h"

#include "core/room/engine.h"
#include "core/room/hash.h"

#include <stdlib.h>

void
mx_extremities_clear(struct mx_extremities *x)
{
	for (size_t i = 0; i < x->n; i++)
		free(x->v[i].id);
	free(x->v);
	*x = (struct mx_extremities){ 0 };
}

void
mx_extremities_add(struct mx_extremities *x, const struct mx_extremity *one, mx_str id)
{
	size_t at = 0;

	x->v = mx_realloc(x->v, x->n + 1, sizeof(*x->v));
	while (at < x->n && x->v[at].nid > one->nid)
		at++;
	memmove(x->v + at + 1, x->v + at, (x->n - at) * sizeof(*x->v));
	x->v[at] = *one;
	x->v[at].id = mx_str_dup(id);
	x->n++;
}

struct mx_extremities
mx_extremities_copy(const struct mx_extremities *x)
{
	struct mx_extremities out = { 0 };

	for (size_t i = 0; i < x->n; i++)
		mx_extremities_add(&out, &x->v[i], mx_str_of(x->v[i].id));
	return out;
}

void
mx_extremities_write(const struct mx_extremities *x, struct mx_buf *b)
{
	for (size_t i = 0; i < x->n; i++) {
		if (i > 0)
			mx_buf_byte(b, ' ');
		mx_buf_int(b, x->v[i].nid);
	}
}

mx_error *
mx_extremities_read(struct mx_rooms *rs, struct mx_conn *c, mx_str text, struct mx_extremities *out)
{
	mx_error *e = NULL;

	while (text.n > 0 && e == NULL) {
		MX_AUTO(mx_event) *ev = NULL;
		mx_str one, rest = { "", 0 };
		int64_t nid;

		if (!mx_str_cut(text, ' ', &one, &rest))
			one = text;
		text = rest;
		if (!mx_str_int(one, INT64_MIN, INT64_MAX, &nid)) {
			e = mx_error_new(MX_E_UNKNOWN, "a room's extremities are damaged");
			continue;
		}
		e = mx_event_by_nid(rs, c, nid, &ev);
		if (e == NULL) {
			struct mx_extremity x = { .nid = nid,
						  .depth = ev->depth,
						  .after = ev->after };

			if (ev->version->refs_with_hashes)
				mx_event_reference_hash(ev->version, mx_event_json(ev), x.hash);
			mx_extremities_add(out, &x, mx_event_id(ev));
		}
	}
	if (e != NULL)
		mx_extremities_clear(out);
	return e;
}
