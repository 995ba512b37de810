/* Events for tests, made from a few words: no hashes, no signatures, ids as the test likes them. */
#ifndef TESTS_UNIT_ROOM_EVENTS_H
#define TESTS_UNIT_ROOM_EVENTS_H

#include "config.h"

#include "core/room/build.h"
#include "core/room/rules.h"
#include "core/room/scan.h"
#include "tests/unit/room/versions.h"
#include "tests/unit/support/unit.h"

#define ROOM "!create"	/* what version 12 makes of the create event's id; other versions take it as any */

struct spec {
	const char *version;	/* NULL: 12 */
	const char *id, *type, *key, *sender, *content;
	const char *prev, *auth;	/* '"$a","$b"'; NULL: prev "$p", auth none */
	mx_msec ts;
	bool rejected;
	int depth;	/* 0: 1 */
	const char *redacts;	/* at the top */
};

static inline const struct mx_room_version *
version_of(const char *name)
{
	const struct mx_room_version *v =
		mx_room_version_find(mx_str_of(name != NULL ? name : "12"));

	assert_non_null(v);
	return v;
}

/* '"$a","$b"' as auth_events or prev_events have it. */
static inline void
write_refs(const struct mx_room_version *v, const char *ids, struct mx_buf *b)
{
	mx_buf_byte(b, '[');
	for (const char *p = ids, *end; *p != 0; p = *end != 0 ? end + 1 : end) {
		end = strchr(p, ',') != NULL ? strchr(p, ',') : p + strlen(p);
		mx_buf_printf(b, v->refs_with_hashes ? "%s[%.*s,{\"sha256\":\"x\"}]" : "%s%.*s",
			      p != ids ? "," : "", (int)(end - p), p);
	}
	mx_buf_byte(b, ']');
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

	mx_buf_printf(b, "{\"auth_events\":");
	write_refs(row.version, s.auth != NULL ? s.auth : "", b);
	mx_buf_printf(b, ",\"content\":%s,\"depth\":%d,\"origin_server_ts\":%lld,\"prev_events\":",
		      s.content, s.depth != 0 ? s.depth : 1, (long long)s.ts);
	write_refs(row.version, s.prev != NULL ? s.prev : create ? "" : "\"$p\"", b);
	if (s.redacts != NULL)
		mx_buf_printf(b, ",\"redacts\":\"%s\"", s.redacts);
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
