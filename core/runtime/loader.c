/* The modules at the start and at the end of a server. */
#include "config.h"

#include "core/runtime/loader.h"

#include <stdlib.h>

#include "core/runtime/loader_private.h"
#include "core/runtime/registry.h"
#include "core/sql/db.h"

static bool
in_list(const struct mx_list *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i], name) == 0)
			return true;
	return false;
}

static struct mx_list
copy_list(const struct mx_list *l, struct mx_arena *a)
{
	const char **v = mx_arena_alloc(a, (l->n + 1) * sizeof(*v));

	for (size_t i = 0; i < l->n; i++)
		v[i] = mx_arena_str(a, mx_str_of(l->v[i])).p;
	return (struct mx_list){ v, l->n };
}

static const char *
copy_text(const char *z, struct mx_arena *a)
{
	return z != NULL ? mx_arena_str(a, mx_str_of(z)).p : NULL;
}

/* ---- opening ---- */

struct opening {
	struct mx_modules *ms;
	struct mx_config *config;
	bool all;			/* "*": what cannot do without configuration and has none is left out */
	const char *storage;		/* "storage-sqlite" */
};

/* A refusal of one module: a warning for an optional one, else a mistake. True: the server does
 * without it. */
static bool
refuse(struct opening *o, const char *name, mx_error *e)
{
	bool optional = in_list(&o->ms->options.optional, name);

	if (optional)
		mx_log("runtime", MX_WARN, "RUN001", "optional module is left out",
		       mx_fz("module", name), mx_fe(e));
	else
		mx_config_mistake(o->config, "modules", "load", "%s", mx_error_text(e));
	mx_error_free(&e);
	return optional;
}

static bool
switched_off(struct mx_config *config, const char *name)
{
	mx_str text = mx_config_text(config, name, "enabled");

	return mx_str_eq(text, MX_S("no")) || mx_str_eq(text, MX_S("false")) ||
	       mx_str_eq(text, MX_S("off")) || mx_str_eq(text, MX_S("0"));
}

static bool
declares(const struct mx_image *im, const char *option)
{
	for (size_t i = 0; i < im->option_count; i++)
		if (strcmp(im->options[i].name, option) == 0)
			return true;
	return false;
}

/* Whether an option that the module cannot do without is given nowhere. */
static bool
unconfigured(struct mx_config *config, const struct mx_image *im)
{
	char file[80];

	for (size_t i = 0; i < im->option_count; i++) {
		const struct mx_option *row = &im->options[i];

		snprintf(file, sizeof(file), "%s_file", row->name);
		if ((row->flags & MX_OPT_REQUIRED) != 0 &&
		    mx_config_text(config, im->name, row->name).p == NULL &&
		    ((row->flags & MX_OPT_SECRET) == 0 ||
		     (mx_config_text(config, im->name, file).p == NULL &&
		      getenv("CREDENTIALS_DIRECTORY") == NULL)))
			return true;
	}
	return false;
}

/* Its section may stand in the configuration all the same, and is checked. */
static void
declare_idle(struct mx_config *config, const struct mx_image *im)
{
	struct mx_values *v = mx_config_bind(config, im->name, im->options, im->option_count,
					     im->options_size, MX_BIND_MODULE | MX_BIND_IDLE);

	mx_values_free(&v);
}

static void
open_one(struct opening *o, const char *name)
{
	struct mx_modules *ms = o->ms;
	MX_AUTO(mx_arena) *a = mx_arena_new();
	const char *path = mx_modules_find(ms, name, a);
	lt_dlhandle handle;
	struct mx_image *im;
	mx_error *e;

	if (path == NULL)
		e = mx_error_new(MX_E_CONFIG, "there is no module %s in %s", name,
				 ms->dirs[ms->dir_count - 1]);
	else
		e = mx_object_open(path, name, path, &handle, &im);
	if (e != NULL) {
		refuse(o, name, e);
		mx_config_tolerate(o->config, name);
		return;
	}
	if ((switched_off(o->config, name) && !declares(im, "enabled")) ||
	    (o->all && unconfigured(o->config, im) && strcmp(name, o->storage) != 0)) {
		uint32_t flags = im->flags;

		declare_idle(o->config, im);
		mx_image_free(&im);
		mx_object_close(handle, flags);
		return;
	}
	ms->loaded = mx_realloc(ms->loaded, ms->loaded_count + 1, sizeof(*ms->loaded));
	ms->loaded[ms->loaded_count++] = mx_self_new(ms, im, handle, path);
}

