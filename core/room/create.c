/* Making rooms: their first events, and what is written along with them. */
#include "config.h"

#include "core/room/send_private.h"

#include <stdlib.h>

static mx_error *
create_content(const struct mx_room_version *v, const struct mx_draft *d, json_t **out)
{
	if (!mx_str_eq(d->type, MX_S("m.room.create")) || d->state_key.p == NULL ||
	    d->state_key.n != 0)
		return mx_error_new(MX_E_UNKNOWN, "a room must begin with m.room.create");
	if (!json_is_object(d->content))
		return mx_error_new(MX_E_BAD_JSON, "the content of an event must be an object");
	*out = json_copy(d->content);
	json_object_set_new(*out, "room_version", json_stringn(v->name.p, v->name.n));
	if (v->rule_creator_in_content)
		json_object_set_new(*out, "creator", json_stringn(d->sender_id.p, d->sender_id.n));
	else
		json_object_del(*out, "creator");
	return NULL;
}

#define CREATE_ATTEMPTS 13

/* In version 12 a user who makes two rooms of the same content in one millisecond would make the
 * same room: later ones are dated later, by at least `step`. */
static mx_msec
create_time(struct mx_rooms *rs, mx_nid sender, mx_msec step)
{
	_Atomic mx_msec *last = &rs->create_ts[(uint64_t)sender % MX_CREATE_TIMES];
	mx_msec before = atomic_load(last), now;

	do {
		now = mx_now();
		now = now >= before + step ? now : before + step;
	} while (!atomic_compare_exchange_weak(last, &before, now));
	return now;
}

static mx_error *
create_once(struct mx_rooms *rs, struct mx_conn *c, const struct mx_room_version *version,
	    const struct mx_draft *drafts, size_t n, json_t *content, const struct mx_along *along,
	    mx_msec step, struct mx_room **out)
{
	char opaque[19];
	MX_AUTO(mx_buf) *id = mx_buf_new(MX_EVENT_MAX_FIELD);

	if (!version->room_id_is_create_hash) {
		mx_random_text(opaque, sizeof(opaque) - 1);
		mx_buf_printf(id, "!%s:%.*s", opaque, MX_SFMT(mx_rooms_server(rs)));
	}
	struct mx_room *r = mx_room_new(rs, mx_buf_view(id), version);
	struct send s = { .rs = rs, .conn = c, .n = n, .store = { .room = r, .create = true },
			  .along = along };
	struct send other = { .rs = rs, .conn = c };

	if (along != NULL && along->other != NULL) {
		other.store.room = along->other;
		s.other = &other;
	}
	mx_error *e = mx_send_begin(&s, drafts, content);

	if (e == NULL && drafts[0].ts == 0)
		s.works[0].ts = create_time(rs, drafts[0].sender, step);
	if (e == NULL)
		e = mx_send_attempts(&s);
	mx_send_end(&s);
	if (e != NULL)
		mx_room_unref(&r);
	*out = r;
	return e;
}

mx_error *
mx_room_create_along(struct mx_rooms *rs, struct mx_conn *c, const struct mx_room_version *version,
		     const struct mx_draft *drafts, size_t n, const struct mx_along *along,
		     struct mx_room **out)
{
	MX_AUTO_JSON *content = NULL;
	mx_error *e = NULL;

	*out = NULL;
	MX_TRY(mx_send_check(drafts, n, MX_SEND_MAX_FIRST));
	MX_TRY(create_content(version, &drafts[0], &content));
	/* Another process may have made the same room in the same millisecond; and one that made
	 * more than one a millisecond, and ended, has dated ahead of the clock. */
	for (int i = 0; i < CREATE_ATTEMPTS; i++) {
		mx_error_free(&e);
		e = create_once(rs, c, version, drafts, n, content, along, (mx_msec)1 << i, out);
		if (!mx_error_is(e, MX_E_EXISTS))
			break;
	}
	return e;
}

mx_error *
mx_room_create(struct mx_rooms *rs, struct mx_conn *c, const struct mx_room_version *version,
	       const struct mx_draft *drafts, size_t n, struct mx_room **out)
{
	return mx_room_create_along(rs, c, version, drafts, n, NULL, out);
}
