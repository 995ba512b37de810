/* What a change of state costs on disk: members of a room change their names, one after the
 * other, at random. The same history in our tables and in those of Synapse, both in SQLite.
 *
 *	state DIRECTORY [MEMBERS [CHANGES]]
 *
 * Of Synapse's schema those tables are written that hold states (state_groups, its edges, deltas
 * of up to 100 hops and then the whole state; which event has which) and auth chains
 * (event_auth, event_auth_chains), with their indexes and with ids of the length that they have
 * in rooms of today. The numbers are of pages, so of the file's bytes; those of the changes
 * alone, after the members have joined. */
#include "config.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/room/rooms.h"
#include "core/sql/db.h"
#include "core/stream/stream.h"
#include "tests/bench/rows.h"

extern const struct mx_storage_ops sqlite_ops;

#define SERVER "bench.example.org"
#define BATCH 500
#define MAX_HOPS 100	/* of a chain of deltas of state groups */
#define MAX_TABLES 64

static void
fail(const char *what)
{
	fprintf(stderr, "state: %s\n", what);
	exit(1);
}

static void
must(mx_error *e)
{
	if (e != NULL)
		fail(mx_error_text(e));
}

/* The same members change in both. */
static size_t
next_member(uint64_t *dice, size_t members)
{
	*dice = *dice * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (size_t)(*dice >> 33) % members;
}

static void
user_id(size_t i, char out[64])
{
	snprintf(out, 64, "@member%06zu:" SERVER, i);
}

static void
new_file(const char *dir, const char *name, char path[512])
{
	static const char *const suffixes[] = { "-wal", "-shm", "" };

	for (int i = 0; i < 3; i++) {
		snprintf(path, 512, "%s/%s.db%s", dir, name, suffixes[i]);
		unlink(path);
	}
}

/* ---- sizes ---- */

struct sizes {
	struct {
		char name[64];
		int64_t bytes;
	} v[MAX_TABLES];
	size_t n;
};

static void
sql(sqlite3 *db, int rc)
{
	if (rc != SQLITE_OK && rc != SQLITE_DONE && rc != SQLITE_ROW)
		fail(sqlite3_errmsg(db));
}

static void
measure(const char *path, struct sizes *out)
{
	sqlite3 *db;
	sqlite3_stmt *st;

	out->n = 0;
	sql(NULL, sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL));
	sql(db, sqlite3_prepare_v2(
			db, "SELECT name, SUM(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC",
			-1, &st, NULL));
	while (out->n < MAX_TABLES && sqlite3_step(st) == SQLITE_ROW) {
		snprintf(out->v[out->n].name, sizeof(out->v[0].name), "%s",
			 (const char *)sqlite3_column_text(st, 0));
		out->v[out->n++].bytes = sqlite3_column_int64(st, 1);
	}
	sqlite3_finalize(st);
	sqlite3_close(db);
}

static int64_t
size_of(const struct sizes *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->v[i].name, name) == 0)
			return s->v[i].bytes;
	return 0;
}

/* Bytes a change of the tables and indexes whose names begin so; "": of all. list: prints each. */
static double
add_up(const struct sizes *before, const struct sizes *after, const char *const *names, size_t n,
       size_t changes, bool list)
{
	double all = 0;

	for (size_t i = 0; i < after->n; i++) {
		double each = (double)(after->v[i].bytes - size_of(before, after->v[i].name)) /
			      (double)changes;
		bool wanted = false;

		for (size_t k = 0; k < n; k++)
			wanted |= strncmp(after->v[i].name, names[k], strlen(names[k])) == 0;
		if (!wanted)
			continue;
		if (list && each >= 0.5)
			printf("    %-40s %8.0f\n", after->v[i].name, each);
		all += each;
	}
	return all;
}

/* ---- ours ---- */

struct ours {
	struct mx_db *db;
	struct mx_stream *stream;
	struct mx_rooms *rooms;
	struct mx_signing_key *key;
	struct mx_conn *conn;
	struct mx_room *room;
	mx_nid *users;
	size_t members;
};

static void
ours_open(struct ours *o, const char *path)
{
	must(mx_db_open(&sqlite_ops, NULL, mx_str_of(path), NULL, &o->db));
	must(mx_stream_open(o->db, NULL, &o->stream));
	must(mx_rooms_open(&(struct mx_rooms_config){ .db = o->db,
						      .stream = o->stream,
						      .key = o->key,
						      .server_name = MX_S(SERVER) },
			   &o->rooms));
	must(mx_conn_get(o->db, &o->conn));
}

