#include "config.h"

#include "core/json/json.h"
#include "core/room/event_big.h"
#include "core/room/hash.h"
#include "core/room/redact.h"
#include "core/room/verify.h"
#include "tests/fuzz/fuzz_room.h"

/* Touches everything that an event answers. */
static size_t
ask(const struct mx_event *ev)
{
	struct mx_event_ids lists[2] = { mx_event_prev(ev), mx_event_auth(ev) };
	mx_str parts[] = { mx_event_id(ev),        mx_event_type(ev),    mx_event_sender(ev),
			   mx_event_state_key(ev), mx_event_room_id(ev), mx_event_redacts(ev),
			   mx_event_content(ev) };
	size_t sum = 0;
	mx_str a, b;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		for (size_t k = 0; k < parts[i].n; k++)
			sum += (unsigned char)parts[i].p[k];
	for (size_t i = 0; i < 2; i++)
		while (mx_event_ids_next(&lists[i], &a))
			sum += a.n;
	if (mx_event_relation(ev, &a, &b))
		sum += a.n + b.n;
	return sum + mx_event_prev_count(ev);
}

/* Bytes that were damaged in the database must do no harm, whatever comes of them. */
static void
as_a_row(const struct mx_room_version *v, mx_str bytes)
{
	const struct mx_event_row row = {
		.version = v, .json = bytes, .id = MX_S("$id"), .device = 1, .txn_id = MX_S("t")
	};
	const struct mx_event_view view = { .with_room_id = true, .device = 1 };
	MX_AUTO(mx_event) *ev = NULL, *redacted = NULL;
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	volatile size_t sum;

	if (mx_error_drop(mx_event_from_row(&row, &ev)))
		return;
	sum = ask(ev);
	mx_event_client(ev, &view, b);
	mx_event_stripped(ev, b);
	redacted = mx_event_redact(ev);
	sum += ask(redacted);
	(void)sum;
}

/* Where a tree can hold the numbers, the canonical form is the same with it and without. */
static void
canonical_with_and_without_a_tree(mx_str bytes)
{
	static const char *const except[] = { "unsigned" };
	MX_AUTO(mx_buf) *by_tree = mx_buf_new(0);
	MX_AUTO(mx_buf) *by_bytes = mx_buf_new(0);
	MX_AUTO_JSON *tree = NULL, *big = NULL;

	if (mx_error_drop(mx_json_parse_big(bytes, &big)) || !json_is_object(big))
		return;
	fuzz_holds(!mx_error_drop(mx_json_canonical_big(bytes, by_bytes)));
	if (mx_error_drop(mx_json_parse(bytes, &tree)))
		return;
	fuzz_holds(json_equal(tree, big));
	fuzz_holds(!mx_error_drop(mx_json_canonical_except(tree, false, except, 1, by_tree)));
	fuzz_holds(mx_str_eq(mx_buf_view(by_tree), mx_buf_view(by_bytes)));
}

static bool
fits_a_tree(const struct mx_event *ev)
{
	MX_AUTO_JSON *tree = NULL;

	return !mx_error_drop(mx_json_parse(mx_event_json(ev), &tree));
}

static void
trees_and_bytes_are_redacted_alike(const struct mx_event *ev)
{
	MX_AUTO(mx_buf) *bytes = mx_buf_new(0);
	MX_AUTO(mx_buf) *tree = mx_buf_new(0);
	MX_AUTO_JSON *whole = NULL, *redacted = NULL;

	fuzz_holds(!mx_error_drop(mx_json_parse(mx_event_json(ev), &whole)));
	redacted = mx_redact_json(ev->version, whole);
	fuzz_holds(!mx_error_drop(mx_json_canonical(redacted, ev->version->strict_json, tree)));
	mx_redact_bytes(ev->version, mx_event_json(ev), true, bytes);
	fuzz_holds(mx_str_eq(mx_buf_view(bytes), mx_buf_view(tree)));
}

