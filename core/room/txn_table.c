/* Transaction ids that are being sent, and those lately done. What is older is found in the
 * database. The unique index says so when such an id is stored again, but then the whole batch is
 * repeated and what others built on the event is thrown away; so it is worth a statement to ask
 * before, where it may be so: of a device's first message since the start, and of ids that a filter
 * remembers. Both filters may err, one way or the other it costs time and nothing else. */
#include "config.h"

#include "core/room/engine.h"

#include <stdlib.h>

#define BUCKETS 4096u

#define FILTER_BITS (1u << 20)
#define FILTER_IDS 100000u	/* of one filter; one in a hundred others is then taken for one of them */

struct filter {
	uint64_t bits[FILTER_BITS / 64];
};

struct txn {
	struct txn *chain;
	mx_nid device, nid;
	bool flying;
	struct txn *next_done;		/* the order in which they were done */
	size_t n;
	char id[];
};

struct mx_txn_table {
	pthread_mutex_t lock;
	pthread_cond_t landed;
	struct txn *table[BUCKETS];
	struct txn *done_first, **done_last;
	size_t done, keep;
	struct filter ids[2], devices;	/* ids: the one being filled, and the one before */
	unsigned filling, filled;
};

/* ---- filters ---- */

static uint64_t
hash_of(mx_nid device, mx_str id)
{
	return mx_hash(id.p, id.n) ^ (uint64_t)device * UINT64_C(0x9e3779b97f4a7c15);
}

static bool
filter_has(const struct filter *f, uint64_t h)
{
	for (int i = 0; i < 3; i++, h = h >> 20 | h << 44)
		if ((f->bits[h % FILTER_BITS / 64] >> (h % 64) & 1) == 0)
			return false;
	return true;
}

static void
filter_add(struct filter *f, uint64_t h)
{
	for (int i = 0; i < 3; i++, h = h >> 20 | h << 44)
		f->bits[h % FILTER_BITS / 64] |= UINT64_C(1) << (h % 64);
}

/* With the lock held: whether the id may have been used. */
static bool
may_be_old(struct mx_txn_table *t, mx_nid device, mx_str id)
{
	uint64_t h = hash_of(device, id), d = (uint64_t)device * UINT64_C(0xd6e8feb86659fd93);

	if (filter_has(&t->devices, d))
		return filter_has(&t->ids[0], h) || filter_has(&t->ids[1], h);
	filter_add(&t->devices, d);
	return true;
}

/* With the lock held. */
static void
remember(struct mx_txn_table *t, mx_nid device, mx_str id)
{
	if (t->filled == FILTER_IDS) {
		t->filled = 0;
		t->filling ^= 1;
		memset(&t->ids[t->filling], 0, sizeof(t->ids[0]));
	}
	filter_add(&t->ids[t->filling], hash_of(device, id));
	t->filled++;
}

/* ---- the table ---- */

struct mx_txn_table *
mx_txn_table_new(size_t keep)
{
	struct mx_txn_table *t = mx_alloc(sizeof(*t));

	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->landed, NULL);
	t->done_last = &t->done_first;
	t->keep = keep;
	return t;
}

void
mx_txn_table_free(struct mx_txn_table **tp)
{
	struct mx_txn_table *t = *tp;

	for (size_t i = 0; t != NULL && i < BUCKETS; i++)
		for (struct txn *x = t->table[i], *next; x != NULL; x = next) {
			next = x->chain;
			free(x);
		}
	if (t != NULL) {
		pthread_cond_destroy(&t->landed);
		pthread_mutex_destroy(&t->lock);
	}
	free(t);
	*tp = NULL;
}

static struct txn **
find(struct mx_txn_table *t, mx_nid device, mx_str id)
{
	struct txn **at = &t->table[(hash_of(device, id) >> 20) % BUCKETS];

	while (*at != NULL &&
	       ((*at)->device != device || !mx_str_eq((mx_str){ (*at)->id, (*at)->n }, id)))
		at = &(*at)->chain;
	return at;
}

bool
mx_txn_claim(struct mx_txn_table *t, mx_nid device, mx_str txn_id, mx_nid *nid, bool *old)
{
	struct txn *x, **at;

	*nid = 0;
	*old = false;
	pthread_mutex_lock(&t->lock);
	while ((x = *(at = find(t, device, txn_id))) != NULL && x->flying)
		pthread_cond_wait(&t->landed, &t->lock);
	if (x != NULL) {
		*nid = x->nid;
	} else {
		*at = x = mx_alloc(sizeof(*x) + txn_id.n);
		x->device = device;
		x->flying = true;
		x->n = txn_id.n;
		memcpy(x->id, txn_id.p, txn_id.n);
		*old = may_be_old(t, device, txn_id);
	}
	pthread_mutex_unlock(&t->lock);
	return *nid == 0;
}

static void
remove_at(struct txn **at)
{
	struct txn *x = *at;

	*at = x->chain;
	free(x);
}

void
mx_txn_settle(struct mx_txn_table *t, mx_nid device, mx_str txn_id, mx_nid nid)
{
	pthread_mutex_lock(&t->lock);
	struct txn **at = find(t, device, txn_id), *x = *at;

	if (nid == 0) {
		remove_at(at);
	} else {
		x->nid = nid;
		x->flying = false;
		*t->done_last = x;
		t->done_last = &x->next_done;
		if (++t->done > t->keep) {
			struct txn *oldest = t->done_first;

			t->done_first = oldest->next_done;
			t->done--;
			remember(t, oldest->device, (mx_str){ oldest->id, oldest->n });
			remove_at(find(t, oldest->device, (mx_str){ oldest->id, oldest->n }));
		}
	}
	pthread_cond_broadcast(&t->landed);
	pthread_mutex_unlock(&t->lock);
}

mx_nid
mx_txn_made(struct mx_txn_table *t, mx_nid device, mx_str txn_id)
{
	pthread_mutex_lock(&t->lock);
	struct txn *x = *find(t, device, txn_id);
	mx_nid nid = x != NULL ? x->nid : 0;

	pthread_mutex_unlock(&t->lock);
	return nid;
}
