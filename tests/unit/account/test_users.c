#include "config.h"

#include "tests/unit/account/common.h"

static struct mx_conn *conn;

static int
start(void **state)
{
	int r = accounts_start(state);

	assert_ok(mx_conn_get(db, &conn));
	return r;
}

static int
stop(void **state)
{
	mx_conn_put(&conn);
	return accounts_stop(state);
}

static mx_error *
create(const char *name)
{
	struct mx_new_user u = { .localpart = mx_str_of(name), .password = MX_S("password") };

	return mx_user_create(as, &u, NULL);
}

static void
a_user_is_found_by_id_and_by_localpart(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_nid nid = new_user("alice");
	struct mx_user u;

	(void)state;
	assert_ok(mx_user_get(as, conn, MX_S("alice"), a, &u));
	assert_int_equal(u.nid, nid);
	assert_true(mx_str_eq(u.user_id, MX_S("@alice:example.org")));
	assert_true(u.has_password && !u.admin && !u.guest && !u.deactivated && !u.locked &&
		    !u.suspended);
	assert_ok(mx_user_get(as, conn, MX_S("@alice:example.org"), a, &u));
	assert_code(mx_user_get(as, conn, MX_S("@alice:elsewhere.org"), a, &u), MX_E_NOT_FOUND);
	assert_code(mx_user_get(as, conn, MX_S("nobody"), a, &u), MX_E_NOT_FOUND);
	assert_code(mx_user_get(as, conn, MX_S(""), a, &u), MX_E_NOT_FOUND);
	assert_code(mx_user_get(as, conn, MX_S("@"), a, &u), MX_E_NOT_FOUND);
	assert_int_equal(users_created, 1);
}

static void
a_name_is_given_once(void **state)
{
	(void)state;
	assert_ok(create("once"));
	assert_code(create("once"), MX_E_USER_IN_USE);
	assert_code(mx_user_available(as, conn, MX_S("once")), MX_E_USER_IN_USE);
	assert_ok(mx_user_available(as, conn, MX_S("twice")));
}

static void
only_strict_names_may_be_registered(void **state)
{
	static const char *const bad[] = {
		"", "Alice", "a b", "a:b", "\xc3\xa4", "@x", "a\n", "a!b"
	};
	char longer[300];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_code(create(bad[i]), MX_E_INVALID_USERNAME);
	memset(longer, 'a', sizeof(longer));
	longer[255 - strlen("@:example.org") + 1] = '\0';
	assert_code(create(longer), MX_E_INVALID_USERNAME);
	longer[255 - strlen("@:example.org")] = '\0';
	assert_ok(create(longer));
	assert_ok(create("q3._=-/+"));
}

static void
passwords_are_checked_and_wrong_ones_cost_the_same(void **state)
{
	mx_nid nid = new_user("pat");

	(void)state;
	assert_ok(mx_user_check_password(as, conn, nid, MX_S("password")));
	assert_code(mx_user_check_password(as, conn, nid, MX_S("wrong")), MX_E_FORBIDDEN);
	assert_code(mx_user_check_password(as, conn, nid, MX_S("")), MX_E_FORBIDDEN);
	verifies = 0;
	assert_code(mx_user_check_password(as, conn, 0, MX_S("password")), MX_E_FORBIDDEN);
	assert_code(mx_user_check_password(as, conn, 123456789, MX_S("password")), MX_E_FORBIDDEN);
	assert_int_equal(verifies, 2);
}

static void
a_hash_of_a_scheme_that_only_verifies_is_replaced(void **state)
{
	struct mx_new_user u = { .localpart = MX_S("imported"),
				 .password_hash = MX_S("$old$secret12") };
	static const struct mx_sql get = MX_SQL("SELECT count(*) FROM account WHERE password = '$test$secret12'");
	mx_nid nid;

	(void)state;
	assert_ok(mx_user_create(as, &u, &nid));
	assert_code(mx_user_check_password(as, conn, nid, MX_S("nope")), MX_E_FORBIDDEN);
	assert_int_equal(ask_int(db, &get), 0);
	assert_ok(mx_user_check_password(as, conn, nid, MX_S("secret12")));
	assert_int_equal(ask_int(db, &get), 1);
	assert_ok(mx_user_check_password(as, conn, nid, MX_S("secret12")));
}

