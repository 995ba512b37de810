/* Deadlines of many connections for the price of a few list operations: a timer wheel of eight
 * levels with 64 slots each. The unit is 4 ms; a deadline is never early and at most one unit
 * late. Not thread-safe. */
#ifndef CORE_HTTP_WHEEL_H
#define CORE_HTTP_WHEEL_H

#include <myelin/base.h>

enum { MX_WHEEL_LEVELS = 8, MX_WHEEL_SLOTS = 64, MX_WHEEL_UNIT_US = 4000 };

struct mx_wheel_entry {			/* zeroed: not in the wheel */
	struct mx_wheel_entry *next, **link;
	uint64_t tick;
};

struct mx_wheel {
	uint64_t now;			/* everything up to this tick has been taken out */
	uint64_t occupied[MX_WHEEL_LEVELS];
	struct mx_wheel_entry *due;
	struct mx_wheel_entry *slots[MX_WHEEL_LEVELS][MX_WHEEL_SLOTS];
};

void mx_wheel_init(struct mx_wheel *w, int64_t now_us);
/* Puts e in, or moves it. */
void mx_wheel_set(struct mx_wheel *w, struct mx_wheel_entry *e, int64_t at_us);
void mx_wheel_remove(struct mx_wheel *w, struct mx_wheel_entry *e);
static inline bool
mx_wheel_has(const struct mx_wheel_entry *e)
{
	return e->link != NULL;
}
/* Advances to now. What is due can then be taken out, one by one; until then it may still be
 * moved or removed. */
void mx_wheel_advance(struct mx_wheel *w, int64_t now_us);
struct mx_wheel_entry *mx_wheel_pop(struct mx_wheel *w);
/* When to look again, in microseconds; INT64_MAX when it is empty. After mx_wheel_pop has given
 * all. */
int64_t mx_wheel_next(const struct mx_wheel *w);

#endif
