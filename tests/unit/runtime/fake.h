/* Modules without files: descriptors of the test itself, read and registered as the loader does it.
 */
#ifndef TESTS_UNIT_RUNTIME_FAKE_H
#define TESTS_UNIT_RUNTIME_FAKE_H

#include "tests/unit/support/unit.h"

#include "core/runtime/core.h"
#include "core/runtime/registry.h"

static inline struct mx_module_self *
fake_module(struct mx_core *core, const struct mx_module *descriptor)
{
	struct mx_module_self *self = mx_alloc(sizeof(*self));

	unit_ok(mx_image_read(descriptor, descriptor->name, "fake.so", &self->image));
	self->core = core;
	self->name = self->image->name;
	for (size_t i = 0; i < self->image->hook_count; i++)
		self->image->hooks[i].self = self;
	return self;
}

static inline void
fake_free(struct mx_module_self **self)
{
	mx_image_free(&(*self)->image);
	free(*self);
	*self = NULL;
}

static inline void
fake_publish(struct mx_core *core, struct mx_module_self *const *modules, size_t n)
{
	struct mx_generation *g;

	unit_ok(mx_generation_new(modules, n, &g));
	mx_registry_publish(core, g);
}

#endif
