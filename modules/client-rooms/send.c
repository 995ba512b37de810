/* Sending: messages, state, redactions. Client-Server API, "Sending events to a room". */
#include "config.h"

#include "rooms.h"

enum { TXN_MAX = 200 };

/* A transaction id counts within its endpoint: the same one in another room, or for another type of
 * event, makes another event. The draft's holds for the device, so a fingerprint of the endpoint
 * goes behind it, after a newline where mx_event_client stops. (FNV-1a: it has to be the same in
 * every process and version; nobody but the device itself could make it collide.) */
static mx_error *
scope_txn(const struct rooms_call *c, const struct mx_draft *draft, mx_str txn, mx_str *out)
{
	mx_str parts[] = { mx_request_param(c->rq, "roomId"), draft->type, draft->redacts };
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	if (txn.n == 0 || txn.n > TXN_MAX || !mx_str_utf8(txn) ||
	    memchr(txn.p, '\0', txn.n) != NULL || memchr(txn.p, '\n', txn.n) != NULL)
		return mx_error_new(MX_E_INVALID_PARAM,
				    "txnId must have 1 to %d bytes of UTF-8, and no line break",
				    TXN_MAX);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		for (size_t k = 0; k < parts[i].n; k++)
			h = (h ^ (unsigned char)parts[i].p[k]) * UINT64_C(0x100000001b3);
		h = (h ^ 0xff) * UINT64_C(0x100000001b3);	/* no part holds this byte */
	}
	*out = mx_arena_printf(c->arena, "%.*s\n%08lx", MX_SFMT(txn), (unsigned long)(h >> 32));
	return NULL;
}

static mx_error *
check_type(mx_str type)
{
	if (type.n == 0 || !mx_str_utf8(type))
		return mx_error_new(MX_E_INVALID_PARAM, "eventType must be UTF-8, and not empty");
	return NULL;
}

/* ---- redactions ---- */

/* Whether the asking user may redact that event: its own, or anybody's with the power. Where the
 * version's auth rules decide too, they come after this. */
static mx_error *
check_redaction(const struct rooms_call *c, struct mx_room *room, mx_str target)
{
	MX_AUTO(mx_event) *ev = NULL;
	MX_AUTO_JSON *levels = NULL;
	struct mx_member member;
	mx_error *e;

	if (!mx_id_event(target))
		return mx_error_new(MX_E_INVALID_PARAM, "This is no event id");
	MX_TRY(rooms_member(c, room, c->who->user_id, &member));
	if (member.membership != MX_MEMBER_JOIN)	/* strangers don't learn which events there are */
		return mx_error_new(MX_E_FORBIDDEN, "You are not in this room");
	e = mx_event_get(c->rs, c->conn, target, &ev);
	if (mx_error_is(e, MX_E_NOT_FOUND) ||
	    (e == NULL && mx_event_room(ev) != mx_room_nid(room))) {
		mx_error_free(&e);
		return mx_error_new(MX_E_NOT_FOUND, "There is no such event in this room");
	}
	MX_TRY(e);
	if (mx_str_eq(mx_event_type(ev), MX_S("m.room.create")))
		return mx_error_new(MX_E_FORBIDDEN, "The creation of a room cannot be redacted");
	if (mx_str_eq(mx_event_sender(ev), c->who->user_id))
		return NULL;
	MX_TRY(rooms_state_content(c, room, MX_S("m.room.power_levels"), MX_S(""), &levels));
	if (mx_room_power(c->rs, c->conn, room, c->who->user_id) <
	    rooms_level(levels, "redact", 50))
		return mx_error_new(MX_E_FORBIDDEN,
				    "You have not the power to redact what others sent");
	return NULL;
}

/* What follows once the message is stored, or is not. */
static enum mx_outcome
answer_sent(struct mx_request *rq)
{
	struct mx_sent *sent = mx_request_data(rq);
	struct rooms_call c = { .rq = rq };
	enum mx_outcome outcome;

	if (mx_error_is(sent->error, MX_E_AGAIN)) {
		mx_error_free(&sent->error);
		return MX_AGAIN;
	}
	if (sent->error != NULL)
		return mx_reply_error(rq, sent->error);
	outcome = rooms_reply_id(&c, "event_id", mx_event_id(sent->event));
	mx_event_unref(&sent->event);
	return outcome;
}

