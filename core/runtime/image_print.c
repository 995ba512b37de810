/* A module in words: for `myelinctl module show`, and for the manual page that is made of it. */
#include "config.h"

#include "core/runtime/conf.h"
#include "core/runtime/image.h"

static void
put_needs(const struct mx_image *im, struct mx_buf *b)
{
	for (size_t i = 0; i < im->need_count; i++) {
		const struct mx_requirement *n = &im->needs[i];

		mx_buf_printf(b, "%s%s", i == 0 ? "Requires: " : ", ", n->name);
		if (n->version > 0)
			mx_buf_printf(b, ">=%u", n->version);
		if (n->optional)
			mx_buf_str(b, MX_S(" (if it is there)"));
	}
	if (im->need_count > 0)
		mx_buf_byte(b, '\n');
}

static void
put_tables(const struct mx_image *im, struct mx_buf *b)
{
	for (size_t i = 0; i < im->provider_count; i++)
		mx_buf_printf(b, "Provides: %s %s\n", im->providers[i].kind, im->providers[i].name);
	for (size_t i = 0; i < im->service_count; i++)
		mx_buf_printf(b, "Service: %s %u\n", im->services[i].name, im->services[i].version);
	for (size_t i = 0; i < im->route_count; i++)
		mx_buf_printf(b, "Route: %s %s\n", im->routes[i].method, im->routes[i].path);
	for (size_t i = 0; i < im->hook_count; i++)
		mx_buf_printf(b, "Hook: %s (priority %d)\n", mx_hook_name(im->hooks[i].id),
			      im->hooks[i].priority);
	for (size_t i = 0; i < im->job_count; i++)
		mx_buf_printf(b, "Job: %s, every %lld ms\n", im->jobs[i].name,
			      (long long)im->jobs[i].every);
	for (size_t i = 0; i < im->metric_count; i++)
		mx_buf_printf(b, "Metric: %s\n", im->metrics[i].name);
	for (size_t i = 0; i < im->command_count; i++)
		mx_buf_printf(b, "Command: %s %s\n", im->commands[i].name, im->commands[i].usage);
	for (size_t i = 0; i < im->migration_count; i++)
		mx_buf_printf(b, "Migration: %u %s\n", im->migrations[i].number,
			      im->migrations[i].what);
}

void
mx_image_describe(const struct mx_image *im, struct mx_buf *b)
{
	mx_buf_printf(b, "%s %s\n%s\nFile: %s\nInterface: %u.%u\n", im->name, im->version,
		      im->summary, im->file, im->abi_major, im->abi_minor);
	put_needs(im, b);
	put_tables(im, b);
	for (size_t i = 0; i < im->option_count; i++)
		mx_option_explain(im->name, &im->options[i], b);
}
