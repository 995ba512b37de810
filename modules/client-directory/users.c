/* POST /user_directory/search: users of this server whom the asking user may know of: who shares a
 * room, or is in a room that anybody may join or read. Client-Server API, "User directory". */
#include "config.h"

#include "directory.h"

enum {
	LIMIT_DEFAULT = 10,
	LIMIT_MAX = 50,
	BATCH = 50,		/* candidates read at once */
	CANDIDATES_MAX = 2000,	/* looked at for one answer */
	ROOMS_MAX = 200,	/* of a candidate, in the search for a public one */
};

/* Rooms that were found public or not, for the time of one answer. */
struct seen_room {
	mx_nid room;
	bool open;
};

struct search {
	struct mx_request *rq;
	struct mx_core *core;
	struct mx_rooms *rs;
	struct mx_conn *conn;
	const struct mx_auth *who;
	const struct directory_options *options;
	const struct mx_profile_service *profile;
	mx_str term;
	size_t limit;
	struct seen_room seen[256];	/* a cache by the lowest bits */
	json_t *results;
	bool limited;
};

static mx_error *
is_value(const struct search *s, struct mx_room *room, mx_str type, const char *key, mx_str value,
	 bool *out)
{
	MX_AUTO(mx_event) *ev = NULL;
	MX_AUTO_JSON *content = NULL;

	MX_TRY(mx_room_state(s->rs, s->conn, room, type, MX_S(""), &ev));
	if (ev != NULL)
		content = mx_event_content_parse(ev);
	*out = mx_str_eq(mx_json_str(content, key), value);
	return NULL;
}

static mx_error *
room_open(struct search *s, mx_nid nid, bool *out)
{
	struct seen_room *seen = &s->seen[(uint64_t)nid % (sizeof(s->seen) / sizeof(s->seen[0]))];
	MX_AUTO(mx_room) *room = NULL;

	if (seen->room != nid) {
		MX_TRY(mx_room_by_nid(s->rs, s->conn, nid, &room));
		MX_TRY(is_value(s, room, MX_S("m.room.join_rules"), "join_rule", MX_S("public"),
				&seen->open));
		if (!seen->open)
			MX_TRY(is_value(s, room, MX_S("m.room.history_visibility"),
					"history_visibility", MX_S("world_readable"), &seen->open));
		seen->room = nid;
	}
	*out = seen->open;
	return NULL;
}

static mx_error *
in_open_room(struct search *s, mx_nid user, bool *out)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_member *rooms;
	size_t n;

	*out = false;
	MX_TRY(mx_user_rooms(s->rs, s->conn, user, a, &rooms, &n));
	for (size_t i = 0; i < n && i < ROOMS_MAX && !*out; i++)
		if (rooms[i].membership == MX_MEMBER_JOIN)
			MX_TRY(room_open(s, rooms[i].room, out));
	return NULL;
}

static mx_error *
may_know(struct search *s, const struct mx_profile_user *u, bool *out)
{
	struct mx_user account;

	*out = false;
	if (u->user == s->who->user)
		return NULL;
	MX_TRY(mx_user_get(mx_core_accounts(s->core), s->conn, u->user_id, mx_request_arena(s->rq),
			   &account));
	if (account.deactivated)
		return NULL;
	*out = s->options->search_all_users;
	if (!*out)
		MX_TRY(mx_users_share(s->rs, s->conn, s->who->user, u->user, out));
	if (!*out)
		MX_TRY(in_open_room(s, u->user, out));
	return NULL;
}

static void
add_result(struct search *s, const struct mx_profile_user *u)
{
	json_t *o = json_object();

	json_object_set_new(o, "user_id", json_stringn(u->user_id.p, u->user_id.n));
	if (u->displayname.n > 0)
		json_object_set_new(o, "display_name",
				    json_stringn(u->displayname.p, u->displayname.n));
	if (u->avatar_url.n > 0)
		json_object_set_new(o, "avatar_url",
				    json_stringn(u->avatar_url.p, u->avatar_url.n));
	json_array_append_new(s->results, o);
}

static mx_error *
search(struct search *s)
{
	struct mx_profile_user *batch =
		mx_arena_alloc(mx_request_arena(s->rq), BATCH * sizeof(*batch));
	mx_str after = { NULL, 0 };
	size_t n = BATCH;

	for (size_t looked = 0; looked < CANDIDATES_MAX && n == BATCH; looked += n) {
		MX_TRY(s->profile->search(s->core, s->conn, s->term, after, mx_request_arena(s->rq),
					  batch, &n));
		for (size_t i = 0; i < n; i++) {
			bool known;

			MX_TRY(may_know(s, &batch[i], &known));
			if (!known)
				continue;
			if (json_array_size(s->results) == s->limit) {
				s->limited = true;
				return NULL;
			}
			add_result(s, &batch[i]);
		}
		if (n > 0)
			after = batch[n - 1].user_id;
	}
	return NULL;
}

static mx_error *
read_body(struct search *s)
{
	int64_t limit = LIMIT_DEFAULT;
	json_t *body;

	MX_TRY(mx_request_json(s->rq, &body));
	MX_TRY(mx_json_get_str(body, "search_term", &s->term));
	MX_TRY(mx_json_opt_int(body, "limit", &limit));
	if (limit < 0)
		return mx_error_new(MX_E_INVALID_PARAM, "limit must not be negative");
	s->limit = (size_t)(limit < LIMIT_MAX ? limit : LIMIT_MAX);
	return NULL;
}

enum mx_outcome
directory_search_users(struct mx_request *rq)
{
	struct mx_core *core = mx_request_core(rq);
	struct search s = { .rq = rq,
			    .core = core,
			    .rs = mx_core_rooms(core),
			    .conn = mx_request_conn(rq),
			    .who = mx_request_auth(rq),
			    .options = mx_self_options(mx_request_self(rq)),
			    .profile = mx_self_service(mx_request_self(rq), "profile"),
			    .results = json_array() };
	mx_error *e = read_body(&s);

	if (e == NULL && s.profile != NULL && s.term.n > 0)
		e = search(&s);
	if (e == NULL)
		return mx_reply_json(
			rq, 200,
			json_pack("{s:o, s:b}", "results", s.results, "limited", (int)s.limited));
	json_decref(s.results);
	return mx_reply_error(rq, e);
}
