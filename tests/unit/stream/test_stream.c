/* The stream: who gets what, and who is woken when. The requests are made here; http is not in it.
 */
#include "config.h"

#include "tests/unit/support/unit.h"

#include <stdatomic.h>

#include "core/stream/impl.h"
#include "tests/unit/sql/place.h"

/* ---- requests, as the stream sees them ---- */

struct mx_request {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct mx_auth auth;
	bool suspended, woken;
	int wakes;
	void (*on_end)(struct mx_request *rq, void *arg);
	void *arg;
};

static bool end_in_wake;	/* as a server that ends a request on the waker's thread */

const struct mx_auth *
mx_request_auth(const struct mx_request *rq)
{
	return &rq->auth;
}

enum mx_outcome
mx_request_suspend(struct mx_request *rq, int64_t deadline_us,
		   void (*on_end)(struct mx_request *rq, void *arg), void *arg)
{
	(void)deadline_us;
	pthread_mutex_lock(&rq->lock);
	rq->on_end = on_end;
	rq->arg = arg;
	rq->suspended = true;
	rq->woken = false;
	pthread_mutex_unlock(&rq->lock);
	return MX_PARK;
}

static void
end(struct mx_request *rq)
{
	void (*on_end)(struct mx_request *, void *) = NULL;

	pthread_mutex_lock(&rq->lock);
	if (rq->suspended) {
		rq->suspended = false;
		on_end = rq->on_end;
	}
	pthread_mutex_unlock(&rq->lock);
	if (on_end != NULL)
		on_end(rq, rq->arg);
}

void
mx_request_wake(struct mx_request *rq)
{
	pthread_mutex_lock(&rq->lock);
	rq->woken = true;
	rq->wakes++;
	pthread_cond_signal(&rq->changed);
	pthread_mutex_unlock(&rq->lock);
	if (end_in_wake)
		end(rq);
}

static void
request_init(struct mx_request *rq, mx_nid user, mx_nid device)
{
	*rq = (struct mx_request){ .auth = { .user = user, .device = device } };
	pthread_mutex_init(&rq->lock, NULL);
	pthread_cond_init(&rq->changed, NULL);
}

/* ---- the stream of a test ---- */

static struct mx_db *db;
static struct mx_stream *stream;

static int
open_stream(void **state)
{
	static const struct mx_stream_options small = { .ring = 64, .present_cache = { 1 << 20 } };

	end_in_wake = false;
	unit_ok(mx_stream_open(db, &small, &stream));
	return unit_log_begin_(state);
}

static int
close_stream(void **state)
{
	struct mx_stream_stats stats;

	mx_stream_stats(stream, &stats);
	mx_stream_close(&stream);
	return unit_log_end_(state) != 0 || stats.parked != 0 ? -1 : 0;
}

#define stream_case(fn) cmocka_unit_test_setup_teardown(fn, open_stream, close_stream)

static mx_error *
publish_fn(struct mx_txn *tx, void *arg)
{
	struct mx_item *item = arg;

	item->pos = mx_txn_pos(tx);
	mx_stream_publish(stream, tx, item);
	return NULL;
}

static mx_error *
publish_and_fail(struct mx_txn *tx, void *arg)
{
	unit_ok(publish_fn(tx, arg));
	return mx_error_new(MX_E_BAD_REQUEST, "no");
}

static mx_pos
publish(enum mx_item_kind kind, mx_nid room, mx_nid user)
{
	struct mx_item item = { .kind = kind, .room = room, .user = user };

	unit_ok(mx_write(db, publish_fn, &item));
	return item.pos;
}

/* The user is joined to these rooms (0 ends them), and that is known. */
static void
present(mx_nid user, const mx_nid *rooms)
{
	struct mx_member m[16];
	size_t n = 0;

	for (; rooms[n] != 0; n++)
		m[n] = (struct mx_member){
			.user = user, .room = rooms[n], .membership = MX_MEMBER_JOIN, .event = 1
		};
	mx_stream_load_begin(stream, user);
	assert_true(mx_stream_load_end(stream, user, m, n));
}
#define ROOMS(...) ((const mx_nid[]){ __VA_ARGS__, 0 })

