/* What an event costs: making, loading, sending to a client, authorising. CPU time a call, and
 * instructions where the kernel counts them. Usage: events [ROUNDS] */
#include "config.h"

#include <linux/perf_event.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/room/build.h"
#include "core/room/rules.h"

static int counter = -1;

static void
count_instructions(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_HARDWARE,
					.size = sizeof(attr),
					.config = PERF_COUNT_HW_INSTRUCTIONS,
					.exclude_kernel = 1,
					.exclude_hv = 1 };

	counter = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

struct sample {
	double seconds;
	uint64_t instructions;
};

static struct sample
now(void)
{
	struct sample s = { 0, 0 };
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	s.seconds = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
	if (counter >= 0 && read(counter, &s.instructions, sizeof(s.instructions)) !=
				    (ssize_t)sizeof(s.instructions))
		s.instructions = 0;
	return s;
}

static void
report(const char *what, struct sample from, size_t rounds)
{
	struct sample to = now();

	printf("%-34s %8.3f us", what, (to.seconds - from.seconds) * 1e6 / (double)rounds);
	if (counter >= 0)
		printf(" %10.0f instructions",
		       (double)(to.instructions - from.instructions) / (double)rounds);
	printf("\n");
}

static void
must(mx_error *e)
{
	if (e == NULL)
		return;
	fprintf(stderr, "%s\n", mx_error_text(e));
	exit(1);
}

#define ID "$abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
#define ROOM "!abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"

static struct mx_event *
state_event(const char *type, const char *key, const char *content)
{
	char json[1024];
	struct mx_event_row row = { .version = mx_room_version_default(),
				    .id = MX_S(ID),
				    .room_id = MX_S(ROOM) };
	struct mx_event *ev = NULL;

	snprintf(json, sizeof(json),
		 "{\"content\":%s,\"sender\":\"@alice:example.org\",\"state_key\":\"%s\",\"type\":"
		 "\"%s\"}",
		 content, key, type);
	row.json = mx_str_of(json);
	must(mx_event_from_row(&row, &ev));
	return ev;
}

static void
bench_rules(const struct mx_event *message, size_t rounds)
{
	MX_AUTO(mx_event) *create = state_event("m.room.create", "", "{\"room_version\":\"12\"}");
	MX_AUTO(mx_event) *levels =
		state_event("m.room.power_levels", "",
			    "{\"ban\":50,\"events\":{\"m.room.avatar\":50,\"m.room.encryption\":"
			    "100,\"m.room.history_visibility\":100,"
			    "\"m.room.name\":50,\"m.room.power_levels\":100,\"m.room.tombstone\":"
			    "150},\"events_default\":0,\"invite\":0,"
			    "\"kick\":50,\"redact\":50,\"state_default\":50,\"users\":{\"@bob:"
			    "example.org\":50},\"users_default\":0}");
	MX_AUTO(mx_event) *member =
		state_event("m.room.member", "@alice:example.org", "{\"membership\":\"join\"}");
	const struct mx_event *state[] = { create, levels, member };
	const struct mx_rules_events set = { state, 3, NULL };
	struct mx_rules_state lookup = mx_rules_state_of(&set);
	MX_AUTO(mx_power) *power = NULL;
	struct sample start = now();

	for (size_t i = 0; i < rounds; i++) {
		mx_power_unref(&power);
		power = mx_power_parse(levels, create);
	}
	report("parse power levels", start, rounds);
	lookup.power = power;
	start = now();
	for (size_t i = 0; i < rounds; i++)
		must(mx_rules_check(message, &lookup));
	report("authorise a message", start, rounds);
}

static void
bench_reading(const struct mx_event *message, size_t rounds)
{
	const struct mx_event_row row = { .version = message->version,
					  .json = mx_event_json(message),
					  .id = mx_event_id(message),
					  .device = 5,
					  .txn_id = MX_S("m1") };
	const struct mx_event_view view = { .with_room_id = true, .device = 5 };
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_event *ev;
	struct sample start = now();

	for (size_t i = 0; i < rounds; i++) {
		must(mx_event_from_row(&row, &ev));
		mx_event_unref(&ev);
	}
	report("load a stored event", start, rounds);
	start = now();
	for (size_t i = 0; i < rounds; i++) {
		mx_buf_truncate(b, 0);
		mx_event_client(message, &view, b);
	}
	report("write it for a client", start, rounds);
	start = now();
	for (size_t i = 0; i < rounds / 10; i++) {
		must(mx_event_from_bytes(message->version, mx_event_json(message), &ev));
		mx_event_unref(&ev);
	}
	report("take a stranger's event", start, rounds / 10);
}

static void
bench_building(struct mx_build *in, size_t rounds)
{
	const struct mx_signing_key *key = in->key;
	struct mx_event *ev;
	struct sample start = now();

	for (size_t i = 0; i < rounds / 10; i++) {
		must(mx_build_event(in, &ev));
		mx_event_unref(&ev);
	}
	report("make an event", start, rounds / 10);
	in->key = NULL;
	start = now();
	for (size_t i = 0; i < rounds; i++) {
		must(mx_build_event(in, &ev));
		mx_event_unref(&ev);
	}
	report("the same, not hashed and signed", start, rounds);
	in->key = key;
}

int
main(int argc, char **argv)
{
	size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000;
	MX_AUTO(mx_signing_key) *key = mx_signing_key_generate();
	MX_AUTO_JSON *content =
		json_pack("{s:s,s:s}", "msgtype", "m.text", "body",
			  "A message of a usual length, as people write them to each other in a "
			  "room: two sentences. This is the other.");
	const mx_str ids[3] = { MX_S(ID), MX_S(ID), MX_S(ID) };
	struct mx_build in = { .version = mx_room_version_default(),
			       .room_id = MX_S(ROOM),
			       .sender = MX_S("@alice:example.org"),
			       .type = MX_S("m.room.message"),
			       .content = content,
			       .ts = mx_now(),
			       .depth = 1000,
			       .prev = ids,
			       .prev_n = 1,
			       .auth = ids,
			       .auth_n = 2,
			       .server = MX_S("example.org"),
			       .key = key,
			       .device = 5,
			       .txn_id = MX_S("m1") };
	MX_AUTO(mx_event) *message = NULL;

	count_instructions();
	must(mx_build_event(&in, &message));
	printf("an event of %zu bytes\n", mx_event_json(message).n);
	bench_building(&in, rounds);
	bench_reading(message, rounds);
	bench_rules(message, rounds);
	return 0;
}
