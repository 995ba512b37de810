/* Handing over to a new process of the same server: an upgrade without a gap.
 *
 * The old process starts the program anew (the file may be another by now), with its listening
 * sockets and the lock of its configuration. The new one opens the database beside the old one,
 * takes connections from the same sockets, and tells that it is ready. Then the old one takes no
 * more, answers what waits, lets what runs end, and ends. A new process that does not come up
 * changes nothing. */
#ifndef CORE_DAEMON_HANDOVER_H
#define CORE_DAEMON_HANDOVER_H

#include <stdatomic.h>
#include <sys/types.h>

#include "core/http/server.h"

struct mx_server;

enum mx_handover_state {
	MX_HANDOVER_NONE = 0,
	MX_HANDOVER_STARTING = 1,
	MX_HANDOVER_DONE = 2,
	MX_HANDOVER_FAILED = 3,		/* the last one; another may be tried */
};

struct mx_handover {
	_Atomic int state;
	pid_t pid;			/* of the new process */
	int ready;			/* a pipe that it writes to; -1: none */
	int64_t deadline;
};

/* ---- in the old process, on the main thread ---- */

/* Starts the new process. MX_E_UNAVAILABLE: one is being started; MX_E_UNKNOWN: it cannot be. */
mx_error *mx_handover_start(struct mx_server *s) MX_MUST_USE;
/* When something can be read from `ready`, or the deadline is over. True: the new one serves. */
bool mx_handover_look(struct mx_server *s);
/* This process is to end: a new one that does not serve yet does, too. */
void mx_handover_cancel(struct mx_server *s);

/* Replaces this process, which keeps its id, by the program started anew: connections end, none is
 * refused. Returns only when it cannot be. */
mx_error *mx_handover_to_ourselves(struct mx_server *s) MX_MUST_USE;

/* ---- in the new process, on the main thread ---- */

/* Takes what the old one has left in the environment, before anything else looks there. */
void mx_handover_receive(void);
bool mx_handover_received(void);
/* The listening sockets, whose words are as in [http] listen; handed on to whoever asks first. */
const struct mx_http_socket *mx_handover_sockets(size_t *n);
/* The lock, when it is the one of this file; -1: it is not. The caller's from then on. */
int mx_handover_lock(const char *path);
void mx_handover_ready(void);

#endif
