/* How clients get events: slices of the stored bytes, copied between what is fixed. Client-Server
 * API, "Room Event Format", "Stripped state". */
#include "config.h"

#include "core/base/buf.h"
#include "core/room/event_private.h"

static inline void
add_literal(struct mx_buf *b, const char *p, size_t n)
{
	char *to = mx_buf_space(b, n);

	if (to == NULL)
		return;
	memcpy(to, p, n);
	b->n += n;
}

#define LIT(b, lit) add_literal(b, lit, sizeof(lit) - 1)

/* What stands before it, and a string of the event with its quotes: as it stands when nothing in it
 * needs an escape, which is nearly always. */
static inline void
add_str(const struct mx_event *ev, const char *before, size_t n, struct mx_slice s,
	struct mx_buf *b)
{
	char *to;

	if (ev->escaped) {
		mx_buf_add(b, before, n);
		mx_json_quote(mx_event_slice(ev, s), b);
		return;
	}
	if ((to = mx_buf_space(b, n + s.n + 2)) == NULL)
		return;
	memcpy(to, before, n);
	to[n] = '"';
	memcpy(to + n + 1, ev->bytes + s.off, s.n);
	to[n + 1 + s.n] = '"';
	b->n += n + s.n + 2;
}

#define STR(ev, lit, s, b) add_str(ev, lit, sizeof(lit) - 1, s, b)

/* Into space that was asked for at once, for what nearly every event is. */

#define PUT(to, lit) ((char *)memcpy(to, lit, sizeof(lit) - 1) + sizeof(lit) - 1)

/* Behind what stands before it, a string with its quotes. */
static inline char *
put_slice(char *to, const struct mx_event *ev, struct mx_slice s)
{
	*to++ = '"';
	memcpy(to, ev->bytes + s.off, s.n);
	to[s.n] = '"';
	return to + s.n + 1;
}

static inline char *
put_int(char *to, int64_t v)	/* at least 0 */
{
	char digits[20], *end = digits + sizeof(digits), *p = end;
	size_t n;

	do
		*--p = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	n = (size_t)(end - p);
	memcpy(to, p, n);
	return to + n;
}

/* Redactions say in content what they redact, even where their version has it at the top. */
static void
add_content(const struct mx_event *ev, struct mx_buf *b)
{
	mx_str content = mx_event_content(ev);

	LIT(b, "\"content\":");
	if (ev->redacts.off == 0 || ev->content_redacts) {
		mx_buf_str(b, content);
		return;
	}
	STR(ev, "{\"redacts\":", ev->redacts, b);
	if (content.n > 2)
		mx_buf_byte(b, ',');
	mx_buf_add(b, content.p + 1, content.n - 1);
}

static void
add_previous(const struct mx_event *previous, struct mx_buf *b)
{
	LIT(b, ",\"prev_content\":");
	mx_buf_str(b, mx_event_content(previous));
	STR(previous, ",\"prev_sender\":", previous->sender, b);
	LIT(b, ",\"replaces_state\":\"");
	mx_buf_str(b, mx_event_id(previous));
	mx_buf_byte(b, '"');
}

static void
add_unsigned(const struct mx_event *ev, const struct mx_event_view *view, struct mx_buf *b)
{
	mx_msec age = mx_now() - ev->ts;
	const char *membership = mx_membership_name(view->membership);

	char *to = mx_buf_space(b, 128);

	if (to == NULL)
		return;
	to = put_int(PUT(to, ",\"unsigned\":{\"age\":"), age > 0 ? age : 0);
	if (membership != NULL) {
		size_t n = strlen(membership);

		to = memcpy(PUT(to, ",\"membership\":\""), membership, n);
		to[n] = '"';
		to += n + 1;
	}
	b->n = (size_t)(to - b->p);
	if (view->previous != NULL)
		add_previous(view->previous, b);
	if (view->redaction != NULL) {
		const struct mx_event_view plain = { .with_room_id = view->with_room_id };

		LIT(b, ",\"redacted_because\":");
		mx_event_client(view->redaction, &plain, b);
	}
	if (view->device != 0 && ev->device == view->device && ev->txn_id.off != 0) {
		mx_str txn_id;

		mx_str_cut(mx_event_txn_id(ev), '\n', &txn_id, &(mx_str){ NULL, 0 });
		LIT(b, ",\"transaction_id\":");
		mx_json_quote(txn_id, b);
	}
	if (view->unsigned_more.n != 0) {
		mx_buf_byte(b, ',');
		mx_buf_str(b, view->unsigned_more);
	}
	mx_buf_byte(b, '}');
}

/* All up to "unsigned", of an event whose strings stand in its JSON as they are. False: not this one,
 * or not here. */
static bool
add_plain(const struct mx_event *ev, bool with_room_id, struct mx_buf *b)
{
	size_t most = (size_t)ev->content.n + ev->id.n + ev->room_id.n + ev->sender.n +
		      ev->state_key.n + ev->type.n + 256;
	char *to;

	if (ev->escaped || ev->redacts.off != 0 || ev->ts < 0 ||
	    (to = mx_buf_space(b, most)) == NULL)
		return false;
	to = PUT(to, "{\"content\":");
	memcpy(to, ev->bytes + ev->content.off, ev->content.n);
	to = PUT(to + ev->content.n, ",\"event_id\":");
	to = put_slice(to, ev, ev->id);
	to = put_int(PUT(to, ",\"origin_server_ts\":"), ev->ts);
	if (with_room_id)
		to = put_slice(PUT(to, ",\"room_id\":"), ev, ev->room_id);
	to = put_slice(PUT(to, ",\"sender\":"), ev, ev->sender);
	if (ev->state)
		to = put_slice(PUT(to, ",\"state_key\":"), ev, ev->state_key);
	to = put_slice(PUT(to, ",\"type\":"), ev, ev->type);
	b->n = (size_t)(to - b->p);
	return true;
}

static void
add_any(const struct mx_event *ev, const struct mx_event_view *view, struct mx_buf *b)
{
	mx_buf_byte(b, '{');
	add_content(ev, b);
	LIT(b, ",\"event_id\":\"");
	mx_buf_str(b, mx_event_id(ev));
	LIT(b, "\",\"origin_server_ts\":");
	mx_buf_int(b, ev->ts);
	if (ev->redacts.off != 0)
		STR(ev, ",\"redacts\":", ev->redacts, b);
	if (view->with_room_id)
		STR(ev, ",\"room_id\":", ev->room_id, b);
	STR(ev, ",\"sender\":", ev->sender, b);
	if (ev->state)
		STR(ev, ",\"state_key\":", ev->state_key, b);
	STR(ev, ",\"type\":", ev->type, b);
}

void
mx_event_client(const struct mx_event *ev, const struct mx_event_view *view, struct mx_buf *b)
{
	mx_buf_reserve(b, (size_t)ev->content.n + 512 + view->unsigned_more.n);
	if (!add_plain(ev, view->with_room_id, b))
		add_any(ev, view, b);
	add_unsigned(ev, view, b);
	mx_buf_byte(b, '}');
}

void
mx_event_stripped(const struct mx_event *ev, struct mx_buf *b)
{
	LIT(b, "{\"content\":");
	mx_buf_str(b, mx_event_content(ev));
	STR(ev, ",\"sender\":", ev->sender, b);
	if (ev->state)
		STR(ev, ",\"state_key\":", ev->state_key, b);
	else
		LIT(b, ",\"state_key\":\"\"");
	STR(ev, ",\"type\":", ev->type, b);
	mx_buf_byte(b, '}');
}
