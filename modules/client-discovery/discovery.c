/* What the server is and can: composed from what is loaded. Client-Server API, "API Versions",
 * "Capabilities negotiation", "Server Discovery". */
#include "config.h"

#include <myelin/module.h>

struct options {
	const char *support_page, *support_email, *support_user, *support_role;
};

static const struct mx_option options[] = {
	MX_OPT(struct options, support_page, .flags = MX_OPT_RELOAD,
	       .help = "A page for people who need help with this server."),
	MX_OPT(struct options, support_email, .flags = MX_OPT_RELOAD,
	       .help = "Where its administrators can be reached by mail."),
	MX_OPT(struct options, support_user, .flags = MX_OPT_RELOAD,
	       .help = "The Matrix user id of an administrator."),
	MX_OPT(struct options, support_role, .def = "m.role.admin", .flags = MX_OPT_RELOAD,
	       .help = "What that contact is for: m.role.admin or m.role.security."),
};

/* A version is a promise: clients switch features on by it. Each is named when the routes that it
 * brought are there, and those before it are; so the list grows with what is loaded. (v1.1 is named
 * always: below it clients turn away. What is newer than this table, a module adds by the hook.) */
static const struct {
	const char *name;
	const char *method, *path;	/* NULL: it brought none to ask for */
} versions[] = {
	{ "r0.6.1", NULL, NULL },
	{ "v1.1", NULL, NULL },
	{ "v1.2", "GET", "/_matrix/client/v1/rooms/!r/hierarchy" },
	{ "v1.3", "GET", "/_matrix/client/v1/rooms/!r/relations/$e" },
	{ "v1.4", "GET", "/_matrix/client/v1/rooms/!r/threads" },
	{ "v1.5", NULL, NULL },
	{ "v1.6", "GET", "/_matrix/client/v1/rooms/!r/timestamp_to_event" },
	{ "v1.7", "POST", "/_matrix/media/v1/create" },
	{ "v1.8", NULL, NULL },
	{ "v1.9", NULL, NULL },
	{ "v1.10", NULL, NULL },
	{ "v1.11", "GET", "/_matrix/client/v1/media/download/s/m" },
	{ "v1.12", NULL, NULL },
};

static enum mx_outcome
get_versions(struct mx_request *rq)
{
	struct mx_core *core = mx_request_core(rq);
	json_t *list = json_array(), *unstable = json_object();

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		if (versions[i].path != NULL &&
		    !mx_core_has_route(core, versions[i].method, versions[i].path))
			break;
		json_array_append_new(list, json_string(versions[i].name));
	}
	mx_run_versions(core, list, unstable);
	return mx_reply_json(
		rq, 200, json_pack("{s:o, s:o}", "versions", list, "unstable_features", unstable));
}

static json_t *
json_of(mx_str s)
{
	return json_stringn(s.p, s.n);
}

static json_t *
room_versions(const struct mx_rooms *rooms)
{
	json_t *available = json_object();
	const struct mx_room_version *v;

	for (size_t n = 0; (v = mx_rooms_version(rooms, n)) != NULL; n++) {
		mx_str name = mx_room_version_name(v);

		json_object_setn_new(available, name.p, name.n, json_string("stable"));
	}
	return json_pack("{s:o, s:o}", "default",
			 json_of(mx_room_version_name(mx_rooms_default_version(rooms))),
			 "available", available);
}

static enum mx_outcome
get_capabilities(struct mx_request *rq)
{
	struct mx_core *core = mx_request_core(rq);
	json_t *capabilities = json_object();

	json_object_set_new(capabilities, "m.room_versions", room_versions(mx_core_rooms(core)));
	mx_run_capabilities(core, rq, capabilities);
	return mx_reply_json(rq, 200, json_pack("{s:o}", "capabilities", capabilities));
}

static enum mx_outcome
get_well_known(struct mx_request *rq)
{
	mx_str url = mx_core_public_url(mx_request_core(rq));

	if (url.n == 0)
		return mx_reply_error(rq,
				      mx_error_new(MX_E_NOT_FOUND,
						   "This server does not say where it is reached"));
	json_t *document = json_pack("{s:{s:o}}", "m.homeserver", "base_url", json_of(url));
	mx_run_well_known(mx_request_core(rq), document);
	return mx_reply_json(rq, 200, document);
}

static enum mx_outcome
get_support(struct mx_request *rq)
{
	const struct options *o = mx_self_options(mx_request_self(rq));
	json_t *document = json_object(), *contact = json_object();

	if (o->support_email != NULL)
		json_object_set_new(contact, "email_address", json_string(o->support_email));
	if (o->support_user != NULL)
		json_object_set_new(contact, "matrix_id", json_string(o->support_user));
	if (json_object_size(contact) > 0) {
		json_object_set_new(contact, "role", json_string(o->support_role));
		json_object_set_new(document, "contacts", json_pack("[O]", contact));
	}
	json_decref(contact);
	if (o->support_page != NULL)
		json_object_set_new(document, "support_page", json_string(o->support_page));
	if (json_object_size(document) > 0)
		return mx_reply_json(rq, 200, document);
	json_decref(document);
	return mx_reply_error(rq, mx_error_new(MX_E_NOT_FOUND, "This server names no contact"));
}

static const struct mx_route routes[] = {
	{ "GET", "/_matrix/client/versions", get_versions, MX_AUTH_OPTIONAL, MX_RATE_NONE, 0, 0 },
	{ "GET", "/_matrix/client/v3/capabilities", get_capabilities, MX_AUTH_GUEST, MX_RATE_READ,
	  0, 0 },
	{ "GET", "/.well-known/matrix/client", get_well_known, MX_AUTH_NONE, MX_RATE_NONE, 0, 0 },
	{ "GET", "/.well-known/matrix/support", get_support, MX_AUTH_NONE, MX_RATE_NONE, 0, 0 },
};

static mx_error *
configure(struct mx_module_self *self)
{
	const struct options *o = mx_self_options(self);

	if (o->support_user != NULL && !mx_id_user(mx_str_of(o->support_user), NULL, NULL))
		return mx_error_new(MX_E_CONFIG,
				    "[client-discovery] support_user: %s is not a user id",
				    o->support_user);
	return NULL;
}

MX_MODULE(client_discovery) = {
	MX_MODULE_HEAD("client-discovery", "0.1.0",
		       "Versions, capabilities, and how clients find the server"),
	.options = MX_TABLE(options),
	.options_size = sizeof(struct options),
	.routes = MX_TABLE(routes),
	.configure = configure,
};