static void
ours_close(struct ours *o)
{
	mx_conn_put(&o->conn);
	mx_rooms_close(&o->rooms);
	mx_stream_close(&o->stream);
	mx_db_close(&o->db);
}

static mx_error *
intern_users(struct mx_txn *tx, void *arg)
{
	struct ours *o = arg;
	char user[64];

	for (size_t i = 0; i < o->members; i++) {
		user_id(i, user);
		MX_TRY(mx_name_intern(tx, mx_str_of(user), &o->users[i]));
	}
	return NULL;
}

static void
ours_room(struct ours *o)
{
	static const char *const types[] = { "m.room.create", "m.room.member",
					     "m.room.power_levels", "m.room.join_rules" };
	static const char *const contents[] = { "{}", "{\"membership\":\"join\"}", "{}",
						"{\"join_rule\":\"public\"}" };
	struct mx_draft d[4];
	char user[64];

	user_id(0, user);
	for (int i = 0; i < 4; i++)
		d[i] = (struct mx_draft){ .type = mx_str_of(types[i]),
					  .state_key = i == 1 ? mx_str_of(user) : MX_S(""),
					  .content = json_loads(contents[i], 0, NULL),
					  .sender = o->users[0],
					  .sender_id = mx_str_of(user) };
	must(mx_room_create(o->rooms, o->conn, mx_rooms_default_version(o->rooms), d, 4, &o->room));
	for (int i = 0; i < 4; i++)
		json_decref(d[i].content);
}

/* These members join, or change their names. */
static void
ours_change(struct ours *o, const size_t *who, size_t n, size_t serial)
{
	static struct mx_draft d[BATCH];
	static char users[BATCH][64];

	for (size_t i = 0; i < n; i++) {
		user_id(who[i], users[i]);
		d[i] = (struct mx_draft){ .type = MX_S("m.room.member"),
					  .state_key = mx_str_of(users[i]),
					  .content = json_pack("{s:s, s:o}", "membership", "join",
							       "displayname",
							       json_sprintf("Member %zu",
									    serial + i)),
					  .sender = o->users[who[i]],
					  .sender_id = mx_str_of(users[i]) };
	}
	must(mx_room_send(o->rooms, o->conn, o->room, d, n, NULL));
	for (size_t i = 0; i < n; i++)
		json_decref(d[i].content);
}

static void
ours_changes(struct ours *o, size_t changes)
{
	size_t who[BATCH];
	uint64_t dice = 1;

	for (size_t at = 0, n; at < changes; at += n) {
		n = changes - at < BATCH ? changes - at : BATCH;
		for (size_t i = 0; i < n; i++)
			who[i] = next_member(&dice, o->members);
		ours_change(o, who, n, at);
	}
}

static void
ours(const char *dir, size_t members, size_t changes)
{
	static const char *const state[] = { "state_node", "cover" }, *const every[] = { "" };
	struct ours o = { .members = members, .key = mx_signing_key_generate() };
	struct sizes before, after;
	size_t who[BATCH];
	char path[512];

	new_file(dir, "state", path);
	o.users = calloc(members, sizeof(*o.users));
	ours_open(&o, path);
	must(mx_write(o.db, intern_users, &o));
	ours_room(&o);
	for (size_t at = 1, n; at < members; at += n) {
		n = members - at < BATCH ? members - at : BATCH;
		for (size_t i = 0; i < n; i++)
			who[i] = at + i;
		ours_change(&o, who, n, at);
	}
	mx_room_unref(&o.room);
	ours_close(&o);
	measure(path, &before);
	ours_open(&o, path);
	mx_nid room;

	must(mx_rooms_next(o.rooms, o.conn, 0, &room));
	must(mx_room_by_nid(o.rooms, o.conn, room, &o.room));
	ours_changes(&o, changes);
	mx_room_unref(&o.room);
	ours_close(&o);
	measure(path, &after);
	printf("ours, bytes a change:\n");
	double states = add_up(&before, &after, state, 2, changes, true);

	printf("  states and auth chains                   %10.0f\n", states);
	printf("  everything, with the events themselves   %10.0f\n",
	       add_up(&before, &after, every, 1, changes, false));
	mx_signing_key_free(&o.key);
	free(o.users);
}

/* ---- Synapse's ---- */

struct theirs {
	sqlite3 *db;
	sqlite3_stmt *group, *edge, *entry, *event, *auth, *chain;
	char (*current)[45];	/* the event of each member */
	size_t *sequence;
	size_t members, hops;
	int64_t last;		/* the newest state group */
	uint64_t serial;
};

