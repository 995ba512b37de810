/* The server as a module reaches it. */
#ifndef MYELIN_CORE_H
#define MYELIN_CORE_H

#include <myelin/account.h>
#include <myelin/crypto.h>
#include <myelin/room.h>

struct mx_core;

MX_API struct mx_db *mx_core_db(struct mx_core *c);
MX_API struct mx_rooms *mx_core_rooms(struct mx_core *c);
MX_API struct mx_stream *mx_core_stream(struct mx_core *c);
MX_API struct mx_accounts *mx_core_accounts(struct mx_core *c);
MX_API mx_str mx_core_server_name(const struct mx_core *c);	/* [server] name */
MX_API mx_str mx_core_public_url(const struct mx_core *c);	/* [server] public_url, or empty */
MX_API const struct mx_signing_key *mx_core_signing_key(const struct mx_core *c);
MX_API const char *mx_version(void);				/* "0.1.0" */
/* Whether a route is served now: "GET" and a path, with anything for its parameters. */
MX_API bool mx_core_has_route(struct mx_core *c, const char *method, const char *path);
/* Whether a provider of this kind and name is loaded; "" asks for any of the kind. */
MX_API bool mx_core_has_provider(struct mx_core *c, const char *kind, const char *name);
/* Calls fn for each provider of a kind, in the order of names; fn's error ends the walk. */
MX_API mx_error *mx_core_providers(struct mx_core *c, const char *kind,
				   mx_error *(*fn)(void *arg, const char *name, const void *ops,
						   struct mx_module_self *self),
				   void *arg) MX_MUST_USE;

/* Tells the other processes of this server something in passing: their handlers of the hook told
 * get it. It leaves no trace, and who cannot hear now misses it. topic: without a space, by custom
 * the module's name; both without NUL, together under 3,900 bytes. Never blocks; any thread. */
MX_API void mx_core_tell(struct mx_core *c, mx_str topic, mx_str text);

/* Runs fn(arg) on a worker thread soon; arg is freed by fn. For what a hook may not do in place. */
MX_API void mx_core_defer(struct mx_core *c, void (*fn)(struct mx_core *c, void *arg), void *arg);

#endif
