/* The running server: everything that setup.h opens, modules started, HTTP, jobs and the control
 * socket. */
#ifndef CORE_DAEMON_SERVER_H
#define CORE_DAEMON_SERVER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "core/daemon/handover.h"
#include "core/daemon/setup.h"
#include "core/runtime/control.h"

struct mx_call;
struct mx_migrator;

struct mx_server {
	struct mx_setup *setup;
	struct mx_core *core;
	int wake;			/* eventfd: something for the main thread to look at */
	pthread_t main;
	pthread_mutex_t lock;
	struct mx_call *calls;		/* what other threads want the main thread to run; guarded by lock */
	bool closed;			/* no more calls are taken; guarded by lock */
	bool quit;			/* main thread: leave the loop */
	atomic_bool anew;		/* the process is to start anew at once: its memory is of no use */
	_Atomic size_t leaving;		/* modules that wait for their last pin */
	mx_msec started;
	struct mx_handover handover;
	struct mx_migrator *migrator;
};

/* Opens and starts everything. On failure too *out is there, and is freed by mx_server_close. The
 * caller is the main thread. check: only reads and checks the configuration. */
mx_error *mx_server_open(const char *file, const char *const *set, size_t set_count, bool check,
			 struct mx_server **out) MX_MUST_USE;
/* Runs what other threads have asked for, and finishes modules that have left. */
void mx_server_turn(struct mx_server *s);
/* Takes up the configuration anew: what may change changes, the rest is named in the log.
 * MX_E_CONFIG: nothing changed. */
mx_error *mx_server_reload(struct mx_server *s) MX_MUST_USE;
/* Drains and stops; frees. */
void mx_server_close(struct mx_server **s);

/* The commands of the core (commands.c). */
extern const struct mx_control_row mx_server_commands[];
extern const size_t mx_server_command_count;

/* Everything that is counted, in the text format of Prometheus. */
void mx_server_metrics(struct mx_core *core, struct mx_buf *b);

#endif
