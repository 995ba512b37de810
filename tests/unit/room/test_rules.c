/* The authorisation rules, one table a rule: what is asked in which state, in which versions, and how
 * it is answered. The rules are named by their places in version 1, and by the version that changed
 * them: A1.5-join is rule 5 of version 1 for joins, A7 what version 7 adds. */
#include "tests/unit/room/events.h"

/* A row leaves out what it does not need. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

struct rule_case {
	const char *version;	/* as is_version reads it; NULL: every version */
	const char *members;	/* "alice=join bob=ban" */
	const char *power;	/* content of m.room.power_levels; NULL: none */
	const char *join_rule;	/* NULL: none */
	const char *type, *key, *sender, *content;
	const char *refused;	/* part of the text; NULL: allowed */
	const char *create;	/* more of the create event's content */
	const char *prev;
	const char *id, *redacts;	/* of the event */
	struct spec third_party;	/* an m.room.third_party_invite in the state */
};

struct room {
	struct mx_event *v[16];
	size_t n;
};

static void
put(struct room *r, struct spec s)
{
	assert_true(r->n < sizeof(r->v) / sizeof(r->v[0]));
	r->v[r->n++] = make_event(s);
}

static void
put_members(struct room *r, const char *version, const char *members)
{
	char *copy = mx_str_dup(mx_str_of(members != NULL ? members : "")), *save = NULL;

	for (char *word = strtok_r(copy, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save)) {
		char *eq = strchr(word, '='), content[64];

		assert_non_null(eq);
		*eq = 0;
		snprintf(content, sizeof(content), "{\"membership\":\"%s\"}", eq + 1);
		put(r, (struct spec){ .version = version,
				      .id = "$m",
				      .type = "m.room.member",
				      .key = word,
				      .sender = word,
				      .content = content });
	}
	free(copy);
}

static void
open_room(struct room *r, const char *version, const struct rule_case *c)
{
	char content[512];

	snprintf(content, sizeof(content),
		 "{\"creator\":\"@creator:a\"%s%s,\"room_version\":\"%s\"}",
		 c->create != NULL ? "," : "", c->create != NULL ? c->create : "", version);
	put(r, (struct spec){ .version = version,
			      .id = "$create",
			      .type = "m.room.create",
			      .key = "",
			      .sender = "creator",
			      .content = content });
	put_members(r, version, c->members);
	if (c->power != NULL)
		put(r, (struct spec){ .version = version,
				      .id = "$pl",
				      .type = "m.room.power_levels",
				      .key = "",
				      .sender = "creator",
				      .content = c->power });
	if (c->join_rule != NULL) {
		snprintf(content, sizeof(content), "{\"join_rule\":\"%s\"}", c->join_rule);
		put(r, (struct spec){ .version = version,
				      .id = "$jr",
				      .type = "m.room.join_rules",
				      .key = "",
				      .sender = "creator",
				      .content = content });
	}
	if (c->third_party.type != NULL) {
		struct spec s = c->third_party;

		s.version = version;
		put(r, s);
	}
}

static void
check_case(const char *version, const struct rule_case *c, size_t row)
{
	struct room r = { .n = 0 };
	struct mx_event *ev;
	struct mx_rules_events set;
	struct mx_rules_state state;
	mx_error *e;

	open_room(&r, version, c);
	ev = make_event((struct spec){ .version = version,
				       .id = c->id,
				       .type = c->type,
				       .key = c->key,
				       .sender = c->sender,
				       .content = c->content,
				       .prev = c->prev,
				       .redacts = c->redacts });
	set = (struct mx_rules_events){ (const struct mx_event *const *)r.v, r.n, NULL };
	state = mx_rules_state_of(&set);
	e = mx_rules_check(ev, &state);
	if (c->refused == NULL && e != NULL)
		fail_msg("row %zu, version %s: refused: %s", row, version, mx_error_text(e));
	if (c->refused != NULL && e == NULL)
		fail_msg("row %zu, version %s: allowed, not refused with '%s'", row, version,
			 c->refused);
	if (e != NULL) {
		assert_int_equal(mx_error_code(e), MX_E_FORBIDDEN);
		if (strstr(mx_error_text(e), c->refused) == NULL)
			fail_msg("row %zu, version %s: '%s', not '%s'", row, version,
				 mx_error_text(e), c->refused);
	}
	mx_error_free(&e);
	mx_event_unref(&ev);
	for (size_t i = 0; i < r.n; i++)
		mx_event_unref(&r.v[i]);
}

static void
check_cases(const struct rule_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < ALL_VERSIONS; k++)
			if (is_version(cases[i].version, all_versions[k]))
				check_case(all_versions[k], &cases[i], i);
}

#define CHECK(cases) check_cases(cases, sizeof(cases) / sizeof(cases[0]))

#define MEMBER(who, by, how) "m.room.member", who, by, "{\"membership\":\"" how "\"}"
#define STAFF "{\"users\":{\"@admin:a\":100,\"@mod:a\":50,\"@moe:a\":50}}"
#define EVERYONE "creator=join admin=join mod=join moe=join alice=join bob=join"

/* ---- joining ---- */

/* Such a create event is refused itself; nobody is its creator, not even who has no name. */
static void
a_room_without_a_creator_is_nobodys(void **state)
{
	struct room r = { .n = 0 };
	struct mx_rules_events set;
	struct mx_rules_state all;
	struct mx_event *ev;

	(void)state;
	put(&r, (struct spec){ .version = "9", .id = "$create", .type = "m.room.create", .key = "",
			       .sender = "creator", .content = "{}" });
	ev = make_event((struct spec){ .version = "9", .type = "m.room.member", .key = "",
				       .sender = "alice", .content = "{\"membership\":\"join\"}",
				       .prev = "\"$create\"" });
	set = (struct mx_rules_events){ (const struct mx_event *const *)r.v, r.n, NULL };
	all = mx_rules_state_of(&set);
	unit_refused(mx_rules_check(ev, &all), MX_E_FORBIDDEN);
	mx_event_unref(&ev);
	mx_event_unref(&r.v[0]);
}

