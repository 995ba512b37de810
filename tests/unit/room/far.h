/* A room of other servers for tests, and the answer of /send_join by which one comes into it. */
#ifndef TESTS_ROOM_FAR_H
#define TESTS_ROOM_FAR_H

#include "core/room/doctor.h"
#include "core/room/entry.h"
#include "tests/unit/room/guests.h"

#define OWNER "@owner:server-0.example.org"
#define CROWD 600

static const char *far_version = "11";

/* A room of another server, as its answer tells it. */
static struct {
	char id[80];
	struct mx_event *create, *owner, *old_levels, *levels, *rule, *visibility, *join;
	struct mx_event *crowd[CROWD];
	size_t crowd_n;
	struct mx_buf *state, *chain;
} far;

static inline void
add(struct mx_buf *list, const struct mx_event *ev)
{
	mx_buf_printf(list, "%s%.*s", mx_buf_view(list).n > 0 ? "," : "",
		      MX_SFMT(mx_event_json(ev)));
}

static inline struct mx_event *
by_owner(const char *type, const char *state_key, const char *content,
	 const struct mx_event *prev)
{
	return guest_event((struct guest_event){
		.version = far_version, .room_id = far.id[0] != '\0' ? far.id : NULL,
		.sender = OWNER, .type = type, .state_key = state_key, .content = content, .prev = prev,
		.auth = { far.create, far.owner,
			  far.levels != NULL ? far.levels : far.old_levels } });
}

static inline void
join_crowd(size_t n)
{
	char user[64];

	for (size_t i = 0; i < n; i++) {
		unsigned server = (unsigned)i % GUEST_SERVERS;

		snprintf(user, sizeof(user), "@u%zu:server-%u.example.org", i, server);
		far.crowd[i] = guest_event((struct guest_event){
			.version = far_version, .room_id = far.id, .server = server, .sender = user,
			.type = "m.room.member", .state_key = user,
			.content = "{\"membership\":\"join\"}", .prev = far.rule,
			/* Half of them came when other power levels were in force. */
			.auth = { far.create, i % 2 == 0 ? far.old_levels : far.levels,
				  far.rule } });
		add(far.state, far.crowd[i]);
	}
	far.crowd_n = n;
}

/* Alice's join, as we would send it. */
static inline struct mx_event *
our_join(const struct house_user *who)
{
	MX_AUTO_JSON *content = house_json("{\"membership\":\"join\"}");
	const struct mx_room_version *v = mx_room_version_find(mx_str_of(far_version));
	bool named = v->room_id_is_create_hash;
	unsigned char auth_hash[3][MX_SHA256_SIZE], prev_hash[1][MX_SHA256_SIZE];
	mx_str auth[] = { mx_event_id(far.levels), mx_event_id(far.rule), mx_event_id(far.create) };
	mx_str prev = mx_event_id(far.levels);
	struct mx_event *ev = NULL;

	mx_event_reference_hash(v, mx_event_json(far.levels), auth_hash[0]);
	mx_event_reference_hash(v, mx_event_json(far.rule), auth_hash[1]);
	mx_event_reference_hash(v, mx_event_json(far.create), auth_hash[2]);
	mx_event_reference_hash(v, mx_event_json(far.levels), prev_hash[0]);
	struct mx_build b = {
		.version = v,
		.room_id = mx_str_of(far.id),
		.sender = mx_str_of(who->id),
		.type = MX_S("m.room.member"),
		.state_key = mx_str_of(who->id),
		.content = content,
		.ts = 1700000001000,
		.depth = 100,
		.prev = &prev,
		.prev_hash = prev_hash,
		.prev_n = 1,
		.auth = auth,
		.auth_hash = auth_hash,
		.auth_n = named ? 2 : 3,
		.server = MX_S(HOUSE_SERVER),
		.key = key,
	};

	unit_ok(mx_build_event(&b, &ev));
	return ev;
}

static inline void
far_room(const char *join_rule)
{
	bool named = mx_room_version_find(mx_str_of(far_version))->room_id_is_create_hash;
	bool creator = mx_room_version_find(mx_str_of(far_version))->rule_creator_in_content;
	char rule[64], create[128];

	memset(&far, 0, sizeof(far));
	if (!named)
		snprintf(far.id, sizeof(far.id), "!far-%u:server-0.example.org", house_tests);
	far.state = mx_buf_new(0);
	far.chain = mx_buf_new(0);
	snprintf(create, sizeof(create), "{\"room_version\":\"%s\",\"n\":%u%s}", far_version, house_tests,
		 creator ? ",\"creator\":\"" OWNER "\"" : "");
	far.create = by_owner("m.room.create", "", create, NULL);
	snprintf(far.id, sizeof(far.id), "%.*s", MX_SFMT(mx_event_room_id(far.create)));
	far.owner = by_owner("m.room.member", OWNER, "{\"membership\":\"join\"}", far.create);
	far.old_levels = by_owner("m.room.power_levels", "",
				  named ? "{}" : "{\"users\":{\"" OWNER "\":100}}", far.owner);
	far.levels = by_owner("m.room.power_levels", "",
			      named ? "{\"invite\":50}" :
				      "{\"users\":{\"" OWNER "\":100},\"invite\":50}",
			      far.old_levels);
	snprintf(rule, sizeof(rule), "{\"join_rule\":\"%s\"}", join_rule);
	far.rule = by_owner("m.room.join_rules", "", rule, far.levels);
	far.visibility = by_owner("m.room.history_visibility", "",
				  "{\"history_visibility\":\"shared\"}", far.rule);
	/* State first, and the auth chain behind it. */
	add(far.state, far.rule);
	add(far.state, far.owner);
	add(far.chain, far.old_levels);
	add(far.chain, far.create);
	far.join = our_join(&alice);
}

