/* A module that uses every table, and whose functions touch memory that it frees in stop: what runs
 * after that is seen by AddressSanitizer. VARIANT tells a newer build of the same module from this
 * one. */
#include <stdatomic.h>
#include <stdlib.h>

#include <myelin/module.h>

#ifndef VARIANT
#define VARIANT "1"
#endif

struct options {
	const char *greeting;
	int64_t limit;
};
static const struct mx_option options[] = {
	MX_OPT(struct options, greeting, .def = "hello", .flags = MX_OPT_RELOAD,
	       .help = "What it says."),
	MX_OPT(struct options, limit, .def = "3", .max = 10, .help = "How often."),
};

/* Added by calls that find the state freed: more than a test can count to. */
static const long FREED = 1L << 40;

struct state {
	_Atomic long calls;
	char text[32];
};

static long
touch(struct mx_module_self *self)
{
	struct state *s = mx_self_state(self);

	return atomic_fetch_add(&s->calls, 1) + (s->text[0] == 'o' ? 0 : FREED);
}

static enum mx_verdict
check(struct mx_module_self *self, mx_str localpart, mx_str address, mx_error **why)
{
	const struct options *o = mx_self_options(self);

	(void)address;
	touch(self);
	if (!mx_str_eq(localpart, MX_S("bad")))
		return MX_NO_OPINION;
	*why = mx_error_new(MX_E_FORBIDDEN, "%s from %s", o->greeting, VARIANT);
	return MX_REFUSE;
}
static const struct mx_hook_row hooks[] = { MX_ON(register_check, MX_PRIO_POLICY, check) };

struct thing {
	uint32_t size;
	int (*twice)(int v);
};
static int
twice(int v)
{
	return 2 * v;
}
static const struct thing thing = { sizeof(thing), twice };
static const struct mx_service_row services[] = { { "t-thing", 2, &thing } };
static const struct mx_provider_row providers[] = { { "t-kind", "good", 1, &thing } };

static enum mx_outcome
get(struct mx_request *rq)
{
	touch(mx_request_self(rq));
	return mx_reply_empty(rq);
}
static const struct mx_route routes[] = { { "GET", "/_t/good", get, MX_AUTH_NONE, MX_RATE_NONE, 0,
					    0 } };

static mx_error *
work(struct mx_module_self *self)
{
	touch(self);
	return NULL;
}
static const struct mx_job_row jobs[] = { { "work", 1000, MX_EVERY_PROCESS, work } };

static int64_t
calls(struct mx_module_self *self)
{
	return touch(self);
}
static const struct mx_metric_row metrics[] = { { "calls_total", "Calls.", 1, calls } };

static mx_error *
say(struct mx_module_self *self, const mx_str *args, size_t n, struct mx_buf *out)
{
	const struct options *o = mx_self_options(self);

	touch(self);
	mx_buf_printf(out, "%s %.*s", o->greeting, n > 0 ? (int)args[0].n : 0,
		      n > 0 ? args[0].p : "");
	return NULL;
}
static const struct mx_command_row commands[] = { { "good say", "[NAME]", "Greets.", say } };

static mx_error *
start(struct mx_module_self *self)
{
	struct state *s = malloc(sizeof(*s));

	if (s == NULL)
		return mx_error_new(MX_E_UNKNOWN, "no memory");
	atomic_init(&s->calls, 0);
	strcpy(s->text, "ours");
	mx_self_set_state(self, s);
	return NULL;
}

static void
stop(struct mx_module_self *self)
{
	free(mx_self_state(self));
	mx_self_set_state(self, NULL);
}

MX_MODULE(t_good) = {
	MX_MODULE_HEAD("t-good", VARIANT, "Uses every table"),
	.options = MX_TABLE(options), .options_size = sizeof(struct options),
	.routes = MX_TABLE(routes), .hooks = MX_TABLE(hooks), .providers = MX_TABLE(providers),
	.services = MX_TABLE(services), .jobs = MX_TABLE(jobs), .metrics = MX_TABLE(metrics),
	.commands = MX_TABLE(commands), .start = start, .stop = stop,
};
