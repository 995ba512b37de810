#include "config.h"

#include <stdlib.h>

#include "core/http/internal.h"

/* As many entries as there are connections at most, and none for who has none. */

enum { BUCKETS = 4096 };

struct guest {
	struct guest *next;
	uint64_t key;
	int64_t n;
};

struct mx_guests {
	pthread_mutex_t lock;
	struct guest *buckets[BUCKETS];
};

struct mx_guests *
mx_guests_new(void)
{
	struct mx_guests *g = mx_alloc(sizeof(*g));

	pthread_mutex_init(&g->lock, NULL);
	return g;
}

void
mx_guests_free(struct mx_guests **guests)
{
	struct mx_guests *g = *guests;

	*guests = NULL;
	if (g == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		while (g->buckets[i] != NULL) {
			struct guest *next = g->buckets[i]->next;

			free(g->buckets[i]);
			g->buckets[i] = next;
		}
	}
	pthread_mutex_destroy(&g->lock);
	free(g);
}

static struct guest **
find(struct mx_guests *g, uint64_t key)
{
	struct guest **at = &g->buckets[key % BUCKETS];

	while (*at != NULL && (*at)->key != key)
		at = &(*at)->next;
	return at;
}

bool
mx_guests_enter(struct mx_guests *g, uint64_t key, int64_t most)
{
	struct guest **at;
	bool may;

	pthread_mutex_lock(&g->lock);
	at = find(g, key);
	if (*at == NULL) {
		*at = mx_alloc(sizeof(**at));
		(*at)->key = key;
	}
	may = (*at)->n < most;
	if (may)
		(*at)->n++;
	pthread_mutex_unlock(&g->lock);
	return may;
}

void
mx_guests_leave(struct mx_guests *g, uint64_t key)
{
	struct guest **at;

	pthread_mutex_lock(&g->lock);
	at = find(g, key);
	if (*at != NULL && --(*at)->n <= 0) {
		struct guest *gone = *at;

		*at = gone->next;
		free(gone);
	}
	pthread_mutex_unlock(&g->lock);
}
