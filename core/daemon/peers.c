#include "config.h"

#include "core/daemon/peers.h"

#include <stdlib.h>

#include "core/runtime/module.h"
#include "core/runtime/registry.h"

#define CLOCK_MS 30000		/* clocks may be this far apart: sessions and leases go by them */

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Their names in order, separated by commas. */
static void
modules(struct mx_core *core, struct mx_buf *b)
{
	unsigned ticket;
	struct mx_generation *g = mx_registry_enter(core, &ticket);
	size_t n = g != NULL ? g->module_count : 0;
	const char **names = mx_alloc((n + 1) * sizeof(*names));

	for (size_t i = 0; i < n; i++)
		names[i] = g->modules[i]->name;
	qsort(names, n, sizeof(*names), by_text);
	for (size_t i = 0; i < n; i++)
		mx_buf_printf(b, "%s,", names[i]);
	free(names);
	mx_registry_leave(core, ticket);
}

static void
key(struct mx_core *core, struct mx_buf *b)
{
	unsigned char public_key[MX_ED25519_PUBLIC];

	mx_signing_key_public(core->key, public_key);
	mx_buf_printf(b, "%.*s:", MX_SFMT(mx_signing_key_id(core->key)));
	mx_base64(b, public_key, sizeof(public_key));
}

void
mx_peer_facts(struct mx_core *core, struct mx_buf *b)
{
	mx_buf_printf(b, "%.*s ", MX_SFMT(mx_core_server_name(core)));
	key(core, b);
	mx_buf_printf(b, " %lld ", (long long)mx_now());
	modules(core, b);
}

static bool
has(mx_str list, mx_str name)
{
	mx_str one;

	while (mx_str_cut(list, ',', &one, &list))
		if (mx_str_eq(one, name))
			return true;
	return false;
}

/* The first of `list` that `other` lacks; empty when there is none. */
static mx_str
lacks(mx_str list, mx_str other)
{
	mx_str one;

	while (mx_str_cut(list, ',', &one, &list))
		if (!has(other, one))
			return one;
	return MX_S("");
}

mx_error *
mx_peer_meets(void *arg, mx_str facts)
{
	struct mx_core *core = arg;
	MX_AUTO(mx_buf) *our_key = mx_buf_new(0), *our_modules = mx_buf_new(0);
	mx_str name, their_key, time, more, less;
	int64_t then = 0;

	if (!mx_str_cut(facts, ' ', &name, &facts) || !mx_str_cut(facts, ' ', &their_key, &facts) ||
	    !mx_str_cut(facts, ' ', &time, &facts) || !mx_str_int(time, 0, INT64_MAX, &then))
		return mx_error_new(MX_E_CONFIG, "it is of a version that this one does not know");
	if (!mx_str_eq(name, mx_core_server_name(core)))
		return mx_error_new(MX_E_CONFIG, "[server] name is %.*s here",
				    MX_SFMT(mx_core_server_name(core)));
	key(core, our_key);
	if (!mx_str_eq(their_key, mx_buf_view(our_key)))
		return mx_error_new(MX_E_CONFIG, "[server] signing_key is another one here");
	if (llabs(mx_now() - then) > CLOCK_MS)
		return mx_error_new(MX_E_CONFIG, "the clocks are %lld s apart",
				    (long long)llabs(mx_now() - then) / 1000);
	modules(core, our_modules);
	more = lacks(facts, mx_buf_view(our_modules));
	less = lacks(mx_buf_view(our_modules), facts);
	if (more.n > 0)
		return mx_error_new(MX_E_CONFIG, "the module %.*s is not loaded here", MX_SFMT(more));
	if (less.n > 0)
		return mx_error_new(MX_E_CONFIG, "the module %.*s is loaded here", MX_SFMT(less));
	return NULL;
}
