#include "config.h"

#include "tests/unit/account/common.h"

static int
start(void **state)
{
	mx_clock_replace(&test_clock);
	return accounts_start(state);
}

static int
stop(void **state)
{
	int r = accounts_stop(state);

	mx_clock_replace(NULL);
	return r;
}

static bool
soft(mx_error *e)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	assert_non_null(e);
	assert_int_equal(mx_error_code(e), MX_E_UNKNOWN_TOKEN);
	mx_error_json(e, b);
	mx_error_free(&e);
	return strstr(mx_buf_cstr(b), "\"soft_logout\":true") != NULL;
}

static size_t
count_devices(mx_nid user)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	MX_AUTO(mx_conn) *c = NULL;
	struct mx_device *v;
	size_t n;

	assert_ok(mx_conn_get(db, &c));
	assert_ok(mx_devices(as, c, user, a, &v, &n));
	return n;
}

static void
tokens_are_long_random_and_stored_as_hashes(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_nid user = new_user("tokens");
	struct mx_session s = log_in(user, "D", true, a);
	static const struct mx_sql found =
		MX_SQL("SELECT count(*) FROM access_token WHERE length(hash) = 32");

	(void)state;
	assert_int_equal(s.access_token.n, 4 + MX_ACCOUNT_TOKEN_RANDOM);
	assert_true(mx_str_starts(s.access_token, MX_S("mxa_")) &&
		    mx_str_starts(s.refresh_token, MX_S("mxr_")));
	assert_true(ask_int(db, &found) >= 1);
}

static void
bad_tokens_are_unknown(void **state)
{
	char big[1000];

	(void)state;
	memset(big, 'a', sizeof(big));
	assert_code(try_token(MX_S("")), MX_E_MISSING_TOKEN);
	assert_code(try_token((mx_str){ NULL, 0 }), MX_E_MISSING_TOKEN);
	assert_false(soft(try_token(MX_S("mxa_nope"))));
	assert_false(soft(try_token((mx_str){ big, sizeof(big) })));
	assert_false(soft(try_token(MX_S("\xff\x00\x01"))));
}

static void
a_known_token_costs_no_sql(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_session s = log_in(new_user("cheap"), "D", false, a);
	struct mx_sql_stats before, after;
	const struct mx_auth *auth;

	(void)state;
	assert_false(mx_accounts_peek(as, NULL, s.access_token, &auth));
	assert_ok(try_token(s.access_token));
	mx_sql_stats(db, &before);
	for (int i = 0; i < 100; i++)
		assert_ok(try_token(s.access_token));
	assert_true(mx_accounts_peek(as, NULL, s.access_token, &auth));
	mx_auth_release(auth);
	mx_sql_stats(db, &after);
	assert_int_equal(after.statements, before.statements);
}

static void
a_device_that_logs_in_again_loses_its_older_token(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_nid user = new_user("again");
	struct mx_session one = log_in(user, "SAME", false, a);
	const struct mx_auth *auth, *later;

	(void)state;
	assert_ok(mx_accounts_authenticate(as, NULL, one.access_token, &auth));
	struct mx_session two = log_in(user, "SAME", false, a);
	assert_false(soft(try_token(one.access_token)));
	assert_ok(mx_accounts_authenticate(as, NULL, two.access_token, &later));
	assert_int_equal(auth->device, later->device);
	mx_auth_release(auth);
	mx_auth_release(later);
	assert_int_equal(count_devices(user), 1);
}

static void
logging_out_ends_one_device_or_all(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_nid user = new_user("out");
	struct mx_session s[3] = { log_in(user, "A", false, a), log_in(user, "B", true, a),
				   log_in(user, "C", false, a) };
	const struct mx_auth *auth;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_ok(try_token(s[i].access_token));
	assert_ok(mx_accounts_authenticate(as, NULL, s[0].access_token, &auth));
	assert_ok(mx_session_close(as, auth));
	assert_false(mx_auth_current(auth));
	mx_auth_release(auth);
	assert_string_equal(last_gone, "A");
	assert_code(try_token(s[0].access_token), MX_E_UNKNOWN_TOKEN);
	assert_ok(try_token(s[1].access_token));
	assert_int_equal(count_devices(user), 2);
	assert_ok(mx_session_close_all(as, user));
	assert_code(try_token(s[1].access_token), MX_E_UNKNOWN_TOKEN);
	assert_code(try_token(s[2].access_token), MX_E_UNKNOWN_TOKEN);
	assert_code(mx_session_refresh(as, s[1].refresh_token, a, &s[1]), MX_E_UNKNOWN_TOKEN);
	assert_int_equal(count_devices(user), 0);
}

