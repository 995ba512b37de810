/* What the tests of the engine share: a database, a stream and an engine, and people who talk in
 * rooms. */
#ifndef TESTS_ROOM_HOUSE_H
#define TESTS_ROOM_HOUSE_H

#include "tests/unit/support/unit.h"

#include "core/room/engine.h"
#include "tests/unit/sql/place.h"

#define HOUSE_SERVER "here.example.org"

struct house_user {
	char id[64];
	mx_nid nid;
};

static struct mx_db *db;
static struct mx_stream *stream;
static struct mx_rooms *rooms;
static struct mx_signing_key *key;
static struct mx_conn *conn;		/* the main thread's */
static struct house_user alice, bob, carol;
static unsigned house_tests;
static mx_verify_key_fn *house_keys;	/* those of other servers; NULL: none can be had */

struct house_intern {
	mx_str text;
	mx_nid nid;
};

static inline mx_error *
house_intern_fn(struct mx_txn *tx, void *arg)
{
	struct house_intern *i = arg;

	return mx_name_intern(tx, i->text, &i->nid);
}

static inline void
house_user(struct house_user *u, const char *name)
{
	struct house_intern i;

	/* New people for each test: the database is the same. */
	snprintf(u->id, sizeof(u->id), "@%s-%u:" HOUSE_SERVER, name, house_tests);
	i.text = mx_str_of(u->id);
	unit_ok(mx_write(db, house_intern_fn, &i));
	u->nid = i.nid;
}

static inline void
house_up(const struct mx_rooms_options *options)
{
	unit_ok(mx_stream_open(db, NULL, &stream));
	unit_ok(mx_rooms_open(&(struct mx_rooms_config){ .db = db,
							 .stream = stream,
							 .key = key,
							 .server_name = MX_S(HOUSE_SERVER),
							 .options = options,
							 .verify_key = house_keys },
			      &rooms));
	unit_ok(mx_conn_get(db, &conn));
}

static inline void
house_down(void)
{
	mx_conn_put(&conn);
	mx_rooms_close(&rooms);
	mx_stream_close(&stream);
}

/* As after a restart of the server: nothing is left in memory. */
static inline void
house_again(void)
{
	house_down();
	house_up(NULL);
}

static inline int
house_begin(void **state)
{
	house_tests++;
	house_up(NULL);
	house_user(&alice, "alice");
	house_user(&bob, "bob");
	house_user(&carol, "carol");
	return unit_log_begin_(state);
}

static inline int
house_end(void **state)
{
	house_down();
	return unit_log_end_(state);
}

#define house_case(fn) cmocka_unit_test_setup_teardown(fn, house_begin, house_end)

static inline json_t *
house_json(const char *text)
{
	json_t *j = json_loads(text, 0, NULL);

	if (j == NULL)
		fail_msg("not JSON: %s", text);
	return j;
}

static inline struct mx_draft
house_draft(const struct house_user *who, const char *type, const char *state_key, json_t *content)
{
	return (struct mx_draft){ .type = mx_str_of(type),
				  .state_key = mx_str_of(state_key),
				  .content = content,
				  .sender = who->nid,
				  .sender_id = mx_str_of(who->id) };
}

/* Sends a state event, or a message when state_key is NULL. *out may be NULL. */
static inline mx_error *
house_send(struct mx_room *room, const struct house_user *who, const char *type,
	   const char *state_key, const char *content, struct mx_event **out)
{
	MX_AUTO_JSON *j = house_json(content);
	struct mx_draft d = house_draft(who, type, state_key, j);

	return mx_room_send(rooms, conn, room, &d, 1, out);
}

static inline mx_error *
house_member(struct mx_room *room, const struct house_user *who, const struct house_user *whom,
	     const char *membership)
{
	char content[64];

	snprintf(content, sizeof(content), "{\"membership\":\"%s\"}", membership);
	return house_send(room, who, "m.room.member", whom->id, content, NULL);
}

/* A message; the caller owns the event. */
static inline struct mx_event *
house_say(struct mx_room *room, const struct house_user *who, const char *text)
{
	MX_AUTO_JSON *j = json_pack("{s:s, s:s}", "msgtype", "m.text", "body", text);
	struct mx_draft d = house_draft(who, "m.room.message", NULL, j);
	struct mx_event *ev;

	unit_ok(mx_room_send(rooms, conn, room, &d, 1, &ev));
	return ev;
}

/* A public room of alice's. */
static inline struct mx_room *
house_room(const char *version, const char *visibility)
{
	MX_AUTO_JSON *create = house_json("{}");
	MX_AUTO_JSON *join = house_json("{\"membership\":\"join\"}");
	MX_AUTO_JSON *power = house_json("{\"users\":{},\"users_default\":0,\"events\":{},\"state_"
					 "default\":50,\"redact\":50}");
	MX_AUTO_JSON *rule = house_json("{\"join_rule\":\"public\"}");
	MX_AUTO_JSON *history = json_pack("{s:s}", "history_visibility", visibility);
	const struct mx_room_version *v = mx_room_version_find(mx_str_of(version));
	struct mx_room *room;

	if (!v->rule_creators)
		json_object_set_new(json_object_get(power, "users"), alice.id, json_integer(100));
	struct mx_draft d[] = {
		house_draft(&alice, "m.room.create", "", create),
		house_draft(&alice, "m.room.member", alice.id, join),
		house_draft(&alice, "m.room.power_levels", "", power),
		house_draft(&alice, "m.room.join_rules", "", rule),
		house_draft(&alice, "m.room.history_visibility", "", history),
	};
	unit_ok(mx_room_create(rooms, conn, v, d, 5, &room));
	return room;
}

/* A second engine on the same database, as another process has it. */
struct neighbour {
	struct mx_db *db;
	struct mx_stream *stream;
	struct mx_rooms *rooms;
	struct mx_conn *conn;
	const char *room_id;
	int sent;
	pthread_t thread;
};

static inline void
neighbour_open(struct neighbour *n)
{
	unit_ok(place_open(&n->db, NULL));
	unit_ok(mx_stream_open(n->db, NULL, &n->stream));
	unit_ok(mx_rooms_open(&(struct mx_rooms_config){ .db = n->db,
							 .stream = n->stream,
							 .key = key,
							 .server_name = MX_S(HOUSE_SERVER),
							 .verify_key = house_keys },
			      &n->rooms));
	unit_ok(mx_conn_get(n->db, &n->conn));
}

static inline void
neighbour_close(struct neighbour *n)
{
	mx_conn_put(&n->conn);
	mx_rooms_close(&n->rooms);
	mx_stream_close(&n->stream);
	mx_db_close(&n->db);
}

static inline int
house_main(const struct CMUnitTest *tests, size_t n, const char *name)
{
	if (!place_start())
		return 77;
	mx_error *e = place_open(&db, NULL);

	if (e != NULL) {
		fprintf(stderr, "%s\n", mx_error_text(e));
		return 1;
	}
	key = mx_signing_key_generate();
	int failed = _cmocka_run_group_tests(name, tests, n, NULL, NULL);

	mx_signing_key_free(&key);
	mx_db_close(&db);
	place_stop();
	return failed;
}
#define HOUSE_MAIN(tests) house_main((tests), sizeof(tests) / sizeof((tests)[0]), #tests)

#endif