/* A1.5-join; A7: the rule knock. */
static void
joins(void **state)
{
	static const struct rule_case cases[] = {
		/* the creator's first join needs no rule; a second one does */
		{ NULL, NULL, NULL, NULL, MEMBER("creator", "creator", "join"), NULL,
		  .prev = "\"$create\"" },
		{ NULL, NULL, NULL, NULL, MEMBER("creator", "creator", "join"), "lets nobody join",
		  .prev = "\"$x\"" },
		{ NULL, NULL, NULL, NULL, MEMBER("creator", "creator", "join"), "lets nobody join",
		  .prev = "\"$create\",\"$x\"" },
		{ NULL, NULL, NULL, NULL, MEMBER("alice", "alice", "join"), "lets nobody join",
		  .prev = "\"$create\"" },
		/* for oneself only, and not when banned */
		{ NULL, "creator=join", NULL, "public", MEMBER("alice", "alice", "join"), NULL },
		{ NULL, "creator=join bob=join", NULL, "public", MEMBER("alice", "bob", "join"),
		  "for somebody else" },
		{ NULL, "alice=ban", NULL, "public", MEMBER("alice", "alice", "join"),
		  "you are banned from this room" },
		{ NULL, "alice=leave", NULL, "public", MEMBER("alice", "alice", "join"), NULL },
		/* by invitation */
		{ NULL, "alice=invite", NULL, "invite", MEMBER("alice", "alice", "join"), NULL },
		{ NULL, "alice=join", NULL, "invite", MEMBER("alice", "alice", "join"), NULL },
		{ NULL, NULL, NULL, "invite", MEMBER("alice", "alice", "join"), "not invited" },
		{ NULL, "alice=leave", NULL, "invite", MEMBER("alice", "alice", "join"),
		  "not invited" },
		{ "7-", "alice=knock", NULL, "knock", MEMBER("alice", "alice", "join"),
		  "not invited" },
		{ "7-", "alice=invite", NULL, "knock", MEMBER("alice", "alice", "join"), NULL },
		{ "1-6", "alice=invite", NULL, "knock", MEMBER("alice", "alice", "join"),
		  "lets nobody join" },
		/* rules that nobody knows */
		{ NULL, "alice=invite", NULL, "private", MEMBER("alice", "alice", "join"),
		  "lets nobody join" },
		{ NULL, "alice=invite", NULL, "x", MEMBER("alice", "alice", "join"),
		  "lets nobody join" },
		/* form */
		{ NULL, "alice=join", NULL, "public", MEMBER(NULL, "alice", "join"),
		  "needs a state key" },
		{ NULL, "alice=join", NULL, "public", "m.room.member", "alice", "alice", "{}",
		  "no membership" },
		{ NULL, "alice=join", NULL, "public", MEMBER("alice", "alice", "x"),
		  "no membership" },
		{ NULL, "alice=join", NULL, "public", "m.room.member", "alice", "alice",
		  "{\"membership\":1}", "no membership" },
	};

	(void)state;
	CHECK(cases);
}

#define VOUCHED(by) "m.room.member", "alice", "alice", \
	"{\"join_authorised_via_users_server\":" by ",\"membership\":\"join\"}"

/* A8; A10: knock_restricted. */
static void
restricted_joins_need_somebody_who_may_invite(void **state)
{
	static const struct rule_case cases[] = {
		{ "8-", "bob=join", NULL, "restricted", VOUCHED("\"@bob:a\""), NULL },
		{ "10-", "bob=join", NULL, "knock_restricted", VOUCHED("\"@bob:a\""), NULL },
		{ "8-", "bob=join", NULL, "restricted", MEMBER("alice", "alice", "join"),
		  "no user of the room vouches" },
		{ "8-", "bob=leave", NULL, "restricted", VOUCHED("\"@bob:a\""),
		  "is not in the room" },
		{ "8-", "bob=join", "{\"invite\":50}", "restricted", VOUCHED("\"@bob:a\""),
		  "may not invite" },
		{ "8-", "bob=join", "{\"invite\":50,\"users\":{\"@bob:a\":50}}", "restricted",
		  VOUCHED("\"@bob:a\""), NULL },
		{ "8-", "alice=invite", NULL, "restricted", MEMBER("alice", "alice", "join"),
		  NULL },
		{ "8-", "alice=join", NULL, "restricted", MEMBER("alice", "alice", "join"), NULL },
		{ "8-", "alice=ban bob=join", NULL, "restricted", VOUCHED("\"@bob:a\""),
		  "you are banned" },
		{ "8-", "bob=join", NULL, "restricted", VOUCHED("1"), "is not a user id" },
		{ "8-", "bob=join", NULL, "public", VOUCHED("\"bob\""), "is not a user id" },
		/* older versions know nothing of it */
		{ "1-7", "bob=join", NULL, "restricted", VOUCHED("\"@bob:a\""),
		  "lets nobody join" },
		{ "1-7", "bob=join", NULL, "public", VOUCHED("\"bob\""), NULL },
		{ "1-7", "alice=invite", NULL, "restricted", MEMBER("alice", "alice", "join"),
		  "lets nobody join" },
		{ "1-9", "bob=join", NULL, "knock_restricted", VOUCHED("\"@bob:a\""),
		  "lets nobody join" },
		{ "1-9", "alice=invite", NULL, "knock_restricted",
		  MEMBER("alice", "alice", "join"), "lets nobody join" },
		/* written with an escape, it is the same user */
		{ "8-", "bob=join", NULL, "restricted", VOUCHED("\"@\\u0062ob:a\""), NULL },
	};

	(void)state;
	CHECK(cases);
}

/* ---- inviting, leaving, kicking, banning, knocking ---- */

/* A1.5-invite without a third party. */
static void
invites(void **state)
{
	static const struct rule_case cases[] = {
		{ NULL, EVERYONE, NULL, NULL, MEMBER("carol", "alice", "invite"), NULL },
		{ NULL, EVERYONE " carol=leave", NULL, NULL, MEMBER("carol", "alice", "invite"),
		  NULL },
		{ NULL, EVERYONE " carol=knock", NULL, NULL, MEMBER("carol", "alice", "invite"),
		  NULL },
		{ NULL, EVERYONE " carol=invite", NULL, NULL, MEMBER("carol", "alice", "invite"),
		  NULL },
		{ NULL, EVERYONE, NULL, NULL, MEMBER("bob", "alice", "invite"),
		  "already in this room" },
		{ NULL, EVERYONE " carol=ban", NULL, NULL, MEMBER("carol", "alice", "invite"),
		  "@carol:a is banned" },
		{ NULL, "bob=join", NULL, NULL, MEMBER("carol", "alice", "invite"),
		  "you are not in this room" },
		{ NULL, "alice=invite", NULL, NULL, MEMBER("carol", "alice", "invite"),
		  "you are not in this room" },
		{ NULL, EVERYONE, "{\"invite\":50}", NULL, MEMBER("carol", "alice", "invite"),
		  "inviting needs power 50, you have 0" },
		{ NULL, EVERYONE, "{\"invite\":50,\"users\":{\"@alice:a\":50}}", NULL,
		  MEMBER("carol", "alice", "invite"), NULL },
	};

	(void)state;
	CHECK(cases);
}

/* A1.5-leave; A7: from knock. */
static void
leaving_and_kicking(void **state)
{
	static const struct rule_case cases[] = {
		{ NULL, EVERYONE, STAFF, NULL, MEMBER("alice", "alice", "leave"), NULL },
		{ NULL, "alice=invite", STAFF, NULL, MEMBER("alice", "alice", "leave"), NULL },
		{ "7-", "alice=knock", STAFF, NULL, MEMBER("alice", "alice", "leave"), NULL },
		{ "1-6", "alice=knock", STAFF, NULL, MEMBER("alice", "alice", "leave"),
		  "you are not in this room" },
		{ NULL, "alice=leave", STAFF, NULL, MEMBER("alice", "alice", "leave"),
		  "you are not in this room" },
		{ NULL, "alice=ban", STAFF, NULL, MEMBER("alice", "alice", "leave"),
		  "you are banned from this room" },
		{ NULL, NULL, STAFF, NULL, MEMBER("alice", "alice", "leave"),
		  "you are not in this room" },
		{ NULL, EVERYONE, STAFF, NULL, MEMBER("alice", "mod", "leave"), NULL },
		{ NULL, EVERYONE, STAFF, NULL, MEMBER("bob", "alice", "leave"),
		  "kicking needs power 50, you have 0" },
		{ NULL, EVERYONE, STAFF, NULL, MEMBER("moe", "mod", "leave"), "may not kick" },
		{ NULL, EVERYONE, STAFF, NULL, MEMBER("admin", "mod", "leave"), "may not kick" },
		{ NULL, EVERYONE, STAFF, NULL, MEMBER("mod", "admin", "leave"), NULL },
		{ NULL, "mod=leave alice=join", STAFF, NULL, MEMBER("alice", "mod", "leave"),
		  "you are not in this room" },
		/* withdrawing an invitation, refusing a knock */
		{ NULL, "mod=join alice=invite", STAFF, NULL, MEMBER("alice", "mod", "leave"),
		  NULL },
		{ NULL, "mod=join alice=knock", STAFF, NULL, MEMBER("alice", "mod", "leave"),
		  NULL },
		/* lifting a ban needs both levels */
		{ NULL, "mod=join alice=ban", STAFF, NULL, MEMBER("alice", "mod", "leave"), NULL },
		{ NULL, "mod=join alice=ban", "{\"ban\":60,\"users\":{\"@mod:a\":50}}", NULL,
		  MEMBER("alice", "mod", "leave"), "lifting a ban needs power 60, you have 50" },
		{ NULL, "mod=join alice=ban", "{\"ban\":50,\"kick\":60,\"users\":{\"@mod:a\":50}}",
		  NULL, MEMBER("alice", "mod", "leave"), "lifting a ban needs power 60" },
	};

	(void)state;
	CHECK(cases);
}

