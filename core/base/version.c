#include "config.h"

#include <myelin/core.h>

const char *
mx_version(void)
{
	return PACKAGE_VERSION;
}
