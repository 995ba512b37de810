#include "config.h"

#include <inttypes.h>

#include "core/room/rules_private.h"

static const mx_str EMPTY = { "", 0 };

enum mx_membership
mx_check_membership(const struct mx_check *c, mx_str user)
{
	const struct mx_event *ev = c->state->get(c->state->arg, MX_S("m.room.member"), user);

	return ev != NULL ? mx_event_membership(ev) : MX_MEMBER_NONE;
}

const char *
mx_check_level(int64_t level, char buf[24])
{
	if (level == MX_POWER_CREATOR)
		return "that of a creator";
	snprintf(buf, 24, "%" PRId64, level);
	return buf;
}

/* ---- m.room.create ---- */

static mx_error *
check_creators(mx_str list)
{
	struct mx_scan s;
	mx_str value, inner;
	char buf[MX_CHECK_BUF];

	if (!mx_scan_array(&s, list))
		return MX_REFUSE("m.room.create: additional_creators is not a list of user ids");
	while (mx_scan_element(&s, &value)) {
		if (!mx_scan_string(value, &inner))
			return MX_REFUSE(
				"m.room.create: additional_creators is not a list of user ids");
		if (mx_scan_escaped(inner) && inner.n <= sizeof(buf))
			inner = (mx_str){ buf, mx_scan_unescape(inner, buf) };
		if (!mx_id_user(inner, NULL, NULL))
			return MX_REFUSE("m.room.create: additional_creators names somebody by "
					 "what is not a user id");
	}
	return NULL;
}

static mx_error *
check_create(const struct mx_event *ev)
{
	const struct mx_room_version *v = ev->version;
	mx_str content = mx_event_content(ev), value, inner;

	if (mx_event_prev_count(ev) != 0)
		return MX_REFUSE("m.room.create must be the first event of its room");
	if (v->room_id_is_create_hash) {
		if (ev->room_id.off != 0 && ev->room_id.off < ev->json_n)
			return MX_REFUSE("m.room.create has no room_id in this room version");
	} else if (!mx_str_eq(mx_id_server_of(mx_event_room_id(ev)),
			      mx_id_server_of(mx_event_sender(ev)))) {
		return MX_REFUSE("the room id is of another server than the creator");
	}
	if (mx_scan_find(content, MX_S("room_version"), &value) &&
	    (!mx_scan_string(value, &inner) || mx_room_version_find(inner) == NULL))
		return MX_REFUSE("the room version is unknown");
	if (v->rule_creator_in_content && !mx_scan_find(content, MX_S("creator"), &value))
		return MX_REFUSE("m.room.create does not name the creator");
	if (v->rule_creators && mx_scan_find(content, MX_S("additional_creators"), &value))
		return check_creators(value);
	return NULL;
}

/* ---- all other events ---- */

static mx_error *
check_room(const struct mx_event *ev, const struct mx_event *create)
{
	mx_str room = mx_event_room_id(ev), id = mx_event_id(create);

	if (create->rejected)
		return MX_REFUSE("the room's m.room.create was rejected");
	if (!ev->version->room_id_is_create_hash) {
		if (!mx_str_eq(room, mx_event_room_id(create)))
			return MX_REFUSE("the event is of another room than its m.room.create");
		return NULL;
	}
	if (room.n != id.n || room.n == 0 || room.p[0] != '!' ||
	    memcmp(room.p + 1, id.p + 1, id.n - 1) != 0)
		return MX_REFUSE("the room id does not name the room's m.room.create");
	return NULL;
}

static mx_error *
check_power(const struct mx_check *c)
{
	int64_t needed = mx_power_for_event(c->power, c->type, c->ev->state);
	int64_t has = mx_power_of_user(c->power, c->sender);
	char a[24], b[24];

	if (has >= needed)
		return NULL;
	return MX_REFUSE("sending %.*s needs power %s, you have %s", MX_SFMT(c->type),
			 mx_check_level(needed, a), mx_check_level(has, b));
}