static void
a_token_without_a_device_goes_alone(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_nid user = new_user("puppet");
	struct mx_session device = log_in(user, "D", false, a), s;
	struct mx_new_session n = { .user = user, .no_device = true, .lifetime = 60000 };
	const struct mx_auth *auth;

	(void)state;
	assert_ok(mx_session_open(as, &n, a, &s));
	assert_int_equal(s.device_id.n, 0);
	assert_int_equal(s.expires_in, 60000);
	assert_ok(mx_accounts_authenticate(as, NULL, s.access_token, &auth));
	assert_int_equal(auth->device, 0);
	assert_ok(mx_session_close(as, auth));
	mx_auth_release(auth);
	assert_code(try_token(s.access_token), MX_E_UNKNOWN_TOKEN);
	assert_ok(try_token(device.access_token));
	assert_int_equal(count_devices(user), 1);
}

static void
the_old_pair_works_until_the_new_one_is_used(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_session one = log_in(new_user("pairs"), "D", true, a), two, three;

	(void)state;
	assert_int_equal(one.expires_in, 300000);
	assert_ok(mx_session_refresh(as, one.refresh_token, a, &two));
	assert_ok(try_token(one.access_token));
	/* The answer was lost: the same refresh token again. */
	assert_ok(mx_session_refresh(as, one.refresh_token, a, &three));
	assert_ok(try_token(one.access_token));
	assert_ok(try_token(three.access_token));
	assert_true(soft(try_token(one.access_token)));
	assert_false(soft(mx_session_refresh(as, one.refresh_token, a, &two)));
}

/* By a process whose clock was a minute ahead of the others'. */
static void
what_was_refreshed_stays_ended_when_the_clock_is_set_back(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_session one = log_in(new_user("ahead"), "D", true, a), two;

	(void)state;
	test_time += 60000;
	assert_ok(mx_session_refresh(as, one.refresh_token, a, &two));
	assert_ok(try_token(two.access_token));
	assert_true(soft(try_token(one.access_token)));
	test_time -= 60000;
	assert_true(soft(try_token(one.access_token)));
	assert_ok(try_token(two.access_token));
}

static void
using_the_new_refresh_token_ends_the_old_pair_too(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_session one = log_in(new_user("chain"), "D", true, a), two, three;

	(void)state;
	assert_ok(mx_session_refresh(as, one.refresh_token, a, &two));
	assert_ok(mx_session_refresh(as, two.refresh_token, a, &three));
	assert_code(mx_session_refresh(as, one.refresh_token, a, &one), MX_E_UNKNOWN_TOKEN);
	assert_ok(mx_session_refresh(as, two.refresh_token, a, &two));
	assert_ok(try_token(three.access_token));
}

static void
what_is_made_and_never_used_has_a_limit(void **state)
{
	static const struct mx_sql pairs =
		MX_SQL("SELECT max(n) FROM (SELECT count(*) AS n FROM refresh_token "
		       "GROUP BY user_nid, device_nid) AS each");
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_session one = log_in(new_user("greedy"), "D", true, a), first = { 0 }, last;

	(void)state;
	for (int i = 0; i < 100; i++) {
		test_time++;
		assert_ok(mx_session_refresh(as, one.refresh_token, a, &last));
		if (i == 0)
			first = last;
	}
	assert_int_equal(ask_int(db, &pairs), 16);
	assert_code(mx_session_refresh(as, first.refresh_token, a, &first), MX_E_UNKNOWN_TOKEN);
	assert_ok(try_token(one.access_token));
	assert_ok(try_token(last.access_token));
	/* Siblings that nobody uses are no way to be locked out in the end. */
	for (int i = 0; i < 100; i++) {
		struct mx_session lost;

		test_time++;
		assert_ok(mx_session_refresh(as, last.refresh_token, a, &lost));
		assert_ok(mx_session_refresh(as, last.refresh_token, a, &last));
		assert_ok(try_token(last.access_token));
	}
	assert_true(ask_int(db, &pairs) <= 16);
}