/* What clients get is JSON with the event's content and names in it. */
static void
clients_can_read_it(const struct mx_event *ev)
{
	const struct mx_event_view view = { .with_room_id = true, .previous = ev, .redaction = ev };
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO_JSON *client = NULL, *content = NULL;

	mx_event_client(ev, &view, b);
	fuzz_holds(!mx_error_drop(mx_json_parse(mx_buf_view(b), &client)));
	fuzz_holds(mx_str_eq(mx_json_str(client, "type"), mx_event_type(ev)));
	fuzz_holds(mx_str_eq(mx_json_str(client, "sender"), mx_event_sender(ev)));
	fuzz_holds(mx_str_eq(mx_json_str(client, "room_id"), mx_event_room_id(ev)));
	fuzz_holds((json_object_get(client, "state_key") != NULL) == mx_event_is_state(ev));
	content = mx_event_content_parse(ev);
	if (mx_event_redacts(ev).p == NULL)
		fuzz_holds(json_equal(content, json_object_get(client, "content")));
}

static void
its_bytes_are_canonical(const struct mx_event *ev)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO(mx_event) *again = NULL;
	MX_AUTO_JSON *tree = NULL;

	if (fits_a_tree(ev)) {
		fuzz_holds(!mx_error_drop(mx_json_parse(mx_event_json(ev), &tree)));
		fuzz_holds(!mx_error_drop(mx_json_canonical(tree, ev->version->strict_json, b)));
		fuzz_holds(mx_str_eq(mx_buf_view(b), mx_event_json(ev)));
	}
	fuzz_holds(!mx_error_drop(mx_event_from_bytes(ev->version, mx_event_json(ev), &again)));
	fuzz_holds(mx_str_eq(mx_event_json(ev), mx_event_json(again)));
	fuzz_holds(mx_str_eq(mx_event_id(ev), mx_event_id(again)));
}

/* Whether canonical or not (a space is what makes the difference), the same comes of it. */
static void
quick_and_slow_ways_agree(const struct mx_room_version *v, mx_str bytes)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO(mx_event) *one = NULL, *other = NULL;
	bool refused = mx_error_drop(mx_event_from_bytes(v, bytes, &one));

	mx_buf_byte(b, ' ');
	mx_buf_str(b, bytes);
	fuzz_holds(mx_error_drop(mx_event_from_bytes(v, mx_buf_view(b), &other)) == refused);
	if (refused)
		return;
	fuzz_holds(mx_str_eq(mx_event_json(one), mx_event_json(other)));
	fuzz_holds(mx_str_eq(mx_event_id(one), mx_event_id(other)));
	fuzz_holds(mx_str_eq(mx_event_room_id(one), mx_event_room_id(other)));
}

/* The redacted form is an event that a stranger may send, under the same id. */
static void
redacting_keeps_the_id(const struct mx_event *ev)
{
	MX_AUTO(mx_event) *redacted = mx_event_redact(ev), *again = NULL;

	fuzz_holds(
		!mx_error_drop(mx_event_from_bytes(ev->version, mx_event_json(redacted), &again)));
	fuzz_holds(mx_str_eq(mx_event_id(again), mx_event_id(ev)));
	fuzz_holds(mx_event_is_state(again) == mx_event_is_state(ev));
	fuzz_holds(mx_event_membership(again) == mx_event_membership(ev));
}

static bool
no_key(void *arg, mx_str server, mx_str key_id, mx_msec at, struct mx_verify_key *out)
{
	(void)arg;
	(void)at;
	memset(out, 1, sizeof(*out));
	return server.n != 0 && key_id.n % 2 == 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	MX_AUTO(mx_event) *ev = NULL, *verified = NULL;
	const struct mx_room_version *v;
	mx_str bytes;

	if (size == 0)
		return 0;
	v = fuzz_version(data[0]);
	bytes = (mx_str){ (const char *)data + 1, size - 1 };
	as_a_row(v, bytes);
	canonical_with_and_without_a_tree(bytes);
	quick_and_slow_ways_agree(v, bytes);
	if (!mx_error_drop(mx_verify_event(v, bytes, no_key, NULL, &verified)))
		(void)ask(verified);
	if (mx_error_drop(mx_event_from_bytes(v, bytes, &ev)))
		return 0;
	(void)ask(ev);
	its_bytes_are_canonical(ev);
	if (fits_a_tree(ev)) {
		trees_and_bytes_are_redacted_alike(ev);
		clients_can_read_it(ev);
	}
	redacting_keeps_the_id(ev);
	return 0;
}