/* Sends a message event under a transaction id. A repetition is answered by the engine with the
 * event of the first. NULL: the request is held, unless this is its second run: then *event_id is
 * set. */
static mx_error *
send_once(const struct rooms_call *c, struct mx_draft *draft, mx_str txn, mx_str *event_id)
{
	MX_AUTO(mx_room) *room = NULL;
	struct mx_sent *sent;

	MX_TRY(scope_txn(c, draft, txn, &draft->txn_id));
	draft->device = rooms_device(c);
	MX_TRY(rooms_find(c, &room));
	if (draft->redacts.n > 0)
		MX_TRY(check_redaction(c, room, draft->redacts));
	if (mx_request_again(c->rq))
		return rooms_send(c, room, draft, event_id);
	sent = mx_arena_alloc(c->arena, sizeof(*sent));
	mx_request_set_data(c->rq, sent);
	return mx_room_send_held(c->rs, c->rq, room, draft, answer_sent, sent);
}

/* By rq's handler, after send_once. */
static enum mx_outcome
sent_outcome(const struct rooms_call *c, mx_error *e, mx_str event_id)
{
	if (e != NULL)
		return mx_reply_error(c->rq, e);
	return event_id.n > 0 ? rooms_reply_id(c, "event_id", event_id) : MX_HELD;
}

enum mx_outcome
rooms_redact(struct mx_request *rq)
{
	struct rooms_call c = rooms_call_of(rq);
	mx_str reason = { NULL, 0 }, event_id = { NULL, 0 };
	MX_AUTO_JSON *content = json_object();
	struct mx_draft draft = rooms_draft(&c, MX_S("m.room.redaction"), content);
	json_t *body;
	mx_error *e = mx_request_json(rq, &body);

	if (e == NULL)
		e = mx_json_opt_str(body, "reason", &reason);
	if (e == NULL) {
		if (reason.p != NULL)
			json_object_set_new(content, "reason", json_stringn(reason.p, reason.n));
		draft.redacts = mx_request_param(rq, "eventId");
		if (draft.redacts.n == 0)
			e = mx_error_new(MX_E_INVALID_PARAM, "eventId must not be empty");
	}
	if (e == NULL)
		e = send_once(&c, &draft, mx_request_param(rq, "txnId"), &event_id);
	return sent_outcome(&c, e, event_id);
}

/* ---- messages ---- */

/* m.room.redaction by /send names its event in the content, whatever the room's version. */
static mx_error *
take_redacts(struct mx_draft *draft)
{
	if (!mx_str_eq(draft->type, MX_S("m.room.redaction")))
		return NULL;
	MX_TRY(mx_json_get_str(draft->content, "redacts", &draft->redacts));
	if (draft->redacts.n == 0)
		return mx_error_new(MX_E_INVALID_PARAM, "redacts must not be empty");
	return NULL;
}

static mx_error *
send_message(const struct rooms_call *c, mx_str *event_id)
{
	mx_str type = mx_request_param(c->rq, "eventType");
	MX_AUTO_JSON *without = NULL;
	struct mx_draft draft;
	json_t *body;

	MX_TRY(check_type(type));
	MX_TRY(mx_request_json(c->rq, &body));
	draft = rooms_draft(c, type, body);
	MX_TRY(take_redacts(&draft));
	if (draft.redacts.n > 0) {
		/* The draft says it beside the content; the version decides where it stands. */
		draft.redacts = mx_arena_str(c->arena, draft.redacts);
		draft.content = without = json_copy(body);
		json_object_del(without, "redacts");
	}
	return send_once(c, &draft, mx_request_param(c->rq, "txnId"), event_id);
}

enum mx_outcome
rooms_send_message(struct mx_request *rq)
{
	struct rooms_call c = rooms_call_of(rq);
	mx_str event_id = { NULL, 0 };
	mx_error *e = send_message(&c, &event_id);

	return sent_outcome(&c, e, event_id);
}

/* ---- state ---- */

/* Where creators rank above all, they have no level: the auth rules refuse it; to the client it is
 * a mistake. */
