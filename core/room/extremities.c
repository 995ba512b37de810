/* The forward extremities of a room: what its next event names as prev_events. One, as long as nobody
 * writes at the same time; a list otherwise. Server-Server API, "PDUs". */
#include "config.h"

#include "core/room/engine.h"
#include "core/room/hash.h"

#include <stdlib.h>

static const struct mx_sql PUT = MX_SQL("UPDATE room SET extremities = $2 WHERE nid = $1");

void
mx_extremities_clear(struct mx_extremities *x)
{
	for (size_t i = 0; i < x->n; i++)
		free(x->v[i].id);
	free(x->v);
	*x = (struct mx_extremities){ 0 };
}

static struct mx_extremity *
insert(struct mx_extremities *x, mx_nid nid)
{
	size_t at = 0;

	x->v = mx_realloc(x->v, x->n + 1, sizeof(*x->v));
	while (at < x->n && x->v[at].nid > nid)
		at++;
	memmove(x->v + at + 1, x->v + at, (x->n - at) * sizeof(*x->v));
	x->n++;
	return &x->v[at];
}

void
mx_extremities_add(struct mx_extremities *x, const struct mx_event *ev)
{
	struct mx_extremity *one = insert(x, ev->nid);

	*one = (struct mx_extremity){ .nid = ev->nid, .depth = ev->depth, .after = ev->after,
				      .id = mx_str_dup(mx_event_id(ev)) };
	if (ev->version->refs_with_hashes)
		mx_event_reference_hash(ev->version, mx_event_json(ev), one->hash);
}

struct mx_extremities
mx_extremities_copy(const struct mx_extremities *x)
{
	struct mx_extremities out = { 0 };

	for (size_t i = 0; i < x->n; i++) {
		struct mx_extremity *one = insert(&out, x->v[i].nid);

		*one = x->v[i];
		one->id = mx_str_dup(mx_str_of(x->v[i].id));
	}
	return out;
}

static int
by_hash(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t
server_of(const struct mx_event *end)
{
	mx_str server = mx_id_server_of(mx_event_sender(end));

	return mx_hash(server.p, server.n);
}

/* How many of them are below this one. */
static size_t
count_below(const uint64_t *sorted, size_t n, uint64_t which)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t at = (low + high) / 2;

		if (sorted[at] < which)
			low = at + 1;
		else
			high = at;
	}
	return low;
}

static size_t
count_of(const uint64_t *sorted, size_t n, uint64_t which)
{
	size_t upto = which < UINT64_MAX ? count_below(sorted, n, which + 1) : n;

	return upto - count_below(sorted, n, which);
}

size_t
mx_extremity_to_give_up(struct mx_event *const *ends, size_t n, const bool *gone)
{
	uint64_t *sorted = mx_alloc((n + 1) * sizeof(*sorted));
	size_t kept = 0, most = 0, out = 0;

	for (size_t i = 0; i < n; i++)
		if (!gone[i])
			sorted[kept++] = server_of(ends[i]);
	qsort(sorted, kept, sizeof(*sorted), by_hash);
	for (size_t i = 0; i < n; i++) {
		size_t count = gone[i] ? 0 : count_of(sorted, kept, server_of(ends[i]));

		if (count > 0 && count >= most) {
			most = count;
			out = i;
		}
	}
	free(sorted);
	return out;
}

mx_error *
mx_extremities_put(struct mx_conn *c, struct mx_room *r, const struct mx_extremities *x, mx_nid nid)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_query *q = mx_query(c, &PUT);

	mx_bind_int(q, 1, r->nid);
	if (nid == 0 && (x == NULL || x->n == 0)) {
		mx_bind_null(q, 2);
		return mx_query_run(q);
	}
	if (nid != 0)
		mx_buf_int(b, nid);
	for (size_t i = 0; i < x->n; i++) {
		if (i > 0 || nid != 0)
			mx_buf_byte(b, ' ');
		mx_buf_int(b, x->v[i].nid);
	}
	mx_bind_str(q, 2, mx_buf_view(b));
	return mx_query_run(q);
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
		if (e == NULL)
			mx_extremities_add(out, ev);
	}
	if (e != NULL)
		mx_extremities_clear(out);
	return e;
}

mx_error *
mx_room_extremities(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, struct mx_arena *a,
		    mx_str **out, size_t *n)
{
	(void)rs;
	MX_TRY(mx_room_refresh(r, c));
	pthread_mutex_lock(&r->lock);
	const struct mx_extremities *x = &r->view.forks;

	*n = x->n > 0 ? x->n : r->view.last_id[0] != '\0';
	*out = mx_arena_alloc(a, (*n + 1) * sizeof(**out));
	for (size_t i = 0; i < *n; i++)
		(*out)[i] = mx_arena_str(
			a, mx_str_of(x->n > 0 ? x->v[i].id : r->view.last_id));
	pthread_mutex_unlock(&r->lock);
	return NULL;
}
