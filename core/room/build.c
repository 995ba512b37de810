#include "config.h"

#include "core/json/json.h"
#include "core/room/build.h"
#include "core/room/hash.h"
#include "core/room/power.h"
#include "core/room/redact.h"

/* The event is cut where its forms differ. Canonical order puts the pieces like this:
 *
 *     {"auth_events":…,          head
 *      "content":…,              content, or what a redaction leaves of it
 *      "depth":…,"event_id":…,   depth          event_id where senders choose it
 *      "hashes":…,               hashes         not in the form that is hashed
 *      "origin_server_ts":…,     middle, to prev_events
 *      "redacts":…,              redacts        not in the redacted form
 *      "room_id":…,"sender":…,   names
 *      "signatures":…,           signatures     only in the whole event
 *      "state_key":…,"type":…}   tail
 */
struct pieces {
	mx_str head, content, kept, depth, hashes, middle, redacts, names, signatures, tail;
};

/* Pieces are noted by offset: the buffer may move until all are written. */
static size_t
here(const struct mx_buf *b)
{
	return mx_buf_view(b).n;
}

#define LIT(b, lit) mx_buf_add(b, lit, sizeof(lit) - 1)

static mx_error *
check_field(const char *name, mx_str s)
{
	if (s.n > MX_EVENT_MAX_FIELD)
		return mx_error_new(MX_E_TOO_LARGE, "%s is longer than %d bytes", name,
				    MX_EVENT_MAX_FIELD);
	if (!mx_str_utf8(s))
		return mx_error_new(MX_E_BAD_JSON, "%s is not UTF-8", name);
	return NULL;
}

static mx_error *
check_fields(const struct mx_build *in)
{
	MX_TRY(check_field("type", in->type));
	MX_TRY(check_field("sender", in->sender));
	MX_TRY(check_field("state_key", in->state_key));
	MX_TRY(check_field("room_id", in->room_id));
	MX_TRY(check_field("redacts", in->redacts));
	if (in->prev_n > MX_EVENT_MAX_PREV || in->auth_n > MX_EVENT_MAX_AUTH)
		return mx_error_new(MX_E_UNKNOWN,
				    "an event with %zu prev_events and %zu auth_events", in->prev_n,
				    in->auth_n);
	if (in->version->refs_with_hashes && in->key != NULL &&
	    ((in->prev_n != 0 && in->prev_hash == NULL) ||
	     (in->auth_n != 0 && in->auth_hash == NULL)))
		return mx_error_new(MX_E_UNKNOWN, "an event without the hashes of those it names");
	return NULL;
}

static void
write_hash(const unsigned char hash[MX_SHA256_SIZE], struct mx_buf *b)
{
	char text[MX_HASH_ID - 1];

	mx_hash_base64(hash, text);
	LIT(b, ",{\"sha256\":\"");
	mx_buf_add(b, text, sizeof(text));
	LIT(b, "\"}");
}

static void
write_ids(const struct mx_build *in, const mx_str *ids, const unsigned char (*hash)[MX_SHA256_SIZE],
	  size_t n, struct mx_buf *b)
{
	bool pairs = in->version->refs_with_hashes;

	mx_buf_byte(b, '[');
	for (size_t i = 0; i < n; i++) {
		if (i != 0)
			mx_buf_byte(b, ',');
		if (pairs)
			mx_buf_byte(b, '[');
		mx_json_quote(ids[i], b);
		if (pairs && hash != NULL)
			write_hash(hash[i], b);
		if (pairs)
			mx_buf_byte(b, ']');
	}
	mx_buf_byte(b, ']');
}

/* content.redacts where the version wants it there, in its place among the keys: what content says
 * of it itself is dropped. */
static mx_error *
content_with_redacts(const struct mx_build *in, struct mx_buf *b)
{
	MX_AUTO_JSON *content = NULL;

	if (in->content != NULL)
		content = json_copy((json_t *)in->content);
	else
		MX_TRY(mx_json_parse(in->content_canonical, &content));
	json_object_set_new(content, "redacts", json_stringn(in->redacts.p, in->redacts.n));
	return mx_json_canonical(content, in->version->strict_json, b);
}

static mx_error *
write_content(const struct mx_build *in, struct mx_buf *b)
{
	if (in->content != NULL && !json_is_object(in->content))
		return mx_error_new(MX_E_BAD_JSON, "content is not an object");
	if (in->content != NULL && in->version->strict_json)
		MX_TRY(mx_json_check_integers(in->content, MX_JSON_DEPTH - 1));
	if (in->redacts.n != 0 && in->version->redacts_in_content)
		return content_with_redacts(in, b);
	if (in->content != NULL)
		return mx_json_canonical(in->content, in->version->strict_json, b);
	mx_buf_str(b, in->content_canonical);
	return NULL;
}

