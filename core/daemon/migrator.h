/* The thread of a server that goes on with migrations behind the start, and says that this process
 * is there. */
#ifndef CORE_DAEMON_MIGRATOR_H
#define CORE_DAEMON_MIGRATOR_H

#include "core/runtime/core.h"

struct mx_migrator;

/* over(arg) is called on the thread when this process must end, because the tables have become newer
 * than it knows. */
mx_error *mx_migrator_start(struct mx_core *core, void (*over)(void *arg), void *arg,
			    struct mx_migrator **out) MX_MUST_USE;
/* Other modules are loaded now. NULL does nothing. */
void mx_migrator_poke(struct mx_migrator *m);
/* A new process is about to come beside this one, which has told nobody that it is there while it
 * could be alone; or it has not come. NULL does nothing. */
mx_error *mx_migrator_company(struct mx_migrator *m, bool comes) MX_MUST_USE;
void mx_migrator_stop(struct mx_migrator **m);

#endif
