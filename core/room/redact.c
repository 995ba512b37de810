#include "config.h"

#include "core/room/redact.h"
#include "core/room/scan.h"

/* ---- the table ---- */

#define ALL 99
#define KEY(s) { s, sizeof(s) - 1 }

struct kept {
	mx_str key;		/* p NULL: the whole content */
	enum mx_redaction from;
	int until;		/* the last algorithm that keeps it */
	const char *only;	/* of an object: this member alone */
};

static const struct kept top[] = {
	{ KEY("auth_events"), 1, ALL, NULL }, { KEY("content"), 1, ALL, NULL },
	{ KEY("depth"), 1, ALL, NULL },       { KEY("event_id"), 1, ALL, NULL },
	{ KEY("hashes"), 1, ALL, NULL },      { KEY("membership"), 1, 9, NULL },
	{ KEY("origin"), 1, 9, NULL },        { KEY("origin_server_ts"), 1, ALL, NULL },
	{ KEY("prev_events"), 1, ALL, NULL }, { KEY("prev_state"), 1, 9, NULL },
	{ KEY("room_id"), 1, ALL, NULL },     { KEY("sender"), 1, ALL, NULL },
	{ KEY("signatures"), 1, ALL, NULL },  { KEY("state_key"), 1, ALL, NULL },
	{ KEY("type"), 1, ALL, NULL },        { .from = 0 },
};

static const struct kept aliases[] = { { KEY("aliases"), 1, 1, NULL }, { .from = 0 } };
static const struct kept create[] = { { KEY("creator"), 1, 9, NULL },
				      { { NULL, 0 }, 11, ALL, NULL },
				      { .from = 0 } };
static const struct kept history_visibility[] = { { KEY("history_visibility"), 1, ALL, NULL },
						  { .from = 0 } };
static const struct kept join_rules[] = { { KEY("allow"), 8, ALL, NULL },
					  { KEY("join_rule"), 1, ALL, NULL },
					  { .from = 0 } };
static const struct kept member[] = {
	{ KEY("join_authorised_via_users_server"), 9, ALL, NULL },
	{ KEY("membership"), 1, ALL, NULL },
	{ KEY("third_party_invite"), 11, ALL, "signed" },
	{ .from = 0 },
};
static const struct kept power_levels[] = {
	{ KEY("ban"), 1, ALL, NULL },
	{ KEY("events"), 1, ALL, NULL },
	{ KEY("events_default"), 1, ALL, NULL },
	{ KEY("invite"), 11, ALL, NULL },
	{ KEY("kick"), 1, ALL, NULL },
	{ KEY("redact"), 1, ALL, NULL },
	{ KEY("state_default"), 1, ALL, NULL },
	{ KEY("users"), 1, ALL, NULL },
	{ KEY("users_default"), 1, ALL, NULL },
	{ .from = 0 },
};
static const struct kept redaction[] = { { KEY("redacts"), 11, ALL, NULL }, { .from = 0 } };

static const struct {
	mx_str type;
	const struct kept *kept;
} contents[] = {
	{ { "m.room.member", 13 }, member },
	{ { "m.room.create", 13 }, create },
	{ { "m.room.aliases", 14 }, aliases },
	{ { "m.room.redaction", 16 }, redaction },
	{ { "m.room.join_rules", 17 }, join_rules },
	{ { "m.room.power_levels", 19 }, power_levels },
	{ { "m.room.history_visibility", 25 }, history_visibility },
};

static const struct kept *
kept_of(mx_str type)
{
	for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++)
		if (mx_str_eq(contents[i].type, type))
			return contents[i].kept;
	return NULL;
}

static bool
applies(const struct kept *k, const struct mx_room_version *v)
{
	return (int)v->redaction >= (int)k->from && (int)v->redaction <= k->until;
}

/* The row that keeps this member; NULL when none does. */
static const struct kept *
find_kept(const struct kept *rows, const struct mx_room_version *v, mx_str key)
{
	for (const struct kept *k = rows; k != NULL && k->from != 0; k++)
		if (applies(k, v) && (k->key.p == NULL || mx_str_eq(k->key, key)))
			return k;
	return NULL;
}

