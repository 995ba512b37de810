/* Events outside of the timeline: verified in bulk. */
#include "config.h"

#include "tests/unit/room/guests.h"

#define MANY 64

static const struct mx_room_version *
eleven(void)
{
	return mx_room_version_find(MX_S("11"));
}

static struct mx_event *
message(unsigned server, unsigned n)
{
	char sender[64], content[64];

	snprintf(sender, sizeof(sender), "@u%u:server-%u.example.org", n, server);
	snprintf(content, sizeof(content), "{\"body\":\"number %u\",\"msgtype\":\"m.text\"}", n);
	return guest_event((struct guest_event){ .room_id = "!r:server-0.example.org",
						 .server = server,
						 .sender = sender,
						 .type = "m.room.message",
						 .content = content });
}

/* A copy in which `from` stands as `to`. */
static char *
changed(const struct mx_event *ev, const char *from, const char *to)
{
	mx_str json = mx_event_json(ev);
	char *text = mx_str_dup(json), *at = strstr(text, from), *out;

	assert_non_null(at);
	assert_true(asprintf(&out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
	free(text);
	return out;
}

static void
all_are_verified_and_each_key_is_asked_for_once(void **state)
{
	struct mx_event *made[MANY];
	struct mx_arrival v[MANY];
	mx_str pdus[MANY];

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		made[i] = message(i % GUEST_SERVERS, i);
		pdus[i] = mx_event_json(made[i]);
	}
	atomic_store(&guests.asked, 0);
	unit_ok(mx_verify_events(rooms, eleven(), pdus, MANY, v));
	assert_int_equal(atomic_load(&guests.asked), GUEST_SERVERS);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(v[i].fate, MX_FATE_ACCEPTED);
		assert_int_equal(v[i].reason, MX_REASON_NONE);
		assert_string_equal(v[i].words, "");
		assert_true(mx_str_eq(mx_event_id(v[i].event), mx_event_id(made[i])));
		mx_event_unref(&made[i]);
	}
	mx_arrivals_clear(v, MANY);
	unit_ok(mx_verify_events(rooms, eleven(), NULL, 0, NULL));
}

static void
what_is_wrong_is_dropped_with_its_reason_and_the_rest_stays(void **state)
{
	struct mx_event *good = message(1, 1), *ours = NULL;
	char *forged = changed(good, "\"depth\":1", "\"depth\":2"),
	     *tampered = changed(good, "number 1", "number 2"),
	     *stranger = changed(good, "server-1.example.org", "elsewhere.example"),
	     *unsigned_text = changed(good, "\"signatures\":{\"server-1",
				      "\"signatures\":{\"server-2"),
	     *crowded;
	MX_AUTO(mx_buf) *many = mx_buf_new(0);
	struct mx_arrival v[9];

	(void)state;
	for (int i = 0; i < 21; i++)
		mx_buf_printf(many, "%s\"$p%d\"", i > 0 ? "," : "\"prev_events\":[", i);
	crowded = changed(good, "\"prev_events\":[", mx_buf_cstr(many));
	struct mx_room *room = house_room("11", "shared");

	ours = house_say(room, &alice, "hello");
	const mx_str pdus[9] = { mx_event_json(good),
				 mx_str_of(forged),
				 mx_str_of(tampered),
				 mx_str_of(stranger),
				 mx_str_of(unsigned_text),
				 MX_S("{\"type\":"),
				 MX_S("[]"),
				 mx_str_of(crowded),
				 mx_event_json(ours) };
	static const struct {
		enum mx_fate fate;
		enum mx_reason reason;
	} expected[9] = {
		{ MX_FATE_ACCEPTED, MX_REASON_NONE },      { MX_FATE_DROPPED, MX_REASON_SIGNATURE },
		{ MX_FATE_ACCEPTED, MX_REASON_HASH },      { MX_FATE_DROPPED, MX_REASON_SIGNATURE },
		{ MX_FATE_DROPPED, MX_REASON_SIGNATURE },  { MX_FATE_DROPPED, MX_REASON_MALFORMED },
		{ MX_FATE_DROPPED, MX_REASON_MALFORMED },  { MX_FATE_DROPPED, MX_REASON_SIZE },
		{ MX_FATE_ACCEPTED, MX_REASON_NONE },
	};

	unit_ok(mx_verify_events(rooms, eleven(), pdus, 9, v));
	for (size_t i = 0; i < 9; i++) {
		assert_int_equal(v[i].fate, expected[i].fate);
		assert_int_equal(v[i].reason, expected[i].reason);
		assert_int_equal(v[i].event != NULL, v[i].fate == MX_FATE_ACCEPTED);
		assert_int_equal(v[i].words[0] != '\0', v[i].fate == MX_FATE_DROPPED);
	}
	assert_true(mx_event_redacted(v[2].event));
	unit_text(mx_event_content(v[2].event), "{}");
	mx_arrivals_clear(v, 9);
	mx_event_unref(&good);
	mx_event_unref(&ours);
	mx_room_unref(&room);
	free(forged);
	free(tampered);
	free(stranger);
	free(unsigned_text);
	free(crowded);
}

static void
without_a_key_nothing_of_others_is_taken(void **state)
{
	struct mx_event *ev = message(0, 1);
	mx_str pdu = mx_event_json(ev);
	struct mx_arrival v;

	(void)state;
	guests.away = true;
	unit_ok(mx_verify_events(rooms, eleven(), &pdu, 1, &v));
	guests.away = false;
	assert_int_equal(v.fate, MX_FATE_DROPPED);
	assert_int_equal(v.reason, MX_REASON_SIGNATURE);
	mx_event_unref(&ev);
}

static void
long_words_are_cut_between_characters(void **state)
{
	struct mx_arrival v = { .event = NULL };
	char text[300];

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text + 198, "\xc3\xa9", 2);
	text[299] = '\0';
	mx_arrival_words(&v, text);
	assert_int_equal(strlen(v.words), 198);
	memset(text + 198, 'a', 2);
	mx_arrival_words(&v, text);
	assert_int_equal(strlen(v.words), 199);
	for (unsigned i = 0; i < MX_REASON_COUNT; i++)
		assert_string_not_equal(mx_reason_name((enum mx_reason)i), "unknown");
	for (unsigned i = 0; i < MX_FATE_COUNT; i++)
		assert_string_not_equal(mx_fate_name((enum mx_fate)i), "unknown");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		house_case(all_are_verified_and_each_key_is_asked_for_once),
		house_case(what_is_wrong_is_dropped_with_its_reason_and_the_rest_stays),
		house_case(without_a_key_nothing_of_others_is_taken),
		house_case(long_words_are_cut_between_characters),
	};

	guests_come();
	int failed = HOUSE_MAIN(tests);

	guests_go();
	return failed;
}
