/* Modules that come, go and change while the server runs. What comes is opened from a private copy
 * and started before anybody can find it; what goes is out of the registry first, and ends when
 * nothing of it runs any more. */
#include "config.h"

#include <stdlib.h>

#include "core/runtime/loader_private.h"
#include "core/runtime/option.h"
#include "core/runtime/registry.h"

/* ---- lists of modules ---- */

struct list {
	struct mx_module_self **v;
	size_t n;
};

static struct list
list_copy(struct mx_module_self *const *v, size_t n, size_t more)
{
	struct list l = { mx_alloc((n + more + 1) * sizeof(*v)), n };

	if (n > 0)
		memcpy(l.v, v, n * sizeof(*v));
	return l;
}

static size_t
list_find(const struct list *l, const struct mx_module_self *self)
{
	size_t i = 0;

	while (i < l->n && l->v[i] != self)
		i++;
	return i;
}

static struct mx_module_self *
find(struct mx_modules *ms, const char *name)
{
	for (size_t i = 0; i < ms->loaded_count; i++)
		if (strcmp(ms->loaded[i]->name, name) == 0)
			return ms->loaded[i];
	return NULL;
}

static mx_error *
not_loaded(struct mx_modules *ms, const char *name)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	for (size_t i = 0; i < ms->loaded_count; i++)
		mx_buf_printf(b, "%s%s", i > 0 ? ", " : "", ms->loaded[i]->name);
	return mx_error_new(MX_E_NOT_FOUND, "module %s is not loaded; loaded are: %s", name,
			    mx_buf_cstr(b));
}

/* ---- leaving ---- */

static void
leave(struct mx_modules *ms, struct mx_module_self *self)
{
	atomic_store(&self->life->leaving, true);
	if (self->life->started && self->image->drain != NULL)
		self->image->drain(self);
	ms->leaving = mx_realloc(ms->leaving, ms->leaving_count + 1, sizeof(*ms->leaving));
	ms->leaving[ms->leaving_count++] = self;
}

/* Old options whose last reader is gone: all that ran when they were replaced has ended. */
static void
free_retired(struct mx_module_self *self)
{
	while (self->life->retired != NULL && atomic_load(&self->pins) == 0) {
		struct mx_old_values *old = self->life->retired;

		self->life->retired = old->next;
		mx_values_free(&old->values);
		free(old);
	}
}

size_t
mx_modules_reap(struct mx_core *core)
{
	struct mx_modules *ms = core->modules;
	bool again = true;

	/* One that goes may release another that waits for it. */
	while (again) {
		again = false;
		for (size_t i = 0; i < ms->leaving_count; i++) {
			struct mx_module_self *self = ms->leaving[i];

			if (atomic_load(&self->pins) != 0 || self->life->holds != 0)
				continue;
			memmove(&ms->leaving[i], &ms->leaving[i + 1],
				(ms->leaving_count - i - 1) * sizeof(*ms->leaving));
			ms->leaving_count--;
			mx_self_stop(self);
			mx_log("runtime", MX_INFO, "RUN003", "module has left",
			       mx_fz("module", self->name));
			mx_self_free(&self);
			again = true;
			break;
		}
	}
	for (size_t i = 0; i < ms->loaded_count; i++)
		free_retired(ms->loaded[i]);
	return ms->leaving_count;
}

/* Makes the list the loaded modules, in its order; the registry first. */
static mx_error *
publish(struct mx_modules *ms, struct list *l)
{
	struct mx_generation *g;

	MX_TRY(mx_generation_new(l->v, l->n, &g));
	mx_registry_publish(ms->core, g);
	free(ms->loaded);
	ms->loaded = l->v;
	ms->loaded_count = l->n;
	*l = (struct list){ NULL, 0 };
	return NULL;
}

/* ---- coming ---- */

static void
tolerate(void *arg, const char *section)
{
	mx_config_tolerate(arg, section);
}

/* What is linked in is there once: a second instance would share the variables of the first. */
static mx_error *
refuse_linked(const struct list *old)
{
	for (size_t i = 0; i < old->n; i++)
		if (mx_module_is_linked(old->v[i]->life->path))
			return mx_error_new(MX_E_BAD_REQUEST,
					    "module %s is linked into the server and cannot be "
					    "reloaded%s: a new "
					    "version of it comes with a new myelind; its options "
					    "are taken up by SIGHUP",
					    old->v[i]->name, i > 0 ? ", and it uses this one" : "");
	return NULL;
}

