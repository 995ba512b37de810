#include "config.h"

#include "core/room/cover.h"

#include <stdlib.h>

#define MANY 16			/* parameters of GET */
#define CHAIN_MAX 1000000	/* events of an auth chain */
#define DIFFERENCE_MAX 100000	/* events that a difference may visit, which is some 10 MiB */
#define RECENT 64u
#define HEIGHTS 4096u

static const struct mx_sql GET =
	MX_SQL("SELECT nid, auth FROM cover WHERE nid IN "
	       "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)");
static const struct mx_sql GET_ONE = MX_SQL("SELECT nid, auth FROM cover WHERE nid = $1");
static const struct mx_sql GET_ABOVE =
	MX_SQL("SELECT below, above FROM cover_above WHERE below >= $1 AND below <= $2 "
	       "ORDER BY below DESC, above DESC LIMIT $3");
static const struct mx_sql GET_ABOVE_AFTER =
	MX_SQL("SELECT below, above FROM cover_above WHERE below >= $1 AND (below, above) < "
	       "($2, $4) ORDER BY below DESC, above DESC LIMIT $3");
static const struct mx_sql FIND =
	MX_SQL("SELECT nid, alias FROM event WHERE id_hash = $1 AND id = $2 AND room = $3 "
	       "ORDER BY nid DESC LIMIT 1");

/* ---- the last that were put ---- */

struct mx_cover_recent {
	pthread_mutex_t lock;
	struct mx_event *events[RECENT];	/* references; a ring */
	unsigned next;
	struct {
		mx_nid nid;
		int64_t height;
	} heights[HEIGHTS];		/* of outliers */
};

struct mx_cover_recent *
mx_cover_recent_new(void)
{
	struct mx_cover_recent *r = mx_alloc(sizeof(*r));

	pthread_mutex_init(&r->lock, NULL);
	return r;
}

