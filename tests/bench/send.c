/* What the room engine makes of it: mx_room_send on SQLite, without HTTP, from 1, 16 and 64
 * threads, each in a room of its own and all in one, createRoom's batch, joins, and changes of the
 * state of a room of 10,000 members.
 *
 *	send DIRECTORY [MESSAGES] [SCENARIO …]
 *
 * Scenarios: 1 16 64 one16 one create join state; each with a database of its own; of state the
 * bytes are those of the changes alone. */
#include "config.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/room/rooms.h"
#include "core/sql/db.h"
#include "core/stream/stream.h"
#include "tests/bench/rows.h"

extern const struct mx_storage_ops sqlite_ops;

#define SERVER "bench.example.org"

struct place {
	struct mx_db *db;
	struct mx_stream *stream;
	struct mx_rooms *rooms;
	struct mx_signing_key *key;
	char path[512];
};

struct sender {
	struct place *place;
	struct mx_room *room;
	pthread_t thread;
	char user[64];
	mx_nid nid;
	long count;
	int64_t *latency;
	struct sender *guests;		/* of rename_all */
};

#define GUESTS 512

static void
must(mx_error *e)
{
	if (e == NULL)
		return;
	fprintf(stderr, "send: %s\n", mx_error_text(e));
	exit(1);
}

static void
place_open(struct place *p, const char *dir)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };

	for (int i = 0; i < 3; i++) {
		snprintf(p->path, sizeof(p->path), "%s/send.db%s", dir, suffixes[i]);
		unlink(p->path);
	}
	snprintf(p->path, sizeof(p->path), "%s/send.db", dir);
	p->key = mx_signing_key_generate();
	must(mx_db_open(&sqlite_ops, NULL, mx_str_of(p->path), NULL, &p->db));
	must(mx_stream_open(p->db, NULL, &p->stream));
	must(mx_rooms_open(&(struct mx_rooms_config){ .db = p->db,
						      .stream = p->stream,
						      .key = p->key,
						      .server_name = MX_S(SERVER) },
			   &p->rooms));
}

static void
place_close(struct place *p)
{
	mx_rooms_close(&p->rooms);
	mx_stream_close(&p->stream);
	mx_db_close(&p->db);
	mx_signing_key_free(&p->key);
}

struct intern {
	mx_str text;
	mx_nid nid;
};

static mx_error *
intern(struct mx_txn *tx, void *arg)
{
	struct intern *i = arg;

	return mx_name_intern(tx, i->text, &i->nid);
}

static mx_nid
user_nid(struct place *p, const char *user)
{
	struct intern i = { .text = mx_str_of(user) };

	must(mx_write(p->db, intern, &i));
	return i.nid;
}

static struct mx_room *
make_room(struct place *p, struct mx_conn *c, const char *user, mx_nid nid)
{
	static const char *const types[] = { "m.room.create",
					     "m.room.member",
					     "m.room.power_levels",
					     "m.room.join_rules",
					     "m.room.history_visibility",
					     "m.room.guest_access",
					     "m.room.name" };
	static const char *const contents[] = { "{}",
						"{\"membership\":\"join\"}",
						"{\"users_default\":0,\"events_default\":0}",
						"{\"join_rule\":\"public\"}",
						"{\"history_visibility\":\"shared\"}",
						"{\"guest_access\":\"can_join\"}",
						"{\"name\":\"bench\"}" };
	struct mx_draft drafts[7] = { 0 };
	struct mx_room *room;

	for (int i = 0; i < 7; i++)
		drafts[i] = (struct mx_draft){ .type = mx_str_of(types[i]),
					       .state_key = i == 1 ? mx_str_of(user) : MX_S(""),
					       .content = json_loads(contents[i], 0, NULL),
					       .sender = nid,
					       .sender_id = mx_str_of(user) };
	must(mx_room_create(p->rooms, c, mx_rooms_default_version(p->rooms), drafts, 7, &room));
	for (int i = 0; i < 7; i++)
		json_decref(drafts[i].content);
	return room;
}