static void
member(mx_nid user, mx_nid room, enum mx_membership membership, mx_pos pos)
{
	mx_stream_member_changed(stream, &(struct mx_member){ .user = user,
							      .room = room,
							      .membership = membership,
							      .event = pos });
}

static size_t
since(mx_nid user, struct mx_token from, bool *complete)
{
	struct mx_item items[256];
	size_t n =
		mx_stream_since(stream, user, from, mx_stream_head(stream), items, 256, complete);

	mx_items_release(items, n);
	return n;
}

/* ---- tokens ---- */

static void
tokens_come_back_as_they_were_written(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_token t;

	(void)state;
	mx_token_write((struct mx_token){ 123, 1700000000000001 }, b);
	assert_string_equal(mx_buf_cstr(b), "s123_1700000000000001");
	assert_true(mx_token_parse(mx_buf_view(b), &t));
	assert_int_equal(t.pos, 123);
	assert_int_equal(t.ephemeral, 1700000000000001);
}

static void
anything_else_is_no_token(void **state)
{
	static const char *const bad[] = { "",      "s",     "s1",    "s1_",
					   "s_1",   "1_2",   "s--1_2", "s1_2_3",
					   "s1_2 ", " s1_2", "s1_x",  "s99999999999999999999_1", "s-9999999999999999_1",
					   "S1_2",  "t1_2" };
	struct mx_token t;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(mx_token_parse(mx_str_of(bad[i]), &t));
}

/* ---- what is new ---- */

static void
a_user_gets_the_items_of_its_rooms_and_its_own(void **state)
{
	struct mx_token start = mx_stream_head(stream);
	struct mx_item items[8];
	bool complete;

	(void)state;
	present(1, ROOMS(10, 11));
	present(2, ROOMS(12));
	mx_pos a = publish(MX_ITEM_EVENT, 10, 0);
	publish(MX_ITEM_EVENT, 12, 0);
	publish(MX_ITEM_ACCOUNT_DATA, 0, 2);
	mx_pos d = publish(MX_ITEM_ACCOUNT_DATA, 10, 1);
	mx_pos r = publish(MX_ITEM_RECEIPT, 11, 2);
	publish(MX_ITEM_PRIVATE_RECEIPT, 10, 2);
	mx_pos t =
		mx_stream_announce(stream, &(struct mx_item){ .kind = MX_ITEM_TYPING, .room = 11 });
	size_t n = mx_stream_since(stream, 1, start, mx_stream_head(stream), items, 8, &complete);

	assert_true(complete);
	assert_int_equal(n, 4);
	assert_int_equal(items[0].pos, a);
	assert_int_equal(items[1].pos, d);
	assert_int_equal(items[2].pos, r);
	assert_int_equal(items[3].pos, t);
	assert_true(items[3].ephemeral);
	mx_items_release(items, n);
}

static void
an_invited_user_gets_the_event_about_itself_and_no_other(void **state)
{
	struct mx_token start = mx_stream_head(stream);
	bool complete;

	(void)state;
	present(1, ROOMS(10));
	publish(MX_ITEM_EVENT, 20, 0);
	mx_pos invite = publish(MX_ITEM_EVENT, 20, 1);
	member(1, 20, MX_MEMBER_INVITE, invite);
	publish(MX_ITEM_EVENT, 20, 0);
	assert_int_equal(since(1, start, &complete), 1);
	assert_true(complete);
}

static void
who_leaves_gets_what_came_before_and_nothing_after(void **state)
{
	struct mx_token start = mx_stream_head(stream);
	bool complete;

	(void)state;
	present(1, ROOMS(10));
	publish(MX_ITEM_EVENT, 10, 0);
	mx_pos leave = publish(MX_ITEM_EVENT, 10, 1);
	member(1, 10, MX_MEMBER_LEAVE, leave);
	publish(MX_ITEM_EVENT, 10, 0);
	mx_stream_announce(stream, &(struct mx_item){ .kind = MX_ITEM_TYPING, .room = 10 });
	assert_int_equal(since(1, start, &complete), 2);
	assert_true(complete);
}