static void
write_middle(const struct mx_build *in, struct mx_buf *b)
{
	LIT(b, ",\"origin_server_ts\":");
	mx_buf_int(b, in->ts);
	LIT(b, ",\"prev_events\":");
	write_ids(in, in->prev, in->prev_hash, in->prev_n, b);
}

static void
write_names(const struct mx_build *in, struct mx_buf *b)
{
	if (in->room_id.n != 0) {
		LIT(b, ",\"room_id\":");
		mx_json_quote(in->room_id, b);
	}
	LIT(b, ",\"sender\":");
	mx_json_quote(in->sender, b);
}

static void
write_tail(const struct mx_build *in, struct mx_buf *b)
{
	if (in->state_key.p != NULL) {
		LIT(b, ",\"state_key\":");
		mx_json_quote(in->state_key, b);
	}
	LIT(b, ",\"type\":");
	mx_json_quote(in->type, b);
	mx_buf_byte(b, '}');
}

/* Writes all pieces but hashes and signatures, one after the other. */
static mx_error *
cut(const struct mx_build *in, mx_str event_id, struct mx_buf *b, struct pieces *ps)
{
	int64_t depth = in->depth < 0                        ? 0
			: in->depth > in->version->max_depth ? in->version->max_depth
							     : in->depth;
	size_t at[9];
	const char *p;

	at[0] = here(b);
	LIT(b, "{\"auth_events\":");
	write_ids(in, in->auth, in->auth_hash, in->auth_n, b);
	LIT(b, ",\"content\":");
	at[1] = here(b);
	MX_TRY(write_content(in, b));
	at[2] = here(b);
	LIT(b, ",\"depth\":");
	mx_buf_int(b, depth);
	if (event_id.n != 0) {
		LIT(b, ",\"event_id\":");
		mx_json_quote(event_id, b);
	}
	at[3] = here(b);
	write_middle(in, b);
	at[4] = here(b);
	if (in->redacts.n != 0 && !in->version->redacts_in_content) {
		LIT(b, ",\"redacts\":");
		mx_json_quote(in->redacts, b);
	}
	at[5] = here(b);
	write_names(in, b);
	at[6] = here(b);
	write_tail(in, b);
	at[7] = here(b);
	mx_redact_content(in->version, in->type,
			  (mx_str){ mx_buf_view(b).p + at[1], at[2] - at[1] }, b);
	at[8] = here(b);
	if (mx_buf_failed(b))
		return mx_error_new(MX_E_TOO_LARGE, "the event is larger than %d bytes",
				    MX_EVENT_MAX);

	p = mx_buf_view(b).p;
	ps->head = (mx_str){ p + at[0], at[1] - at[0] };
	ps->content = (mx_str){ p + at[1], at[2] - at[1] };
	ps->depth = (mx_str){ p + at[2], at[3] - at[2] };
	ps->middle = (mx_str){ p + at[3], at[4] - at[3] };
	ps->redacts = (mx_str){ p + at[4], at[5] - at[4] };
	ps->names = (mx_str){ p + at[5], at[6] - at[5] };
	ps->tail = (mx_str){ p + at[6], at[7] - at[6] };
	ps->kept = (mx_str){ p + at[7], at[8] - at[7] };
	return NULL;
}

enum form {
	FORM_HASHED,	/* whole, without hashes and signatures */
	FORM_SIGNED,	/* redacted, without signatures */
	FORM_WHOLE,
};

static void
assemble(const struct pieces *ps, enum form form, struct mx_buf *b)
{
	mx_buf_truncate(b, 0);
	mx_buf_str(b, ps->head);
	mx_buf_str(b, form == FORM_SIGNED ? ps->kept : ps->content);
	mx_buf_str(b, ps->depth);
	if (form != FORM_HASHED)
		mx_buf_str(b, ps->hashes);
	mx_buf_str(b, ps->middle);
	if (form != FORM_SIGNED)
		mx_buf_str(b, ps->redacts);
	mx_buf_str(b, ps->names);
	if (form == FORM_WHOLE)
		mx_buf_str(b, ps->signatures);
	mx_buf_str(b, ps->tail);
}

#define CHOSEN_ID 18	/* random characters: 107 bits */
#define HASHES_HEAD ",\"hashes\":{\"sha256\":\""
#define HASHES_SIZE (sizeof(HASHES_HEAD) - 1 + MX_HASH_ID - 1 + 2)