static void
join(struct place *p, struct mx_conn *c, struct mx_room *room, struct sender *s)
{
	json_t *content = json_loads("{\"membership\":\"join\"}", 0, NULL);
	struct mx_draft d = { .type = MX_S("m.room.member"),
			      .state_key = mx_str_of(s->user),
			      .content = content,
			      .sender = s->nid,
			      .sender_id = mx_str_of(s->user) };

	must(mx_room_send(p->rooms, c, room, &d, 1, NULL));
	json_decref(content);
}

static void *
send_all(void *arg)
{
	struct sender *s = arg;
	struct mx_conn *c;
	char text[200], txn[64];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (long i = 0; i < s->count; i++) {
		int64_t start = mx_monotonic_us();
		json_t *content = json_pack("{s:s, s:s}", "body", text, "msgtype", "m.text");
		struct mx_event *ev;

		snprintf(txn, sizeof(txn), "m%ld.%ld", (long)start, i);
		must(mx_conn_get(s->place->db, &c));
		struct mx_draft d = { .type = MX_S("m.room.message"),
				      .content = content,
				      .sender = s->nid,
				      .sender_id = mx_str_of(s->user),
				      .device = s->nid,
				      .txn_id = mx_str_of(txn) };
		must(mx_room_send(s->place->rooms, c, s->room, &d, 1, &ev));
		mx_event_unref(&ev);
		mx_conn_put(&c);
		json_decref(content);
		s->latency[i] = mx_monotonic_us() - start;
	}
	return NULL;
}

static void *
create_all(void *arg)
{
	struct sender *s = arg;
	struct mx_conn *c;

	for (long i = 0; i < s->count; i++) {
		int64_t start = mx_monotonic_us();

		must(mx_conn_get(s->place->db, &c));
		struct mx_room *r = make_room(s->place, c, s->user, s->nid);
		mx_room_unref(&r);
		mx_conn_put(&c);
		s->latency[i] = mx_monotonic_us() - start;
	}
	return NULL;
}

static void *
join_all(void *arg)
{
	struct sender *s = arg;
	struct mx_conn *c;

	for (long i = 0; i < s->count; i++) {
		struct sender guest = *s;
		int64_t start = mx_monotonic_us();

		snprintf(guest.user, sizeof(guest.user), "@guest%ld.%ld:" SERVER, (long)s->nid, i);
		guest.nid = user_nid(s->place, guest.user);
		must(mx_conn_get(s->place->db, &c));
		join(s->place, c, s->room, &guest);
		mx_conn_put(&c);
		s->latency[i] = mx_monotonic_us() - start;
	}
	return NULL;
}

/* Members of the room change their names: these joined it when the number was not yet measured. */
static void *
rename_all(void *arg)
{
	struct sender *s = arg;
	struct mx_conn *c;
	uint64_t dice = (uint64_t)s->nid;

	for (long i = 0; i < s->count; i++) {
		struct sender *guest = &s->guests[(dice = dice * UINT64_C(6364136223846793005) +
							  1442695040888963407u) >>
							  33 &
						  (GUESTS - 1)];
		json_t *content = json_pack("{s:s, s:o}", "membership", "join", "displayname",
					    json_sprintf("Guest %ld", i));
		struct mx_draft d = { .type = MX_S("m.room.member"),
				      .state_key = mx_str_of(guest->user),
				      .content = content,
				      .sender = guest->nid,
				      .sender_id = mx_str_of(guest->user) };
		int64_t start = mx_monotonic_us();

		must(mx_conn_get(s->place->db, &c));
		must(mx_room_send(s->place->rooms, c, s->room, &d, 1, NULL));
		mx_conn_put(&c);
		json_decref(content);
		s->latency[i] = mx_monotonic_us() - start;
	}
	return NULL;
}

static void
invite_guests(struct place *p, struct mx_conn *c, struct sender *s)
{
	s->guests = calloc(GUESTS, sizeof(*s->guests));
	for (int i = 0; i < GUESTS; i++) {
		snprintf(s->guests[i].user, sizeof(s->guests[i].user), "@guest%ld.%d:" SERVER,
			 (long)s->nid, i);
		s->guests[i].nid = user_nid(p, s->guests[i].user);
		join(p, c, s->room, &s->guests[i]);
	}
}

