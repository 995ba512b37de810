/* POST /createRoom: the request is checked whole, then becomes one list of events that is stored at
 * once or not at all. Client-Server API, "Creation". */
#include "config.h"

#include <myelin/hook.h>

#include "power.h"

/* The events that a request can add to those it lists itself. */
enum { OWN_EVENTS = 12 };

struct creation {
	const struct rooms_call *c;
	const struct mx_room_version *version;
	json_t *body;			/* of the request; lives as long as it */
	json_t *creation_content, *initial_state, *levels_override;
	mx_str preset, name, topic;
	mx_str alias;			/* whole, in the arena; empty for none */
	bool public, trusted, direct;
	const json_t **initial;		/* entries of initial_state that are sent as they are */
	size_t initial_n;
	const json_t *initial_levels;	/* the content that stands in for the default power levels */
	mx_str *invites;
	size_t invites_n;
	json_t *kept;			/* an array that owns the contents of the drafts */
	struct mx_draft *drafts;
	size_t n;
};

static mx_str
str_of(const json_t *v)
{
	return (mx_str){ json_string_value(v), json_string_length(v) };
}

/* ---- reading the request ---- */

/* Clients write null for what they leave out. */
static void
drop_nulls(json_t *body)
{
	const char *key;
	json_t *value;
	void *next;

	json_object_foreach_safe(body, next, key, value)
		if (json_is_null(value))
			json_object_del(body, key);
}

static mx_error *
read_version(struct creation *cr)
{
	mx_str name = { NULL, 0 };
	const struct mx_room_version *v;

	MX_TRY(mx_json_opt_str(cr->body, "room_version", &name));
	cr->version = mx_rooms_default_version(cr->c->rs);
	if (name.p == NULL)
		return NULL;
	for (size_t i = 0; (v = mx_rooms_version(cr->c->rs, i)) != NULL; i++) {
		if (mx_str_eq(mx_room_version_name(v), name)) {
			cr->version = v;
			return NULL;
		}
	}
	return mx_error_new(MX_E_UNSUPPORTED_ROOM_VERSION,
			    "This server cannot make rooms of that version");
}

static mx_error *
read_preset(struct creation *cr)
{
	mx_str visibility = MX_S("private");

	MX_TRY(mx_json_opt_str(cr->body, "visibility", &visibility));
	cr->public = mx_str_eq(visibility, MX_S("public"));
	if (!cr->public && !mx_str_eq(visibility, MX_S("private")))
		return mx_error_new(MX_E_INVALID_PARAM, "visibility must be public or private");
	cr->preset = cr->public ? MX_S("public_chat") : MX_S("private_chat");
	MX_TRY(mx_json_opt_str(cr->body, "preset", &cr->preset));
	cr->trusted = mx_str_eq(cr->preset, MX_S("trusted_private_chat"));
	if (!cr->trusted && !mx_str_eq(cr->preset, MX_S("private_chat")) &&
	    !mx_str_eq(cr->preset, MX_S("public_chat")))
		return mx_error_new(MX_E_INVALID_PARAM, "There is no such preset");
	return NULL;
}

static mx_error *
read_alias(struct creation *cr)
{
	mx_str local = { NULL, 0 };

	MX_TRY(mx_json_opt_str(cr->body, "room_alias_name", &local));
	if (local.p == NULL)
		return NULL;
	if (local.n == 0 || memchr(local.p, ':', local.n) != NULL ||
	    memchr(local.p, '\0', local.n) != NULL)
		return mx_error_new(MX_E_INVALID_PARAM,
				    "room_alias_name must be the local part of an alias");
	cr->alias = mx_arena_printf(cr->c->arena, "#%.*s:%.*s", MX_SFMT(local),
				    MX_SFMT(mx_core_server_name(cr->c->core)));
	if (!mx_id_alias(cr->alias, NULL, NULL))
		return mx_error_new(MX_E_INVALID_PARAM, "room_alias_name makes no valid alias");
	if (rooms_directory(cr->c) == NULL)
		return mx_error_new(MX_E_INVALID_PARAM, "This server has no room aliases");
	return NULL;
}

static bool
listed(const struct creation *cr, mx_str user)
{
	for (size_t i = 0; i < cr->invites_n; i++)
		if (mx_str_eq(cr->invites[i], user))
			return true;
	return false;
}

