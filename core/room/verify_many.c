/* Many events at once: parsed on several threads, then each key that any of them needs is asked
 * for once, then signatures and hashes are checked on several threads. */
#include "config.h"

#include "core/room/crew.h"
#include "core/room/outlier.h"

#include <stdlib.h>

#define QUICK_US 2000
#define STRIDE 4	/* events that a thread takes at a time */

struct wanted {
	mx_str server, key_id;	/* borrowed from an event of the batch */
	mx_msec at;
	bool have;
	struct mx_verify_key key;
};

struct batch {
	struct mx_rooms *rs;
	const struct mx_room_version *version;
	const mx_str *pdus;
	struct mx_arrival *v;
	struct mx_event **parsed;	/* kept to the end: wanted borrows from them */
	size_t n;
	struct wanted *wanted;
	size_t wanted_n, wanted_room;
	size_t quick;			/* so many of them were at hand */
	uint32_t *slots;		/* a hash table over wanted: place + 1, 0 for free */
	size_t slots_n;			/* a power of two */
};

/* ---- the keys ---- */

static uint32_t *
slot(const struct batch *b, mx_str server, mx_str key_id)
{
	uint64_t h = mx_hash(server.p, server.n) * 31 + mx_hash(key_id.p, key_id.n);

	for (size_t i = (size_t)h & (b->slots_n - 1);; i = (i + 1) & (b->slots_n - 1)) {
		const struct wanted *w = b->slots[i] != 0 ? &b->wanted[b->slots[i] - 1] : NULL;

		if (w == NULL || (mx_str_eq(w->server, server) && mx_str_eq(w->key_id, key_id)))
			return &b->slots[i];
	}
}

static void
grow(struct batch *b)
{
	b->wanted_room = b->wanted_room == 0 ? 16 : 2 * b->wanted_room;
	b->wanted = mx_realloc(b->wanted, b->wanted_room, sizeof(*b->wanted));
	b->slots_n = 2 * b->wanted_room;
	free(b->slots);
	b->slots = mx_alloc(b->slots_n * sizeof(*b->slots));
	for (size_t i = 0; i < b->wanted_n; i++)
		*slot(b, b->wanted[i].server, b->wanted[i].key_id) = (uint32_t)i + 1;
}

static void
want(void *arg, mx_str server, mx_str key_id, mx_msec at)
{
	struct batch *b = arg;

	if (b->wanted_n == b->wanted_room)
		grow(b);
	uint32_t *place = slot(b, server, key_id);

	if (*place == 0) {
		b->wanted[b->wanted_n++] = (struct wanted){ .server = server, .key_id = key_id };
		*place = (uint32_t)b->wanted_n;
	}
	struct wanted *w = &b->wanted[*place - 1];

	w->at = at > w->at ? at : w->at;
}

static void
fetch(void *arg, size_t i)
{
	struct batch *b = arg;
	struct wanted *w = &b->wanted[i];
	const struct mx_rooms *rs = b->rs;

	if (mx_str_eq(w->server, mx_rooms_server(rs)) &&
	    mx_str_eq(w->key_id, mx_signing_key_id(rs->key))) {
		mx_signing_key_public(rs->key, w->key.public_key);
		w->key.valid_until = INT64_MAX;
		w->have = true;
	} else if (rs->verify_key != NULL) {
		w->have = rs->verify_key(rs->verify_arg, w->server, w->key_id, w->at, &w->key);
	}
}

static void
fetch_rest(void *arg, size_t i)
{
	struct batch *b = arg;

	fetch(b, b->quick + i);
}

/* Keys are mostly at hand, and not worth waking a thread for. Once one is not, the rest are asked
 * for at the same time. */
static void
fetch_all(struct batch *b)
{
	int64_t start = mx_monotonic_us();

	while (b->quick < b->wanted_n && mx_monotonic_us() - start < QUICK_US)
		fetch(b, b->quick++);
	mx_crew_run(b->rs->crews, MX_CREW_WAIT, fetch_rest, b, b->wanted_n - b->quick);
}

static bool
fetched(void *arg, mx_str server, mx_str key_id, mx_msec at, struct mx_verify_key *out)
{
	const struct batch *b = arg;
	uint32_t place = b->slots_n != 0 ? *slot(b, server, key_id) : 0;

	(void)at;
	if (place == 0 || !b->wanted[place - 1].have)
		return false;
	*out = b->wanted[place - 1].key;
	return true;
}

/* ---- the events ---- */

static void
drop(struct mx_arrival *v, mx_error *e)
{
	v->fate = MX_FATE_DROPPED;
	switch (mx_error_code(e)) {
	case MX_E_TOO_LARGE:
		v->reason = MX_REASON_SIZE;
		break;
	case MX_E_FORBIDDEN:
		v->reason = MX_REASON_SIGNATURE;
		break;
	default:
		v->reason = MX_REASON_MALFORMED;
	}
	mx_arrival_words(v, mx_error_text(e));
	mx_error_free(&e);
}

/* A database keeps no NUL in text. */
static bool
storable(const struct mx_event *ev)
{
	mx_str type = mx_event_type(ev), key = mx_event_state_key(ev);

	return memchr(type.p, 0, type.n) == NULL && (key.n == 0 || memchr(key.p, 0, key.n) == NULL);
}

static void
parse_some(void *arg, size_t stride)
{
	struct batch *b = arg;

	for (size_t i = stride * STRIDE; i < b->n && i < (stride + 1) * STRIDE; i++) {
		mx_error *e = mx_event_from_bytes(b->version, b->pdus[i], &b->parsed[i]);

		if (e == NULL && !storable(b->parsed[i]))
			e = mx_error_new(MX_E_BAD_JSON, "type or state_key has a NUL in it");
		if (e != NULL) {
			mx_event_unref(&b->parsed[i]);
			drop(&b->v[i], e);
		}
	}
}

static void
check_some(void *arg, size_t stride)
{
	struct batch *b = arg;

	for (size_t i = stride * STRIDE; i < b->n && i < (stride + 1) * STRIDE; i++) {
		struct mx_arrival *v = &b->v[i];

		if (b->parsed[i] == NULL)
			continue;
		mx_error *e = mx_verify_parsed(b->parsed[i], fetched, b, &v->event);

		if (e != NULL)
			drop(v, e);
		else if (v->event->redacted)
			v->reason = MX_REASON_HASH;
	}
}

mx_error *
mx_verify_events(struct mx_rooms *rs, const struct mx_room_version *version, const mx_str *pdus,
		 size_t n, struct mx_arrival *v)
{
	struct batch b = { .rs = rs, .version = version, .pdus = pdus, .v = v, .n = n };
	size_t strides = (n + STRIDE - 1) / STRIDE;

	if (n > 0)
		memset(v, 0, n * sizeof(*v));
	b.parsed = mx_alloc((n + 1) * sizeof(struct mx_event *));
	mx_crew_run(rs->crews, MX_CREW_COMPUTE, parse_some, &b, strides);
	for (size_t i = 0; i < n; i++)
		if (b.parsed[i] != NULL)
			mx_verify_keys(b.parsed[i], want, &b);
	fetch_all(&b);
	mx_crew_run(rs->crews, MX_CREW_COMPUTE, check_some, &b, strides);
	for (size_t i = 0; i < n; i++)
		mx_event_unref(&b.parsed[i]);
	free(b.parsed);
	free(b.wanted);
	free(b.slots);
	return NULL;
}
