/* Making events and checking those of others: the specification's vectors, and that what is made
 * passes every check. */
#include "tests/unit/room/events.h"

#include "core/room/hash.h"
#include "core/room/redact.h"
#include "core/room/verify.h"

/* Appendices, "Cryptographic Test Vectors". */
#define SEED "ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"

static struct mx_signing_key *
spec_key(void)
{
	struct mx_signing_key *key = NULL;

	unit_ok(mx_signing_key_parse(MX_S(SEED), &key));
	return key;
}

/* ---- the vectors ---- */

static void
expect_vector(const char *event, const char *with_hash, const char *hash, const char *signature)
{
	MX_AUTO(mx_signing_key) *key = spec_key();
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	unsigned char bytes[MX_SHA256_SIZE];
	char text[MX_HASH_ID] = { 0 }, is[87];

	mx_event_content_hash(mx_str_of(event), bytes);
	mx_hash_base64(bytes, text);
	assert_string_equal(text, hash);
	/* from version 11 on origin, which the vectors have, is not covered any more */
	for (size_t i = 0; i < ALL_VERSIONS; i++) {
		mx_buf_truncate(b, 0);
		mx_redact_bytes(version_of(all_versions[i]), mx_str_of(with_hash), false, b);
		mx_sign_bytes(key, mx_buf_view(b), is);
		assert_int_equal(strcmp(is, signature) == 0, is_version("1-10", all_versions[i]));
	}
}

#define HASH1 "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos"
#define HASH2 "onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g"

static void
events_are_hashed_and_signed_as_the_specification_does(void **state)
{
	(void)state;
	expect_vector(
		"{\"auth_events\":[],\"content\":{},\"depth\":3,\"hashes\":{},\"origin\":"
		"\"domain\",\"origin_server_ts\":1000000,"
		"\"prev_events\":[],\"room_id\":\"!x:domain\",\"sender\":\"@a:domain\","
		"\"signatures\":{},\"type\":\"X\","
		"\"unsigned\":{\"age_ts\":1000000}}",
		"{\"auth_events\":[],\"content\":{},\"depth\":3,\"hashes\":{\"sha256\":\"" HASH1
		"\"},\"origin\":\"domain\","
		"\"origin_server_ts\":1000000,\"prev_events\":[],\"room_id\":\"!x:domain\","
		"\"sender\":\"@a:domain\","
		"\"signatures\":{},\"type\":\"X\",\"unsigned\":{\"age_ts\":1000000}}",
		HASH1,
		"KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+"
		"lYAg");
	expect_vector(
		"{\"content\":{\"body\":\"Here is the message "
		"content\"},\"event_id\":\"$0:domain\",\"origin\":\"domain\","
		"\"origin_server_ts\":1000000,\"room_id\":\"!r:domain\",\"sender\":\"@u:domain\","
		"\"signatures\":{},"
		"\"type\":\"m.room.message\",\"unsigned\":{\"age_ts\":1000000}}",
		"{\"content\":{\"body\":\"Here is the message "
		"content\"},\"event_id\":\"$0:domain\",\"hashes\":{\"sha256\":\"" HASH2
		"\"},\"origin\":\"domain\",\"origin_server_ts\":1000000,\"room_id\":\"!r:domain\","
		"\"sender\":\"@u:domain\",\"signatures\":{},\"type\":\"m.room.message\"}",
		HASH2,
		"Wm+VzmOUOz08Ds+"
		"0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA");
}

/* One event that every algorithm redacts otherwise, and its reference hash by Python's json,
 * hashlib and base64. */
