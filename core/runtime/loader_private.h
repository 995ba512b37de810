/* The loader from the inside: for loader*.c and self.c. */
#ifndef CORE_RUNTIME_LOADER_PRIVATE_H
#define CORE_RUNTIME_LOADER_PRIVATE_H

#include <ltdl.h>

#include "core/runtime/loader.h"

struct mx_old_values {
	struct mx_old_values *next;
	struct mx_values *values;
};

/* The loader's part of a module. Main thread only, but for what is atomic. */
struct mx_life {
	struct mx_modules *ms;
	lt_dlhandle handle;
	char *path;
	struct mx_values *values;		/* what self->options points to */
	struct mx_old_values *retired;		/* freed once nothing of the module runs that may still read them */
	struct mx_old_values *kept;		/* some current values point into these: freed with the module */
	struct mx_service_use *uses;
	unsigned holds;				/* generations that name it, modules that use its services, the database */
	bool started, permanent;
	_Atomic bool leaving;
};

struct mx_modules {
	struct mx_core *core;
	struct mx_arena *arena;
	const char **dirs;
	size_t dir_count;
	struct mx_modules_options options;
	const char *storage, *folder;
	void (*wake)(void *arg);
	void *wake_arg;
	struct mx_module_self **loaded;		/* each after what it requires */
	size_t loaded_count;
	struct mx_module_self **leaving;
	size_t leaving_count;
	bool ready;				/* mx_modules_start has been through: new ones are started at once */
};

/* ---- loader_find.c ---- */
void mx_modules_set_dirs(struct mx_modules *ms, const struct mx_list *path);
/* The file of a module, in the arena; NULL. */
const char *mx_modules_find(struct mx_modules *ms, const char *name, struct mx_arena *a);
/* Whether a path of mx_modules_find stands for a module that is linked in: its code is there once,
 * and never changes. */
bool mx_module_is_linked(const char *path);
/* Opens the object and reads its descriptor. shown: the file as messages call it. */
mx_error *mx_object_open(const char *path, const char *name, const char *shown, lt_dlhandle *handle,
			 struct mx_image **im) MX_MUST_USE;
/* The same from a private copy, so that the code is what the file holds now (of a linked module: as
 * above). */
mx_error *mx_object_open_copy(struct mx_modules *ms, const char *path, const char *name,
			      lt_dlhandle *handle, struct mx_image **im) MX_MUST_USE;
void mx_object_close(lt_dlhandle handle, uint32_t flags);

/* ---- loader_self.c ---- */
struct mx_module_self *mx_self_new(struct mx_modules *ms, struct mx_image *im, lt_dlhandle handle,
				   const char *path);
/* Frees and closes; nothing of it may run or be registered. */
void mx_self_free(struct mx_module_self **self);
mx_error *mx_self_configure(struct mx_module_self *self) MX_MUST_USE;
/* Migrates its tables and starts it; after a failure it may be freed. */
mx_error *mx_self_start(struct mx_module_self *self) MX_MUST_USE;
void mx_self_stop(struct mx_module_self *self);
void mx_self_hold(struct mx_module_self *self);
void mx_self_release(struct mx_module_self *self);
void mx_self_bind(struct mx_module_self *self, struct mx_config *config);

/* ---- loader_needs.c ---- */
/* Whom a need finds among n modules; NULL. *functions: of the service, or NULL when the need names
 * a module. */
struct mx_module_self *mx_need_find(const struct mx_requirement *need, struct mx_module_self *const *v,
				    size_t n, const void **functions);
/* Why a need finds nobody. */
mx_error *mx_need_missing(const struct mx_module_self *self, const struct mx_requirement *need,
			  struct mx_module_self *const *v, size_t n) MX_MUST_USE;
/* Sorts v so that each stands after what it requires; a cycle is an error that names it. All needs
 * must be met. */
mx_error *mx_needs_sort(struct mx_module_self **v, size_t n) MX_MUST_USE;
/* Sets the table of services of self, holding who publishes them. */
void mx_needs_resolve(struct mx_module_self *self, struct mx_module_self *const *v, size_t n);
/* Whether `user` requires or uses `self` (services_only: through a service). */
bool mx_needs_uses(const struct mx_module_self *user, const struct mx_module_self *self,
		   bool services_only);

#endif
