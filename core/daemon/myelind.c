#include "config.h"

#include "core/daemon/daemon.h"
#ifdef MX_STATIC_MODULES
#include <ltdl.h>

#include "core/runtime/loader.h"

extern const lt_dlsymlist lt_preloaded_symbols[];	/* made by libtool when it links this program */
#endif

int
main(int argc, char **argv)
{
#ifdef MX_STATIC_MODULES
	mx_modules_linked(lt_preloaded_symbols);
#endif
	return mx_daemon_main(argc, argv);
}
