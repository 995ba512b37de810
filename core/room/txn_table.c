/* Transaction ids that are being sent, and those lately done. What is older is found in the database: the unique index says
 * so when such an id is stored again. */
#include "config.h"

#include "core/room/engine.h"

#include <stdlib.h>

#define BUCKETS 4096u

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
};

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
	uint64_t h = mx_hash(id.p, id.n) ^ (uint64_t)device * UINT64_C(0x9e3779b97f4a7c15);
	struct txn **at = &t->table[(h >> 20) % BUCKETS];

	while (*at != NULL && ((*at)->device != device || !mx_str_eq((mx_str){ (*at)->id, (*at)->n }, id)))
		at = &(*at)->chain;
	return at;
}

bool
mx_txn_claim(struct mx_txn_table *t, mx_nid device, mx_str txn_id, mx_nid *nid)
{
	struct txn *x, **at;

	*nid = 0;
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
