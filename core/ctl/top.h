/* myelinctl top. */
#ifndef CORE_CTL_TOP_H
#define CORE_CTL_TOP_H

#include "core/ctl/ctl.h"

mx_error *mx_ctl_top(struct mx_ctl *ctl, const char *const *args, size_t n,
		     int *status) MX_MUST_USE;

#endif
