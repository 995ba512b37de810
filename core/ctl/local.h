/* A server without a network, in this process. */
#ifndef CORE_CTL_LOCAL_H
#define CORE_CTL_LOCAL_H

#include <myelin/core.h>

#include "core/ctl/ctl.h"
#include "core/runtime/control.h"

/* Opens what the configuration says, the modules and the database included, runs one command and
 * closes it all again. */
mx_error *mx_ctl_local(struct mx_ctl *ctl, const mx_str *words, size_t n,
		       struct mx_ctl_answer *out) MX_MUST_USE;

/* Opens the configuration and the database alone, as it is, whether a server runs or not. */
mx_error *mx_ctl_local_database(struct mx_ctl *ctl,
				mx_error *(*fn)(struct mx_core *core, void *arg),
				void *arg) MX_MUST_USE;

/* Commands that only make sense without a server (db_commands.c). */
extern const struct mx_control_row mx_ctl_local_rows[];
extern const size_t mx_ctl_local_row_count;

#endif