static void
a_hash_that_no_scheme_knows_is_wrong_and_said(void **state)
{
	struct mx_new_user u = { .localpart = MX_S("odd"), .password_hash = MX_S("$what$ever") };
	mx_nid nid;

	(void)state;
	assert_ok(mx_user_create(as, &u, &nid));
	assert_code(mx_user_check_password(as, conn, nid, MX_S("ever")), MX_E_FORBIDDEN);
	unit_expect_log("ACC003");
}

static void
users_choose_long_passwords(void **state)
{
	char big[2000];

	(void)state;
	assert_code(mx_password_acceptable(as, MX_S("short")), MX_E_WEAK_PASSWORD);
	assert_code(mx_password_acceptable(as, MX_S("")), MX_E_WEAK_PASSWORD);
	/* Characters, not bytes. */
	assert_code(mx_password_acceptable(as, MX_S("\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f")),
		    MX_E_WEAK_PASSWORD);
	assert_ok(mx_password_acceptable(as, MX_S("12345678")));
	memset(big, 'x', sizeof(big));
	assert_code(mx_password_acceptable(as, (mx_str){ big, sizeof(big) }), MX_E_INVALID_PARAM);
	assert_code(mx_password_acceptable(as, MX_S("1234\0005678")), MX_E_INVALID_PARAM);
}

static void
a_new_password_logs_the_others_out(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_nid nid = new_user("newpw");
	struct mx_session keep = log_in(nid, "KEEP", false, a),
			  other = log_in(nid, "OTHER", false, a);
	const struct mx_auth *auth;

	(void)state;
	assert_ok(try_token(other.access_token));
	assert_ok(mx_accounts_authenticate(as, NULL, keep.access_token, &auth));
	assert_ok(mx_user_set_password(as, nid, MX_S("another password"), true, auth->device));
	mx_auth_release(auth);
	assert_ok(try_token(keep.access_token));
	assert_code(try_token(other.access_token), MX_E_UNKNOWN_TOKEN);
	assert_string_equal(last_gone, "OTHER");
	assert_ok(mx_user_check_password(as, conn, nid, MX_S("another password")));
	assert_code(mx_user_check_password(as, conn, nid, MX_S("password")), MX_E_FORBIDDEN);
	assert_ok(mx_user_set_password(as, nid, MX_S("third password"), false, 0));
	assert_ok(try_token(keep.access_token));
	assert_code(mx_user_set_password(as, 424242, MX_S("third password"), false, 0),
		    MX_E_NOT_FOUND);
}

static void
flags_are_seen_by_the_next_request(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_nid nid = new_user("flags");
	struct mx_session s = log_in(nid, "D", false, a);
	const struct mx_auth *auth;

	(void)state;
	assert_ok(mx_accounts_authenticate(as, NULL, s.access_token, &auth));
	assert_true(!auth->admin && !auth->locked && !auth->suspended);
	assert_true(mx_auth_current(auth));
	assert_ok(mx_user_set(as, nid, MX_USER_ADMIN, true));
	assert_false(mx_auth_current(auth));
	mx_auth_release(auth);
	assert_ok(mx_user_set(as, nid, MX_USER_LOCKED, true));
	assert_ok(mx_user_set(as, nid, MX_USER_SUSPENDED, true));
	assert_ok(mx_accounts_authenticate(as, NULL, s.access_token, &auth));
	assert_true(auth->admin && auth->locked && auth->suspended);
	mx_auth_release(auth);
	assert_code(mx_user_set(as, 424242, MX_USER_ADMIN, true), MX_E_NOT_FOUND);
	assert_code(mx_user_set(as, nid, (enum mx_user_flag)9, true), MX_E_UNKNOWN);
}