static inline void
far_end(void)
{
	struct mx_event **all[] = { &far.create, &far.owner,      &far.old_levels, &far.levels,
				    &far.rule,   &far.visibility, &far.join };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		mx_event_unref(all[i]);
	for (size_t i = 0; i < far.crowd_n; i++)
		mx_event_unref(&far.crowd[i]);
	mx_buf_free(&far.state);
	mx_buf_free(&far.chain);
}

static inline char *
answer(void)
{
	char *text;

	add(far.state, far.levels);
	add(far.state, far.visibility);
	add(far.state, far.create);
	assert_true(asprintf(&text, "{\"origin\":\"x\",\"state\":[%s],\"auth_chain\":[%s],"
				    "\"members_omitted\":false,\"event\":%.*s}",
			     mx_buf_cstr(far.state), mx_buf_cstr(far.chain),
			     MX_SFMT(mx_event_json(far.join))) > 0);
	return text;
}

static inline mx_error *
begin(struct mx_entry **e)
{
	return mx_entry_begin(rooms, mx_str_of(far.id),
			      mx_room_version_find(mx_str_of(far_version)),
			      mx_event_json(far.join), e);
}

static inline mx_error *
feed(struct mx_entry *e, const char *text, size_t piece)
{
	size_t n = strlen(text);

	for (size_t at = 0; at < n; at += piece)
		MX_TRY(mx_entry_feed(e, (mx_str){ text + at, n - at < piece ? n - at : piece }));
	return NULL;
}

/* Comes in by the answer, which is freed. */
static inline mx_error *
enter(char *text, struct mx_room **room)
{
	struct mx_entry *e;
	mx_error *error = begin(&e);

	*room = NULL;
	if (error == NULL)
		error = feed(e, text, 1000);
	if (error == NULL)
		error = mx_entry_finish(e, conn, room);
	mx_entry_free(&e);
	free(text);
	return error;
}

static inline int64_t
number(const char *sql)
{
	const struct mx_sql s = { sql };
	struct mx_query *q = mx_query(conn, &s);
	int64_t n = mx_query_next(q) ? mx_col_int(q, 0) : -1;

	unit_ok(mx_query_end(q));
	return n;
}

static inline size_t
members(struct mx_room *room, enum mx_membership m)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_member *v;
	size_t n;

	unit_ok(mx_room_members(rooms, conn, room, m, a, &v, &n));
	return n;
}

static inline bool
has_state(struct mx_room *room, const char *type, const char *state_key, const struct mx_event *ev)
{
	MX_AUTO(mx_event) *got = NULL;

	unit_ok(mx_room_state(rooms, conn, room, mx_str_of(type), mx_str_of(state_key), &got));
	return ev == NULL ? got == NULL
			  : got != NULL && mx_str_eq(mx_event_id(got), mx_event_id(ev));
}

static inline void
check_health(struct mx_room *room)
{
	struct mx_checkup c = { .signatures = true };

	unit_ok(mx_room_checkup(rooms, conn, room, &c));
	if (c.found > 0)
		fail_msg("%s of %s: %s", mx_ailment_name(c.v[0].what), c.v[0].id, c.v[0].words);
	assert_int_equal(c.untold, 1);
}

static inline void
check_rest(void)
{
	assert_int_equal(number("SELECT COUNT(*) FROM entry"), 0);
	assert_int_equal(number("SELECT COUNT(*) FROM event e LEFT JOIN room r ON r.nid = e.room "
				"WHERE r.nid IS NULL AND e.room <> 0"),
			 0);
	/* It has the lowest number, which may not be given out again. */
	assert_true(number("SELECT COUNT(*) FROM event WHERE room = 0") <= 1);
	assert_int_equal(number("SELECT COUNT(*) FROM membership m LEFT JOIN room r ON r.nid = m.room "
				"WHERE r.nid IS NULL"),
			 0);
}

static inline mx_error *
run_sql(struct mx_txn *tx, void *arg)
{
	return mx_query_run(mx_query(mx_txn_conn(tx), arg));
}

#endif
