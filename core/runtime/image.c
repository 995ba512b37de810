#include "config.h"

#include "core/runtime/image.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>

#include "core/runtime/option.h"

enum { ROWS_MAX = 4096, DESCRIPTOR_MAX = 64 << 10 };

void
mx_module_name_of(const char *file, char *out, size_t room)
{
	snprintf(out, room, "%s", file);
	for (char *p = out; *p != 0; p++)
		if (*p == '_')
			*p = '-';
}

void
mx_module_file_of(const char *name, char *out, size_t room)
{
	snprintf(out, room, "%s", name);
	for (char *p = out; *p != 0; p++)
		if (*p == '-')
			*p = '_';
}

const char *
mx_hook_name(uint32_t id)
{
	static const char *const names[] = {
#define MX_HOOK_DECIDE(name, safe, params, args) #name,
#define MX_HOOK_NOTIFY(name, who, params, args) #name,
#define MX_HOOK_DURABLE(name, params, args) #name,
#define MX_HOOK_COLLECT(name, params, args) #name,
#include <myelin/hooks.def>
#undef MX_HOOK_DECIDE
#undef MX_HOOK_NOTIFY
#undef MX_HOOK_DURABLE
#undef MX_HOOK_COLLECT
	};

	return id < MX_HOOK_COUNT ? names[id] : "unknown";
}

/* ---- reading one table after the other ---- */

struct reading {
	const struct mx_module *m;
	struct mx_image *im;
};

static mx_error *
refused(const struct reading *r, const char *fmt, ...) MX_PRINTF(2, 3);

static mx_error *
refused(const struct reading *r, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return mx_error_new(MX_E_CONFIG, "module %s (%s): %s", r->im->name, r->im->file, text);
}

static const char *
copied(struct reading *r, const char *z)
{
	return z != NULL ? mx_arena_str(r->im->arena, mx_str_of(z)).p : NULL;
}

/* Checks a table and gives its rows as rows of `size` bytes in *out, extended by zeroes or cut to
 * what we know. */
static mx_error *
rows_of(struct reading *r, const char *what, const struct mx_table *t, size_t size, size_t least,
	void *out, size_t *n)
{
	char *copy;

	*n = 0;
	if (t->count == 0)
		return NULL;
	if (t->count > ROWS_MAX || t->rows == NULL || t->stride < least)
		return refused(r,
			       "its table of %s is broken (%u rows of %u bytes); rebuild it "
			       "against this Myelin's headers",
			       what, t->count, t->stride);
	copy = mx_arena_alloc(r->im->arena, t->count * size);
	for (size_t i = 0; i < t->count; i++)
		memcpy(copy + i * size, (const char *)t->rows + i * t->stride,
		       t->stride < size ? t->stride : size);
	memcpy(out, &copy, sizeof(copy));
	*n = t->count;
	return NULL;
}
#define ROWS(r, what, table, rows, n) rows_of(r, what, &(table), sizeof(*(rows)), sizeof(*(rows)), &(rows), &(n))

/* A member that an older module's descriptor does not have reads as absent. */
#define HAS(m, member) ((m)->size >= offsetof(struct mx_module, member) + sizeof((m)->member))
#define READ_TABLE(r, what, member, rows, n) \
	do { \
		if (HAS((r)->m, member)) \
			MX_TRY(ROWS(r, what, (r)->m->member, rows, n)); \
	} while (0)

static mx_error *
read_options(struct reading *r)
{
	struct mx_image *im = r->im;
	const struct mx_table *t = &r->m->options;

	im->options_size = HAS(r->m, options_size) ? r->m->options_size : 0;
	if (!HAS(r->m, options) || t->count == 0)
		return NULL;
	if (t->count > ROWS_MAX || t->rows == NULL || t->stride < sizeof(struct mx_option))
		return refused(r, "its table of options is broken");
	im->options = mx_options_copy(t->rows, t->count, t->stride, im->arena);
	im->option_count = t->count;
	for (size_t i = 0; i < im->option_count; i++) {
		mx_error *e = mx_option_check(&im->options[i], im->options_size);

		if (e != NULL)
			return mx_error_wrap(e, "module %s (%s)", im->name, im->file);
		for (size_t j = 0; j < i; j++)
			if (strcmp(im->options[i].name, im->options[j].name) == 0)
				return refused(r, "it declares option %s twice",
					       im->options[i].name);
	}
	return NULL;
}

