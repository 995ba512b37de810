/* fake.h for tests that cannot include it: the engine's private header and the loader's have a name
 * in common. */
#include "config.h"

#include "tests/unit/runtime/fake.h"

#include "tests/unit/runtime/fake_plain.h"

struct mx_module_self *
plain_module(struct mx_core *core, const struct mx_module *descriptor)
{
	return fake_module(core, descriptor);
}

void
plain_free(struct mx_module_self **self)
{
	fake_free(self);
}

void
plain_publish(struct mx_core *core, struct mx_module_self *self)
{
	fake_publish(core, &self, self != NULL);
}

void
plain_unpublish(struct mx_core *core)
{
	mx_registry_publish(core, NULL);
}
