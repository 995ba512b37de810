/* POST /rooms/{}/upgrade: a new room takes over from an old one. Client-Server API, "Room
 * upgrades". */
#include "config.h"

#include <myelin/hook.h>

#include "power.h"

/* Copied with their content, where the old room has them with an empty state key. */
static const char *const COPIED[] = {
	"m.room.join_rules", "m.room.name", "m.room.topic", "m.room.avatar", "m.room.guest_access",
	"m.room.history_visibility", "m.room.encryption", "m.room.server_acl",
};

enum {
	OWN_EVENTS = 5,		/* beside those of the state: create, join, power levels twice, the main alias */
	LAST_EVENTS = 3,	/* of the old room: tombstone, main alias, power levels */
	FIRST = 20000,		/* events that the engine takes in one go, of a new room */
	PORTION = 1000,		/* … of one that is there */
};

struct upgrade {
	const struct rooms_call *c;
	const struct mx_room_version *version;
	struct mx_room *old;
	struct mx_events state;		/* of the old room */
	json_t *creators;		/* additional_creators of the new room, and the user who upgrades */
	json_t *old_levels, *levels;	/* as they are, and as the new room gets them */
	int64_t power;			/* of the user in the new room, while it is set up */
	json_t *kept;			/* an array that owns the contents of the drafts */
	struct mx_draft *drafts;
	size_t n;
	struct mx_draft last[LAST_EVENTS];
	size_t last_n;
};

static void
add(struct upgrade *u, mx_str type, mx_str key, json_t *content)	/* takes content */
{
	json_array_append_new(u->kept, content);
	u->drafts[u->n++] = rooms_state_draft(u->c, type, key, content);
}

static mx_error *
read_creators(struct upgrade *u, const json_t *body)
{
	json_t *given = NULL, *item;
	size_t i;

	json_array_append_new(u->creators,
			      json_stringn(u->c->who->user_id.p, u->c->who->user_id.n));
	if (!mx_room_version_creators(u->version))
		return NULL;
	MX_TRY(mx_json_opt_array(body, "additional_creators", &given));
	json_array_foreach(given, i, item) {
		mx_str user = { json_string_value(item), json_string_length(item) };

		if (!json_is_string(item))
			return mx_error_new(MX_E_BAD_JSON,
					    "additional_creators must hold user ids");
		MX_TRY(mx_id_check_user(user, "additional_creators"));
		if (!mx_str_eq(user, u->c->who->user_id))
			json_array_append(u->creators, item);
	}
	return NULL;
}

static mx_error *
read_request(struct upgrade *u)
{
	json_t *body;
	const struct mx_room_version *v;
	mx_str name;

	MX_TRY(mx_request_json(u->c->rq, &body));
	MX_TRY(mx_json_get_str(body, "new_version", &name));
	for (size_t i = 0; u->version == NULL && (v = mx_rooms_version(u->c->rs, i)) != NULL; i++)
		if (mx_str_eq(mx_room_version_name(v), name))
			u->version = v;
	if (u->version == NULL)
		return mx_error_new(MX_E_UNSUPPORTED_ROOM_VERSION,
				    "This server cannot make rooms of that version");
	return read_creators(u, body);
}

/* Whether the user may end the old room, before a new one is made. */
static mx_error *
check_allowed(const struct upgrade *u)
{
	MX_AUTO_JSON *content = json_pack("{s:s, s:s}", "body", "", "replacement_room", "");
	struct mx_draft draft =
		rooms_state_draft(u->c, MX_S("m.room.tombstone"), MX_S(""), content);

	return mx_room_allowed(u->c->rs, u->c->conn, u->old, &draft);
}

/* ---- the new room's events ---- */