/* A1.5-ban. */
static void
bans(void **state)
{
	static const struct rule_case cases[] = {
		{ NULL, EVERYONE, STAFF, NULL, MEMBER("alice", "mod", "ban"), NULL },
		{ NULL, EVERYONE, STAFF, NULL, MEMBER("carol", "mod", "ban"), NULL },
		{ NULL, EVERYONE, STAFF, NULL, MEMBER("bob", "alice", "ban"),
		  "banning needs power 50, you have 0" },
		{ NULL, EVERYONE, STAFF, NULL, MEMBER("moe", "mod", "ban"), "may not ban" },
		{ NULL, EVERYONE, STAFF, NULL, MEMBER("mod", "mod", "ban"), "may not ban" },
		{ NULL, "alice=join", STAFF, NULL, MEMBER("alice", "mod", "ban"),
		  "you are not in this room" },
		/* without power levels: the creator has 100 and others 0 */
		{ NULL, EVERYONE, NULL, NULL, MEMBER("alice", "creator", "ban"), NULL },
		{ NULL, EVERYONE, NULL, NULL, MEMBER("alice", "bob", "ban"),
		  "banning needs power 50, you have 0" },
	};

	(void)state;
	CHECK(cases);
}

/* A7, A10: knocking. */
static void
knocks(void **state)
{
	static const struct rule_case cases[] = {
		{ "7-", NULL, STAFF, "knock", MEMBER("alice", "alice", "knock"), NULL },
		{ "10-", NULL, STAFF, "knock_restricted", MEMBER("alice", "alice", "knock"), NULL },
		{ "7-9", NULL, STAFF, "knock_restricted", MEMBER("alice", "alice", "knock"),
		  "does not take knocks" },
		{ "1-6", NULL, STAFF, "knock", MEMBER("alice", "alice", "knock"),
		  "no membership that this room version knows" },
		{ "7-", "alice=leave", STAFF, "knock", MEMBER("alice", "alice", "knock"), NULL },
		{ "7-", "alice=knock", STAFF, "knock", MEMBER("alice", "alice", "knock"), NULL },
		{ "7-", NULL, STAFF, "public", MEMBER("alice", "alice", "knock"),
		  "does not take knocks" },
		{ "7-", NULL, STAFF, "restricted", MEMBER("alice", "alice", "knock"),
		  "does not take knocks" },
		{ "7-", NULL, STAFF, "invite", MEMBER("alice", "alice", "knock"),
		  "does not take knocks" },
		{ "7-", NULL, STAFF, NULL, MEMBER("alice", "alice", "knock"),
		  "does not take knocks" },
		{ "7-", "bob=join", STAFF, "knock", MEMBER("alice", "bob", "knock"),
		  "for somebody else" },
		{ "7-", "alice=ban", STAFF, "knock", MEMBER("alice", "alice", "knock"),
		  "you are banned" },
		{ "7-", "alice=invite", STAFF, "knock", MEMBER("alice", "alice", "knock"),
		  "invited to this room already" },
		{ "7-", "alice=join", STAFF, "knock", MEMBER("alice", "alice", "knock"),
		  "in this room already" },
	};

	(void)state;
	CHECK(cases);
}

/* ---- everything else ---- */

#define TEXT "m.room.message", NULL
#define NAME "m.room.name", ""

/* A1.6 to A1.9, A1.12; A3: redactions as any event; A6: aliases too. */
static void
sending_needs_membership_and_power(void **state)
{
	static const struct rule_case cases[] = {
		{ NULL, EVERYONE, NULL, NULL, TEXT, "alice", "{}", NULL },
		{ NULL, NULL, NULL, NULL, TEXT, "alice", "{}", "you are not in this room" },
		{ NULL, "alice=leave", NULL, NULL, TEXT, "alice", "{}",
		  "you are not in this room" },
		{ NULL, "alice=ban", NULL, NULL, TEXT, "alice", "{}",
		  "you are banned from this room" },
		{ NULL, "alice=invite", NULL, NULL, TEXT, "alice", "{}",
		  "invited to this room but have not joined" },
		/* state needs 50, with and without power levels; other events 0 */
		{ NULL, EVERYONE, NULL, NULL, NAME, "alice", "{}",
		  "sending m.room.name needs power 50, you have 0" },
		{ NULL, EVERYONE, STAFF, NULL, NAME, "alice", "{}",
		  "sending m.room.name needs power 50, you have 0" },
		{ NULL, EVERYONE, STAFF, NULL, NAME, "mod", "{}", NULL },
		{ NULL, EVERYONE, NULL, NULL, NAME, "creator", "{}", NULL },
		{ NULL, EVERYONE, "{\"state_default\":10,\"users_default\":10}", NULL, NAME,
		  "alice", "{}", NULL },
		{ NULL, EVERYONE, "{\"events_default\":10}", NULL, TEXT, "alice", "{}",
		  "needs power 10, you have 0" },
		{ NULL, EVERYONE, "{\"events\":{\"m.room.message\":20}}", NULL, TEXT, "alice", "{}",
		  "needs power 20" },
		{ NULL, EVERYONE, "{\"events\":{\"m.room.name\":0}}", NULL, NAME, "alice", "{}",
		  NULL },
		{ NULL, EVERYONE, "{\"events\":{\"m.room.name\":-5},\"users_default\":-10}", NULL,
		  NAME, "alice", "{}", "needs power -5, you have -10" },
		/* a redaction is an event like others: whether it applies is another question */
		{ "3-", EVERYONE, "{\"redact\":100}", NULL, "m.room.redaction", NULL, "alice",
		  "{\"redacts\":\"$x\"}", NULL },
		{ NULL, EVERYONE, "{\"events\":{\"m.room.redaction\":5}}", NULL, "m.room.redaction",
		  NULL, "alice", "{}", "sending m.room.redaction needs power 5" },
		/* m.room.aliases is special in versions 1 to 5 only */
		{ "6-", EVERYONE, NULL, NULL, "m.room.aliases", "a", "alice", "{}",
		  "needs power 50" },
		/* state keys that are user ids belong to that user */
		{ NULL, EVERYONE, "{\"state_default\":0}", NULL, "x", "@alice:a", "alice", "{}",
		  NULL },
		{ NULL, EVERYONE, "{\"state_default\":0}", NULL, "x", "@bob:a", "alice", "{}",
		  "by that user alone" },
		{ NULL, EVERYONE, "{\"state_default\":0}", NULL, "x", "@", "alice", "{}",
		  "by that user alone" },
		{ NULL, EVERYONE, STAFF, NULL, "x", "@bob:a", "admin", "{}", "by that user alone" },
		/* third-party invites need the level to invite */
		{ NULL, EVERYONE, NULL, NULL, "m.room.third_party_invite", "t", "alice", "{}",
		  NULL },
		{ NULL, EVERYONE, "{\"invite\":50}", NULL, "m.room.third_party_invite", "t",
		  "alice", "{}", "inviting needs power 50" },
		{ NULL, NULL, NULL, NULL, "m.room.third_party_invite", "t", "alice", "{}",
		  "you are not in this room" },
	};

	(void)state;
	CHECK(cases);
}