static mx_error *
refuse_twice(struct mx_modules *ms, const char *name)
{
	for (size_t i = 0; i < ms->leaving_count; i++)
		if (strcmp(ms->leaving[i]->name, name) == 0 &&
		    mx_module_is_linked(ms->leaving[i]->life->path))
			return mx_error_new(MX_E_BAD_REQUEST,
					    "module %s is linked into the server and has not left "
					    "yet: something of "
					    "it still runs; try again",
					    name);
	return NULL;
}

/* A new self from the file as it is now, with its options; it has no needs resolved and is not
 * started. */
static mx_error *
open_new(struct mx_modules *ms, struct mx_config *config, const char *name,
	 struct mx_module_self **out)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	const char *path = mx_modules_find(ms, name, a);
	lt_dlhandle handle;
	struct mx_image *im;

	if (path == NULL)
		return mx_error_new(MX_E_NOT_FOUND, "there is no module %s in %s", name,
				    ms->dirs[ms->dir_count - 1]);
	MX_TRY(mx_object_open_copy(ms, path, name, &handle, &im));
	*out = mx_self_new(ms, im, handle, path);
	mx_self_bind(*out, config);
	return NULL;
}

static mx_error *
check_needs(const struct mx_module_self *self, const struct list *l)
{
	for (size_t i = 0; i < self->image->need_count; i++) {
		const struct mx_requirement *need = &self->image->needs[i];
		const void *functions;

		if (!need->optional && mx_need_find(need, l->v, l->n, &functions) == NULL)
			return mx_need_missing(self, need, l->v, l->n);
	}
	return NULL;
}

/* Checks the list as a whole before anything of the new ones runs. */
static mx_error *
check_whole(struct list *l)
{
	struct mx_generation *g;

	for (size_t i = 0; i < l->n; i++)
		MX_TRY(check_needs(l->v[i], l));
	MX_TRY(mx_needs_sort(l->v, l->n));
	MX_TRY(mx_generation_new(l->v, l->n, &g));
	mx_generation_free(&g);
	return NULL;
}

static mx_error *
start_new(struct list *l, const struct list *fresh)
{
	for (size_t i = 0; i < l->n; i++) {
		if (list_find(fresh, l->v[i]) == fresh->n)
			continue;
		mx_needs_resolve(l->v[i], l->v, l->n);
		MX_TRY(mx_self_configure(l->v[i]));
		MX_TRY(mx_self_start(l->v[i]));
	}
	return NULL;
}

/* The new ones did not get in: stop those that were started, users before what they use. */
static void
discard(struct list *fresh, const struct list *whole)
{
	for (size_t i = whole->n; i-- > 0;) {
		size_t k = list_find(fresh, whole->v[i]);

		if (k == fresh->n)
			continue;
		mx_self_stop(whole->v[i]);
		mx_self_free(&fresh->v[k]);
	}
	/* Those that never made it into the whole. */
	for (size_t i = 0; i < fresh->n; i++)
		mx_self_free(&fresh->v[i]);
}

mx_error *
mx_module_load(struct mx_core *core, struct mx_config *config, const char *name)
{
	struct mx_modules *ms = core->modules;
	struct list whole, fresh = { mx_alloc(sizeof(*fresh.v)), 0 };
	mx_error *e;

	if (find(ms, name) != NULL) {
		free(fresh.v);
		return mx_error_new(
			MX_E_BAD_REQUEST,
			"module %s is loaded; module reload takes up a new version of it", name);
	}
	e = refuse_twice(ms, name);
	if (e == NULL)
		e = open_new(ms, config, name, &fresh.v[0]);
	whole = list_copy(ms->loaded, ms->loaded_count, 1);
	if (e == NULL) {
		fresh.n = 1;
		whole.v[whole.n++] = fresh.v[0];
		mx_config_undeclared(config, tolerate, config);
		e = mx_config_check(config);
	}
	if (e == NULL)
		e = check_whole(&whole);
	if (e == NULL)
		e = start_new(&whole, &fresh);
	if (e == NULL)
		e = publish(ms, &whole);
	if (e != NULL)
		discard(&fresh, &whole);
	else
		mx_log("runtime", MX_INFO, "RUN002", "module is loaded", mx_fz("module", name),
		       mx_fz("version", fresh.v[0]->image->version));
	free(fresh.v);
	free(whole.v);
	return e;
}

