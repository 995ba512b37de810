#include "config.h"

#include "core/stream/impl.h"

#include <stdlib.h>

void
mx_ring_open(struct mx_ring *r, size_t room, mx_pos floor)
{
	*r = (struct mx_ring){ .v = mx_realloc(NULL, room, sizeof(*r->v)),
			       .room = room,
			       .floor = floor };
}

static uint64_t
oldest(const struct mx_ring *r)
{
	return r->next > r->room ? r->next - r->room : 0;
}

void
mx_ring_forget(struct mx_ring *r, mx_pos floor)
{
	for (uint64_t i = oldest(r); i < r->next; i++)
		mx_event_unref(&r->v[i % r->room].event);
	r->next = 0;
	r->floor = floor;
}

void
mx_ring_close(struct mx_ring *r)
{
	mx_ring_forget(r, 0);
	free(r->v);
}

void
mx_ring_add(struct mx_ring *r, const struct mx_item *item)
{
	struct mx_item *cell = &r->v[r->next % r->room];

	if (r->next >= r->room) {
		r->floor = cell->pos;
		mx_event_unref(&cell->event);
	}
	*cell = *item;
	r->next++;
}

uint64_t
mx_ring_find(const struct mx_ring *r, mx_pos pos)
{
	uint64_t low = oldest(r), high = r->next;

	/* Mostly the reader is close behind the head. */
	for (int near = 0; near < 8 && high > low; near++) {
		if (mx_ring_at(r, high - 1)->pos <= pos)
			return high;
		high--;
	}
	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		if (mx_ring_at(r, mid)->pos <= pos)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}
