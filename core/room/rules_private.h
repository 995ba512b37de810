/* What the files of the rules share: one check, in progress. */
#ifndef CORE_ROOM_RULES_PRIVATE_H
#define CORE_ROOM_RULES_PRIVATE_H

#include "core/room/rules.h"
#include "core/room/scan.h"

struct mx_check {
	const struct mx_event *ev, *create;
	const struct mx_room_version *version;
	const struct mx_rules_state *state;
	const struct mx_power *power;
	mx_str type, sender, target;	/* target: the state key */
};

#define MX_REFUSE(...) mx_error_new(MX_E_FORBIDDEN, __VA_ARGS__)

/* The membership of a user in the state. */
enum mx_membership mx_check_membership(const struct mx_check *c, mx_str user);
/* m.room.member; rules 5 of version 12, and what they are elsewhere. */
mx_error *mx_check_member(const struct mx_check *c) MX_MUST_USE;
/* m.room.power_levels, once its sender may send it. */
mx_error *mx_check_power_levels(const struct mx_check *c) MX_MUST_USE;
/* The signatures in an invite that came from a third-party invite. */
mx_error *mx_check_third_party(const struct mx_check *c, mx_str invite) MX_MUST_USE;

/* A member of content that is a user id, decoded into buf. */
#define MX_CHECK_BUF (MX_EVENT_MAX_FIELD + 1)

/* A level as people read it. */
const char *mx_check_level(int64_t level, char buf[24]);

#endif
