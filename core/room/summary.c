/* What directories, invitations and knocks show of a room. Client-Server API, "Stripped state",
 * "Public rooms". */
#include "config.h"

#include "core/room/engine.h"

#include <stdlib.h>

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

static mx_error *
read_summary(struct mx_rooms *rs, struct mx_conn *c, struct mx_state_root root, struct mx_arena *a,
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
	mx_str guests;

	*out = (struct mx_room_summary){ 0 };
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		MX_TRY(text_of(rs, c, root, parts[i].type, parts[i].key, a, parts[i].to));
	MX_TRY(text_of(rs, c, root, "m.room.guest_access", "guest_access", a, &guests));
	out->world_readable = mx_str_eq(out->history_visibility, MX_S("world_readable"));
	out->guest_can_join = mx_str_eq(guests, MX_S("can_join"));
	return federates(rs, c, root, &out->federate);
}

/* ---- kept in the room: a long list of rooms asks for it again and again ---- */

#define KEPT_TEXT 1024		/* bytes; what has more is read each time */

struct mx_kept_summary {
	struct mx_state_root root;
	struct mx_room_summary s;	/* its strings are in text */
	char text[];
};

static size_t
texts_of(struct mx_room_summary *s, mx_str *texts[8])
{
	mx_str *all[] = { &s->name,	 &s->topic,	&s->avatar_url, &s->canonical_alias,
			  &s->join_rule, &s->room_type, &s->encryption, &s->history_visibility };
	size_t n = sizeof(all) / sizeof(all[0]);

	memcpy(texts, all, sizeof(all));
	return n;
}

/* With the room's lock held. */
static bool
kept_summary(struct mx_room *r, struct mx_arena *a, struct mx_room_summary *out)
{
	struct mx_kept_summary *k = r->view.summary;
	mx_str *texts[8];

	if (k == NULL || !mx_root_eq(k->root, r->view.root))
		return false;
	*out = k->s;
	for (size_t i = 0, n = texts_of(out, texts); i < n; i++)
		*texts[i] = mx_arena_str(a, *texts[i]);
	return true;
}

static void
keep_summary(struct mx_room *r, struct mx_state_root root, uint32_t facts,
	     const struct mx_room_summary *s)
{
	struct mx_kept_summary *k = mx_alloc(sizeof(*k) + KEPT_TEXT);
	mx_str *texts[8];
	size_t used = 0, n;

	k->root = root;
	k->s = *s;
	n = texts_of(&k->s, texts);
	for (size_t i = 0; i < n; i++) {
		mx_str from = *texts[i];

		if (from.n > KEPT_TEXT - used) {
			free(k);
			return;
		}
		if (from.n > 0)
			memcpy(k->text + used, from.p, from.n);
		used += from.n;
	}
	k = mx_realloc(k, sizeof(*k) + used, 1);
	for (size_t i = texts_of(&k->s, texts), at = used; i-- > 0;) {
		at -= texts[i]->n;
		texts[i]->p = k->text + at;
	}
	pthread_mutex_lock(&r->lock);
	/* What was read is of a state that may be the room's no more, or of events redacted since. */
	if (r->view.facts == facts && mx_root_eq(r->view.root, root)) {
		free(r->view.summary);
		r->view.summary = k;
		k = NULL;
	}
	pthread_mutex_unlock(&r->lock);
	free(k);
}

mx_error *
mx_room_summary(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, struct mx_arena *a,
		struct mx_room_summary *out)
{
	pthread_mutex_lock(&r->lock);
	size_t joined = (size_t)r->view.joined, invited = (size_t)r->view.invited;
	struct mx_state_root root = r->view.root;
	uint32_t facts = r->view.facts;
	bool kept = kept_summary(r, a, out);

	pthread_mutex_unlock(&r->lock);
	if (!kept) {
		MX_TRY(read_summary(rs, c, root, a, out));
		keep_summary(r, root, facts, out);
	}
	out->joined = joined;
	out->invited = invited;
	return NULL;
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
