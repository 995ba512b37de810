#include "config.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/acts.h"

static char *
copy(const char *s)
{
	char *c = strdup(s);

	if (c == NULL)
		abort();
	return c;
}

static const char *
anybody(struct dice *d, const struct cast *c)
{
	return c->users[dice_roll(d, (unsigned)c->users_n)];
}

static void
say(struct act *a, const struct cast *c)
{
	a->type = "m.room.message";
	a->content = json_pack("{s:s, s:i}", "msgtype", "m.text", "n", c->serial);
}

static void
name_something(struct dice *d, struct act *a, const struct cast *c)
{
	static const char *const types[] = { "m.room.topic", "m.room.name",
					     "m.room.history_visibility", "org.example.tag" };
	static const char *const visible[] = { "shared", "invited", "joined", "world_readable" };

	a->type = types[dice_roll(d, 4)];
	a->state_key = copy("");
	if (strcmp(a->type, "m.room.history_visibility") == 0)
		a->content = json_pack("{s:s}", "history_visibility", visible[dice_roll(d, 4)]);
	else
		a->content = json_pack("{s:i}", "name", c->serial);
	if (strcmp(a->type, "org.example.tag") == 0) {
		free(a->state_key);
		a->state_key = copy(dice_percent(d, 30) ? anybody(d, c) : "tag");
	}
}

static void
membership(struct act *a, const char *whom, const char *what)
{
	a->type = "m.room.member";
	a->state_key = copy(whom);
	a->content = json_pack("{s:s}", "membership", what);
}

static void
join_with_voucher(struct dice *d, struct act *a, const struct cast *c)
{
	membership(a, a->sender, "join");
	json_object_set_new(a->content, "join_authorised_via_users_server",
			    json_string(anybody(d, c)));
}

static void
join_rules(struct dice *d, struct act *a)
{
	static const char *const rules[] = { "public",		 "invite",  "knock", "restricted",
					     "knock_restricted", "private", "public" };

	a->type = "m.room.join_rules";
	a->state_key = copy("");
	a->content = json_pack("{s:s}", "join_rule", rules[dice_roll(d, 7)]);
	if (dice_percent(d, 50))
		json_object_set_new(a->content, "allow",
				    json_pack("[{s:s, s:s}]", "type", "m.room_membership", "room_id",
					      "!other:s0.example"));
}

static json_t *
some_level(struct dice *d, const struct cast *c)
{
	static const int numbers[] = { 0, 10, 25, 50, 50, 75, 99, 100, 101, -1 };
	int level = numbers[dice_roll(d, 10)];
	char s[16];

	if (c->tame)
		return json_integer(level < 0 ? 0 : level);
	if (dice_percent(d, 4))
		return json_string("fifty");
	if (dice_percent(d, 6)) {
		snprintf(s, sizeof(s), dice_percent(d, 50) ? " %d " : "+0%d",
			 level < 0 ? 7 : level);
		return json_string(s);
	}
	if (dice_percent(d, 3) && c->version < 6)
		return json_real(level + 0.75);
	return json_integer(level);
}

static void
change_entry(struct dice *d, const struct cast *c, json_t *content, const char *member,
	     const char *key)
{
	json_t *o = json_object_get(content, member);

	if (!json_is_object(o)) {
		o = json_object();
		json_object_set_new(content, member, o);
	}
	if (dice_percent(d, 20))
		json_object_del(o, key);
	else
		json_object_set_new(o, key, some_level(d, c));
}

