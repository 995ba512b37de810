/* One run of /sync: what is asked, what is new, and whether to answer or to wait. Client-Server
 * API, "Syncing". */
#include "sync.h"

enum { MAX_ITEMS = 400 };	/* more news than this since the last sync is read from the database */

static bool
wants(const struct mx_sync *view, enum mx_sync_section section, mx_str type, mx_str sender)
{
	const struct sync *s = view->owner;
	const struct mx_filter *f = NULL;

	switch (section) {
	case MX_SYNC_ACCOUNT_DATA:
		f = s->filter->account_data;
		break;
	case MX_SYNC_PRESENCE:
		f = s->filter->presence;
		break;
	case MX_SYNC_ROOM_ACCOUNT_DATA:
		f = s->filter->room_account_data;
		break;
	case MX_SYNC_ROOM_EPHEMERAL:
		f = s->filter->ephemeral;
		break;
	case MX_SYNC_TO_DEVICE:
	case MX_SYNC_TOP:
	case MX_SYNC_ROOM_TOP:
		return true;
	}
	return mx_filter_match(f, type, sender);
}

struct mx_sync
sync_view(struct sync *s, struct mx_room *room, struct mx_token since, const struct mx_item *items,
	  size_t n)
{
	return (struct mx_sync){ .size = sizeof(struct mx_sync),
				 .rq = s->rq,
				 .since = since,
				 .upto = s->upto,
				 .room = room,
				 .items = items,
				 .item_count = n,
				 .known = s->known,
				 .wants = wants,
				 .owner = s,
				 .failure = &s->failure,
				 .rooms = s->rooms,
				 .room_count = s->room_count,
				 .memos = &s->memos };
}

static mx_error *
too_large(void)
{
	return mx_error_new(MX_E_TOO_LARGE, "the answer is too large; use a smaller filter");
}

bool
sync_section(const struct sync *s, const struct mx_sync *view, enum mx_sync_section section,
	     mx_str key, struct mx_jw *w)
{
	struct mx_jw in = mx_jw_on(s->section);

	mx_buf_truncate(s->section, 0);
	mx_run_sync_section(s->core, view, section, &in);
	if (mx_buf_failed(s->section) && *view->failure == NULL)
		*view->failure = too_large();
	if (mx_buf_view(s->section).n == 0)
		return false;
	mx_jw_key(w, key);
	mx_jw_object(w);
	mx_jw_key(w, MX_S("events"));
	mx_jw_array(w);
	mx_jw_raw(w, mx_buf_view(s->section));
	mx_jw_array_end(w);
	mx_jw_object_end(w);
	return true;
}

static bool
write_sections(struct sync *s, struct mx_jw *w)
{
	struct mx_sync view = sync_view(s, NULL, s->since, s->items, s->item_count);
	bool any = sync_section(s, &view, MX_SYNC_ACCOUNT_DATA, MX_S("account_data"), w);
	size_t before;

	any |= sync_section(s, &view, MX_SYNC_PRESENCE, MX_S("presence"), w);
	any |= sync_section(s, &view, MX_SYNC_TO_DEVICE, MX_S("to_device"), w);
	before = mx_buf_view(w->b).n;
	mx_run_sync_section(s->core, &view, MX_SYNC_TOP, w);
	return any || mx_buf_view(w->b).n > before;
}

static bool
write_rooms(const struct sync *s, struct mx_jw *w)
{
	const struct {
		mx_str key;
		struct mx_buf *members;
	} parts[] = {
		{ MX_S("join"), s->join },
		{ MX_S("invite"), s->invite },
		{ MX_S("knock"), s->knock },
		{ MX_S("leave"), s->leave },
	};
	bool any = false;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (mx_buf_view(parts[i].members).n == 0)
			continue;
		if (!any) {
			mx_jw_key(w, MX_S("rooms"));
			mx_jw_object(w);
		}
		any = true;
		mx_jw_key(w, parts[i].key);
		mx_jw_object(w);
		mx_jw_raw(w, mx_buf_view(parts[i].members));
		mx_jw_object_end(w);
	}
	if (any)
		mx_jw_object_end(w);
	return any;
}

