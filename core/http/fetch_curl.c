#include "config.h"

/* libcurl is loaded when it is first needed: a process that never asks another server anything
 * (most tools, a server without federation) has neither its start-up time nor its memory. */

#define CURL_DISABLE_TYPECHECK
#include "core/http/fetch_internal.h"

#include <dlfcn.h>

/* libcurl's name on every system since 2006. */
static const char LIBRARY[] = "libcurl.so.4";

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct mx_curl curl;
static char failure[256];

static void *
find(void *library, const char *name)
{
	void *p = dlsym(library, name);

	if (p == NULL && failure[0] == 0)
		(void)snprintf(failure, sizeof(failure), "%s has no %s", LIBRARY, name);
	return p;
}

static void
load(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (library == NULL) {
		const char *why = dlerror();

		(void)snprintf(failure, sizeof(failure), "%s", why != NULL ? why : LIBRARY);
		return;
	}
#define MX_CURL(name) curl.name = (__typeof__(curl.name))find(library, "curl_" #name);
#include "core/http/fetch_curl.def"
#undef MX_CURL
	if (failure[0] == 0 && curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		(void)snprintf(failure, sizeof(failure), "%s does not start", LIBRARY);
}

mx_error *
mx_curl_get(const struct mx_curl **out)
{
	pthread_once(&once, load);
	if (failure[0] != 0)
		return mx_error_new(MX_E_UNKNOWN, "no other server can be asked: %s", failure);
	*out = &curl;
	return NULL;
}
