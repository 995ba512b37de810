/* Who may be what in a room: joining, inviting, leaving, kicking, banning, knocking. */
#include "config.h"

#include "core/room/rules_private.h"

static const mx_str EMPTY = { "", 0 };

enum join_rule {
	RULE_OTHER,	/* none, private, or what we do not know: nobody joins */
	RULE_PUBLIC,
	RULE_INVITE,
	RULE_KNOCK,
	RULE_RESTRICTED,
	RULE_KNOCK_RESTRICTED,
};

static enum join_rule
join_rule(const struct mx_check *c)
{
	const struct mx_event *ev = c->state->get(c->state->arg, MX_S("m.room.join_rules"), EMPTY);
	mx_str value, rule;

	if (ev == NULL || !mx_scan_find(mx_event_content(ev), MX_S("join_rule"), &value) ||
	    !mx_scan_string(value, &rule))
		return RULE_OTHER;
	if (mx_str_eq(rule, MX_S("public")))
		return RULE_PUBLIC;
	if (mx_str_eq(rule, MX_S("invite")))
		return RULE_INVITE;
	if (c->version->join_knock && mx_str_eq(rule, MX_S("knock")))
		return RULE_KNOCK;
	if (c->version->join_restricted && mx_str_eq(rule, MX_S("restricted")))
		return RULE_RESTRICTED;
	if (c->version->join_knock_restricted && mx_str_eq(rule, MX_S("knock_restricted")))
		return RULE_KNOCK_RESTRICTED;
	return RULE_OTHER;
}

static mx_error *
need_level(const struct mx_check *c, enum mx_power_level which, const char *doing)
{
	int64_t needed = c->power->level[which], has = mx_power_of_user(c->power, c->sender);
	char a[24], b[24];

	if (has >= needed)
		return NULL;
	return MX_REFUSE("%s needs power %s, you have %s", doing, mx_check_level(needed, a),
			 mx_check_level(has, b));
}

static mx_error *
need_joined(const struct mx_check *c)
{
	if (mx_check_membership(c, c->sender) == MX_MEMBER_JOIN)
		return NULL;
	return MX_REFUSE("you are not in this room");
}

static mx_error *
need_rank(const struct mx_check *c, const char *doing)
{
	if (mx_power_of_user(c->power, c->target) < mx_power_of_user(c->power, c->sender))
		return NULL;
	return MX_REFUSE("you may not %s somebody whose power is not below yours", doing);
}

/* ---- join ---- */

static bool
is_first_join(const struct mx_check *c)
{
	struct mx_event_ids prev = mx_event_prev(c->ev);
	mx_str id;

	return c->power->creator.n > 0 && mx_str_eq(c->target, c->power->creator) &&
	       mx_event_ids_next(&prev, &id) &&
	       mx_str_eq(id, mx_event_id(c->create)) && !mx_event_ids_next(&prev, &id);
}

/* The user whom content.join_authorised_via_users_server names. */
static mx_error *
check_authoriser(const struct mx_check *c)
{
	char buf[MX_CHECK_BUF];
	mx_str user;

	if (!mx_scan_find_str(mx_event_content(c->ev), MX_S("join_authorised_via_users_server"),
			      buf, sizeof(buf), &user))
		return MX_REFUSE(
			"you are not invited, and no user of the room vouches for your join");
	if (mx_check_membership(c, user) != MX_MEMBER_JOIN)
		return MX_REFUSE("the user who vouches for the join is not in the room");
	if (mx_power_of_user(c->power, user) < c->power->level[MX_POWER_INVITE])
		return MX_REFUSE("the user who vouches for the join may not invite");
	return NULL;
}

static mx_error *
check_join(const struct mx_check *c)
{
	enum mx_membership now = mx_check_membership(c, c->target);
	bool welcome = now == MX_MEMBER_INVITE || now == MX_MEMBER_JOIN;

	if (is_first_join(c))
		return NULL;
	if (!mx_str_eq(c->sender, c->target))
		return MX_REFUSE("nobody can join for somebody else");
	if (now == MX_MEMBER_BAN)
		return MX_REFUSE("you are banned from this room");
	switch (join_rule(c)) {
	case RULE_PUBLIC:
		return NULL;
	case RULE_INVITE:
	case RULE_KNOCK:
		return welcome ? NULL : MX_REFUSE("you are not invited to this room");
	case RULE_RESTRICTED:
	case RULE_KNOCK_RESTRICTED:
		return welcome ? NULL : check_authoriser(c);
	case RULE_OTHER:
		break;
	}
	return MX_REFUSE("this room's join rule lets nobody join");
}

