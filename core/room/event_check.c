/* Events from strangers: every member's type and limit is checked before the bytes become an event.
 * Server-Server API, "PDUs"; Room Versions, "Event format". */
#include "config.h"

#include "core/json/json.h"
#include "core/room/event_big.h"
#include "core/room/event_private.h"
#include "core/room/hash.h"

/* What a peer sends may hold unsigned and white space; more than this is not looked at. */
#define INPUT_MAX (16 * (size_t)MX_EVENT_MAX)

/* A string of at most 255 bytes; *out.p is NULL when it is absent and may be. */
static mx_error *
field(const json_t *o, const char *key, bool required, mx_str *out)
{
	*out = (mx_str){ NULL, 0 };
	if (!required && json_object_get(o, key) == NULL)
		return NULL;
	MX_TRY(mx_json_get_str(o, key, out));
	if (out->n > MX_EVENT_MAX_FIELD)
		return mx_error_new(MX_E_TOO_LARGE, "%s is longer than %d bytes", key,
				    MX_EVENT_MAX_FIELD);
	return NULL;
}

static mx_error *
integer(const json_t *o, const char *key, int64_t min, int64_t max)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
		return mx_error_new(MX_E_BAD_JSON, "%s is not an integer in its range", key);
	return NULL;
}

/* An event id as others may name it: the form is theirs, but it needs no escapes. */
static bool
is_reference(const json_t *v)
{
	const char *s = json_string_value(v);
	size_t n = json_string_length(v);

	return s != NULL && n > 1 && n <= MX_EVENT_MAX_FIELD && s[0] == '$' &&
	       mx_json_special(s, s + n) == s + n;
}

static mx_error *
references(const struct mx_room_version *v, const json_t *o, const char *key, size_t max)
{
	const json_t *list = json_object_get(o, key), *item;
	size_t i;

	if (!json_is_array(list))
		return mx_error_new(MX_E_BAD_JSON, "%s is not a list of event ids", key);
	if (json_array_size(list) > max)
		return mx_error_new(MX_E_TOO_LARGE, "%s has more than %zu events", key, max);
	json_array_foreach(list, i, item) {
		/* Versions 1 and 2: pairs of an id and hashes. None of the checks on receipt of a PDU
		 * compares these hashes with the event that is named, and servers that are known take
		 * the ids alone: who compared them would part from all others. */
		if (v->refs_with_hashes) {
			if (json_array_size(item) != 2 || !json_is_object(json_array_get(item, 1)))
				return mx_error_new(MX_E_BAD_JSON,
						    "%s is not a list of ids and hashes", key);
			item = json_array_get(item, 0);
		}
		if (!is_reference(item))
			return mx_error_new(MX_E_BAD_JSON, "%s is not a list of event ids", key);
	}
	return NULL;
}

static mx_error *
signatures(const json_t *o)
{
	const json_t *all = json_object_get(o, "signatures"), *signature;
	json_t *of_server;
	const char *server, *key;

	if (!json_is_object(all))
		return mx_error_new(MX_E_BAD_JSON, "signatures is not an object");
	json_object_foreach((json_t *)all, server, of_server) {
		if (!json_is_object(of_server))
			return mx_error_new(MX_E_BAD_JSON,
					    "signatures of a server is not an object");
		json_object_foreach(of_server, key, signature)
			if (!json_is_string(signature))
				return mx_error_new(MX_E_BAD_JSON, "a signature is not a string");
	}
	return NULL;
}

static mx_error *
check_names(const struct mx_room_version *v, const json_t *o)
{
	mx_str type, sender, s;
	bool names_room;

	MX_TRY(field(o, "type", true, &type));
	MX_TRY(field(o, "sender", true, &sender));
	if (!mx_id_user(sender, NULL, NULL))
		return mx_error_new(MX_E_BAD_JSON, "sender is not a user id");
	MX_TRY(field(o, "state_key", false, &s));
	names_room = v->room_id_is_create_hash && mx_str_eq(type, MX_S("m.room.create"));
	MX_TRY(field(o, "room_id", !names_room, &s));
	if (s.p != NULL && !mx_id_room(s))
		return mx_error_new(MX_E_BAD_JSON, "room_id is not a room id");
	MX_TRY(field(o, "event_id", v->event_id == MX_EVENT_ID_CHOSEN, &s));
	if (v->event_id == MX_EVENT_ID_CHOSEN &&
	    (!mx_id_event(s) || mx_id_server_of(s).p == NULL ||
	     !is_reference(json_object_get(o, "event_id"))))
		return mx_error_new(MX_E_BAD_JSON, "event_id is not an event id");
	return NULL;
}

