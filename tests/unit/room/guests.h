/* Other servers, for tests: their keys, and the events that their users send. */
#ifndef TESTS_ROOM_GUESTS_H
#define TESTS_ROOM_GUESTS_H

#include "tests/unit/room/house.h"

#include "core/room/build.h"
#include "core/room/hash.h"
#include "core/room/outlier.h"

#include <stdatomic.h>

#define GUEST_SERVERS 8

static struct {
	struct mx_signing_key *key[GUEST_SERVERS];	/* of server-N.example.org */
	atomic_uint asked;				/* how often a key was asked for */
	bool away;					/* none can be had */
} guests;

static inline bool
guest_key(void *arg, mx_str server, mx_str key_id, mx_msec at, struct mx_verify_key *out)
{
	char name[64];

	(void)arg;
	(void)at;
	atomic_fetch_add(&guests.asked, 1);
	for (unsigned i = 0; i < GUEST_SERVERS && !guests.away; i++) {
		snprintf(name, sizeof(name), "server-%u.example.org", i);
		if (!mx_str_eq(server, mx_str_of(name)) ||
		    !mx_str_eq(key_id, mx_signing_key_id(guests.key[i])))
			continue;
		mx_signing_key_public(guests.key[i], out->public_key);
		out->valid_until = INT64_MAX;
		return true;
	}
	return false;
}

static inline void
guests_come(void)
{
	for (unsigned i = 0; i < GUEST_SERVERS; i++)
		guests.key[i] = mx_signing_key_generate();
	house_keys = guest_key;
}

static inline void
guests_go(void)
{
	for (unsigned i = 0; i < GUEST_SERVERS; i++)
		mx_signing_key_free(&guests.key[i]);
}

/* An event of a user of another server. */
struct guest_event {
	const char *version, *room_id;
	unsigned server;
	const char *sender, *type, *state_key, *content;
	const struct mx_event *prev, *auth[8];
	mx_msec ts;
};

static inline struct mx_event *
guest_event(struct guest_event g)
{
	MX_AUTO_JSON *content = house_json(g.content);
	char server[64];
	const struct mx_room_version *v =
		mx_room_version_find(mx_str_of(g.version != NULL ? g.version : "11"));
	unsigned char auth_hash[8][MX_SHA256_SIZE], prev_hash[1][MX_SHA256_SIZE];
	mx_str auth[8], prev;
	struct mx_event *ev = NULL;
	size_t auth_n = 0;

	snprintf(server, sizeof(server), "server-%u.example.org", g.server);
	/* Where the room's id names the create event, nobody else does. */
	for (size_t i = 0; i < 8 && g.auth[i] != NULL; i++)
		if (!g.auth[i]->create || !g.auth[i]->version->room_id_is_create_hash) {
			mx_event_reference_hash(v, mx_event_json(g.auth[i]), auth_hash[auth_n]);
			auth[auth_n++] = mx_event_id(g.auth[i]);
		}
	if (g.prev != NULL) {
		mx_event_reference_hash(v, mx_event_json(g.prev), prev_hash[0]);
		prev = mx_event_id(g.prev);
	}
	struct mx_build b = {
		.version = v,
		.room_id = mx_str_of(g.room_id),
		.sender = mx_str_of(g.sender),
		.type = mx_str_of(g.type),
		.state_key = mx_str_of(g.state_key),
		.content = content,
		.ts = g.ts != 0 ? g.ts : 1700000000000,
		.depth = g.prev != NULL ? mx_event_depth(g.prev) + 1 : 1,
		.prev = &prev,
		.prev_hash = prev_hash,
		.prev_n = g.prev != NULL,
		.auth = auth,
		.auth_hash = auth_hash,
		.auth_n = auth_n,
		.server = mx_str_of(server),
		.key = guests.key[g.server],
	};
	unit_ok(mx_build_event(&b, &ev));
	return ev;
}

#endif