static void
the_reference_hash_is_that_of_the_versions_redaction(void **state)
{
	static const char event[] =
		"{\"auth_events\":[\"$a\"],\"content\":{\"displayname\":\"J\xc3\xb6\","
		"\"join_authorised_via_users_server\":\"@x:y\",\"membership\":\"join\","
		"\"third_party_invite\":{\"display_name\":\"d\",\"signed\":{\"mxid\":\"@a:b\","
		"\"token\":\"t\"}}},\"depth\":12,\"event_id\":\"$e:b\",\"hashes\":{\"sha256\":"
		"\"5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos\"},\"membership\":\"join\","
		"\"origin\":\"b\",\"origin_server_ts\":1432735824653,\"prev_events\":[\"$p\"],"
		"\"prev_state\":[],\"redacts\":\"$r\",\"room_id\":\"!r:b\",\"sender\":\"@a:b\","
		"\"signatures\":{\"b\":{\"ed25519:1\":\"s\"}},\"state_key\":\"@a:b\",\"type\":"
		"\"m.room.member\",\"unsigned\":{\"age\":1}}";
	static const struct {
		const char *which, *id;
	} rows[] = {
		{ "3", "$XYOX1gFp3tnH+aVC6GlpAoD17WnmcD9kV7QjCQhA9SY" },
		{ "4-8", "$XYOX1gFp3tnH-aVC6GlpAoD17WnmcD9kV7QjCQhA9SY" },
		{ "9-10", "$UIbt6NvNDVyziU_S8DLI8HwGN8fCdsF3xU33CZA0Zus" },
		{ "11-12", "$zREPFkKgZkjI2o_jTLHURLvNGpP954xMgKvIIFnY9dg" },
	};
	unsigned char hash[MX_SHA256_SIZE];
	char text[MX_HASH_ID + 1] = { 0 };

	(void)state;
	for (size_t v = 0; v < ALL_VERSIONS; v++) {
		mx_event_reference_hash(version_of(all_versions[v]), MX_S(event), hash);
		for (size_t i = 0; i < 4; i++) {
			if (!is_version(rows[i].which, all_versions[v]))
				continue;
			mx_event_id_of_hash(version_of(all_versions[v]), hash, text);
			assert_string_equal(text, rows[i].id);
		}
		/* what versions 1 and 2 call it when others name the event */
		mx_hash_base64(hash, text);
		if (is_version("1-2", all_versions[v]))
			assert_memory_equal(text, rows[0].id + 1, MX_HASH_ID - 1);
	}
}

/* ---- making ---- */

static const mx_str ids[2] = { { "$a", 2 }, { "$b", 2 } };
static const unsigned char hashes[2][MX_SHA256_SIZE] = { { 1 }, { 2 } };

static struct mx_build
draft(const char *version, const struct mx_signing_key *key)
{
	return (struct mx_build){
		.version = version_of(version),
		.room_id = MX_S("!r:domain"),
		.sender = MX_S("@u:domain"),
		.type = MX_S("m.room.message"),
		.content_canonical = MX_S("{\"body\":\"x\"}"),
		.ts = 1000,
		.depth = 7,
		.prev = ids,
		.prev_n = 1,
		.prev_hash = hashes,
		.auth = ids,
		.auth_n = 2,
		.auth_hash = hashes,
		.server = MX_S("domain"),
		.key = key,
	};
}

static mx_msec key_until = 2000;

static bool
domains_key(void *arg, mx_str server, mx_str key_id, mx_msec at, struct mx_verify_key *out)
{
	(void)at;
	if (!mx_str_eq(server, MX_S("domain")) || !mx_str_eq(key_id, MX_S("ed25519:1")))
		return false;
	mx_signing_key_public(arg, out->public_key);
	out->valid_until = key_until;
	return true;
}

/* What was made is what a stranger would accept, under the same id. */
static void
expect_accepted(const struct mx_event *ev, struct mx_signing_key *key)
{
	MX_AUTO(mx_event) *again = NULL;

	unit_ok(mx_verify_event(ev->version, mx_event_json(ev), domains_key, key, &again));
	assert_true(mx_str_eq(mx_event_json(again), mx_event_json(ev)));
	assert_true(mx_str_eq(mx_event_id(again), mx_event_id(ev)));
	assert_true(mx_str_eq(mx_event_room_id(again), mx_event_room_id(ev)));
	assert_true(mx_verify_hash(again));
}