static mx_error *
read_invites(struct creation *cr)
{
	const struct rooms_options *o = rooms_options(cr->c);
	json_t *invites = NULL, *by_3pid = NULL, *item;
	size_t i;

	MX_TRY(mx_json_opt_array(cr->body, "invite_3pid", &by_3pid));
	if (json_array_size(by_3pid) > 0)
		return mx_error_new(MX_E_THREEPID_DENIED, "This server invites by user id only");
	MX_TRY(mx_json_opt_array(cr->body, "invite", &invites));
	if ((int64_t)json_array_size(invites) > o->max_invites)
		return mx_error_new(MX_E_INVALID_PARAM, "More than %lld invites at once",
				    (long long)o->max_invites);
	cr->invites =
		mx_arena_alloc(cr->c->arena, (json_array_size(invites) + 1) * sizeof(*cr->invites));
	json_array_foreach(invites, i, item) {
		mx_str user;

		if (!json_is_string(item))
			return mx_error_new(MX_E_BAD_JSON, "invite must hold user ids");
		user = str_of(item);
		MX_TRY(mx_id_check_user(user, "invite"));
		MX_TRY(rooms_check_reachable(cr->c, user));
		if (mx_str_eq(user, cr->c->who->user_id))
			return mx_error_new(MX_E_FORBIDDEN, "You cannot invite yourself");
		if (!listed(cr, user))
			cr->invites[cr->invites_n++] = user;
	}
	return NULL;
}

/* One entry of initial_state: kept to be sent, or set aside because something else says the same.
 */
static mx_error *
read_initial(struct creation *cr, const json_t *item)
{
	mx_str type, key = MX_S("");
	json_t *content;

	if (!json_is_object(item))
		return mx_error_new(MX_E_BAD_JSON, "initial_state must hold objects");
	MX_TRY(mx_json_get_str(item, "type", &type));
	MX_TRY(mx_json_opt_str(item, "state_key", &key));
	MX_TRY(mx_json_get_object(item, "content", &content));
	if (mx_str_eq(type, MX_S("m.room.create")) || mx_str_eq(type, MX_S("m.room.member")))
		return mx_error_new(MX_E_INVALID_ROOM_STATE, "initial_state must not hold %.*s",
				    MX_SFMT(type));
	if (key.n == 0) {
		if (mx_str_eq(type, MX_S("m.room.power_levels"))) {
			cr->initial_levels = content;
			return NULL;
		}
		if ((mx_str_eq(type, MX_S("m.room.name")) && cr->name.p != NULL) ||
		    (mx_str_eq(type, MX_S("m.room.topic")) && cr->topic.p != NULL))
			return NULL;
		if (mx_str_eq(type, MX_S("m.room.canonical_alias")))
			MX_TRY(rooms_check_aliases(cr->c, (mx_str){ NULL, 0 }, cr->alias, NULL,
						   content));
	}
	cr->initial[cr->initial_n++] = item;
	return NULL;
}

static mx_error *
read_content(struct creation *cr)
{
	const struct rooms_options *o = rooms_options(cr->c);
	json_t *item;
	size_t i;

	MX_TRY(mx_json_opt_str(cr->body, "name", &cr->name));
	MX_TRY(mx_json_opt_str(cr->body, "topic", &cr->topic));
	MX_TRY(mx_json_opt_bool(cr->body, "is_direct", &cr->direct));
	MX_TRY(mx_json_opt_object(cr->body, "creation_content", &cr->creation_content));
	MX_TRY(mx_json_opt_object(cr->body, "power_level_content_override", &cr->levels_override));
	MX_TRY(mx_json_opt_array(cr->body, "initial_state", &cr->initial_state));
	if ((int64_t)json_array_size(cr->initial_state) > o->max_initial_state)
		return mx_error_new(MX_E_INVALID_PARAM, "initial_state has more than %lld entries",
				    (long long)o->max_initial_state);
	cr->initial = mx_arena_alloc(cr->c->arena, (json_array_size(cr->initial_state) + 1) *
							   sizeof(*cr->initial));
	json_array_foreach(cr->initial_state, i, item)
		MX_TRY(read_initial(cr, item));
	return NULL;
}

static mx_error *
read_request(struct creation *cr)
{
	MX_TRY(mx_request_json(cr->c->rq, &cr->body));
	drop_nulls(cr->body);
	MX_TRY(read_version(cr));
	MX_TRY(read_preset(cr));
	MX_TRY(read_alias(cr));
	MX_TRY(read_invites(cr));
	return read_content(cr);
}

/* ---- making the events ---- */

static void
add(struct creation *cr, mx_str type, mx_str key, json_t *content)	/* takes content */
{
	json_array_append_new(cr->kept, content);
	cr->drafts[cr->n++] = rooms_state_draft(cr->c, type, key, content);
}