static void
a_user_whose_rooms_are_not_known_must_ask_the_database(void **state)
{
	struct mx_token start = mx_stream_head(stream);
	bool complete;

	(void)state;
	assert_int_equal(since(7, start, &complete), 0);
	assert_true(complete);	/* nothing has happened: nobody need be known for that */
	publish(MX_ITEM_EVENT, 10, 0);
	since(7, start, &complete);
	assert_false(complete);
}

static void
the_ring_says_when_it_does_not_reach_back(void **state)
{
	struct mx_token start = mx_stream_head(stream), later;
	bool complete;

	(void)state;
	present(1, ROOMS(10));
	publish(MX_ITEM_EVENT, 10, 0);
	later = mx_stream_head(stream);
	for (int i = 0; i < 64; i++)
		publish(MX_ITEM_EVENT, 10, 0);
	since(1, start, &complete);
	assert_false(complete);
	assert_int_equal(since(1, later, &complete), 64);
	assert_true(complete);
	later.ephemeral--;	/* from before this process */
	since(1, later, &complete);
	assert_false(complete);
}

static void
more_than_fits_is_not_complete(void **state)
{
	struct mx_token start = mx_stream_head(stream);
	struct mx_item items[2];
	bool complete;

	(void)state;
	present(1, ROOMS(10));
	for (int i = 0; i < 3; i++)
		publish(MX_ITEM_EVENT, 10, 0);
	assert_int_equal(
		mx_stream_since(stream, 1, start, mx_stream_head(stream), items, 2, &complete), 2);
	assert_false(complete);
}

static void
what_a_failed_write_published_is_never_seen(void **state)
{
	struct mx_token start = mx_stream_head(stream);
	struct mx_item item = { .kind = MX_ITEM_EVENT, .room = 10 };
	bool complete;

	(void)state;
	present(1, ROOMS(10));
	unit_refused(mx_write(db, publish_and_fail, &item), MX_E_BAD_REQUEST);
	assert_int_equal(mx_stream_head(stream).pos, start.pos);
	publish(MX_ITEM_EVENT, 10, 0);
	assert_int_equal(since(1, start, &complete), 1);
}

static void
a_change_during_loading_makes_the_list_stale(void **state)
{
	struct mx_member m = { .user = 1, .room = 10, .membership = MX_MEMBER_JOIN, .event = 1 };
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_member *list;
	size_t n;

	(void)state;
	mx_stream_load_begin(stream, 1);
	member(1, 11, MX_MEMBER_JOIN, 5);
	assert_false(mx_stream_load_end(stream, 1, &m, 1));
	assert_false(mx_stream_rooms(stream, 1, a, &list, &n));
	mx_stream_load_begin(stream, 1);
	assert_true(mx_stream_load_end(stream, 1, &m, 1));
	member(1, 9, MX_MEMBER_KNOCK, 6);
	assert_true(mx_stream_rooms(stream, 1, a, &list, &n));
	assert_int_equal(n, 2);
	assert_int_equal(list[0].room, 9);
	assert_int_equal(list[1].room, 10);
}

static void
users_who_are_not_waiting_are_dropped_when_memory_is_short(void **state)
{
	struct mx_stream_stats stats;

	(void)state;
	mx_stream_close(&stream);
	unit_ok(mx_stream_open(
		db, &(struct mx_stream_options){ .ring = 64, .present_cache = { 65536 } },
		&stream));
	for (mx_nid user = 1; user < 5000; user++)
		present(user, ROOMS(10, 11, 12));
	mx_stream_stats(stream, &stats);
	assert_true(stats.present < 500);
	publish(MX_ITEM_EVENT, 10, 0);
}

/* ---- parking ---- */

