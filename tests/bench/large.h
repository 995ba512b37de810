/* A large room of other servers, for benchmarks: the answer of /send_join by which one comes into it,
 * and messages that its members send afterwards. Both are generated once and used again: members of
 * many servers, each with a key of its own, who came in the course of many power levels and join
 * rules; some have changed their profile since, so that what they were is in the auth chain. State
 * first, and members not in canonical order, as servers send it. */
#ifndef TESTS_BENCH_LARGE_H
#define TESTS_BENCH_LARGE_H

#include "config.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/room/build.h"
#include "core/room/outlier.h"
#include "core/room/rooms.h"
#include "core/sql/db.h"
#include "core/stream/stream.h"

extern const struct mx_storage_ops sqlite_ops;

#define SERVER "bench.example.org"
#define ME "@me:" SERVER
#define ROOM "!large:server-0.example.org"
#define OWNER "@owner:server-0.example.org"
#define PIECE 65536		/* bytes that are fed at a time */
#define EPOCHS 40		/* power levels that have been in force */
#define JOINED 1700000000000	/* when we come */

static size_t members = 50000, servers = 500;

static inline void
must(mx_error *e)
{
	if (e == NULL)
		return;
	fprintf(stderr, "%s\n", mx_error_text(e));
	exit(1);
}

/* ---- keys: each follows from the server's number ---- */

static inline struct mx_signing_key *
key_of(size_t server)
{
	MX_AUTO(mx_buf) *line = mx_buf_new(0);
	unsigned char seed[MX_SHA256_SIZE];
	struct mx_signing_key *key;

	mx_sha256(&server, sizeof(server), seed);
	mx_buf_printf(line, "ed25519 k1 ");
	mx_base64(line, seed, sizeof(seed));
	must(mx_signing_key_parse(mx_buf_view(line), &key));
	return key;
}

static struct mx_signing_key **keys;

static inline bool
verify_key(void *arg, mx_str server, mx_str key_id, mx_msec at, struct mx_verify_key *out)
{
	unsigned n;
	char name[64];

	(void)arg;
	(void)at;
	snprintf(name, sizeof(name), "%.*s", MX_SFMT(server));
	if (sscanf(name, "server-%u.", &n) != 1 || n >= servers ||
	    !mx_str_eq(key_id, MX_S("ed25519:k1")))
		return false;
	mx_signing_key_public(keys[n], out->public_key);
	out->valid_until = INT64_MAX;
	return true;
}

