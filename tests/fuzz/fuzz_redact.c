#include "config.h"

#include "core/room/hash.h"
#include "core/room/redact.h"
#include "tests/fuzz/fuzz_room.h"

/* Input: a letter for the version, then any JSON: redaction does not ask whether it is an event. */

static json_t *
tree_of(mx_str bytes)
{
	json_t *v = NULL;

	fuzz_holds(!mx_error_drop(mx_json_parse(bytes, &v)));
	return v;
}

static void
canonical(const json_t *v, struct mx_buf *b)
{
	mx_buf_truncate(b, 0);
	fuzz_holds(!mx_error_drop(mx_json_canonical(v, false, b)));
}

/* A tree and its bytes are redacted alike, and what is redacted stays so. */
static void
both_ways(const struct mx_room_version *v, const json_t *whole, mx_str bytes)
{
	MX_AUTO(mx_buf) *by_bytes = mx_buf_new(0);
	MX_AUTO(mx_buf) *by_tree = mx_buf_new(0);
	MX_AUTO(mx_buf) *twice = mx_buf_new(0);
	MX_AUTO_JSON *redacted = mx_redact_json(v, whole), *again = NULL;

	mx_redact_bytes(v, bytes, true, by_bytes);
	canonical(redacted, by_tree);
	fuzz_holds(mx_str_eq(mx_buf_view(by_bytes), mx_buf_view(by_tree)));
	mx_redact_bytes(v, mx_buf_view(by_bytes), true, twice);
	fuzz_holds(mx_str_eq(mx_buf_view(by_bytes), mx_buf_view(twice)));
	again = tree_of(mx_buf_view(by_bytes));
	fuzz_holds(json_equal(again, redacted));
}

/* The reference hash is that of the redacted form, whether it is taken of the whole or of that, and
 * signatures do not count. */
static void
one_hash(const struct mx_room_version *v, json_t *whole, mx_str bytes)
{
	MX_AUTO(mx_buf) *redacted = mx_buf_new(0);
	MX_AUTO(mx_buf) *more = mx_buf_new(0);
	unsigned char a[MX_SHA256_SIZE], b[MX_SHA256_SIZE];

	mx_event_reference_hash(v, bytes, a);
	mx_redact_bytes(v, bytes, true, redacted);
	mx_event_reference_hash(v, mx_buf_view(redacted), b);
	fuzz_holds(memcmp(a, b, sizeof(a)) == 0);
	json_object_set_new(whole, "signatures", json_pack("{s:{s:s}}", "a", "ed25519:1", "x"));
	json_object_set_new(whole, "unsigned", json_pack("{s:i}", "age", 1));
	canonical(whole, more);
	mx_event_reference_hash(v, mx_buf_view(more), b);
	fuzz_holds(memcmp(a, b, sizeof(a)) == 0);
}

/* Nothing comes out that did not go in. */
static void
only_less(const json_t *whole, const json_t *redacted)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)redacted, key, value)
		fuzz_holds(strcmp(key, "content") == 0 ||
			   json_equal(value, json_object_get(whole, key)));
	fuzz_holds(json_object_get(redacted, "unsigned") == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO_JSON *whole = NULL, *redacted = NULL;
	const struct mx_room_version *v;

	if (size == 0)
		return 0;
	v = fuzz_version(data[0]);
	if (mx_error_drop(mx_json_parse((mx_str){ (const char *)data + 1, size - 1 }, &whole)) ||
	    !json_is_object(whole) ||
	    (json_object_get(whole, "content") != NULL &&
	     !json_is_object(json_object_get(whole, "content"))))
		return 0;
	canonical(whole, b);
	both_ways(v, whole, mx_buf_view(b));
	redacted = mx_redact_json(v, whole);
	only_less(whole, redacted);
	one_hash(v, whole, mx_buf_view(b));
	return 0;
}
