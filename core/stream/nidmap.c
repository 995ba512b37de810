#include "config.h"

#include "core/stream/nidmap.h"

#include <stdlib.h>

static size_t
home(const struct mx_nidmap *m, mx_nid key)
{
	uint64_t h = (uint64_t)key * UINT64_C(0x9e3779b97f4a7c15);

	return (size_t)(h >> 32) & (m->room - 1);
}

/* The cell that holds the key, or the free one where it would go. */
static size_t
find(const struct mx_nidmap *m, mx_nid key)
{
	size_t i = home(m, key);

	while (m->cells[i].key != 0 && m->cells[i].key != key)
		i = (i + 1) & (m->room - 1);
	return i;
}

static void
resize(struct mx_nidmap *m, size_t room)
{
	struct mx_nidmap next = { .cells = mx_realloc(NULL, room, sizeof(*next.cells)),
				  .n = m->n,
				  .room = room };

	memset(next.cells, 0, room * sizeof(*next.cells));
	for (size_t i = 0; i < m->room; i++)
		if (m->cells[i].key != 0)
			next.cells[find(&next, m->cells[i].key)] = m->cells[i];
	free(m->cells);
	*m = next;
}

void *
mx_nidmap_get(const struct mx_nidmap *m, mx_nid key)
{
	if (m->n == 0)
		return NULL;
	struct mx_nidmap_cell *c = &m->cells[find(m, key)];

	return c->key == key ? c->value : NULL;
}

void
mx_nidmap_put(struct mx_nidmap *m, mx_nid key, void *value)
{
	if (4 * (m->n + 1) > 3 * m->room)
		resize(m, m->room == 0 ? 16 : 2 * m->room);
	struct mx_nidmap_cell *c = &m->cells[find(m, key)];

	if (c->key == 0)
		m->n++;
	*c = (struct mx_nidmap_cell){ .key = key, .value = value };
}

void *
mx_nidmap_del(struct mx_nidmap *m, mx_nid key)
{
	if (m->n == 0)
		return NULL;
	size_t i = find(m, key), mask = m->room - 1;
	void *value = m->cells[i].value;

	if (m->cells[i].key != key)
		return NULL;
	/* Close the gap: move back every later cell of the run that may stand here. */
	for (size_t j = (i + 1) & mask; m->cells[j].key != 0; j = (j + 1) & mask) {
		size_t want = home(m, m->cells[j].key);

		if (((j - want) & mask) >= ((j - i) & mask)) {
			m->cells[i] = m->cells[j];
			i = j;
		}
	}
	m->cells[i] = (struct mx_nidmap_cell){ 0 };
	m->n--;
	if (m->room > 64 && 8 * m->n < m->room)
		resize(m, m->room / 2);
	return value;
}

void
mx_nidmap_clear(struct mx_nidmap *m)
{
	free(m->cells);
	*m = (struct mx_nidmap){ 0 };
}
