/* The oracle itself, and the oracle beside the core's rules and its state resolution. */
#include "config.h"

#include "tests/sim/oracle.h"
#include "tests/sim/sha1.h"
#include "tests/sim/yard.h"
#include "tests/unit/support/unit.h"

static void
sha1_of(const char *s, const char *hex)
{
	unsigned char h[20];
	char is[41];

	sha1(s, h);
	for (int i = 0; i < 20; i++)
		snprintf(is + 2 * i, 3, "%02x", h[i]);
	assert_string_equal(is, hex);
}

/* FIPS 180-4's examples. */
static void
sha1_is_sha1(void **state)
{
	(void)state;
	sha1_of("abc", "a9993e364706816aba3e25717850c26c9cd0d89d");
	sha1_of("", "da39a3ee5e6b4b0d3255bfef95601890afd80709");
	sha1_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		"84983e441c3bd26ebaae4aa1f95129e5e54670f1");
}

/* Server-Server API, "Soft failure": a ban and a topic by who is banned, side by side. */
static struct oracle *
room_with_fork(int version, const char *const *more)
{
	struct oracle *o = oracle_new(version, NULL, NULL);
	const char *const events[] = {
		"{\"type\":\"m.room.create\",\"sender\":\"@a:a\",\"state_key\":\"\",\"room_id\":"
		"\"!r:a\",\"content\":{\"creator\":\"@a:a\"},\"depth\":1,\"origin_server_ts\":1,"
		"\"prev_events\":[],\"auth_events\":[]}",
		"{\"type\":\"m.room.member\",\"sender\":\"@a:a\",\"state_key\":\"@a:a\",\"room_"
		"id\":"
		"\"!r:a\",\"content\":{\"membership\":\"join\"},\"depth\":2,\"origin_server_ts\":2,"
		"\"prev_events\":[\"$0\"],\"auth_events\":[\"$0\"]}",
		"{\"type\":\"m.room.power_levels\",\"sender\":\"@a:a\",\"state_key\":\"\",\"room_"
		"id\""
		":\"!r:a\",\"content\":{\"users\":{\"@a:a\":100,\"@b:b\":50}},\"depth\":3,"
		"\"origin_server_ts\":3,\"prev_events\":[\"$1\"],\"auth_events\":[\"$0\",\"$1\"]}",
		"{\"type\":\"m.room.join_rules\",\"sender\":\"@a:a\",\"state_key\":\"\",\"room_"
		"id\":"
		"\"!r:a\",\"content\":{\"join_rule\":\"public\"},\"depth\":4,\"origin_server_ts\":"
		"4,"
		"\"prev_events\":[\"$2\"],\"auth_events\":[\"$0\",\"$1\",\"$2\"]}",
		"{\"type\":\"m.room.member\",\"sender\":\"@b:b\",\"state_key\":\"@b:b\",\"room_"
		"id\":"
		"\"!r:a\",\"content\":{\"membership\":\"join\"},\"depth\":5,\"origin_server_ts\":5,"
		"\"prev_events\":[\"$3\"],\"auth_events\":[\"$0\",\"$2\",\"$3\"]}",
		"{\"type\":\"m.room.member\",\"sender\":\"@a:a\",\"state_key\":\"@b:b\",\"room_"
		"id\":"
		"\"!r:a\",\"content\":{\"membership\":\"ban\"},\"depth\":6,\"origin_server_ts\":6,"
		"\"prev_events\":[\"$4\"],\"auth_events\":[\"$0\",\"$1\",\"$2\",\"$4\"]}",
		"{\"type\":\"m.room.topic\",\"sender\":\"@b:b\",\"state_key\":\"\",\"room_id\":"
		"\"!r:a\",\"content\":{\"topic\":\"mine\"},\"depth\":7,\"origin_server_ts\":2,"
		"\"prev_events\":[\"$4\"],\"auth_events\":[\"$0\",\"$2\",\"$4\"]}",
	};
	char id[16];
	int e = 0;

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++, e++) {
		snprintf(id, sizeof(id), "$%d", e);
		assert_int_equal(oracle_add(o, events[i], strlen(events[i]), id, NULL), e);
		assert_int_equal(oracle_judge(o, e), ORACLE_ALLOWED);
	}
	for (; more != NULL && *more != NULL; more++, e++) {
		snprintf(id, sizeof(id), "$%d", e);
		assert_int_equal(oracle_add(o, *more, strlen(*more), id, NULL), e);
	}
	return o;
}

static void
merge(struct oracle *o, int a, int b, struct oracle_state *out)
{
	const struct oracle_state *states[2];

	assert_true(oracle_after(o, a, &states[0]));
	assert_true(oracle_after(o, b, &states[1]));
	oracle_resolve(o, states, 2, out);
}

static void
a_ban_wins_from_version_2_on(void **state)
{
	struct oracle *o = room_with_fork(10, NULL);
	struct oracle_state s;

	(void)state;
	merge(o, 5, 6, &s);
	assert_int_equal(oracle_at(&s, oracle_key(o, "m.room.topic", "")), ORACLE_NONE);
	assert_int_equal(oracle_at(&s, oracle_key(o, "m.room.member", "@b:b")), 5);
	assert_false(oracle_allows(o, 6, &s));
	oracle_state_clear(&s);
	oracle_free(o);
}

