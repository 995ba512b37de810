/* Taking one event of another server into a room of 100,000 members, on SQLite: beside what Ed25519
 * verification alone allows on one core.
 *
 *	accept DIRECTORY [MEMBERS] [MESSAGES]
 *
 * The room and the messages are generated once into DIRECTORY and used again (large.h). Messages come
 * alone, and fifty at a time as a transaction brings them; each is verified, judged by its auth
 * events, by the state before it and by the current state, and durable when the call returns. */
#include "tests/bench/large.h"

#define TRANSACTION 50

static char **lines;
static size_t lines_n;

static void
read_lines(const char *path)
{
	FILE *f = fopen(path, "r");
	size_t room = 0;
	char *line = NULL;
	ssize_t n;

	if (f == NULL)
		exit(1);
	lines_n = 0;
	while ((n = getline(&line, &room, f)) > 0) {
		lines = mx_realloc(lines, lines_n + 1, sizeof(char *));
		lines[lines_n++] = mx_str_dup((mx_str){ line, (size_t)n - 1 });
	}
	free(line);
	fclose(f);
}

/* How many signatures one core verifies in a second. */
static double
verifications(void)
{
	enum { COUNT = 4000 };
	struct mx_signing_key *key = key_of(0);
	unsigned char public_key[MX_ED25519_PUBLIC], bytes[MX_ED25519_SIGNATURE];
	mx_str text = { lines[0], strlen(lines[0]) };
	char base64[87];
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	mx_signing_key_public(key, public_key);
	mx_sign_bytes(key, text, base64);
	if (!mx_base64_decode(b, mx_str_of(base64)))
		abort();
	memcpy(bytes, mx_buf_view(b).p, sizeof(bytes));
	double cpu = cpu_seconds();

	for (int i = 0; i < COUNT; i++)
		if (!mx_verify_bytes(public_key, text, bytes))
			abort();
	cpu = cpu_seconds() - cpu;
	mx_signing_key_free(&key);
	return COUNT / cpu;
}

/* Hands in the messages from..to, so many at a time. */
static void
take_in(struct place *p, struct mx_room *room, size_t from, size_t to, size_t at_once, double alone,
	const char *name)
{
	struct mx_arrival v[TRANSACTION];
	mx_str pdus[TRANSACTION];
	double cpu = cpu_seconds();
	int64_t start = mx_monotonic_us();

	for (size_t i = from; i < to; i += at_once) {
		size_t n = to - i < at_once ? to - i : at_once;

		for (size_t k = 0; k < n; k++)
			pdus[k] = mx_str_of(lines[i + k]);
		must(mx_room_accept(p->rooms, p->conn, room, MX_S("server-0.example.org"), pdus, n, v));
		for (size_t k = 0; k < n; k++)
			if (v[k].fate != MX_FATE_ACCEPTED) {
				fprintf(stderr, "%s: %s\n", mx_reason_name(v[k].reason), v[k].words);
				exit(1);
			}
		mx_arrivals_clear(v, n);
	}
	double seconds = (double)(mx_monotonic_us() - start) / 1e6, count = (double)(to - from);

	cpu = cpu_seconds() - cpu;
	printf("%-12s events %.0f rate_wall %.0f/s cpu_us_each %.1f rate_core %.0f/s share %.0f%%\n", name,
	       count, count / seconds, cpu / count * 1e6, count / cpu, 100 * count / cpu / alone);
}

int
main(int argc, char **argv)
{
	struct place p = { 0 };
	char path[512], messages_path[512];
	size_t messages;
	int64_t bytes, read_us;

	if (argc < 2) {
		fprintf(stderr, "usage: accept DIRECTORY [MEMBERS] [MESSAGES]\n");
		return 64;
	}
	members = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000;
	messages = argc > 3 ? strtoul(argv[3], NULL, 10) : 20000;
	if (members < 1000 || messages < 1000)
		return 64;
	mkdir(argv[1], 0755);
	snprintf(path, sizeof(path), "%s/answer-%zu-%zu-%zu.json", argv[1], members, servers, messages);
	snprintf(messages_path, sizeof(messages_path), "%s/messages-%zu-%zu-%zu.json", argv[1], members,
		 servers, messages);
	prepare(path, messages_path, messages);
	read_lines(messages_path);
	double alone = verifications();

	printf("ed25519 alone %.0f/s on one core\n", alone);
	place_open(&p, argv[1]);
	long before = memory("VmRSS");
	struct mx_room *room = come_in(&p, path, &bytes, &read_us);

	printf("rss_kib before %ld after coming in %ld peak %ld\n", before, memory("VmRSS"),
	       memory("VmHWM"));
	take_in(&p, room, 0, messages / 10, 1, alone, "alone");
	take_in(&p, room, messages / 10, messages, TRANSACTION, alone, "transaction");
	printf("rss_kib after %ld peak %ld\n", memory("VmRSS"), memory("VmHWM"));
	mx_room_unref(&room);
	place_close(&p);
	for (size_t i = 0; i < lines_n; i++)
		free(lines[i]);
	free(lines);
	return 0;
}