/* ---- invite, leave, ban, knock ---- */

static mx_error *
check_invite(const struct mx_check *c)
{
	enum mx_membership now = mx_check_membership(c, c->target);
	mx_str third_party;

	if (mx_scan_find(mx_event_content(c->ev), MX_S("third_party_invite"), &third_party)) {
		if (now == MX_MEMBER_BAN)
			return MX_REFUSE("%.*s is banned from this room", MX_SFMT(c->target));
		return mx_check_third_party(c, third_party);
	}
	MX_TRY(need_joined(c));
	if (now == MX_MEMBER_BAN)
		return MX_REFUSE("%.*s is banned from this room", MX_SFMT(c->target));
	if (now == MX_MEMBER_JOIN)
		return MX_REFUSE("%.*s is already in this room", MX_SFMT(c->target));
	return need_level(c, MX_POWER_INVITE, "inviting");
}

static mx_error *
check_leave(const struct mx_check *c)
{
	enum mx_membership now = mx_check_membership(c, c->target);

	if (mx_str_eq(c->sender, c->target)) {
		if (now == MX_MEMBER_INVITE || now == MX_MEMBER_JOIN ||
		    (c->version->join_knock && now == MX_MEMBER_KNOCK))
			return NULL;
		if (now == MX_MEMBER_BAN)
			return MX_REFUSE("you are banned from this room");
		return MX_REFUSE("you are not in this room");
	}
	MX_TRY(need_joined(c));
	if (now == MX_MEMBER_BAN)
		MX_TRY(need_level(c, MX_POWER_BAN, "lifting a ban"));
	MX_TRY(need_level(c, MX_POWER_KICK, now == MX_MEMBER_BAN ? "lifting a ban" : "kicking"));
	return need_rank(c, "kick");
}

static mx_error *
check_ban(const struct mx_check *c)
{
	MX_TRY(need_joined(c));
	MX_TRY(need_level(c, MX_POWER_BAN, "banning"));
	return need_rank(c, "ban");
}

static mx_error *
check_knock(const struct mx_check *c)
{
	enum join_rule rule = join_rule(c);

	if (rule != RULE_KNOCK && rule != RULE_KNOCK_RESTRICTED)
		return MX_REFUSE("this room does not take knocks");
	if (!mx_str_eq(c->sender, c->target))
		return MX_REFUSE("nobody can knock for somebody else");
	switch (mx_check_membership(c, c->sender)) {
	case MX_MEMBER_BAN:
		return MX_REFUSE("you are banned from this room");
	case MX_MEMBER_INVITE:
		return MX_REFUSE("you are invited to this room already");
	case MX_MEMBER_JOIN:
		return MX_REFUSE("you are in this room already");
	case MX_MEMBER_KNOCK:
	case MX_MEMBER_LEAVE:
	case MX_MEMBER_NONE:
		break;
	}
	return NULL;
}

/* The key must name somebody: whether its server has signed was checked with the other signatures. */
static mx_error *
check_named_authoriser(const struct mx_check *c)
{
	char buf[MX_CHECK_BUF];
	mx_str value, user;

	if (!mx_scan_find(mx_event_content(c->ev), MX_S("join_authorised_via_users_server"),
			  &value))
		return NULL;
	if (mx_scan_find_str(mx_event_content(c->ev), MX_S("join_authorised_via_users_server"), buf,
			     sizeof(buf), &user) &&
	    mx_id_user(user, NULL, NULL))
		return NULL;
	return MX_REFUSE("join_authorised_via_users_server is not a user id");
}

mx_error *
mx_check_member(const struct mx_check *c)
{
	if (!c->ev->state)
		return MX_REFUSE("m.room.member needs a state key");
	if (c->ev->unvouched)
		return MX_REFUSE("the server of the user who vouches for the join has not signed it");
	if (c->version->join_restricted)
		MX_TRY(check_named_authoriser(c));
	switch (mx_event_membership(c->ev)) {
	case MX_MEMBER_JOIN:
		return check_join(c);
	case MX_MEMBER_INVITE:
		return check_invite(c);
	case MX_MEMBER_LEAVE:
		return check_leave(c);
	case MX_MEMBER_BAN:
		return check_ban(c);
	case MX_MEMBER_KNOCK:
		if (c->version->join_knock)
			return check_knock(c);
		break;
	case MX_MEMBER_NONE:
		break;
	}
	return MX_REFUSE("m.room.member with no membership that this room version knows");
}
