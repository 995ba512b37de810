#include "config.h"

#include "core/runtime/core.h"

#include <stdlib.h>

#include "core/runtime/pool.h"
#include "core/runtime/registry.h"

struct mx_core *
mx_core_new(const char *server_name)
{
	/* The stripes of the readers stand on cache lines of their own. */
	struct mx_core *core = aligned_alloc(_Alignof(struct mx_core), sizeof(*core));

	if (core == NULL)
		abort();
	memset(core, 0, sizeof(*core));
	core->server.name = server_name;
	return core;
}

void
mx_core_free(struct mx_core **core)
{
	free(*core);
	*core = NULL;
}

struct mx_db *
mx_core_db(struct mx_core *c)
{
	return c->db;
}

struct mx_rooms *
mx_core_rooms(struct mx_core *c)
{
	return c->rooms;
}

struct mx_stream *
mx_core_stream(struct mx_core *c)
{
	return c->stream;
}

struct mx_accounts *
mx_core_accounts(struct mx_core *c)
{
	return c->accounts;
}

mx_str
mx_core_server_name(const struct mx_core *c)
{
	return mx_str_of(c->server.name);
}

mx_str
mx_core_public_url(const struct mx_core *c)
{
	return mx_str_of(c->server.public_url);
}

const struct mx_signing_key *
mx_core_signing_key(const struct mx_core *c)
{
	return c->key;
}

/* ---- deferred calls ---- */

struct deferred {
	struct mx_pool_job job;
	struct mx_core *core;
	void (*fn)(struct mx_core *core, void *arg);
	void *arg;
	unsigned ticket;
};

static void
run_deferred(struct mx_pool_job *job)
{
	struct deferred *d = (struct deferred *)job;
	struct mx_core *core = d->core;

	d->fn(core, d->arg);
	/* fn may be a module's: until here it was a reader of the registry, so that its module
	 * could not leave. */
	mx_registry_leave(core, d->ticket);
	free(d);
}

void
mx_core_defer(struct mx_core *c, void (*fn)(struct mx_core *c, void *arg), void *arg)
{
	struct deferred *d;

	/* Before the start and at the very end there are no workers, and only the main thread. */
	if (c->pool == NULL) {
		fn(c, arg);
		return;
	}
	d = mx_alloc(sizeof(*d));
	d->job.run = run_deferred;
	d->core = c;
	d->fn = fn;
	d->arg = arg;
	mx_registry_enter(c, &d->ticket);
	mx_pool_push(c->pool, &d->job, MX_LANE_FRESH);
}
