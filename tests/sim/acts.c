#include "config.h"

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
	if (what < 16)
		say(out, c);
	else if (what < 27)
		name_something(d, out, c);
	else if (what < 43)
		membership(out, out->sender, "join");
	else if (what < 47)
		membership(out, out->sender, "leave");
	else if (what < 55)
		membership(out, anybody(d, c), "invite");
	else if (what < 62)
		membership(out, anybody(d, c), "leave");
	else if (what < 69)
		membership(out, anybody(d, c), "ban");
	else if (what < 73)
		membership(out, out->sender, "knock");
	else if (what < 84)
		levels(d, out, c);
	else if (what < 90)
		join_rules(d, out);
	else if (what < 94)
		redact(d, out, c);
	else if (what < 97 || c->tame)
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
