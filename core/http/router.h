/* Which handler answers a method and a path. A router is built once from all loaded modules' rows
 * and never changes; the server swaps it by pointer, and each request holds the one it was found
 * in. Client-Server API, "API Standards".
 *
 * Segments are compared after splitting at "/" and percent-decoding, literals before parameters.
 * "r0" in the third segment is "v3". A trailing slash is ignored after a parameter
 * (…/state/m.room.name/ has the empty state key); after a literal it is there or not as the template
 * has it (…/pushrules/). */
#ifndef CORE_HTTP_ROUTER_H
#define CORE_HTTP_ROUTER_H

#include <myelin/request.h>

struct mx_router;

/* One row of a module's table. The router copies the strings; self (NULL for the core's own) is
 * borrowed and is pinned by each request, not by the router. */
struct mx_router_row {
	const struct mx_route *route;
	struct mx_module_self *self;
	const char *owner;		/* the module's name, for messages */
};

/* MX_E_CONFIG: a malformed template, an unknown method, two owners of one route (both are named),
 * a flag that is not supported. One reference is the caller's. */
mx_error *mx_router_new(const struct mx_router_row *rows, size_t n,
			struct mx_router **out) MX_MUST_USE;
struct mx_router *mx_router_ref(struct mx_router *r);
void mx_router_unref(struct mx_router **r);

enum { MX_ROUTER_PARAMS = 12 };		/* the most parameters a template may have */

/* A route in a router, and what a path said to its parameters (still percent-encoded, within that
 * path). */
struct mx_router_match {
	const struct mx_route *route;
	struct mx_module_self *self;
	const char *const *names;	/* of the parameters */
	size_t n;
	mx_str values[MX_ROUTER_PARAMS];
	const char *allow;		/* "GET, PUT, OPTIONS" when only the method is wrong */
};

enum mx_router_result {
	MX_ROUTER_FOUND = 0,
	MX_ROUTER_UNKNOWN = 1,
	MX_ROUTER_METHOD = 2,
	MX_ROUTER_MALFORMED = 3
};

/* path: without its query. HEAD finds GET. */
enum mx_router_result mx_router_find(const struct mx_router *r, mx_str method, mx_str path,
				     struct mx_router_match *out);
size_t mx_router_count(const struct mx_router *r);

#endif
