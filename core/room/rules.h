/* The authorisation rules: whether an event may stand in a state. Pure: what it needs of the state
 * it asks for, by a callback. Room Versions, "Authorisation rules"; Server-Server API,
 * "Authorization rules", "Auth events selection". */
#ifndef CORE_ROOM_RULES_H
#define CORE_ROOM_RULES_H

#include "core/room/power.h"

/* A state to judge in. get returns the event at (type, key), borrowed until the check returns, or
 * NULL when there is none; key is empty, never NULL. Asked for m.room.create, it must know it in
 * every version (in 12 the room id names it). The keys asked for are those of mx_rules_auth_types,
 * m.room.create and nothing else: who may fail to load an event loads these first. */
struct mx_rules_state {
	const struct mx_event *(*get)(void *arg, mx_str type, mx_str key);
	void *arg;
	const struct mx_power *power;	/* of this state, when the caller has it parsed; NULL: parsed as needed */
};

/* NULL: allowed. MX_E_FORBIDDEN says which rule refuses, in words for people. Trusts that ev is
 * well-formed and that its signatures were checked (core/room/verify.h), that of the server of
 * content.join_authorised_via_users_server too. */
mx_error *mx_rules_check(const struct mx_event *ev, const struct mx_rules_state *state) MX_MUST_USE;

/* The rules about auth_events themselves: no two for one key, none that the selection does not
 * name, none rejected, the create event there (before version 12), all of one room. auth: the n
 * events that ev names. create: the room's create event. */
mx_error *mx_rules_check_auth_events(const struct mx_event *ev, const struct mx_event *create,
				     const struct mx_event *const *auth, size_t n) MX_MUST_USE;

/* A state made of a few events, for judging an event by its auth_events: zero, fill in, and use
 * mx_rules_state_of. */
struct mx_rules_events {
	const struct mx_event *const *v;
	size_t n;
	const struct mx_event *create;	/* found for m.room.create when v has none */
};
struct mx_rules_state mx_rules_state_of(const struct mx_rules_events *set);

/* Which state an event of this kind is judged by: its auth_events are those of these that exist. */
struct mx_auth_types {
	size_t n;
	struct {
		mx_str type, key;	/* borrowed from the arguments, constant, or in decoded */
	} v[8];
	char decoded[6 * MX_EVENT_MAX_FIELD];	/* so do not copy the struct */
};
/* content: of a membership event; may be NULL for other types. state_key.p NULL: a message. */
void mx_rules_auth_types(const struct mx_room_version *v, mx_str type, mx_str sender,
			 mx_str state_key, const json_t *content, struct mx_auth_types *out);
void mx_rules_auth_types_of(const struct mx_event *ev, struct mx_auth_types *out);
/* Whether it is of a type that may be selected at all. */
bool mx_rules_is_auth_type(const struct mx_event *ev);

/* Whether an m.room.redaction that the rules allow and whose target is known applies: its sender has
 * the power to redact, or is of the target's sender's server; where the rules themselves ask for
 * that, it always does. Room version 3, "Handling redactions". */
bool mx_rules_redaction_applies(const struct mx_event *redaction, const struct mx_event *target,
				const struct mx_power *power);

#endif