/* A1.3. */
static void
a_room_may_be_for_one_server(void **state)
{
	static const struct rule_case cases[] = {
		{ NULL, "eve:b=join", NULL, NULL, TEXT, "eve:b", "{}",
		  "only for users of its creator's server", .create = "\"m.federate\":false" },
		{ NULL, "alice=join", NULL, NULL, TEXT, "alice", "{}", NULL,
		  .create = "\"m.federate\":false" },
		{ NULL, "eve:b=join", NULL, NULL, TEXT, "eve:b", "{}", NULL,
		  .create = "\"m.federate\":true" },
		{ NULL, "eve:b=join", NULL, NULL, TEXT, "eve:b", "{}", NULL },
		{ NULL, NULL, NULL, "public", MEMBER("eve:b", "eve:b", "join"), "only for users",
		  .create = "\"m.federate\":false" },
	};

	(void)state;
	CHECK(cases);
}

#define LEVELS(by, content) "m.room.power_levels", "", by, content
#define OLD "{\"ban\":50,\"events\":{\"m.room.name\":60,\"x\":10},\"notifications\":{\"room\":60},\"state_default\":0," \
	"\"users\":{\"@admin:a\":100,\"@mod:a\":50,\"@moe:a\":50}}"

/* A1.10, its grammar: P1, P6, P10. */
static void
power_levels_must_be_levels(void **state)
{
	static const struct rule_case cases[] = {
		{ NULL, EVERYONE, NULL, NULL, LEVELS("creator", "{}"), NULL },
		{ NULL, EVERYONE, NULL, NULL, LEVELS("creator", "{\"users\":{\"@alice:a\":1}}"),
		  NULL },
		{ "10-", EVERYONE, NULL, NULL,
		  LEVELS("creator", "{\"users\":{\"@alice:a\":\"1\"}}"), "not an integer" },
		{ "1-9", EVERYONE, NULL, NULL,
		  LEVELS("creator", "{\"users\":{\"@alice:a\":\" +010 \"}}"), NULL },
		{ NULL, EVERYONE, NULL, NULL,
		  LEVELS("creator", "{\"users\":{\"@alice:a\":\"1.5\"}}"), "not an integer" },
		{ NULL, EVERYONE, NULL, NULL, LEVELS("creator", "{\"users\":{\"@alice:a\":null}}"),
		  "not an integer" },
		{ "1-5", EVERYONE, NULL, NULL, LEVELS("creator", "{\"users\":{\"@alice:a\":1.5}}"),
		  NULL },
		{ "6-", EVERYONE, NULL, NULL, LEVELS("creator", "{\"users\":{\"@alice:a\":1.5}}"),
		  "not an integer" },
		/* before version 10 nobody looks at the others */
		{ "1-9", EVERYONE, NULL, NULL,
		  LEVELS("creator", "{\"ban\":\"x\",\"events\":1,\"kick\":null,\"notifications\":{"
				    "\"room\":true}}"),
		  NULL },
		{ NULL, EVERYONE, NULL, NULL, LEVELS("creator", "{\"users\":{\"alice\":1}}"),
		  "not a user id" },
		{ NULL, EVERYONE, NULL, NULL, LEVELS("creator", "{\"users\":[]}"),
		  "not an object" },
		{ NULL, EVERYONE, NULL, NULL, LEVELS("creator", "{\"users\":null}"),
		  "not an object" },
		{ "10-", EVERYONE, NULL, NULL, LEVELS("creator", "{\"events\":{\"x\":\"1\"}}"),
		  "not an integer" },
		{ "10-", EVERYONE, NULL, NULL, LEVELS("creator", "{\"events\":1}"),
		  "not an object" },
		{ "10-", EVERYONE, NULL, NULL,
		  LEVELS("creator", "{\"notifications\":{\"room\":true}}"), "not an integer" },
		{ "10-", EVERYONE, NULL, NULL, LEVELS("creator", "{\"notifications\":\"\"}"),
		  "not an object" },
		{ "10-", EVERYONE, NULL, NULL, LEVELS("creator", "{\"ban\":\"50\"}"),
		  "ban is not an integer" },
		{ "10-", EVERYONE, NULL, NULL, LEVELS("creator", "{\"kick\":null}"),
		  "kick is not an integer" },
		{ "10-", EVERYONE, NULL, NULL, LEVELS("creator", "{\"users_default\":[]}"),
		  "users_default is not an integer" },
		{ NULL, EVERYONE, NULL, NULL, LEVELS("creator", "{\"other\":\"50\"}"), NULL },
	};

	(void)state;
	CHECK(cases);
}