static void
levels(struct dice *d, struct act *a, const struct cast *c)
{
	static const char *const names[] = { "users_default", "events_default", "state_default",
					     "ban",	      "redact",		"kick",
					     "invite" };
	static const char *const types[] = { "m.room.message", "m.room.topic",
					     "m.room.power_levels", "m.room.join_rules",
					     "m.room.redaction" };
	unsigned times = 1 + dice_roll(d, 2);

	a->type = "m.room.power_levels";
	a->state_key = copy(!c->tame && dice_percent(d, 3) ? "x" : "");
	a->content = c->levels != NULL && !dice_percent(d, 4) ? json_deep_copy(c->levels)
							      : json_object();
	while (times-- != 0) {
		unsigned what = dice_roll(d, 10);
		const char *name;

		if (what < 5) {
			change_entry(d, c, a->content, "users", anybody(d, c));
		} else if (what < 7) {
			change_entry(d, c, a->content, "events", types[dice_roll(d, 5)]);
		} else if (what < 8) {
			change_entry(d, c, a->content, "notifications", "room");
		} else {
			name = names[dice_roll(d, 7)];
			if (dice_percent(d, 20))
				json_object_del(a->content, name);
			else
				json_object_set_new(a->content, name, some_level(d, c));
		}
	}
	if (!c->tame && dice_percent(d, 2))
		json_object_set_new(a->content, "users", json_string("everybody"));
}

static void
redact(struct dice *d, struct act *a, const struct cast *c)
{
	(void)d;
	if (c->some_event == NULL) {
		say(a, c);
		return;
	}
	a->type = "m.room.redaction";
	a->redacts = copy(c->some_event);
	a->content = c->version >= 11 ? json_pack("{s:s}", "redacts", c->some_event)
				      : json_pack("{s:i}", "n", c->serial);
}

/* ---- third-party invites: the identity server's key is always the same ---- */

