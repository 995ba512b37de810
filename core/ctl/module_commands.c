/* The modules: of the running server, and as files. */
#include "config.h"

#include "core/ctl/catalog.h"
#include "core/ctl/ctl.h"
#include "core/runtime/loader.h"

static mx_error *
forward(struct mx_ctl *ctl, const char *verb, const char *const *args, size_t n, int *status)
{
	mx_str words[3] = { MX_S("module"), mx_str_of(verb) };

	if (n > 0)
		words[2] = mx_str_of(args[0]);
	return mx_ctl_forward(ctl, MX_CTL_SERVER, words, n > 0 ? 3 : 2, status);
}

static mx_error *
list_installed(struct mx_ctl *ctl)
{
	MX_AUTO_JSON *all = json_array();
	struct mx_ctl_catalog c;

	mx_ctl_catalog_open(ctl, &c);
	for (size_t i = 0; i < c.name_count; i++) {
		struct mx_image *im;
		mx_error *e = mx_ctl_catalog_module(&c, c.names[i], &im);

		if (e != NULL) {
			fprintf(stderr, "myelinctl: %s\n", mx_error_text(e));
			mx_error_free(&e);
			continue;
		}
		if (!ctl->json)
			printf("%-24s %-10s %s\n", im->name, im->version, im->summary);
		json_array_append_new(all, mx_ctl_module_json(im));
		mx_image_free(&im);
	}
	mx_ctl_catalog_close(&c);
	if (ctl->json)
		mx_ctl_write_json(all);
	return NULL;
}

static mx_error *
list(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	if (n == 0)
		return forward(ctl, "list", NULL, 0, status);
	if (strcmp(args[0], "--installed") == 0)
		return list_installed(ctl);
	*status = MX_CTL_USAGE;
	return NULL;
}

static mx_error *
load(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	return forward(ctl, "load", args, n, status);
}

static mx_error *
unload(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	return forward(ctl, "unload", args, n, status);
}

static mx_error *
reload(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	return forward(ctl, "reload", args, n, status);
}

static mx_error *
hooks(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	return forward(ctl, "hooks", args, n, status);
}

static mx_error *
show(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_ctl_catalog c;
	struct mx_image *im;
	mx_error *e;

	(void)n;
	mx_ctl_catalog_open(ctl, &c);
	e = mx_ctl_catalog_module(&c, args[0], &im);
	if (e == NULL) {
		MX_AUTO_JSON *j = mx_ctl_module_json(im);

		mx_image_describe(im, b);
		if (ctl->json)
			mx_ctl_write_json(j);
		else
			mx_ctl_write(mx_buf_view(b));
		mx_image_free(&im);
	}
	mx_ctl_catalog_close(&c);
	if (e != NULL)
		*status = MX_CTL_FAILED;
	return e;
}

const struct mx_ctl_command mx_ctl_module_commands[] = {
	{ "module list", "[--installed]", "lists the modules that the running server has loaded",
	  "--installed lists those that are installed, and needs no server.", 0, 1, list },
	{ "module load", "NAME", "loads a module into the running server",
	  "It must be installed, or in a folder of [modules] path; its section of the "
	  "configuration is read. When it cannot be\n"
	  "loaded, the server goes on as it was. Name it in [modules] load to have it after a "
	  "restart.",
	  1, 1, load },
	{ "module unload", "NAME", "unloads a module of the running server",
	  "Its routes, hooks and jobs are gone at once; its code leaves when nothing of it runs "
	  "any more.",
	  1, 1, unload },
	{ "module reload", "NAME", "replaces a module by what its file holds now",
	  "The new one starts before the old one leaves; no request is refused. When the new one "
	  "does not start, the old one stays.",
	  1, 1, reload },
	{ "module hooks", "", "prints the hooks in the order in which they run, with counts", NULL,
	  0, 0, hooks },
	{ "module show", "NAME | FILE", "prints what a module says of itself",
	  "Its options, routes, hooks, providers, services, jobs, metrics, commands and "
	  "migrations, without running any of it.\n"
	  "Needs no server and no configuration. With --json for programs.",
	  1, 1, show },
};
const size_t mx_ctl_module_command_count =
	sizeof(mx_ctl_module_commands) / sizeof(mx_ctl_module_commands[0]);
