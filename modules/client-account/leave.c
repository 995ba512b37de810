/* Who was deactivated leaves all rooms. The account remembers that this is still to be done, so
 * that it is done even when the process ends in between, and for accounts that a tool deactivated
 * without a server. */
#include "config.h"

#include "client_account.h"

#include <myelin/service/profile.h>

enum { AT_ONCE = 16 };

static mx_error *
leave_room(struct mx_core *core, struct mx_conn *c, const struct mx_departing *who, mx_nid room)
{
	struct mx_rooms *rooms = mx_core_rooms(core);
	MX_AUTO(mx_room) *r = NULL;
	MX_AUTO_JSON *content = json_pack("{s:s}", "membership", "leave");
	struct mx_draft draft = {
		.type = MX_S("m.room.member"), .state_key = who->user_id, .content = content,
		.sender = who->user, .sender_id = who->user_id,
	};

	MX_TRY(mx_room_by_nid(rooms, c, room, &r));
	return mx_room_send(rooms, c, r, &draft, 1, NULL);
}

/* *left is false when a room could not be left now and should be tried again. */
static mx_error *
leave_rooms(struct mx_core *core, struct mx_conn *c, const struct mx_departing *who, bool *left)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_member *rooms;
	size_t n;

	*left = true;
	MX_TRY(mx_user_rooms(mx_core_rooms(core), c, who->user, a, &rooms, &n));
	for (size_t i = 0; i < n; i++) {
		enum mx_membership m = rooms[i].membership;

		if (m != MX_MEMBER_JOIN && m != MX_MEMBER_INVITE && m != MX_MEMBER_KNOCK)
			continue;
		mx_error *e = leave_room(core, c, who, rooms[i].room);
		if (e == NULL)
			continue;
		/* A refusal stays one; anything else may pass. */
		if (mx_error_status(e) >= 500)
			*left = false;
		mx_log("client-account", MX_WARN, "CAC001",
		       "a deactivated user could not leave a room", mx_fs("user", who->user_id),
		       mx_fi("room", rooms[i].room), mx_fe(e));
		mx_error_free(&e);
	}
	return NULL;
}

/* What others who share no room any more could still ask for. */
static mx_error *
erase_profile(struct mx_module_self *self, struct mx_conn *c, const struct mx_departing *who)
{
	static const char *const fields[] = { "displayname", "avatar_url" };
	const struct mx_profile_service *profile = mx_self_service(self, "profile");

	if (profile == NULL || profile->size <= offsetof(struct mx_profile_service, set))
		return NULL;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		MX_TRY(profile->set(mx_self_core(self), c, who->user, who->user_id,
				    mx_str_of(fields[i]), NULL));
	return NULL;
}

static mx_error *
leave_some(struct mx_module_self *self, bool *more)
{
	struct mx_core *core = mx_self_core(self);
	struct mx_accounts *as = mx_core_accounts(core);
	MX_AUTO(mx_arena) *a = mx_arena_new();
	MX_AUTO(mx_conn) *c = NULL;
	struct mx_departing who[AT_ONCE];
	bool all = true;
	size_t n;

	MX_TRY(mx_conn_get(mx_core_db(core), &c));
	MX_TRY(mx_users_departing(as, c, a, AT_ONCE, who, &n));
	for (size_t i = 0; i < n; i++) {
		bool left;

		MX_TRY(leave_rooms(core, c, &who[i], &left));
		if (left && who[i].erase) {
			MX_TRY(erase_profile(self, c, &who[i]));
			MX_TRY(mx_user_erase(mx_core_rooms(core), who[i].user));
		}
		if (left)
			MX_TRY(mx_user_departed(as, who[i].user));
		all = all && left;
	}
	*more = all && n == AT_ONCE;
	return NULL;
}

mx_error *
leave_departing(struct mx_module_self *self)
{
	bool more = true;

	while (more)
		MX_TRY(leave_some(self, &more));
	return NULL;
}