static void
a_rejected_event_is_passed_over(void **state)
{
	static const char *const more[] = {
		/* by who is banned, behind the ban; then by another, behind that */
		"{\"type\":\"m.room.name\",\"sender\":\"@b:b\",\"state_key\":\"\",\"room_id\":\"!r:"
		"a\","
		"\"content\":{\"name\":\"mine\"},\"depth\":7,\"origin_server_ts\":7,\"prev_"
		"events\":["
		"\"$5\"],\"auth_events\":[\"$0\",\"$2\",\"$4\"]}",
		"{\"type\":\"m.room.message\",\"sender\":\"@a:a\",\"room_id\":\"!r:a\",\"content\":"
		"{},"
		"\"depth\":8,\"origin_server_ts\":8,\"prev_events\":[\"$7\"],\"auth_events\":[\"$"
		"0\","
		"\"$1\",\"$2\"]}",
		/* auth_events with one that was rejected, one twice, one that nobody selects */
		"{\"type\":\"m.room.message\",\"sender\":\"@a:a\",\"room_id\":\"!r:a\",\"content\":"
		"{},"
		"\"depth\":8,\"origin_server_ts\":8,\"prev_events\":[\"$5\"],\"auth_events\":[\"$"
		"0\","
		"\"$1\",\"$2\",\"$7\"]}",
		"{\"type\":\"m.room.message\",\"sender\":\"@a:a\",\"room_id\":\"!r:a\",\"content\":"
		"{},"
		"\"depth\":8,\"origin_server_ts\":8,\"prev_events\":[\"$5\"],\"auth_events\":[\"$"
		"0\","
		"\"$1\",\"$1\"]}",
		"{\"type\":\"m.room.message\",\"sender\":\"@a:a\",\"room_id\":\"!r:a\",\"content\":"
		"{},"
		"\"depth\":8,\"origin_server_ts\":8,\"prev_events\":[\"$5\"],\"auth_events\":[\"$"
		"0\","
		"\"$1\",\"$3\"]}",
		"{\"type\":\"m.room.message\",\"sender\":\"@a:a\",\"room_id\":\"!r:a\",\"content\":"
		"{},"
		"\"depth\":8,\"origin_server_ts\":8,\"prev_events\":[\"$nowhere\"],\"auth_events\":"
		"["
		"\"$0\",\"$1\"]}",
		NULL
	};
	struct oracle *o = room_with_fork(10, more);
	const struct oracle_state *s;

	(void)state;
	assert_int_equal(oracle_judge(o, 7), ORACLE_BY_STATE);
	assert_int_equal(oracle_judge(o, 8), ORACLE_ALLOWED);
	assert_true(oracle_after(o, 8, &s));
	assert_int_equal(oracle_at(s, oracle_key(o, "m.room.name", "")), ORACLE_NONE);
	assert_int_equal(oracle_judge(o, 9), ORACLE_BY_AUTH_EVENTS);
	assert_int_equal(oracle_judge(o, 10), ORACLE_BY_AUTH_EVENTS);
	assert_int_equal(oracle_judge(o, 11), ORACLE_BY_AUTH_EVENTS);
	assert_int_equal(oracle_judge(o, 12), ORACLE_UNKNOWN);
	oracle_free(o);
}

/* ---- beside the core ---- */

static void
play(int version)
{
	struct yard_count count = { 0 };
	char why[1024];

	if (!yard_knows(version)) {
		skip();
		return;
	}
	for (unsigned seed = 1; seed <= 150; seed++) {
		struct dice d = dice_of_seed((uint64_t)seed << 8 | (unsigned)version);

		if (!yard_play(&d, version, 40, &count, why))
			fail_msg("seed %u: %s", seed, why);
	}
	/* Rooms in which nothing is allowed, or nothing conflicts, would show little. */
	assert_true(count.allowed * 10 > count.events * 3);
	assert_true(count.conflicts > count.resolved);
}

#define play_version(n) \
	static void same_as_the_core_##n(void **state) \
	{ \
		(void)state; \
		play(n); \
	}
play_version(1) play_version(2) play_version(3) play_version(4) play_version(5) play_version(6)
	play_version(7) play_version(8) play_version(9) play_version(10) play_version(11)
		play_version(12)

			int main(void)
{
	const struct CMUnitTest tests[] = {
		unit_case(sha1_is_sha1),
		unit_case(a_ban_wins_from_version_2_on),
		unit_case(a_rejected_event_is_passed_over),
		unit_case(same_as_the_core_1),
		unit_case(same_as_the_core_2),
		unit_case(same_as_the_core_3),
		unit_case(same_as_the_core_4),
		unit_case(same_as_the_core_5),
		unit_case(same_as_the_core_6),
		unit_case(same_as_the_core_7),
		unit_case(same_as_the_core_8),
		unit_case(same_as_the_core_9),
		unit_case(same_as_the_core_10),
		unit_case(same_as_the_core_11),
		unit_case(same_as_the_core_12),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
