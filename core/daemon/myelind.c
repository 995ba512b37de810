#include "config.h"

#include "core/daemon/daemon.h"

int
main(int argc, char **argv)
{
	return mx_daemon_main(argc, argv);
}
