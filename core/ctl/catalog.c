#include "config.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/ctl/catalog.h"
#include "core/daemon/sections.h"
#include "core/runtime/core.h"
#include "core/runtime/loader.h"

void
mx_ctl_catalog_open(struct mx_ctl *ctl, struct mx_ctl_catalog *c)
{
	struct mx_modules_options none = { 0 };
	struct mx_modules_setup setup = { .options = &none };
	bool there = access(ctl->config, R_OK) == 0;

	*c = (struct mx_ctl_catalog){ .arena = mx_arena_new() };
	c->core = mx_core_new(NULL);
	/* Its mistakes are nobody's business here. */
	c->config = mx_config_read(there ? ctl->config : "/dev/null", NULL);
	for (size_t i = 0; i < ctl->set_count; i++)
		mx_config_set(c->config, ctl->set[i]);
	c->options = mx_config_bind(c->config, "modules", mx_modules_option_rows,
				    mx_modules_option_count, sizeof(struct mx_modules_options), 0);
	none.path = ((const struct mx_modules_options *)c->options->data)->path;
	mx_modules_open(c->core, c->config, &setup);
	c->name_count = mx_modules_installed(c->core, c->arena, &c->names);
}

void
mx_ctl_catalog_close(struct mx_ctl_catalog *c)
{
	mx_modules_stop(c->core);
	mx_modules_close(c->core);
	mx_values_free(&c->options);
	mx_config_free(&c->config);
	mx_core_free(&c->core);
	mx_arena_free(&c->arena);
}

mx_error *
mx_ctl_catalog_module(struct mx_ctl_catalog *c, const char *name_or_file, struct mx_image **out)
{
	const char *name = name_or_file;
	bool file = strchr(name, '/') != NULL;
	size_t n = strlen(name);

	/* "module.so" in this folder is a file too. */
	if (!file && n > 3 && strcmp(name + n - 3, ".so") == 0)
		name = mx_arena_printf(c->arena, "./%s", name).p;
	if (name != name_or_file || file) {
		const char *full = realpath(name, NULL);

		if (full == NULL)
			return mx_error_new(MX_E_NOT_FOUND, "there is no file %s", name);
		name = mx_arena_str(c->arena, mx_str_of(full)).p;
		free((void *)full);
	}
	return mx_module_peek(c->core, name, out);
}

mx_error *
mx_ctl_sections(struct mx_ctl_catalog *c,
		mx_error *(*fn)(void *arg, const struct mx_ctl_section *s), void *arg)
{
	const struct mx_core_section *core;
	mx_error *e;

	for (size_t i = 0; (core = mx_core_section(i)) != NULL; i++)
		MX_TRY(fn(arg, &(struct mx_ctl_section){ core->name, core->summary, core->rows,
							 *core->n, false }));
	for (size_t i = 0; i < c->name_count; i++) {
		struct mx_image *im;

		e = mx_module_peek(c->core, c->names[i], &im);
		if (e != NULL) {
			fprintf(stderr, "myelinctl: %s\n", mx_error_text(e));
			mx_error_free(&e);
			continue;
		}
		if (im->option_count > 0)
			e = fn(arg, &(struct mx_ctl_section){ im->name, im->summary, im->options,
							      im->option_count, true });
		mx_image_free(&im);
		if (e != NULL)
			return e;
	}
	return NULL;
}
