/* Whether the covers in the database say what the events do. */
#ifndef TESTS_UNIT_ROOM_COVERS_H
#define TESTS_UNIT_ROOM_COVERS_H

#include "tests/unit/room/house.h"

#include "core/room/cover.h"

#define COVERS_MOST 4000

struct covers_set {
	mx_nid v[COVERS_MOST];
	size_t n;
};

static inline void
covers_add(struct covers_set *s, mx_nid nid)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i] == nid)
			return;
	assert_true(s->n < COVERS_MOST);
	s->v[s->n++] = nid;
}

static inline int
covers_by_nid(const void *a, const void *b)
{
	mx_nid x = *(const mx_nid *)a, y = *(const mx_nid *)b;

	return (x > y) - (x < y);
}

static inline void
covers_step(struct covers_set *s, mx_nid nid)
{
	MX_AUTO(mx_event) *ev = NULL;
	struct mx_event_ids it;
	mx_str id;

	unit_ok(mx_event_by_nid(rooms, conn, nid, &ev));
	it = mx_event_auth(ev);
	while (mx_event_ids_next(&it, &id)) {
		MX_AUTO(mx_event) *auth = NULL;

		unit_ok(mx_event_get(rooms, conn, id, &auth));
		covers_add(s, mx_event_state_nid(auth));
	}
}

static inline void
covers_check_chain(mx_nid nid)
{
	static struct covers_set should;
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_nid *is;
	size_t n;

	should.n = 0;
	covers_step(&should, nid);
	for (size_t i = 0; i < should.n; i++)
		covers_step(&should, should.v[i]);
	unit_ok(mx_cover_chain(rooms, conn, &nid, 1, a, &is, &n));
	assert_int_equal(n, should.n);
	if (n > 0)
		qsort(is, n, sizeof(*is), covers_by_nid);
	qsort(should.v, should.n, sizeof(should.v[0]), covers_by_nid);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(is[i], should.v[i]);
}

static inline int64_t
covers_count(const struct mx_sql *sql)
{
	struct mx_query *q = mx_query(conn, sql);
	int64_t n = mx_query_next(q) ? mx_col_int(q, 0) : -1;

	unit_ok(mx_query_end(q));
	return n;
}

/* Every state event that is not rejected has a cover, with the chain that its JSON says; those
 * above it are known. Returns how many there are. `every`: look at one in so many. */
static inline size_t
covers_check(size_t every)
{
	static const struct mx_sql all =
		MX_SQL("SELECT COALESCE(alias, nid) FROM event WHERE state_key IS NOT NULL AND "
		       "flags & 2 = 0 AND room <> 0 ORDER BY nid");
	static const struct mx_sql count = MX_SQL("SELECT COUNT(*) FROM cover");
	static const struct mx_sql lost =
		MX_SQL("SELECT COUNT(*) FROM cover WHERE nid NOT IN (SELECT COALESCE(alias, nid) "
		       "FROM event WHERE flags & 2 = 0)");
	static const struct mx_sql alone =
		MX_SQL("SELECT COUNT(*) FROM cover c WHERE length(c.auth) > 3 AND NOT EXISTS "
		       "(SELECT 1 FROM cover_above a WHERE a.above = c.nid)");
	struct covers_set *nids = mx_alloc(sizeof(*nids));
	struct mx_query *q = mx_query(conn, &all);
	size_t n;

	while (mx_query_next(q)) {
		assert_true(nids->n < COVERS_MOST);
		nids->v[nids->n++] = mx_col_int(q, 0);
	}
	unit_ok(mx_query_end(q));
	assert_int_equal(covers_count(&count), nids->n);
	assert_int_equal(covers_count(&lost), 0);
	assert_int_equal(covers_count(&alone), 0);
	for (size_t i = 0; i < nids->n; i += every)
		covers_check_chain(nids->v[i]);
	n = nids->n;
	free(nids);
	return n;
}

#endif
