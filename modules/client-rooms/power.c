/* The content of m.room.power_levels. Client-Server API, "m.room.power_levels" and POST
 * /createRoom. */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include "power.h"

enum { MODERATOR = 50, ADMIN = ROOMS_ADMIN, TOMBSTONE = 150, LEVEL_DIGITS = 16 };

/* The level in a value: an integer, or what old room versions take for one. False when it is none.
 */
static bool
level_of(const json_t *v, int64_t *out)
{
	mx_str s;

	if (json_is_integer(v)) {
		*out = json_integer_value(v);
		return true;
	}
	if (json_is_real(v)) {
		double d = json_real_value(v);

		if (!(fabs(d) < 9007199254740992.0))
			return false;
		*out = (int64_t)d;
		return true;
	}
	if (!json_is_string(v) || json_string_length(v) > LEVEL_DIGITS)
		return false;
	s = (mx_str){ json_string_value(v), json_string_length(v) };
	while (s.n > 0 && (*s.p == ' ' || *s.p == '+'))
		s = (mx_str){ s.p + 1, s.n - 1 };
	while (s.n > 0 && s.p[s.n - 1] == ' ')
		s.n--;
	return mx_str_int(s, INT64_MIN, INT64_MAX, out);
}

int64_t
rooms_level(const json_t *levels, const char *key, int64_t fallback)
{
	int64_t level;

	return level_of(json_object_get(levels, key), &level) ? level : fallback;
}

json_t *
rooms_levels_new(const struct mx_room_version *v, mx_str creator, bool members_invite)
{
	bool creators = mx_room_version_creators(v);
	json_t *levels = json_pack(
		"{s:{}, s:i, s:{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}, s:i, s:i, s:i, s:i, s:i, "
		"s:i}",
		"users", "users_default", 0, "events", "m.room.name", MODERATOR, "m.room.avatar",
		MODERATOR, "m.room.canonical_alias", MODERATOR, "m.room.power_levels", ADMIN,
		"m.room.history_visibility", ADMIN, "m.room.encryption", ADMIN, "m.room.server_acl",
		ADMIN, "m.room.tombstone", creators ? TOMBSTONE : ADMIN, "events_default", 0,
		"state_default", MODERATOR, "ban", MODERATOR, "kick", MODERATOR, "redact",
		MODERATOR, "invite", members_invite ? 0 : MODERATOR);

	if (!creators)
		rooms_levels_set_user(levels, creator, ADMIN);
	return levels;
}

void
rooms_levels_set_user(json_t *levels, mx_str user, int64_t level)
{
	json_t *users = json_object_get(levels, "users");
	char *key = mx_str_dup(user);

	if (!json_is_object(users)) {
		users = json_object();
		json_object_set_new(levels, "users", users);
	}
	json_object_set_new(users, key, json_integer(level));
	free(key);
}

void
rooms_levels_override(json_t *levels, const json_t *over)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)over, key, value)
		json_object_set(levels, key, value);
}

static void
convert_values(json_t *o)
{
	const char *key;
	json_t *value;
	void *next;
	int64_t level;

	json_object_foreach_safe(o, next, key, value) {
		if (level_of(value, &level))
			json_object_set_new(o, key, json_integer(level));
		else if (!json_is_object(value))
			json_object_del(o, key);
	}
}

void
rooms_levels_plain(json_t *levels)
{
	static const char *const maps[] = { "users", "events", "notifications" };

	convert_values(levels);
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		convert_values(json_object_get(levels, maps[i]));
}

void
rooms_levels_convert(json_t *levels, const struct mx_room_version *v, const json_t *creators)
{
	json_t *users, *events, *user;
	int64_t state_default, tombstone;
	size_t i;

	rooms_levels_plain(levels);
	if (!mx_room_version_creators(v))
		return;
	users = json_object_get(levels, "users");
	json_array_foreach((json_t *)creators, i, user)
		json_object_del(users, json_string_value(user));
	events = json_object_get(levels, "events");
	if (!json_is_object(events)) {
		events = json_object();
		json_object_set_new(levels, "events", events);
	}
	state_default = rooms_level(levels, "state_default", MODERATOR);
	tombstone = rooms_level(events, "m.room.tombstone", 0);
	if (tombstone < TOMBSTONE || tombstone <= state_default)
		json_object_set_new(
			events, "m.room.tombstone",
			json_integer(state_default < TOMBSTONE ? TOMBSTONE : state_default + 1));
}

int64_t
rooms_levels_needed(const json_t *levels)
{
	const char *key;
	json_t *value;
	int64_t needed = rooms_level(levels, "state_default", MODERATOR),
		level = rooms_level(levels, "ban", MODERATOR);

	if (level > needed)
		needed = level;
	json_object_foreach(json_object_get(levels, "events"), key, value)
		if (level_of(value, &level) && level > needed)
			needed = level;
	return needed;
}