static mx_error *
read_hooks(struct reading *r)
{
	struct mx_hook_row *rows = NULL;
	struct mx_image *im = r->im;
	size_t n = 0;

	READ_TABLE(r, "hooks", hooks, rows, n);
	im->hooks = n > 0 ? mx_arena_alloc(im->arena, n * sizeof(*im->hooks)) : NULL;
	for (size_t i = 0; i < n; i++) {
		struct mx_hook_entry *h = &im->hooks[i];
		mx_str *types;
		size_t count = 0;

		if (rows[i].id >= MX_HOOK_COUNT)
			return refused(r,
				       "it fills a hook (number %u) that this server does not have",
				       rows[i].id);
		if (rows[i].fn.any == NULL)
			return refused(r, "its row for the hook %s has no function",
				       mx_hook_name(rows[i].id));
		h->id = rows[i].id;
		h->priority = rows[i].priority;
		h->fn = rows[i].fn;
		if (rows[i].types == NULL)
			continue;
		while (rows[i].types[count] != NULL)
			count++;
		types = mx_arena_alloc(im->arena, (count + 1) * sizeof(*types));
		for (size_t k = 0; k < count; k++)
			types[k] = mx_str_of(copied(r, rows[i].types[k]));
		h->types = types;
		h->type_count = count;
	}
	im->hook_count = n;
	return NULL;
}

static mx_error *
read_migrations(struct reading *r)
{
	struct mx_image *im = r->im;

	READ_TABLE(r, "migrations", migrations, im->migrations, im->migration_count);
	for (size_t i = 0; i < im->migration_count; i++) {
		struct mx_migration *m = &im->migrations[i];

		if (m->number != i + 1 || m->sql == NULL || m->what == NULL)
			return refused(r, "its migrations must be numbered from 1 without gaps, "
					  "each with what and sql");
		m->what = copied(r, m->what);
		m->sql = copied(r, m->sql);
	}
	return NULL;
}

static mx_error *
read_routes(struct reading *r)
{
	struct mx_image *im = r->im;

	READ_TABLE(r, "routes", routes, im->routes, im->route_count);
	for (size_t i = 0; i < im->route_count; i++) {
		struct mx_route *o = &im->routes[i];

		if (o->method == NULL || o->path == NULL || o->handler == NULL)
			return refused(r,
				       "its route number %zu lacks a method, a path or a handler",
				       i + 1);
		o->method = copied(r, o->method);
		o->path = copied(r, o->path);
	}
	return NULL;
}

/* The ABI of each kind of provider that the core itself uses; modules may have kinds of their own.
 */
static const struct {
	const char *kind;
	uint32_t abi;
} KINDS[] = {
	{ "storage", MX_STORAGE_ABI },
	{ "login", MX_LOGIN_ABI },
	{ "password", MX_PASSWORD_ABI },
	{ "stage", MX_STAGE_ABI },
};

static mx_error *
read_providers(struct reading *r)
{
	struct mx_image *im = r->im;

	READ_TABLE(r, "providers", providers, im->providers, im->provider_count);
	for (size_t i = 0; i < im->provider_count; i++) {
		struct mx_provider_row *p = &im->providers[i];

		if (p->kind == NULL || p->name == NULL || p->ops == NULL)
			return refused(
				r, "its provider number %zu lacks a kind, a name or its functions",
				i + 1);
		p->kind = copied(r, p->kind);
		p->name = copied(r, p->name);
		for (size_t k = 0; k < sizeof(KINDS) / sizeof(KINDS[0]); k++)
			if (strcmp(p->kind, KINDS[k].kind) == 0 && p->abi != KINDS[k].abi)
				return refused(r,
					       "its %s provider \"%s\" was built for version %u of "
					       "that interface, and this "
					       "server has version %u; install the module that "
					       "belongs to this Myelin",
					       p->kind, p->name, p->abi, KINDS[k].abi);
	}
	return NULL;
}