static void
a_waiting_request_is_woken_by_what_concerns_it_only(void **state)
{
	struct mx_request rq, other;

	(void)state;
	request_init(&rq, 1, 0);
	request_init(&other, 2, 0);
	present(1, ROOMS(10));
	present(2, ROOMS(11));
	assert_int_equal(mx_stream_park(stream, &rq, 1, mx_stream_head(stream), 1000), MX_PARK);
	mx_stream_park(stream, &other, 2, mx_stream_head(stream), 1000);
	assert_false(rq.woken);
	publish(MX_ITEM_EVENT, 11, 0);
	assert_false(rq.woken);
	assert_true(other.woken);
	mx_stream_announce(stream, &(struct mx_item){ .kind = MX_ITEM_TYPING, .room = 10 });
	assert_true(rq.woken);
	publish(MX_ITEM_EVENT, 10, 0);
	assert_int_equal(rq.wakes, 1);
	end(&rq);
	end(&other);
}

static void
an_invitation_wakes_who_is_not_in_the_room(void **state)
{
	struct mx_request rq;

	(void)state;
	request_init(&rq, 1, 0);
	present(1, ROOMS(10));
	mx_stream_park(stream, &rq, 1, mx_stream_head(stream), 1000);
	publish(MX_ITEM_EVENT, 77, 1);
	assert_true(rq.woken);
	end(&rq);
}

static void
what_came_before_parking_reruns_at_once(void **state)
{
	struct mx_token seen = mx_stream_head(stream);
	struct mx_request rq;

	(void)state;
	request_init(&rq, 1, 0);
	present(1, ROOMS(10));
	publish(MX_ITEM_EVENT, 99, 0);
	mx_stream_park(stream, &rq, 1, seen, 1000);
	assert_false(rq.woken);
	end(&rq);
	publish(MX_ITEM_EVENT, 10, 0);
	mx_stream_park(stream, &rq, 1, seen, 1000);
	assert_true(rq.woken);
	end(&rq);
	mx_stream_park(stream, &rq, 1, mx_stream_head(stream), 1000);
	assert_false(rq.woken);
	end(&rq);
}

static void
who_is_not_known_is_woken_by_everything(void **state)
{
	struct mx_request rq;

	(void)state;
	request_init(&rq, 1, 0);
	mx_stream_park(stream, &rq, 1, mx_stream_head(stream), 1000);
	assert_false(rq.woken);
	publish(MX_ITEM_EVENT, 10, 0);
	assert_true(rq.woken);
	end(&rq);
	/* and no longer once its rooms are */
	mx_stream_park(stream, &rq, 1, mx_stream_head(stream), 1000);
	present(1, ROOMS(11));
	publish(MX_ITEM_EVENT, 10, 0);
	assert_false(rq.woken);
	publish(MX_ITEM_EVENT, 11, 0);
	assert_true(rq.woken);
	end(&rq);
}

static void
a_token_from_the_future_does_not_sleep_through(void **state)
{
	struct mx_request rq;

	(void)state;
	request_init(&rq, 1, 0);
	present(1, ROOMS(10));
	mx_stream_park(stream, &rq, 1, (struct mx_token){ INT64_MAX, INT64_MAX }, 1000);
	publish(MX_ITEM_EVENT, 10, 0);
	assert_true(rq.woken);
	end(&rq);
}

static void
a_logout_wakes_the_device_or_all(void **state)
{
	struct mx_request phone, laptop;

	(void)state;
	request_init(&phone, 1, 100);
	request_init(&laptop, 1, 101);
	present(1, ROOMS(10));
	mx_stream_park(stream, &phone, 1, mx_stream_head(stream), 1000);
	mx_stream_park(stream, &laptop, 1, mx_stream_head(stream), 1000);
	mx_stream_wake_user(stream, 1, 101);
	assert_false(phone.woken);
	assert_true(laptop.woken);
	mx_stream_wake_user(stream, 1, 0);
	assert_true(phone.woken);
	end(&phone);
	end(&laptop);
}

