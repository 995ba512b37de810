#include "config.h"

#include "core/ctl/ctl.h"

int
main(int argc, char **argv)
{
	return mx_ctl_main(argc, argv);
}
