/* Coming into a large room by a recorded answer of /send_join, on SQLite: verified, stored, ready to
 * chat; with the time, the CPU time and the memory that it takes.
 *
 *	enter DIRECTORY [MEMBERS] [SERVERS]
 *
 * The answer is generated once into DIRECTORY and used again (large.h). */
#include "tests/bench/large.h"

#include "core/room/doctor.h"

static void
say(struct place *p, struct mx_room *room)
{
	MX_AUTO_JSON *content = json_pack("{s:s, s:s}", "msgtype", "m.text", "body", "hello");
	struct mx_draft d = { .type = MX_S("m.room.message"), .content = content, .sender = p->me,
			      .sender_id = MX_S(ME) };

	must(mx_room_send(p->rooms, p->conn, room, &d, 1, NULL));
}

static void
measure(const char *dir, const char *path)
{
	struct place p = { 0 };
	int64_t bytes, read_us;

	place_open(&p, dir);
	long before = memory("VmRSS");
	double cpu = cpu_seconds();
	int64_t start = mx_monotonic_us();
	struct mx_room *room = come_in(&p, path, &bytes, &read_us);

	say(&p, room);
	int64_t us = mx_monotonic_us() - start;

	printf("members %zu joined %zu bytes %lld\n", members, mx_room_joined_count(room),
	       (long long)bytes);
	printf("read_ms %lld finish_ms %lld total_ms %lld cpu_ms %.0f\n", (long long)read_us / 1000,
	       (long long)(us - read_us) / 1000, (long long)us / 1000, (cpu_seconds() - cpu) * 1000);
	printf("rss_kib before %ld peak %ld after %ld\n", before, memory("VmHWM"), memory("VmRSS"));
	/* And what the doctor says of it. */
	struct mx_checkup *c = mx_alloc(sizeof(*c));

	start = mx_monotonic_us();
	must(mx_room_checkup(p.rooms, p.conn, room, c));
	printf("checkup_ms %lld found %llu rss_kib %ld\n",
	       (long long)(mx_monotonic_us() - start) / 1000, (unsigned long long)c->found,
	       memory("VmRSS"));
	free(c);
	mx_room_unref(&room);
	place_close(&p);
}

int
main(int argc, char **argv)
{
	char path[512];

	if (argc < 2) {
		fprintf(stderr, "usage: enter DIRECTORY [MEMBERS] [SERVERS]\n");
		return 64;
	}
	members = argc > 2 ? strtoul(argv[2], NULL, 10) : members;
	servers = argc > 3 ? strtoul(argv[3], NULL, 10) : servers;
	if (members == 0 || servers < 7)
		return 64;
	mkdir(argv[1], 0755);
	snprintf(path, sizeof(path), "%s/answer-%zu-%zu.json", argv[1], members, servers);
	prepare(path, NULL, 0);
	measure(argv[1], path);
	return 0;
}