static mx_error *
in_use(struct mx_modules *ms, const struct mx_module_self *self)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	if (self->life->permanent)
		return mx_error_new(
			MX_E_BAD_REQUEST,
			"module %s holds the open database; it leaves when the server stops",
			self->name);
	for (size_t i = 0; i < ms->loaded_count; i++)
		if (mx_needs_uses(ms->loaded[i], self, false))
			mx_buf_printf(b, "%s%s", mx_buf_view(b).n > 0 ? ", " : "",
				      ms->loaded[i]->name);
	if (mx_buf_view(b).n == 0)
		return NULL;
	return mx_error_new(MX_E_BAD_REQUEST, "module %s is needed by %s; unload that first",
			    self->name, mx_buf_cstr(b));
}

mx_error *
mx_module_unload(struct mx_core *core, const char *name)
{
	struct mx_modules *ms = core->modules;
	struct mx_module_self *self = find(ms, name);
	struct list rest;
	mx_error *e;
	size_t i;

	if (self == NULL)
		return not_loaded(ms, name);
	MX_TRY(in_use(ms, self));
	rest = list_copy(ms->loaded, ms->loaded_count, 0);
	i = list_find(&rest, self);
	memmove(&rest.v[i], &rest.v[i + 1], (rest.n - i - 1) * sizeof(*rest.v));
	rest.n--;
	e = publish(ms, &rest);
	free(rest.v);
	if (e == NULL)
		leave(ms, self);
	return e;
}

/* The module and all that use its services, and so on. */
static struct list
affected(struct mx_modules *ms, struct mx_module_self *self)
{
	struct list l = { mx_alloc((ms->loaded_count + 1) * sizeof(*l.v)), 0 };

	l.v[l.n++] = self;
	for (size_t k = 0; k < l.n; k++)
		for (size_t i = 0; i < ms->loaded_count; i++)
			if (mx_needs_uses(ms->loaded[i], l.v[k], true) &&
			    list_find(&l, ms->loaded[i]) == l.n)
				l.v[l.n++] = ms->loaded[i];
	return l;
}

mx_error *
mx_module_reload(struct mx_core *core, struct mx_config *config, const char *name)
{
	struct mx_modules *ms = core->modules;
	struct mx_module_self *self = find(ms, name);
	struct list old, fresh, whole;
	mx_error *e;

	if (self == NULL)
		return not_loaded(ms, name);
	if (self->life->permanent)
		return in_use(ms, self);
	old = affected(ms, self);
	fresh = list_copy(NULL, 0, old.n);
	whole = list_copy(ms->loaded, ms->loaded_count, 0);
	e = refuse_linked(&old);
	for (size_t i = 0; i < old.n && e == NULL; i++) {
		e = open_new(ms, config, old.v[i]->name, &fresh.v[i]);
		if (e != NULL)
			break;
		fresh.n++;
		whole.v[list_find(&whole, old.v[i])] = fresh.v[i];
	}
	if (e == NULL) {
		mx_config_undeclared(config, tolerate, config);
		e = mx_config_check(config);
	}
	if (e == NULL)
		e = check_whole(&whole);
	if (e == NULL)
		e = start_new(&whole, &fresh);
	if (e == NULL)
		e = publish(ms, &whole);
	if (e != NULL)
		discard(&fresh, &whole);
	for (size_t i = old.n; i-- > 0 && e == NULL;) {
		mx_log("runtime", MX_INFO, "RUN004", "module is reloaded",
		       mx_fz("module", fresh.v[i]->name), mx_fz("from", old.v[i]->image->version),
		       mx_fz("to", fresh.v[i]->image->version));
		leave(ms, old.v[i]);
	}
	free(old.v);
	free(fresh.v);
	free(whole.v);
	return e;
}

/* ---- options ---- */