static bool
in_initial(const struct creation *cr, mx_str type)
{
	for (size_t i = 0; i < cr->initial_n; i++)
		if (mx_str_eq(mx_json_str(cr->initial[i], "type"), type) &&
		    mx_json_str(cr->initial[i], "state_key").n == 0)
			return true;
	return false;
}

/* The additional creators: those of creation_content, and whom a trusted chat invites. */
static mx_error *
add_creators(const struct creation *cr, json_t *content)
{
	MX_AUTO_JSON *seen = json_object();
	MX_AUTO_JSON *creators = json_array();
	json_t *given = NULL, *item;
	size_t i;

	if (!mx_room_version_creators(cr->version))
		return NULL;
	MX_TRY(mx_json_opt_array(content, "additional_creators", &given));
	json_object_set_new(seen, mx_arena_str(cr->c->arena, cr->c->who->user_id).p, json_true());
	json_array_foreach(given, i, item) {
		if (!json_is_string(item))
			return mx_error_new(MX_E_BAD_JSON,
					    "additional_creators must hold user ids");
		MX_TRY(mx_id_check_user(str_of(item), "additional_creators"));
		if (json_object_get(seen, json_string_value(item)) == NULL)
			json_array_append(creators, item);
		json_object_set_new(seen, json_string_value(item), json_true());
	}
	for (i = 0; cr->trusted && i < cr->invites_n; i++)
		if (json_object_get(seen, cr->invites[i].p) == NULL)	/* it came out of jansson: there is a NUL behind it */
			json_array_append_new(creators,
					      json_stringn(cr->invites[i].p, cr->invites[i].n));
	if (json_array_size(creators) > 0)
		json_object_set(content, "additional_creators", creators);
	else
		json_object_del(content, "additional_creators");
	return NULL;
}

static mx_error *
add_create(struct creation *cr)
{
	json_t *content =
		cr->creation_content != NULL ? json_copy(cr->creation_content) : json_object();

	json_object_del(content, "creator");
	json_object_del(content, "room_version");
	add(cr, MX_S("m.room.create"), MX_S(""), content);
	return add_creators(cr, content);
}

static void
add_levels(struct creation *cr)
{
	bool members_invite = strcmp(rooms_options(cr->c)->invite_level, "members") == 0;
	json_t *levels;

	if (cr->initial_levels != NULL) {
		levels = json_deep_copy(cr->initial_levels);
	} else {
		levels = rooms_levels_new(cr->version, cr->c->who->user_id, members_invite);
		for (size_t i = 0;
		     cr->trusted && !mx_room_version_creators(cr->version) && i < cr->invites_n;
		     i++)
			rooms_levels_set_user(levels, cr->invites[i], ROOMS_ADMIN);
	}
	rooms_levels_override(levels, cr->levels_override);
	add(cr, MX_S("m.room.power_levels"), MX_S(""), levels);
}

static void
add_preset(struct creation *cr)
{
	bool open = mx_str_eq(cr->preset, MX_S("public_chat"));

	if (!in_initial(cr, MX_S("m.room.join_rules")))
		add(cr, MX_S("m.room.join_rules"), MX_S(""),
		    json_pack("{s:s}", "join_rule", open ? "public" : "invite"));
	if (!in_initial(cr, MX_S("m.room.history_visibility")))
		add(cr, MX_S("m.room.history_visibility"), MX_S(""),
		    json_pack("{s:s}", "history_visibility", "shared"));
	if (!in_initial(cr, MX_S("m.room.guest_access")))
		add(cr, MX_S("m.room.guest_access"), MX_S(""),
		    json_pack("{s:s}", "guest_access", open ? "forbidden" : "can_join"));
}

static mx_error *
add_invites(struct creation *cr)
{
	for (size_t i = 0; i < cr->invites_n; i++) {
		json_t *content;

		MX_TRY(rooms_member_content(cr->c, MX_MEMBER_INVITE, cr->invites[i], &content));
		if (cr->direct)
			json_object_set_new(content, "is_direct", json_true());
		add(cr, MX_S("m.room.member"), cr->invites[i], content);
	}
	return NULL;
}

