/* Users who asked that what they have said be forgotten: who comes into a room afterwards is given
 * their events redacted. Client-Server API, "POST /account/deactivate", erase. */
#include "config.h"

#include "core/room/erasure.h"

#include "core/room/engine.h"

#include <stdlib.h>

#define IN_MEMORY 100000	/* more erased users than this are asked for one by one */

static const struct mx_sql ALL =
	MX_SQL("SELECT \"user\", at FROM erased_user ORDER BY \"user\" LIMIT $1");
static const struct mx_sql ONE = MX_SQL("SELECT at FROM erased_user WHERE \"user\" = $1");
static const struct mx_sql PUT = MX_SQL(
	"INSERT INTO erased_user (\"user\", at) VALUES ($1, $2) ON CONFLICT (\"user\") DO NOTHING");
static const struct mx_sql SINCE =
	MX_SQL("SELECT 1 FROM erased_user WHERE at > $1 AND at <= $2 LIMIT 1");

struct erased {
	mx_nid user;
	mx_pos at;
};

struct mx_erasures {
	pthread_mutex_t lock;
	uint64_t generation;		/* grows when what is in memory is forgotten */
	bool loaded, too_many;
	struct erased *v;		/* sorted by user */
	size_t n;
};

struct mx_erasures *
mx_erasures_new(void)
{
	struct mx_erasures *x = mx_alloc(sizeof(*x));

	pthread_mutex_init(&x->lock, NULL);
	return x;
}

void
mx_erasures_free(struct mx_erasures **xp)
{
	struct mx_erasures *x = *xp;

	*xp = NULL;
	if (x == NULL)
		return;
	pthread_mutex_destroy(&x->lock);
	free(x->v);
	free(x);
}

static void
forget(struct mx_erasures *x)
{
	pthread_mutex_lock(&x->lock);
	x->generation++;
	x->loaded = false;
	pthread_mutex_unlock(&x->lock);
}

mx_error *
mx_erasures_foreign(struct mx_rooms *rs, struct mx_conn *c, mx_pos since, mx_pos upto)
{
	struct mx_query *q = mx_query(c, &SINCE);

	mx_bind_int(q, 1, since);
	mx_bind_int(q, 2, upto);
	if (mx_query_next(q))
		forget(rs->erasures);
	return mx_query_end(q);
}

/* ---- reading ---- */

static mx_error *
load(struct mx_erasures *x, struct mx_conn *c, uint64_t generation)
{
	struct mx_query *q = mx_query(c, &ALL);
	struct erased *v = NULL;
	size_t n = 0, room = 0;

	mx_bind_int(q, 1, IN_MEMORY + 1);
	while (mx_query_next(q)) {
		if (n == room) {
			room = room == 0 ? 16 : 2 * room;
			v = mx_realloc(v, room, sizeof(*v));
		}
		v[n++] = (struct erased){ mx_col_int(q, 0), mx_col_int(q, 1) };
	}
	mx_error *e = mx_query_end(q);

	pthread_mutex_lock(&x->lock);
	if (e == NULL && x->generation == generation) {
		free(x->v);
		x->v = v;
		x->n = n;
		x->too_many = n > IN_MEMORY;
		x->loaded = true;
		v = NULL;
	}
	pthread_mutex_unlock(&x->lock);
	free(v);
	return e;
}

static int
by_user(const void *a, const void *b)
{
	mx_nid x = ((const struct erased *)a)->user, y = ((const struct erased *)b)->user;

	return (x > y) - (x < y);
}

static mx_error *
ask(struct mx_conn *c, mx_nid user, mx_pos *out)
{
	struct mx_query *q = mx_query(c, &ONE);

	mx_bind_int(q, 1, user);
	*out = mx_query_next(q) ? mx_col_int(q, 0) : 0;
	return mx_query_end(q);
}

static mx_error *
load_once(struct mx_erasures *x, struct mx_conn *c)
{
	pthread_mutex_lock(&x->lock);
	uint64_t generation = x->generation;
	bool loaded = x->loaded;

	pthread_mutex_unlock(&x->lock);
	return loaded ? NULL : load(x, c, generation);
}

mx_error *
mx_erasures_none(struct mx_rooms *rs, struct mx_conn *c, bool *out)
{
	struct mx_erasures *x = rs->erasures;

	*out = false;
	MX_TRY(load_once(x, c));
	pthread_mutex_lock(&x->lock);
	*out = x->loaded && x->n == 0;
	pthread_mutex_unlock(&x->lock);
	return NULL;
}

mx_error *
mx_user_erased(struct mx_rooms *rs, struct mx_conn *c, mx_nid user, mx_pos *out)
{
	struct mx_erasures *x = rs->erasures;
	const struct erased *found = NULL;
	struct erased wanted = { .user = user };

	*out = 0;
	MX_TRY(load_once(x, c));
	pthread_mutex_lock(&x->lock);
	bool known = x->loaded && !x->too_many;

	if (known && x->n > 0)
		found = bsearch(&wanted, x->v, x->n, sizeof(wanted), by_user);
	if (found != NULL)
		*out = found->at;
	pthread_mutex_unlock(&x->lock);
	return known ? NULL : ask(c, user, out);
}

/* ---- erasing ---- */

struct erase {
	struct mx_rooms *rs;
	mx_nid user;
};

static void
erased(void *arg, bool committed)
{
	const struct erase *w = arg;

	if (committed)
		forget(w->rs->erasures);
}

static mx_error *
erase(struct mx_txn *tx, void *arg)
{
	const struct erase *w = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &PUT);

	mx_bind_int(q, 1, w->user);
	mx_bind_int(q, 2, mx_txn_pos(tx));
	mx_txn_after(tx, erased, arg);
	return mx_query_run(q);
}

mx_error *
mx_user_erase(struct mx_rooms *rs, mx_nid user)
{
	struct erase w = { rs, user };

	return mx_write(rs->db, erase, &w);
}