static void
what_is_made_passes_every_check(void **state)
{
	MX_AUTO(mx_signing_key) *key = spec_key();
	MX_AUTO_JSON *content =
		json_pack("{s:s,s:i,s:{s:s}}", "body", "h\xc3\xa4\n\"", "a", -5, "z", "y", "x");

	(void)state;
	for (size_t i = 0; i < ALL_VERSIONS; i++) {
		struct mx_build in = draft(all_versions[i], key);
		MX_AUTO(mx_event) *message = NULL, *member = NULL, *redaction = NULL;

		in.content = content;
		in.txn_id = MX_S("m1");
		in.device = 4;
		unit_ok(mx_build_event(&in, &message));
		expect_accepted(message, key);
		unit_text(mx_event_txn_id(message), "m1");
		in.type = MX_S("m.room.member");
		in.state_key = MX_S("@u:domain");
		in.content = NULL;
		in.content_canonical = MX_S("{\"displayname\":\"u\",\"membership\":\"join\"}");
		unit_ok(mx_build_event(&in, &member));
		expect_accepted(member, key);
		assert_int_equal(mx_event_membership(member), MX_MEMBER_JOIN);
		in.type = MX_S("m.room.redaction");
		in.state_key = (mx_str){ NULL, 0 };
		in.redacts = MX_S("$x");
		in.content_canonical = MX_S("{\"reason\":\"r\"}");
		unit_ok(mx_build_event(&in, &redaction));
		expect_accepted(redaction, key);
		unit_text(mx_event_redacts(redaction), "$x");
		unit_text(mx_event_content(redaction), in.version->redacts_in_content ?
			  "{\"reason\":\"r\",\"redacts\":\"$x\"}" : "{\"reason\":\"r\"}");
	}
}

static void
the_bytes_are_canonical(void **state)
{
	MX_AUTO(mx_signing_key) *key = spec_key();

	(void)state;
	for (size_t i = 0; i < ALL_VERSIONS; i++) {
		struct mx_build in = draft(all_versions[i], key);
		MX_AUTO(mx_event) *ev = NULL;
		MX_AUTO(mx_buf) *b = mx_buf_new(0);
		MX_AUTO_JSON *tree = NULL;

		in.type = MX_S("m.room.redaction");
		in.redacts = MX_S("$x");
		in.state_key = MX_S("a\"\n");
		unit_ok(mx_build_event(&in, &ev));
		unit_ok(mx_json_parse(mx_event_json(ev), &tree));
		unit_ok(mx_json_canonical(tree, true, b));
		assert_true(mx_str_eq(mx_buf_view(b), mx_event_json(ev)));
		unit_text(mx_event_state_key(ev), "a\"\n");
	}
}

/* Versions 1 and 2: a name of its own, and what it follows with hashes. */
static void
old_events_have_a_chosen_id_and_references_with_hashes(void **state)
{
	MX_AUTO(mx_signing_key) *key = spec_key();
	struct mx_build in = draft("1", key);
	MX_AUTO(mx_event) *ev = NULL, *again = NULL, *asking = NULL;
	MX_AUTO_JSON *json = NULL, *refs = NULL;
	struct mx_event_ids it;
	mx_str id;

	(void)state;
	unit_ok(mx_build_event(&in, &ev));
	unit_ok(mx_build_event(&in, &again));
	id = mx_event_id(ev);
	assert_int_equal(id.n, 1 + 18 + sizeof(":domain") - 1);
	assert_memory_equal(id.p + 19, ":domain", 7);
	assert_true(mx_id_event(id));
	assert_false(mx_str_eq(mx_event_id(again), id));
	unit_ok(mx_json_parse(mx_event_json(ev), &json));
	assert_true(mx_str_eq(mx_json_str(json, "event_id"), id));
	refs = json_loads("[[\"$a\",{\"sha256\":\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}],"
			  "[\"$b\",{\"sha256\":\"AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]]",
			  0, NULL);
	assert_true(json_equal(json_object_get(json, "auth_events"), refs));
	json_array_remove(refs, 1);
	assert_true(json_equal(json_object_get(json, "prev_events"), refs));
	it = mx_event_auth(ev);
	assert_true(mx_event_ids_next(&it, &id));
	unit_text(id, "$a");
	assert_true(mx_event_ids_next(&it, &id));
	unit_text(id, "$b");
	assert_false(mx_event_ids_next(&it, &id));

	/* who only asks need not know the hashes, who sends must */
	in.prev_hash = NULL;
	unit_refused(mx_build_event(&in, &asking), MX_E_UNKNOWN);
	in.key = NULL;
	unit_ok(mx_build_event(&in, &asking));
	unit_text(mx_id_server_of(mx_event_id(asking)), "domain");
}

