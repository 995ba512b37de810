/* What other servers make of a room, for tests: events upon events, each with the state that its maker
 * believed in. Nothing of it is in the engine until it is handed in. */
#ifndef TESTS_ROOM_REMOTE_H
#define TESTS_ROOM_REMOTE_H

#include "tests/unit/room/guests.h"

#include "core/room/hash.h"

#define REMOTE_STATE 64

struct remote {
	struct mx_event *ev;
	struct remote *state[REMOTE_STATE];	/* after it */
	size_t state_n;
};

static struct remote remote_pool[512];
static size_t remote_used;

static inline struct remote *
remote_new(struct mx_event *ev, const struct remote *base)
{
	struct remote *r = &remote_pool[remote_used++];

	assert_true(remote_used < 512);
	memset(r, 0, sizeof(*r));
	r->ev = ev;
	if (base != NULL) {
		memcpy(r->state, base->state, sizeof(r->state));
		r->state_n = base->state_n;
	}
	if (!mx_event_is_state(ev))
		return r;
	size_t at = 0;

	while (at < r->state_n &&
	       (!mx_str_eq(mx_event_type(r->state[at]->ev), mx_event_type(ev)) ||
		!mx_str_eq(mx_event_state_key(r->state[at]->ev), mx_event_state_key(ev))))
		at++;
	assert_true(at < REMOTE_STATE);
	r->state[at] = r;
	r->state_n += at == r->state_n;
	return r;
}

/* The newest event of the room in the engine, with the room's state. */
static inline struct remote *
remote_of(struct mx_room *room)
{
	struct mx_events all = { 0 };
	struct mx_event *last;
	struct remote *r = NULL;

	unit_ok(mx_state_all(rooms, conn, mx_room_root(room), &all));
	for (size_t i = 0; i < all.n; i++)
		r = remote_new(mx_event_ref(all.v[i]), r);
	unit_ok(mx_event_by_nid(rooms, conn, mx_room_last(room), &last));
	r = remote_new(last, r);
	mx_events_clear(&all);
	return r;
}

static inline void
remote_clear(void)
{
	while (remote_used > 0)
		mx_event_unref(&remote_pool[--remote_used].ev);
}

static inline struct remote *
remote_at(const struct remote *r, mx_str type, mx_str state_key)
{
	for (size_t i = 0; i < r->state_n; i++)
		if (mx_str_eq(mx_event_type(r->state[i]->ev), type) &&
		    mx_str_eq(mx_event_state_key(r->state[i]->ev), state_key))
			return r->state[i];
	return NULL;
}

/* The nth user of a server. */
static inline const char *
remote_user(unsigned server, const char *name)
{
	static char ids[8][128];
	static unsigned next;
	char *id = ids[next++ % 8];

	snprintf(id, 128, "@%s-%u:server-%u.example.org", name, house_tests, server);
	return id;
}

struct remote_spec {
	unsigned server;
	const char *sender, *type, *key, *content;
	struct remote *prev[MX_EVENT_MAX_PREV];	/* prev[0]'s state is believed in */
	const char *redacts;
	mx_msec ts;
	int64_t depth;			/* 0: one more than that of prev[0] */
	size_t fewer_auth;		/* so many auth events are left out */
	struct remote *more_auth;	/* one that does not belong there */
	bool wrong_hashes;		/* of the events that it names: versions 1 and 2 */
};

