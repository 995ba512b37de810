/* Two processes on one database whose users talk in one room, all at the same time. */
#include "config.h"

#include "tests/unit/room/house.h"

#define TALKERS 4		/* of each process */
#define EVENTS 60		/* of each of them */
#define SIDES 2

struct talker {
	struct neighbour *where;
	const struct house_user *who;
	int number;
	pthread_t thread;
	mx_error *error;
	struct mx_event *made[EVENTS];
};

static char room_id[256];

/* Every fourth is a state event; all have a transaction id, as clients give them. */
static mx_error *
talk_once(struct talker *t, struct mx_conn *c, struct mx_room *room, int i)
{
	char txn[32], state[16];
	MX_AUTO_JSON *content = json_pack("{s:i}", "n", t->number * EVENTS + i);
	struct mx_draft d = house_draft(t->who, "org.example.talk", NULL, content);

	snprintf(txn, sizeof(txn), "t%d.%d", t->number, i);
	snprintf(state, sizeof(state), "%d", t->number);
	if (i % 4 == 3) {
		d.state_key = mx_str_of(state);
	} else {
		d.device = t->number + 1;
		d.txn_id = mx_str_of(txn);
	}
	return mx_room_send(t->where->rooms, c, room, &d, 1, &t->made[i]);
}

static void *
talk(void *arg)
{
	struct talker *t = arg;
	struct mx_room *room;
	struct mx_conn *c;

	unit_ok(mx_conn_get(t->where->db, &c));
	unit_ok(mx_room_get(t->where->rooms, c, mx_str_of(room_id), &room));
	for (int i = 0; i < EVENTS && t->error == NULL; i++)
		t->error = talk_once(t, c, room, i);
	mx_room_unref(&room);
	mx_conn_put(&c);
	return NULL;
}

/* They are one chain in which each event is once, and nobody's events are in another order than
 * they were sent in. */
static void
check_chain(struct neighbour *n, const struct talker *all)
{
	int met[SIDES * TALKERS] = { 0 };
	struct mx_events l = { 0 };
	struct mx_room *room;
	bool more;

	unit_ok(mx_write(n->db, house_intern_fn, &(struct house_intern){ .text = MX_S("last") }));
	unit_ok(mx_room_get(n->rooms, n->conn, mx_str_of(room_id), &room));
	unit_ok(mx_room_timeline(n->rooms, n->conn, room, 0, INT64_MAX, 10000, false, &l, &more));
	assert_int_equal(l.n, 5 + SIDES * TALKERS * EVENTS);
	for (size_t i = 0; i < l.n; i++) {
		const struct mx_event *ev = l.v[i];
		struct mx_event_ids it = mx_event_prev(ev);
		mx_str id;

		assert_int_equal(mx_event_ids_next(&it, &id), i > 0);
		if (i > 0)
			assert_true(mx_str_eq(id, mx_event_id(l.v[i - 1])));
		assert_false(mx_event_ids_next(&it, &id));
		if (i < 5)
			continue;
		MX_AUTO_JSON *content = mx_event_content_parse(ev);
		int k = (int)json_integer_value(json_object_get(content, "n"));
		int *m = &met[k / EVENTS];

		assert_int_equal(k % EVENTS, *m);
		assert_true(mx_str_eq(mx_event_id(ev), mx_event_id(all[k / EVENTS].made[(*m)++])));
	}
	assert_true(mx_root_eq(mx_event_root_after(l.v[l.n - 1]), mx_room_root(room)));
	mx_events_clear(&l);
	for (int i = 0; i < SIDES * TALKERS; i++) {
		MX_AUTO(mx_event) *ev = NULL;
		char state[16];

		snprintf(state, sizeof(state), "%d", i);
		unit_ok(mx_room_state(n->rooms, n->conn, room, MX_S("org.example.talk"),
				      mx_str_of(state), &ev));
		assert_non_null(ev);
		assert_true(mx_str_eq(mx_event_id(ev), mx_event_id(all[i].made[EVENTS - 1])));
	}
	mx_room_unref(&room);
}

static void
nobody_is_refused_where_two_processes_talk(void **state)
{
	struct neighbour sides[SIDES] = { { .db = db, .rooms = rooms, .conn = conn }, { 0 } };
	struct talker all[SIDES * TALKERS] = { { 0 } };
	struct mx_room *room = house_room("12", "shared");

	(void)state;
	snprintf(room_id, sizeof(room_id), "%.*s", MX_SFMT(mx_room_id(room)));
	neighbour_open(&sides[1]);
	for (int i = 0; i < SIDES * TALKERS; i++) {
		all[i] = (struct talker){ .where = &sides[i % SIDES], .who = &alice, .number = i };
		pthread_create(&all[i].thread, NULL, talk, &all[i]);
	}
	for (int i = 0; i < SIDES * TALKERS; i++)
		pthread_join(all[i].thread, NULL);
	for (int i = 0; i < SIDES * TALKERS; i++)
		unit_ok(all[i].error);
	for (int i = 0; i < SIDES; i++)
		check_chain(&sides[i], all);
	for (int i = 0; i < SIDES * TALKERS * EVENTS; i++)
		mx_event_unref(&all[i / EVENTS].made[i % EVENTS]);
	neighbour_close(&sides[1]);
	mx_room_unref(&room);
}

int
main(void)
{
	const struct CMUnitTest contended_tests[] = {
		house_case(nobody_is_refused_where_two_processes_talk),
	};

	return HOUSE_MAIN(contended_tests);
}