static void
a_deactivated_account_is_out_for_good(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_nid nid = new_user("gone");
	struct mx_session s = log_in(nid, "D", true, a);
	struct mx_new_session n = { .user = nid };
	struct mx_departing who[4];
	struct mx_user u;
	size_t count;

	(void)state;
	assert_ok(try_token(s.access_token));
	assert_ok(mx_user_deactivate(as, nid, true));
	assert_code(try_token(s.access_token), MX_E_UNKNOWN_TOKEN);
	assert_code(mx_session_refresh(as, s.refresh_token, a, &s), MX_E_UNKNOWN_TOKEN);
	assert_code(mx_session_open(as, &n, a, &s), MX_E_USER_DEACTIVATED);
	assert_code(mx_user_check_password(as, conn, nid, MX_S("password")), MX_E_FORBIDDEN);
	assert_code(create("gone"), MX_E_USER_IN_USE);
	assert_ok(mx_user_get(as, conn, MX_S("gone"), a, &u));
	assert_true(u.deactivated && !u.has_password);
	assert_code(mx_user_deactivate(as, nid, false), MX_E_NOT_FOUND);

	assert_ok(mx_users_departing(as, conn, a, 4, who, &count));
	assert_int_equal(count, 1);
	assert_true(who[0].user == nid && who[0].erase &&
		    mx_str_eq(who[0].user_id, MX_S("@gone:example.org")));
	assert_ok(mx_user_departed(as, nid));
	assert_ok(mx_users_departing(as, conn, a, 4, who, &count));
	assert_int_equal(count, 0);

	assert_ok(mx_user_reactivate(as, nid, MX_S("back again")));
	assert_ok(mx_user_check_password(as, conn, nid, MX_S("back again")));
	assert_code(mx_user_reactivate(as, nid, MX_S("back again")), MX_E_NOT_FOUND);
}

static void
users_are_listed_in_order_and_in_pages(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_user u[3];
	size_t n, total = 0;
	mx_nid after = 0;
	int64_t count;

	(void)state;
	assert_ok(mx_user_count(as, conn, &count));
	do {
		assert_ok(mx_user_list(as, conn, after, 3, a, u, &n));
		for (size_t i = 0; i < n; i++) {
			assert_true(u[i].nid > after && u[i].user_id.n > 0);
			after = u[i].nid;
		}
		total += n;
	} while (n == 3);
	assert_int_equal(total, count);
}

static void
a_registration_opens_its_session_in_one_write(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_new_user u = { .localpart = MX_S("quick"), .password = MX_S("password") };
	struct mx_new_session n = { .display_name = MX_S("Phone") };
	struct mx_sql_stats before, after;
	const struct mx_auth *auth;
	struct mx_session s;
	struct mx_device d;
	mx_nid nid;

	(void)state;
	mx_sql_stats(db, &before);
	assert_ok(mx_user_register(as, &u, &n, a, &nid, &s));
	mx_sql_stats(db, &after);
	assert_int_equal(after.writes - before.writes, 1);
	assert_true(mx_str_eq(s.user_id, MX_S("@quick:example.org")) && s.refresh_token.n == 0 &&
		    s.expires_in == 0);
	assert_ok(mx_accounts_authenticate(as, NULL, s.access_token, &auth));
	assert_true(auth->user == nid && mx_str_eq(auth->device_id, s.device_id) &&
		    mx_str_eq(auth->user_id, s.user_id));
	mx_auth_release(auth);
	assert_ok(mx_device_get(as, conn, nid, s.device_id, a, &d));
	assert_true(mx_str_eq(d.display_name, MX_S("Phone")));
	/* What fails leaves nothing. */
	assert_code(mx_user_register(as, &u, &n, a, &nid, &s), MX_E_USER_IN_USE);
	u.localpart = MX_S("half");
	char name[400];
	memset(name, 'n', sizeof(name));
	n.display_name = (mx_str){ name, sizeof(name) };
	assert_code(mx_user_register(as, &u, &n, a, &nid, &s), MX_E_TOO_LARGE);
	assert_ok(mx_user_available(as, conn, MX_S("half")));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(a_user_is_found_by_id_and_by_localpart),
		unit_case(a_name_is_given_once),
		unit_case(only_strict_names_may_be_registered),
		unit_case(passwords_are_checked_and_wrong_ones_cost_the_same),
		unit_case(a_hash_of_a_scheme_that_only_verifies_is_replaced),
		unit_case(a_hash_that_no_scheme_knows_is_wrong_and_said),
		unit_case(users_choose_long_passwords),
		unit_case(a_new_password_logs_the_others_out),
		unit_case(flags_are_seen_by_the_next_request),
		unit_case(a_deactivated_account_is_out_for_good),
		unit_case(users_are_listed_in_order_and_in_pages),
		unit_case(a_registration_opens_its_session_in_one_write),
	};

	return run_on_a_database(tests, start, stop);
}