static void
an_expired_token_says_soft_logout(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_session s = log_in(new_user("late"), "D", true, a);

	(void)state;
	assert_ok(try_token(s.access_token));
	test_time += 300000;
	assert_true(soft(try_token(s.access_token)));
	assert_ok(mx_session_refresh(as, s.refresh_token, a, &s));
	assert_ok(try_token(s.access_token));
}

static void
a_refresh_token_may_expire(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();

	(void)state;
	options.refresh_token_lifetime.ms = 1000000;
	struct mx_session s = log_in(new_user("stale"), "D", true, a);
	options.refresh_token_lifetime.ms = 0;
	test_time += 1000000;
	assert_true(soft(mx_session_refresh(as, s.refresh_token, a, &s)));
	assert_false(soft(mx_session_refresh(as, MX_S(""), a, &s)));
	assert_false(soft(mx_session_refresh(as, s.access_token, a, &s)));
}

static void
expired_tokens_are_collected_but_not_those_that_can_be_refreshed(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_nid user = new_user("collect");
	struct mx_session living = log_in(user, "L", true, a), one = log_in(user, "G", true, a),
			  two;
	static const struct mx_sql count = MX_SQL("SELECT count(*) FROM access_token WHERE user_nid = (SELECT nid FROM account"
						  " WHERE localpart = 'collect')");

	(void)state;
	assert_ok(mx_session_refresh(as, one.refresh_token, a, &two));
	assert_ok(try_token(two.access_token));
	assert_int_equal(ask_int(db, &count), 3);
	test_time += (mx_msec)31 * 24 * 3600 * 1000;
	assert_ok(mx_sessions_collect(as));
	assert_int_equal(ask_int(db, &count), 2);
	assert_true(soft(try_token(living.access_token)));
	assert_ok(mx_session_refresh(as, living.refresh_token, a, &living));
}

static void
the_device_that_was_unused_for_longest_makes_room(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_nid user = new_user("many");
	char name[16];

	(void)state;
	for (int i = 0; i < options.max_devices; i++) {
		snprintf(name, sizeof(name), "D%d", i);
		log_in(user, name, false, a);
		test_time += 1000;
	}
	assert_int_equal(count_devices(user), options.max_devices);
	log_in(user, "NEW", false, a);
	assert_int_equal(count_devices(user), options.max_devices);
	assert_string_equal(last_gone, "D0");
	/* One that is there already needs no room. */
	last_gone[0] = '\0';
	log_in(user, "D1", false, a);
	assert_string_equal(last_gone, "");
}

static void
devices_are_renamed_and_deleted(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	MX_AUTO(mx_conn) *c = NULL;
	mx_nid user = new_user("devices"), stranger = new_user("stranger");
	struct mx_session s = log_in(user, "ONE", false, a);
	const mx_str ids[] = { MX_S("ONE"), MX_S("NEVER"), MX_S("TWO") };
	struct mx_device d;
	char name[300];

	(void)state;
	log_in(user, "TWO", false, a);
	assert_ok(mx_conn_get(db, &c));
	assert_ok(mx_device_rename(as, user, MX_S("ONE"), MX_S("My phone")));
	assert_ok(mx_device_get(as, c, user, MX_S("ONE"), a, &d));
	assert_true(mx_str_eq(d.display_name, MX_S("My phone")));
	memset(name, 'n', sizeof(name));
	assert_code(mx_device_rename(as, user, MX_S("ONE"), (mx_str){ name, sizeof(name) }),
		    MX_E_TOO_LARGE);
	assert_code(mx_device_rename(as, user, MX_S("ONE"), MX_S("a\0b")), MX_E_INVALID_PARAM);
	assert_code(mx_device_rename(as, stranger, MX_S("ONE"), MX_S("mine")), MX_E_NOT_FOUND);
	assert_code(mx_device_get(as, c, stranger, MX_S("ONE"), a, &d), MX_E_NOT_FOUND);
	assert_ok(mx_device_delete(as, stranger, ids, 3));
	assert_ok(try_token(s.access_token));
	devices_gone_count = 0;
	assert_ok(mx_device_delete(as, user, ids, 3));
	assert_int_equal(devices_gone_count, 2);
	assert_code(try_token(s.access_token), MX_E_UNKNOWN_TOKEN);
	assert_code(mx_device_get(as, c, user, MX_S("ONE"), a, &d), MX_E_NOT_FOUND);
}