void
mx_cover_recent_free(struct mx_cover_recent **rp)
{
	struct mx_cover_recent *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	for (unsigned i = 0; i < RECENT; i++)
		mx_event_unref(&r->events[i]);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static struct mx_event *
recent_find(struct mx_cover_recent *r, mx_str id)
{
	struct mx_event *ev = NULL;

	pthread_mutex_lock(&r->lock);
	for (unsigned i = 1; ev == NULL && i <= RECENT; i++) {
		struct mx_event *one = r->events[(r->next - i) % RECENT];

		if (one != NULL && mx_str_eq(mx_event_id(one), id))
			ev = mx_event_ref(one);
	}
	pthread_mutex_unlock(&r->lock);
	return ev;
}

static void
recent_add(struct mx_cover_recent *r, struct mx_event *ev)
{
	pthread_mutex_lock(&r->lock);
	mx_event_unref(&r->events[r->next % RECENT]);
	r->events[r->next++ % RECENT] = mx_event_ref(ev);
	pthread_mutex_unlock(&r->lock);
}

static bool
recent_height(struct mx_cover_recent *r, mx_nid nid, int64_t *out)
{
	size_t at = (size_t)nid % HEIGHTS;

	pthread_mutex_lock(&r->lock);
	bool known = nid != 0 && r->heights[at].nid == nid;

	*out = r->heights[at].height;
	pthread_mutex_unlock(&r->lock);
	return known;
}

void
mx_cover_recent_set_height(struct mx_cover_recent *r, mx_nid nid, int64_t height)
{
	size_t at = (size_t)nid % HEIGHTS;

	pthread_mutex_lock(&r->lock);
	r->heights[at].nid = nid;
	r->heights[at].height = height;
	pthread_mutex_unlock(&r->lock);
}

/* ---- rows: for who has no position, its height; then how far back what it rests on is ---- */

static bool
get_number(mx_str *s, uint64_t *out)
{
	*out = 0;
	for (unsigned shift = 0; shift < 64 && s->n > 0; shift += 7) {
		unsigned char c = (unsigned char)*s->p;

		s->p++;
		s->n--;
		*out |= (uint64_t)(c & 127) << shift;
		if (c < 128)
			return true;
	}
	return false;
}

/* Positions are heights: what an event rests on was stored before it. An outlier is a step above
 * what it rests on, and so below the next position. */
static int64_t
height_of_position(mx_nid nid)
{
	return nid > 0 ? nid * MX_COVER_STEPS : 0;
}

static mx_error *
parse(mx_nid nid, mx_str data, struct mx_auth_row *out)
{
	uint64_t v = 0;
	bool good = true;

	out->nid = nid;
	out->n = 0;
	if (nid <= 0)
		good = get_number(&data, &v);
	out->height = nid > 0 ? height_of_position(nid) : (int64_t)v;
	while (good && data.n > 0 && out->n < MX_EVENT_MAX_AUTH) {
		good = get_number(&data, &v);
		out->auth[out->n++] = nid - (mx_nid)(v >> 1 ^ (~(v & 1) + 1));
	}
	return good && data.n == 0 ? NULL
				   : mx_error_new(MX_E_UNKNOWN, "an event's cover is damaged");
}

/* ---- what an event rests on ---- */

/* The auth events of one, as far as they are here. */
struct named {
	mx_nid nid;
	struct mx_event *ev;	/* a reference, or NULL: only the number is known */
};
struct named_list {
	struct named v[MX_EVENT_MAX_AUTH];
	size_t n;
};

static void
named_done(struct named_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		mx_event_unref(&l->v[i].ev);
}

static mx_error *
find_nid(struct mx_conn *c, mx_nid room, mx_str id, mx_nid *out)
{
	struct mx_query *q = mx_query(c, &FIND);

	mx_bind_int(q, 1, mx_event_id_hash(id));
	mx_bind_str(q, 2, id);
	mx_bind_int(q, 3, room);
	*out = 0;
	if (mx_query_next(q))
		*out = mx_col_null(q, 1) ? mx_col_int(q, 0) : mx_col_int(q, 1);
	return mx_query_end(q);
}

static mx_error *
find_named(struct mx_rooms *rs, struct mx_conn *c, const struct mx_event *ev,
	   struct named_list *out)
{
	struct mx_event_ids it = mx_event_auth(ev);
	mx_str id;

	while (out->n < MX_EVENT_MAX_AUTH && mx_event_ids_next(&it, &id)) {
		struct named *one = &out->v[out->n];

		*one = (struct named){ .ev = recent_find(rs->covers, id) };
		if (one->ev == NULL)
			one->ev = mx_event_cache_find(rs->events, id);
		if (one->ev != NULL)
			one->nid = mx_event_state_nid(one->ev);
		else
			MX_TRY(find_nid(c, ev->room, id, &one->nid));
		out->n += one->nid != 0;
	}
	return NULL;
}

static bool
names(const struct mx_event *ev, mx_str id)
{
	struct mx_event_ids it = mx_event_auth(ev);
	mx_str one;

	while (mx_event_ids_next(&it, &one))
		if (mx_str_eq(one, id))
			return true;
	return false;
}

/* Whether the ith follows from another of them. */
static bool
follows(const struct named_list *l, size_t i)
{
	if (l->v[i].ev == NULL)
		return false;
	for (size_t k = 0; k < l->n; k++)
		if (k != i && l->v[k].ev != NULL && names(l->v[k].ev, mx_event_id(l->v[i].ev)))
			return true;
	return false;
}

mx_error *
mx_cover_row(struct mx_conn *c, struct mx_auth_row *row, bool *found)
{
	struct mx_query *q = mx_query(c, &GET_ONE);
	mx_error *e = NULL;

	mx_bind_int(q, 1, row->nid);
	*found = mx_query_next(q);
	if (*found)
		e = parse(row->nid, mx_col_str(q, 1), row);
	return mx_error_first(e, mx_query_end(q));
}

mx_error *
mx_cover_height(struct mx_rooms *rs, struct mx_conn *c, mx_nid nid, int64_t *out)
{
	struct mx_auth_row row = { .nid = nid };
	bool found;

	*out = height_of_position(nid);
	if (nid > 0 || recent_height(rs->covers, nid, out))
		return NULL;
	MX_TRY(mx_cover_row(c, &row, &found));
	*out = row.height;
	mx_cover_recent_set_height(rs->covers, nid, row.height);
	return NULL;
}

/* Of one that rests on these. */
static mx_error *
find_height(struct mx_rooms *rs, struct mx_conn *c, mx_nid nid, const struct named_list *l,
	    int64_t *out)
{
	int64_t height;

	*out = height_of_position(nid);
	if (nid > 0)
		return NULL;
	*out = 1;
	for (size_t i = 0; i < l->n; i++) {
		MX_TRY(mx_cover_height(rs, c, l->v[i].nid, &height));
		if (height >= *out)
			*out = height + 1;
	}
	return NULL;
}

/* ---- putting ---- */

static mx_error *
put_named(struct mx_txn *tx, struct mx_rooms *rs, const struct mx_event *ev,
	  const struct named_list *l, struct mx_cover_batch *b)
{
	struct mx_auth_row row = { .nid = mx_event_state_nid(ev) };

	MX_TRY(find_height(rs, mx_txn_conn(tx), row.nid, l, &row.height));
	for (size_t i = 0; i < l->n; i++)
		if (!follows(l, i))
			row.auth[row.n++] = l->v[i].nid;
	return mx_cover_put_row(tx, rs, &row, !mx_rules_is_auth_type(ev), b);
}

mx_error *
mx_cover_add(struct mx_txn *tx, struct mx_rooms *rs, struct mx_event *ev, struct mx_cover_batch *b)
{
	struct named_list l = { .n = 0 };
	mx_error *e;

	if (!ev->state || ev->rejected)
		return NULL;
	e = find_named(rs, mx_txn_conn(tx), ev, &l);
	if (e == NULL)
		e = put_named(tx, rs, ev, &l, b);
	named_done(&l);
	if (e == NULL)
		recent_add(rs->covers, ev);
	return e;
}

mx_error *
mx_cover_put(struct mx_txn *tx, struct mx_rooms *rs, struct mx_event *ev)
{
	struct mx_cover_batch b = { .rows_n = 0 };

	MX_TRY(mx_cover_add(tx, rs, ev, &b));
	return mx_cover_flush(tx, &b);
}

/* ---- reading ---- */

struct reader {
	struct mx_rooms *rs;
	struct mx_conn *conn;
	mx_error *(*agreed)(void *arg, mx_nid nid, bool leaf, bool *out);
	void *arg;
};

/* Of an event that has no row (it is no state, or was rejected), from itself. */
static mx_error *
make_row(struct reader *r, struct mx_auth_row *row)
{
	MX_AUTO(mx_event) *ev = NULL;
	struct named_list l = { .n = 0 };

	MX_TRY(mx_event_by_nid(r->rs, r->conn, row->nid, &ev));
	mx_error *e = find_named(r->rs, r->conn, ev, &l);

	if (e == NULL)
		e = find_height(r->rs, r->conn, row->nid, &l, &row->height);
	for (size_t i = 0; i < l.n; i++)
		row->auth[row->n++] = l.v[i].nid;
	named_done(&l);
	return e;
}

static mx_error *
read_rows(struct reader *r, struct mx_auth_row *v, size_t n, bool *found)
{
	struct mx_query *q = mx_query(r->conn, n == 1 ? &GET_ONE : &GET);
	mx_error *e = NULL;

	for (size_t i = 0; i < (n == 1 ? 1 : MANY); i++)
		mx_bind_int(q, (int)i + 1, v[i < n ? i : 0].nid);
	while (e == NULL && mx_query_next(q)) {
		mx_nid nid = mx_col_int(q, 0);

		for (size_t i = 0; e == NULL && i < n; i++)
			if (v[i].nid == nid) {
				e = parse(nid, mx_col_str(q, 1), &v[i]);
				found[i] = true;
			}
	}
	return mx_error_first(e, mx_query_end(q));
}

static mx_error *
rows(void *arg, struct mx_auth_row *v, size_t n)
{
	struct reader *r = arg;

	for (size_t at = 0, some; at < n; at += some) {
		bool found[MANY] = { false };

		some = n - at < MANY ? n - at : MANY;
		MX_TRY(read_rows(r, v + at, some, found));
		for (size_t i = 0; i < some; i++)
			if (!found[i])
				MX_TRY(make_row(r, &v[at + i]));
	}
	return NULL;
}

/* What others can rest on comes first, and of that the newest. */
static mx_error *
above(void *arg, mx_nid nid, struct mx_above *page)
{
	struct reader *r = arg;
	struct mx_query *q = mx_query(r->conn, page->begun ? &GET_ABOVE_AFTER : &GET_ABOVE);

	mx_bind_int(q, 1, 2 * nid);
	mx_bind_int(q, 2, 2 * nid + !(page->begun && page->last.leaf));
	mx_bind_int(q, 3, MX_ABOVE);
	if (page->begun)
		mx_bind_int(q, 4, page->last.nid);
	for (page->n = 0; page->n < MX_ABOVE && mx_query_next(q); page->n++) {
		page->v[page->n].leaf = mx_col_int(q, 0) == 2 * nid;
		page->v[page->n].nid = mx_col_int(q, 1);
	}
	return mx_query_end(q);
}

static mx_error *
agreed(void *arg, mx_nid nid, bool leaf, bool *out)
{
	struct reader *r = arg;

	return r->agreed(r->arg, nid, leaf, out);
}

mx_error *
mx_cover_difference(struct mx_rooms *rs, struct mx_conn *c, const struct mx_conflicted *v, size_t n,
		    size_t states, bool subgraph,
		    mx_error *(*ask)(void *arg, mx_nid nid, bool leaf, bool *out), void *arg,
		    struct mx_arena *a, mx_nid **out, size_t *out_n)
{
	struct reader r = { rs, c, ask, arg };
	struct mx_auth_graph g = { .rows = rows,
				   .above = above,
				   .agreed = agreed,
				   .arg = &r,
				   .max = DIFFERENCE_MAX };

	return mx_auth_difference(&g, v, n, states, subgraph, a, out, out_n);
}

/* ---- whole chains ---- */

struct chain {
	struct mx_nidmap seen;
	struct mx_arena *a;
	mx_nid *v;
	size_t n, room;
};

static mx_error *
chain_add(struct chain *l, mx_nid nid)
{
	static char here;

	if (mx_nidmap_get(&l->seen, nid) != NULL)
		return NULL;
	if (l->n == CHAIN_MAX)
		return mx_error_new(MX_E_LIMIT_EXCEEDED, "the auth chain is longer than %d events",
				    CHAIN_MAX);
	mx_nidmap_put(&l->seen, nid, &here);
	if (l->n == l->room) {
		mx_nid *v = mx_arena_alloc(l->a, (l->room = 2 * l->room + 64) * sizeof(*v));

		if (l->n > 0)
			memcpy(v, l->v, l->n * sizeof(*v));
		l->v = v;
	}
	l->v[l->n++] = nid;
	return NULL;
}

static mx_error *
chain_step(struct reader *r, struct chain *l, const mx_nid *nids, size_t n)
{
	struct mx_auth_row v[MANY];

	for (size_t i = 0; i < n; i++)
		v[i] = (struct mx_auth_row){ .nid = nids[i] };
	MX_TRY(rows(r, v, n));
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < v[i].n; k++)
			MX_TRY(chain_add(l, v[i].auth[k]));
	return NULL;
}

mx_error *
mx_cover_chain(struct mx_rooms *rs, struct mx_conn *c, const mx_nid *of, size_t of_n,
	       struct mx_arena *a, mx_nid **out, size_t *n)
{
	struct reader r = { .rs = rs, .conn = c };
	struct chain l = { .a = a };
	mx_error *e = NULL;

	for (size_t at = 0; e == NULL && at < of_n; at += MANY)
		e = chain_step(&r, &l, of + at, of_n - at < MANY ? of_n - at : MANY);
	for (size_t at = 0, some; e == NULL && at < l.n; at += some) {
		some = l.n - at < MANY ? l.n - at : MANY;
		e = chain_step(&r, &l, l.v + at, some);
	}
	mx_nidmap_clear(&l.seen);
	*out = l.v;
	*n = l.n;
	return e;
}
