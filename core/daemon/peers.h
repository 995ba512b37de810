/* What the processes of one server say of themselves to each other: who does not fit is refused at
 * its start, by those who are there. */
#ifndef CORE_DAEMON_PEERS_H
#define CORE_DAEMON_PEERS_H

#include "core/runtime/core.h"

/* Server name, signing key, time and modules of this process, onto b. */
void mx_peer_facts(struct mx_core *core, struct mx_buf *b);
/* Whether a process that says this of itself may come in; MX_E_CONFIG says what does not fit. */
mx_error *mx_peer_meets(void *core, mx_str facts) MX_MUST_USE;

#endif
