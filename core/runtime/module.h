/* A loaded module inside the core. It lives from its load until its last pin is gone; everything
 * that it registered was copied at load, so that nothing points into the object once it is
 * unmapped. */
#ifndef CORE_RUNTIME_MODULE_H
#define CORE_RUNTIME_MODULE_H

#include <stdatomic.h>

#include <myelin/module.h>

struct mx_image;		/* the descriptor's copy: core/runtime/image.h */
struct mx_life;			/* the loader's part: core/runtime/loader.c */

/* A service that the module uses. It holds a pin on who publishes it. */
struct mx_service_use {
	const char *name;
	const void *functions;		/* NULL: optional and absent */
	struct mx_module_self *from;
};

/* A test may fill in core, name, options and state by hand and leave the rest zero. */
struct mx_module_self {
	struct mx_core *core;
	const char *name;
	_Atomic(const void *) options;	/* the filled options struct */
	void *state;
	const struct mx_service_use *services;
	size_t service_count;

	_Atomic long pins;
	struct mx_image *image;
	struct mx_life *life;
};

/* A request, a job or a command that runs code of the module holds a pin. Any thread; self NULL
 * does nothing. Only who can still find self in the current registry (between mx_registry_enter and
 * _leave, or as http/router.h says), or holds a pin already, may pin. */
void mx_self_pin(struct mx_module_self *self);
void mx_self_unpin(struct mx_module_self *self);
/* Whether it has been unloaded or replaced: who holds a pin for long looks from time to time. */
bool mx_self_leaving(const struct mx_module_self *self);

#endif