static void
the_alphabet_of_the_id_follows_the_version(void **state)
{
	MX_AUTO(mx_signing_key) *key = spec_key();

	(void)state;
	for (size_t i = 2; i < ALL_VERSIONS; i++) {
		bool url = is_version("4-", all_versions[i]), special = false;

		/* in a hundred hashes each of the two letters occurs */
		for (int n = 0; n < 100; n++) {
			struct mx_build in = draft(all_versions[i], key);
			MX_AUTO(mx_event) *ev = NULL;

			in.ts = n;
			unit_ok(mx_build_event(&in, &ev));
			assert_int_equal(mx_event_id(ev).n, 44);
			assert_null(memchr(mx_event_id(ev).p, url ? '+' : '-', 44));
			assert_null(memchr(mx_event_id(ev).p, url ? '/' : '_', 44));
			special = special || memchr(mx_event_id(ev).p, url ? '-' : '+', 44) != NULL;
		}
		assert_true(special);
	}
}

static void
a_create_event_of_version_12_makes_the_room_id(void **state)
{
	MX_AUTO(mx_signing_key) *key = spec_key();
	struct mx_build in = draft("12", key);
	MX_AUTO(mx_event) *ev = NULL;

	(void)state;
	in.type = MX_S("m.room.create");
	in.state_key = MX_S("");
	in.room_id = MX_S("");
	in.content_canonical = MX_S("{\"room_version\":\"12\"}");
	in.prev_n = in.auth_n = 0;
	unit_ok(mx_build_event(&in, &ev));
	assert_int_equal(mx_event_room_id(ev).n, 44);
	assert_int_equal(mx_event_room_id(ev).p[0], '!');
	assert_memory_equal(mx_event_room_id(ev).p + 1, mx_event_id(ev).p + 1, 43);
	assert_null(strstr(ev->bytes, "room_id"));
	expect_accepted(ev, key);
}

static void
without_a_key_an_event_is_only_for_asking(void **state)
{
	struct mx_build in = draft("12", NULL);
	MX_AUTO(mx_event) *ev = NULL;

	(void)state;
	unit_ok(mx_build_event(&in, &ev));
	unit_text(mx_event_json(ev), "{\"auth_events\":[\"$a\",\"$b\"],\"content\":{\"body\":\"x\"}"
				     ",\"depth\":7,\"origin_server_ts\":1000,"
				     "\"prev_events\":[\"$a\"],\"room_id\":\"!r:domain\","
				     "\"sender\":\"@u:domain\",\"type\":\"m.room.message\"}");
	assert_int_equal(mx_event_id(ev).n, 0);
}

