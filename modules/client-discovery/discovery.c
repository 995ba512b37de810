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

/* The versions whose client routes the server's own modules serve. Clients switch features on by
 * this list (threads at v1.4, room summaries at v1.15, profile fields at v1.16): a module that
 * brings a later version's routes adds it by the hook. */
static const char *const versions[] = {
	"r0.6.1", "v1.1", "v1.2", "v1.3",  "v1.4",  "v1.5",  "v1.6",
	"v1.7",   "v1.8", "v1.9", "v1.10", "v1.11", "v1.12",
};

static enum mx_outcome
get_versions(struct mx_request *rq)
{
	json_t *list = json_array(), *unstable = json_object();

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		json_array_append_new(list, json_string(versions[i]));
	mx_run_versions(mx_request_core(rq), list, unstable);
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