/* A1.10, its changes; A6: notifications. */
static void
nobody_changes_levels_above_their_own(void **state)
{
	static const struct rule_case cases[] = {
		/* nothing changes */
		{ NULL, EVERYONE, OLD, NULL, LEVELS("alice", OLD), NULL },
		/* single levels: old and new must be within reach */
		{ NULL, EVERYONE, "{\"ban\":50,\"state_default\":0,\"users\":{\"@mod:a\":50}}",
		  NULL, LEVELS("mod", "{\"ban\":40,\"state_default\":0,\"users\":{\"@mod:a\":50}}"),
		  NULL },
		{ NULL, EVERYONE, "{\"ban\":50,\"state_default\":0,\"users\":{\"@mod:a\":50}}",
		  NULL, LEVELS("mod", "{\"ban\":51,\"state_default\":0,\"users\":{\"@mod:a\":50}}"),
		  "ban cannot be set to 51" },
		{ NULL, EVERYONE, "{\"ban\":60,\"state_default\":0,\"users\":{\"@mod:a\":50}}",
		  NULL, LEVELS("mod", "{\"ban\":40,\"state_default\":0,\"users\":{\"@mod:a\":50}}"),
		  "ban stands at 60" },
		{ NULL, EVERYONE, "{\"ban\":60,\"state_default\":0,\"users\":{\"@mod:a\":50}}",
		  NULL, LEVELS("mod", "{\"state_default\":0,\"users\":{\"@mod:a\":50}}"),
		  "ban stands at 60" },
		{ NULL, EVERYONE, "{\"state_default\":0,\"users\":{\"@mod:a\":50}}", NULL,
		  LEVELS("mod", "{\"kick\":60,\"state_default\":0,\"users\":{\"@mod:a\":50}}"),
		  "kick cannot be set to 60" },
		{ NULL, EVERYONE, "{\"state_default\":0,\"users\":{\"@mod:a\":50}}", NULL,
		  LEVELS("mod", "{\"kick\":50,\"state_default\":0,\"users\":{\"@mod:a\":50}}"),
		  NULL },
		/* entries of events and notifications */
		{ NULL, EVERYONE, "{\"events\":{\"x\":60},\"state_default\":0}", NULL,
		  LEVELS("alice", "{\"events\":{\"x\":0},\"state_default\":0}"),
		  "x stands at 60, above your power of 0" },
		{ NULL, EVERYONE, "{\"events\":{\"x\":60},\"state_default\":0}", NULL,
		  LEVELS("alice", "{\"events\":{},\"state_default\":0}"), "x stands at 60" },
		{ NULL, EVERYONE, "{\"events\":{\"x\":60},\"state_default\":0}", NULL,
		  LEVELS("alice", "{\"events\":{\"x\":60,\"y\":0},\"state_default\":0}"), NULL },
		{ NULL, EVERYONE, "{\"events\":{\"x\":60},\"state_default\":0}", NULL,
		  LEVELS("alice", "{\"events\":{\"x\":60,\"y\":1},\"state_default\":0}"),
		  "y cannot be set to 1" },
		{ "6-", EVERYONE, "{\"notifications\":{\"room\":60},\"state_default\":0}", NULL,
		  LEVELS("alice", "{\"notifications\":{\"room\":0},\"state_default\":0}"),
		  "room stands at 60" },
		{ "1-5", EVERYONE, "{\"notifications\":{\"room\":60},\"state_default\":0}", NULL,
		  LEVELS("alice", "{\"notifications\":{\"room\":1},\"state_default\":0}"), NULL },
		{ "6-", EVERYONE, "{\"state_default\":0}", NULL,
		  LEVELS("alice", "{\"notifications\":{\"room\":1},\"state_default\":0}"),
		  "room cannot be set to 1" },
		/* users: others must be below */
		{ NULL, EVERYONE, STAFF, NULL,
		  LEVELS("mod", "{\"users\":{\"@admin:a\":100,\"@moe:a\":50}}"), NULL },
		{ NULL, EVERYONE, STAFF, NULL,
		  LEVELS("mod", "{\"users\":{\"@admin:a\":100,\"@mod:a\":10,\"@moe:a\":50}}"),
		  NULL },
		{ NULL, EVERYONE, STAFF, NULL,
		  LEVELS("mod", "{\"users\":{\"@admin:a\":100,\"@mod:a\":51,\"@moe:a\":50}}"),
		  "@mod:a cannot be set to 51" },
		{ NULL, EVERYONE, STAFF, NULL,
		  LEVELS("mod", "{\"users\":{\"@admin:a\":100,\"@mod:a\":50,\"@moe:a\":0}}"),
		  "may not change the power of @moe:a" },
		{ NULL, EVERYONE, STAFF, NULL,
		  LEVELS("mod", "{\"users\":{\"@admin:a\":100,\"@mod:a\":50}}"),
		  "may not change the power of @moe:a" },
		{ NULL, EVERYONE, STAFF, NULL,
		  LEVELS("mod", "{\"users\":{\"@mod:a\":50,\"@moe:a\":50}}"),
		  "may not change the power of @admin:a" },
		{ NULL, EVERYONE, STAFF, NULL,
		  LEVELS("mod", "{\"users\":{\"@admin:a\":100,\"@alice:a\":50,\"@mod:a\":50,\"@moe:"
				"a\":50}}"),
		  NULL },
		{ NULL, EVERYONE, STAFF, NULL,
		  LEVELS("mod", "{\"users\":{\"@admin:a\":100,\"@alice:a\":51,\"@mod:a\":50,\"@moe:"
				"a\":50}}"),
		  "@alice:a cannot be set to 51" },
		{ NULL, EVERYONE, STAFF, NULL, LEVELS("admin", "{\"users\":{\"@admin:a\":100}}"),
		  NULL },
		{ NULL, EVERYONE, STAFF, NULL, LEVELS("alice", STAFF),
		  "sending m.room.power_levels needs power 50" },
		/* what was no level counts as absent */
		{ "1-9", EVERYONE, "{\"state_default\":0,\"users\":{\"@mod:a\":\"100\"}}", NULL,
		  LEVELS("mod", "{\"state_default\":0,\"users\":{\"@mod:a\":50}}"), NULL },
		/* written otherwise, the level is the same */
		{ "1-9", EVERYONE, "{\"ban\":\"60\",\"state_default\":0}", NULL,
		  LEVELS("alice", "{\"ban\":60,\"state_default\":0}"), NULL },
		{ "1-5", EVERYONE, "{\"ban\":60.7,\"state_default\":0}", NULL,
		  LEVELS("alice", "{\"ban\":6e1,\"state_default\":0}"), NULL },
		{ "10-", EVERYONE, "{\"state_default\":0,\"users\":{\"@mod:a\":\"100\"}}", NULL,
		  LEVELS("mod", "{\"state_default\":0,\"users\":{\"@mod:a\":50}}"),
		  "cannot be set to 50" },
	};

	(void)state;
	CHECK(cases);
}

/* ---- version 12: creators ---- */

#define PARTNER .create = "\"additional_creators\":[\"@partner:b\"]"

/* A12.4, C12. */
static void
creators_rank_above_every_level(void **state)
{
	static const struct rule_case cases[] = {
		{ "12", EVERYONE, "{\"state_default\":9007199254740991}", NULL, NAME, "creator",
		  "{}", NULL },
		{ "1-11", EVERYONE, "{\"state_default\":9007199254740991}", NULL, NAME, "creator",
		  "{}", "needs power" },
		{ "12", EVERYONE " partner:b=join",
		  "{\"events\":{\"m.room.name\":9007199254740991}}", NULL, NAME, "partner:b", "{}",
		  NULL, PARTNER },
		{ "1-11", EVERYONE " partner:b=join", STAFF, NULL, NAME, "partner:b", "{}",
		  "needs power 50, you have 0", PARTNER },
		/* equal among themselves */
		{ "12", EVERYONE " partner:b=join", STAFF, NULL,
		  MEMBER("partner:b", "creator", "leave"), "may not kick", PARTNER },
		{ "12", EVERYONE " partner:b=join", STAFF, NULL,
		  MEMBER("creator", "partner:b", "ban"), "may not ban", PARTNER },
		{ "12", EVERYONE, "{\"users\":{\"@admin:a\":9007199254740991}}", NULL,
		  MEMBER("creator", "admin", "leave"), "may not kick" },
		{ "12", EVERYONE, "{\"users\":{\"@admin:a\":9007199254740991}}", NULL,
		  MEMBER("admin", "creator", "leave"), NULL },
		/* their power cannot be set */
		{ "12", EVERYONE, NULL, NULL, LEVELS("creator", "{\"users\":{\"@creator:a\":100}}"),
		  "is a creator" },
		{ "1-11", EVERYONE, NULL, NULL, LEVELS("creator", "{\"users\":{\"@creator:a\":100}}"),
		  NULL },
		{ "12", EVERYONE, NULL, NULL, LEVELS("creator", "{\"users\":{\"@partner:b\":100}}"),
		  "is a creator", PARTNER },
		{ "12", EVERYONE, STAFF, NULL,
		  LEVELS("creator", "{\"users\":{\"@alice:a\":9007199254740991}}"), NULL },
		/* who creates must still be in the room */
		{ "12", "creator=leave", NULL, NULL, TEXT, "creator", "{}",
		  "you are not in this room" },
	};

	(void)state;
	CHECK(cases);
}

/* ---- m.room.create ---- */

