/* A room that has got many forward extremities: somebody here says something that nobody reads, and
 * joins them. Each of our events would have to name them all, and each state would have to be
 * resolved of all of them. */
#include "config.h"

#include "core/room/build.h"
#include "core/room/hash.h"
#include "core/room/intake.h"

#include <stdlib.h>

#define TYPE "org.matrix.dummy_event"
#define CANDIDATES 20

static const struct mx_sql LOCAL =
	MX_SQL("SELECT \"user\" FROM membership WHERE room = $1 AND local = 1 AND membership = 2 "
	       "LIMIT $2");

bool
mx_is_dummy(const struct mx_event *ev)
{
	return !ev->state && mx_str_eq(mx_event_type(ev), MX_S(TYPE));
}

static void
hash_of(const struct mx_event *ev, unsigned char out[MX_SHA256_SIZE])
{
	if (ev->version->refs_with_hashes)
		mx_event_reference_hash(ev->version, mx_event_json(ev), out);
}

mx_error *
mx_joint_begin(struct mx_joint *d, struct mx_intake *in)
{
	int64_t max = in->room->version->max_depth;

	*d = (struct mx_joint){ .in = in };
	for (size_t i = 0; i < in->ends_n && i < MX_EVENT_MAX_PREV; i++) {
		const struct mx_event *end = in->ends[i];

		d->prev[i] = mx_event_id(end);
		hash_of(end, d->prev_hash[i]);
		if (end->depth >= d->depth)
			d->depth = end->depth < max ? end->depth + 1 : max;
		d->prev_n++;
	}
	return mx_place_merge(in, in->ends, d->prev_n, &d->before);
}

static mx_error *
build(struct mx_joint *d, const struct mx_joining *what, struct mx_event **out)
{
	struct mx_intake *in = d->in;
	const struct mx_room_version *version = in->room->version;
	unsigned char auth_hash[MX_JUDGED_BY][MX_SHA256_SIZE];
	struct mx_event *found[MX_JUDGED_BY] = { NULL };
	struct mx_auth_types types;
	mx_error *e = NULL;
	mx_str auth[MX_JUDGED_BY];
	size_t auth_n = 0;

	mx_rules_auth_types(version, what->type, what->sender_id, what->state_key, what->parsed,
			    &types);
	for (size_t i = 0; e == NULL && i < types.n; i++) {
		e = mx_state_get(in->rs, in->conn, d->before, types.v[i].type, types.v[i].key,
				 &found[auth_n]);
		if (e != NULL || found[auth_n] == NULL)
			continue;
		hash_of(found[auth_n], auth_hash[auth_n]);
		auth[auth_n] = mx_event_id(found[auth_n]);
		auth_n++;
	}
	struct mx_build b = {
		.version = version,
		.room_id = mx_room_id(in->room),
		.sender = what->sender_id,
		.type = what->type,
		.state_key = what->state_key,
		.content_canonical = what->content,
		.redacts = what->redacts,
		.ts = what->ts != 0 ? what->ts : mx_now(),
		.depth = d->depth,
		.prev = d->prev,
		.prev_hash = d->prev_hash,
		.prev_n = d->prev_n,
		.auth = auth,
		.auth_hash = auth_hash,
		.auth_n = auth_n,
		.server = mx_rooms_server(in->rs),
		.key = in->rs->key,
		.room = in->room->nid,
		.sender_nid = what->sender,
		.device = what->device,
		.txn_id = what->txn_id,
	};

	if (e == NULL)
		e = mx_build_event(&b, out);
	for (size_t i = 0; i < MX_JUDGED_BY; i++)
		mx_event_unref(&found[i]);
	return e;
}

mx_error *
mx_joint_make(struct mx_joint *d, const struct mx_joining *what, struct mx_event **made,
	      mx_error **why)
{
	struct mx_intake *in = d->in;
	struct mx_arriving *a = mx_arena_alloc(in->arena, sizeof(*a));

	*why = NULL;
	a->v = &a->own;
	a->ours = true;
	MX_TRY(build(d, what, &a->own.event));
	mx_intake_add(in, a);
	MX_TRY(mx_intake_past(in, a));
	MX_TRY(mx_judge(in, a->own.event, d->before, 0, why));
	if (*why == NULL)
		MX_TRY(mx_judge(in, a->own.event, in->root, 0, why));
	if (*why != NULL)
		return NULL;
	MX_TRY(mx_place(in, a));
	if (a->own.fate != MX_FATE_ACCEPTED)
		*why = mx_error_new(MX_E_FORBIDDEN, "%s", a->own.words);
	else if (made != NULL)
		*made = mx_event_ref(a->own.event);
	return NULL;
}

static mx_error *
try(struct mx_joint *d, mx_nid user, bool *done)
{
	struct mx_joining dummy = { .type = MX_S(TYPE), .content = MX_S("{}"), .sender = user };
	mx_error *why;

	MX_TRY(mx_name_text(d->in->conn, user, d->in->arena, &dummy.sender_id));
	MX_TRY(mx_joint_make(d, &dummy, NULL, &why));
	*done = !mx_error_drop(why);
	return NULL;
}

/* Joins up to MX_EVENT_MAX_PREV of them. */
static mx_error *
join_some(struct mx_intake *in, const mx_nid *users, size_t n, bool *done)
{
	struct mx_joint d;

	*done = false;
	MX_TRY(mx_joint_begin(&d, in));
	for (size_t i = 0; i < n && !*done; i++)
		MX_TRY(try(&d, users[i], done));
	return NULL;
}

static mx_error *
candidates(struct mx_intake *in, mx_nid users[CANDIDATES], size_t *n)
{
	struct mx_query *q = mx_query(in->conn, &LOCAL);

	*n = 0;
	mx_bind_int(q, 1, in->room->nid);
	mx_bind_int(q, 2, CANDIDATES);
	while (*n < CANDIDATES && mx_query_next(q))
		users[(*n)++] = mx_col_int(q, 0);
	return mx_query_end(q);
}

mx_error *
mx_ends_join(struct mx_intake *in, size_t most)
{
	mx_nid users[CANDIDATES];
	bool done = true;
	size_t n;

	if (in->ends_n <= most)
		return NULL;
	MX_TRY(candidates(in, users, &n));
	while (done && in->ends_n > most)
		MX_TRY(join_some(in, users, n, &done));
	return NULL;
}

mx_error *
mx_room_join_ends(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, size_t most,
		  bool *joined)
{
	struct mx_intake *in = mx_alloc(sizeof(*in));
	mx_error *e = mx_intake_begin(in, rs, c, r);

	if (e == NULL)
		e = mx_ends_join(in, most);
	*joined = in->ends_n <= most;
	mx_intake_end(in);
	free(in);
	return e;
}
