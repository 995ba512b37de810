/* A clock that is set anew while its process shares a database with others. They agreed on the time
 * when they came in (mx_db_peers), and sessions, tokens and events go by it: so what jumps is this
 * process's idea of the system's clock, not its idea of the time. The database, whose clock all of
 * them see, says whether it was this clock that jumped; a lone process goes by its own. The time of
 * the database comes with what is asked anyway. */
#include "config.h"

#include <stdlib.h>

#include <myelin/log.h>

#include "core/base/clock.h"
#include "core/sql/impl.h"

#define JUMP_MS 2000		/* less is how clocks are, and how long an answer takes */

void
mx_skew_init(struct mx_skew *s)
{
	pthread_mutex_init(&s->lock, NULL);
}

void
mx_skew_end(struct mx_skew *s)
{
	pthread_mutex_destroy(&s->lock);
}

static void
shift(mx_msec by)
{
	mx_clock_shift(mx_clock_shifted() + by);
	mx_log("sql", MX_WARN, "SQL020",
	       "the clock of this machine was set anew; while other processes serve, the time goes on as before",
	       mx_fi("set_by_ms", -by), mx_fi("corrected_by_ms", mx_clock_shifted()));
}

/* With the lock held. */
static void
observe(struct mx_skew *s, mx_msec theirs)
{
	mx_msec ours = mx_now(), wall = ours - mx_monotonic_us() / 1000;
	mx_msec moved = theirs - ours - s->apart, jumped = wall - s->wall;

	if (s->known && llabs(jumped) > JUMP_MS && llabs(moved + jumped) <= JUMP_MS) {
		shift(-jumped);
		return;
	}
	/* It was theirs that jumped, or the whole machine slept, or an answer took long. */
	if (!s->known || llabs(moved) > JUMP_MS)
		s->apart = theirs - ours;
	s->wall = wall;
	s->known = true;
}

void
mx_skew_see(struct mx_db *db, mx_msec theirs)
{
	struct mx_skew *s = &db->skew;

	if (!db->follow.running || pthread_mutex_trylock(&s->lock) != 0)
		return;
	if (!mx_db_alone(db)) {
		observe(s, theirs);
	} else if (s->known) {
		s->known = false;
		mx_clock_shift(0);
	}
	pthread_mutex_unlock(&s->lock);
}
