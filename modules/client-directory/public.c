/* GET and POST /publicRooms. A batch token names the room at its border, so that a list that
 * changes meanwhile skips and repeats nothing but what moved itself. Client-Server API, "Published
 * room directory". */
#include "config.h"

#include "list.h"

struct ask {
	int64_t limit;
	mx_str since, term;		/* term: folded */
	const json_t *types;		/* NULL: all */
	bool foreign;			/* of a network that is not bridged here: nothing */
};

/* ---- tokens: "n" or "p", joined members, ".", room ---- */

struct border {
	bool given, back;
	size_t joined;
	mx_nid room;
};

static mx_error *
read_border(mx_str since, struct border *out)
{
	mx_str joined, room;
	int64_t count;

	*out = (struct border){ 0 };
	if (since.n == 0)
		return NULL;
	out->given = true;
	out->back = since.p[0] == 'p';
	if ((out->back || since.p[0] == 'n') &&
	    mx_str_cut((mx_str){ since.p + 1, since.n - 1 }, '.', &joined, &room) &&
	    mx_str_int(joined, 0, INT64_MAX, &count) &&
	    mx_str_int(room, 0, INT64_MAX, &out->room)) {
		out->joined = (size_t)count;
		return NULL;
	}
	return mx_error_new(MX_E_INVALID_PARAM, "since is no token of this list");
}

static void
write_border(struct mx_jw *w, mx_str key, char kind, const struct list_entry *e)
{
	char text[64];

	snprintf(text, sizeof(text), "%c%zu.%lld", kind, e->joined, (long long)e->room);
	mx_jw_key(w, key);
	mx_jw_str(w, mx_str_of(text));
}

/* Whether the entry lies behind the border, in the order of the list. */
static bool
behind(const struct list_entry *e, const struct border *b)
{
	return e->joined != b->joined ? e->joined < b->joined : e->room > b->room;
}

static bool
at_border(const struct list_entry *e, const struct border *b)
{
	return e->joined == b->joined && e->room == b->room;
}

/* ---- filtering ---- */

static bool
type_wanted(const json_t *types, mx_str type)
{
	const json_t *item;
	size_t i;

	if (types == NULL)
		return true;
	json_array_foreach(types, i, item) {
		if (json_is_null(item) && type.n == 0)
			return true;
		if (json_is_string(item) && type.n > 0 &&
		    mx_str_eq((mx_str){ json_string_value(item), json_string_length(item) }, type))
			return true;
	}
	return false;
}

static bool
wanted(const struct ask *a, const struct list_entry *e)
{
	if (a->foreign || !type_wanted(a->types, e->type))
		return false;
	return a->term.n == 0 || memmem(e->text.p, e->text.n, a->term.p, a->term.n) != NULL;
}

/* ---- answering ---- */

/* A run of the entries that passed. */
struct run {
	const struct list_entry **v;
	size_t n, first, count;
};

static void
choose(struct run *r, const struct border *b, size_t limit)
{
	size_t i = 0;

	if (!b->given) {
		r->first = 0;
	} else if (b->back) {
		while (i < r->n && !behind(r->v[i], b) && !at_border(r->v[i], b))
			i++;
		r->first = i > limit ? i - limit : 0;
		limit = i - r->first;
	} else {
		while (i < r->n && !behind(r->v[i], b))
			i++;
		r->first = i;
	}
	r->count = r->n - r->first < limit ? r->n - r->first : limit;
}

static void
write_run(const struct run *r, struct mx_buf *b)
{
	struct mx_jw w = mx_jw_on(b);

	mx_jw_object(&w);
	mx_jw_key(&w, MX_S("chunk"));
	mx_jw_array(&w);
	for (size_t i = 0; i < r->count; i++)
		mx_jw_raw(&w, r->v[r->first + i]->json);
	mx_jw_array_end(&w);
	if (r->count > 0 && r->first + r->count < r->n)
		write_border(&w, MX_S("next_batch"), 'n', r->v[r->first + r->count - 1]);
	if (r->count > 0 && r->first > 0)
		write_border(&w, MX_S("prev_batch"), 'p', r->v[r->first]);
	mx_jw_key(&w, MX_S("total_room_count_estimate"));
	mx_jw_int(&w, (int64_t)r->n);
	mx_jw_object_end(&w);
}