#define ROOM_ID "!aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static sqlite3_stmt *
prepare(sqlite3 *db, const char *text)
{
	sqlite3_stmt *st;

	sql(db, sqlite3_prepare_v2(db, text, -1, &st, NULL));
	return st;
}

static void
run(struct theirs *t, sqlite3_stmt *st)
{
	sql(t->db, sqlite3_step(st));
	sql(t->db, sqlite3_reset(st));
}

static void
text(sqlite3_stmt *st, int i, const char *s)
{
	sqlite3_bind_text(st, i, s, -1, SQLITE_TRANSIENT);
}

static void
new_id(struct theirs *t, char id[45])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint64_t x = ++t->serial * UINT64_C(0x9e3779b97f4a7c15);

	id[0] = '$';
	for (int i = 1; i < 44; i++) {
		x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
		id[i] = digits[x >> 58];
	}
	id[44] = '\0';
}

static void
theirs_entry(struct theirs *t, int64_t group, size_t who)
{
	char user[64];

	user_id(who, user);
	sqlite3_bind_int64(t->entry, 1, group);
	text(t->entry, 2, ROOM_ID);
	text(t->entry, 3, "m.room.member");
	text(t->entry, 4, user);
	text(t->entry, 5, t->current[who]);
	run(t, t->entry);
}

/* What the event rests on: power levels, join rules, the member's last event. */
static void
theirs_auth(struct theirs *t, size_t who, const char *id)
{
	const char *auth[] = { "$levelslevelslevelslevelslevelslevelslevelsl",
			       "$rulesrulesrulesrulesrulesrulesrulesrulesrul", t->current[who] };

	for (int i = 0; i < (t->sequence[who] > 0 ? 3 : 2); i++) {
		text(t->auth, 1, id);
		text(t->auth, 2, auth[i]);
		text(t->auth, 3, ROOM_ID);
		run(t, t->auth);
	}
	text(t->chain, 1, id);
	sqlite3_bind_int64(t->chain, 2, (int64_t)who + 4);
	sqlite3_bind_int64(t->chain, 3, (int64_t)++t->sequence[who]);
	run(t, t->chain);
}

static void
theirs_change(struct theirs *t, size_t who, size_t joined)
{
	int64_t group = t->last + 1;
	char id[45];

	new_id(t, id);
	theirs_auth(t, who, id);
	memcpy(t->current[who], id, sizeof(id));
	sqlite3_bind_int64(t->group, 1, group);
	text(t->group, 2, ROOM_ID);
	text(t->group, 3, id);
	run(t, t->group);
	if (t->last != 0 && t->hops < MAX_HOPS) {
		sqlite3_bind_int64(t->edge, 1, group);
		sqlite3_bind_int64(t->edge, 2, t->last);
		run(t, t->edge);
		theirs_entry(t, group, who);
		t->hops++;
	} else {
		for (size_t i = 0; i < joined; i++)
			theirs_entry(t, group, i);
		t->hops = 0;
	}
	text(t->event, 1, id);
	sqlite3_bind_int64(t->event, 2, group);
	run(t, t->event);
	t->last = group;
}

static const char THEIR_TABLES[] =
	"PRAGMA journal_mode = WAL;"
	"PRAGMA synchronous = OFF;"
	"PRAGMA cache_size = -65536;"
	"CREATE TABLE IF NOT EXISTS state_groups (id BIGINT PRIMARY KEY, room_id TEXT "
	"NOT NULL, event_id TEXT NOT NULL);"
	"CREATE TABLE IF NOT EXISTS state_groups_state (state_group BIGINT NOT NULL, "
	"room_id TEXT NOT NULL, type TEXT NOT NULL, state_key TEXT NOT NULL, event_id "
	"TEXT NOT NULL);"
	"CREATE TABLE IF NOT EXISTS state_group_edges (state_group BIGINT NOT NULL, "
	"prev_state_group BIGINT NOT NULL);"
	"CREATE INDEX IF NOT EXISTS state_group_edges_prev_idx ON state_group_edges "
	"(prev_state_group);"
	"CREATE INDEX IF NOT EXISTS state_groups_state_type_idx ON state_groups_state "
	"(state_group, type, state_key);"
	"CREATE INDEX IF NOT EXISTS state_groups_room_id_idx ON state_groups (room_id);"
	"CREATE UNIQUE INDEX IF NOT EXISTS state_group_edges_unique_idx ON "
	"state_group_edges (state_group, prev_state_group);"
	"CREATE TABLE IF NOT EXISTS event_to_state_groups (event_id TEXT NOT NULL, "
	"state_group BIGINT NOT NULL, UNIQUE (event_id));"
	"CREATE INDEX IF NOT EXISTS event_to_state_groups_sg_index ON "
	"event_to_state_groups (state_group);"
	"CREATE TABLE IF NOT EXISTS event_auth (event_id TEXT NOT NULL, auth_id TEXT "
	"NOT NULL, room_id TEXT NOT NULL);"
	"CREATE INDEX IF NOT EXISTS evauth_edges_id ON event_auth (event_id);"
	"CREATE TABLE IF NOT EXISTS event_auth_chains (event_id TEXT PRIMARY KEY, "
	"chain_id BIGINT NOT NULL, sequence_number BIGINT NOT NULL);"
	"CREATE UNIQUE INDEX IF NOT EXISTS event_auth_chains_c_seq_index ON "
	"event_auth_chains (chain_id, sequence_number);";

