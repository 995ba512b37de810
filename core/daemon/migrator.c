#include "config.h"

#include "core/daemon/migrator.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "core/daemon/setup.h"
#include "core/runtime/image.h"
#include "core/runtime/module.h"
#include "core/runtime/registry.h"

enum { BEAT_MS = 5000, LOOK_MS = 1000, FAILED_MS = 15000, CORE_TABLES = 8 };

struct mx_migrator {
	struct mx_core *core;
	void (*over)(void *arg);
	void *arg;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool poked;
	bool company;			/* another process may ask whether this one is there */
	atomic_bool stop;
	const struct mx_module_self *at;	/* whose tables are worked on */
};

static bool
is_to_stop(void *arg)
{
	const struct mx_migrator *m = arg;

	return atomic_load(&m->stop) || (m->at != NULL && mx_self_leaving(m->at));
}

/* ---- a round ---- */

enum round { SETTLED, OPEN, FAILED };

static enum round
worse(enum round a, enum round b)
{
	return a > b ? a : b;
}

static enum round
work(struct mx_migrator *m, const struct mx_migration_set *set)
{
	const struct mx_migrate_pace pace = { .stop = is_to_stop, .arg = m };
	bool open;
	mx_error *e = mx_migrate_work(m->core->db, set, &pace, &open);

	if (e == NULL)
		return open ? OPEN : SETTLED;
	mx_log("sql", mx_error_is(e, MX_E_UNAVAILABLE) ? MX_INFO : MX_WARN, "SQL022",
	       "a migration did not go on; it is tried again", mx_fe(e));
	mx_error_free(&e);
	return FAILED;
}

/* The nth loaded module, pinned. */
static struct mx_module_self *
module_at(struct mx_core *core, size_t nth)
{
	unsigned ticket;
	struct mx_generation *g = mx_registry_enter(core, &ticket);
	struct mx_module_self *self = g != NULL && nth < g->module_count ? g->modules[nth] : NULL;

	mx_self_pin(self);
	mx_registry_leave(core, ticket);
	return self;
}

static enum round
go_round(struct mx_migrator *m)
{
	struct mx_migration_set sets[CORE_TABLES];
	size_t n = mx_setup_core_tables(m->core, sets);
	enum round r = SETTLED;

	for (size_t i = 0; i < n && !is_to_stop(m); i++)
		r = worse(r, work(m, &sets[i]));
	for (size_t i = 0; !atomic_load(&m->stop); i++) {
		struct mx_module_self *self = module_at(m->core, i);

		if (self == NULL)
			break;
		m->at = self;
		if (self->image->migration_count > 0)
			r = worse(r, work(m, &(struct mx_migration_set){
						     self->name, self->image->migrations,
						     self->image->migration_count }));
		m->at = NULL;
		mx_self_unpin(self);
	}
	return r;
}

/* ---- the thread ---- */

/* Until it is time to say again that this process is there, or there is something to do: where nobody
 * asks and nothing is left, that may be never. */
static void
wait_after(struct mx_migrator *m, enum round r)
{
	struct timespec until;
	int why = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (r == OPEN ? LOOK_MS : BEAT_MS) / 1000;
	pthread_mutex_lock(&m->lock);
	while (!m->poked && !atomic_load(&m->stop) && why == 0)
		why = r != SETTLED || m->company
			      ? pthread_cond_timedwait(&m->changed, &m->lock, &until)
			      : pthread_cond_wait(&m->changed, &m->lock);
	pthread_mutex_unlock(&m->lock);
}

static bool
take_poke(struct mx_migrator *m)
{
	pthread_mutex_lock(&m->lock);
	bool poked = m->poked;
	m->poked = false;
	pthread_mutex_unlock(&m->lock);
	return poked;
}

static void
beat(struct mx_migrator *m)
{
	mx_error *e = mx_db_beat(m->core->db);

	if (mx_error_is(e, MX_E_CONFIG)) {
		mx_log("sql", MX_ERROR, "SQL023",
		       "this process was away for so long that others have gone on without it; it "
		       "ends", mx_fe(e));
		m->over(m->arg);
	}
	mx_error_free(&e);
}

static void *
run(void *arg)
{
	struct mx_migrator *m = arg;
	enum round r = OPEN;
	int64_t next = 0;

	pthread_setname_np(pthread_self(), "migrator");
	while (!atomic_load(&m->stop)) {
		beat(m);
		if (take_poke(m) || (r != SETTLED && mx_monotonic_us() >= next)) {
			r = go_round(m);
			next = mx_monotonic_us() + (r == FAILED ? FAILED_MS : LOOK_MS) * INT64_C(1000);
		}
		wait_after(m, r);
	}
	return NULL;
}

mx_error *
mx_migrator_start(struct mx_core *core, void (*over)(void *arg), void *arg, struct mx_migrator **out)
{
	struct mx_migrator *m = mx_alloc(sizeof(*m));
	pthread_condattr_t monotonic;

	m->core = core;
	m->company = core->shared;
	m->over = over;
	m->arg = arg;
	pthread_mutex_init(&m->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&m->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	int why = pthread_create(&m->thread, NULL, run, m);
	if (why == 0) {
		*out = m;
		return NULL;
	}
	pthread_cond_destroy(&m->changed);
	pthread_mutex_destroy(&m->lock);
	free(m);
	return mx_error_new(MX_E_UNKNOWN, "cannot start a thread: %s", strerror(why));
}

void
mx_migrator_poke(struct mx_migrator *m)
{
	if (m == NULL)
		return;
	pthread_mutex_lock(&m->lock);
	m->poked = true;
	pthread_cond_signal(&m->changed);
	pthread_mutex_unlock(&m->lock);
}

mx_error *
mx_migrator_company(struct mx_migrator *m, bool comes)
{
	if (m == NULL)
		return NULL;
	pthread_mutex_lock(&m->lock);
	m->company = comes || m->core->shared;
	pthread_cond_signal(&m->changed);
	pthread_mutex_unlock(&m->lock);
	return comes ? mx_db_is_here(m->core->db) : NULL;
}

void
mx_migrator_stop(struct mx_migrator **mp)
{
	struct mx_migrator *m = *mp;

	*mp = NULL;
	if (m == NULL)
		return;
	pthread_mutex_lock(&m->lock);
	atomic_store(&m->stop, true);
	pthread_cond_signal(&m->changed);
	pthread_mutex_unlock(&m->lock);
	pthread_join(m->thread, NULL);
	pthread_cond_destroy(&m->changed);
	pthread_mutex_destroy(&m->lock);
	free(m);
}
