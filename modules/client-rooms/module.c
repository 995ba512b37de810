/* client-rooms: making rooms, being in them, sending to them, reading their state. */
#include "config.h"

#include "rooms.h"

static const struct mx_option options[] = {
	MX_OPT(struct rooms_options, max_invites, .def = "200", .min = 0, .max = 400,
	       .help = "The most users that one createRoom may invite."),
	MX_OPT(struct rooms_options, max_initial_state, .def = "500", .min = 0, .max = 500,
	       .help = "The most entries that initial_state of one createRoom may have."),
	MX_OPT(struct rooms_options, invite_level, .def = "moderators",
	       .choices = "members|moderators",
	       .help = "Who may invite in a new room that does not say so itself."),
};

#define V3 "/_matrix/client/v3"
#define ROOM V3 "/rooms/{roomId}"

static const struct mx_route routes[] = {
	{ "POST", V3 "/createRoom", rooms_create, MX_AUTH_USER, MX_RATE_WRITE, 0, 0 },
	{ "POST", ROOM "/upgrade", rooms_upgrade, MX_AUTH_USER, MX_RATE_WRITE, 0, 0 },

	{ "POST", V3 "/join/{roomIdOrAlias}", rooms_join_named, MX_AUTH_GUEST, MX_RATE_WRITE, 0,
	  0 },
	{ "POST", ROOM "/join", rooms_join, MX_AUTH_GUEST, MX_RATE_WRITE, 0, 0 },
	{ "POST", V3 "/knock/{roomIdOrAlias}", rooms_knock, MX_AUTH_USER, MX_RATE_WRITE, 0, 0 },
	{ "POST", ROOM "/leave", rooms_leave, MX_AUTH_GUEST, MX_RATE_WRITE, 0, 0 },
	{ "POST", ROOM "/forget", rooms_forget, MX_AUTH_GUEST, MX_RATE_WRITE, 0, 0 },
	{ "POST", ROOM "/invite", rooms_invite, MX_AUTH_USER, MX_RATE_WRITE, 0, 0 },
	{ "POST", ROOM "/kick", rooms_kick, MX_AUTH_USER, MX_RATE_WRITE, 0, 0 },
	{ "POST", ROOM "/ban", rooms_ban, MX_AUTH_USER, MX_RATE_WRITE, 0, 0 },
	{ "POST", ROOM "/unban", rooms_unban, MX_AUTH_USER, MX_RATE_WRITE, 0, 0 },

	{ "PUT", ROOM "/send/{eventType}/{txnId}", rooms_send_message, MX_AUTH_GUEST, MX_RATE_WRITE,
	  0, 0 },
	{ "PUT", ROOM "/redact/{eventId}/{txnId}", rooms_redact, MX_AUTH_USER, MX_RATE_WRITE, 0,
	  0 },
	{ "PUT", ROOM "/state/{eventType}", rooms_put_state, MX_AUTH_GUEST, MX_RATE_WRITE, 0, 0 },
	{ "PUT", ROOM "/state/{eventType}/{stateKey}", rooms_put_state, MX_AUTH_GUEST,
	  MX_RATE_WRITE, 0, 0 },

	{ "GET", ROOM "/state", rooms_get_all_state, MX_AUTH_GUEST, MX_RATE_READ, 0, 0 },
	{ "GET", ROOM "/state/{eventType}", rooms_get_state, MX_AUTH_GUEST, MX_RATE_READ, 0, 0 },
	{ "GET", ROOM "/state/{eventType}/{stateKey}", rooms_get_state, MX_AUTH_GUEST, MX_RATE_READ,
	  0, 0 },
	{ "GET", ROOM "/members", rooms_get_members, MX_AUTH_GUEST, MX_RATE_READ, 0, 0 },
	{ "GET", ROOM "/joined_members", rooms_get_joined_members, MX_AUTH_USER, MX_RATE_READ, 0,
	  0 },
	{ "GET", ROOM "/event/{eventId}", rooms_get_event, MX_AUTH_GUEST, MX_RATE_READ, 0, 0 },
	{ "GET", V3 "/joined_rooms", rooms_joined_rooms, MX_AUTH_USER, MX_RATE_READ, 0, 0 },
};

static mx_error *
purge_job(struct mx_module_self *self)
{
	return mx_rooms_purge(mx_core_rooms(mx_self_core(self)));
}

static const struct mx_job_row jobs[] = {
	{ "redacted content", 300 * 1000, MX_ONE_PROCESS, purge_job },
};

MX_MODULE(client_rooms) = {
	MX_MODULE_HEAD("client-rooms", "0.1.0", "Rooms: making, joining, sending, state, upgrades"),
	.requires = "?directory>=2, ?profile>=1",
	.options = MX_TABLE(options),
	.options_size = sizeof(struct rooms_options),
	.routes = MX_TABLE(routes),
	.jobs = MX_TABLE(jobs),
};