/* Ours; its key follows from a number, too, so that it is the same each time. */
static inline struct mx_event *
our_join(const struct mx_signing_key *key)
{
	MX_AUTO_JSON *content = json_pack("{s:s}", "membership", "join");
	mx_str prev = MX_S("$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	struct mx_event *ev;

	must(mx_build_event(&(struct mx_build){ .version = mx_room_version_find(MX_S("11")),
						.room_id = MX_S(ROOM),
						.sender = MX_S(ME),
						.type = MX_S("m.room.member"),
						.state_key = MX_S(ME),
						.content = content,
						.ts = JOINED,
						.depth = 200000,
						.prev = &prev,
						.prev_n = 1,
						.server = MX_S(SERVER),
						.key = key },
			    &ev));
	return ev;
}

/* ---- the answer ---- */

struct generator {
	FILE *state, *chain;
	bool state_any, chain_any;
	struct mx_event *create, *owner, *levels[EPOCHS], *rules[3];
	mx_msec ts;
	size_t talkers;
	struct mx_event **talker;	/* members who will send messages, evenly among all */
};

static inline struct mx_event *
make(struct generator *g, size_t server, const char *sender, const char *type, const char *state_key,
     const char *content, struct mx_event *const *auth, size_t auth_n)
{
	MX_AUTO_JSON *json = json_loads(content, 0, NULL);
	struct mx_event *ev;
	char name[64];
	mx_str ids[8], prev = MX_S("$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	bool create = strcmp(type, "m.room.create") == 0;

	for (size_t i = 0; i < auth_n; i++)
		ids[i] = mx_event_id(auth[i]);
	snprintf(name, sizeof(name), "server-%zu.example.org", server);
	if (auth_n == 1)
		prev = ids[0];	/* the creator's join follows the create event */
	g->ts += 1000;
	must(mx_build_event(
		&(struct mx_build){ .version = mx_room_version_find(MX_S("11")),
				    .room_id = MX_S(ROOM),
				    .sender = mx_str_of(sender),
				    .type = mx_str_of(type),
				    .state_key = mx_str_of(state_key),
				    .content = json,
				    .ts = g->ts,
				    .depth = g->ts / 1000 - 1600000000,
				    .prev = &prev,
				    .prev_n = !create,
				    .auth = ids,
				    .auth_n = auth_n,
				    .server = mx_str_of(name),
				    .key = keys[server] },
		&ev));
	return ev;
}

static inline void
emit(FILE *f, bool *any, const struct mx_event *ev)
{
	mx_str json = mx_event_json(ev);

	/* As others send it: not in canonical order, and with what is not signed. */
	fprintf(f, "%s{\"unsigned\":{\"age\":86400000,\"replaces_state\":\"%.*s\"},%.*s",
		*any ? "," : "", MX_SFMT(mx_event_id(ev)), (int)json.n - 1, json.p + 1);
	*any = true;
}

static inline void
generate_core(struct generator *g)
{
	char content[256];

	g->create = make(g, 0, OWNER, "m.room.create", "", "{\"room_version\":\"11\"}", NULL, 0);
	g->owner = make(g, 0, OWNER, "m.room.member", OWNER, "{\"membership\":\"join\"}",
			&g->create, 1);
	for (int i = 0; i < EPOCHS; i++) {
		struct mx_event *auth[] = { g->create, g->owner, i > 0 ? g->levels[i - 1] : NULL };

		snprintf(content, sizeof(content),
			 "{\"users\":{\"%s\":100,\"@mod%d:server-%d.example.org\":50},"
			 "\"users_default\":0,\"events_default\":0,\"state_default\":50}",
			 OWNER, i, i % 7);
		g->levels[i] = make(g, 0, OWNER, "m.room.power_levels", "", content, auth,
				    i > 0 ? 3 : 2);
		emit(i == EPOCHS - 1 ? g->state : g->chain,
		     i == EPOCHS - 1 ? &g->state_any : &g->chain_any, g->levels[i]);
		if (i % 16 == 0) {
			struct mx_event *by[] = { g->create, g->owner, g->levels[i] };

			g->rules[i / 16] = make(g, 0, OWNER, "m.room.join_rules", "",
						"{\"join_rule\":\"public\"}", by, 3);
			emit(i / 16 == 2 ? g->state : g->chain,
			     i / 16 == 2 ? &g->state_any : &g->chain_any, g->rules[i / 16]);
		}
	}
}

static inline void
generate_member(struct generator *g, size_t i)
{
	/* A few servers have most of the members. */
	size_t server = i % 3 == 0 ? i % 7 : i % servers;
	size_t epoch = i * EPOCHS / members;
	struct mx_event *auth[4] = { g->create, g->levels[epoch], g->rules[epoch / 16] }, *ev;
	char user[96], content[256];

	snprintf(user, sizeof(user), "@user-%zu:server-%zu.example.org", i, server);
	snprintf(content, sizeof(content),
		 "{\"avatar_url\":\"mxc://server-%zu.example.org/abcdefghijklmnopqrstuvwx\","
		 "\"displayname\":\"User number %zu\",\"membership\":\"join\"}",
		 server, i);
	ev = make(g, server, user, "m.room.member", user, content, auth, 3);
	if (i % 5 == 0) {
		auth[3] = ev;
		struct mx_event *later = make(g, server, user, "m.room.member", user,
					      "{\"displayname\":\"Now otherwise\","
					      "\"membership\":\"join\"}", auth, 4);

		emit(g->chain, &g->chain_any, ev);
		mx_event_unref(&ev);
		ev = later;
	}
	emit(g->state, &g->state_any, ev);
	if (g->talkers > 0 && i % (members / g->talkers) == 0 && i / (members / g->talkers) < g->talkers)
		g->talker[i / (members / g->talkers)] = mx_event_ref(ev);
	mx_event_unref(&ev);
}

static inline void
copy(FILE *from, FILE *to)
{
	char buf[PIECE];
	size_t n;

	rewind(from);
	while ((n = fread(buf, 1, sizeof(buf), from)) > 0)
		if (fwrite(buf, 1, n, to) != n)
			abort();
}

static inline FILE *
file(const char *path)
{
	FILE *f = path != NULL ? fopen(path, "w") : tmpfile();

	if (f == NULL) {
		perror(path);
		exit(1);
	}
	return f;
}

/* One a line, each on the one before; the first on our join. */
static inline void
generate_messages(struct generator *g, const char *path, size_t count)
{
	struct mx_signing_key *mine = key_of(servers);
	struct mx_event *before = our_join(mine);
	FILE *out = file(path);
	char content[256];

	for (size_t i = 0; i < count; i++) {
		const struct mx_event *who = g->talker[i % g->talkers];
		mx_str server = mx_id_server_of(mx_event_sender(who)), prev = mx_event_id(before);
		mx_str auth[] = { mx_event_id(g->create), mx_event_id(g->levels[EPOCHS - 1]),
				  mx_event_id(who) };
		struct mx_event *ev;

		snprintf(content, sizeof(content),
			 "{\"msgtype\":\"m.text\",\"body\":\"message number %zu, as long as people write "
			 "them\"}", i);
		MX_AUTO_JSON *json = json_loads(content, 0, NULL);

		must(mx_build_event(
			&(struct mx_build){ .version = mx_room_version_find(MX_S("11")),
					    .room_id = MX_S(ROOM),
					    .sender = mx_event_sender(who),
					    .type = MX_S("m.room.message"),
					    .content = json,
					    .ts = JOINED + 1000 * (mx_msec)i,
					    .depth = mx_event_depth(before) + 1,
					    .prev = &prev,
					    .prev_n = 1,
					    .auth = auth,
					    .auth_n = 3,
					    .server = server,
					    .key = keys[strtoul(server.p + 7, NULL, 10)] },
			&ev));
		fprintf(out, "%.*s\n", MX_SFMT(mx_event_json(ev)));
		mx_event_unref(&before);
		before = ev;
	}
	mx_event_unref(&before);
	mx_signing_key_free(&mine);
	if (fclose(out) != 0)
		abort();
}

static inline void
generate(const char *path, const char *messages_path, size_t messages)
{
	struct generator g = { .state = file(NULL), .chain = file(NULL), .ts = 1600000001000,
			       .talkers = messages < 1000 ? messages : 1000 };
	FILE *out = file(path);

	g.talker = mx_alloc((g.talkers + 1) * sizeof(struct mx_event *));
	generate_core(&g);
	for (size_t i = 0; i < members; i++)
		generate_member(&g, i);
	emit(g.state, &g.state_any, g.owner);
	emit(g.state, &g.state_any, g.create);
	fprintf(out, "{\"state\":[");
	copy(g.state, out);
	fprintf(out, "],\"auth_chain\":[");
	copy(g.chain, out);
	fprintf(out, "],\"origin\":\"server-0.example.org\",\"members_omitted\":false}");
	if (fclose(out) != 0)
		abort();
	if (messages > 0)
		generate_messages(&g, messages_path, messages);
}

/* Makes the files if they are not there, in a process of its own: its memory is not what is measured. */
static inline void
prepare(const char *path, const char *messages_path, size_t messages)
{
	pid_t child;
	int status;

	keys = mx_alloc(servers * sizeof(struct mx_signing_key *));
	for (size_t i = 0; i < servers; i++)
		keys[i] = key_of(i);
	if (access(path, R_OK) == 0 && (messages == 0 || access(messages_path, R_OK) == 0))
		return;
	child = fork();
	if (child == 0) {
		generate(path, messages_path, messages);
		_exit(0);
	}
	if (waitpid(child, &status, 0) != child || status != 0)
		exit(1);
}

/* ---- coming in ---- */

struct place {
	struct mx_db *db;
	struct mx_stream *stream;
	struct mx_rooms *rooms;
	struct mx_signing_key *key;
	struct mx_conn *conn;
	mx_nid me;
};

static inline mx_error *
intern_me(struct mx_txn *tx, void *arg)
{
	return mx_name_intern(tx, MX_S(ME), arg);
}

static inline void
place_open(struct place *p, const char *dir)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	char path[512];

	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/enter.db%s", dir, suffixes[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/enter.db", dir);
	p->key = key_of(servers);
	must(mx_db_open(&sqlite_ops, NULL, mx_str_of(path), NULL, &p->db));
	must(mx_stream_open(p->db, NULL, &p->stream));
	must(mx_rooms_open(&(struct mx_rooms_config){ .db = p->db,
						      .stream = p->stream,
						      .key = p->key,
						      .server_name = MX_S(SERVER),
						      .verify_key = verify_key },
			   &p->rooms));
	must(mx_conn_get(p->db, &p->conn));
	must(mx_write(p->db, intern_me, &p->me));
}