static void
odd_device_ids_are_refused(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_new_session n = { .user = new_user("oddid"), .device_id = MX_S("a\0b") };
	struct mx_session s;
	char big[300];

	(void)state;
	assert_code(mx_session_open(as, &n, a, &s), MX_E_INVALID_PARAM);
	memset(big, 'b', sizeof(big));
	n.device_id = (mx_str){ big, sizeof(big) };
	assert_code(mx_session_open(as, &n, a, &s), MX_E_INVALID_PARAM);
	n.device_id = MX_S("\xe2\x9c\x93 '; DROP TABLE device; --");
	assert_ok(mx_session_open(as, &n, a, &s));
	n.user = 424242;
	assert_code(mx_session_open(as, &n, a, &s), MX_E_NOT_FOUND);
}

static void
the_last_use_is_written_now_and_then(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	MX_AUTO(mx_conn) *c = NULL;
	mx_nid user = new_user("seen");
	struct mx_session s = log_in(user, "D", false, a);
	mx_msec created = test_time;
	struct mx_sql_stats before, after;
	struct mx_device d;

	(void)state;
	assert_ok(mx_conn_get(db, &c));
	test_time += 400000;
	assert_ok(try_token(s.access_token));
	mx_msec first = test_time;
	assert_ok(mx_device_get(as, c, user, MX_S("D"), a, &d));
	assert_int_equal(d.last_seen, first);
	assert_true(first > created);
	/* Within the interval nothing is noted, and nothing written. */
	test_time += 100000;
	mx_sql_stats(db, &before);
	for (int i = 0; i < 10; i++)
		assert_ok(try_token(s.access_token));
	assert_ok(mx_sessions_seen(as));
	mx_sql_stats(db, &after);
	assert_int_equal(after.writes, before.writes);
	test_time += 300000;
	assert_ok(try_token(s.access_token));
	assert_ok(mx_sessions_seen(as));
	assert_ok(mx_device_get(as, c, user, MX_S("D"), a, &d));
	assert_int_equal(d.last_seen, test_time);
}

/* Not a rule but a number: what the cache is for. */
static void
authentication_takes_microseconds(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_session s = log_in(new_user("fast"), "D", false, a);
	struct timespec from, to;
	enum { ROUNDS = 200000 };

	(void)state;
	assert_ok(try_token(s.access_token));
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = 0; i < ROUNDS; i++)
		assert_ok(try_token(s.access_token));
	clock_gettime(CLOCK_MONOTONIC, &to);
	double us =
		((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) /
		ROUNDS / 1000;
	print_message("one authentication: %.2f us\n", us);
	assert_true(us < 100);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(tokens_are_long_random_and_stored_as_hashes),
		unit_case(bad_tokens_are_unknown),
		unit_case(a_known_token_costs_no_sql),
		unit_case(a_device_that_logs_in_again_loses_its_older_token),
		unit_case(logging_out_ends_one_device_or_all),
		unit_case(a_token_without_a_device_goes_alone),
		unit_case(the_old_pair_works_until_the_new_one_is_used),
		unit_case(what_was_refreshed_stays_ended_when_the_clock_is_set_back),
		unit_case(using_the_new_refresh_token_ends_the_old_pair_too),
		unit_case(what_is_made_and_never_used_has_a_limit),
		unit_case(an_expired_token_says_soft_logout),
		unit_case(a_refresh_token_may_expire),
		unit_case(expired_tokens_are_collected_but_not_those_that_can_be_refreshed),
		unit_case(the_device_that_was_unused_for_longest_makes_room),
		unit_case(devices_are_renamed_and_deleted),
		unit_case(odd_device_ids_are_refused),
		unit_case(the_last_use_is_written_now_and_then),
		unit_case(authentication_takes_microseconds),
	};

	return run_on_a_database(tests, start, stop);
}
