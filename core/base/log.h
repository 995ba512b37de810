/* Where the lines of the log go instead of standard error: for tests. */
#ifndef CORE_BASE_LOG_H
#define CORE_BASE_LOG_H

#include <myelin/log.h>

/* Called on the thread that logs, possibly on several at once; line has no newline. */
typedef void mx_log_sink_fn(void *arg, enum mx_level level, const char *tag, mx_str line);

/* fn NULL: standard error again. Set it while no other thread logs. */
void mx_log_sink(mx_log_sink_fn *fn, void *arg);

#endif
