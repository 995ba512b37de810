/* What accounts/ asks of the server around it, as the runtime answers. */
#include "config.h"

#include "core/account/internal.h"
#include "core/runtime/hooks.h"

#include <myelin/core.h>

static mx_error *
core_providers(void *arg, const char *kind,
	       mx_error *(*fn)(void *fn_arg, const char *name, const void *ops,
			       struct mx_module_self *self),
	       void *fn_arg)
{
	return mx_core_providers(arg, kind, fn, fn_arg);
}

static void
core_user_created(void *arg, mx_nid user, mx_str user_id)
{
	mx_run_user_created(arg, user, user_id);
}

static void
core_user_deactivated(void *arg, mx_nid user, mx_str user_id)
{
	mx_run_user_deactivated(arg, user, user_id);
}

static void
core_device_gone(void *arg, mx_nid user, mx_nid device, mx_str device_id)
{
	mx_run_device_gone(arg, user, device, device_id);
}

static void
core_defer(void *arg, void (*fn)(struct mx_core *core, void *fn_arg), void *fn_arg)
{
	mx_core_defer(arg, fn, fn_arg);
}

void
accounts_core_ports(struct mx_core *core, struct mx_account_ports *out)
{
	*out = (struct mx_account_ports){
		.arg = core,
		.providers = core_providers,
		.user_created = core_user_created,
		.user_deactivated = core_user_deactivated,
		.device_gone = core_device_gone,
		.defer = core_defer,
	};
}