static void
open_listed(struct opening *o)
{
	struct mx_modules *ms = o->ms;
	MX_AUTO(mx_arena) *a = mx_arena_new();
	const char **installed = NULL, *listed;
	size_t n = o->all ? mx_modules_installed(ms->core, a, &installed) : 0;
	bool storage_seen = ms->storage == NULL;

	for (size_t i = 0; i < n; i++) {
		/* The driver of another database is not even opened: its library is large. */
		if (strncmp(installed[i], "storage-", 8) == 0 &&
		    strcmp(installed[i], o->storage) != 0)
			continue;
		storage_seen |= strcmp(installed[i], o->storage) == 0;
		open_one(o, installed[i]);
	}
	for (size_t i = 0; i < ms->options.load.n; i++) {
		bool again = false;

		listed = ms->options.load.v[i];
		for (size_t j = 0; j < n && !again; j++)
			again = strcmp(installed[j], listed) == 0;
		for (size_t j = 0; j < i && !again; j++)
			again = strcmp(ms->options.load.v[j], listed) == 0;
		if (strcmp(listed, "*") == 0 || again)
			continue;
		storage_seen |= strcmp(listed, o->storage) == 0;
		open_one(o, listed);
	}
	if (!storage_seen && mx_modules_find(ms, o->storage, a) != NULL)
		open_one(o, o->storage);
}

/* ---- what they require ---- */

static void
drop(struct mx_modules *ms, size_t i)
{
	struct mx_module_self *self = ms->loaded[i];

	memmove(&ms->loaded[i], &ms->loaded[i + 1],
		(ms->loaded_count - i - 1) * sizeof(*ms->loaded));
	ms->loaded_count--;
	mx_self_free(&self);
}

static mx_error *
first_missing(struct mx_modules *ms, const struct mx_module_self *self)
{
	for (size_t i = 0; i < self->image->need_count; i++) {
		const struct mx_requirement *need = &self->image->needs[i];
		const void *functions;

		if (!need->optional &&
		    mx_need_find(need, ms->loaded, ms->loaded_count, &functions) == NULL)
			return mx_need_missing(self, need, ms->loaded, ms->loaded_count);
	}
	return NULL;
}

/* Whoever lacks something is told once; an optional one goes, and what needs it is looked at again.
 */
static bool
check_needs(struct opening *o)
{
	struct mx_modules *ms = o->ms;
	bool good = true;

	for (size_t i = 0; i < ms->loaded_count;) {
		mx_error *e = first_missing(ms, ms->loaded[i]);

		if (e == NULL) {
			i++;
		} else if (refuse(o, ms->loaded[i]->name, e)) {
			declare_idle(o->config, ms->loaded[i]->image);
			drop(ms, i);
			i = 0;
		} else {
			good = false;
			i++;
		}
		if (!good && i == ms->loaded_count)
			return false;
	}
	return good;
}

static void
declare_installed(void *arg, const char *section)
{
	struct opening *o = arg;
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_image *im;
	mx_error *e;

	if (mx_modules_find(o->ms, section, a) == NULL)
		return;
	if (strncmp(section, "storage-", 8) == 0) {
		mx_config_tolerate(o->config, section);
		return;
	}
	e = mx_module_peek(o->ms->core, section, &im);
	if (e != NULL) {
		mx_error_free(&e);
		mx_config_tolerate(o->config, section);
		return;
	}
	declare_idle(o->config, im);
	mx_image_free(&im);
}

void
mx_modules_open(struct mx_core *core, struct mx_config *config,
		const struct mx_modules_setup *setup)
{
	struct mx_modules *ms = mx_alloc(sizeof(*ms));
	struct opening o = { .ms = ms, .config = config };
	mx_error *e;
	bool sorted;

	core->modules = ms;
	ms->core = core;
	ms->arena = mx_arena_new();
	ms->options.load = copy_list(&setup->options->load, ms->arena);
	ms->options.optional = copy_list(&setup->options->optional, ms->arena);
	ms->storage = copy_text(setup->storage, ms->arena);
	ms->folder = copy_text(setup->folder, ms->arena);
	ms->wake = setup->wake;
	ms->wake_arg = setup->wake_arg;
	mx_modules_set_dirs(ms, &setup->options->path);
	o.all = in_list(&ms->options.load, "*");
	o.storage =
		ms->storage != NULL ? mx_arena_printf(ms->arena, "storage-%s", ms->storage).p : "";
	open_listed(&o);
	sorted = check_needs(&o);
	if (sorted) {
		e = mx_needs_sort(ms->loaded, ms->loaded_count);
		if (e != NULL)
			mx_config_mistake(config, "modules", "load", "%s", mx_error_text(e));
		sorted = e == NULL;
		mx_error_free(&e);
	}
	for (size_t i = 0; i < ms->loaded_count; i++) {
		/* Who is held goes after who holds it: without an order nobody holds anybody, and
		 * the mistake ends it all. */
		if (sorted)
			mx_needs_resolve(ms->loaded[i], ms->loaded, ms->loaded_count);
		mx_self_bind(ms->loaded[i], config);
	}
	mx_config_undeclared(config, declare_installed, &o);
}

/* ---- starting ---- */

mx_error *
mx_modules_configure(struct mx_core *core)
{
	struct mx_modules *ms = core->modules;
	MX_AUTO(mx_buf) *all = mx_buf_new(0);

	for (size_t i = 0; i < ms->loaded_count; i++) {
		mx_error *e = mx_self_configure(ms->loaded[i]);

		if (e != NULL)
			mx_buf_printf(all, "%s%s", mx_buf_view(all).n > 0 ? "\n" : "",
				      mx_error_text(e));
		mx_error_free(&e);
	}
	return mx_buf_view(all).n > 0 ? mx_error_new(MX_E_CONFIG, "%s", mx_buf_cstr(all)) : NULL;
}

