/* Modules that are refused, each for one reason: BAD_… says which, IDENT is the name of the file.
 */
#include <myelin/module.h>

struct options {
	int64_t n;
};

#define HEAD(name) MX_MODULE_HEAD(name, "1", "To be refused")
#define SYMBOL(ident) MX_MODULE(ident)

#if defined(BAD_symbol)
extern MX_API const int t_symbol_other;
const int t_symbol_other = 1;
#else
#if defined(BAD_undefined)
void nobody_defines_this(void);
static mx_error *
start(struct mx_module_self *self)
{
	(void)self;
	nobody_defines_this();
	return NULL;
}
#elif defined(BAD_start) || defined(BAD_configure)
static mx_error *
fail(struct mx_module_self *self)
{
	return mx_error_new(MX_E_UNAVAILABLE, "%s has no luck", mx_self_name(self));
}
#elif defined(BAD_option)
static const struct mx_option options[] = { { .name = "n", .type = MX_OPT_INT, .offset = 4096 } };
#elif defined(BAD_required)
static const struct mx_option options[] = { MX_OPT(struct options, n, .flags = MX_OPT_REQUIRED,
						   .help = "A number.") };
#elif defined(BAD_route)
static enum mx_outcome
get(struct mx_request *rq)
{
	return mx_reply_empty(rq);
}
static const struct mx_route routes[] = { { "GET", "/_t/good", get, MX_AUTH_NONE, MX_RATE_NONE, 0,
					    0 } };
#elif defined(BAD_hook)
static const struct mx_hook_row hooks[] = { { .id = 9999 } };
#elif defined(BAD_job)
static mx_error *
work(struct mx_module_self *self)
{
	(void)self;
	return NULL;
}
static const struct mx_job_row jobs[] = { { "work", 1000, MX_WRITER, work } };
#elif defined(BAD_provider)
static const int nothing;
static const struct mx_provider_row providers[] = { { "storage", "odd", 999, &nothing } };
#elif defined(BAD_migration)
static const struct mx_migration migrations[] = { { 2, "the second comes first", "SELECT 1" } };
#endif

SYMBOL(IDENT) = {
#if defined(BAD_magic)
	.magic = 7, .size = sizeof(struct mx_module), .name = "t-magic", .version = "1",
#elif defined(BAD_major)
	.magic = MX_MODULE_MAGIC,
	.size = sizeof(struct mx_module),
	.abi_major = MX_ABI_MAJOR + 1,
	.name = "t-major",
	.version = "1",
#elif defined(BAD_minor)
	.magic = MX_MODULE_MAGIC,
	.size = sizeof(struct mx_module),
	.abi_major = MX_ABI_MAJOR,
	.abi_minor = MX_ABI_MINOR + 1,
	.name = "t-minor",
	.version = "1",
#elif defined(BAD_version)
	.magic = MX_MODULE_MAGIC,
	.size = sizeof(struct mx_module),
	.name = "t-version",
	.version = "1",
#elif defined(BAD_size)
	.magic = MX_MODULE_MAGIC,
	.size = 8,
	.abi_major = MX_ABI_MAJOR,
	.name = "t-size",
	.version = "1",
#elif defined(BAD_name)
	HEAD("somebody-else"),
#elif defined(BAD_absent)
	HEAD("t-absent"), .requires = "nobody",
#elif defined(BAD_later)
	HEAD("t-later"), .requires = "t-thing>=9",
#elif defined(BAD_ring_a)
	HEAD("t-ring-a"), .requires = "t-ring-b",
#elif defined(BAD_ring_b)
	HEAD("t-ring-b"), .requires = "t-ring-a",
#elif defined(BAD_requires)
	HEAD("t-requires"), .requires = "t-thing=>1",
#elif defined(BAD_undefined)
	HEAD("t-undefined"), .start = start,
#elif defined(BAD_start)
	HEAD("t-start"), .start = fail,
#elif defined(BAD_configure)
	HEAD("t-configure"), .configure = fail,
#elif defined(BAD_option)
	HEAD("t-option"), .options = MX_TABLE(options), .options_size = sizeof(struct options),
#elif defined(BAD_required)
	HEAD("t-required"), .options = MX_TABLE(options), .options_size = sizeof(struct options),
#elif defined(BAD_route)
	HEAD("t-route"), .routes = MX_TABLE(routes),
#elif defined(BAD_hook)
	HEAD("t-hook"), .hooks = MX_TABLE(hooks),
#elif defined(BAD_job)
	HEAD("t-job"), .jobs = MX_TABLE(jobs),
#elif defined(BAD_provider)
	HEAD("t-provider"), .providers = MX_TABLE(providers),
#elif defined(BAD_migration)
	HEAD("t-migration"), .migrations = MX_TABLE(migrations),
#endif
};
#endif
