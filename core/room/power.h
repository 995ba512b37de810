/* Power levels: m.room.power_levels, parsed once and shared by whoever authorises in that state.
 * Reference-counted and immutable. It also keeps what the create event says about rank and
 * federation, so that a message is authorised with this and the sender's membership alone.
 * Client-Server API, "m.room.power_levels"; room version 12, "Authorisation rules". */
#ifndef CORE_ROOM_POWER_H
#define CORE_ROOM_POWER_H

#include "core/room/event_private.h"

#define MX_POWER_CREATOR INT64_MAX	/* the level of a creator in version 12: greater than any integer */

enum mx_power_level {
	MX_POWER_BAN,
	MX_POWER_EVENTS_DEFAULT,
	MX_POWER_INVITE,
	MX_POWER_KICK,
	MX_POWER_REDACT,
	MX_POWER_STATE_DEFAULT,
	MX_POWER_USERS_DEFAULT,
	MX_POWER_LEVELS,	/* how many there are */
};

struct mx_power_entry {
	mx_str key;
	int64_t level;
};

struct mx_power {
	_Atomic uint32_t refs;
	int64_t level[MX_POWER_LEVELS];	/* with the defaults filled in */
	bool has[MX_POWER_LEVELS];	/* whether the event says so itself */
	bool has_event;			/* there is an m.room.power_levels event */
	bool federate;			/* the create event does not say m.federate: false */
	mx_str creator;			/* the sender of the create event, or content.creator where versions have that */
	mx_str creator_server;		/* the create event's sender's */
	size_t users_n, events_n, notifications_n, creators_n;
	struct mx_power_entry *users, *events, *notifications;	/* sorted by key */
	mx_str *creators;		/* version 12: sorted; otherwise none */
};

/* levels: the m.room.power_levels event, or NULL for none; create: the m.room.create event. What an
 * accepted event cannot hold counts as absent. Copies what it keeps. The caller owns one reference.
 */
struct mx_power *mx_power_parse(const struct mx_event *levels, const struct mx_event *create);
/* The same from the content of a power levels event that is not accepted yet: MX_E_FORBIDDEN when
 * it breaks the grammar of its version (a level that is no integer, a user id that is none). */
mx_error *mx_power_parse_content(mx_str content, const struct mx_event *create,
				 struct mx_power **out) MX_MUST_USE;
/* Whether the levels in this content are written as integers, as every version reads them: older
 * versions take other forms as well, which nobody should make. */
bool mx_power_plain(mx_str content);
struct mx_power *mx_power_ref(struct mx_power *p);
void mx_power_unref(struct mx_power **p);
static inline void mx_power_auto(struct mx_power **p) { mx_power_unref(p); }

/* The user's level; MX_POWER_CREATOR for a creator in version 12. */
int64_t mx_power_of_user(const struct mx_power *p, mx_str user);
/* What it takes to send an event of this type. */
int64_t mx_power_for_event(const struct mx_power *p, mx_str type, bool state);
int64_t mx_power_for_notification(const struct mx_power *p, mx_str key);	/* 50 unless set */
bool mx_power_is_creator(const struct mx_power *p, mx_str user);	/* of version 12 */

#endif