static int
by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void
run(const char *dir, const char *what, int threads, bool one_room, void *(*fn)(void *), long total)
{
	struct place p;
	struct mx_conn *c;
	struct sender *s = calloc((size_t)threads, sizeof(*s));
	int64_t *latency = calloc((size_t)total, sizeof(*latency)), before = 0, after = 0;
	struct mx_sql_stats sql[2];
	struct mx_rooms_stats stats;
	long each = total / threads;

	place_open(&p, dir);
	for (int i = 0; i < threads; i++) {
		s[i] = (struct sender){ .place = &p, .count = each, .latency = latency + i * each };
		snprintf(s[i].user, sizeof(s[i].user), "@user%d:" SERVER, i);
		s[i].nid = user_nid(&p, s[i].user);
		must(mx_conn_get(p.db, &c));
		if (one_room && i > 0) {
			s[i].room = mx_room_ref(s[0].room);
			join(&p, c, s[i].room, &s[i]);
		} else {
			s[i].room = make_room(&p, c, s[i].user, s[i].nid);
		}
		if (fn == rename_all)
			invite_guests(&p, c, &s[i]);
		mx_conn_put(&c);
	}
	must(mx_conn_get(p.db, &c));
	must(mx_db_disk_size(p.db, &before));
	mx_sql_stats(p.db, &sql[0]);
	mx_conn_put(&c);
	struct bench_clock clock = bench_start();

	for (int i = 0; i < threads; i++)
		pthread_create(&s[i].thread, NULL, fn, &s[i]);
	for (int i = 0; i < threads; i++)
		pthread_join(s[i].thread, NULL);
	bench_print(what, each * threads, &clock);
	mx_sql_stats(p.db, &sql[1]);
	mx_rooms_stats(p.rooms, &stats);
	qsort(latency, (size_t)(each * threads), sizeof(*latency), by_size);
	for (int i = 0; i < threads; i++) {
		mx_room_unref(&s[i].room);
		free(s[i].guests);
	}
	place_close(&p);
	struct stat st;

	after = stat(p.path, &st) == 0 ? st.st_size : 0;
	if (fn == rename_all)
		after -= before;
	printf("    p50 %.2f ms, p99 %.2f ms; statements %.2f, batch %.1f; conflicts %llu; %.0f "
	       "bytes each (%.1f MiB in all)\n",
	       (double)latency[each * threads / 2] / 1e3,
	       (double)latency[each * threads * 99 / 100] / 1e3,
	       (double)(sql[1].statements - sql[0].statements) / (double)(each * threads),
	       (double)(sql[1].writes - sql[0].writes) /
		       (double)(sql[1].batches - sql[0].batches + 1),
	       (unsigned long long)stats.conflicts, (double)after / (double)(each * threads),
	       (double)after / 1048576);
	free(s);
	free(latency);
}

int
main(int argc, char **argv)
{
	long n = argc > 2 ? atol(argv[2]) : 20000;

	if (argc < 2 || n < 64) {
		fprintf(stderr, "usage: send DIRECTORY [MESSAGES] "
				"[1|16|64|one16|one|create|join|state …]\n");
		return 2;
	}
	static const struct {
		const char *name, *what;
		int threads, one_room;
		void *(*fn)(void *);
		int share;
	} scenarios[] = {
		{ "1", "1 sender", 1, 0, send_all, 4 },
		{ "16", "16 senders, a room each", 16, 0, send_all, 1 },
		{ "64", "64 senders, a room each", 64, 0, send_all, 1 },
		{ "one16", "16 senders in one room", 16, 1, send_all, 1 },
		{ "one", "64 senders in one room", 64, 1, send_all, 1 },
		{ "create", "rooms of 7 events, 4 threads", 4, 0, create_all, 8 },
		{ "join", "joins, 16 threads", 16, 1, join_all, 8 },
		{ "state", "renames in a room of 10,000, 20 threads", 20, 1, rename_all, 1 },
	};
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
		bool wanted = argc < 4;

		for (int k = 3; k < argc; k++)
			wanted |= strcmp(argv[k], scenarios[i].name) == 0;
		if (wanted)
			run(argv[1], scenarios[i].what, scenarios[i].threads, scenarios[i].one_room,
			    scenarios[i].fn, n / scenarios[i].share);
	}
	return 0;
}
