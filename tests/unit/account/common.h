/* What the tests of core/account share: accounts on a database of their own, with a cheap password
 * scheme in the place of a module's, and a clock that the test sets. */
#ifndef TESTS_ACCOUNT_COMMON_H
#define TESTS_ACCOUNT_COMMON_H

#include "tests/unit/support/unit.h"

#include "core/account/internal.h"
#include "core/base/clock.h"
#include "tests/unit/sql/common.h"
#include "tests/unit/sql/place.h"

static struct mx_account_options options = {
	.auth_cache = 1000,
	.max_devices = 5,
	.access_token_lifetime = { 300000 },
	.last_seen_interval = { 300000 },
	.password_min_length = 8,
	.uia_timeout = { 60000 },
	.uia_sessions = 100,
};
static struct mx_db *db;
static struct mx_accounts *as;

/* ---- a scheme that makes "$test$PASSWORD", and one that only knows "$old$PASSWORD" ---- */
static int hashes, verifies;

static bool test_claims(mx_str hash) { return mx_str_starts(hash, MX_S("$test$")); }
static bool old_claims(mx_str hash) { return mx_str_starts(hash, MX_S("$old$")); }

static mx_error *
test_verify(struct mx_module_self *self, mx_str hash, mx_str password, bool *right)
{
	mx_str scheme, rest;

	(void)self;
	verifies++;
	hash.p++, hash.n--;
	mx_str_cut(hash, '$', &scheme, &rest);
	*right = mx_str_eq(rest, password);
	return NULL;
}

static char *
test_hash(struct mx_module_self *self, mx_str password)
{
	char *out;

	(void)self;
	hashes++;
	assert_true(asprintf(&out, "$test$%.*s", MX_SFMT(password)) > 0);
	return out;
}

static const struct mx_password_ops old_scheme = { .size = sizeof(old_scheme),
						   .claims = old_claims,
						   .verify = test_verify };
static const struct mx_password_ops test_scheme = {
	.size = sizeof(test_scheme),
	.claims = test_claims,
	.verify = test_verify,
	.hash = test_hash,
};

static mx_error *
test_providers(void *arg, const char *kind,
	       mx_error *(*fn)(void *fn_arg, const char *name, const void *ops,
			       struct mx_module_self *self),
	       void *fn_arg)
{
	(void)arg;
	if (strcmp(kind, "password") != 0)
		return NULL;
	MX_TRY(fn(fn_arg, "old", &old_scheme, NULL));
	return fn(fn_arg, "test", &test_scheme, NULL);
}

static int users_created, devices_gone_count;
static char last_gone[64];

static void
test_created(void *arg, mx_nid user, mx_str user_id)
{
	(void)arg;
	(void)user;
	(void)user_id;
	users_created++;
}

static void
test_gone(void *arg, mx_nid user, mx_nid device, mx_str device_id)
{
	(void)arg;
	assert_true(user > 0 && device > 0);
	snprintf(last_gone, sizeof(last_gone), "%.*s", MX_SFMT(device_id));
	devices_gone_count++;
}

static const struct mx_account_ports test_ports = {
	.providers = test_providers, .user_created = test_created, .device_gone = test_gone,
};

/* ---- a clock ---- */
static _Atomic(mx_msec) test_time = 1700000000000;
static mx_msec clock_now(void *arg) { (void)arg; return test_time; }
static int64_t clock_us(void *arg) { (void)arg; return test_time * 1000; }
static const struct mx_clock test_clock = { clock_now, clock_us, NULL };

static int
accounts_start(void **state)
{
	(void)state;
	assert_ok(place_open(&db, NULL));
	assert_ok(mx_accounts_open(NULL, db, NULL, MX_S("example.org"), &options, &as));
	mx_accounts_set_ports(as, &test_ports);
	return 0;
}

static int
accounts_stop(void **state)
{
	(void)state;
	mx_accounts_close(&as);
	mx_db_close(&db);
	return 0;
}

/* 77: skipped, because this kind of database is not installed. */
#define run_on_a_database(tests, start, stop) (place_start() ? run_and_remove((tests), sizeof(tests) / sizeof((tests)[0]), (start), (stop)) : 77)

static inline int
run_and_remove(const struct CMUnitTest *tests, size_t n, CMFixtureFunction start,
	       CMFixtureFunction stop)
{
	int failed = _cmocka_run_group_tests("account", tests, n, start, stop);

	place_stop();
	return failed;
}

/* ---- short forms ---- */
static inline mx_nid
new_user(const char *name)
{
	struct mx_new_user u = { .localpart = mx_str_of(name), .password = MX_S("password") };
	mx_nid nid = 0;

	assert_ok(mx_user_create(as, &u, &nid));
	assert_true(nid > 0);
	return nid;
}

static inline struct mx_session
log_in(mx_nid user, const char *device, bool refresh, struct mx_arena *a)
{
	struct mx_new_session n = { .user = user,
				    .device_id = mx_str_of(device),
				    .refresh = refresh };
	struct mx_session s;

	assert_ok(mx_session_open(as, &n, a, &s));
	return s;
}

/* NULL when the token is good; frees nothing that the caller must. */
static inline mx_error *
try_token(mx_str token)
{
	const struct mx_auth *auth;
	mx_error *e = mx_accounts_authenticate(as, NULL, token, &auth);

	if (e == NULL)
		mx_auth_release(auth);
	return e;
}

#endif