/* "$", what nobody will choose again, and our name; empty where the hash is the id. */
static mx_error *
choose_id(const struct mx_build *in, struct mx_buf *b)
{
	char opaque[CHOSEN_ID + 1];

	if (in->version->event_id != MX_EVENT_ID_CHOSEN)
		return NULL;
	mx_random_text(opaque, CHOSEN_ID);
	mx_buf_printf(b, "$%s:%.*s", opaque, MX_SFMT(in->server));
	return check_field("event_id", mx_buf_view(b));
}

/* Hashes and signs: out is used for each form in turn, and holds the whole event at the end. */
static void
seal(const struct mx_build *in, struct pieces *ps, struct mx_buf *out, struct mx_buf *signatures,
     char id[MX_HASH_ID])
{
	unsigned char hash[MX_SHA256_SIZE];
	char hashes[HASHES_SIZE], signature[87];

	assemble(ps, FORM_HASHED, out);
	mx_sha256(mx_buf_view(out).p, mx_buf_view(out).n, hash);
	memcpy(hashes, HASHES_HEAD, sizeof(HASHES_HEAD) - 1);
	mx_hash_base64(hash, hashes + sizeof(HASHES_HEAD) - 1);
	memcpy(hashes + HASHES_SIZE - 2, "\"}", 2);
	ps->hashes = (mx_str){ hashes, sizeof(hashes) };

	assemble(ps, FORM_SIGNED, out);
	mx_sha256(mx_buf_view(out).p, mx_buf_view(out).n, hash);
	mx_event_id_of_hash(in->version, hash, id);
	mx_sign_bytes(in->key, mx_buf_view(out), signature);
	LIT(signatures, ",\"signatures\":{");
	mx_json_quote(in->server, signatures);
	LIT(signatures, ":{");
	mx_json_quote(mx_signing_key_id(in->key), signatures);
	LIT(signatures, ":\"");
	mx_buf_add(signatures, signature, 86);
	LIT(signatures, "\"}}");
	ps->signatures = mx_buf_view(signatures);

	assemble(ps, FORM_WHOLE, out);
	ps->hashes = (mx_str){ NULL, 0 };	/* it was on this stack */
}

/* Trusted canonical bytes and tiny strings: never more than a stranger's event may have. */
#define SCRATCH_MAX (4 * (size_t)MX_EVENT_MAX)

mx_error *
mx_build_event(const struct mx_build *in, struct mx_event **out)
{
	MX_AUTO(mx_buf) *scratch = mx_buf_new(SCRATCH_MAX);
	MX_AUTO(mx_buf) *event = mx_buf_new(SCRATCH_MAX);
	MX_AUTO(mx_buf) *signatures = mx_buf_new(SCRATCH_MAX);
	MX_AUTO(mx_buf) *chosen = mx_buf_new(0);
	struct pieces ps = { 0 };
	char id[MX_HASH_ID], room_id[MX_HASH_ID];
	struct mx_event_row row = { .version = in->version,
				    .room_id = in->room_id,
				    .room = in->room,
				    .sender_nid = in->sender_nid,
				    .device = in->device,
				    .txn_id = in->txn_id };

	MX_TRY(check_fields(in));
	mx_buf_reserve(scratch, in->content_canonical.n + 1536);
	MX_TRY(choose_id(in, chosen));
	row.id = mx_buf_view(chosen);
	MX_TRY(cut(in, row.id, scratch, &ps));
	/* Where the rules ask for integers, it is for them to refuse. */
	if (in->version->levels != MX_LEVEL_INTEGERS && in->state_key.p != NULL &&
	    mx_str_eq(in->type, MX_S("m.room.power_levels")) && !mx_power_plain(ps.content))
		return mx_error_new(MX_E_BAD_JSON, "m.room.power_levels: a level is no integer");
	mx_buf_reserve(event, mx_buf_view(scratch).n + 384);
	if (in->key != NULL) {
		seal(in, &ps, event, signatures, id);
		if (row.id.n == 0)
			row.id = (mx_str){ id, sizeof(id) };
	} else {
		assemble(&ps, FORM_WHOLE, event);
	}
	row.json = mx_buf_view(event);
	if (mx_buf_failed(event) || row.json.n > MX_EVENT_MAX)
		return mx_error_new(MX_E_TOO_LARGE, "the event is larger than %d bytes",
				    MX_EVENT_MAX);
	if (in->room_id.n == 0 && in->key != NULL && in->version->room_id_is_create_hash) {
		memcpy(room_id, id, sizeof(id));
		room_id[0] = '!';
		row.room_id = (mx_str){ room_id, sizeof(room_id) };
	}
	return mx_event_from_row(&row, out);
}
