/* The sections of myelin.conf that belong to the core itself: all of them, for whoever reads or
 * prints a configuration. */
#ifndef CORE_DAEMON_SECTIONS_H
#define CORE_DAEMON_SECTIONS_H

#include <myelin/module.h>

struct mx_core_section {
	const char *name, *summary;
	const struct mx_option *rows;
	const size_t *n;
	size_t size;
};
enum { MX_CORE_SECTIONS = 9 };
/* The nth, NULL at the end. */
const struct mx_core_section *mx_core_section(size_t nth);

#endif
