/* Guessing is slow: an account may be tried with a number of wrong passwords in a row, then with
 * one every so often, from wherever they come. A table of fixed size remembers; accounts that share
 * a slot share their failures. Where several processes serve, each tells the others of a wrong
 * password, so that trying them one after the other gains nothing. */
#include "config.h"

#include "auth_password.h"

#include <pthread.h>
#include <stdlib.h>

enum { SLOTS = 4096 };

struct throttle {
	pthread_mutex_t lock;
	mx_msec full_at[SLOTS];		/* when all failures of the slot are forgiven */
};

struct throttle *
throttle_new(void)
{
	struct throttle *t = mx_alloc(sizeof(*t));

	pthread_mutex_init(&t->lock, NULL);
	return t;
}

void
throttle_free(struct throttle **t)
{
	if (*t == NULL)
		return;
	pthread_mutex_destroy(&(*t)->lock);
	free(*t);
	*t = NULL;
}

static mx_msec *
slot_of(struct throttle *t, mx_str account)
{
	return &t->full_at[mx_hash(account.p, account.n) % SLOTS];
}

mx_error *
throttle_check(struct throttle *t, mx_str account, int64_t burst, mx_msec every)
{
	mx_msec now = mx_monotonic_us() / 1000;

	if (burst == 0)
		return NULL;
	pthread_mutex_lock(&t->lock);
	mx_msec wait = *slot_of(t, account) - (burst - 1) * every - now;
	pthread_mutex_unlock(&t->lock);
	if (wait <= 0)
		return NULL;
	return mx_error_with(
		mx_error_new(MX_E_LIMIT_EXCEEDED, "Too many wrong passwords for this account"),
		"retry_after_ms", json_integer(wait));
}

void
throttle_failed(struct throttle *t, mx_str account, int64_t burst, mx_msec every)
{
	mx_msec now = mx_monotonic_us() / 1000;

	if (burst == 0)
		return;
	pthread_mutex_lock(&t->lock);
	mx_msec *full_at = slot_of(t, account);
	if (*full_at < now)
		*full_at = now;
	/* Several attempts that ran at once may fail together; no more is owed than a full burst.
	 */
	if (*full_at < now + burst * every)
		*full_at += every;
	pthread_mutex_unlock(&t->lock);
}
