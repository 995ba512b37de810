/* What directories, invitations and knocks show of a room. Client-Server API, "Stripped state",
 * "Public rooms". */
#include "config.h"

#include "core/room/engine.h"

/* The string at a key of the content of a state event without state key; empty when there is none.
 */
static mx_error *
text_of(struct mx_rooms *rs, struct mx_conn *c, struct mx_state_root root, const char *type,
	const char *key, struct mx_arena *a, mx_str *out)
{
	MX_AUTO(mx_event) *ev = NULL;

	*out = MX_S("");
	MX_TRY(mx_state_get(rs, c, root, mx_str_of(type), MX_S(""), &ev));
	if (ev == NULL)
		return NULL;
	MX_AUTO_JSON *content = mx_event_content_parse(ev);
	mx_str text = mx_json_str(content, key);

	if (text.n > 0)
		*out = mx_arena_str(a, text);
	return NULL;
}

static mx_error *
federates(struct mx_rooms *rs, struct mx_conn *c, struct mx_state_root root, bool *out)
{
	MX_AUTO(mx_event) *ev = NULL;

	*out = true;
	MX_TRY(mx_state_get(rs, c, root, MX_S("m.room.create"), MX_S(""), &ev));
	if (ev == NULL)
		return NULL;
	MX_AUTO_JSON *content = mx_event_content_parse(ev);

	*out = !json_is_false(json_object_get(content, "m.federate"));
	return NULL;
}

mx_error *
mx_room_summary(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, struct mx_arena *a,
		struct mx_room_summary *out)
{
	const struct {
		const char *type, *key;
		mx_str *to;
	} parts[] = {
		{ "m.room.name", "name", &out->name },
		{ "m.room.topic", "topic", &out->topic },
		{ "m.room.avatar", "url", &out->avatar_url },
		{ "m.room.canonical_alias", "alias", &out->canonical_alias },
		{ "m.room.join_rules", "join_rule", &out->join_rule },
		{ "m.room.create", "type", &out->room_type },
		{ "m.room.encryption", "algorithm", &out->encryption },
		{ "m.room.history_visibility", "history_visibility", &out->history_visibility },
	};
	struct mx_state_root root = mx_room_root(r);
	mx_str guests;

	*out = (struct mx_room_summary){ .joined = mx_room_joined_count(r),
					 .invited = mx_room_invited_count(r) };
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		MX_TRY(text_of(rs, c, root, parts[i].type, parts[i].key, a, parts[i].to));
	MX_TRY(text_of(rs, c, root, "m.room.guest_access", "guest_access", a, &guests));
	out->world_readable = mx_str_eq(out->history_visibility, MX_S("world_readable"));
	out->guest_can_join = mx_str_eq(guests, MX_S("can_join"));
	return federates(rs, c, root, &out->federate);
}

static mx_error *
stripped(struct mx_rooms *rs, struct mx_conn *c, struct mx_state_root root, mx_str type, mx_str key,
	 struct mx_buf *b, bool *any, mx_str *sender, struct mx_arena *a)
{
	MX_AUTO(mx_event) *ev = NULL;

	MX_TRY(mx_state_get(rs, c, root, type, key, &ev));
	if (ev == NULL)
		return NULL;
	if (*any)
		mx_buf_byte(b, ',');
	mx_event_stripped(ev, b);
	*any = true;
	if (sender != NULL)
		*sender = mx_arena_str(a, mx_event_sender(ev));
	return NULL;
}

mx_error *
mx_room_stripped(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, mx_nid user,
		 struct mx_buf *b)
{
	static const char *const types[] = { "m.room.create",    "m.room.join_rules",
					     "m.room.name",      "m.room.avatar",
					     "m.room.topic",     "m.room.canonical_alias",
					     "m.room.encryption" };
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_state_root root = mx_room_root(r);
	mx_str user_id, sender = { NULL, 0 };
	bool any = false;

	MX_TRY(mx_name_text(c, user, a, &user_id));
	mx_buf_byte(b, '[');
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		MX_TRY(stripped(rs, c, root, mx_str_of(types[i]), MX_S(""), b, &any, NULL, a));
	MX_TRY(stripped(rs, c, root, MX_S("m.room.member"), user_id, b, &any, &sender, a));
	/* Who invites shows its name and face. */
	if (sender.n > 0 && !mx_str_eq(sender, user_id))
		MX_TRY(stripped(rs, c, root, MX_S("m.room.member"), sender, b, &any, NULL, a));
	mx_buf_byte(b, ']');
	return NULL;
}