/* The whole answer, onto b. *news: whether there is more in it than the next token. */
static mx_error *
write_answer(struct sync *s, struct mx_buf *b, bool *news)
{
	struct mx_jw w = mx_jw_on(b);
	MX_AUTO(mx_buf) *token = mx_buf_new(0);
	bool any;

	MX_TRY(sync_rooms(s));
	mx_token_write(s->upto, token);
	mx_jw_object(&w);
	mx_jw_key(&w, MX_S("next_batch"));
	mx_jw_str(&w, mx_buf_view(token));
	any = write_sections(s, &w);
	any |= write_rooms(s, &w);
	mx_jw_object_end(&w);
	*news = any;
	if (s->failure != NULL) {
		mx_error *e = s->failure;

		s->failure = NULL;
		return e;
	}
	return mx_buf_failed(b) ? too_large() : NULL;
}

/* ---- what is asked ---- */

static bool
query_bool(struct mx_request *rq, const char *name)
{
	mx_str v;

	return mx_request_query(rq, name, &v) && mx_str_eq(v, MX_S("true"));
}

static mx_error *
read_presence(struct mx_request *rq)
{
	mx_str v;

	if (!mx_request_query(rq, "set_presence", &v) || mx_str_eq(v, MX_S("online")) ||
	    mx_str_eq(v, MX_S("offline")) || mx_str_eq(v, MX_S("unavailable")))
		return NULL;
	return mx_error_new(MX_E_INVALID_PARAM,
			    "set_presence is none of online, offline, unavailable");
}

static mx_error *
read_request(struct sync *s, mx_msec *timeout)
{
	mx_str since;

	s->options = mx_self_options(mx_request_self(s->rq));
	s->full_state = query_bool(s->rq, "full_state");
	s->state_after = query_bool(s->rq, "use_state_after") ||
			 query_bool(s->rq, "org.matrix.msc4222.use_state_after");
	s->initial = !mx_request_query(s->rq, "since", &since) || since.n == 0;
	/* Only pages of a room's history have tokens below 0. */
	if (!s->initial && (!mx_token_parse(since, &s->since) || s->since.pos < 0))
		return mx_error_new(MX_E_INVALID_PARAM, "since is not a token of this server");
	MX_TRY(read_presence(s->rq));
	MX_TRY(mx_request_query_int(s->rq, "timeout", 0, INT64_MAX / 2000, 0, timeout));
	if (*timeout > s->options->max_timeout.ms)
		*timeout = s->options->max_timeout.ms;
	return NULL;
}

/* A token from the future (of a database that was restored from a backup) counts as the present; of
 * what passes (whose positions go by a clock, which may have been set back) nothing counts as seen:
 * to be told of it twice does no harm. */
static void
clamp(struct sync *s)
{
	if (s->since.pos > s->upto.pos)
		s->since.pos = s->upto.pos;
	if (s->since.ephemeral > s->upto.ephemeral)
		s->since.ephemeral = 0;
}

static mx_error *
read_ignored(struct sync *s)
{
	const struct mx_account_data_service *data =
		mx_self_service(mx_request_self(s->rq), "account-data");
	mx_str *v = NULL;

	if (data == NULL)
		return NULL;
	MX_TRY(data->ignored(s->core, s->conn, s->who->user, s->arena, &v, &s->ignored_count));
	s->ignored = v;
	return NULL;
}

static mx_error *
make(struct sync *s, struct mx_buf *b, bool *news)
{
	struct mx_item items[MAX_ITEMS];
	size_t n = 0;
	mx_error *e;

	*news = false;
	if (!s->initial) {
		n = mx_stream_since(mx_core_stream(s->core), s->who->user, s->since, s->upto, items,
				    MAX_ITEMS, &s->known);
		s->items = items;
		s->item_count = s->known ? n : 0;
		if (s->known && n == 0 && !s->full_state)
			return NULL;
	}
	e = read_ignored(s);
	if (e == NULL)
		e = write_answer(s, b, news);
	mx_items_release(items, n);
	return e;
}

