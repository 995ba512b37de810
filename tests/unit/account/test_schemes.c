/* The schemes of auth-password, and its brake on guessing. */
#include "config.h"

#include "tests/unit/support/unit.h"

#include "core/base/clock.h"
#include "core/runtime/module.h"
#include "modules/auth-password/auth_password.h"

static struct auth_password_options cheap = { .memory = { 8192 }, .operations = 1 };
static struct mx_module_self self = { .name = "auth-password", .options = &cheap };

static bool
right(const struct mx_password_ops *scheme, const char *hash, const char *password)
{
	bool yes = false;

	assert_true(scheme->claims(mx_str_of(hash)));
	assert_null(scheme->verify(&self, mx_str_of(hash), mx_str_of(password), &yes));
	return yes;
}

static void
argon2id_knows_its_own_hashes(void **state)
{
	const struct mx_password_ops *scheme = &auth_password_argon2id;
	char *hash = scheme->hash(&self, MX_S("correct horse")),
	     *other = scheme->hash(&self, MX_S("correct horse"));

	(void)state;
	assert_non_null(hash);
	assert_string_not_equal(hash, other);
	assert_true(right(scheme, hash, "correct horse"));
	assert_false(right(scheme, hash, "correct hors"));
	assert_false(right(scheme, hash, ""));
	free(hash);
	free(other);
}

static void
argon2id_says_when_a_hash_is_cheaper_than_it_should_be(void **state)
{
	const struct mx_password_ops *scheme = &auth_password_argon2id;
	char *hash = scheme->hash(&self, MX_S("password"));

	(void)state;
	assert_false(scheme->outdated(&self, mx_str_of(hash)));
	cheap.operations = 2;
	assert_true(scheme->outdated(&self, mx_str_of(hash)));
	assert_true(right(scheme, hash, "password"));
	cheap.operations = 1;
	free(hash);
}

static void
a_damaged_argon2id_hash_fits_nothing(void **state)
{
	char big[400] = "$argon2id$";

	(void)state;
	memset(big + 10, 'x', sizeof(big) - 11);
	assert_false(right(&auth_password_argon2id, big, "x"));
	assert_true(auth_password_argon2id.outdated(&self, mx_str_of(big)));
	assert_false(right(&auth_password_argon2id, "$argon2id$", ""));
	assert_false(right(&auth_password_argon2id, "$argon2id$v=19$m=9999999999,t=1,p=1$AAAA$AAAA",
			   "x"));
	assert_false(auth_password_argon2id.claims(MX_S("$argon2i$")));
	assert_false(auth_password_argon2id.claims(MX_S("")));
}

#ifdef HAVE_XCRYPT
/* From the test vectors of crypt_blowfish: the password is "U*U". */
#define VECTOR "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"

static void
bcrypt_hashes_of_others_are_verified(void **state)
{
	(void)state;
	assert_true(right(&auth_password_bcrypt, VECTOR, "U*U"));
	assert_false(right(&auth_password_bcrypt, VECTOR, "U*"));
	assert_false(right(&auth_password_bcrypt, VECTOR, ""));
	assert_null(auth_password_bcrypt.hash);
	assert_false(auth_password_bcrypt.claims(MX_S("$argon2id$")));
}

static void
bcrypt_takes_synapses_pepper(void **state)
{
	(void)state;
	cheap.bcrypt_pepper = "*U";
	assert_true(right(&auth_password_bcrypt, VECTOR, "U"));
	assert_false(right(&auth_password_bcrypt, VECTOR, "U*U"));
	cheap.bcrypt_pepper = NULL;
}

static void
a_damaged_bcrypt_hash_fits_nothing(void **state)
{
	static const char *const bad[] = { "$2b$", "$2b$05$", "$2b$99$CCCCCCCCCCCCCCCCCCCCC.",
					   "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(right(&auth_password_bcrypt, bad[i], "U*U"));
}
#endif

static mx_msec now_ms = 1000000;
static mx_msec clock_now(void *arg) { (void)arg; return now_ms; }
static int64_t clock_us(void *arg) { (void)arg; return now_ms * 1000; }

static void
guessing_is_slowed_for_one_account(void **state)
{
	static const struct mx_clock clock = { clock_now, clock_us, NULL };
	struct throttle *t = throttle_new();
	mx_str alice = MX_S("@alice:s"), bob = MX_S("@bob:s");

	(void)state;
	mx_clock_replace(&clock);
	for (int i = 0; i < 3; i++) {
		assert_null(throttle_check(t, alice, 3, 1000));
		throttle_failed(t, alice, 3, 1000);
	}
	mx_error *e = throttle_check(t, alice, 3, 1000);
	assert_true(mx_error_is(e, MX_E_LIMIT_EXCEEDED));
	mx_error_free(&e);
	assert_null(throttle_check(t, bob, 3, 1000));
	assert_null(throttle_check(t, alice, 0, 1000));	/* switched off */
	/* However many failed at once, one is forgiven after one interval. */
	for (int i = 0; i < 100; i++)
		throttle_failed(t, alice, 3, 1000);
	now_ms += 1000;
	assert_null(throttle_check(t, alice, 3, 1000));
	throttle_failed(t, alice, 3, 1000);
	e = throttle_check(t, alice, 3, 1000);
	assert_true(mx_error_is(e, MX_E_LIMIT_EXCEEDED));
	mx_error_free(&e);
	now_ms += 10000;
	assert_null(throttle_check(t, alice, 3, 1000));
	mx_clock_replace(NULL);
	throttle_free(&t);
	assert_null(t);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(argon2id_knows_its_own_hashes),
		unit_case(argon2id_says_when_a_hash_is_cheaper_than_it_should_be),
		unit_case(a_damaged_argon2id_hash_fits_nothing),
#ifdef HAVE_XCRYPT
		unit_case(bcrypt_hashes_of_others_are_verified),
		unit_case(bcrypt_takes_synapses_pepper),
		unit_case(a_damaged_bcrypt_hash_fits_nothing),
#endif
		unit_case(guessing_is_slowed_for_one_account),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