static mx_error *
add_create(struct upgrade *u)
{
	MX_AUTO_JSON *before = NULL;
	MX_AUTO(mx_event) *last = NULL;
	json_t *content = json_object(), *value;
	static const char *const keep[] = { "type", "m.federate" };

	MX_TRY(rooms_state_content(u->c, u->old, MX_S("m.room.create"), MX_S(""), &before));
	for (size_t i = 0; i < sizeof(keep) / sizeof(keep[0]); i++)
		if ((value = json_object_get(before, keep[i])) != NULL)
			json_object_set(content, keep[i], value);
	if (json_array_size(u->creators) > 1) {
		value = json_copy(u->creators);
		json_array_remove(value, 0);
		json_object_set_new(content, "additional_creators", value);
	}
	add(u, MX_S("m.room.create"), MX_S(""), content);
	value = json_pack("{s:s%}", "room_id", mx_room_id(u->old).p, mx_room_id(u->old).n);
	json_object_set_new(content, "predecessor", value);
	/* From version 12 on the room's id comes of this event: the tombstone cannot be named here,
	 * and clients look for it. */
	if (mx_room_version_creators(u->version))
		return NULL;
	MX_TRY(mx_event_by_nid(u->c->rs, u->c->conn, mx_room_last(u->old), &last));
	json_object_set_new(value, "event_id",
			    json_stringn(mx_event_id(last).p, mx_event_id(last).n));
	return NULL;
}

/* The creators of a room whose version ranks them above all are administrators where it doesn't. */
static mx_error *
keep_creators(struct upgrade *u)
{
	MX_AUTO(mx_event) *create = NULL;
	MX_AUTO_JSON *content = NULL;
	json_t *item;
	size_t i;

	if (!mx_room_version_creators(mx_room_version(u->old)) ||
	    mx_room_version_creators(u->version))
		return NULL;
	MX_TRY(mx_room_state(u->c->rs, u->c->conn, u->old, MX_S("m.room.create"), MX_S(""),
			     &create));
	if (create == NULL)
		return NULL;
	rooms_levels_set_user(u->levels, mx_event_sender(create), ROOMS_ADMIN);
	content = mx_event_content_parse(create);
	json_array_foreach(json_object_get(content, "additional_creators"), i, item)
		if (json_is_string(item))
			rooms_levels_set_user(u->levels, mx_str_of(json_string_value(item)),
					      ROOMS_ADMIN);
	return NULL;
}

/* The old levels, fit for the new version; and, where that is not enough to set up the room, first
 * with the user raised. */
static mx_error *
add_levels(struct upgrade *u, bool *raised)
{
	json_t *first;
	int64_t needed, has;

	*raised = false;
	MX_TRY(rooms_state_content(u->c, u->old, MX_S("m.room.power_levels"), MX_S(""),
				   &u->old_levels));
	u->levels = u->old_levels != NULL ? json_deep_copy(u->old_levels)
					  : rooms_levels_new(u->version, u->c->who->user_id, true);
	rooms_levels_convert(u->levels, u->version, u->creators);
	MX_TRY(keep_creators(u));
	first = json_deep_copy(u->levels);
	u->power = INT64_MAX;
	if (!mx_room_version_creators(u->version)) {
		needed = rooms_levels_needed(u->levels);
		if (needed < ROOMS_ADMIN)
			needed = ROOMS_ADMIN;
		has = mx_room_power(u->c->rs, u->c->conn, u->old, u->c->who->user_id);
		if (has < needed) {
			rooms_levels_set_user(first, u->c->who->user_id, needed);
			*raised = true;
		}
		u->power = has < needed ? needed : has;
	}
	add(u, MX_S("m.room.power_levels"), MX_S(""), first);
	return NULL;
}

/* A ban is carried over unless its target would rank too high to be banned there. */
static bool
bannable(const struct upgrade *u, const struct mx_event *ev)
{
	mx_str user = mx_arena_str(u->c->arena, mx_event_state_key(ev));
	json_t *creator;
	size_t i;

	json_array_foreach(u->creators, i, creator)
		if (mx_str_eq(mx_str_of(json_string_value(creator)), user))
			return false;
	return rooms_level(json_object_get(u->levels, "users"), user.p,
			   rooms_level(u->levels, "users_default", 0)) < u->power;
}

