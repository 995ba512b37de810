#include "config.h"

#include "core/room/build.h"
#include "core/room/verify.h"
#include "tests/fuzz/fuzz_room.h"

/* Input: a letter for the version, a byte for the kind, one that says where the event is damaged, and
 * content. What we sign, others accept; what somebody has changed, nobody does. */

static struct mx_signing_key *key;

static bool
key_of(void *arg, mx_str server, mx_str key_id, mx_msec at, struct mx_verify_key *out)
{
	(void)arg;
	if (!mx_str_eq(server, MX_S("a")) || !mx_str_eq(key_id, mx_signing_key_id(key)))
		return false;
	mx_signing_key_public(key, out->public_key);
	out->valid_until = at;
	return true;
}

static struct mx_event *
build(const struct mx_room_version *v, uint8_t kind, const json_t *content)
{
	static const char *const types[] = { "m.room.message", "m.room.member", "m.room.redaction",
					     "m.room.power_levels", "m.room.aliases", "\"\n" };
	static const mx_str ids[2] = { { "$a:a", 4 }, { "$b:a", 4 } };
	static const unsigned char hashes[2][MX_SHA256_SIZE] = { { 1 }, { 2 } };
	struct mx_build in = {
		.version = v,
		.room_id = MX_S("!r:a"),
		.sender = MX_S("@u:a"),
		.type = mx_str_of(types[kind % 6]),
		.state_key = (kind & 64) != 0 ? MX_S("@u:a") : (mx_str){ NULL, 0 },
		.content = content,
		.redacts = (kind & 128) != 0 ? MX_S("$x") : (mx_str){ NULL, 0 },
		.ts = 1000,
		.depth = kind,
		.prev = ids,
		.prev_n = kind % 3,
		.prev_hash = hashes,
		.auth = ids,
		.auth_n = kind % 2 + 1,
		.auth_hash = hashes,
		.server = MX_S("a"),
		.key = key,
	};
	struct mx_event *ev = NULL;

	return mx_error_drop(mx_build_event(&in, &ev)) ? NULL : ev;
}

static void
others_accept(const struct mx_event *ev)
{
	MX_AUTO(mx_event) *again = NULL;

	fuzz_holds(!mx_error_drop(
		mx_verify_event(ev->version, mx_event_json(ev), key_of, NULL, &again)));
	fuzz_holds(mx_str_eq(mx_event_json(again), mx_event_json(ev)));
	fuzz_holds(mx_str_eq(mx_event_id(again), mx_event_id(ev)));
	fuzz_holds(!mx_event_redacted(again));
}

/* One byte is another: it is no event, its signature is wrong, it comes out redacted, or it is the
 * same event in other words. */
static void
nobody_accepts_what_was_changed(const struct mx_event *ev, uint8_t where)
{
	char *bytes = mx_str_dup(mx_event_json(ev));
	MX_AUTO(mx_event) *got = NULL, *redacted = mx_event_redact(ev);
	size_t at = (size_t)where * ev->json_n / 256;

	bytes[at] ^= 1;
	if (!mx_error_drop(mx_verify_event(ev->version, (mx_str){ bytes, ev->json_n }, key_of, NULL,
					   &got)))
		fuzz_holds(mx_str_eq(mx_event_content(got), mx_event_content(redacted)) ||
			   mx_str_eq(mx_event_content(got), mx_event_content(ev)));
	free(bytes);
}

/* The same for JSON that is no event. */
static void
objects_too(json_t *o, bool strict)
{
	unsigned char public[MX_ED25519_PUBLIC];

	mx_signing_key_public(key, public);
	if (mx_error_drop(mx_sign_json(o, strict, MX_S("a"), key)))
		return;
	fuzz_holds(!mx_error_drop(
		mx_verify_json(o, strict, MX_S("a"), mx_signing_key_id(key), public)));
	json_object_set_new(o, "one more", json_true());
	fuzz_holds(mx_error_drop(
		mx_verify_json(o, strict, MX_S("a"), mx_signing_key_id(key), public)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	MX_AUTO(mx_event) *ev = NULL;
	MX_AUTO_JSON *content = NULL;

	if (key == NULL)
		fuzz_holds(!mx_error_drop(mx_signing_key_parse(
			MX_S("ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"), &key)));
	if (size < 3 || mx_error_drop(mx_json_parse((mx_str){ (const char *)data + 3, size - 3 },
						    &content)))
		return 0;
	ev = build(fuzz_version(data[0]), data[1], content);
	if (ev != NULL) {
		others_accept(ev);
		nobody_accepts_what_was_changed(ev, data[2]);
	}
	if (json_is_object(content) && json_object_get(content, "one more") == NULL)
		objects_too(content, (data[1] & 1) != 0);
	return 0;
}
