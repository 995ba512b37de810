/* Telling rooms of a new name or picture: an m.room.member event in each room that the user is
 * joined to. It runs behind the answer, a batch of rooms at a time, and its place stands in the
 * database, so that a crash loses nothing. Telling twice does no harm: who is told already is left
 * alone. Client-Server API, "Events on Change of Profile Information". */
#include "config.h"

#include <stdlib.h>

#include "profile.h"

struct telling {
	struct mx_core *core;
	struct mx_rooms *rs;
	struct mx_conn *conn;
	struct mx_arena *arena;
	mx_nid user;
	mx_str user_id, displayname, avatar_url;
};

/* Whether a member of content has to become value ("" takes it away); if so, it does. */
static bool
set_string(json_t *content, const char *key, mx_str value)
{
	mx_str now = mx_json_str(content, key);

	if (mx_str_eq(now, value) && (value.n > 0 || json_object_get(content, key) == NULL))
		return false;
	if (value.n > 0)
		json_object_set_new(content, key, json_stringn(value.p, value.n));
	else
		json_object_del(content, key);
	return true;
}

static mx_error *
tell_room(const struct telling *t, mx_nid nid, int *told)
{
	MX_AUTO(mx_room) *room = NULL;
	MX_AUTO(mx_event) *member = NULL;
	MX_AUTO(mx_event) *sent = NULL;
	MX_AUTO_JSON *content = NULL;
	struct mx_draft draft = { .type = MX_S("m.room.member"), .state_key = t->user_id,
				  .sender = t->user, .sender_id = t->user_id };
	bool name, avatar;

	MX_TRY(mx_room_by_nid(t->rs, t->conn, nid, &room));
	MX_TRY(mx_room_state(t->rs, t->conn, room, draft.type, draft.state_key, &member));
	if (member == NULL || mx_event_membership(member) != MX_MEMBER_JOIN)
		return NULL;
	content = mx_event_content_parse(member);
	if (content == NULL)
		return NULL;
	name = set_string(content, "displayname", t->displayname);
	avatar = set_string(content, "avatar_url", t->avatar_url);
	if (!name && !avatar)
		return NULL;
	/* What explained the join is no part of a change of profile. */
	json_object_del(content, "join_authorised_via_users_server");
	json_object_del(content, "third_party_invite");
	json_object_del(content, "reason");
	draft.content = content;
	(*told)++;
	return mx_room_send(t->rs, t->conn, room, &draft, 1, &sent);
}

static int
by_room(const void *a, const void *b)
{
	const struct mx_member *x = a, *y = b;

	return (x->room > y->room) - (x->room < y->room);
}

/* Tells up to batch rooms behind s->after. *done: whether those were the last. */
static mx_error *
tell_batch(struct telling *t, struct profile_spread *s, int64_t batch, bool *done)
{
	struct mx_member *rooms;
	size_t n;

	MX_TRY(mx_name_text(t->conn, t->user, t->arena, &t->user_id));
	MX_TRY(profile_pair(t->conn, t->user, t->arena, &t->displayname, &t->avatar_url));
	MX_TRY(mx_user_rooms(t->rs, t->conn, t->user, t->arena, &rooms, &n));
	qsort(rooms, n, sizeof(*rooms), by_room);
	*done = true;
	for (size_t i = 0; i < n; i++) {
		mx_error *e;

		if (rooms[i].room <= s->after || rooms[i].membership != MX_MEMBER_JOIN)
			continue;
		if (batch-- == 0) {
			*done = false;
			return NULL;
		}
		e = tell_room(t, rooms[i].room, &s->told);
		/* A room that refuses (or that the user left meanwhile) must not keep the others
		 * from knowing. */
		if (mx_error_is(e, MX_E_UNAVAILABLE) || mx_error_is(e, MX_E_UNKNOWN))
			return e;
		if (e != NULL)
			mx_log("client-profile", MX_INFO, "PROF001",
			       "a room does not take a new profile", mx_fi("room", rooms[i].room),
			       mx_fs("user", t->user_id), mx_fe(e));
		mx_error_free(&e);
		s->after = rooms[i].room;
	}
	return NULL;
}

/* One batch for one user. *more: whether another has to follow. */
static mx_error *
spread_batch(struct mx_core *core, mx_nid user, int64_t batch, bool *more)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	MX_AUTO(mx_conn) *c = NULL;
	struct telling t = { .core = core, .rs = mx_core_rooms(core), .arena = a, .user = user };
	struct profile_spread s;
	bool found, done;

	*more = false;
	MX_TRY(mx_conn_get(mx_core_db(core), &c));
	MX_TRY(profile_spread_get(c, user, &s, &found));
	if (!found)
		return NULL;
	t.conn = c;
	MX_TRY(tell_batch(&t, &s, batch, &done));
	MX_TRY(profile_spread_step(mx_core_db(core), &s, done));
	*more = s.again || !done;
	return NULL;
}

struct later {
	mx_nid user;
	int64_t batch;
};

static void
run_later(struct mx_core *core, void *arg)
{
	struct later *l = arg;
	bool more;
	mx_error *e = spread_batch(core, l->user, l->batch, &more);

	if (e == NULL && more) {
		mx_core_defer(core, run_later, l);
		return;
	}
	if (e != NULL)
		mx_log("client-profile", MX_WARN, "PROF002",
		       "rooms will be told of a new profile later", mx_fi("user", l->user),
		       mx_fe(e));
	mx_error_free(&e);
	free(l);
}

void
profile_spread_soon(struct mx_core *core, mx_nid user, int64_t batch)
{
	struct later *l = mx_alloc(sizeof(*l));

	l->user = user;
	l->batch = batch;
	mx_core_defer(core, run_later, l);
}

mx_error *
profile_spread_job(struct mx_module_self *self)
{
	const struct profile_options *o = mx_self_options(self);
	struct mx_core *core = mx_self_core(self);
	struct profile_spread s = { 0 };
	bool found = true, more;

	while (true) {
		MX_AUTO(mx_conn) *c = NULL;

		MX_TRY(mx_conn_get(mx_core_db(core), &c));
		MX_TRY(profile_spread_next(c, s.user, &s, &found));
		mx_conn_put(&c);	/* a thread holds one at a time */
		if (!found)
			return NULL;
		MX_TRY(spread_batch(core, s.user, o->spread_batch, &more));
		if (more)
			profile_spread_soon(core, s.user, o->spread_batch);
	}
}