static void
what_exceeds_a_limit_is_not_made(void **state)
{
	MX_AUTO(mx_signing_key) *key = spec_key();
	MX_AUTO_JSON *fraction = json_pack("{s:f}", "x", 1.5),
		     *whole = json_pack("{s:f}", "x", 1.0);
	MX_AUTO_JSON *huge = json_pack("{s:I}", "x", (json_int_t)1 << 53), *list = json_array(),
		     *deep = json_object();
	MX_AUTO_JSON *large = json_object();
	char text[MX_EVENT_MAX + 1];
	struct mx_build in = draft("12", key);
	MX_AUTO(mx_event) *ev = NULL;

	(void)state;
	in.content = fraction;
	unit_refused(mx_build_event(&in, &ev), MX_E_BAD_JSON);
	in.content = whole;
	unit_refused(mx_build_event(&in, &ev), MX_E_BAD_JSON);
	in.content = huge;
	unit_refused(mx_build_event(&in, &ev), MX_E_BAD_JSON);
	in.content = list;
	unit_refused(mx_build_event(&in, &ev), MX_E_BAD_JSON);
	for (int i = 0; i < 99; i++)
		deep = json_pack("{s:o}", "x", deep);
	in.content = deep;
	unit_refused(mx_build_event(&in, &ev), MX_E_BAD_JSON);
	in.content = json_object_get(deep, "x");
	unit_ok(mx_build_event(&in, &ev));
	expect_accepted(ev, key);
	mx_event_unref(&ev);
	memset(text, 'x', sizeof(text));
	json_object_set_new(large, "x", json_stringn(text, sizeof(text) - 200));
	in.content = large;
	unit_refused(mx_build_event(&in, &ev), MX_E_TOO_LARGE);
	in = draft("12", key);
	in.type = (mx_str){ text, 256 };
	unit_refused(mx_build_event(&in, &ev), MX_E_TOO_LARGE);
	in = draft("12", key);
	in.state_key = (mx_str){ text, 256 };
	unit_refused(mx_build_event(&in, &ev), MX_E_TOO_LARGE);
	in = draft("12", key);
	in.state_key = MX_S("\xff");
	unit_refused(mx_build_event(&in, &ev), MX_E_BAD_JSON);
}

static void
depth_is_held_at_its_limit(void **state)
{
	MX_AUTO(mx_signing_key) *key = spec_key();

	(void)state;
	for (size_t i = 0; i < ALL_VERSIONS; i++) {
		struct mx_build in = draft(all_versions[i], key);
		MX_AUTO(mx_event) *ev = NULL;

		in.depth = INT64_MAX;
		unit_ok(mx_build_event(&in, &ev));
		assert_true(mx_event_depth(ev) ==
			    (is_version("6-", all_versions[i]) ? 9007199254740991 : INT64_MAX));
		expect_accepted(ev, key);
	}
}

/* ---- checking ---- */

/* The event's JSON with one text replaced. */
static char *
changed(const struct mx_event *ev, const char *from, const char *to)
{
	char *out = malloc(ev->json_n + strlen(to) + 1);
	const char *at = strstr(ev->bytes, from);

	assert_non_null(at);
	snprintf(out, ev->json_n + strlen(to) + 1, "%.*s%s%s", (int)(at - ev->bytes), ev->bytes, to,
		 at + strlen(from));
	return out;
}

static mx_error *
verify_changed(const struct mx_event *ev, struct mx_signing_key *key, const char *from,
	       const char *to, struct mx_event **out)
{
	char *text = changed(ev, from, to);
	mx_error *e = mx_verify_event(ev->version, mx_str_of(text), domains_key, key, out);

	free(text);
	return e;
}

static void
a_changed_content_leaves_the_redacted_event(void **state)
{
	MX_AUTO(mx_signing_key) *key = spec_key();
	struct mx_build in = draft("12", key);
	MX_AUTO(mx_event) *ev = NULL, *got = NULL;

	(void)state;
	unit_ok(mx_build_event(&in, &ev));
	unit_ok(verify_changed(ev, key, "\"body\":\"x\"", "\"body\":\"evil\"", &got));
	unit_text(mx_event_content(got), "{}");
	assert_true(mx_str_eq(mx_event_id(got), mx_event_id(ev)));
}