static bool
copied(const struct upgrade *u, const struct mx_event *ev)
{
	mx_str type = mx_event_type(ev), key = mx_event_state_key(ev);

	if (mx_str_eq(type, MX_S("m.room.member")))
		return mx_event_membership(ev) == MX_MEMBER_BAN && bannable(u, ev);
	/* Links that were taken back have no via. */
	if (mx_str_eq(type, MX_S("m.space.child")) || mx_str_eq(type, MX_S("m.space.parent")))
		return mx_json_raw(mx_event_content(ev), MX_S("via"), &key);
	for (size_t i = 0; key.n == 0 && i < sizeof(COPIED) / sizeof(COPIED[0]); i++)
		if (mx_str_eq(type, mx_str_of(COPIED[i])))
			return true;
	return false;
}

static void
add_state(struct upgrade *u)
{
	for (size_t i = 0; i < u->state.n; i++) {
		const struct mx_event *ev = u->state.v[i];
		json_t *content;

		if (!copied(u, ev) || (content = mx_event_content_parse(ev)) == NULL)
			continue;
		add(u, mx_event_type(ev), mx_event_state_key(ev), content);
	}
}

static mx_error *
make_drafts(struct upgrade *u)
{
	json_t *content;
	bool raised;

	MX_TRY(mx_state_all(u->c->rs, u->c->conn, mx_room_root(u->old), &u->state));
	u->drafts = mx_arena_alloc(u->c->arena, (OWN_EVENTS + u->state.n) * sizeof(*u->drafts));
	MX_TRY(add_create(u));
	MX_TRY(rooms_member_content(u->c, MX_MEMBER_JOIN, u->c->who->user_id, &content));
	add(u, MX_S("m.room.member"), u->c->who->user_id, content);
	MX_TRY(add_levels(u, &raised));
	add_state(u);
	if (rooms_directory(u->c) != NULL) {
		MX_TRY(rooms_state_content(u->c, u->old, MX_S("m.room.canonical_alias"), MX_S(""),
					   &content));
		if (content != NULL)
			add(u, MX_S("m.room.canonical_alias"), MX_S(""), content);
	}
	if (raised)
		add(u, MX_S("m.room.power_levels"), MX_S(""), json_incref(u->levels));
	return NULL;
}

/* ---- the old room ---- */

/* State that is good to have but that nothing depends on: the user may lack the power for it. Takes
 * content. */
static void
add_to_old(struct upgrade *u, mx_str type, json_t *content)
{
	struct mx_draft draft = rooms_state_draft(u->c, type, MX_S(""), content);
	mx_error *e = mx_room_allowed(u->c->rs, u->c->conn, u->old, &draft);

	json_array_append_new(u->kept, content);
	if (e == NULL)
		u->last[u->last_n++] = draft;
	else
		mx_log("client-rooms", MX_INFO, "ROOM001",
		       "an upgraded room keeps some of its state",
		       mx_fs("room", mx_room_id(u->old)), mx_fs("type", type), mx_fe(e));
	mx_error_free(&e);
}

/* Nobody but moderators writes or invites there any more. */
static void
close_old(struct upgrade *u)
{
	json_t *levels;
	int64_t least, level;
	static const char *const keys[] = { "events_default", "invite" };

	if (u->old_levels == NULL)
		return;
	levels = json_deep_copy(u->old_levels);
	rooms_levels_plain(levels);
	least = rooms_level(levels, "users_default", 0) + 1;
	if (least < 50)
		least = 50;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		level = rooms_level(levels, keys[i], 0);
		json_object_set_new(levels, keys[i], json_integer(level > least ? level : least));
	}
	add_to_old(u, MX_S("m.room.power_levels"), levels);
}

