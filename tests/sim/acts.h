/* What people do in rooms, at random: as much of it forbidden as allowed. */
#ifndef TESTS_SIM_ACTS_H
#define TESTS_SIM_ACTS_H

#include <jansson.h>

#include "tests/sim/dice.h"
#include "tests/sim/oracle.h"

struct act {
	const char *type, *sender;
	char *state_key; /* NULL: a message */
	json_t *content;
	char *redacts; /* of m.room.redaction, else NULL */
};

struct cast { /* who and what there is */
	int version;
	const char *const *users;
	int users_n;
	const json_t *levels;	/* the content of the power levels now, or NULL */
	const char *some_event; /* for a redaction, or NULL */
	const struct oracle_invite *invites; /* by somebody's e-mail address */
	int invites_n;
	bool tame;		/* nothing that a server of ours would not let its user send */
	int serial;		/* makes contents differ */
};

/* sender NULL: anybody. */
void act_random(struct dice *d, const struct cast *c, const char *sender, struct act *out);
void act_clear(struct act *a);

#endif
