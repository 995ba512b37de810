/* Who runs what only one process of a server may run, where any number share a database: a lease, a
 * row of the database that says who has it and until when, by the database's clock alone. It is
 * short, and renewed while its holder lives, so that what a dead process had in hand goes on
 * elsewhere within seconds. A process that was paused beyond its lease does no harm when it wakes:
 * a lease that changes hands has a new epoch, and what is written under a lease (mx_lease_enter) is
 * written only if the epoch is still the same, within the very transaction of the write.
 *
 * Nothing of this costs anything while no lease is held. */
#ifndef CORE_RUNTIME_LEASE_H
#define CORE_RUNTIME_LEASE_H

#include <myelin/base.h>

#include "core/sql/db.h"

struct mx_leases;
struct mx_lease;

enum { MX_LEASE_MS = 4000 };	/* the longest that nobody does what a dead process had in hand */

extern const struct mx_migration_set mx_lease_tables;

/* The leases of this process. lease: how long one lasts that is not renewed, MX_LEASE_MS but for
 * tests. */
struct mx_leases *mx_leases_new(struct mx_db *db, mx_msec lease);
/* All were given back, and the database is still open. */
void mx_leases_free(struct mx_leases **ls);

/* *out: the lease, or NULL when it is another's or rests; then *wait says when to ask again. longest:
 * the longest rest that anyone gives this name: an end farther away than that was written when the
 * database had another idea of the time, and does not count. Any thread. */
mx_error *mx_lease_take(struct mx_leases *ls, const char *name, mx_msec longest,
			struct mx_lease **out, mx_msec *wait) MX_MUST_USE;
/* Gives it back; for `rest` nobody may take it. NULL is accepted. Not between enter and leave. */
mx_error *mx_lease_give(struct mx_leases *ls, struct mx_lease **lease, mx_msec rest) MX_MUST_USE;
/* What this thread writes in between is done only while the lease is ours: MX_E_UNAVAILABLE when it
 * is not any more. */
void mx_lease_enter(const struct mx_lease *lease);
void mx_lease_leave(void);
/* Calls fn for each name whose holder is at work, or has died at it. */
mx_error *mx_leases_held(struct mx_leases *ls, void (*fn)(void *arg, mx_str name), void *arg) MX_MUST_USE;

#endif
