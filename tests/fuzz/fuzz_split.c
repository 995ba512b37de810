#include "config.h"

#include "core/json/split.h"
#include "tests/fuzz/fuzz.h"

/* What was handed out: each piece behind its length. */
static mx_error *
element(void *arg, size_t which, mx_str text)
{
	mx_buf_printf(arg, "%zu:%zu:", which, text.n);
	mx_buf_str(arg, text);
	return NULL;
}

static mx_error *
member(void *arg, size_t which, mx_str text)
{
	return element(arg, 10 + which, text);
}

static bool
split(mx_str text, size_t piece, struct mx_buf *b)
{
	struct mx_split *s = mx_split_new(&(struct mx_split_want){ .arrays = { "a", "b" },
								   .members = { "c", "d" },
								   .element_max = 4096,
								   .member_max = 4096,
								   .elements_max = 10000,
								   .total_max = 1 << 20,
								   .element = element,
								   .member = member,
								   .arg = b });
	mx_error *e = NULL;

	for (size_t at = 0; at < text.n && e == NULL; at += piece)
		e = mx_split_feed(s, (mx_str){ text.p + at, text.n - at < piece ? text.n - at : piece });
	if (e == NULL)
		e = mx_split_end(s);
	mx_split_free(&s);
	return !mx_error_drop(e);
}

/* The elements are those that a parser finds. */
static void
same_as_parsed(const json_t *list, size_t which, mx_str heard)
{
	char head[64];

	for (size_t i = 0; i < json_array_size(list); i++) {
		MX_AUTO_JSON *v = NULL;
		const char *colon;
		size_t n;

		snprintf(head, sizeof(head), "%zu:", which);
		fuzz_holds(mx_str_starts(heard, mx_str_of(head)));
		heard.p += strlen(head);
		heard.n -= strlen(head);
		colon = memchr(heard.p, ':', heard.n);
		fuzz_holds(colon != NULL);
		n = strtoul(heard.p, NULL, 10);
		fuzz_holds(!mx_error_drop(mx_json_parse((mx_str){ colon + 1, n }, &v)));
		fuzz_holds(json_equal(v, json_array_get(list, i)));
		heard.n -= (size_t)(colon + 1 - heard.p) + n;
		heard.p = colon + 1 + n;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	MX_AUTO(mx_buf) *whole = mx_buf_new(0);
	MX_AUTO(mx_buf) *pieces = mx_buf_new(0);
	MX_AUTO_JSON *parsed = NULL;
	mx_str text;
	bool good;

	if (size < 2 || size > 4096)
		return 0;
	text = (mx_str){ (const char *)data + 1, size - 1 };
	good = split(text, text.n, whole);
	fuzz_holds(split(text, data[0] % 16 + 1u, pieces) == good);
	fuzz_holds(mx_str_eq(mx_buf_view(whole), mx_buf_view(pieces)));
	if (mx_error_drop(mx_json_parse(text, &parsed)) || !json_is_object(parsed))
		return 0;
	/* Keys with escapes are nobody's; then the parser knows more. */
	if (memchr(text.p, '\\', text.n) != NULL)
		return 0;
	const json_t *a = json_object_get(parsed, "a"), *b = json_object_get(parsed, "b");

	fuzz_holds(good == ((a == NULL || json_is_array(a)) && (b == NULL || json_is_array(b))));
	if (json_is_array(a) && json_object_size(parsed) == 1)
		same_as_parsed(a, 0, mx_buf_view(whole));
	return 0;
}
