/* What the files of state resolution share: the events it has met, as a graph. */
#ifndef CORE_ROOM_RESOLVE_PRIVATE_H
#define CORE_ROOM_RESOLVE_PRIVATE_H

#include "core/room/resolve.h"

struct mx_res_node {
	const struct mx_event *ev;	/* NULL: the server does not have it */
	mx_str id;
	struct mx_res_node **auth;	/* filled by mx_res_expand */
	struct mx_res_node *next;	/* in its hash bucket */
	struct mx_power *power;		/* of a power levels event, once parsed */
	int64_t mainline;		/* of power levels: the place in the mainline that they lead to; 0: none */
	int64_t place;			/* of any other event in the set: that of its power levels */
	int64_t level;			/* of its sender, by its own auth_events */
	uint32_t auth_n;
	uint32_t waiting;		/* Kahn: auth events in the set that are not placed yet */
	uint32_t children_n, children_at;
	bool expanded;
	bool full;			/* in the full conflicted set */
	bool power_set;			/* in X: sorted by power */
	bool in_mainline, placed;	/* mainline is known */
};

struct mx_res_list {
	struct mx_res_node **v;
	size_t n, room;
};

struct mx_res {
	const struct mx_resolve *in;
	struct mx_arena *a;
	struct mx_res_node **buckets;
	size_t buckets_n, nodes_n, max;
	struct mx_res_list full;
	struct mx_power *no_levels;	/* what holds while there is no power levels event */
	struct mx_res_entry **state;	/* hash of (type, key) to node */
	size_t state_size, state_n;
};

/* One entry of the state that is being resolved. */
struct mx_res_entry {
	mx_str type, key;
	struct mx_res_node *node;
	struct mx_res_entry *next;
};

void mx_res_add(struct mx_res *r, struct mx_res_list *l, struct mx_res_node *node);
/* The node of an id, with its event loaded. */
mx_error *mx_res_node(struct mx_res *r, mx_str id, struct mx_res_node **out) MX_MUST_USE;
/* Loads the events that node names in auth_events. */
mx_error *mx_res_expand(struct mx_res *r, struct mx_res_node *node) MX_MUST_USE;
/* The first auth event of this type with an empty state key; NULL. */
struct mx_res_node *mx_res_auth_of(const struct mx_res_node *node, mx_str type);
/* The levels by a node (a power levels event, or NULL for none). */
const struct mx_power *mx_res_levels(struct mx_res *r, struct mx_res_node *node);

/* resolve_order.c: the power events and what they rest on, in reverse topological power order. */
mx_error *mx_res_power_order(struct mx_res *r, struct mx_res_list *out) MX_MUST_USE;
/* The rest of the full set, in mainline order of this power levels event (NULL: none). */
mx_error *mx_res_mainline_order(struct mx_res *r, struct mx_res_node *levels,
				struct mx_res_list *out) MX_MUST_USE;
/* resolve_check.c: whether the rules allow an event in the state that find knows; *out NULL: there
 * is nothing at that key. */
typedef mx_error *mx_res_find_fn(void *arg, mx_str type, mx_str key, struct mx_res_node **out);
mx_error *mx_res_judge(struct mx_res *r, struct mx_res_node *node, mx_res_find_fn *find, void *arg,
		       bool *allowed) MX_MUST_USE;
/* The iterative auth checks. */
mx_error *mx_res_check(struct mx_res *r, const struct mx_res_list *events) MX_MUST_USE;
/* The entry that the checks put at a key; NULL for none. */
struct mx_res_entry *mx_res_find(struct mx_res *r, mx_str type, mx_str key);
/* resolve_v1.c: state resolution 1, whole. */
mx_error *mx_res_first(struct mx_res *r, struct mx_resolved **out, size_t *n) MX_MUST_USE;
/* The event at a key where all states agree, if the server has it; NULL for none. */
mx_error *mx_res_agreed(struct mx_res *r, mx_str type, mx_str key,
			struct mx_res_node **out) MX_MUST_USE;
/* The event at a key in the state so far; NULL for none. */
mx_error *mx_res_get(struct mx_res *r, mx_str type, mx_str key,
		     struct mx_res_node **out) MX_MUST_USE;

#endif
