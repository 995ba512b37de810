/* A module that is linked into the test. */
#include <myelin/module.h>

static int alive;

static enum mx_verdict
check(struct mx_module_self *self, mx_str localpart, mx_str address, mx_error **why)
{
	(void)self;
	(void)localpart;
	(void)address;
	*why = mx_error_new(MX_E_FORBIDDEN, "refused by %d linked", alive);
	return MX_REFUSE;
}
static const struct mx_hook_row hooks[] = { MX_ON(register_check, MX_PRIO_POLICY, check) };

static mx_error *
start(struct mx_module_self *self)
{
	(void)self;
	alive++;
	return NULL;
}

static void
stop(struct mx_module_self *self)
{
	(void)self;
	alive--;
}

MX_MODULE(t_linked) = {
	MX_MODULE_HEAD("t-linked", "1", "Is linked in"),
	.hooks = MX_TABLE(hooks), .start = start, .stop = stop,
};