/* A1.1, A11, A12.1. */
static void
a_room_begins_with_its_create_event(void **state)
{
	static const struct rule_case cases[] = {
		{ NULL, NULL, NULL, NULL, "m.room.create", "", "creator",
		  "{\"creator\":\"@creator:a\"}", NULL },
		{ NULL, NULL, NULL, NULL, "m.room.create", "", "creator",
		  "{\"creator\":\"@creator:a\"}", "must be the first", .prev = "\"$p\"" },
		{ NULL, NULL, NULL, NULL, "m.room.create", "", "creator",
		  "{\"creator\":\"@creator:a\",\"room_version\":\"12\"}", NULL },
		{ NULL, NULL, NULL, NULL, "m.room.create", "", "creator",
		  "{\"creator\":\"@creator:a\",\"room_version\":\"nope\"}", "version is unknown" },
		{ NULL, NULL, NULL, NULL, "m.room.create", "", "creator",
		  "{\"creator\":\"@creator:a\",\"room_version\":12}", "version is unknown" },
		{ "1-10", NULL, NULL, NULL, "m.room.create", "", "creator", "{}",
		  "does not name the creator" },
		{ "11", NULL, NULL, NULL, "m.room.create", "", "creator", "{}", NULL },
		{ "12", NULL, NULL, NULL, "m.room.create", "", "creator", "{}", NULL },
		/* the room id is the creator's server's, where it has a server */
		{ "1-10", NULL, NULL, NULL, "m.room.create", "", "eve:b", "{\"creator\":\"@eve:b\"}",
		  "of another server" },
		{ "11", NULL, NULL, NULL, "m.room.create", "", "eve:b", "{}", "of another server" },
		{ "12", NULL, NULL, NULL, "m.room.create", "", "eve:b", "{}", NULL },
		{ "12", NULL, NULL, NULL, "m.room.create", "", "eve:b",
		  "{\"additional_creators\":[]}", NULL },
		{ "12", NULL, NULL, NULL, "m.room.create", "", "eve:b",
		  "{\"additional_creators\":[\"@x:y\"]}", NULL },
		{ "12", NULL, NULL, NULL, "m.room.create", "", "eve:b",
		  "{\"additional_creators\":[\"x\"]}", "not a user id" },
		{ "12", NULL, NULL, NULL, "m.room.create", "", "eve:b",
		  "{\"additional_creators\":[1]}", "not a list" },
		{ "12", NULL, NULL, NULL, "m.room.create", "", "eve:b",
		  "{\"additional_creators\":\"@x:y\"}", "not a list" },
		{ "1-11", NULL, NULL, NULL, "m.room.create", "", "creator",
		  "{\"additional_creators\":[1],\"creator\":\"@creator:a\"}", NULL },
		/* before version 11 the creator is whom the event names, whoever sent it */
		{ "1-10", "creator=join", NULL, NULL, NAME, "creator", "{}", NULL },
	};

	(void)state;
	CHECK(cases);
}

/* A12.2. */
static void
an_event_is_judged_in_its_own_room(void **state)
{
	MX_AUTO(mx_event) *create = make_event((struct spec){ .id = "$other",
							      .type = "m.room.create",
							      .key = "",
							      .sender = "creator",
							      .content = "{}" });
	MX_AUTO(mx_event) *rejected = make_event((struct spec){ .id = "$create",
								.type = "m.room.create",
								.key = "",
								.sender = "creator",
								.content = "{}",
								.rejected = true });
	MX_AUTO(mx_event) *text = make_event(
		(struct spec){ .type = "m.room.message", .sender = "creator", .content = "{}" });
	const struct mx_rules_events none = { NULL, 0, NULL }, other = { NULL, 0, create },
				     refused = { NULL, 0, rejected };
	struct mx_rules_state s = mx_rules_state_of(&none);

	(void)state;
	unit_refused(mx_rules_check(text, &s), MX_E_FORBIDDEN);
	s = mx_rules_state_of(&other);
	unit_refused(mx_rules_check(text, &s), MX_E_FORBIDDEN);
	s = mx_rules_state_of(&refused);
	unit_refused(mx_rules_check(text, &s), MX_E_FORBIDDEN);
}

static void
a_create_event_of_version_12_has_no_room_id(void **state)
{
	struct mx_event_row row = {
		.version = version_of("12"),
		.id = MX_S("$c"),
		.json = MX_S("{\"content\":{},\"prev_events\":[],\"room_id\":\"!c\",\"sender\":\"@"
			     "a:b\",\"state_key\":\"\","
			     "\"type\":\"m.room.create\"}"),
	};
	const struct mx_rules_events none = { NULL, 0, NULL };
	struct mx_rules_state s = mx_rules_state_of(&none);
	MX_AUTO(mx_event) *ev = NULL;

	(void)state;
	unit_ok(mx_event_from_row(&row, &ev));
	unit_refused(mx_rules_check(ev, &s), MX_E_FORBIDDEN);
}

/* ---- third-party invites ---- */

/* Signs {"mxid":…,"token":"t"} and puts the whole into a membership's content. */
static char *
signed_invite(const struct mx_signing_key *key, const char *mxid)
{
	MX_AUTO_JSON *object = json_pack("{s:s,s:s}", "mxid", mxid, "token", "t");
	MX_AUTO_JSON *content = NULL;
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	size_t n;

	unit_ok(mx_sign_json(object, true, MX_S("id.example"), key));
	content = json_pack("{s:s,s:{s:s,s:O}}", "membership", "invite", "third_party_invite",
			    "display_name", "x", "signed", object);
	unit_ok(mx_json_canonical(content, true, b));
	mx_buf_byte(b, 0);
	return mx_buf_take(b, &n);
}

static char *
key_content(const struct mx_signing_key *key, const char *before, const char *after)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	unsigned char public[MX_ED25519_PUBLIC];
	char *out = malloc(512);

	mx_signing_key_public(key, public);
	mx_base64(b, public, sizeof(public));
	snprintf(out, 512, "%s%s%s", before, mx_buf_cstr(b), after);
	return out;
}

