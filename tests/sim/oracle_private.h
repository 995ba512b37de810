#ifndef TESTS_SIM_ORACLE_PRIVATE_H
#define TESTS_SIM_ORACLE_PRIVATE_H

#include "tests/sim/oracle.h"

#include <math.h>

struct oracle_event {
	char *id;
	json_t *json;
	const json_t *content;
	const char *type, *sender, *state_key;
	int64_t ts, depth;
	int key;
	int *prev, *auth; /* ORACLE_NONE: not there when last looked for */
	int prev_n, auth_n;
	bool redacted; /* its content hash was wrong */
	bool linked;   /* all of them are there */
	bool vouched;  /* signed by the server of who vouches for a restricted join, if any */
	bool judging, chained;
	enum oracle_verdict verdict;
	bool before_known, after_known;
	struct oracle_state before, after;
	struct oracle_set chain; /* its auth chain */
};

struct oracle {
	int version;
	oracle_key_fn *key;
	void *arg;
	struct oracle_event *v;
	int n;
	struct {
		char *type, *name;
	} * keys;
	int keys_n;
	int create;
};

/* The state to judge in: a map and, where that lacks a key, another event's auth events. */
struct oracle_lookup {
	const struct oracle_state *state;
	int fallback; /* whose auth_events; ORACLE_NONE: nobody's */
};

int oracle_look(struct oracle *o, const struct oracle_lookup *l, const char *type, const char *key);
bool oracle_rules(struct oracle *o, int e, const struct oracle_lookup *l);
/* No auth event twice, and none that the selection does not name: whatever becomes of them. */
bool oracle_names_well(struct oracle *o, int e);
oracle_level oracle_user_level(struct oracle *o, int levels, const char *user);
bool oracle_rule_level(struct oracle *o, int levels, const char *name, oracle_level *out);
bool oracle_link(struct oracle *o, int e);
const struct oracle_set *oracle_chain(struct oracle *o, int e);
bool oracle_is_type(const struct oracle *o, int e, const char *type, const char *key);
const char *oracle_domain(const char *id);

static inline bool
oracle_has(const struct oracle_set *s, int e)
{
	return (s->w[e / 64] >> (e % 64) & 1) != 0;
}

static inline void
oracle_set_add(struct oracle_set *s, int e)
{
	s->w[e / 64] |= UINT64_C(1) << (e % 64);
}

static inline void
oracle_set_union(struct oracle_set *s, const struct oracle_set *more)
{
	for (int i = 0; i < ORACLE_WORDS; i++)
		s->w[i] |= more->w[i];
}

#endif
