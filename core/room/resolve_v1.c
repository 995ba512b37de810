/* State resolution 1, for the rooms of the first version: each key by itself, the keys that decide
 * about others first. A key that only some of the states have is no conflict: what they have stays.
 * Where the specification leaves something open, this does what the servers do that hold such
 * rooms: contests of one round do not see each other's outcome, and where the rules allow none of
 * the events at a key, the one with the least depth stays. Room version 1, "State resolution". */
#include "config.h"

#include <stdlib.h>

#include "core/crypto/sha1.h"
#include "core/room/resolve_private.h"

struct contender {
	struct mx_res_node *node;
	unsigned char sha1[MX_SHA1_SIZE];	/* of its id */
};

/* What competes for one key. */
struct contest {
	mx_str type, key;
	struct contender *v;	/* by depth, and of one depth the greatest hash first */
	size_t n;
	struct mx_res_node *winner;
	bool settled;		/* the winner is part of the state */
};

struct first {
	struct mx_res *r;
	struct contest *v;	/* sorted by (type, key) */
	size_t n;
};

/* One event, judged in the state so far, where its own key has what won there until now. */
struct round {
	const struct first *f;
	const struct contest *c;
};

/* ---- who competes ---- */

static int
by_depth_and_hash(const void *a, const void *b)
{
	const struct contender *x = a, *y = b;

	if (x->node->ev->depth != y->node->ev->depth)
		return x->node->ev->depth < y->node->ev->depth ? -1 : 1;
	return memcmp(y->sha1, x->sha1, MX_SHA1_SIZE);
}

static int
by_key(const void *a, const void *b)
{
	const struct contest *x = a, *y = b;
	int c = mx_str_cmp(x->type, y->type);

	return c != 0 ? c : mx_str_cmp(x->key, y->key);
}

/* An event that is not there, or was rejected, does not compete. */
static mx_error *
add_contender(struct first *f, struct contest *c, mx_str id)
{
	struct mx_res_node *node;

	MX_TRY(mx_res_node(f->r, id, &node));
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].node == node)
			return NULL;
	if (node->ev == NULL || node->ev->rejected)
		return NULL;
	c->v[c->n].node = node;
	if (!mx_sha1(id.p, id.n, c->v[c->n].sha1))
		return mx_error_new(MX_E_UNAVAILABLE,
				    "rooms of version 1 need SHA-1, which OpenSSL does not offer");
	c->n++;
	return NULL;
}

static mx_error *
read_contest(struct first *f, const struct mx_resolve_conflict *in, struct contest *c)
{
	size_t states = f->r->in->states;

	c->type = mx_arena_str(f->r->a, in->type);
	c->key = mx_arena_str(f->r->a, in->key);
	c->v = mx_arena_alloc(f->r->a, states * sizeof(*c->v));
	for (size_t s = 0; s < states; s++)
		if (in->ids[s].p != NULL)
			MX_TRY(add_contender(f, c, in->ids[s]));
	c->settled = c->n <= 1;
	c->winner = c->n == 1 ? c->v[0].node : NULL;
	qsort(c->v, c->n, sizeof(*c->v), by_depth_and_hash);
	return NULL;
}

/* ---- judging ---- */

static mx_error *
find(void *arg, mx_str type, mx_str key, struct mx_res_node **out)
{
	const struct round *round = arg;
	struct contest probe = { .type = type, .key = key };
	const struct contest *c =
		bsearch(&probe, round->f->v, round->f->n, sizeof(probe), by_key);
	struct mx_res *r = round->f->r;

	*out = NULL;
	if (c != NULL) {
		*out = c->settled || c == round->c ? c->winner : NULL;
		return NULL;
	}
	return mx_res_agreed(r, type, key, out);
}

/* The oldest, and then each that the rules allow after the one before it, until one is refused. */
static mx_error *
settle_in_order(const struct first *f, struct contest *c)
{
	struct round round = { f, c };
	bool allowed = true;

	c->winner = c->v[0].node;
	for (size_t i = 1; i < c->n && allowed; i++) {
		MX_TRY(mx_res_judge(f->r, c->v[i].node, find, &round, &allowed));
		if (allowed)
			c->winner = c->v[i].node;
	}
	return NULL;
}

/* The newest that the rules allow. */
static mx_error *
settle_newest(const struct first *f, struct contest *c)
{
	struct round round = { f, c };
	bool allowed = false;
	size_t i = c->n;

	while (i > 0 && !allowed)
		MX_TRY(mx_res_judge(f->r, c->v[--i].node, find, &round, &allowed));
	c->winner = c->v[i].node;
	return NULL;
}

/* ---- the rounds ---- */

enum { LEVELS, RULES, MEMBERS, OTHERS, ROUNDS };

static int
round_of(const struct contest *c)
{
	if (mx_str_eq(c->type, MX_S("m.room.power_levels")) && c->key.n == 0)
		return LEVELS;
	if (mx_str_eq(c->type, MX_S("m.room.join_rules")))
		return RULES;
	return mx_str_eq(c->type, MX_S("m.room.member")) ? MEMBERS : OTHERS;
}

static mx_error *
run_round(const struct first *f, int which)
{
	for (size_t i = 0; i < f->n; i++) {
		struct contest *c = &f->v[i];

		if (c->settled || round_of(c) != which)
			continue;
		MX_TRY(which != OTHERS ? settle_in_order(f, c) : settle_newest(f, c));
	}
	for (size_t i = 0; i < f->n; i++)
		f->v[i].settled = f->v[i].settled || round_of(&f->v[i]) == which;
	return NULL;
}

mx_error *
mx_res_first(struct mx_res *r, struct mx_resolved **out, size_t *n)
{
	struct first f = { .r = r, .n = r->in->conflicts_n };
	struct mx_resolved *v = mx_arena_alloc(r->a, (f.n + 1) * sizeof(*v));

	f.v = mx_arena_alloc(r->a, (f.n + 1) * sizeof(*f.v));
	for (size_t i = 0; i < f.n; i++)
		MX_TRY(read_contest(&f, &r->in->conflicts[i], &f.v[i]));
	qsort(f.v, f.n, sizeof(*f.v), by_key);
	for (int which = LEVELS; which < ROUNDS; which++)
		MX_TRY(run_round(&f, which));
	for (size_t i = 0; i < f.n; i++) {
		v[i] = (struct mx_resolved){ .type = f.v[i].type, .key = f.v[i].key };
		if (f.v[i].winner != NULL)
			v[i].id = mx_arena_str(r->a, f.v[i].winner->id);
	}
	*out = v;
	*n = f.n;
	return NULL;
}