/* A1.5-invite with a third party. */
static void
a_third_party_invite_needs_the_identity_servers_signature(void **state)
{
	MX_AUTO(mx_signing_key) *key = mx_signing_key_generate(),
				*other = mx_signing_key_generate();
	char *invite = signed_invite(key, "@carol:a"), *for_bob = signed_invite(key, "@bob:a");
	char *one = key_content(key, "{\"public_key\":\"", "\"}");
	char *many = key_content(
		key, "{\"public_key\":\"AAAA\",\"public_keys\":[{\"x\":1},{\"public_key\":\"",
		"\"}]}");
	char *wrong = key_content(other, "{\"public_key\":\"", "\"}");
	const char *type = "m.room.third_party_invite", *member = "m.room.member";
	const struct rule_case cases[] = {
		{ NULL, "alice=join", NULL, NULL, member, "carol", "alice", invite, NULL,
		  .third_party = { .type = type, .key = "t", .sender = "alice", .content = one } },
		/* whoever asked need not be in the room any more */
		{ NULL, NULL, "{\"invite\":50}", NULL, member, "carol", "alice", invite, NULL,
		  .third_party = { .type = type, .key = "t", .sender = "alice", .content = many } },
		{ NULL, "alice=join", NULL, NULL, member, "carol", "alice", invite,
		  "by one of its keys",
		  .third_party = { .type = type,
				   .key = "t",
				   .sender = "alice",
				   .content = wrong } },
		{ NULL, "alice=join", NULL, NULL, member, "carol", "alice", invite,
		  "by one of its keys",
		  .third_party = { .type = type, .key = "t", .sender = "alice", .content = "{}" } },
		{ NULL, "alice=join carol=ban", NULL, NULL, member, "carol", "alice", invite,
		  "@carol:a is banned",
		  .third_party = { .type = type, .key = "t", .sender = "alice", .content = one } },
		{ NULL, "alice=join", NULL, NULL, member, "carol", "alice", for_bob,
		  "for somebody else",
		  .third_party = { .type = type, .key = "t", .sender = "alice", .content = one } },
		{ NULL, "alice=join", NULL, NULL, member, "carol", "alice", invite,
		  "made by somebody else",
		  .third_party = { .type = type, .key = "t", .sender = "bob", .content = one } },
		{ NULL, "alice=join", NULL, NULL, member, "carol", "alice", invite, "nobody made",
		  .third_party = { .type = type, .key = "u", .sender = "alice", .content = one } },
		{ NULL, "alice=join", NULL, NULL, member, "carol", "alice",
		  "{\"membership\":\"invite\",\"third_party_invite\":{}}", "is not signed" },
		{ NULL, "alice=join", NULL, NULL, member, "carol", "alice",
		  "{\"membership\":\"invite\",\"third_party_invite\":{\"signed\":{\"token\":\"t\"}}"
		  "}",
		  "does not say for whom" },
		{ NULL, "alice=join", NULL, NULL, member, "carol", "alice",
		  "{\"membership\":\"invite\",\"third_party_invite\":{\"signed\":{\"mxid\":\"@"
		  "carol:a\"}}}",
		  "does not say for whom" },
	};

	(void)state;
	CHECK(cases);
	free(invite);
	free(for_bob);
	free(one);
	free(many);
	free(wrong);
}

/* ---- auth_events ---- */

static void
expect_types(const char *version, struct spec s, const char *expected)
{
	MX_AUTO(mx_buf) *a = mx_buf_new(0);
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO(mx_event) *ev = NULL;
	MX_AUTO_JSON *content = NULL;
	struct mx_auth_types of_event, of_draft;

	s.version = version;
	ev = make_event(s);
	content = mx_event_content_parse(ev);
	mx_rules_auth_types_of(ev, &of_event);
	mx_rules_auth_types(ev->version, mx_event_type(ev), mx_event_sender(ev),
			    mx_event_state_key(ev), content, &of_draft);
	for (size_t i = 0; i < of_event.n; i++)
		mx_buf_printf(a, "%.*s|%.*s ", MX_SFMT(of_event.v[i].type),
			      MX_SFMT(of_event.v[i].key));
	for (size_t i = 0; i < of_draft.n; i++)
		mx_buf_printf(b, "%.*s|%.*s ", MX_SFMT(of_draft.v[i].type),
			      MX_SFMT(of_draft.v[i].key));
	assert_string_equal(mx_buf_cstr(a), expected);
	assert_string_equal(mx_buf_cstr(b), expected);
}

/* A-select. */
static void
auth_events_are_selected(void **state)
{
	static const struct {
		const char *which;	/* versions */
		const char *type, *key, *content;
		const char *more;	/* beside the create event, the power levels and the sender */
	} rows[] = {
		{ NULL, "x", NULL, "{\"membership\":\"join\"}", "" },
		{ NULL, "m.room.member", "alice", "{\"membership\":\"join\"}",
		  "m.room.join_rules| " },
		{ NULL, "m.room.member", "bob", "{\"membership\":\"ban\"}",
		  "m.room.member|@bob:a " },
		{ NULL, "m.room.member", "bob", "{\"membership\":\"leave\"}",
		  "m.room.member|@bob:a " },
		{ NULL, "m.room.member", "bob", "{\"membership\":\"invite\"}",
		  "m.room.member|@bob:a m.room.join_rules| " },
		{ NULL, "m.room.member", "bob",
		  "{\"membership\":\"invite\",\"third_party_invite\":{\"signed\":{\"token\":\"a\\nb\"}"
		  "}}",
		  "m.room.member|@bob:a m.room.join_rules| m.room.third_party_invite|a\nb " },
		{ NULL, "m.room.member", "bob",
		  "{\"membership\":\"join\",\"third_party_invite\":{\"signed\":{\"token\":\"t\"}}}",
		  "m.room.member|@bob:a m.room.join_rules| " },
		{ "7-", "m.room.member", "bob", "{\"membership\":\"knock\"}",
		  "m.room.member|@bob:a m.room.join_rules| " },
		{ "1-6", "m.room.member", "bob", "{\"membership\":\"knock\"}",
		  "m.room.member|@bob:a " },
		{ "8-", "m.room.member", "alice",
		  "{\"join_authorised_via_users_server\":\"@bob:b\",\"membership\":\"join\"}",
		  "m.room.join_rules| m.room.member|@bob:b " },
		{ "1-7", "m.room.member", "alice",
		  "{\"join_authorised_via_users_server\":\"@bob:b\",\"membership\":\"join\"}",
		  "m.room.join_rules| " },
		{ NULL, "m.room.member", "alice",
		  "{\"join_authorised_via_users_server\":\"@bob:b\",\"membership\":\"leave\"}", "" },
	};

	(void)state;
	for (size_t v = 0; v < ALL_VERSIONS; v++) {
		expect_types(all_versions[v],
			     (struct spec){ .type = "m.room.create",
					    .key = "",
					    .sender = "creator",
					    .content = "{}" },
			     "");
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			char expected[256];

			if (!is_version(rows[i].which, all_versions[v]))
				continue;
			snprintf(expected, sizeof(expected),
				 "%sm.room.power_levels| m.room.member|@alice:a %s",
				 is_version("12", all_versions[v]) ? "" : "m.room.create| ",
				 rows[i].more);
			expect_types(all_versions[v],
				     (struct spec){ .type = rows[i].type,
						    .key = rows[i].key,
						    .sender = "alice",
						    .content = rows[i].content },
				     expected);
		}
	}
}

/* A1.2, A12.3: rows say which events are named: c(reate), l(evels), L (others), R (ejected ones), n(ame),
 * m(ember: the sender's), e (levels of another room). */
static void
check_named(const char *version, const char *names, bool allowed)
{
	static const struct {
		char letter;
		struct spec spec;
	} known[] = {
		{ 'c', { .id = "$create", .type = "m.room.create", .key = "" } },
		{ 'l', { .id = "$pl", .type = "m.room.power_levels", .key = "" } },
		{ 'L', { .id = "$pl2", .type = "m.room.power_levels", .key = "" } },
		{ 'R', { .id = "$pl3", .type = "m.room.power_levels", .key = "", .rejected = true } },
		{ 'n', { .id = "$n", .type = "m.room.name", .key = "" } },
		{ 'm', { .id = "$m", .type = "m.room.member", .key = "creator" } },
		{ 'e', { .id = "$e", .type = "m.room.power_levels", .key = "" } },
	};
	struct mx_event *made[7] = { NULL };
	const struct mx_event *list[7];
	MX_AUTO(mx_event) *text = make_event((struct spec){ .version = version,
							    .type = "m.room.message",
							    .sender = "creator",
							    .content = "{}" });
	size_t n = 0;
	mx_error *e;

	for (size_t i = 0; i < 7; i++) {
		struct spec s = known[i].spec;

		/* what room 12's events are named by is no other room's id */
		s.version = known[i].letter != 'e' ? version
			    : is_version("12", version) ? "11"
							: "12";
		s.sender = "creator";
		s.content = "{\"membership\":\"join\"}";
		made[i] = make_event(s);
		if (strchr(names, known[i].letter) != NULL)
			list[n++] = made[i];
	}
	e = mx_rules_check_auth_events(text, made[0], list, n);
	if ((e == NULL) != allowed)
		fail_msg("version %s, '%s': %s", version, names,
			 e != NULL ? mx_error_text(e) : "allowed");
	mx_error_free(&e);
	for (size_t i = 0; i < 7; i++)
		mx_event_unref(&made[i]);
}