/* The last events of the old room, now that the new one has an id. */
static mx_error *
last_events(struct mx_room *new, void *arg, const struct mx_draft **out, size_t *n)
{
	struct upgrade *u = arg;
	MX_AUTO(mx_event) *alias = NULL;
	json_t *tombstone = json_pack("{s:s, s:s%}", "body", "This room has been replaced",
				      "replacement_room", mx_room_id(new).p, mx_room_id(new).n);

	json_array_append_new(u->kept, tombstone);
	u->last_n = 0;
	u->last[u->last_n++] =
		rooms_state_draft(u->c, MX_S("m.room.tombstone"), MX_S(""), tombstone);
	MX_TRY(mx_room_state(u->c->rs, u->c->conn, u->old, MX_S("m.room.canonical_alias"), MX_S(""),
			     &alias));
	if (alias != NULL && rooms_directory(u->c) != NULL)
		add_to_old(u, MX_S("m.room.canonical_alias"), json_object());
	close_old(u);
	*out = u->last;
	*n = u->last_n;
	return NULL;
}

static mx_error *
move_aliases(struct mx_txn *tx, struct mx_room *new, void *arg)
{
	const struct upgrade *u = arg;
	const struct mx_directory_service *directory = rooms_directory(u->c);

	return directory != NULL ? directory->move_in(tx, u->old, new) : NULL;
}

/* The new room, the end of the old one and the aliases are one write. What is too long for it (bans
 * without end) follows in portions. */
static mx_error *
replace(struct upgrade *u, struct mx_room **new)
{
	struct mx_along along = { .size = sizeof(along), .write = move_aliases, .arg = u,
				  .other = u->old, .drafts = last_events };
	size_t done = u->n < FIRST ? u->n : FIRST, n;

	MX_TRY(mx_room_create_along(u->c->rs, u->c->conn, u->version, u->drafts, done, &along,
				    new));
	for (; done < u->n; done += n) {
		n = u->n - done < PORTION ? u->n - done : PORTION;
		MX_TRY(mx_room_send(u->c->rs, u->c->conn, *new, u->drafts + done, n, NULL));
	}
	return NULL;
}

/* ---- the request ---- */

/* The room that the same request has made before, when its answer did not arrive: a repetition
 * finds it, and finishes what the first may have left. */
static mx_error *
find_replacement(const struct upgrade *u, struct mx_room **new)
{
	MX_AUTO(mx_room) *room = NULL;
	MX_AUTO(mx_event) *create = NULL;
	struct mx_member member;

	MX_TRY(rooms_successor(u->c, u->old, &room));
	if (room == NULL || mx_room_version(room) != u->version)
		return NULL;
	MX_TRY(mx_room_state(u->c->rs, u->c->conn, room, MX_S("m.room.create"), MX_S(""), &create));
	MX_TRY(rooms_member(u->c, room, u->c->who->user_id, &member));
	if (create != NULL && mx_str_eq(mx_event_sender(create), u->c->who->user_id) &&
	    member.membership == MX_MEMBER_JOIN)
		*new = mx_room_ref(room);
	return NULL;
}

static mx_error *
upgrade(struct upgrade *u, struct mx_room **new)
{
	MX_TRY(read_request(u));
	MX_TRY(rooms_find(u->c, &u->old));
	MX_TRY(find_replacement(u, new));
	if (*new == NULL) {
		MX_TRY(check_allowed(u));
		MX_TRY(make_drafts(u));
		MX_TRY(replace(u, new));
	}
	mx_run_room_succeeded(u->c->core, u->c->conn, u->c->who->user, u->c->who->user_id, u->old,
			      *new);
	return rooms_relink_spaces(u->c, u->old, *new);
}

enum mx_outcome
rooms_upgrade(struct mx_request *rq)
{
	struct rooms_call c = rooms_call_of(rq);
	MX_AUTO(mx_room) *new = NULL;
	struct upgrade u = { .c = &c, .creators = json_array(), .kept = json_array() };
	mx_error *e = upgrade(&u, &new);

	mx_events_clear(&u.state);
	mx_room_unref(&u.old);
	json_decref(u.creators);
	json_decref(u.old_levels);
	json_decref(u.levels);
	json_decref(u.kept);
	return e != NULL ? mx_reply_error(rq, e)
			 : rooms_reply_id(&c, "replacement_room", mx_room_id(new));
}
