#include "config.h"

#include "core/runtime/registry.h"

#include <stdlib.h>
#include <time.h>

#include "core/http/server.h"
#include "core/runtime/loader_private.h"

/* ---- readers ---- */

static unsigned
stripe(void)
{
	static _Atomic unsigned next;
	static _Thread_local unsigned mine;

	if (mine == 0)
		mine = 1 + atomic_fetch_add(&next, 1) % MX_READER_STRIPES;
	return mine - 1;
}

struct mx_generation *
mx_registry_enter(struct mx_core *core, unsigned *ticket)
{
	unsigned set = atomic_load(&core->readers.set) & 1, s = stripe();

	/* Counted before the pointer is read: who replaces it sees the count, or we see what it put
	 * there. */
	atomic_fetch_add(&core->readers.stripe[s].n[set], 1);
	*ticket = s * 2 + set;
	return atomic_load(&core->generation);
}

void
mx_registry_leave(struct mx_core *core, unsigned ticket)
{
	atomic_fetch_sub(&core->readers.stripe[ticket / 2].n[ticket & 1], 1);
}

static void
wait_for_set(struct mx_core *core, unsigned set)
{
	for (;;) {
		long n = 0;

		for (size_t i = 0; i < MX_READER_STRIPES; i++)
			n += atomic_load(&core->readers.stripe[i].n[set]);
		if (n == 0)
			return;
		nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
	}
}

void
mx_registry_wait(struct mx_core *core)
{
	/* Both sets, one after the other: a reader may have chosen its set before the last change
	 * and counted itself after. */
	for (int i = 0; i < 2; i++) {
		unsigned set = atomic_fetch_xor(&core->readers.set, 1) & 1;

		wait_for_set(core, set);
	}
}

/* ---- building ---- */

static int
by_kind_and_name(const void *a, const void *b)
{
	const struct mx_provider *x = a, *y = b;
	int d = strcmp(x->row->kind, y->row->kind);

	return d != 0 ? d : strcmp(x->row->name, y->row->name);
}

static mx_error *
add_providers(struct mx_generation *g)
{
	size_t n = 0;

	for (size_t i = 0; i < g->module_count; i++)
		n += g->modules[i]->image->provider_count;
	g->providers = mx_alloc((n + 1) * sizeof(*g->providers));
	for (size_t i = 0; i < g->module_count; i++) {
		const struct mx_image *im = g->modules[i]->image;

		for (size_t j = 0; j < im->provider_count; j++)
			g->providers[g->provider_count++] =
				(struct mx_provider){ &im->providers[j], g->modules[i] };
	}
	qsort(g->providers, n, sizeof(*g->providers), by_kind_and_name);
	for (size_t i = 1; i < n; i++) {
		const struct mx_provider *a = &g->providers[i - 1], *b = &g->providers[i];

		if (by_kind_and_name(a, b) == 0)
			return mx_error_new(MX_E_CONFIG,
					    "the %s provider \"%s\" is in both %s and %s; load "
					    "only one of them",
					    a->row->kind, a->row->name, a->self->name,
					    b->self->name);
	}
	return NULL;
}

/* Services and commands are few: compared pair by pair. */
static mx_error *
check_pair(const struct mx_image *a, const struct mx_image *b)
{
	for (size_t i = 0; i < a->service_count; i++)
		for (size_t j = a == b ? i + 1 : 0; j < b->service_count; j++)
			if (strcmp(a->services[i].name, b->services[j].name) == 0)
				return mx_error_new(MX_E_CONFIG,
						    "the service \"%s\" is published by both %s "
						    "and %s; load only one of "
						    "them",
						    a->services[i].name, a->name, b->name);
	for (size_t i = 0; i < a->command_count; i++)
		for (size_t j = a == b ? i + 1 : 0; j < b->command_count; j++)
			if (strcmp(a->commands[i].name, b->commands[j].name) == 0)
				return mx_error_new(MX_E_CONFIG,
						    "the command \"%s\" is in both %s and %s; load "
						    "only one of them",
						    a->commands[i].name, a->name, b->name);
	return NULL;
}

static mx_error *
check_pairs(const struct mx_generation *g)
{
	for (size_t i = 0; i < g->module_count; i++)
		for (size_t j = i; j < g->module_count; j++)
			MX_TRY(check_pair(g->modules[i]->image, g->modules[j]->image));
	return NULL;
}

static int
by_priority(const void *a, const void *b)
{
	const struct mx_hook_entry *x = *(struct mx_hook_entry *const *)a,
				   *y = *(struct mx_hook_entry *const *)b;
	int d;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	d = strcmp(x->self->name, y->self->name);
	if (d != 0)
		return d;
	return x < y ? -1 : x > y;	/* of one module: as its table has them */
}

static void
add_hooks(struct mx_generation *g)
{
	size_t counts[MX_HOOK_COUNT] = { 0 };

	for (size_t i = 0; i < g->module_count; i++)
		for (size_t j = 0; j < g->modules[i]->image->hook_count; j++)
			counts[g->modules[i]->image->hooks[j].id]++;
	for (size_t id = 0; id < MX_HOOK_COUNT; id++)
		if (counts[id] > 0)
			g->hooks[id].v = mx_alloc(counts[id] * sizeof(*g->hooks[id].v));
	for (size_t i = 0; i < g->module_count; i++) {
		struct mx_image *im = g->modules[i]->image;

		for (size_t j = 0; j < im->hook_count; j++) {
			struct mx_hook_list *l = &g->hooks[im->hooks[j].id];

			l->v[l->n++] = &im->hooks[j];
		}
	}
	for (size_t id = 0; id < MX_HOOK_COUNT; id++)
		if (g->hooks[id].n > 1)
			qsort(g->hooks[id].v, g->hooks[id].n, sizeof(*g->hooks[id].v), by_priority);
}