static void
a_request_may_end_inside_its_wake(void **state)
{
	struct mx_request rq;

	(void)state;
	end_in_wake = true;
	request_init(&rq, 1, 0);
	present(1, ROOMS(10));
	mx_stream_park(stream, &rq, 1, mx_stream_head(stream), 1000);
	publish(MX_ITEM_EVENT, 10, 0);
	assert_true(rq.woken);
	assert_false(rq.suspended);
}

static void
a_device_list_change_wakes_who_shares_a_room(void **state)
{
	struct mx_request friend, stranger;

	(void)state;
	request_init(&friend, 2, 0);
	request_init(&stranger, 3, 0);
	present(1, ROOMS(10, 11));
	present(2, ROOMS(11, 12));
	present(3, ROOMS(12));
	struct mx_token start = mx_stream_head(stream);
	bool complete;

	mx_stream_park(stream, &friend, 2, start, 1000);
	mx_stream_park(stream, &stranger, 3, start, 1000);
	publish(MX_ITEM_DEVICE_LIST, 0, 1);
	assert_true(friend.woken);
	assert_false(stranger.woken);
	assert_int_equal(since(2, start, &complete), 1);
	assert_int_equal(since(3, start, &complete), 0);
	end(&friend);
	end(&stranger);
}

/* ---- many at once: nobody may miss anything ---- */

#define READERS 8
#define NEWS 400

struct reader {
	struct mx_request rq;
	mx_nid user;
	pthread_t thread;
	struct mx_token from;
	int seen;
	bool stuck;
};

/* A long-polling client: looks, waits, looks again; counts what it gets. */
static void *
read_on(void *arg)
{
	struct reader *r = arg;

	while (r->seen < NEWS && !r->stuck) {
		struct mx_token upto = mx_stream_head(stream);
		struct mx_item items[64];
		bool complete;
		size_t n = mx_stream_since(stream, r->user, r->from, upto, items, 64, &complete);

		mx_items_release(items, n);
		if (n == 64 && !complete) {	/* more than fits: go on behind the last of them */
			upto.pos = items[n - 1].pos;
			complete = true;
		}
		if (!complete) {
			r->stuck = true;
			break;
		}
		r->seen += (int)n;
		r->from = upto;
		if (n > 0)
			continue;
		mx_stream_park(stream, &r->rq, r->user, upto, 60000);
		struct timespec t;

		clock_gettime(CLOCK_REALTIME, &t);
		t.tv_sec += 20;
		pthread_mutex_lock(&r->rq.lock);
		while (!r->rq.woken && !r->stuck)
			r->stuck = pthread_cond_timedwait(&r->rq.changed, &r->rq.lock, &t) != 0;
		pthread_mutex_unlock(&r->rq.lock);
		end(&r->rq);
	}
	return NULL;
}

static void *
write_on(void *arg)
{
	(void)arg;
	for (int i = 0; i < NEWS / 4; i++) {
		struct mx_item item = { .kind = MX_ITEM_EVENT, .room = 10 };

		mx_error_drop(mx_write(db, publish_fn, &item));
	}
	return NULL;
}

