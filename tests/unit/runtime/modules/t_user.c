/* Uses a service of t-good. */
#include <myelin/module.h>

struct thing {
	uint32_t size;
	int (*twice)(int v);
};

static mx_error *
ask(struct mx_module_self *self, const mx_str *args, size_t n, struct mx_buf *out)
{
	const struct thing *t = mx_self_service(self, "t-thing");

	(void)args;
	(void)n;
	mx_buf_printf(out, "%d %d", t->twice(21), mx_self_service(self, "t-absent") != NULL);
	return NULL;
}
static const struct mx_command_row commands[] = { { "user ask", "", "Asks.", ask } };

MX_MODULE(t_user) = {
	MX_MODULE_HEAD("t-user", "1", "Uses another's service"),
	.requires = "t-thing>=2, ?t-absent>=1, t-good",
	.commands = MX_TABLE(commands),
};
