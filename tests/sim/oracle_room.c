/* What a state says of a room, besides the authorisation rules. */
#include "config.h"

#include <ctype.h>
#include <string.h>

#include "tests/sim/oracle_private.h"

/* Appendices, "Glob-style matching"; of server names, without regard to case. */
static bool
matches(const char *glob, const char *s)
{
	if (*glob == 0)
		return *s == 0;
	if (*glob == '*')
		return matches(glob + 1, s) || (*s != 0 && matches(glob, s + 1));
	return *s != 0 && (*glob == '?' || tolower((unsigned char)*glob) == tolower((unsigned char)*s)) &&
	       matches(glob + 1, s + 1);
}

static bool
any_matches(const json_t *list, const char *server)
{
	const json_t *one;
	size_t i;

	json_array_foreach ((json_t *)list, i, one)
		if (json_is_string(one) && matches(json_string_value(one), server))
			return true;
	return false;
}

/* Client-Server API, "m.room.server_acl", step by step; names here are neither IP literals nor have
 * ports. */
bool
oracle_acl_allows(struct oracle *o, const struct oracle_state *s, const char *server)
{
	int e = oracle_at(s, oracle_key(o, "m.room.server_acl", ""));

	if (e == ORACLE_NONE)
		return true;
	if (any_matches(json_object_get(o->v[e].content, "deny"), server))
		return false;
	return any_matches(json_object_get(o->v[e].content, "allow"), server);
}

int
oracle_invites(struct oracle *o, const struct oracle_state *s, struct oracle_invite *out, int room)
{
	int n = 0;

	for (int k = 0; k < s->n && n < room; k++)
		if (s->v[k] != ORACLE_NONE &&
		    strcmp(o->keys[k].type, "m.room.third_party_invite") == 0)
			out[n++] = (struct oracle_invite){ o->keys[k].name, o->v[s->v[k]].sender };
	return n;
}
