/* The service "directory": what other modules may do with aliases and the public list. */
#include "config.h"

#include <myelin/hook.h>

#include "directory.h"

mx_error *
directory_check_alias(struct mx_core *core, mx_str alias)
{
	mx_str server;

	if (!mx_id_alias(alias, NULL, &server))
		return mx_error_new(MX_E_INVALID_PARAM, "This is no room alias");
	if (!mx_str_eq(server, mx_core_server_name(core)))
		return mx_error_new(MX_E_INVALID_PARAM,
				    "Room aliases of other servers are made there");
	return NULL;
}

static mx_error *
resolve(struct mx_core *core, struct mx_conn *c, mx_str alias, struct mx_arena *a, mx_str *room_id)
{
	MX_AUTO(mx_room) *room = NULL;
	struct directory_alias found;

	MX_TRY(directory_find(c, alias, &found));
	MX_TRY(mx_room_by_nid(mx_core_rooms(core), c, found.room, &room));
	*room_id = mx_arena_str(a, mx_room_id(room));
	return NULL;
}

static mx_error *
reserve(struct mx_core *core, const struct mx_auth *who, mx_str alias)
{
	struct directory_alias a = { .alias = alias, .creator = who->user, .made = mx_now() };

	MX_TRY(directory_check_alias(core, alias));
	MX_TRY(mx_check_directory(core, who->user_id, (mx_str){ NULL, 0 }, alias));
	return directory_put(mx_core_db(core), &a);
}

static mx_error *
bind(struct mx_core *core, const struct mx_auth *who, mx_str alias, struct mx_room *room)
{
	struct directory_alias a = {
		.alias = alias, .room = mx_room_nid(room), .creator = who->user, .made = mx_now()
	};

	return directory_put(mx_core_db(core), &a);
}

static mx_error *
release(struct mx_core *core, const struct mx_auth *who, mx_str alias)
{
	(void)who;
	return directory_drop(mx_core_db(core), alias, 0);
}

static mx_error *
aliases(struct mx_core *core, struct mx_conn *c, struct mx_room *room, struct mx_arena *a,
	mx_str **out, size_t *n)
{
	(void)core;
	return directory_aliases(c, mx_room_nid(room), a, out, n);
}

static mx_error *
move(struct mx_core *core, struct mx_room *from, struct mx_room *to)
{
	return directory_move(mx_core_db(core), mx_room_nid(from), mx_room_nid(to));
}

static mx_error *
visible(struct mx_core *core, struct mx_conn *c, struct mx_room *room, bool *out)
{
	(void)core;
	return directory_is_listed(c, mx_room_nid(room), out);
}

static mx_error *
set_visible(struct mx_core *core, struct mx_room *room, bool on)
{
	return directory_list_room(mx_core_db(core), mx_room_nid(room), on);
}

static mx_error *
bind_in(struct mx_txn *tx, const struct mx_auth *who, mx_str alias, struct mx_room *room)
{
	struct directory_alias a = {
		.alias = alias, .room = mx_room_nid(room), .creator = who->user, .made = mx_now()
	};

	return directory_put_in(tx, &a);
}

static mx_error *
move_in(struct mx_txn *tx, struct mx_room *from, struct mx_room *to)
{
	return directory_move_in(tx, mx_room_nid(from), mx_room_nid(to));
}

static mx_error *
set_visible_in(struct mx_txn *tx, struct mx_room *room, bool on)
{
	return directory_list_in(tx, mx_room_nid(room), on);
}

const struct mx_directory_service directory_service = {
	.size = sizeof(struct mx_directory_service),
	.resolve = resolve,
	.reserve = reserve,
	.bind = bind,
	.release = release,
	.aliases = aliases,
	.move = move,
	.visible = visible,
	.set_visible = set_visible,
	.bind_in = bind_in,
	.move_in = move_in,
	.set_visible_in = set_visible_in,
};
