/* What a module's descriptor says, checked and copied: the core works from the copy alone, so that
 * nothing but functions and the tables behind providers and services points into the object.
 * Reading runs none of the module's functions. */
#ifndef CORE_RUNTIME_IMAGE_H
#define CORE_RUNTIME_IMAGE_H

#include <stdatomic.h>

#include <myelin/module.h>

/* A row of hooks of a loaded module, and what it has done. */
struct mx_hook_entry {
	struct mx_module_self *self;
	uint32_t id;
	int32_t priority;
	union mx_hook_fn fn;
	const mx_str *types;		/* NULL: all */
	size_t type_count;
	_Atomic uint64_t calls, refusals, us;
	_Atomic int64_t slow_said;	/* when a slow run was last logged */
};

/* One item of "requires". */
struct mx_requirement {
	const char *name;
	uint32_t version;		/* of a service, at least; 0: a module, or a service of any version */
	bool optional;
};

struct mx_image {
	struct mx_arena *arena;
	const char *name, *version, *summary, *file;
	uint32_t flags, abi_major, abi_minor;
	struct mx_requirement *needs;
	struct mx_option *options;
	struct mx_migration *migrations;
	struct mx_route *routes;
	struct mx_hook_entry *hooks;
	struct mx_provider_row *providers;
	struct mx_service_row *services;
	struct mx_job_row *jobs;
	struct mx_metric_row *metrics;
	struct mx_command_row *commands;
	size_t need_count, option_count, options_size, migration_count, route_count, hook_count,
		provider_count, service_count, job_count, metric_count, command_count;
	mx_error *(*configure)(struct mx_module_self *self);
	mx_error *(*start)(struct mx_module_self *self);
	mx_error *(*reload)(struct mx_module_self *self);
	void (*drain)(struct mx_module_self *self);
	void (*stop)(struct mx_module_self *self);
};

/* name: what the file's name says ("client-sync"). MX_E_CONFIG: what is wrong with the module and
 * what to do. */
mx_error *mx_image_read(const struct mx_module *m, const char *name, const char *file,
			struct mx_image **out) MX_MUST_USE;
void mx_image_free(struct mx_image **im);
/* Everything it says of itself, in lines for a person. */
void mx_image_describe(const struct mx_image *im, struct mx_buf *b);
const char *mx_hook_name(uint32_t id);

/* "client-sync" from "client_sync", and back. */
void mx_module_name_of(const char *file, char *out, size_t room);
void mx_module_file_of(const char *name, char *out, size_t room);

#endif
