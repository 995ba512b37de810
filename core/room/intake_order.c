/* The events of an intake by their ids, and in which order they are gone through. */
#include "config.h"

#include "core/room/intake.h"

#include <stdlib.h>

/* ---- all that are on their way ---- */

static uint32_t *
slot(const struct mx_intake *in, mx_str id)
{
	for (size_t i = (size_t)mx_hash(id.p, id.n) & (in->slots_n - 1);;
	     i = (i + 1) & (in->slots_n - 1))
		if (in->slots[i] == 0 ||
		    mx_str_eq(mx_event_id(in->v[in->slots[i] - 1]->v->event), id))
			return &in->slots[i];
}

struct mx_arriving *
mx_intake_find(const struct mx_intake *in, mx_str id)
{
	uint32_t s = in->slots_n > 0 ? *slot(in, id) : 0;

	return s != 0 ? in->v[s - 1] : NULL;
}

static void
grow(struct mx_intake *in)
{
	in->slots_n = in->slots_n == 0 ? 64 : 2 * in->slots_n;
	free(in->slots);
	in->slots = mx_alloc(in->slots_n * sizeof(*in->slots));
	for (size_t i = 0; i < in->n; i++)
		*slot(in, mx_event_id(in->v[i]->v->event)) = (uint32_t)i + 1;
}

void
mx_intake_add(struct mx_intake *in, struct mx_arriving *a)
{
	if (2 * (in->n + 1) > in->slots_n)
		grow(in);
	if (in->n == in->n_room) {
		in->n_room = in->n_room == 0 ? 32 : 2 * in->n_room;
		in->v = mx_realloc(in->v, in->n_room, sizeof(struct mx_arriving *));
	}
	*slot(in, mx_event_id(a->v->event)) = (uint32_t)in->n + 1;
	in->v[in->n++] = a;
}

/* ---- in which order ---- */

static void
rest(struct mx_intake *in, struct mx_arriving *on, struct mx_arriving *who)
{
	if (on->rests_n == on->rests_room) {
		size_t room = on->rests_room == 0 ? 4 : 2 * on->rests_room;
		struct mx_arriving **more = mx_arena_alloc(in->arena, room * sizeof(*more));

		if (on->rests_n > 0)
			memcpy(more, on->rests, on->rests_n * sizeof(*more));
		on->rests = more;
		on->rests_room = room;
	}
	on->rests[on->rests_n++] = who;
	who->waits++;
}

static void
rest_on_all(struct mx_intake *in, struct mx_arriving *a, struct mx_event_ids it)
{
	mx_str id;

	while (mx_event_ids_next(&it, &id)) {
		struct mx_arriving *on = mx_intake_find(in, id);

		if (on != NULL && on != a && !on->done && on->listed)
			rest(in, on, a);
	}
}

struct mx_arriving **
mx_intake_order(struct mx_intake *in, struct mx_arriving *const *list, size_t n)
{
	struct mx_arriving **order = mx_arena_alloc(in->arena, (n + 1) * sizeof(*order));
	size_t ordered = 0;

	for (size_t i = 0; i < n; i++) {
		list[i]->waits = list[i]->rests_n = 0;
		list[i]->ordered = false;
		list[i]->listed = true;
	}
	for (size_t i = 0; i < n; i++) {
		rest_on_all(in, list[i], mx_event_prev(list[i]->v->event));
		rest_on_all(in, list[i], mx_event_auth(list[i]->v->event));
	}
	for (size_t i = 0; i < n; i++)
		if (list[i]->waits == 0)
			order[ordered++] = list[i];
	for (size_t at = 0; at < ordered; at++) {
		order[at]->ordered = true;
		for (size_t k = 0; k < order[at]->rests_n; k++)
			if (--order[at]->rests[k]->waits == 0)
				order[ordered++] = order[at]->rests[k];
	}
	/* Who rests on itself (ids are chosen in old versions), or on what waits. */
	for (size_t i = 0; i < n; i++)
		if (!list[i]->ordered)
			order[ordered++] = list[i];
	return order;
}
