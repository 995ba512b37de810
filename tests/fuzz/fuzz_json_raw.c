#include "config.h"

#include <myelin/json.h>

#include "tests/fuzz/fuzz.h"

static bool
within(mx_str raw, mx_str text)
{
	return raw.p >= text.p && raw.p + raw.n <= text.p + text.n;
}

/* Every member that the parser finds is found, with the same value. */
static void
same_as_parsed(json_t *o, mx_str text)
{
	const char *key;
	json_t *value;

	json_object_foreach(o, key, value) {
		MX_AUTO_JSON *again = NULL;
		mx_str raw;

		fuzz_holds(mx_json_raw(text, mx_str_of(key), &raw));
		fuzz_holds(within(raw, text));
		fuzz_holds(!mx_error_drop(mx_json_parse(raw, &again)));
		fuzz_holds(json_equal(value, again));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const keys[] = { "a", "", "type", "\n", "\xc3\xa4", "\xf0\x9f\x98\x80" };
	mx_str text = { (const char *)data, size }, raw;
	MX_AUTO_JSON *v = NULL;
	bool valid = !mx_error_drop(mx_json_parse(text, &v));

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		bool found = mx_json_raw(text, mx_str_of(keys[i]), &raw);

		fuzz_holds(!found || within(raw, text));
		if (valid)
			fuzz_holds(found == (json_object_get(v, keys[i]) != NULL));
	}
	if (json_is_object(v))
		same_as_parsed(v, text);
	return 0;
}