static void
a_changed_or_missing_signature_drops_the_event(void **state)
{
	MX_AUTO(mx_signing_key) *key = spec_key();
	struct mx_build in = draft("12", key);
	MX_AUTO(mx_event) *ev = NULL, *got = NULL;

	(void)state;
	unit_ok(mx_build_event(&in, &ev));
	unit_refused(verify_changed(ev, key, "\"depth\":7", "\"depth\":8", &got), MX_E_FORBIDDEN);
	unit_refused(verify_changed(ev, key, "@u:domain", "@v:domain", &got), MX_E_FORBIDDEN);
	unit_refused(verify_changed(ev, key, "@u:domain", "@u:other", &got), MX_E_FORBIDDEN);
	unit_refused(verify_changed(ev, key, "{\"domain\":", "{\"other\":", &got), MX_E_FORBIDDEN);
	unit_refused(verify_changed(ev, key, "ed25519:1", "ed25519:2", &got), MX_E_FORBIDDEN);
	unit_refused(verify_changed(ev, key, "ed25519:1", "rsa:1", &got), MX_E_FORBIDDEN);
	/* a key that nobody knows says nothing, for or against */
	unit_ok(verify_changed(ev, key, "\"ed25519:1\"", "\"ed25519:0\":\"x\",\"ed25519:1\"",
			       &got));
}

/* Versions 1 and 2: whose server named the event must have signed it too. */
static void
a_chosen_id_needs_the_signature_of_its_server(void **state)
{
	MX_AUTO(mx_signing_key) *key = spec_key();
	MX_AUTO(mx_event) *got = NULL;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct mx_build in = draft(all_versions[i], key);
		MX_AUTO(mx_event) *theirs = NULL, *ours = NULL;

		in.sender = MX_S("@u:other");
		unit_ok(mx_build_event(&in, &theirs));
		unit_refused(mx_verify_event(theirs->version, mx_event_json(theirs), domains_key,
					     key, &got),
			     MX_E_FORBIDDEN);
		in = draft(all_versions[i], key);
		in.server = MX_S("other");
		unit_ok(mx_build_event(&in, &ours));
		unit_refused(mx_verify_event(ours->version, mx_event_json(ours), domains_key, key,
					     &got),
			     MX_E_FORBIDDEN);
	}
}

static void
a_key_counts_while_it_is_valid(void **state)
{
	MX_AUTO(mx_signing_key) *key = spec_key();
	struct mx_build in = draft("12", key);
	MX_AUTO(mx_event) *in_time = NULL, *late = NULL, *got = NULL;

	(void)state;
	in.ts = 2000;
	unit_ok(mx_build_event(&in, &in_time));
	in.ts = 2001;
	unit_ok(mx_build_event(&in, &late));
	expect_accepted(in_time, key);
	unit_refused(mx_verify_event(late->version, mx_event_json(late), domains_key, key, &got),
		     MX_E_FORBIDDEN);
	/* before version 5 nobody looks at the time */
	for (size_t i = 0; i < ALL_VERSIONS; i++) {
		MX_AUTO(mx_event) *old = NULL;

		in.version = version_of(all_versions[i]);
		unit_ok(mx_build_event(&in, &old));
		if (is_version("1-4", all_versions[i]))
			expect_accepted(old, key);
		else
			unit_refused(mx_verify_event(old->version, mx_event_json(old), domains_key,
						     key, &got),
				     MX_E_FORBIDDEN);
	}
}

