/* What merges came to: a room whose branches stay apart for a while asks the same again with every
 * event. Kept is what the merged state has at the conflicting keys, not the merged state:
 * of that nobody may have stored the nodes. */
#include "config.h"

#include "core/room/merge.h"

#include <sodium.h>
#include <stdlib.h>

#define MOST_ENTRIES 256	/* of one merge */

struct slot {
	unsigned char states[16];
	struct mx_tree_entry *v;	/* NULL: free */
	size_t n;
};

struct mx_merge_memory {
	pthread_mutex_t lock;
	size_t n;
	struct slot slots[];
};

struct mx_merge_memory *
mx_merge_memory_new(size_t merges)
{
	struct mx_merge_memory *m;

	if (merges == 0)
		return NULL;
	m = mx_alloc(sizeof(*m) + merges * sizeof(m->slots[0]));
	m->n = merges;
	pthread_mutex_init(&m->lock, NULL);
	return m;
}

void
mx_merge_memory_free(struct mx_merge_memory **mp)
{
	struct mx_merge_memory *m = *mp;

	*mp = NULL;
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->n; i++)
		free(m->slots[i].v);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static struct slot *
slot_of(struct mx_merge_memory *m, const struct mx_state_root *roots, size_t n,
	unsigned char states[16])
{
	uint64_t place;

	crypto_generichash(states, 16, (const unsigned char *)roots, n * sizeof(*roots), NULL, 0);
	memcpy(&place, states, sizeof(place));
	return &m->slots[place % m->n];
}

bool
mx_merge_recall(struct mx_merge_memory *m, const struct mx_state_root *roots, size_t n,
		struct mx_arena *a, struct mx_tree_entry **out, size_t *out_n)
{
	unsigned char states[16];
	struct slot *s;
	bool found;

	if (m == NULL)
		return false;
	s = slot_of(m, roots, n, states);
	pthread_mutex_lock(&m->lock);
	found = s->v != NULL && memcmp(s->states, states, sizeof(states)) == 0;
	if (found) {
		*out_n = s->n;
		*out = mx_arena_alloc(a, (s->n + 1) * sizeof(**out));
		memcpy(*out, s->v, s->n * sizeof(**out));
	}
	pthread_mutex_unlock(&m->lock);
	return found;
}

void
mx_merge_remember(struct mx_merge_memory *m, const struct mx_state_root *roots, size_t n,
		  const struct mx_tree_entry *v, size_t v_n)
{
	unsigned char states[16];
	struct mx_tree_entry *copy;
	struct slot *s;

	if (m == NULL || v_n > MOST_ENTRIES)
		return;
	copy = mx_alloc((v_n + 1) * sizeof(*copy));
	memcpy(copy, v, v_n * sizeof(*copy));
	s = slot_of(m, roots, n, states);
	pthread_mutex_lock(&m->lock);
	free(s->v);
	*s = (struct slot){ .v = copy, .n = v_n };
	memcpy(s->states, states, sizeof(states));
	pthread_mutex_unlock(&m->lock);
}
