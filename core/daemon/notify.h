/* Telling the service manager how the server is: sd_notify(3) without its library. */
#ifndef CORE_DAEMON_NOTIFY_H
#define CORE_DAEMON_NOTIFY_H

#include <myelin/base.h>

/* Sends "READY=1" and the like; does nothing when nobody listens. Before other threads run, or from
 * the main thread. */
void mx_notify(const char *state);
/* How often the watchdog wants to hear from us, in ms; 0: never. */
mx_msec mx_notify_watchdog(void);

#endif
