#include "config.h"

#include <myelin/crypto.h>

#include "core/json/json.h"
#include "tests/fuzz/fuzz.h"

/* What is dumped is the same value. */
static void
dump_round_trip(const json_t *v)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO_JSON *again = NULL;

	mx_json_dump(v, b);
	fuzz_holds(!mx_error_drop(mx_json_parse(mx_buf_view(b), &again)));
	fuzz_holds(json_equal(v, again));
}

/* The canonical form of the canonical form is itself. */
static void
canonical_round_trip(const json_t *v, bool strict)
{
	MX_AUTO(mx_buf) *one = mx_buf_new(0);
	MX_AUTO(mx_buf) *two = mx_buf_new(0);
	MX_AUTO_JSON *again = NULL;

	if (mx_error_drop(mx_json_canonical(v, strict, one))) {
		fuzz_holds(strict);
		return;
	}
	fuzz_holds(mx_str_utf8(mx_buf_view(one)));
	fuzz_holds(!mx_error_drop(mx_json_parse(mx_buf_view(one), &again)));
	fuzz_holds(!mx_error_drop(mx_json_canonical(again, strict, two)));
	fuzz_holds(mx_str_eq(mx_buf_view(one), mx_buf_view(two)));
	if (!strict)
		fuzz_holds(json_equal(v, again));
}

/* What is said to be canonical is what the tree gives. */
static void
canonical_as_it_stands(mx_str text)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO_JSON *v = NULL;

	if (!mx_json_is_canonical(text))
		return;
	fuzz_holds(!mx_error_drop(mx_json_parse(text, &v)));
	fuzz_holds(!mx_error_drop(mx_json_canonical(v, true, b)));
	fuzz_holds(mx_str_eq(mx_buf_view(b), text));
}

static void
nobody_signed_it(const json_t *v)
{
	static const unsigned char public[MX_ED25519_PUBLIC] = { 1, 2, 3 };

	fuzz_holds(mx_error_drop(mx_verify_json(v, true, MX_S("a"), MX_S("ed25519:a"), public)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	MX_AUTO_JSON *v = NULL;

	canonical_as_it_stands((mx_str){ (const char *)data, size });
	if (mx_error_drop(mx_json_parse((mx_str){ (const char *)data, size }, &v))) {
		fuzz_holds(v == NULL);
		return 0;
	}
	dump_round_trip(v);
	canonical_round_trip(v, false);
	canonical_round_trip(v, true);
	nobody_signed_it(v);
	return 0;
}
