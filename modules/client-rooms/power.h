/* The content of m.room.power_levels, as new rooms and upgraded ones get it. */
#ifndef CLIENT_ROOMS_POWER_H
#define CLIENT_ROOMS_POWER_H

#include "rooms.h"

enum { ROOMS_ADMIN = 100 };	/* the level of who makes a room, where levels are all there is */

/* What a new room of this version starts with: users without the creators where the version ranks
 * them above all. moderators only may invite when members_invite is false. The caller owns it. */
json_t *rooms_levels_new(const struct mx_room_version *v, mx_str creator, bool members_invite);
/* Puts user at this level, unless the version ranks it above all by itself: then call it not. */
void rooms_levels_set_user(json_t *levels, mx_str user, int64_t level);
/* Replaces the members of levels by those of over. */
void rooms_levels_override(json_t *levels, const json_t *over);
/* Whole numbers instead of the strings and fractions that old versions take. */
void rooms_levels_plain(json_t *levels);
/* Makes levels fit for a room of version v: whole numbers, and where creators rank above all, no
 * creator among the users and a tombstone that takes more than state_default. creators: a JSON array
 * of user ids. */
void rooms_levels_convert(json_t *levels, const struct mx_room_version *v, const json_t *creators);
/* The highest level that somebody needs who sets up all state and bans. */
int64_t rooms_levels_needed(const json_t *levels);

#endif