/* All events, in the order that the specification gives. */
static mx_error *
make_drafts(struct creation *cr)
{
	json_t *content;

	cr->drafts = mx_arena_alloc(cr->c->arena, (OWN_EVENTS + cr->initial_n + cr->invites_n) *
							  sizeof(*cr->drafts));
	MX_TRY(add_create(cr));
	MX_TRY(rooms_member_content(cr->c, MX_MEMBER_JOIN, cr->c->who->user_id, &content));
	add(cr, MX_S("m.room.member"), cr->c->who->user_id, content);
	add_levels(cr);
	if (cr->alias.n > 0 && !in_initial(cr, MX_S("m.room.canonical_alias")))
		add(cr, MX_S("m.room.canonical_alias"), MX_S(""),
		    json_pack("{s:s%}", "alias", cr->alias.p, cr->alias.n));
	add_preset(cr);
	for (size_t i = 0; i < cr->initial_n; i++)
		add(cr, mx_json_str(cr->initial[i], "type"),
		    mx_json_str(cr->initial[i], "state_key"),
		    json_incref(json_object_get(cr->initial[i], "content")));
	if (cr->name.p != NULL)
		add(cr, MX_S("m.room.name"), MX_S(""),
		    json_pack("{s:s%}", "name", cr->name.p, cr->name.n));
	if (cr->topic.p != NULL)
		add(cr, MX_S("m.room.topic"), MX_S(""),
		    json_pack("{s:s%, s:{s:[{s:s%}]}}", "topic", cr->topic.p, cr->topic.n,
			      "m.topic", "m.text", "body", cr->topic.p, cr->topic.n));
	return add_invites(cr);
}

/* ---- the room ---- */

static mx_error *
alias_taken(const struct creation *cr)
{
	return mx_error_new(MX_E_ROOM_IN_USE, "The alias %.*s is taken", MX_SFMT(cr->alias));
}

/* Before the room exists: who may, and whether its alias is free. */
static mx_error *
prepare(struct creation *cr)
{
	const struct mx_directory_service *directory = rooms_directory(cr->c);
	mx_error *e;

	MX_TRY(mx_check_room_create(cr->c->core, cr->c->who->user_id, cr->body));
	if (cr->public && directory != NULL)
		MX_TRY(mx_check_directory(cr->c->core, cr->c->who->user_id, (mx_str){ NULL, 0 },
					  (mx_str){ NULL, 0 }));
	MX_TRY(make_drafts(cr));
	if (cr->alias.n == 0)
		return NULL;
	e = directory->reserve(cr->c->core, cr->c->who, cr->alias);
	if (!mx_error_is(e, MX_E_EXISTS))
		return e;
	mx_error_free(&e);
	return alias_taken(cr);
}

/* The alias and the place in the public list: written with the events. */
static mx_error *
publish(struct mx_txn *tx, struct mx_room *room, void *arg)
{
	const struct creation *cr = arg;
	const struct mx_directory_service *directory = rooms_directory(cr->c);
	mx_error *e;

	if (directory == NULL)
		return NULL;
	if (cr->alias.n > 0) {
		e = directory->bind_in(tx, cr->c->who, cr->alias, room);
		if (mx_error_is(e, MX_E_EXISTS)) {
			mx_error_free(&e);
			return alias_taken(cr);
		}
		MX_TRY(e);
	}
	return cr->public ? directory->set_visible_in(tx, room, true) : NULL;
}

static mx_error *
create(struct creation *cr, struct mx_room **room)
{
	const struct mx_directory_service *directory = rooms_directory(cr->c);
	struct mx_along along = { .size = sizeof(along), .write = publish, .arg = cr };
	mx_error *e;

	MX_TRY(read_request(cr));
	MX_TRY(prepare(cr));
	e = mx_room_create_along(cr->c->rs, cr->c->conn, cr->version, cr->drafts, cr->n, &along,
				 room);
	if (e != NULL) {
		mx_error *state;

		if (cr->alias.n > 0)
			mx_error_drop(directory->release(cr->c->core, cr->c->who, cr->alias));
		if (!mx_error_is(e, MX_E_FORBIDDEN))
			return e;
		/* The creator may do anything but contradict itself. */
		state = mx_error_new(MX_E_INVALID_ROOM_STATE, "%s", mx_error_text(e));
		mx_error_free(&e);
		return state;
	}
	return NULL;
}

enum mx_outcome
rooms_create(struct mx_request *rq)
{
	struct rooms_call c = rooms_call_of(rq);
	MX_AUTO(mx_room) *room = NULL;
	MX_AUTO_JSON *kept = json_array();
	struct creation cr = { .c = &c, .kept = kept };
	mx_error *e = create(&cr, &room);

	return e != NULL ? mx_reply_error(rq, e) : rooms_reply_id(&c, "room_id", mx_room_id(room));
}