static void
no_wake_up_is_lost_among_many(void **state)
{
	static struct reader readers[READERS];
	pthread_t writers[4];

	(void)state;
	mx_stream_close(&stream);
	unit_ok(mx_stream_open(db, NULL, &stream));
	for (int i = 0; i < READERS; i++) {
		readers[i] = (struct reader){ .user = i + 1, .from = mx_stream_head(stream) };
		request_init(&readers[i].rq, i + 1, 0);
		present(i + 1, ROOMS(10));
	}
	for (int i = 0; i < READERS; i++)
		pthread_create(&readers[i].thread, NULL, read_on, &readers[i]);
	for (int i = 0; i < 4; i++)
		pthread_create(&writers[i], NULL, write_on, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(writers[i], NULL);
	for (int i = 0; i < READERS; i++) {
		pthread_join(readers[i].thread, NULL);
		assert_false(readers[i].stuck);
		assert_int_equal(readers[i].seen, NEWS);
	}
}

/* Requests that end on their own, by deadline or hang-up, while they are being woken. */
static void *
give_up(void *arg)
{
	struct reader *r = arg;

	for (int i = 0; i < 300; i++) {
		mx_stream_park(stream, &r->rq, r->user, mx_stream_head(stream), 60000);
		end(&r->rq);
		/* From here on a wake would touch a request that is gone. */
		pthread_mutex_lock(&r->rq.lock);
		int before = r->rq.wakes;
		pthread_mutex_unlock(&r->rq.lock);
		if (i % 16 == 0)
			nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
		pthread_mutex_lock(&r->rq.lock);
		r->stuck |= r->rq.wakes != before;
		pthread_mutex_unlock(&r->rq.lock);
	}
	return NULL;
}

static void
a_request_that_has_ended_is_never_woken(void **state)
{
	static struct reader readers[READERS];
	pthread_t writers[2];

	(void)state;
	for (int i = 0; i < READERS; i++) {
		readers[i] = (struct reader){ .user = i + 1 };
		request_init(&readers[i].rq, i + 1, 0);
		present(i + 1, ROOMS(10));
		pthread_create(&readers[i].thread, NULL, give_up, &readers[i]);
	}
	for (int i = 0; i < 2; i++)
		pthread_create(&writers[i], NULL, write_on, NULL);
	for (int i = 0; i < 2; i++)
		pthread_join(writers[i], NULL);
	for (int i = 0; i < READERS; i++) {
		pthread_join(readers[i].thread, NULL);
		assert_false(readers[i].stuck);
	}
}

/* ---- the map beneath ---- */

static void
the_map_holds_what_was_put(void **state)
{
	struct mx_nidmap m = { 0 };
	static char there[4096];
	unsigned seed = 1;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		seed = seed * 1103515245u + 12345u;
		mx_nid key = (mx_nid)(seed >> 8) % 4095 + 1;

		if ((seed >> 4 & 3) != 0) {
			mx_nidmap_put(&m, key, &there[key]);
			there[key] = 1;
		} else {
			assert_ptr_equal(mx_nidmap_del(&m, key), there[key] ? &there[key] : NULL);
			there[key] = 0;
		}
	}
	for (mx_nid key = 1; key < 4096; key++)
		assert_ptr_equal(mx_nidmap_get(&m, key), there[key] ? &there[key] : NULL);
	mx_nidmap_clear(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		unit_case(tokens_come_back_as_they_were_written),
		unit_case(anything_else_is_no_token),
		stream_case(a_user_gets_the_items_of_its_rooms_and_its_own),
		stream_case(an_invited_user_gets_the_event_about_itself_and_no_other),
		stream_case(who_leaves_gets_what_came_before_and_nothing_after),
		stream_case(a_user_whose_rooms_are_not_known_must_ask_the_database),
		stream_case(the_ring_says_when_it_does_not_reach_back),
		stream_case(more_than_fits_is_not_complete),
		stream_case(what_a_failed_write_published_is_never_seen),
		stream_case(a_change_during_loading_makes_the_list_stale),
		stream_case(users_who_are_not_waiting_are_dropped_when_memory_is_short),
		stream_case(a_waiting_request_is_woken_by_what_concerns_it_only),
		stream_case(an_invitation_wakes_who_is_not_in_the_room),
		stream_case(what_came_before_parking_reruns_at_once),
		stream_case(who_is_not_known_is_woken_by_everything),
		stream_case(a_token_from_the_future_does_not_sleep_through),
		stream_case(a_logout_wakes_the_device_or_all),
		stream_case(a_request_may_end_inside_its_wake),
		stream_case(a_device_list_change_wakes_who_shares_a_room),
		stream_case(no_wake_up_is_lost_among_many),
		stream_case(a_request_that_has_ended_is_never_woken),
		unit_case(the_map_holds_what_was_put),
	};

	if (!place_start())
		return 77;
	mx_error *e = place_open(&db, NULL);

	if (e != NULL) {
		fprintf(stderr, "%s\n", mx_error_text(e));
		return 1;
	}
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	mx_db_close(&db);
	place_stop();
	return failed;
}
