/* Events that come in canonical form, as most do: checked where they stand, without a tree. What is
 * not plainly good is left to event_check.c, which knows what to say of it. */
#include "config.h"

#include "core/json/json.h"
#include "core/room/event_private.h"
#include "core/room/scan.h"

/* Of the event, as they stand; p is NULL for those that it lacks. */
struct members {
	mx_str type, sender, state_key, room_id, event_id, content, prev, auth, hashes, signatures,
		depth, ts;
	mx_str before, after;	/* what is on either side of unsigned; all in before when there is none */
};

static void
find_members(mx_str bytes, struct members *m)
{
	const struct {
		mx_str key;
		mx_str *value;
	} wanted[] = {
		{ MX_S("auth_events"), &m->auth },  { MX_S("content"), &m->content },
		{ MX_S("depth"), &m->depth },	    { MX_S("event_id"), &m->event_id },
		{ MX_S("hashes"), &m->hashes },	    { MX_S("origin_server_ts"), &m->ts },
		{ MX_S("prev_events"), &m->prev },  { MX_S("room_id"), &m->room_id },
		{ MX_S("sender"), &m->sender },	    { MX_S("signatures"), &m->signatures },
		{ MX_S("state_key"), &m->state_key }, { MX_S("type"), &m->type },
	};
	const char *end = bytes.p + bytes.n;
	struct mx_scan s;
	mx_str key, value;
	size_t at = 0;

	*m = (struct members){ .before = bytes };
	if (!mx_scan_object(&s, bytes))
		return;
	while (mx_scan_member(&s, &key, &value)) {
		/* Both are in order. */
		while (at < sizeof(wanted) / sizeof(wanted[0]) && mx_str_cmp(wanted[at].key, key) < 0)
			at++;
		if (at < sizeof(wanted) / sizeof(wanted[0]) && mx_str_eq(wanted[at].key, key)) {
			*wanted[at].value = value;
		} else if (mx_str_eq(key, MX_S("unsigned"))) {
			/* With the comma in front of it: something is, or the event is refused. */
			m->before.n = (size_t)(key.p - 2 - bytes.p);
			m->after.p = value.p + value.n;
			m->after.n = (size_t)(end - m->after.p);
		}
	}
}

/* A string without escapes of at most 255 bytes. */
static bool
field(mx_str value, mx_str *out)
{
	return mx_scan_string(value, out) && out->n <= MX_EVENT_MAX_FIELD && !mx_scan_escaped(*out);
}

static bool
integer(mx_str value, int64_t min, int64_t max)
{
	int64_t v;

	return value.n > 0 && mx_scan_int(value, &v) && v >= min && v <= max;
}

static bool
references(mx_str list, size_t max)
{
	struct mx_scan s;
	mx_str value, id;
	size_t n = 0;

	if (!mx_scan_is_array(list) || !mx_scan_array(&s, list))
		return false;
	while (mx_scan_element(&s, &value))
		if (n++ == max || !field(value, &id) || id.n < 2 || id.p[0] != '$')
			return false;
	return !s.broken;
}

static bool
signatures(mx_str all)
{
	struct mx_scan s, of_server;
	mx_str key, value, text;

	if (!mx_scan_is_object(all) || !mx_scan_object(&s, all))
		return false;
	while (mx_scan_member(&s, &key, &value)) {
		if (!mx_scan_is_object(value) || !mx_scan_object(&of_server, value))
			return false;
		while (mx_scan_member(&of_server, &key, &value))
			if (!mx_scan_string(value, &text))
				return false;
	}
	return true;
}

static bool
names(const struct mx_room_version *v, const struct members *m)
{
	mx_str type, sender, s;
	bool names_room;

	if (!field(m->type, &type) || !field(m->sender, &sender) || !mx_id_user(sender, NULL, NULL))
		return false;
	if ((m->state_key.p != NULL && !field(m->state_key, &s)) ||
	    (m->event_id.p != NULL && !field(m->event_id, &s)))
		return false;
	names_room = v->room_id_is_create_hash && mx_str_eq(type, MX_S("m.room.create"));
	return m->room_id.p != NULL ? field(m->room_id, &s) && mx_id_room(s) : names_room;
}

static bool
is_good(const struct mx_room_version *v, const struct members *m)
{
	mx_str hash, text;

	return names(v, m) && integer(m->depth, 0, v->max_depth) &&
	       integer(m->ts, INT64_MIN, INT64_MAX) && mx_scan_is_object(m->content) &&
	       references(m->prev, MX_EVENT_MAX_PREV) && references(m->auth, MX_EVENT_MAX_AUTH) &&
	       mx_scan_is_object(m->hashes) &&
	       mx_scan_find(m->hashes, MX_S("sha256"), &hash) && field(hash, &text) &&
	       signatures(m->signatures);
}

bool
mx_event_quick(const struct mx_room_version *v, mx_str bytes, struct mx_buf *b, mx_str *json)
{
	struct members m;

	if (v->refs_with_hashes || v->event_id == MX_EVENT_ID_CHOSEN || !mx_json_is_canonical(bytes))
		return false;
	find_members(bytes, &m);
	if (!is_good(v, &m) || m.before.n + m.after.n > MX_EVENT_MAX)
		return false;
	*json = m.before;
	if (m.after.n > 0) {
		mx_buf_str(b, m.before);
		mx_buf_str(b, m.after);
		*json = mx_buf_view(b);
	}
	return true;
}
