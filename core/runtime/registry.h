/* What the loaded modules have registered, as one immutable generation: built anew at each load,
 * unload and reload, and swapped by pointer. Who reads it enters and leaves; who replaced it waits
 * until the old one has no reader, and frees it. */
#ifndef CORE_RUNTIME_REGISTRY_H
#define CORE_RUNTIME_REGISTRY_H

#include "core/http/router.h"
#include "core/runtime/core.h"
#include "core/runtime/image.h"
#include "core/runtime/module.h"

struct mx_provider {
	const struct mx_provider_row *row;
	struct mx_module_self *self;
};

struct mx_hook_list {
	struct mx_hook_entry **v;	/* by priority, then by module's name */
	size_t n;
};

struct mx_generation {
	unsigned number;
	struct mx_module_self **modules;	/* each held */
	size_t module_count;
	struct mx_router *router;
	struct mx_provider *providers;		/* by kind, then name */
	size_t provider_count;
	struct mx_hook_list hooks[MX_HOOK_COUNT];
};

/* Two modules that claim one route, provider, service or command are refused here, both by name.
 * MX_E_CONFIG. */
mx_error *mx_generation_new(struct mx_module_self *const *modules, size_t n,
			    struct mx_generation **out) MX_MUST_USE;
void mx_generation_free(struct mx_generation **g);

/* Makes g current, gives its routes to the HTTP server, waits for the readers of the old one and
 * frees that. One thread at a time, and never from inside a reader. g NULL: nothing is registered
 * any more. */
void mx_registry_publish(struct mx_core *core, struct mx_generation *g);

/* Between enter and leave the generation (NULL: none) and what it names stay. May block in between.
 */
struct mx_generation *mx_registry_enter(struct mx_core *core, unsigned *ticket);
void mx_registry_leave(struct mx_core *core, unsigned ticket);
/* Waits until everybody who is between enter and leave now has left. */
void mx_registry_wait(struct mx_core *core);

/* A loaded module, pinned (unpin it); NULL when there is none. */
struct mx_module_self *mx_registry_module(struct mx_core *core, const char *name);

#endif
