/* Random graphs of events, put to the oracle and to the core's rules and its state resolution: both
 * must say the same. No engine, no database, no signatures. */
#ifndef TESTS_SIM_YARD_H
#define TESTS_SIM_YARD_H

#include "tests/sim/dice.h"

struct yard_count {
	uint64_t events, allowed, resolved, conflicts;
};

/* A room of up to `events` events in a version. False: they differ, and why (for people) says
 * where. */
bool yard_play(struct dice *d, int version, int events, struct yard_count *count, char why[1024]);
bool yard_knows(int version); /* the core has this room version */

#endif