bool
mx_redact_keeps(const struct mx_room_version *v, mx_str key)
{
	return find_kept(top, v, key) != NULL;
}

/* ---- bytes ---- */

static void
write_key(mx_str key, bool *comma, struct mx_buf *b)
{
	if (*comma)
		mx_buf_byte(b, ',');
	*comma = true;
	mx_buf_byte(b, '"');
	mx_buf_str(b, key);
	mx_buf_add(b, "\":", 2);
}

static void
write_only(mx_str object, mx_str key, struct mx_buf *b)
{
	mx_str value;
	bool comma = false;

	mx_buf_byte(b, '{');
	if (mx_scan_find(object, key, &value)) {
		write_key(key, &comma, b);
		mx_buf_str(b, value);
	}
	mx_buf_byte(b, '}');
}

void
mx_redact_content(const struct mx_room_version *v, mx_str type, mx_str content, struct mx_buf *b)
{
	const struct kept *rows = kept_of(type), *k;
	struct mx_scan s;
	mx_str key, value;
	bool comma = false;

	mx_buf_byte(b, '{');
	if (rows != NULL && mx_scan_object(&s, content)) {
		while (mx_scan_member(&s, &key, &value)) {
			k = find_kept(rows, v, key);
			if (k == NULL || (k->only != NULL && !mx_scan_is_object(value)))
				continue;
			write_key(key, &comma, b);
			if (k->only != NULL)
				write_only(value, mx_str_of(k->only), b);
			else
				mx_buf_str(b, value);
		}
	}
	mx_buf_byte(b, '}');
}

/* The type that decides what of the content stays, decoded if need be. */
static mx_str
type_of(mx_str event, char *buf, size_t size)
{
	mx_str type = { NULL, 0 };

	return mx_scan_find_str(event, MX_S("type"), buf, size, &type) ? type : (mx_str){ NULL, 0 };
}

void
mx_redact_bytes(const struct mx_room_version *v, mx_str event, bool signatures, struct mx_buf *b)
{
	char buf[64];	/* no longer than that is any type whose content keeps something */
	mx_str type = type_of(event, buf, sizeof(buf)), key, value;
	struct mx_scan s;
	bool comma = false;

	mx_buf_reserve(b, event.n);
	mx_buf_byte(b, '{');
	if (mx_scan_object(&s, event)) {
		while (mx_scan_member(&s, &key, &value)) {
			if (!mx_redact_keeps(v, key) ||
			    (!signatures && mx_str_eq(key, MX_S("signatures"))))
				continue;
			write_key(key, &comma, b);
			if (mx_str_eq(key, MX_S("content")))
				mx_redact_content(v, type, value, b);
			else
				mx_buf_str(b, value);
		}
	}
	mx_buf_byte(b, '}');
}

/* ---- trees ---- */

static json_t *
redact_content_tree(const struct mx_room_version *v, mx_str type, json_t *content)
{
	const struct kept *rows = kept_of(type), *k;
	json_t *out = json_object(), *value;
	const char *key;

	json_object_foreach(content, key, value) {
		k = find_kept(rows, v, mx_str_of(key));
		if (k == NULL || (k->only != NULL && !json_is_object(value)))
			continue;
		if (k->only == NULL) {
			json_object_set(out, key, value);
			continue;
		}
		json_object_set_new(out, key, json_object());
		if (json_object_get(value, k->only) != NULL)
			json_object_set(json_object_get(out, key), k->only,
					json_object_get(value, k->only));
	}
	return out;
}

json_t *
mx_redact_json(const struct mx_room_version *v, const json_t *ev)
{
	const json_t *type = json_object_get(ev, "type");
	json_t *out, *value;
	const char *key;

	if (!json_is_object(ev))
		return NULL;
	out = json_object();
	json_object_foreach((json_t *)ev, key, value) {
		if (!mx_redact_keeps(v, mx_str_of(key)))
			continue;
		if (strcmp(key, "content") == 0)
			json_object_set_new(
				out, key,
				redact_content_tree(v,
						    (mx_str){ json_string_value(type),
							      json_string_length(type) },
						    value));
		else
			json_object_set(out, key, value);
	}
	return out;
}