static void
keep(struct mx_old_values **list, struct mx_values *v)
{
	struct mx_old_values *old = mx_alloc(sizeof(*old));

	old->values = v;
	old->next = *list;
	*list = old;
}

static size_t
value_size(uint32_t type)
{
	return type == MX_OPT_BOOL   ? sizeof(bool)
	       : type == MX_OPT_LIST ? sizeof(struct mx_list)
				     : sizeof(int64_t);
}

/* Sorts the differences: what may not change now keeps its old value. Returns whether anything is
 * left to take up. */
static bool
merge(const struct mx_module_self *self, const void *was, void *now, bool *borrowed,
      struct mx_buf *notes)
{
	const struct mx_image *im = self->image;
	bool changed = false;

	*borrowed = false;
	for (size_t i = 0; i < im->option_count; i++) {
		const struct mx_option *row = &im->options[i];

		if (mx_option_same(row, was, now)) {
			continue;
		} else if ((row->flags & MX_OPT_RELOAD) != 0) {
			changed = true;
		} else {
			memcpy((char *)now + row->offset, (const char *)was + row->offset,
			       value_size(row->type));
			mx_buf_printf(notes, "[%s] %s\n", self->name, row->name);
			*borrowed = true;
		}
	}
	return changed;
}

static void
reload_options(struct mx_module_self *self, struct mx_config *config, struct mx_buf *notes)
{
	const struct mx_image *im = self->image;
	struct mx_values *was = self->life->values;
	struct mx_values *now = mx_config_bind(config, self->name, im->options, im->option_count,
					       im->options_size, MX_BIND_MODULE);
	bool borrowed;
	mx_error *e;

	if (!merge(self, was->data, now->data, &borrowed, notes)) {
		mx_values_free(&now);
		return;
	}
	atomic_store_explicit(&self->options, now->data, memory_order_release);
	e = im->reload != NULL ? im->reload(self) : NULL;
	if (e != NULL) {
		mx_log("runtime", MX_WARN, "RUN005", "module keeps its old options",
		       mx_fz("module", self->name), mx_fe(e));
		mx_error_free(&e);
		atomic_store_explicit(&self->options, was->data, memory_order_release);
		/* Something may have read the new ones in the meantime. */
		keep(&self->life->retired, now);
		return;
	}
	self->life->values = now;
	keep(borrowed ? &self->life->kept : &self->life->retired, was);
}

void
mx_modules_reload_options(struct mx_core *core, struct mx_config *config, struct mx_buf *notes)
{
	struct mx_modules *ms = core->modules;

	for (size_t i = 0; i < ms->loaded_count; i++)
		reload_options(ms->loaded[i], config, notes);
	/* Hooks hold no pin: wait for those that run, so that pins alone tell when the old options
	 * are free. */
	mx_registry_wait(core);
	mx_modules_reap(core);
}

struct declaring {
	struct mx_core *core;
	struct mx_config *config;
};

static void
declare_idle(void *arg, const char *section)
{
	struct declaring *d = arg;
	struct mx_image *im = NULL;
	struct mx_values *v;
	mx_error *e;

	/* Another database's driver is not opened for this. */
	e = strncmp(section, "storage-", 8) != 0 ? mx_module_peek(d->core, section, &im) : NULL;
	if (mx_error_is(e, MX_E_NOT_FOUND)) {
		mx_error_free(&e);
		return;
	}
	mx_error_free(&e);
	if (im == NULL) {
		mx_config_tolerate(d->config, section);
		return;
	}
	v = mx_config_bind(d->config, section, im->options, im->option_count, im->options_size,
			   MX_BIND_MODULE | MX_BIND_IDLE);
	mx_values_free(&v);
	mx_image_free(&im);
}

void
mx_modules_declare(struct mx_core *core, struct mx_config *config)
{
	struct mx_modules *ms = core->modules;
	struct declaring d = { core, config };

	for (size_t i = 0; i < ms->loaded_count; i++) {
		const struct mx_image *im = ms->loaded[i]->image;
		struct mx_values *v =
			mx_config_bind(config, im->name, im->options, im->option_count,
				       im->options_size, MX_BIND_MODULE);

		mx_values_free(&v);
	}
	mx_config_undeclared(config, declare_idle, &d);
}