static enum mx_outcome
answer_nothing(const struct sync *s)
{
	struct mx_buf *b = mx_buf_new(0);

	mx_buf_str(b, MX_S("{\"next_batch\":\""));
	mx_token_write(s->upto, b);
	mx_buf_str(b, MX_S("\"}"));
	return mx_reply_buf(s->rq, 200, &b);
}

static mx_error *
run(struct sync *s, struct mx_buf **b, bool *news, mx_msec *timeout)
{
	MX_AUTO(sync_filter) *filter = NULL;

	MX_TRY(read_request(s, timeout));
	s->upto = mx_stream_head(mx_core_stream(s->core));
	clamp(s);
	/* The commonest case first: nothing happened at all. */
	if (!s->initial && !s->full_state && s->since.pos == s->upto.pos &&
	    s->since.ephemeral == s->upto.ephemeral)
		return NULL;
	MX_TRY(sync_filter_of(s->rq, &filter));
	s->filter = filter;
	*b = mx_buf_new(SIZE_MAX / 2);
	return make(s, *b, news);
}

/* Nothing is new: waits, if the client wants to. */
static enum mx_outcome
wait_or_answer(const struct sync *s, mx_msec timeout)
{
	mx_msec left = timeout - mx_request_age(s->rq);

	if (left <= 0 || mx_request_draining(s->rq))
		return answer_nothing(s);
	return mx_stream_park(mx_core_stream(s->core), s->rq, s->who->user, s->upto, left);
}

/* Most requests come when nothing is new, and memory knows it. */
static enum mx_outcome
try_nothing(struct sync *s)
{
	struct mx_stream *stream = mx_core_stream(s->core);
	mx_msec timeout;
	mx_error *e = read_request(s, &timeout);

	if (e != NULL)
		return mx_reply_error(s->rq, e);
	s->upto = mx_stream_head(stream);
	clamp(s);
	if (s->initial || s->full_state)
		return MX_AGAIN;
	if (s->since.pos != s->upto.pos || s->since.ephemeral != s->upto.ephemeral) {
		struct mx_item item;
		size_t n = mx_stream_since(stream, s->who->user, s->since, s->upto, &item, 1,
					   &s->known);

		mx_items_release(&item, n);
		if (!s->known || n > 0)
			return MX_AGAIN;
	}
	return wait_or_answer(s, timeout);
}

static enum mx_outcome
run_all(struct sync *s)
{
	MX_AUTO(mx_buf) *join = mx_buf_new(SIZE_MAX / 2);
	MX_AUTO(mx_buf) *invite = mx_buf_new(0);
	MX_AUTO(mx_buf) *knock = mx_buf_new(0);
	MX_AUTO(mx_buf) *leave = mx_buf_new(0);
	MX_AUTO(mx_buf) *section = mx_buf_new(0);
	MX_AUTO(mx_buf) *b = NULL;
	mx_msec timeout = 0;
	bool news = false;
	mx_error *e;

	s->rs = mx_core_rooms(s->core);
	s->arena = mx_request_arena(s->rq);
	s->join = join;
	s->invite = invite;
	s->knock = knock;
	s->leave = leave;
	s->section = section;
	s->conn = mx_request_conn(s->rq);
	e = run(s, &b, &news, &timeout);
	mx_error_free(&s->failure);
	if (e != NULL)
		return mx_reply_error(s->rq, e);
	if (news || s->initial || s->full_state)
		return mx_reply_buf(s->rq, 200, &b);
	return wait_or_answer(s, timeout);
}

enum mx_outcome
sync_get(struct mx_request *rq)
{
	struct sync s = { .rq = rq, .core = mx_request_core(rq), .who = mx_request_auth(rq) };

	return mx_request_on_trial(rq) ? try_nothing(&s) : run_all(&s);
}