static mx_error *
read_services(struct reading *r)
{
	struct mx_image *im = r->im;

	READ_TABLE(r, "services", services, im->services, im->service_count);
	for (size_t i = 0; i < im->service_count; i++) {
		struct mx_service_row *s = &im->services[i];

		if (s->name == NULL || s->version == 0 || s->functions == NULL)
			return refused(
				r,
				"its service number %zu lacks a name, a version or its functions",
				i + 1);
		s->name = copied(r, s->name);
	}
	return NULL;
}

static mx_error *
read_rest(struct reading *r)
{
	struct mx_image *im = r->im;

	READ_TABLE(r, "jobs", jobs, im->jobs, im->job_count);
	READ_TABLE(r, "metrics", metrics, im->metrics, im->metric_count);
	READ_TABLE(r, "commands", commands, im->commands, im->command_count);
	for (size_t i = 0; i < im->job_count; i++) {
		if (im->jobs[i].name == NULL || im->jobs[i].run == NULL || im->jobs[i].every <= 0)
			return refused(r,
				       "its job number %zu lacks a name, an interval or a function",
				       i + 1);
		if (im->jobs[i].who != MX_EVERY_PROCESS && im->jobs[i].who != MX_ONE_PROCESS)
			return refused(r, "its job number %zu is neither every process's nor one's",
				       i + 1);
		im->jobs[i].name = copied(r, im->jobs[i].name);
	}
	for (size_t i = 0; i < im->metric_count; i++) {
		if (im->metrics[i].name == NULL || im->metrics[i].read == NULL)
			return refused(r, "its metric number %zu lacks a name or a function",
				       i + 1);
		im->metrics[i].name = copied(r, im->metrics[i].name);
		im->metrics[i].help = copied(r, im->metrics[i].help);
	}
	for (size_t i = 0; i < im->command_count; i++) {
		struct mx_command_row *c = &im->commands[i];

		if (c->name == NULL || c->name[0] == 0 || c->run == NULL)
			return refused(r, "its command number %zu lacks a name or a function",
				       i + 1);
		c->name = copied(r, c->name);
		c->usage = copied(r, c->usage != NULL ? c->usage : "");
		c->help = copied(r, c->help != NULL ? c->help : "");
	}
	return NULL;
}

/* ---- requires ---- */

static bool
is_module_name(mx_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!islower((unsigned char)s.p[i]) && !isdigit((unsigned char)s.p[i]) &&
		    s.p[i] != '-')
			return false;
	return s.n > 0 && s.n < 64;
}

static mx_str
trim(mx_str s)
{
	while (s.n > 0 && s.p[0] == ' ')
		s.p++, s.n--;
	while (s.n > 0 && s.p[s.n - 1] == ' ')
		s.n--;
	return s;
}

static bool
read_need(struct reading *r, mx_str item, struct mx_requirement *out)
{
	mx_str name, rest;
	int64_t version = 0;

	out->optional = item.p[0] == '?';
	if (out->optional)
		item.p++, item.n--;
	if (mx_str_cut(item, '>', &name, &rest)) {
		if (rest.n < 2 || rest.p[0] != '=' ||
		    !mx_str_int(trim((mx_str){ rest.p + 1, rest.n - 1 }), 1, UINT32_MAX, &version))
			return false;
	}
	name = trim(name);
	out->version = (uint32_t)version;
	out->name = mx_arena_str(r->im->arena, name).p;
	return is_module_name(name);
}