static inline void
place_close(struct place *p)
{
	mx_conn_put(&p->conn);
	mx_rooms_close(&p->rooms);
	mx_stream_close(&p->stream);
	mx_db_close(&p->db);
	mx_signing_key_free(&p->key);
	for (size_t i = 0; i < servers; i++)
		mx_signing_key_free(&keys[i]);
	free(keys);
}

/* Comes into the room by the answer. */
static inline struct mx_room *
come_in(struct place *p, const char *path, int64_t *bytes, int64_t *read_us)
{
	struct mx_event *join = our_join(p->key);
	static char buf[PIECE];
	int fd = open(path, O_RDONLY);
	int64_t start = mx_monotonic_us();
	struct mx_entry *e;
	struct mx_room *room;
	ssize_t n;

	*bytes = 0;
	must(mx_entry_begin(p->rooms, MX_S(ROOM), mx_room_version_find(MX_S("11")),
			    mx_event_json(join), &e));
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		must(mx_entry_feed(e, (mx_str){ buf, (size_t)n }));
		*bytes += n;
	}
	*read_us = mx_monotonic_us() - start;
	must(mx_entry_finish(e, p->conn, &room));
	mx_entry_free(&e);
	mx_event_unref(&join);
	close(fd);
	return room;
}

static inline double
cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static inline long
memory(const char *name)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long kib = 0;
	size_t n = strlen(name);

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, name, n) == 0)
			kib = strtol(line + n + 1, NULL, 10);
	if (f != NULL)
		fclose(f);
	return kib;
}

#endif