mx_error *
mx_modules_register(struct mx_core *core)
{
	struct mx_modules *ms = core->modules;
	struct mx_generation *g;

	MX_TRY(mx_generation_new(ms->loaded, ms->loaded_count, &g));
	mx_registry_publish(core, g);
	return NULL;
}

static bool
needed(struct mx_modules *ms, const struct mx_module_self *self)
{
	for (size_t i = 0; i < ms->loaded_count; i++)
		if (mx_needs_uses(ms->loaded[i], self, false))
			return true;
	return self->life->permanent;
}

size_t
mx_modules_tables(struct mx_core *core, struct mx_migration_set *out, size_t max)
{
	const struct mx_modules *ms = core->modules;
	size_t n = 0;

	for (size_t i = 0; i < ms->loaded_count && n < max; i++) {
		const struct mx_image *im = ms->loaded[i]->image;

		if (im->migration_count > 0)
			out[n++] = (struct mx_migration_set){ ms->loaded[i]->name, im->migrations,
							      im->migration_count };
	}
	return n;
}

mx_error *
mx_modules_start(struct mx_core *core)
{
	struct mx_modules *ms = core->modules;
	bool dropped = false;

	for (size_t i = 0; i < ms->loaded_count;) {
		struct mx_module_self *self = ms->loaded[i];
		mx_error *e = mx_self_start(self);

		if (e == NULL) {
			i++;
			continue;
		}
		if (!in_list(&ms->options.optional, self->name) || needed(ms, self))
			return e;
		mx_log("runtime", MX_WARN, "RUN001", "optional module is left out",
		       mx_fz("module", self->name), mx_fe(e));
		mx_error_free(&e);
		memmove(&ms->loaded[i], &ms->loaded[i + 1],
			(ms->loaded_count - i - 1) * sizeof(*ms->loaded));
		ms->loaded_count--;
		MX_TRY(mx_modules_register(core));
		mx_self_free(&self);
		dropped = true;
	}
	ms->ready = true;
	return dropped || core->http != NULL ? mx_modules_register(core) : NULL;
}

const void *
mx_modules_provider(struct mx_core *core, const char *kind, const char *name,
		    struct mx_module_self **self)
{
	struct mx_modules *ms = core->modules;

	for (size_t i = 0; i < ms->loaded_count; i++) {
		const struct mx_image *im = ms->loaded[i]->image;

		for (size_t j = 0; j < im->provider_count; j++) {
			if (strcmp(im->providers[j].kind, kind) != 0 ||
			    strcmp(im->providers[j].name, name) != 0)
				continue;
			*self = ms->loaded[i];
			mx_self_hold(*self);
			mx_self_pin(*self);
			(*self)->life->permanent = true;
			return im->providers[j].ops;
		}
	}
	*self = NULL;
	return NULL;
}

void
mx_modules_release(struct mx_module_self *self)
{
	if (self == NULL)
		return;
	self->life->permanent = false;
	mx_self_release(self);
	mx_self_unpin(self);
}

/* ---- the end ---- */

void
mx_modules_drain(struct mx_core *core)
{
	struct mx_modules *ms = core->modules;

	for (size_t i = ms != NULL ? ms->loaded_count : 0; i-- > 0;)
		if (ms->loaded[i]->life->started && ms->loaded[i]->image->drain != NULL)
			ms->loaded[i]->image->drain(ms->loaded[i]);
}

void
mx_modules_stop(struct mx_core *core)
{
	struct mx_modules *ms = core->modules;

	if (ms == NULL)
		return;
	mx_registry_publish(core, NULL);
	mx_modules_reap(core);
	/* In the order of leaving: users before what they use. */
	for (size_t i = 0; i < ms->leaving_count; i++)
		mx_self_stop(ms->leaving[i]);
	for (size_t i = ms->loaded_count; i-- > 0;)
		if (!ms->loaded[i]->life->permanent)
			mx_self_stop(ms->loaded[i]);
	for (size_t i = ms->loaded_count; i-- > 0;)
		if (!ms->loaded[i]->life->permanent)
			drop(ms, i);
}

void
mx_modules_close(struct mx_core *core)
{
	struct mx_modules *ms = core->modules;

	core->modules = NULL;
	if (ms == NULL)
		return;
	for (size_t i = 0; i < ms->leaving_count; i++)
		mx_self_free(&ms->leaving[i]);
	for (size_t i = ms->loaded_count; i-- > 0;) {
		mx_self_stop(ms->loaded[i]);
		mx_self_free(&ms->loaded[i]);
	}
	free(ms->leaving);
	free(ms->loaded);
	free(ms->dirs);
	mx_arena_free(&ms->arena);
	free(ms);
}