/* Versions from 5 on: whatever a key says of itself, it is believed for a week. */
static void
a_key_is_believed_for_a_week(void **state)
{
	const mx_msec day = 24 * 60 * 60 * 1000;
	MX_AUTO(mx_signing_key) *key = spec_key();

	(void)state;
	key_until = INT64_MAX;
	for (size_t i = 0; i < ALL_VERSIONS; i++) {
		struct mx_build in = draft(all_versions[i], key);
		MX_AUTO(mx_event) *soon = NULL, *later = NULL, *got = NULL;

		in.ts = mx_now() + 6 * day;
		unit_ok(mx_build_event(&in, &soon));
		expect_accepted(soon, key);
		in.ts = mx_now() + 8 * day;
		unit_ok(mx_build_event(&in, &later));
		if (is_version("1-4", all_versions[i]))
			expect_accepted(later, key);
		else
			unit_refused(mx_verify_event(later->version, mx_event_json(later),
						     domains_key, key, &got),
				     MX_E_FORBIDDEN);
	}
	key_until = 2000;
}

static void
expect_servers_in(const char *version, const char *id, const char *content, const char *expected)
{
	MX_AUTO(mx_event) *ev = make_event((struct spec){ .version = version,
							  .id = id,
							  .type = "m.room.member",
							  .key = "carol",
							  .sender = "alice",
							  .content = content });
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	mx_str servers[MX_VERIFY_SERVERS];
	size_t n = mx_verify_servers(ev, servers);

	for (size_t i = 0; i < n; i++)
		mx_buf_printf(b, "%.*s ", MX_SFMT(servers[i]));
	assert_string_equal(mx_buf_cstr(b), expected);
}

static void
expect_servers(const char *content, const char *expected)
{
	expect_servers_in("12", NULL, content, expected);
}

#define VIA_B "{\"join_authorised_via_users_server\":\"@x:b\",\"membership\":\"join\"}"

static void
the_right_servers_must_have_signed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ALL_VERSIONS; i++) {
		const char *v = all_versions[i];
		bool chosen = is_version("1-2", v);

		/* whose server named the event, where servers do */
		expect_servers_in(v, "$x:a", "{\"membership\":\"join\"}", "a ");
		expect_servers_in(v, "$x:c", "{\"membership\":\"join\"}", chosen ? "a c " : "a ");
		expect_servers_in(v, "$x:c",
				  "{\"membership\":\"invite\",\"third_party_invite\":{}}",
				  chosen ? "c " : "");
		expect_servers_in(v, "$x:a", VIA_B, is_version("8-", v) ? "a b " : "a ");
	}
	expect_servers("{\"membership\":\"join\"}", "a ");
	expect_servers("{\"membership\":\"invite\"}", "a ");
	expect_servers("{\"membership\":\"invite\",\"third_party_invite\":{}}", "");
	expect_servers("{\"membership\":\"join\",\"third_party_invite\":{}}", "a ");
	expect_servers("{\"join_authorised_via_users_server\":\"@x:b\",\"membership\":\"join\"}",
		       "a b ");
	expect_servers("{\"join_authorised_via_users_server\":\"@x:a\",\"membership\":\"join\"}",
		       "a ");
	expect_servers("{\"join_authorised_via_users_server\":1,\"membership\":\"join\"}", "a ");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(events_are_hashed_and_signed_as_the_specification_does),
		unit_case(the_reference_hash_is_that_of_the_versions_redaction),
		unit_case(what_is_made_passes_every_check),
		unit_case(the_bytes_are_canonical),
		unit_case(old_events_have_a_chosen_id_and_references_with_hashes),
		unit_case(the_alphabet_of_the_id_follows_the_version),
		unit_case(a_create_event_of_version_12_makes_the_room_id),
		unit_case(without_a_key_an_event_is_only_for_asking),
		unit_case(what_exceeds_a_limit_is_not_made),
		unit_case(depth_is_held_at_its_limit),
		unit_case(a_changed_content_leaves_the_redacted_event),
		unit_case(a_changed_or_missing_signature_drops_the_event),
		unit_case(a_chosen_id_needs_the_signature_of_its_server),
		unit_case(a_key_counts_while_it_is_valid),
		unit_case(a_key_is_believed_for_a_week),
		unit_case(the_right_servers_must_have_signed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
