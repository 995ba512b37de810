/* A room that replaces another one gets what its members have set for that: their tags, and whether
 * they call it a direct chat. */
#include "data.h"

struct succession {
	mx_str from, to;		/* room ids */
	mx_str tags;			/* of the old room */
};

static mx_error *
copy_tags(void *arg, mx_str old, struct mx_buf *out)
{
	const struct succession *s = arg;

	if (old.n == 0)
		mx_buf_str(out, s->tags);
	return NULL;
}

static bool
lists(const json_t *rooms, mx_str room_id)
{
	const json_t *room;
	size_t i;

	json_array_foreach(rooms, i, room)
		if (json_is_string(room) &&
		    mx_str_eq((mx_str){ json_string_value(room), json_string_length(room) },
			      room_id))
			return true;
	return false;
}

/* m.direct is an object of lists of rooms, by user. What else stands in it is left alone. */
static mx_error *
add_direct(void *arg, mx_str old, struct mx_buf *out)
{
	const struct succession *s = arg;
	MX_AUTO_JSON *content = NULL;
	bool changed = false;
	const char *user;
	json_t *rooms;

	if (old.n == 0)
		return NULL;
	MX_TRY(mx_json_parse(old, &content));
	json_object_foreach(content, user, rooms) {
		if (!lists(rooms, s->from) || lists(rooms, s->to))
			continue;
		json_array_append_new(rooms, json_stringn(s->to.p, s->to.n));
		changed = true;
	}
	if (changed)
		mx_json_dump(content, out);
	return NULL;
}

static mx_error *
succeed(struct mx_core *core, struct mx_conn *c, mx_nid user, struct mx_room *from,
	struct mx_room *to, struct mx_arena *a)
{
	struct succession s = { .from = mx_room_id(from), .to = mx_room_id(to) };
	mx_str direct;

	MX_TRY(data_get(core, c, user, mx_room_nid(from), MX_S("m.tag"), a, &s.tags));
	if (s.tags.n > 0)
		MX_TRY(data_change(core, user, mx_room_nid(to), MX_S("m.tag"), INT64_MAX,
				   copy_tags, &s));
	MX_TRY(data_get(core, c, user, 0, MX_S("m.direct"), a, &direct));
	return direct.n > 0 ? data_change(core, user, 0, MX_S("m.direct"), INT64_MAX, add_direct,
					  &s)
			    : NULL;
}

void
data_succeed(struct mx_module_self *self, struct mx_conn *c, mx_nid user, mx_str user_id,
	     struct mx_room *from, struct mx_room *to)
{
	struct mx_arena *a = mx_arena_new();
	mx_error *e = succeed(mx_self_core(self), c, user, from, to, a);

	if (e != NULL)
		mx_log("client-account-data", MX_WARN, "DATA001",
		       "tags are not carried over to an upgraded room", mx_fs("user", user_id),
		       mx_fs("room", mx_room_id(to)), mx_fe(e));
	mx_error_free(&e);
	mx_arena_free(&a);
}
