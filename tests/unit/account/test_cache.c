/* The cache of tokens: bounded, forgets by user, never keeps what was read before it forgot. */
#include "config.h"

#include "tests/unit/support/unit.h"

#include "core/account/internal.h"

static void
hash_of(int i, unsigned char hash[MX_SHA256_SIZE])
{
	mx_sha256(&i, sizeof(i), hash);
}

static struct auth_entry *
add(struct auth_cache *c, int i, mx_nid user, mx_msec expires)
{
	struct mx_auth auth = {
		.user = user, .user_id = MX_S("@u:s"), .device = i, .device_id = MX_S("D")
	};
	unsigned char hash[MX_SHA256_SIZE];
	uint64_t epoch = auth_cache_epoch(c);

	hash_of(i, hash);
	struct auth_entry *e = auth_entry_new(c, &auth, hash, expires);
	auth_cache_keep(c, e, epoch);
	return e;
}

static bool
has(struct auth_cache *c, int i, mx_msec now)
{
	unsigned char hash[MX_SHA256_SIZE];

	hash_of(i, hash);
	struct auth_entry *e = auth_cache_find(c, hash, now);
	if (e == NULL)
		return false;
	assert_int_equal(e->auth.device, i);
	mx_auth_release(&e->auth);
	return true;
}

static void
keeps_no_more_than_its_capacity_and_the_newest(void **state)
{
	struct auth_cache *c = auth_cache_new(160);

	(void)state;
	for (int i = 1; i <= 10000; i++)
		mx_auth_release(&add(c, i, i, 0)->auth);
	assert_true(auth_cache_count(c) <= 160);
	assert_true(has(c, 10000, 1));
	assert_false(has(c, 1, 1));
	auth_cache_free(&c);
	assert_null(c);
}

static void
what_is_used_stays(void **state)
{
	struct auth_cache *c = auth_cache_new(160);

	(void)state;
	mx_auth_release(&add(c, 1, 1, 0)->auth);
	for (int i = 2; i <= 5000; i++) {
		mx_auth_release(&add(c, i, i, 0)->auth);
		assert_true(has(c, 1, 1));
	}
	auth_cache_free(&c);
}

static void
forgets_a_user_at_once_and_others_not(void **state)
{
	struct auth_cache *c = auth_cache_new(1000);

	(void)state;
	mx_auth_release(&add(c, 1, 7, 0)->auth);
	mx_auth_release(&add(c, 2, 7, 0)->auth);
	mx_auth_release(&add(c, 3, 8, 0)->auth);
	auth_cache_forget(c, 7);
	assert_false(has(c, 1, 1));
	assert_false(has(c, 2, 1));
	assert_true(has(c, 3, 1));
	auth_cache_free(&c);
}

static void
does_not_keep_what_was_read_before_something_was_forgotten(void **state)
{
	struct auth_cache *c = auth_cache_new(1000);
	struct mx_auth auth = { .user = 7, .user_id = MX_S("@u:s") };
	unsigned char hash[MX_SHA256_SIZE];
	uint64_t epoch = auth_cache_epoch(c);

	(void)state;
	hash_of(1, hash);
	auth_cache_forget(c, 7);
	struct auth_entry *e = auth_entry_new(c, &auth, hash, 0);
	auth_cache_keep(c, e, epoch);
	assert_int_equal(auth_cache_count(c), 0);
	assert_false(mx_auth_current(&e->auth));
	mx_auth_release(&e->auth);
	auth_cache_free(&c);
}

static void
an_expired_token_is_not_found(void **state)
{
	struct auth_cache *c = auth_cache_new(1000);

	(void)state;
	mx_auth_release(&add(c, 1, 7, 1000)->auth);
	assert_true(has(c, 1, 999));
	assert_false(has(c, 1, 1000));
	assert_int_equal(auth_cache_count(c), 0);
	auth_cache_free(&c);
}

static void
an_entry_outlives_its_place_in_the_cache(void **state)
{
	struct auth_cache *c = auth_cache_new(16);
	struct auth_entry *e = add(c, 1, 1, 0);

	(void)state;
	assert_true(mx_auth_current(&e->auth));
	for (int i = 2; i < 1000; i++)
		mx_auth_release(&add(c, i, i, 0)->auth);
	assert_memory_equal(e->auth.user_id.p, "@u:s", 4);
	auth_cache_forget(c, 1);
	assert_false(mx_auth_current(&e->auth));
	const struct mx_auth *again = mx_auth_ref(&e->auth);
	mx_auth_release(&e->auth);
	assert_memory_equal(again->device_id.p, "D", 1);
	mx_auth_release(again);
	auth_cache_free(&c);
}

struct race {
	struct auth_cache *c;
	atomic_int version;		/* what a database would say; forgotten at each change */
	atomic_bool stop;
};

static void *
changer(void *arg)
{
	struct race *r = arg;

	for (int i = 0; i < 20000; i++) {
		atomic_fetch_add(&r->version, 1);
		auth_cache_forget(r->c, 7);
	}
	atomic_store(&r->stop, true);
	return NULL;
}

static void
a_change_is_never_hidden_by_a_reader_that_was_slower(void **state)
{
	struct race r = { .c = auth_cache_new(100) };
	unsigned char hash[MX_SHA256_SIZE];
	pthread_t t;

	(void)state;
	hash_of(1, hash);
	assert_int_equal(pthread_create(&t, NULL, changer, &r), 0);
	while (!atomic_load(&r.stop)) {
		uint64_t epoch = auth_cache_epoch(r.c);
		struct mx_auth auth = { .user = 7,
					.user_id = MX_S("@u:s"),
					.token = atomic_load(&r.version) };
		struct auth_entry *e = auth_entry_new(r.c, &auth, hash, 0);

		auth_cache_keep(r.c, e, epoch);
		mx_auth_release(&e->auth);
	}
	pthread_join(t, NULL);
	struct auth_entry *e = auth_cache_find(r.c, hash, 1);
	if (e != NULL) {
		assert_int_equal(e->auth.token, atomic_load(&r.version));
		mx_auth_release(&e->auth);
	}
	auth_cache_free(&r.c);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(keeps_no_more_than_its_capacity_and_the_newest),
		unit_case(what_is_used_stays),
		unit_case(forgets_a_user_at_once_and_others_not),
		unit_case(does_not_keep_what_was_read_before_something_was_forgotten),
		unit_case(an_expired_token_is_not_found),
		unit_case(an_entry_outlives_its_place_in_the_cache),
		unit_case(a_change_is_never_hidden_by_a_reader_that_was_slower),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
