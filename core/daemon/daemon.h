/* myelind: its command line, its signals, and how it ends. */
#ifndef CORE_DAEMON_DAEMON_H
#define CORE_DAEMON_DAEMON_H

#include <myelin/base.h>

/* The whole program. Exit status: 0 stopped, 1 failed, 2 wrong usage, 78 a mistake in the
 * configuration or a module. */
MX_API int mx_daemon_main(int argc, char **argv);

#endif