static mx_error *
add_routes(struct mx_generation *g)
{
	struct mx_router_row *rows;
	size_t n = 0, k = 0;
	mx_error *e;

	for (size_t i = 0; i < g->module_count; i++)
		n += g->modules[i]->image->route_count;
	rows = mx_alloc((n + 1) * sizeof(*rows));
	for (size_t i = 0; i < g->module_count; i++) {
		const struct mx_image *im = g->modules[i]->image;

		for (size_t j = 0; j < im->route_count; j++)
			rows[k++] =
				(struct mx_router_row){ &im->routes[j], g->modules[i], im->name };
	}
	e = mx_router_new(rows, n, &g->router);
	free(rows);
	return e;
}

mx_error *
mx_generation_new(struct mx_module_self *const *modules, size_t n, struct mx_generation **out)
{
	static _Atomic unsigned number;
	struct mx_generation *g = mx_alloc(sizeof(*g));
	mx_error *e;

	g->number = 1 + atomic_fetch_add(&number, 1);
	g->modules = mx_alloc((n + 1) * sizeof(*g->modules));
	for (size_t i = 0; i < n; i++) {
		mx_self_hold(modules[i]);
		g->modules[g->module_count++] = modules[i];
	}
	add_hooks(g);
	e = add_providers(g);
	if (e == NULL)
		e = check_pairs(g);
	if (e == NULL)
		e = add_routes(g);
	if (e != NULL)
		mx_generation_free(&g);
	*out = g;
	return e;
}

void
mx_generation_free(struct mx_generation **generation)
{
	struct mx_generation *g = *generation;

	*generation = NULL;
	if (g == NULL)
		return;
	mx_router_unref(&g->router);
	for (size_t id = 0; id < MX_HOOK_COUNT; id++)
		free(g->hooks[id].v);
	free(g->providers);
	for (size_t i = 0; i < g->module_count; i++)
		mx_self_release(g->modules[i]);
	free(g->modules);
	free(g);
}

void
mx_registry_publish(struct mx_core *core, struct mx_generation *g)
{
	struct mx_generation *old;
	uint64_t hooked = 0;

	_Static_assert(MX_HOOK_COUNT <= 64, "a bit for each hook");
	for (size_t id = 0; g != NULL && id < MX_HOOK_COUNT; id++)
		hooked |= (uint64_t)(g->hooks[id].n > 0) << id;
	old = atomic_exchange(&core->generation, g);
	atomic_store(&core->hooked, hooked);
	if (core->http != NULL && g != NULL)
		mx_http_set_router(core->http, g->router);
	mx_registry_wait(core);
	mx_generation_free(&old);
}

/* ---- looking up ---- */

struct mx_module_self *
mx_registry_module(struct mx_core *core, const char *name)
{
	unsigned ticket;
	struct mx_generation *g = mx_registry_enter(core, &ticket);
	struct mx_module_self *found = NULL;

	for (size_t i = 0; g != NULL && i < g->module_count && found == NULL; i++)
		if (strcmp(g->modules[i]->name, name) == 0)
			found = g->modules[i];
	mx_self_pin(found);
	mx_registry_leave(core, ticket);
	return found;
}

bool
mx_core_has_route(struct mx_core *core, const char *method, const char *path)
{
	unsigned ticket;
	struct mx_generation *g = mx_registry_enter(core, &ticket);
	struct mx_router_match m;
	bool found = g != NULL && mx_router_find(g->router, mx_str_of(method), mx_str_of(path),
						 &m) == MX_ROUTER_FOUND;

	mx_registry_leave(core, ticket);
	return found;
}

bool
mx_core_has_provider(struct mx_core *core, const char *kind, const char *name)
{
	unsigned ticket;
	struct mx_generation *g = mx_registry_enter(core, &ticket);
	bool found = false;

	for (size_t i = 0; g != NULL && i < g->provider_count && !found; i++)
		found = strcmp(g->providers[i].row->kind, kind) == 0 &&
			(name[0] == 0 || strcmp(g->providers[i].row->name, name) == 0);
	mx_registry_leave(core, ticket);
	return found;
}

mx_error *
mx_core_providers(struct mx_core *core, const char *kind,
		  mx_error *(*fn)(void *arg, const char *name, const void *ops,
				  struct mx_module_self *self),
		  void *arg)
{
	unsigned ticket;
	struct mx_generation *g = mx_registry_enter(core, &ticket);
	mx_error *e = NULL;

	for (size_t i = 0; g != NULL && i < g->provider_count && e == NULL; i++) {
		const struct mx_provider *p = &g->providers[i];

		if (strcmp(p->row->kind, kind) == 0)
			e = fn(arg, p->row->name, p->row->ops, p->self);
	}
	mx_registry_leave(core, ticket);
	return e;
}
