/* Events for tests, made from a few words: no hashes, no signatures, ids as the test likes them. */
#ifndef TESTS_UNIT_ROOM_EVENTS_H
#define TESTS_UNIT_ROOM_EVENTS_H

#include "config.h"

#include "core/room/build.h"
#include "core/room/rules.h"
#include "core/room/scan.h"
#include "tests/unit/support/unit.h"

#define ROOM "!create"	/* what version 12 makes of the create event's id; other versions take it as any */

struct spec {
	const char *version;	/* NULL: 12 */
	const char *id, *type, *key, *sender, *content;
	const char *prev, *auth;	/* '"$a","$b"'; NULL: prev "$p", auth none */
	mx_msec ts;
	bool rejected;
};

static inline const struct mx_room_version *
version_of(const char *name)
{
	const struct mx_room_version *v =
		mx_room_version_find(mx_str_of(name != NULL ? name : "12"));

	assert_non_null(v);
	return v;
}

/* "@name:a" for "name", "@name:b" for "name:b"; what begins with another sign stays. */
static inline const char *
user_of(const char *name, char buf[128])
{
	if (name[0] == 0 || strchr("@!$#+", name[0]) != NULL)
		return name;
	snprintf(buf, 128, strchr(name, ':') != NULL ? "@%s" : "@%s:a", name);
	return buf;
}

static inline struct mx_event *
make_event(struct spec s)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_event_row row = { .version = version_of(s.version),
				    .id = mx_str_of(s.id != NULL ? s.id : "$event"),
				    .rejected = s.rejected };
	bool create = strcmp(s.type, "m.room.create") == 0;
	struct mx_event *ev = NULL;
	char sender[128], key[128];

	mx_buf_printf(b,
		      "{\"auth_events\":[%s],\"content\":%s,\"depth\":1,\"origin_server_ts\":%lld,"
		      "\"prev_events\":[%s]",
		      s.auth != NULL ? s.auth : "", s.content, (long long)s.ts,
		      s.prev != NULL ? s.prev
		      : create       ? ""
				     : "\"$p\"");
	if (!create || !row.version->room_id_is_create_hash)
		mx_buf_printf(b, ",\"room_id\":\"%s\"",
			      row.version->room_id_is_create_hash ? ROOM : ROOM ":a");
	else
		row.room_id = mx_str_of(ROOM);
	mx_buf_printf(b, ",\"sender\":\"%s\"", user_of(s.sender, sender));
	if (s.key != NULL)
		mx_buf_printf(b, ",\"state_key\":\"%s\"",
			      strcmp(s.type, "m.room.member") == 0 ? user_of(s.key, key) : s.key);
	mx_buf_printf(b, ",\"type\":\"%s\"}", s.type);
	row.json = mx_buf_view(b);
	unit_ok(mx_event_from_row(&row, &ev));
	return ev;
}

#endif