static inline struct remote *
remote_event(struct mx_room *room, struct remote_spec s)
{
	MX_AUTO_JSON *content = house_json(s.content);
	char server[64];
	mx_str auth[12], prev[MX_EVENT_MAX_PREV];
	unsigned char prev_hash[MX_EVENT_MAX_PREV][MX_SHA256_SIZE];
	unsigned char auth_hash[12][MX_SHA256_SIZE];
	struct mx_auth_types types;
	struct mx_event *ev = NULL;
	size_t auth_n = 0, prev_n = 0;
	const struct mx_room_version *v = mx_room_version(room);
	static mx_msec now = 1700000000000;

	snprintf(server, sizeof(server), "server-%u.example.org", s.server);
	mx_rules_auth_types(v, mx_str_of(s.type), mx_str_of(s.sender), mx_str_of(s.key), content,
			    &types);
	for (size_t i = 0; i < types.n; i++) {
		const struct remote *a = remote_at(s.prev[0], types.v[i].type, types.v[i].key);

		if (a == NULL)
			continue;
		mx_event_reference_hash(v, mx_event_json(a->ev), auth_hash[auth_n]);
		auth[auth_n++] = mx_event_id(a->ev);
	}
	auth_n -= s.fewer_auth;
	if (s.more_auth != NULL) {
		mx_event_reference_hash(v, mx_event_json(s.more_auth->ev), auth_hash[auth_n]);
		auth[auth_n++] = mx_event_id(s.more_auth->ev);
	}
	while (prev_n < MX_EVENT_MAX_PREV && s.prev[prev_n] != NULL) {
		mx_event_reference_hash(v, mx_event_json(s.prev[prev_n]->ev), prev_hash[prev_n]);
		prev[prev_n] = mx_event_id(s.prev[prev_n]->ev);
		prev_n++;
	}
	if (s.wrong_hashes) {
		memset(prev_hash, 1, sizeof(prev_hash));
		memset(auth_hash, 1, sizeof(auth_hash));
	}
	struct mx_build b = {
		.version = v,
		.room_id = mx_room_id(room),
		.sender = mx_str_of(s.sender),
		.type = mx_str_of(s.type),
		.state_key = mx_str_of(s.key),
		.content = content,
		.redacts = mx_str_of(s.redacts),
		.ts = s.ts != 0 ? s.ts : ++now,
		.depth = s.depth != 0 ? s.depth : mx_event_depth(s.prev[0]->ev) + 1,
		.prev = prev,
		.prev_hash = prev_hash,
		.prev_n = prev_n,
		.auth = auth,
		.auth_hash = auth_hash,
		.auth_n = auth_n,
		.server = mx_str_of(server),
		.key = guests.key[s.server],
	};
	unit_ok(mx_build_event(&b, &ev));
	return remote_new(ev, s.prev[0]);
}

static inline struct remote *
remote_say(struct mx_room *room, unsigned server, const char *who, struct remote *prev)
{
	return remote_event(room, (struct remote_spec){ .server = server, .sender = who,
							.type = "m.room.message",
							.content = "{\"body\":\"hello\"}",
							.prev = { prev } });
}

static inline struct remote *
remote_member(struct mx_room *room, unsigned server, const char *who, const char *whom,
	      const char *membership, struct remote *prev)
{
	char content[64];

	snprintf(content, sizeof(content), "{\"membership\":\"%s\"}", membership);
	return remote_event(room, (struct remote_spec){ .server = server, .sender = who,
							.type = "m.room.member", .key = whom,
							.content = content, .prev = { prev } });
}

static inline struct remote *
remote_topic(struct mx_room *room, unsigned server, const char *who, const char *topic,
	     struct remote *prev)
{
	char content[64];

	snprintf(content, sizeof(content), "{\"topic\":\"%s\"}", topic);
	return remote_event(room, (struct remote_spec){ .server = server, .sender = who,
							.type = "m.room.topic", .key = "",
							.content = content, .prev = { prev } });
}

/* ---- handing in ---- */

static inline void
remote_hand_in(struct mx_room *room, struct remote *const *list, size_t n, struct mx_arrival *v)
{
	mx_str pdus[256];

	assert_true(n <= 256);
	for (size_t i = 0; i < n; i++)
		pdus[i] = mx_event_json(list[i]->ev);
	unit_ok(mx_room_accept(rooms, conn, room, (mx_str){ NULL, 0 }, pdus, n, v));
}

#define remote_fate(room, r, wanted_fate, wanted_reason)                                           \
	do {                                                                                       \
		struct mx_arrival v_;                                                              \
                                                                                                   \
		remote_hand_in(room, (struct remote *[]){ r }, 1, &v_);                            \
		if (v_.fate != (wanted_fate) || v_.reason != (wanted_reason))                      \
			fail_msg("line %d: %s, %s: %s", __LINE__, mx_fate_name(v_.fate),           \
				 mx_reason_name(v_.reason), v_.words);                             \
		mx_arrivals_clear(&v_, 1);                                                         \
	} while (0)
#define remote_accepted(room, r) remote_fate(room, r, MX_FATE_ACCEPTED, MX_REASON_NONE)

#endif