static mx_error *
check_levels(const struct rooms_call *c, struct mx_room *room, const json_t *content)
{
	MX_AUTO(mx_event) *create = NULL;
	MX_AUTO_JSON *more = NULL;
	const json_t *users = json_object_get(content, "users"), *item;
	size_t i;

	if (!mx_room_version_creators(mx_room_version(room)) || !json_is_object(users))
		return NULL;
	MX_TRY(mx_room_state(c->rs, c->conn, room, MX_S("m.room.create"), MX_S(""), &create));
	if (create == NULL || (more = mx_event_content_parse(create)) == NULL)
		return NULL;
	bool named =
		json_object_get(users, mx_arena_str(c->arena, mx_event_sender(create)).p) != NULL;

	json_array_foreach(json_object_get(more, "additional_creators"), i, item)
		named = named || (json_is_string(item) &&
				  json_object_get(users, json_string_value(item)) != NULL);
	return named ? mx_error_new(MX_E_BAD_JSON, "The power of the room's creators cannot be set")
		     : NULL;
}

/* What is checked of particular types beside the auth rules. */
static mx_error *
check_state(const struct rooms_call *c, struct mx_room *room, mx_str type, mx_str key,
	    json_t *content)
{
	MX_AUTO_JSON *before = NULL;

	if (mx_str_eq(type, MX_S("m.room.member")))
		return rooms_check_member_state(c, room, key, content);
	if (mx_str_eq(type, MX_S("m.room.canonical_alias")) && key.n == 0) {
		MX_TRY(rooms_state_content(c, room, type, key, &before));
		return rooms_check_aliases(c, mx_room_id(room), (mx_str){ NULL, 0 }, before,
					   content);
	}
	if (mx_str_eq(type, MX_S("m.room.power_levels")) && key.n == 0)
		return check_levels(c, room, content);
	if (mx_str_eq(type, MX_S("m.room.create")))
		return mx_error_new(MX_E_BAD_STATE, "A room is created once");
	return NULL;
}

/* Whether the state is what the client wants it to be, by its own hand: then nothing is sent. */
static mx_error *
is_already(const struct rooms_call *c, struct mx_room *room, mx_str type, mx_str key,
	   const json_t *content, mx_str *event_id)
{
	MX_AUTO(mx_event) *now = NULL;
	MX_AUTO(mx_buf) *b = NULL;

	MX_TRY(mx_room_state(c->rs, c->conn, room, type, key, &now));
	if (now == NULL || !mx_str_eq(mx_event_sender(now), c->who->user_id))
		return NULL;
	b = mx_buf_new(0);
	MX_TRY(mx_json_canonical(content, false, b));
	if (!mx_buf_failed(b) && mx_str_eq(mx_buf_view(b), mx_event_content(now)))
		*event_id = mx_arena_str(c->arena, mx_event_id(now));
	return NULL;
}

static mx_error *
put_state(const struct rooms_call *c, mx_str *event_id)
{
	mx_str type = mx_request_param(c->rq, "eventType"),
	       key = mx_request_param(c->rq, "stateKey");
	MX_AUTO(mx_room) *room = NULL;
	struct mx_member member;
	struct mx_draft draft;
	json_t *body;

	MX_TRY(check_type(type));
	if (key.n > 0 && !mx_str_utf8(key))
		return mx_error_new(MX_E_INVALID_PARAM, "stateKey must be UTF-8");
	MX_TRY(mx_request_json(c->rq, &body));
	MX_TRY(rooms_find(c, &room));
	MX_TRY(rooms_member(c, room, c->who->user_id, &member));
	/* The rules refuse what strangers send; a check of the content must not tell them what is
	 * there. */
	if (member.membership == MX_MEMBER_JOIN || mx_str_eq(type, MX_S("m.room.member")))
		MX_TRY(check_state(c, room, type, key, body));
	if (member.membership == MX_MEMBER_JOIN)
		MX_TRY(is_already(c, room, type, key, body, event_id));
	draft = rooms_state_draft(c, type, key, body);
	if (event_id->n == 0)
		MX_TRY(rooms_send(c, room, &draft, event_id));
	return mx_str_eq(type, MX_S("m.room.tombstone")) && key.n == 0 ? rooms_tombstoned(c, room)
								       : NULL;
}

enum mx_outcome
rooms_put_state(struct mx_request *rq)
{
	struct rooms_call c = rooms_call_of(rq);
	mx_str event_id = { NULL, 0 };
	mx_error *e = put_state(&c, &event_id);

	return e != NULL ? mx_reply_error(rq, e) : rooms_reply_id(&c, "event_id", event_id);
}