static mx_error *
check_third_party_invite_event(const struct mx_check *c)
{
	int64_t needed = c->power->level[MX_POWER_INVITE],
		has = mx_power_of_user(c->power, c->sender);
	char a[24], b[24];

	if (has >= needed)
		return NULL;
	return MX_REFUSE("inviting needs power %s, you have %s", mx_check_level(needed, a),
			 mx_check_level(has, b));
}

/* Where the rules decide whether a redaction applies. */
static mx_error *
check_redaction(const struct mx_check *c)
{
	if (mx_power_of_user(c->power, c->sender) >= c->power->level[MX_POWER_REDACT] ||
	    mx_str_eq(mx_id_server_of(mx_event_id(c->ev)),
		      mx_id_server_of(mx_event_redacts(c->ev))))
		return NULL;
	return MX_REFUSE("you may not redact events of other servers");
}

static mx_error *
not_joined(const struct mx_check *c)
{
	switch (mx_check_membership(c, c->sender)) {
	case MX_MEMBER_JOIN:
		return NULL;
	case MX_MEMBER_BAN:
		return MX_REFUSE("you are banned from this room");
	case MX_MEMBER_INVITE:
		return MX_REFUSE("you are invited to this room but have not joined it");
	case MX_MEMBER_KNOCK:
	case MX_MEMBER_LEAVE:
	case MX_MEMBER_NONE:
		break;
	}
	return MX_REFUSE("you are not in this room");
}

static mx_error *
check_other(const struct mx_check *c)
{
	const struct mx_event *ev = c->ev;

	if (!c->power->federate && !mx_str_eq(mx_id_server_of(c->sender), c->power->creator_server))
		return MX_REFUSE("this room is only for users of its creator's server");
	if (c->version->rule_aliases && mx_str_eq(c->type, MX_S("m.room.aliases"))) {
		if (!ev->state || !mx_str_eq(c->target, mx_id_server_of(c->sender)))
			return MX_REFUSE(
				"m.room.aliases belongs to the server that its state key names");
		return NULL;
	}
	if (mx_str_eq(c->type, MX_S("m.room.member")))
		return mx_check_member(c);
	MX_TRY(not_joined(c));
	if (mx_str_eq(c->type, MX_S("m.room.third_party_invite")))
		return check_third_party_invite_event(c);
	MX_TRY(check_power(c));
	if (ev->state && c->target.n != 0 && c->target.p[0] == '@' &&
	    !mx_str_eq(c->target, c->sender))
		return MX_REFUSE("state with the key %.*s may be set by that user alone",
				 MX_SFMT(c->target));
	if (mx_str_eq(c->type, MX_S("m.room.power_levels")))
		return mx_check_power_levels(c);
	if (c->version->redaction_needs_power && mx_str_eq(c->type, MX_S("m.room.redaction")))
		return check_redaction(c);
	return NULL;
}

mx_error *
mx_rules_check(const struct mx_event *ev, const struct mx_rules_state *state)
{
	MX_AUTO(mx_power) *parsed = NULL;
	struct mx_check c = { .ev = ev,
			      .version = ev->version,
			      .state = state,
			      .power = state->power,
			      .type = mx_event_type(ev),
			      .sender = mx_event_sender(ev),
			      .target = mx_event_state_key(ev) };

	if (mx_str_eq(c.type, MX_S("m.room.create")))
		return check_create(ev);
	c.create = state->get(state->arg, MX_S("m.room.create"), EMPTY);
	if (c.create == NULL)
		return MX_REFUSE("the room has no m.room.create");
	MX_TRY(check_room(ev, c.create));
	if (c.power == NULL) {
		parsed = mx_power_parse(state->get(state->arg, MX_S("m.room.power_levels"), EMPTY),
					c.create);
		c.power = parsed;
	}
	return check_other(&c);
}

bool
mx_rules_redaction_applies(const struct mx_event *redaction, const struct mx_event *target,
			   const struct mx_power *power)
{
	mx_str sender = mx_event_sender(redaction);

	if (redaction->version->redaction_needs_power)
		return true;	/* the rules have looked at it */
	return mx_power_of_user(power, sender) >= power->level[MX_POWER_REDACT] ||
	       mx_str_eq(mx_id_server_of(sender), mx_id_server_of(mx_event_sender(target)));
}