static void
identity(unsigned char secret[crypto_sign_SECRETKEYBYTES], char public_key[64])
{
	static const unsigned char seed[crypto_sign_SEEDBYTES] = { 77 };
	unsigned char key[crypto_sign_PUBLICKEYBYTES];

	crypto_sign_seed_keypair(key, secret, seed);
	sodium_bin2base64(public_key, 64, key, sizeof(key),
			  sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
}

static void
invite_address(struct dice *d, struct act *a)
{
	unsigned char secret[crypto_sign_SECRETKEYBYTES];
	unsigned how = dice_roll(d, 8);
	char token[8], key[64];

	identity(secret, key);
	snprintf(token, sizeof(token), "t%u", dice_roll(d, 3));
	a->type = "m.room.third_party_invite";
	a->state_key = copy(token);
	if (how == 0) /* withdrawn */
		a->content = json_object();
	else if (how < 3)
		a->content = json_pack("{s:s, s:s, s:[{s:s}, {s:s}]}", "display_name", "x",
				       "public_key", "AAAA", "public_keys", "public_key", "BBBB",
				       "public_key", key);
	else
		a->content = json_pack("{s:s, s:s}", "display_name", "x", "public_key", key);
}

static void
sign(json_t *object, bool well)
{
	unsigned char secret[crypto_sign_SECRETKEYBYTES], signature[crypto_sign_BYTES];
	char key[64], encoded[96], *bytes = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);

	identity(secret, key);
	crypto_sign_detached(signature, NULL, (unsigned char *)bytes, strlen(bytes), secret);
	free(bytes);
	signature[0] ^= !well;
	sodium_bin2base64(encoded, sizeof(encoded), signature, sizeof(signature),
			  sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	json_object_set_new(object, "signatures",
			    json_pack("{s:{s:s}}", "id.example", "ed25519:0", encoded));
}

/* The address has turned out to be somebody's. */
static void
exchange_invite(struct dice *d, struct act *a, const struct cast *c)
{
	const struct oracle_invite *invite;
	const char *whom = anybody(d, c);
	json_t *object;

	if (c->invites_n == 0) {
		invite_address(d, a);
		return;
	}
	invite = &c->invites[dice_roll(d, (unsigned)c->invites_n)];
	for (int i = 0; i < c->invites_n && dice_percent(d, 90); i++)
		if (strcmp(c->invites[i].sender, a->sender) == 0)
			invite = &c->invites[i];
	object = json_pack("{s:s, s:s}", "mxid", dice_percent(d, 90) ? whom : anybody(d, c), "token",
			   invite->token);
	sign(object, dice_percent(d, 90));
	membership(a, whom, "invite");
	json_object_set_new(a->content, "third_party_invite",
			    json_pack("{s:s, s:o}", "display_name", "x", "signed", object));
}

/* ---- what a room says of servers, and of its end ---- */

static void
access_list(struct dice *d, struct act *a, const struct cast *c)
{
	static const char *const denied[] = { "h4.example", "h?.example", "*5*", "S1.*", "?2.example",
					      "nobody.example" };
	const char *deny = denied[dice_roll(d, 6)], *allow = "*";

	if (!c->tame && dice_percent(d, 15))
		allow = "h*";
	else if (dice_percent(d, 30))
		allow = "*.example";
	if (dice_percent(d, 20))
		allow = NULL;
	a->type = "m.room.server_acl";
	a->state_key = copy("");
	a->content = json_pack("{s:[s, s*], s:[s]}", "allow", "s0.example", allow, "deny", deny);
}

static void
tombstone(struct act *a, const struct cast *c)
{
	char room[32];

	snprintf(room, sizeof(room), "!next%d:%s", c->serial, strchr(a->sender, ':') + 1);
	a->type = "m.room.tombstone";
	a->state_key = copy("");
	a->content = json_pack("{s:s, s:s}", "body", "moved", "replacement_room", room);
}

static void
oddity(struct dice *d, struct act *a, const struct cast *c)
{
	switch (dice_roll(d, 7)) {
	case 0:
		membership(a, anybody(d, c), "hover");
		break;
	case 1:
		membership(a, anybody(d, c), "join");
		json_object_clear(a->content);
		break;
	case 2:
		a->type = "m.room.aliases";
		a->state_key = copy(strchr(anybody(d, c), ':') + 1);
		a->content = json_pack("{s:[]}", "aliases");
		break;
	case 3:
		a->type = "m.room.third_party_invite";
		a->state_key = copy("token");
		a->content = json_pack("{s:s, s:s}", "display_name", "x", "public_key", "YmFzZTY0");
		break;
	case 4:
		membership(a, anybody(d, c), "invite");
		json_object_set_new(a->content, "third_party_invite",
				    json_pack("{s:{s:s, s:s, s:{}}}", "signed", "mxid",
					      a->state_key, "token", "token", "signatures"));
		break;
	case 5:
		a->type = "m.room.member";
		a->content = json_pack("{s:s}", "membership", "join");
		break;
	default:
		a->type = "m.room.join_rules";
		a->state_key = copy("x");
		a->content = json_pack("{s:s}", "join_rule", "public");
	}
}

void
act_random(struct dice *d, const struct cast *c, const char *sender, struct act *out)
{
	unsigned what = dice_roll(d, 100);

	*out = (struct act){ .sender = sender != NULL ? sender : anybody(d, c) };
	if (what < 15)
		say(out, c);
	else if (what < 25)
		name_something(d, out, c);
	else if (what < 26)
		tombstone(out, c);
	else if (what < 42)
		membership(out, out->sender, "join");
	else if (what < 46)
		membership(out, out->sender, "leave");
	else if (what < 53)
		membership(out, anybody(d, c), "invite");
	else if (what < 55)
		access_list(d, out, c);
	else if (what < 61)
		membership(out, anybody(d, c), "leave");
	else if (what < 67)
		membership(out, anybody(d, c), "ban");
	else if (what < 70)
		membership(out, out->sender, "knock");
	else if (what < 80)
		levels(d, out, c);
	else if (what < 87)
		join_rules(d, out);
	else if (what < 91)
		redact(d, out, c);
	else if (what < 92)
		invite_address(d, out);
	else if (what < 94)
		exchange_invite(d, out, c);
	else if (what < 98 || c->tame)
		join_with_voucher(d, out, c);
	else
		oddity(d, out, c);
}

void
act_clear(struct act *a)
{
	free(a->state_key);
	free(a->redacts);
	json_decref(a->content);
	*a = (struct act){ NULL, NULL, NULL, NULL, NULL };
}