static void
auth_events_must_be_what_is_selected(void **state)
{
	static const struct {
		const char *which, *names;
		bool allowed;
	} rows[] = {
		{ "1-11", "clm", true }, { "1-11", "c", true },    { "1-11", "lm", false },
		{ "1-11", "", false },   { "1-11", "clL", false }, { "1-11", "cn", false },
		{ "1-11", "cR", false }, { "1-11", "ce", false },  { "12", "lm", true },
		{ "12", "", true },      { "12", "clm", false },   { "12", "lL", false },
		{ "12", "n", false },    { "12", "R", false },     { "12", "e", false },
	};
	MX_AUTO(mx_event) *text12 = make_event(
		(struct spec){ .type = "m.room.message", .sender = "creator", .content = "{}" });

	(void)state;
	for (size_t v = 0; v < ALL_VERSIONS; v++)
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
			if (is_version(rows[i].which, all_versions[v]))
				check_named(all_versions[v], rows[i].names, rows[i].allowed);
	/* A12.2: without a create event there is no such room */
	unit_refused(mx_rules_check_auth_events(text12, NULL, NULL, 0), MX_E_FORBIDDEN);
}

/* ---- redactions ---- */

/* Whether a redaction by somebody of bob's event of server b applies. */
static bool
applies(const char *version, const char *sender)
{
	MX_AUTO(mx_event) *create = make_event((struct spec){ .version = version,
							      .id = "$create",
							      .type = "m.room.create",
							      .key = "",
							      .sender = "creator",
							      .content = "{}" });
	MX_AUTO(mx_event) *levels = make_event((struct spec){ .version = version,
							      .id = "$pl",
							      .type = "m.room.power_levels",
							      .key = "",
							      .sender = "creator",
							      .content = STAFF });
	MX_AUTO(mx_power) *power = mx_power_parse(levels, create);
	MX_AUTO(mx_event) *target = make_event((struct spec){
		.version = version, .type = "x", .sender = "bob:b", .content = "{}" });
	MX_AUTO(mx_event) *redaction = make_event((struct spec){ .version = version,
								 .type = "m.room.redaction",
								 .sender = sender,
								 .content = "{}" });

	return mx_rules_redaction_applies(redaction, target, power);
}

static void
a_redaction_applies_by_power_or_on_ones_own_server(void **state)
{
	(void)state;
	for (size_t i = 0; i < ALL_VERSIONS; i++) {
		assert_true(applies(all_versions[i], "mod"));
		assert_true(applies(all_versions[i], "eve:b"));
		/* in versions 1 and 2 the rules would not have let it in */
		assert_int_equal(applies(all_versions[i], "alice"),
				 is_version("1-2", all_versions[i]));
	}
}

/* ---- rules that only old versions have ---- */

/* A1.4. */
static void
aliases_belong_to_their_server(void **state)
{
	static const struct rule_case cases[] = {
		/* in the room or not, with power or without */
		{ "1-5", NULL, STAFF, NULL, "m.room.aliases", "b", "eve:b", "{}", NULL },
		{ "1-5", EVERYONE, STAFF, NULL, "m.room.aliases", "a", "alice", "{}", NULL },
		{ "1-5", EVERYONE, STAFF, NULL, "m.room.aliases", "b", "admin", "{}",
		  "belongs to the server" },
		{ "1-5", EVERYONE, STAFF, NULL, "m.room.aliases", NULL, "admin", "{}",
		  "belongs to the server" },
		{ "1-5", EVERYONE, STAFF, NULL, "m.room.aliases", "", "admin", "{}",
		  "belongs to the server" },
		{ "1-5", NULL, STAFF, NULL, "m.room.aliases", "b", "eve:b", "{}", "only for users",
		  .create = "\"m.federate\":false" },
		{ "6-", EVERYONE, STAFF, NULL, "m.room.aliases", "b", "admin", "{}", NULL },
	};

	(void)state;
	CHECK(cases);
}

#define REDACTION "m.room.redaction", NULL

/* A1.11. */
static void
redactions_need_power_or_the_same_server(void **state)
{
	static const char members[] = EVERYONE " eve:b=join";
	static const struct rule_case cases[] = {
		{ "1-2", members, STAFF, NULL, REDACTION, "mod", "{}", NULL, .id = "$x:a",
		  .redacts = "$y:b" },
		{ "1-2", members, STAFF, NULL, REDACTION, "eve:b", "{}", NULL, .id = "$x:b",
		  .redacts = "$y:b" },
		{ "1-2", members, STAFF, NULL, REDACTION, "eve:b", "{}",
		  "may not redact events of other servers", .id = "$x:b", .redacts = "$y:a" },
		{ "1-2", members, STAFF, NULL, REDACTION, "alice", "{}",
		  "may not redact events of other servers", .id = "$x:a", .redacts = "$y:b" },
		{ "1-2", members, STAFF, NULL, REDACTION, "alice", "{}",
		  "may not redact events of other servers", .id = "$x:a" },
		/* it is the event ids that count, not who sent them */
		{ "1-2", members, STAFF, NULL, REDACTION, "alice", "{}", NULL, .id = "$x:c",
		  .redacts = "$y:c" },
		/* whoever may redact may still not send */
		{ "1-2", members, "{\"events_default\":60,\"users\":{\"@mod:a\":50}}", NULL,
		  REDACTION, "mod", "{}", "needs power 60", .id = "$x:a", .redacts = "$y:a" },
		{ "3-10", members, STAFF, NULL, REDACTION, "alice", "{}", NULL, .redacts = "$y" },
		{ "11-", members, STAFF, NULL, REDACTION, "alice", "{\"redacts\":\"$y\"}", NULL },
	};

	(void)state;
	CHECK(cases);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(a_room_without_a_creator_is_nobodys),
		unit_case(joins),
		unit_case(restricted_joins_need_somebody_who_may_invite),
		unit_case(invites),
		unit_case(leaving_and_kicking),
		unit_case(bans),
		unit_case(knocks),
		unit_case(sending_needs_membership_and_power),
		unit_case(a_room_may_be_for_one_server),
		unit_case(power_levels_must_be_levels),
		unit_case(nobody_changes_levels_above_their_own),
		unit_case(creators_rank_above_every_level),
		unit_case(a_room_begins_with_its_create_event),
		unit_case(an_event_is_judged_in_its_own_room),
		unit_case(a_create_event_of_version_12_has_no_room_id),
		unit_case(a_third_party_invite_needs_the_identity_servers_signature),
		unit_case(auth_events_are_selected),
		unit_case(auth_events_must_be_what_is_selected),
		unit_case(a_redaction_applies_by_power_or_on_ones_own_server),
		unit_case(aliases_belong_to_their_server),
		unit_case(redactions_need_power_or_the_same_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