static mx_error *
read_needs(struct reading *r)
{
	struct mx_image *im = r->im;
	mx_str rest = mx_str_of(HAS(r->m, requires) ? r->m->requires : NULL), item;
	size_t most = 1;

	for (size_t i = 0; i < rest.n; i++)
		most += rest.p[i] == ',';
	im->needs = mx_arena_alloc(im->arena, most * sizeof(*im->needs));
	while (rest.n > 0) {
		if (!mx_str_cut(rest, ',', &item, &rest))
			rest = (mx_str){ NULL, 0 };
		item = trim(item);
		if (item.n == 0)
			continue;
		if (!read_need(r, item, &im->needs[im->need_count]))
			return refused(r,
				       "what it requires cannot be read at \"%.*s\"; expected "
				       "names such as client-rooms, "
				       "directory>=1 or ?directory>=1",
				       MX_SFMT(item));
		im->need_count++;
	}
	return NULL;
}

/* ---- the whole ---- */

static mx_error *
check_version(const struct reading *r)
{
	const struct mx_module *m = r->m;

	if (m->magic != MX_MODULE_MAGIC)
		return refused(r, "it is not a module of Myelin: its descriptor does not begin "
				  "with MX_MODULE_HEAD");
	if (m->abi_major == 0)
		return refused(r, "it does not say for which module interface it was built; "
				  "rebuild it with MX_MODULE_HEAD");
	if (m->abi_major != MX_ABI_MAJOR)
		return refused(r,
			       "it was built for the module interface %u.%u, and this server has "
			       "%u.%u; %s",
			       m->abi_major, m->abi_minor, MX_ABI_MAJOR, MX_ABI_MINOR,
			       m->abi_major < MX_ABI_MAJOR
				       ? "rebuild it against this Myelin's headers"
				       : "it needs a newer Myelin");
	if (m->abi_minor > MX_ABI_MINOR)
		return refused(r,
			       "it was built for the module interface %u.%u, and this server has "
			       "%u.%u; it needs a newer Myelin",
			       m->abi_major, m->abi_minor, MX_ABI_MAJOR, MX_ABI_MINOR);
	if (m->size < offsetof(struct mx_module, options) || m->size > DESCRIPTOR_MAX)
		return refused(r, "its descriptor has an impossible size (%u bytes)", m->size);
	if (m->name == NULL || m->version == NULL)
		return refused(r, "its descriptor lacks a name or a version");
	return NULL;
}

static mx_error *
read_all(struct reading *r)
{
	const struct mx_module *m = r->m;
	struct mx_image *im = r->im;

	MX_TRY(check_version(r));
	if (strcmp(m->name, im->name) != 0) {
		char file[128];

		mx_module_file_of(m->name, file, sizeof(file));
		return refused(r, "it calls itself \"%s\"; its file must be called %s.so", m->name,
			       file);
	}
	im->version = copied(r, m->version);
	im->summary = copied(r, m->summary != NULL ? m->summary : "");
	im->flags = m->flags;
	im->abi_major = m->abi_major;
	im->abi_minor = m->abi_minor;
	MX_TRY(read_needs(r));
	MX_TRY(read_options(r));
	MX_TRY(read_migrations(r));
	MX_TRY(read_routes(r));
	MX_TRY(read_hooks(r));
	MX_TRY(read_providers(r));
	MX_TRY(read_services(r));
	MX_TRY(read_rest(r));
	im->configure = HAS(m, configure) ? m->configure : NULL;
	im->start = HAS(m, start) ? m->start : NULL;
	im->reload = HAS(m, reload) ? m->reload : NULL;
	im->drain = HAS(m, drain) ? m->drain : NULL;
	im->stop = HAS(m, stop) ? m->stop : NULL;
	return NULL;
}

mx_error *
mx_image_read(const struct mx_module *m, const char *name, const char *file, struct mx_image **out)
{
	struct mx_image *im = mx_alloc(sizeof(*im));
	struct reading r = { m, im };
	mx_error *e;

	im->arena = mx_arena_new();
	im->name = copied(&r, name);
	im->file = copied(&r, file);
	e = read_all(&r);
	if (e != NULL)
		mx_image_free(&im);
	*out = im;
	return e;
}

void
mx_image_free(struct mx_image **image)
{
	struct mx_image *im = *image;

	*image = NULL;
	if (im == NULL)
		return;
	mx_arena_free(&im->arena);
	free(im);
}
