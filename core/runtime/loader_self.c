/* One loaded module: its making, its life, its end, and what the public functions ask of it. */
#include "config.h"

#include <stdlib.h>

#include "core/runtime/durable.h"
#include "core/runtime/loader_private.h"

/* ---- what the module itself asks ---- */

struct mx_core *
mx_self_core(struct mx_module_self *self)
{
	return self->core;
}

const char *
mx_self_name(const struct mx_module_self *self)
{
	return self->name;
}

const void *
mx_self_options(struct mx_module_self *self)
{
	return atomic_load_explicit(&self->options, memory_order_acquire);
}

void
mx_self_set_state(struct mx_module_self *self, void *state)
{
	self->state = state;
}

void *
mx_self_state(struct mx_module_self *self)
{
	return self->state;
}

const void *
mx_self_service(struct mx_module_self *self, const char *name)
{
	for (size_t i = 0; i < self->service_count; i++)
		if (strcmp(self->services[i].name, name) == 0)
			return self->services[i].functions;
	return NULL;
}

/* ---- pins ---- */

void
mx_self_pin(struct mx_module_self *self)
{
	if (self != NULL)
		atomic_fetch_add(&self->pins, 1);
}

void
mx_self_unpin(struct mx_module_self *self)
{
	struct mx_modules *ms;
	bool leaving;

	if (self == NULL)
		return;
	/* Once the last pin is gone self may be freed by the main thread: nothing of it is read
	 * after that. */
	ms = self->life != NULL ? self->life->ms : NULL;
	leaving = ms != NULL && atomic_load(&self->life->leaving);
	if (atomic_fetch_sub(&self->pins, 1) == 1 && leaving && ms->wake != NULL)
		ms->wake(ms->wake_arg);
}

bool
mx_self_leaving(const struct mx_module_self *self)
{
	return self->life != NULL && atomic_load(&self->life->leaving);
}

void
mx_self_hold(struct mx_module_self *self)
{
	if (self->life != NULL)
		self->life->holds++;
}

void
mx_self_release(struct mx_module_self *self)
{
	if (self->life != NULL)
		self->life->holds--;
}

/* ---- life ---- */

struct mx_module_self *
mx_self_new(struct mx_modules *ms, struct mx_image *im, lt_dlhandle handle, const char *path)
{
	struct mx_module_self *self = mx_alloc(sizeof(*self));
	struct mx_life *life = mx_alloc(sizeof(*life));

	life->ms = ms;
	life->handle = handle;
	life->path = mx_str_dup(mx_str_of(path));
	self->core = ms->core;
	self->name = im->name;
	self->image = im;
	self->life = life;
	for (size_t i = 0; i < im->hook_count; i++)
		im->hooks[i].self = self;
	return self;
}

static void
free_old(struct mx_old_values **list)
{
	while (*list != NULL) {
		struct mx_old_values *old = *list;

		*list = old->next;
		mx_values_free(&old->values);
		free(old);
	}
}

void
mx_self_free(struct mx_module_self **module)
{
	struct mx_module_self *self = *module;
	struct mx_life *life;
	uint32_t flags;

	*module = NULL;
	if (self == NULL)
		return;
	life = self->life;
	flags = self->image->flags;
	for (size_t i = 0; i < self->service_count; i++)
		if (self->services[i].from != NULL)
			mx_self_release(self->services[i].from);
	free(life->uses);
	free_old(&life->retired);
	free_old(&life->kept);
	mx_values_free(&life->values);
	mx_image_free(&self->image);
	mx_object_close(life->handle, flags);
	free(life->path);
	free(life);
	free(self);
}

void
mx_self_bind(struct mx_module_self *self, struct mx_config *config)
{
	const struct mx_image *im = self->image;
	struct mx_values *v = mx_config_bind(config, self->name, im->options, im->option_count,
					     im->options_size, MX_BIND_MODULE);

	mx_values_free(&self->life->values);
	self->life->values = v;
	atomic_store_explicit(&self->options, v->data, memory_order_release);
}

/* What a module's own function said, as a refusal of the module. */
static mx_error *
failed(const struct mx_module_self *self, const char *what, mx_error *e)
{
	mx_error *refusal =
		mx_error_new(MX_E_CONFIG, "module %s %s: %s", self->name, what, mx_error_text(e));

	mx_error_free(&e);
	return refusal;
}

mx_error *
mx_self_configure(struct mx_module_self *self)
{
	mx_error *e = self->image->configure != NULL ? self->image->configure(self) : NULL;

	return e != NULL ? failed(self, "does not accept its configuration", e) : NULL;
}

mx_error *
mx_self_start(struct mx_module_self *self)
{
	const struct mx_image *im = self->image;
	mx_error *e = NULL;

	if (im->migration_count > 0 && self->core->db != NULL) {
		e = mx_migrate(self->core->db, self->name, im->migrations, im->migration_count);
		if (e != NULL)
			return failed(self, "cannot bring its tables up to date", e);
	}
	e = mx_durable_adopt(self->core, self);
	if (e != NULL)
		return failed(self, "cannot be given a cursor", e);
	e = im->start != NULL ? im->start(self) : NULL;
	if (e != NULL)
		return failed(self, "does not start", e);
	self->life->started = true;
	return NULL;
}

void
mx_self_stop(struct mx_module_self *self)
{
	if (self->life->started && self->image->stop != NULL)
		self->image->stop(self);
	self->life->started = false;
}
