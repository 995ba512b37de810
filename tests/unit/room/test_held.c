/* Messages whose requests are held, on a whole server. */
#include "config.h"

#include "tests/unit/http/harness.h"
#include "tests/unit/room/house.h"

#include <semaphore.h>

static struct server server;
static struct mx_room *room;
static atomic_int runs;

static enum mx_outcome
answer(struct mx_request *rq, mx_error *e, struct mx_event *ev)
{
	struct mx_buf *b;

	if (e != NULL)
		return mx_reply_error(rq, e);
	b = mx_buf_new(0);
	mx_buf_str(b, mx_event_id(ev));
	mx_event_unref(&ev);
	return mx_reply_bytes(rq, 200, "text/plain", &b);
}

static enum mx_outcome
sent(struct mx_request *rq)
{
	struct mx_sent *s = mx_request_data(rq);

	if (mx_error_is(s->error, MX_E_AGAIN)) {
		mx_error_free(&s->error);
		return MX_AGAIN;
	}
	return answer(rq, s->error, s->event);
}

/* PUT /USER/TXN: who and the transaction id. */
static enum mx_outcome
say_message(struct mx_request *rq)
{
	MX_AUTO_JSON *content = house_json("{\"body\":\"x\"}");
	bool by_alice = mx_str_eq(mx_request_param(rq, "user"), MX_S("alice"));
	struct mx_draft d =
		house_draft(by_alice ? &alice : &bob, "m.room.message", NULL, content);
	struct mx_event *ev = NULL;
	struct mx_sent *s;
	mx_error *e;

	atomic_fetch_add(&runs, 1);
	d.device = d.sender;
	d.txn_id = mx_request_param(rq, "txn");
	if (mx_request_again(rq)) {
		e = mx_room_send(rooms, mx_request_conn(rq), room, &d, 1, &ev);
		return answer(rq, e, ev);
	}
	s = mx_arena_alloc(mx_request_arena(rq), sizeof(*s));
	mx_request_set_data(rq, s);
	e = mx_room_send_held(rooms, rq, room, &d, sent, s);
	return e != NULL ? mx_reply_error(rq, e) : MX_HELD;
}

static const struct mx_route routes[] = {
	{ .method = "PUT", .path = "/{user}/{txn}", .handler = say_message },
};

static struct mx_conn *
conn_get(void *arg)
{
	struct mx_conn *c;

	(void)arg;
	unit_ok(mx_conn_get(db, &c));
	return c;
}

static void
conn_put(void *arg, struct mx_conn *c)
{
	(void)arg;
	mx_conn_put(&c);
}

static void
begin(void)
{
	room = house_room("12", "shared");
	atomic_store(&runs, 0);
	server_init(&server);
	server.hooks.conn_get = conn_get;
	server.hooks.conn_put = conn_put;
	server_start(&server, routes, COUNT(routes));
}

static void
end(void)
{
	server_stop(&server);
	mx_room_unref(&room);
}

static int
put(const char *user, const char *txn)
{
	int fd = dial(server.port);
	char text[256];

	(void)snprintf(text, sizeof(text),
		       "PUT /%s/%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", user,
		       txn);
	say(fd, text);
	return fd;
}

/* What was sent: its event id, in a buffer of the caller's. */
static void
hear_id(int fd, char id[256])
{
	char *text = hear(fd);

	assert_status(text, 200);
	(void)snprintf(id, 256, "%s", body_of(text));
	free(text);
	close(fd);
}

static void
hear_status(int fd, int status)
{
	char *text = hear(fd);

	assert_status(text, status);
	free(text);
	close(fd);
}

/* What is in the room beside what it was made with. */
static size_t
messages(void)
{
	struct mx_events l = { 0 };
	bool more;
	size_t n;

	unit_ok(mx_room_timeline(rooms, conn, room, 0, INT64_MAX, 1000, false, &l, &more));
	n = l.n - 5;
	mx_events_clear(&l);
	return n;
}

static void
many_in_flight_are_stored_and_answered_each_with_its_event(void **state)
{
	enum { MANY = 100 };
	static char ids[MANY][256];
	int fds[MANY];
	char txn[32];

	(void)state;
	begin();
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(txn, sizeof(txn), "m%d", i);
		fds[i] = put("alice", txn);
	}
	for (int i = 0; i < MANY; i++) {
		MX_AUTO(mx_event) *ev = NULL;

		hear_id(fds[i], ids[i]);
		(void)snprintf(txn, sizeof(txn), "m%d", i);
		unit_ok(mx_event_get(rooms, conn, mx_str_of(ids[i]), &ev));
		unit_text(mx_event_txn_id(ev), txn);
	}
	assert_int_equal(messages(), MANY);
	end();
}

