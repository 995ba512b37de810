/* All options and modules that there are, without a server and without a configuration: for
 * explanations, the reference and the manual pages. */
#ifndef CORE_CTL_CATALOG_H
#define CORE_CTL_CATALOG_H

#include "core/runtime/conf.h"
#include "core/runtime/image.h"

#include "core/ctl/ctl.h"

struct mx_ctl_catalog {
	struct mx_core *core;		/* nothing but a loader that knows where to look */
	struct mx_config *config;
	struct mx_values *options;
	struct mx_arena *arena;
	const char **names;		/* installed modules, in order */
	size_t name_count;
};

/* Looks where the configuration says when there is one that can be read, else where Myelin is
 * installed or built. */
void mx_ctl_catalog_open(struct mx_ctl *ctl, struct mx_ctl_catalog *c);
void mx_ctl_catalog_close(struct mx_ctl_catalog *c);
/* A module by name or by its file. */
mx_error *mx_ctl_catalog_module(struct mx_ctl_catalog *c, const char *name_or_file,
				struct mx_image **out) MX_MUST_USE;

/* A section of myelin.conf: of the core, or a module's. */
struct mx_ctl_section {
	const char *name, *summary;
	const struct mx_option *rows;
	size_t n;
	bool module;
};
/* Calls fn for every section, the core's first, then those of the modules that have options. A
 * module that cannot be read is told on standard error. fn's error ends the walk. */
mx_error *mx_ctl_sections(struct mx_ctl_catalog *c,
			  mx_error *(*fn)(void *arg, const struct mx_ctl_section *s),
			  void *arg) MX_MUST_USE;

/* Everything a module says of itself, as JSON. */
json_t *mx_ctl_module_json(const struct mx_image *im);
/* myelin.conf(5) onto b. */
mx_error *mx_ctl_manual(struct mx_ctl_catalog *c, struct mx_buf *b) MX_MUST_USE;

#endif
