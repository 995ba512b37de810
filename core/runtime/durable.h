/* The durable hook event_after: each module that fills it is told of every event after its own
 * cursor, in stream order, from the database. The cursor (a row a module) moves once the handlers
 * have returned: a crash in between tells an event again, and none is ever left out. A module that
 * fails is tried again, with pauses that double.
 *
 * Nothing of this costs anything, and no thread is there, while no module fills the hook. */
#ifndef CORE_RUNTIME_DURABLE_H
#define CORE_RUNTIME_DURABLE_H

#include "core/runtime/core.h"

struct mx_durable;

extern const struct mx_migration_set mx_durable_tables;
/* Reads up to limit accepted events of all rooms with positions after `after`, in the order of the
 * stream: the room engine's mx_events_after. */
typedef mx_error *mx_durable_read_fn(struct mx_rooms *rs, struct mx_conn *c, mx_pos after,
				     size_t limit, struct mx_events *out);
/* core->durable is set; its database, stream and rooms are open. Where processes share the database
 * (core->shared), mx_durable_foreign is to follow the stream, with core as its argument, until
 * before mx_durable_free. */
void mx_durable_new(struct mx_core *core, mx_durable_read_fn *read);
mx_error *mx_durable_foreign(void *core, struct mx_conn *c, mx_pos since, mx_pos upto);
/* Before a module starts: gives it a cursor at the head of the stream when it has none. */
mx_error *mx_durable_adopt(struct mx_core *core, const struct mx_module_self *self) MX_MUST_USE;
/* From now on handlers run. Main thread. */
mx_error *mx_durable_start(struct mx_core *core) MX_MUST_USE;
/* The registry has changed. Main thread. */
mx_error *mx_durable_changed(struct mx_core *core) MX_MUST_USE;
/* There may be new events. Any thread, never blocks for long. */
void mx_durable_poke(struct mx_core *core);
/* Waits for the handlers that run; then nothing is told any more. */
void mx_durable_stop(struct mx_core *core);
/* Frees. The database is closed: nobody can poke any more. */
void mx_durable_free(struct mx_core *core);

#endif