static void
theirs_open(struct theirs *t, const char *path)
{
	sql(NULL, sqlite3_open(path, &t->db));
	sql(t->db, sqlite3_exec(t->db, THEIR_TABLES, NULL, NULL, NULL));
	t->group = prepare(t->db, "INSERT INTO state_groups VALUES (?, ?, ?)");
	t->edge = prepare(t->db, "INSERT INTO state_group_edges VALUES (?, ?)");
	t->entry = prepare(t->db, "INSERT INTO state_groups_state VALUES (?, ?, ?, ?, ?)");
	t->event = prepare(t->db, "INSERT INTO event_to_state_groups VALUES (?, ?)");
	t->auth = prepare(t->db, "INSERT INTO event_auth VALUES (?, ?, ?)");
	t->chain = prepare(t->db, "INSERT INTO event_auth_chains VALUES (?, ?, ?)");
}

static void
theirs_close(struct theirs *t)
{
	sqlite3_stmt *all[] = { t->group, t->edge, t->entry, t->event, t->auth, t->chain };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		sqlite3_finalize(all[i]);
	sql(t->db, sqlite3_close(t->db));
}

static void
theirs(const char *dir, size_t members, size_t changes)
{
	static const char *const every[] = { "" },
				 *const state[] = { "state_group", "sqlite_autoindex_state_group",
						    "event_to_state",
						    "sqlite_autoindex_event_to_state" };
	struct theirs t = { .members = members };
	struct sizes before, after;
	uint64_t dice = 1;
	char path[512];

	new_file(dir, "groups", path);
	t.current = calloc(members, sizeof(*t.current));
	t.sequence = calloc(members, sizeof(*t.sequence));
	theirs_open(&t, path);
	sql(t.db, sqlite3_exec(t.db, "BEGIN", NULL, NULL, NULL));
	for (size_t i = 0; i < members; i++)
		theirs_change(&t, i, i + 1);
	sql(t.db, sqlite3_exec(t.db, "COMMIT", NULL, NULL, NULL));
	theirs_close(&t);
	measure(path, &before);
	theirs_open(&t, path);
	for (size_t at = 0, n; at < changes; at += n) {
		n = changes - at < BATCH ? changes - at : BATCH;
		sql(t.db, sqlite3_exec(t.db, "BEGIN", NULL, NULL, NULL));
		for (size_t i = 0; i < n; i++)
			theirs_change(&t, next_member(&dice, members), members);
		sql(t.db, sqlite3_exec(t.db, "COMMIT", NULL, NULL, NULL));
	}
	theirs_close(&t);
	measure(path, &after);
	printf("the same in Synapse's layout, without the events:\n");
	double states = add_up(&before, &after, state, 4, changes, true);

	printf("  states                                   %10.0f\n", states);
	printf("  with auth chains                         %10.0f\n",
	       add_up(&before, &after, every, 1, changes, false));
	unlink(path);
	free(t.current);
	free(t.sequence);
}

int
main(int argc, char **argv)
{
	size_t members = argc > 2 ? (size_t)atol(argv[2]) : 10000;
	size_t changes = argc > 3 ? (size_t)atol(argv[3]) : 100000;

	if (argc < 2 || members < 2 || changes < 1) {
		fprintf(stderr, "usage: state DIRECTORY [MEMBERS [CHANGES]]\n");
		return 2;
	}
	printf("%zu members, %zu changes\n", members, changes);
	ours(argv[1], members, changes);
	theirs(argv[1], members, changes);
	return 0;
}
