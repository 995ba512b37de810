/* What a module says of itself, for programs. */
#include "config.h"

#include "core/ctl/catalog.h"

static json_t *
text(const char *z)
{
	return z != NULL ? json_string(z) : json_null();
}

static const char *const auth_names[] = { "none", "optional", "user", "guest", "admin" };
static const char *const rate_names[] = { "none", "read", "write", "login", "register" };
static const char *const type_names[] = { "", "bool", "int", "str", "duration", "size", "list" };

#define NAME_OF(names, i) ((size_t)(i) < sizeof(names) / sizeof((names)[0]) ? (names)[i] : "?")

static json_t *
needs(const struct mx_image *im)
{
	json_t *list = json_array();

	for (size_t i = 0; i < im->need_count; i++)
		json_array_append_new(list, json_pack("{s:s,s:I,s:b}", "name", im->needs[i].name,
						      "version", (json_int_t)im->needs[i].version,
						      "optional", im->needs[i].optional));
	return list;
}

static json_t *
options(const struct mx_image *im)
{
	json_t *list = json_array();

	for (size_t i = 0; i < im->option_count; i++) {
		const struct mx_option *o = &im->options[i];

		json_array_append_new(list,
				      json_pack("{s:s,s:s,s:o,s:o,s:I,s:I,s:o,s:b,s:b,s:b}", "name",
						o->name, "type", NAME_OF(type_names, o->type),
						"help", text(o->help), "default", text(o->def),
						"min", (json_int_t)o->min, "max",
						(json_int_t)o->max, "choices", text(o->choices),
						"required", (o->flags & MX_OPT_REQUIRED) != 0,
						"secret", (o->flags & MX_OPT_SECRET) != 0, "reload",
						(o->flags & MX_OPT_RELOAD) != 0));
	}
	return list;
}

static json_t *
routes(const struct mx_image *im)
{
	json_t *list = json_array();

	for (size_t i = 0; i < im->route_count; i++)
		json_array_append_new(
			list, json_pack("{s:s,s:s,s:s,s:s,s:I}", "method", im->routes[i].method,
					"path", im->routes[i].path, "auth",
					NAME_OF(auth_names, im->routes[i].auth), "rate",
					NAME_OF(rate_names, im->routes[i].rate), "body_limit",
					(json_int_t)im->routes[i].body_limit));
	return list;
}

static json_t *
hooks(const struct mx_image *im)
{
	json_t *list = json_array();

	for (size_t i = 0; i < im->hook_count; i++) {
		json_t *types = json_array();

		for (size_t j = 0; j < im->hooks[i].type_count; j++)
			json_array_append_new(types, json_stringn(im->hooks[i].types[j].p,
								  im->hooks[i].types[j].n));
		json_array_append_new(list, json_pack("{s:s,s:i,s:o}", "hook",
						      mx_hook_name(im->hooks[i].id), "priority",
						      (int)im->hooks[i].priority, "types", types));
	}
	return list;
}

static json_t *
provides(const struct mx_image *im)
{
	json_t *list = json_array();

	for (size_t i = 0; i < im->provider_count; i++)
		json_array_append_new(list,
				      json_pack("{s:s,s:s,s:I}", "kind", im->providers[i].kind,
						"name", im->providers[i].name, "abi",
						(json_int_t)im->providers[i].abi));
	return list;
}

static json_t *
services(const struct mx_image *im)
{
	json_t *list = json_array();

	for (size_t i = 0; i < im->service_count; i++)
		json_array_append_new(list,
				      json_pack("{s:s,s:I}", "name", im->services[i].name,
						"version", (json_int_t)im->services[i].version));
	return list;
}

static json_t *
jobs(const struct mx_image *im)
{
	json_t *list = json_array();

	for (size_t i = 0; i < im->job_count; i++)
		json_array_append_new(list, json_pack("{s:s,s:I}", "name", im->jobs[i].name,
						      "every_ms", (json_int_t)im->jobs[i].every));
	return list;
}

static json_t *
metrics(const struct mx_image *im)
{
	json_t *list = json_array();

	for (size_t i = 0; i < im->metric_count; i++)
		json_array_append_new(list, json_pack("{s:s,s:o,s:b}", "name", im->metrics[i].name,
						      "help", text(im->metrics[i].help), "counter",
						      im->metrics[i].counter != 0));
	return list;
}

static json_t *
commands(const struct mx_image *im)
{
	json_t *list = json_array();

	for (size_t i = 0; i < im->command_count; i++)
		json_array_append_new(list, json_pack("{s:s,s:o,s:o}", "name", im->commands[i].name,
						      "usage", text(im->commands[i].usage), "help",
						      text(im->commands[i].help)));
	return list;
}

static json_t *
migrations(const struct mx_image *im)
{
	json_t *list = json_array();

	for (size_t i = 0; i < im->migration_count; i++)
		json_array_append_new(list, json_pack("{s:I,s:o}", "number",
						      (json_int_t)im->migrations[i].number, "what",
						      text(im->migrations[i].what)));
	return list;
}

json_t *
mx_ctl_module_json(const struct mx_image *im)
{
	json_t *o =
		json_pack("{s:s,s:o,s:o,s:o,s:[I,I],s:b}", "name", im->name, "version",
			  text(im->version), "summary", text(im->summary), "file", text(im->file),
			  "abi", (json_int_t)im->abi_major, (json_int_t)im->abi_minor, "resident",
			  (im->flags & MX_MODULE_RESIDENT) != 0);

	json_object_set_new(o, "requires", needs(im));
	json_object_set_new(o, "options", options(im));
	json_object_set_new(o, "migrations", migrations(im));
	json_object_set_new(o, "routes", routes(im));
	json_object_set_new(o, "hooks", hooks(im));
	json_object_set_new(o, "providers", provides(im));
	json_object_set_new(o, "services", services(im));
	json_object_set_new(o, "jobs", jobs(im));
	json_object_set_new(o, "metrics", metrics(im));
	json_object_set_new(o, "commands", commands(im));
	return o;
}