static void
a_repeated_transaction_id_is_answered_with_the_first_event(void **state)
{
	char ids[6][256];
	int fds[6];

	(void)state;
	begin();
	for (int i = 0; i < 5; i++)
		fds[i] = put("alice", "same");
	for (int i = 0; i < 5; i++)
		hear_id(fds[i], ids[i]);
	hear_id(put("alice", "same"), ids[5]);
	for (int i = 1; i < 6; i++)
		assert_string_equal(ids[i], ids[0]);
	assert_int_equal(messages(), 1);
	end();
}

static void
a_refused_one_is_answered_and_may_be_tried_again(void **state)
{
	char id[256];

	(void)state;
	begin();
	hear_status(put("bob", "t"), 403);
	assert_int_equal(messages(), 0);
	unit_ok(house_member(room, &bob, &bob, "join"));
	hear_id(put("bob", "t"), id);
	assert_int_equal(messages(), 2);
	end();
}

/* A function that holds the writer up until it is told to go on. */
static sem_t hold_up, held_up;

static mx_error *
wait_fn(struct mx_txn *tx, void *arg)
{
	(void)tx;
	(void)arg;
	sem_post(&held_up);
	while (sem_wait(&hold_up) != 0)
		continue;
	return NULL;
}

static void
one_whose_room_has_moved_on_is_sent_again(void **state)
{
	char ids[3][256];
	int fds[3];

	(void)state;
	begin();
	sem_init(&hold_up, 0, 0);
	sem_init(&held_up, 0, 0);
	mx_write_later(db, wait_fn, NULL, NULL);
	while (sem_wait(&held_up) != 0)
		continue;
	for (int i = 0; i < 3; i++)
		fds[i] = put("alice", i == 0 ? "a" : i == 1 ? "b" : "c");
	EVENTUALLY(atomic_load(&room->tip.in_flight) == 3);
	atomic_fetch_add(&room->foreign, 1);	/* as if another process had written */
	sem_post(&hold_up);
	for (int i = 0; i < 3; i++)
		hear_id(fds[i], ids[i]);
	assert_int_equal(atomic_load(&runs), 6);
	assert_int_equal(messages(), 3);
	assert_int_equal(atomic_load(&room->tip.in_flight), 0);
	end();
}

static void
a_transaction_id_that_only_the_database_knows_is_found(void **state)
{
	char first[256], second[256], again[256], id[256];

	(void)state;
	begin();
	hear_id(put("alice", "old"), first);
	(void)snprintf(id, sizeof(id), "%.*s", MX_SFMT(mx_room_id(room)));
	end();
	house_again();
	begin();
	mx_room_unref(&room);
	unit_ok(mx_room_get(rooms, conn, mx_str_of(id), &room));
	/* From here on this device's ids are not asked for beforehand. */
	hear_id(put("alice", "new"), second);
	hear_id(put("alice", "old"), again);
	assert_string_equal(again, first);
	assert_string_not_equal(second, first);
	assert_int_equal(messages(), 2);
	end();
}

static void
a_client_that_hangs_up_has_sent_nevertheless(void **state)
{
	(void)state;
	begin();
	sem_init(&hold_up, 0, 0);
	sem_init(&held_up, 0, 0);
	mx_write_later(db, wait_fn, NULL, NULL);
	while (sem_wait(&held_up) != 0)
		continue;
	for (int i = 0; i < 3; i++)
		close(put("alice", i == 0 ? "a" : i == 1 ? "b" : "c"));
	EVENTUALLY(atomic_load(&room->tip.in_flight) == 3);
	sem_post(&hold_up);
	EVENTUALLY(stats(&server).open == 0 && stats(&server).active == 0);
	assert_int_equal(messages(), 3);
	end();
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		house_case(many_in_flight_are_stored_and_answered_each_with_its_event),
		house_case(a_repeated_transaction_id_is_answered_with_the_first_event),
		house_case(a_refused_one_is_answered_and_may_be_tried_again),
		house_case(one_whose_room_has_moved_on_is_sent_again),
		house_case(a_transaction_id_that_only_the_database_knows_is_found),
		house_case(a_client_that_hangs_up_has_sent_nevertheless),
	};

	return HOUSE_MAIN(tests);
}
