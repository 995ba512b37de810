#include "config.h"

#include "core/http/wheel.h"

/* An entry stands at the level of the first of its tick's base-64 digits that differs from now's,
 * in the slot of that digit. So entries of a lower level are always due before those of a higher
 * one, and the next slot to look at is the lowest bit of the lowest level that has any. */

enum { BITS = 6 };
/* Millennia away, and within the digits of the wheel. */
#define LAST_TICK ((UINT64_C(1) << (MX_WHEEL_LEVELS * BITS)) - 1)

static unsigned
digit(uint64_t tick, unsigned level)
{
	return (unsigned)(tick >> (level * BITS)) & (MX_WHEEL_SLOTS - 1);
}

void
mx_wheel_init(struct mx_wheel *w, int64_t now_us)
{
	*w = (struct mx_wheel){ .now = (uint64_t)now_us / MX_WHEEL_UNIT_US };
}

static void
push(struct mx_wheel_entry **where, struct mx_wheel_entry *e)
{
	e->next = *where;
	e->link = where;
	if (e->next != NULL)
		e->next->link = &e->next;
	*where = e;
}

static void
insert(struct mx_wheel *w, struct mx_wheel_entry *e)
{
	unsigned level = (unsigned)(63 - __builtin_clzll(e->tick ^ w->now)) / BITS;
	unsigned slot = digit(e->tick, level);

	push(&w->slots[level][slot], e);
	w->occupied[level] |= UINT64_C(1) << slot;
}

void
mx_wheel_set(struct mx_wheel *w, struct mx_wheel_entry *e, int64_t at_us)
{
	if (e->link != NULL)
		mx_wheel_remove(w, e);
	if (at_us < 0)
		at_us = 0;
	e->tick = ((uint64_t)at_us + MX_WHEEL_UNIT_US - 1) / MX_WHEEL_UNIT_US;
	if (e->tick > LAST_TICK)
		e->tick = LAST_TICK;
	if (e->tick <= w->now)
		e->tick = w->now + 1;
	insert(w, e);
}

void
mx_wheel_remove(struct mx_wheel *w, struct mx_wheel_entry *e)
{
	struct mx_wheel_entry **first = &w->slots[0][0];
	struct mx_wheel_entry **end = first + MX_WHEEL_LEVELS * MX_WHEEL_SLOTS;

	if (e->link == NULL)
		return;
	*e->link = e->next;
	if (e->next != NULL) {
		e->next->link = e->link;
	} else if (e->link >= first && e->link < end) {	/* it was the only one of its slot */
		size_t at = (size_t)(e->link - first);

		w->occupied[at / MX_WHEEL_SLOTS] &= ~(UINT64_C(1) << (at % MX_WHEEL_SLOTS));
	}
	e->next = NULL;
	e->link = NULL;
}

/* The next slot that has something: its level and the tick at which it begins. */
static bool
next_slot(const struct mx_wheel *w, unsigned *level, uint64_t *tick)
{
	for (unsigned l = 0; l < MX_WHEEL_LEVELS; l++) {
		if (w->occupied[l] != 0) {
			unsigned slot = (unsigned)__builtin_ctzll(w->occupied[l]);
			unsigned shift = l * BITS;
			uint64_t upper = w->now >> (shift + BITS) << (shift + BITS);

			*level = l;
			*tick = upper | (uint64_t)slot << shift;
			return true;
		}
	}
	return false;
}

void
mx_wheel_advance(struct mx_wheel *w, int64_t now_us)
{
	uint64_t to = (uint64_t)now_us / MX_WHEEL_UNIT_US;
	unsigned level;
	uint64_t tick;

	while (next_slot(w, &level, &tick) && tick <= to) {
		unsigned slot = digit(tick, level);
		struct mx_wheel_entry *e = w->slots[level][slot], *next;

		w->slots[level][slot] = NULL;
		w->occupied[level] &= ~(UINT64_C(1) << slot);
		w->now = tick;
		for (; e != NULL; e = next) {
			next = e->next;
			if (e->tick > tick)
				insert(w, e);
			else
				push(&w->due, e);
		}
	}
	if (to > w->now)
		w->now = to;
}

struct mx_wheel_entry *
mx_wheel_pop(struct mx_wheel *w)
{
	struct mx_wheel_entry *e = w->due;

	if (e != NULL)
		mx_wheel_remove(w, e);
	return e;
}

int64_t
mx_wheel_next(const struct mx_wheel *w)
{
	unsigned level;
	uint64_t tick;

	if (!next_slot(w, &level, &tick))
		return INT64_MAX;
	return (int64_t)(tick * MX_WHEEL_UNIT_US);
}
