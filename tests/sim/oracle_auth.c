/* The authorisation rules, one page for all versions: each rule says from which version on, or up
 * to which, it is one. */
#include "config.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/oracle_private.h"

#define CREATOR HUGE_VALL /* version 12: infinitely high */

static bool
same(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static const char *
text(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

const char *
oracle_domain(const char *id)
{
	const char *colon = id != NULL ? strchr(id, ':') : NULL;

	return colon != NULL ? colon + 1 : NULL;
}

/* Appendices, "User identifiers": also those that older servers made. */
static bool
is_user_id(const char *s)
{
	const char *domain = oracle_domain(s);

	return s != NULL && s[0] == '@' && strlen(s) <= 255 && domain != NULL && domain[0] != 0 &&
	       strspn(domain,
		      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]") ==
		       strlen(domain);
}

/* ---- levels ---- */

/* Deprecated formats of levels: strings up to version 9, floats up to version 5. */
static bool
level_of(int version, const json_t *v, oracle_level *out)
{
	const char *s = json_string_value(v);
	char *end;

	if (json_is_integer(v)) {
		*out = (oracle_level)json_integer_value(v);
		return true;
	}
	if (version < 6 && json_is_real(v)) {
		*out = truncl((oracle_level)json_real_value(v));
		return true;
	}
	if (version >= 10 || s == NULL)
		return false;
	s += strspn(s, " \t\n\v\f\r");
	end = (char *)s;
	if (*end == '-' || *end == '+')
		end++;
	if (strspn(end, "0123456789") == 0)
		return false;
	end += strspn(end, "0123456789");
	if (end[strspn(end, " \t\n\v\f\r")] != 0)
		return false;
	*out = strtold(s, NULL);
	return true;
}

static bool
member_level(struct oracle *o, const json_t *object, const char *key, oracle_level *out)
{
	const json_t *v = json_object_get(object, key);

	return v != NULL && level_of(o->version, v, out);
}

bool
oracle_rule_level(struct oracle *o, int levels, const char *name, oracle_level *out)
{
	return levels != ORACLE_NONE && member_level(o, o->v[levels].content, name, out);
}

static oracle_level
rule_level(struct oracle *o, int levels, const char *name, oracle_level otherwise)
{
	oracle_level l;

	return oracle_rule_level(o, levels, name, &l) ? l : otherwise;
}

static const char *
creator_of(struct oracle *o)
{
	if (o->create == ORACLE_NONE)
		return NULL;
	return o->version <= 10 ? text(o->v[o->create].content, "creator") : o->v[o->create].sender;
}

static bool
is_creator(struct oracle *o, const char *user)
{
	const json_t *more, *one;
	size_t i;

	if (o->version < 12 || o->create == ORACLE_NONE)
		return false;
	if (same(o->v[o->create].sender, user))
		return true;
	more = json_object_get(o->v[o->create].content, "additional_creators");
	json_array_foreach ((json_t *)more, i, one)
		if (same(json_string_value(one), user))
			return true;
	return false;
}

oracle_level
oracle_user_level(struct oracle *o, int levels, const char *user)
{
	oracle_level l;

	if (is_creator(o, user))
		return CREATOR;
	if (levels == ORACLE_NONE)
		return o->version < 12 && same(creator_of(o), user) ? 100 : 0;
	if (member_level(o, json_object_get(o->v[levels].content, "users"), user, &l))
		return l;
	return rule_level(o, levels, "users_default", 0);
}

static oracle_level
required_level(struct oracle *o, int levels, int e)
{
	oracle_level l;

	if (levels != ORACLE_NONE &&
	    member_level(o, json_object_get(o->v[levels].content, "events"), o->v[e].type, &l))
		return l;
	return o->v[e].state_key != NULL ? rule_level(o, levels, "state_default", 50)
					 : rule_level(o, levels, "events_default", 0);
}

/* ---- auth events selection ---- */

bool
oracle_selects(struct oracle *o, const char *type, const char *sender, const char *state_key,
	       const json_t *content, const char *auth_type, const char *auth_key)
{
	const char *membership = text(content, "membership");

	if (same(type, "m.room.create"))
		return false;
	if (same(auth_type, "m.room.create") && auth_key[0] == 0)
		return o->version < 12;
	if (same(auth_type, "m.room.power_levels") && auth_key[0] == 0)
		return true;
	if (same(auth_type, "m.room.member") && same(auth_key, sender))
		return true;
	if (!same(type, "m.room.member"))
		return false;
	if (same(auth_type, "m.room.member") && same(auth_key, state_key))
		return true;
	if (same(auth_type, "m.room.join_rules") && auth_key[0] == 0)
		return same(membership, "join") || same(membership, "invite") ||
		       same(membership, "knock");
	if (same(auth_type, "m.room.third_party_invite"))
		return same(membership, "invite") &&
		       same(auth_key,
			    text(json_object_get(json_object_get(content, "third_party_invite"),
						 "signed"),
				 "token"));
	return o->version >= 8 && same(membership, "join") && same(auth_type, "m.room.member") &&
	       same(auth_key, text(content, "join_authorised_via_users_server"));
}

/* ---- m.room.create ---- */

static bool
allows_create(struct oracle *o, int e)
{
	const struct oracle_event *ev = &o->v[e];
	const json_t *version = json_object_get(ev->content, "room_version");
	const json_t *more = json_object_get(ev->content, "additional_creators"), *one;
	static const char *const known[] = { "1", "2", "3", "4",  "5",	"6",
					     "7", "8", "9", "10", "11", "12" };
	bool recognised = version == NULL;
	size_t i;

	if (ev->prev_n != 0)
		return false;
	if (o->version >= 12
		    ? json_object_get(ev->json, "room_id") != NULL
		    : !same(oracle_domain(text(ev->json, "room_id")), oracle_domain(ev->sender)))
		return false;
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		recognised = recognised || same(json_string_value(version), known[i]);
	if (!recognised)
		return false;
	if (o->version <= 10 && json_object_get(ev->content, "creator") == NULL)
		return false;
	if (o->version >= 12 && more != NULL) {
		if (!json_is_array(more))
			return false;
		json_array_foreach ((json_t *)more, i, one)
			if (!is_user_id(json_string_value(one)))
				return false;
	}
	return true;
}

/* ---- m.room.member ---- */

struct judge {
	struct oracle *o;
	const struct oracle_lookup *l;
	const struct oracle_event *ev;
	int levels;
};

static const char *
membership(const struct judge *j, const char *user)
{
	int e = user != NULL ? oracle_look(j->o, j->l, "m.room.member", user) : ORACLE_NONE;

	return e != ORACLE_NONE ? text(j->o->v[e].content, "membership") : NULL;
}

static const char *
join_rule(const struct judge *j)
{
	int e = oracle_look(j->o, j->l, "m.room.join_rules", "");

	return e != ORACLE_NONE ? text(j->o->v[e].content, "join_rule") : NULL;
}

static oracle_level
level(const struct judge *j, const char *user)
{
	return oracle_user_level(j->o, j->levels, user);
}

static bool
allows_join(const struct judge *j)
{
	struct oracle *o = j->o;
	const struct oracle_event *ev = j->ev;
	const char *now = membership(j, ev->state_key), *rule = join_rule(j), *voucher;
	bool welcome = same(now, "invite") || same(now, "join");

	if (ev->prev_n == 1 && ev->prev[0] != ORACLE_NONE &&
	    oracle_is_type(o, ev->prev[0], "m.room.create", "") &&
	    same(ev->state_key, creator_of(o)))
		return true;
	if (!same(ev->sender, ev->state_key) || same(now, "ban"))
		return false;
	if (same(rule, "invite") || (o->version >= 7 && same(rule, "knock")))
		return welcome;
	if ((o->version >= 8 && same(rule, "restricted")) ||
	    (o->version >= 10 && same(rule, "knock_restricted"))) {
		voucher = text(ev->content, "join_authorised_via_users_server");
		return welcome || (same(membership(j, voucher), "join") &&
				   level(j, voucher) >= rule_level(o, j->levels, "invite", 0));
	}
	return same(rule, "public");
}

/* Any signature in `signed` by any of the keys. */
static bool
signed_by(const json_t *object, const char *key)
{
	unsigned char public_key[crypto_sign_PUBLICKEYBYTES + 1], signature[crypto_sign_BYTES + 1];
	json_t *copy = json_copy((json_t *)object), *of_server, *one;
	const char *server, *key_id;
	size_t n;
	char *bytes;
	bool good = false;

	json_object_del(copy, "signatures");
	json_object_del(copy, "unsigned");
	bytes = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS);
	if (key != NULL &&
	    (sodium_base642bin(public_key, sizeof(public_key), key, strlen(key), "=", &n, NULL,
			       sodium_base64_VARIANT_ORIGINAL_NO_PADDING) == 0 ||
	     sodium_base642bin(public_key, sizeof(public_key), key, strlen(key), "=", &n, NULL,
			       sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0) &&
	    n == crypto_sign_PUBLICKEYBYTES)
		json_object_foreach (json_object_get(object, "signatures"), server, of_server)
			json_object_foreach (of_server, key_id, one) {
				const char *s = json_string_value(one);

				if (s != NULL && strncmp(key_id, "ed25519:", 8) == 0 &&
				    sodium_base642bin(
					    signature, sizeof(signature), s, strlen(s), "=", &n,
					    NULL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING) == 0 &&
				    n == crypto_sign_BYTES &&
				    crypto_sign_verify_detached(signature, (unsigned char *)bytes,
								strlen(bytes), public_key) == 0)
					good = true;
			}
	free(bytes);
	json_decref(copy);
	return good;
}

static bool
allows_third_party(const struct judge *j, const json_t *invite)
{
	const json_t *object = json_object_get(invite, "signed"), *content, *one;
	const char *token = text(object, "token");
	size_t i;
	int e;

	if (same(membership(j, j->ev->state_key), "ban"))
		return false;
	if (object == NULL || token == NULL || !same(text(object, "mxid"), j->ev->state_key))
		return false;
	e = oracle_look(j->o, j->l, "m.room.third_party_invite", token);
	if (e == ORACLE_NONE || !same(j->o->v[e].sender, j->ev->sender))
		return false;
	content = j->o->v[e].content;
	if (signed_by(object, text(content, "public_key")))
		return true;
	json_array_foreach (json_object_get(content, "public_keys"), i, one)
		if (signed_by(object, text(one, "public_key")))
			return true;
	return false;
}

static bool
allows_invite(const struct judge *j)
{
	const json_t *third = json_object_get(j->ev->content, "third_party_invite");
	const char *now = membership(j, j->ev->state_key);

	if (third != NULL)
		return allows_third_party(j, third);
	if (!same(membership(j, j->ev->sender), "join"))
		return false;
	if (same(now, "join") || same(now, "ban"))
		return false;
	return level(j, j->ev->sender) >= rule_level(j->o, j->levels, "invite", 0);
}

static bool
allows_leave(const struct judge *j)
{
	const char *now = membership(j, j->ev->state_key);
	oracle_level mine = level(j, j->ev->sender);

	if (same(j->ev->sender, j->ev->state_key))
		return same(now, "invite") || same(now, "join") ||
		       (j->o->version >= 7 && same(now, "knock"));
	if (!same(membership(j, j->ev->sender), "join"))
		return false;
	if (same(now, "ban") && mine < rule_level(j->o, j->levels, "ban", 50))
		return false;
	return mine >= rule_level(j->o, j->levels, "kick", 50) && level(j, j->ev->state_key) < mine;
}

static bool
allows_ban(const struct judge *j)
{
	oracle_level mine = level(j, j->ev->sender);

	return same(membership(j, j->ev->sender), "join") &&
	       mine >= rule_level(j->o, j->levels, "ban", 50) && level(j, j->ev->state_key) < mine;
}

static bool
allows_knock(const struct judge *j)
{
	const char *rule = join_rule(j), *now = membership(j, j->ev->sender);

	if (!same(rule, "knock") && (j->o->version < 10 || !same(rule, "knock_restricted")))
		return false;
	return same(j->ev->sender, j->ev->state_key) && !same(now, "ban") && !same(now, "invite") &&
	       !same(now, "join");
}

static bool
allows_member(const struct judge *j)
{
	const char *m = text(j->ev->content, "membership");

	if (j->ev->state_key == NULL || m == NULL)
		return false;
	if (j->o->version >= 8 && !j->ev->vouched)
		return false;
	if (same(m, "join"))
		return allows_join(j);
	if (same(m, "invite"))
		return allows_invite(j);
	if (same(m, "leave"))
		return allows_leave(j);
	if (same(m, "ban"))
		return allows_ban(j);
	return j->o->version >= 7 && same(m, "knock") && allows_knock(j);
}

/* ---- m.room.power_levels ---- */

static const char *const named_levels[] = { "users_default", "events_default", "state_default",
					    "ban",	     "redact",	       "kick",
					    "invite" };
#define NAMED (sizeof(named_levels) / sizeof(named_levels[0]))

/* An object whose values are all levels; absent counts as empty. */
static bool
is_level_map(struct oracle *o, const json_t *object)
{
	const char *key;
	json_t *value;
	oracle_level l;

	if (object != NULL && !json_is_object(object))
		return false;
	json_object_foreach ((json_t *)object, key, value)
		if (!level_of(o->version, value, &l))
			return false;
	return true;
}

static bool
good_levels(struct oracle *o, const json_t *content)
{
	const json_t *users = json_object_get(content, "users");
	const char *user;
	json_t *value;
	oracle_level l;

	if (o->version >= 10) {
		for (size_t i = 0; i < NAMED; i++)
			if (json_object_get(content, named_levels[i]) != NULL &&
			    !member_level(o, content, named_levels[i], &l))
				return false;
		if (!is_level_map(o, json_object_get(content, "events")) ||
		    !is_level_map(o, json_object_get(content, "notifications")))
			return false;
	}
	if (!is_level_map(o, users))
		return false;
	json_object_foreach ((json_t *)users, user, value)
		if (!is_user_id(user) || is_creator(o, user))
			return false;
	return true;
}

/* One entry of an object of levels, as it was and as it is to be. */
struct entry {
	const char *key;
	bool had, has;
	oracle_level was, is;
};

static struct entry
entry_of(struct oracle *o, const json_t *old, const json_t *new, const char *key)
{
	struct entry e = { .key = key };

	e.had = member_level(o, old, key, &e.was);
	e.has = member_level(o, new, key, &e.is);
	return e;
}

static bool
changes(const struct entry *e)
{
	return e->had != e->has || (e->had && e->was != e->is);
}

static bool
may_change(const struct entry *e, oracle_level mine)
{
	return !changes(e) || ((!e->had || e->was <= mine) && (!e->has || e->is <= mine));
}

static bool
may_change_users(const struct entry *e, oracle_level mine, const char *sender)
{
	if (!changes(e))
		return true;
	if (e->had && !same(e->key, sender) && e->was >= mine)
		return false;
	return !e->has || e->is <= mine;
}

static bool
may_change_all(const struct judge *j, const char *name, oracle_level mine)
{
	const json_t *old = json_object_get(j->o->v[j->levels].content, name),
		     *new = json_object_get(j->ev->content, name);
	const json_t *both[] = { old, new };
	bool users = same(name, "users");
	const char *key;
	json_t *value;

	for (int i = 0; i < 2; i++)
		json_object_foreach ((json_t *)both[i], key, value) {
			struct entry e = entry_of(j->o, old, new, key);

			if (users ? !may_change_users(&e, mine, j->ev->sender)
				  : !may_change(&e, mine))
				return false;
		}
	return true;
}

static bool
allows_levels(const struct judge *j)
{
	oracle_level mine = level(j, j->ev->sender);

	if (!good_levels(j->o, j->ev->content))
		return false;
	if (j->levels == ORACLE_NONE)
		return true;
	for (size_t i = 0; i < NAMED; i++) {
		struct entry e =
			entry_of(j->o, j->o->v[j->levels].content, j->ev->content, named_levels[i]);

		if (!may_change(&e, mine))
			return false;
	}
	return may_change_all(j, "events", mine) &&
	       (j->o->version < 6 || may_change_all(j, "notifications", mine)) &&
	       may_change_all(j, "users", mine);
}

/* ---- all ---- */

static bool
allows_redaction(const struct judge *j)
{
	const char *redacts = text(j->ev->json, "redacts");

	return level(j, j->ev->sender) >= rule_level(j->o, j->levels, "redact", 50) ||
	       same(oracle_domain(redacts), oracle_domain(j->ev->id));
}

bool
oracle_rules(struct oracle *o, int e, const struct oracle_lookup *l)
{
	const struct oracle_event *ev = &o->v[e];
	struct judge j = { .o = o, .l = l, .ev = ev };
	int create;

	if (same(ev->type, "m.room.create"))
		return allows_create(o, e);
	create = o->version >= 12 ? o->create : oracle_look(o, l, "m.room.create", "");
	if (create == ORACLE_NONE)
		return false;
	j.levels = oracle_look(o, l, "m.room.power_levels", "");
	if (json_is_false(json_object_get(o->v[create].content, "m.federate")) &&
	    !same(oracle_domain(ev->sender), oracle_domain(o->v[create].sender)))
		return false;
	if (o->version <= 5 && same(ev->type, "m.room.aliases"))
		return ev->state_key != NULL && same(oracle_domain(ev->sender), ev->state_key);
	if (same(ev->type, "m.room.member"))
		return allows_member(&j);
	if (!same(membership(&j, ev->sender), "join"))
		return false;
	if (same(ev->type, "m.room.third_party_invite"))
		return level(&j, ev->sender) >= rule_level(o, j.levels, "invite", 0);
	if (required_level(o, j.levels, e) > level(&j, ev->sender))
		return false;
	if (ev->state_key != NULL && ev->state_key[0] == '@' && !same(ev->state_key, ev->sender))
		return false;
	if (same(ev->type, "m.room.power_levels"))
		return allows_levels(&j);
	if (o->version <= 2 && same(ev->type, "m.room.redaction"))
		return allows_redaction(&j);
	return true;
}

bool
oracle_allows(struct oracle *o, int e, const struct oracle_state *s)
{
	struct oracle_lookup l = { s, ORACLE_NONE };

	(void)oracle_link(o, e);
	return oracle_rules(o, e, &l);
}

bool
oracle_names_well(struct oracle *o, int e)
{
	const struct oracle_event *ev = &o->v[e];

	for (int i = 0; i < ev->auth_n; i++) {
		const struct oracle_event *a = &o->v[ev->auth[i]];

		for (int k = 0; k < i; k++)
			if (o->v[ev->auth[k]].key == a->key)
				return false;
		if (a->state_key == NULL || !oracle_selects(o, ev->type, ev->sender, ev->state_key,
							    ev->content, a->type, a->state_key))
			return false;
	}
	return true;
}

static bool
good_auth_events(struct oracle *o, int e)
{
	const struct oracle_event *ev = &o->v[e];
	bool create = false;

	if (!oracle_names_well(o, e))
		return false;
	for (int i = 0; i < ev->auth_n; i++) {
		const struct oracle_event *a = &o->v[ev->auth[i]];

		if (oracle_judge(o, ev->auth[i]) != ORACLE_ALLOWED)
			return false;
		if (!same(text(a->json, "room_id"), text(ev->json, "room_id")))
			return false;
		create = create || oracle_is_type(o, ev->auth[i], "m.room.create", "");
	}
	return o->version >= 12 || create;
}

/* Version 12: the room id names an accepted m.room.create. */
static bool
good_room(struct oracle *o, int e)
{
	const char *room = text(o->v[e].json, "room_id");

	return o->version < 12 || (o->create != ORACLE_NONE && room != NULL && room[0] == '!' &&
				   same(room + 1, o->v[o->create].id + 1) &&
				   oracle_judge(o, o->create) == ORACLE_ALLOWED);
}

bool
oracle_allows_by_auth_events(struct oracle *o, int e)
{
	struct oracle_lookup l = { NULL, e };

	if (!same(o->v[e].type, "m.room.create") && (!good_room(o, e) || !good_auth_events(o, e)))
		return false;
	return oracle_rules(o, e, &l);
}

bool
oracle_redacts(struct oracle *o, int redaction, int target)
{
	const struct oracle_state *s;
	struct oracle_lookup l;
	oracle_level redact;
	int levels;

	if (!oracle_before(o, redaction, &s))
		return false;
	if (o->version <= 2)
		return true; /* the auth rules have said so */
	l = (struct oracle_lookup){ s, ORACLE_NONE };
	levels = oracle_look(o, &l, "m.room.power_levels", "");
	if (!oracle_rule_level(o, levels, "redact", &redact))
		redact = 50;
	return oracle_user_level(o, levels, o->v[redaction].sender) >= redact ||
	       same(oracle_domain(o->v[redaction].sender), oracle_domain(o->v[target].sender));
}
