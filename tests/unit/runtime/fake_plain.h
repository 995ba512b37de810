#ifndef TESTS_UNIT_RUNTIME_FAKE_PLAIN_H
#define TESTS_UNIT_RUNTIME_FAKE_PLAIN_H

#include "core/runtime/core.h"
#include "core/runtime/module.h"

struct mx_module_self *plain_module(struct mx_core *core, const struct mx_module *descriptor);
void plain_free(struct mx_module_self **self);
void plain_publish(struct mx_core *core, struct mx_module_self *self);	/* NULL: no module */
void plain_unpublish(struct mx_core *core);

#endif