static mx_error *
answer(struct mx_request *rq, const struct ask *a, struct mx_buf *b)
{
	struct list_snapshot *list;
	struct border border;
	struct run r = { 0 };

	MX_TRY(read_border(a->since, &border));
	MX_TRY(list_take(rq, &list));
	r.v = mx_arena_alloc(mx_request_arena(rq), (list->n + 1) * sizeof(*r.v));
	for (size_t i = 0; i < list->n; i++)
		if (wanted(a, list->v[i]))
			r.v[r.n++] = list->v[i];
	choose(&r, &border, (size_t)a->limit);
	write_run(&r, b);
	list_release(&list);
	return NULL;
}

/* ---- asking ---- */

static mx_error *
check_asker(struct mx_request *rq)
{
	const struct directory_options *o = mx_self_options(mx_request_self(rq));
	mx_str server;

	if (mx_request_auth(rq) == NULL && !o->anonymous)
		return mx_error_new(MX_E_MISSING_TOKEN,
				    "The list of public rooms is for who is logged in");
	if (mx_request_query(rq, "server", &server) && server.n > 0 &&
	    !mx_str_eq(server, mx_core_server_name(mx_request_core(rq))))
		return mx_error_new(MX_E_INVALID_PARAM,
				    "This server knows no lists of other servers");
	return NULL;
}

static int64_t
max_page(struct mx_request *rq)
{
	return ((const struct directory_options *)mx_self_options(mx_request_self(rq)))->max_page;
}

static mx_error *
read_query(struct mx_request *rq, struct ask *a)
{
	MX_TRY(mx_request_query_int(rq, "limit", 0, INT64_MAX, max_page(rq), &a->limit));
	mx_request_query(rq, "since", &a->since);
	return NULL;
}

static mx_error *
read_body(struct mx_request *rq, struct ask *a)
{
	MX_AUTO(mx_buf) *folded = mx_buf_new(0);
	json_t *body, *filter = NULL, *types = NULL;
	mx_str term = { NULL, 0 }, network = { NULL, 0 };

	a->limit = max_page(rq);
	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(mx_json_opt_int(body, "limit", &a->limit));
	if (a->limit < 0)
		return mx_error_new(MX_E_INVALID_PARAM, "limit must not be negative");
	MX_TRY(mx_json_opt_str(body, "since", &a->since));
	MX_TRY(mx_json_opt_str(body, "third_party_instance_id", &network));
	a->foreign = network.n > 0;
	MX_TRY(mx_json_opt_object(body, "filter", &filter));
	if (filter == NULL)
		return NULL;
	if (!json_is_null(json_object_get(filter, "generic_search_term")))
		MX_TRY(mx_json_opt_str(filter, "generic_search_term", &term));
	mx_str_fold(term, folded);
	a->term = mx_arena_str(mx_request_arena(rq), mx_buf_view(folded));
	if (!json_is_null(json_object_get(filter, "room_types")))
		MX_TRY(mx_json_opt_array(filter, "room_types", &types));
	a->types = types;
	return NULL;
}

static enum mx_outcome
run(struct mx_request *rq, mx_error *(*read)(struct mx_request *rq, struct ask *a))
{
	struct mx_buf *b = mx_buf_new(0);
	struct ask a = { 0 };
	mx_error *e = check_asker(rq);

	if (e == NULL)
		e = read(rq, &a);
	if (e == NULL) {
		if (a.limit > max_page(rq))
			a.limit = max_page(rq);
		e = answer(rq, &a, b);
	}
	if (e == NULL)
		return mx_reply_buf(rq, 200, &b);
	mx_buf_free(&b);
	return mx_reply_error(rq, e);
}

enum mx_outcome directory_public_rooms(struct mx_request *rq) { return run(rq, read_query); }
enum mx_outcome directory_search_rooms(struct mx_request *rq) { return run(rq, read_body); }