static mx_error *
check(const struct mx_room_version *v, const json_t *o)
{
	mx_str hash;

	if (!json_is_object(o))
		return mx_error_new(MX_E_BAD_JSON, "the event is not an object");
	MX_TRY(check_names(v, o));
	MX_TRY(integer(o, "depth", 0, v->max_depth));
	MX_TRY(integer(o, "origin_server_ts", INT64_MIN, INT64_MAX));
	if (!json_is_object(json_object_get(o, "content")))
		return mx_error_new(MX_E_BAD_JSON, "content is not an object");
	MX_TRY(references(v, o, "prev_events", MX_EVENT_MAX_PREV));
	MX_TRY(references(v, o, "auth_events", MX_EVENT_MAX_AUTH));
	if (!json_is_object(json_object_get(o, "hashes")))
		return mx_error_new(MX_E_BAD_JSON, "hashes is not an object");
	MX_TRY(mx_json_get_str(json_object_get(o, "hashes"), "sha256", &hash));
	return signatures(o);
}

static mx_error *
check_numbers(const json_t *o)
{
	json_t *value;
	const char *key;

	json_object_foreach((json_t *)o, key, value)
		if (strcmp(key, "unsigned") != 0)
			MX_TRY(mx_error_wrap(mx_json_check_integers(value, MX_JSON_DEPTH),
					     "an event"));
	return NULL;
}

/* json: canonical, without unsigned. */
static mx_error *
from_canonical(const struct mx_room_version *v, mx_str json, mx_str chosen, struct mx_event **out)
{
	struct mx_event_row row = { .version = v, .json = json, .id = chosen };
	unsigned char hash[MX_SHA256_SIZE];
	char id[MX_HASH_ID], room_id[MX_HASH_ID];

	if (v->event_id != MX_EVENT_ID_CHOSEN) {
		mx_event_reference_hash(v, row.json, hash);
		mx_event_id_of_hash(v, hash, id);
		row.id = (mx_str){ id, sizeof(id) };
		memcpy(room_id, id, sizeof(id));
		room_id[0] = '!';
		if (v->room_id_is_create_hash)
			row.room_id = (mx_str){ room_id, sizeof(room_id) };	/* of a create event: the others have one */
	}
	return mx_event_from_row(&row, out);
}

/* big: what the tree is of, when that could not hold all its numbers. */
static mx_error *
from_tree(const struct mx_room_version *v, const json_t *json, mx_str big, struct mx_event **out)
{
	static const char *const except[] = { "unsigned" };
	MX_AUTO(mx_buf) *b = mx_buf_new(MX_EVENT_MAX);
	const json_t *carried = json_object_get(json, "event_id");

	MX_TRY(check(v, json));
	if (v->strict_json)
		MX_TRY(check_numbers(json));
	MX_TRY(mx_error_wrap(big.p != NULL ? mx_json_canonical_big(big, b)
					   : mx_json_canonical_except(json, v->strict_json, except,
								      1, b),
			     "an event"));
	return from_canonical(
		v, mx_buf_view(b),
		(mx_str){ json_string_value(carried), json_string_length(carried) }, out);
}

mx_error *
mx_event_from_bytes(const struct mx_room_version *v, mx_str bytes, struct mx_event **out)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(MX_EVENT_MAX);
	MX_AUTO_JSON *tree = NULL;
	mx_str big = { NULL, 0 }, json;
	mx_error *e;

	if (bytes.n > INPUT_MAX)
		return mx_error_new(MX_E_TOO_LARGE, "an event of %zu bytes", bytes.n);
	if (mx_event_quick(v, bytes, b, &json))
		return from_canonical(v, json, (mx_str){ NULL, 0 }, out);
	e = mx_json_parse(bytes, &tree);
	if (mx_error_is(e, MX_E_BAD_JSON) && !v->strict_json) {
		mx_error_free(&e);
		e = mx_json_parse_big(bytes, &tree);
		big = bytes;
	}
	MX_TRY(e);
	return from_tree(v, tree, big, out);
}
