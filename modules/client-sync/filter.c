/* Filters: parsing them, storing them, and keeping those at hand that clients name in every
 * request. */
#include "sync.h"

#include <pthread.h>
#include <stdlib.h>

enum {
	CACHE_SLOTS = 512,
	FILTER_BYTES = 32768,
	CACHED_BYTES = 2048,	/* longer ones are parsed each time when they are given inline */
};

/* A filter never changes once stored, and one that is given inline is its text, so that an entry is
 * right for ever; a collision replaces it. */
struct sync_filters {
	pthread_mutex_t lock;
	struct slot {
		mx_nid owner;		/* 0: it is for everybody who gives this text */
		int64_t number;
		char *text;
		size_t n;
		struct sync_filter *filter;
	} slot[CACHE_SLOTS];
};

/* How a request names its filter: a stored one of a user by its number, or by its text. */
struct key {
	mx_nid owner;
	int64_t number;
	mx_str text;
};

struct sync_filters *
sync_filters_new(void)
{
	struct sync_filters *f = mx_alloc(sizeof(*f));

	pthread_mutex_init(&f->lock, NULL);
	return f;
}

void
sync_filters_free(struct sync_filters **fp)
{
	struct sync_filters *f = *fp;

	*fp = NULL;
	if (f == NULL)
		return;
	for (size_t i = 0; i < CACHE_SLOTS; i++) {
		sync_filter_unref(&f->slot[i].filter);
		free(f->slot[i].text);
	}
	pthread_mutex_destroy(&f->lock);
	free(f);
}

void
sync_filter_unref(struct sync_filter **fp)
{
	struct sync_filter *f = *fp;

	*fp = NULL;
	if (f == NULL || atomic_fetch_sub(&f->refs, 1) != 1)
		return;
	mx_filter_free(&f->presence);
	mx_filter_free(&f->account_data);
	mx_filter_free(&f->rooms);
	mx_filter_free(&f->timeline);
	mx_filter_free(&f->state);
	mx_filter_free(&f->ephemeral);
	mx_filter_free(&f->room_account_data);
	mx_shape_free(&f->shape);
	free(f);
}

static struct slot *
slot_of(struct sync_filters *f, const struct key *key)
{
	int64_t stored[2] = { key->owner, key->number };
	uint64_t h = key->owner != 0 ? mx_hash(stored, sizeof(stored))
				     : mx_hash(key->text.p, key->text.n);

	return &f->slot[h % CACHE_SLOTS];
}

static struct sync_filter *
cached(struct sync_filters *f, const struct key *key)
{
	struct slot *s = slot_of(f, key);
	struct sync_filter *found = NULL;

	pthread_mutex_lock(&f->lock);
	if (s->filter != NULL && s->owner == key->owner && s->number == key->number &&
	    mx_str_eq((mx_str){ s->text, s->n }, key->text)) {
		found = s->filter;
		atomic_fetch_add(&found->refs, 1);
	}
	pthread_mutex_unlock(&f->lock);
	return found;
}

static void
remember(struct sync_filters *f, const struct key *key, struct sync_filter *filter)
{
	struct slot *s = slot_of(f, key), old;
	char *text = key->text.n > 0 ? mx_str_dup(key->text) : NULL;

	atomic_fetch_add(&filter->refs, 1);
	pthread_mutex_lock(&f->lock);
	old = *s;
	*s = (struct slot){ key->owner, key->number, text, key->text.n, filter };
	pthread_mutex_unlock(&f->lock);
	sync_filter_unref(&old.filter);
	free(old.text);
}

/* The filter at o[key], when there is one. */
static mx_error *
part(const json_t *o, const char *key, struct mx_filter **out)
{
	json_t *member = NULL;

	MX_TRY(mx_json_opt_object(o, key, &member));
	return member == NULL ? NULL : mx_error_wrap(mx_filter_parse(member, out), "%s", key);
}

static mx_error *
parse(const json_t *o, struct sync_filter **out)
{
	MX_AUTO(sync_filter) *f = mx_alloc(sizeof(*f));
	json_t *room = NULL;

	f->refs = 1;
	MX_TRY(mx_shape_parse(o, &f->shape));
	MX_TRY(part(o, "presence", &f->presence));
	MX_TRY(part(o, "account_data", &f->account_data));
	MX_TRY(mx_json_opt_object(o, "room", &room));
	if (room != NULL) {
		MX_TRY(mx_filter_parse(room, &f->rooms));
		MX_TRY(part(room, "timeline", &f->timeline));
		MX_TRY(part(room, "state", &f->state));
		MX_TRY(part(room, "ephemeral", &f->ephemeral));
		MX_TRY(part(room, "account_data", &f->room_account_data));
		MX_TRY(mx_json_opt_bool(room, "include_leave", &f->include_leave));
		f->lazy_members = mx_filter_lazy_members(f->state);
	}
	*out = f;
	f = NULL;
	return NULL;
}

static const struct mx_sql GET = MX_SQL("SELECT json FROM client_sync_filter WHERE owner = $1 AND number = $2");

/* The JSON text of a stored filter, in the arena. */
static mx_error *
stored(struct mx_request *rq, mx_nid owner, int64_t number, mx_str *text)
{
	struct mx_query *q = mx_query(mx_request_conn(rq), &GET);

	*text = (mx_str){ 0 };
	mx_bind_int(q, 1, owner);
	mx_bind_int(q, 2, number);
	if (mx_query_next(q))
		*text = mx_arena_str(mx_request_arena(rq), mx_col_str(q, 0));
	MX_TRY(mx_query_end(q));
	return text->n > 0 ? NULL
			   : mx_error_new(MX_E_NOT_FOUND, "there is no filter %lld of this user",
					  (long long)number);
}

static mx_error *
parse_text(mx_str text, struct sync_filter **out)
{
	MX_AUTO_JSON *o = NULL;

	if (text.n > FILTER_BYTES)
		return mx_error_new(MX_E_TOO_LARGE, "a filter has at most %d bytes", FILTER_BYTES);
	MX_TRY(mx_json_parse(text, &o));
	if (!json_is_object(o))
		return mx_error_new(MX_E_BAD_JSON, "a filter is an object");
	return parse(o, out);
}

mx_error *
sync_filter_of(struct mx_request *rq, struct sync_filter **out)
{
	struct sync_filters *filters = mx_self_state(mx_request_self(rq));
	struct key key = { 0 };
	mx_str text;

	if (!mx_request_query(rq, "filter", &text) || text.n == 0)
		text = MX_S("{}");
	if (text.p[0] == '{') {
		key.text = text;
	} else {
		if (!mx_str_int(text, 0, INT64_MAX, &key.number))
			return mx_error_new(MX_E_INVALID_PARAM,
					    "filter is neither JSON nor the id of a filter");
		key.owner = mx_request_auth(rq)->user;
	}
	*out = cached(filters, &key);
	if (*out != NULL)
		return NULL;
	if (key.owner != 0)
		MX_TRY(stored(rq, key.owner, key.number, &text));
	MX_TRY(mx_error_wrap(parse_text(text, out), "filter"));
	if (key.text.n <= CACHED_BYTES)
		remember(filters, &key, *out);
	return NULL;
}

/* ---- the routes ---- */

static mx_error *
check_owner(struct mx_request *rq)
{
	if (mx_str_eq(mx_request_param(rq, "userId"), mx_request_auth(rq)->user_id))
		return NULL;
	return mx_error_new(MX_E_FORBIDDEN, "filters can be made and read for oneself only");
}

struct new_filter {
	mx_nid owner;
	mx_str json;
	int64_t keep;		/* filters a user */
	int64_t number;		/* out */
};

static const struct mx_sql SAME = MX_SQL("SELECT number FROM client_sync_filter WHERE owner = $1 AND json = $2");
static const struct mx_sql LAST = MX_SQL("SELECT COALESCE(MAX(number), 0) FROM client_sync_filter WHERE owner = $1");
static const struct mx_sql ADD = MX_SQL("INSERT INTO client_sync_filter (owner, number, json) VALUES ($1, $2, $3)");
static const struct mx_sql TRIM =
	MX_SQL("DELETE FROM client_sync_filter WHERE owner = $1 AND number <= $2");

static mx_error *
add(struct mx_txn *tx, void *arg)
{
	struct new_filter *n = arg;
	struct mx_conn *c = mx_txn_conn(tx);
	struct mx_query *q = mx_query(c, &SAME);

	n->number = 0;
	mx_bind_int(q, 1, n->owner);
	mx_bind_str(q, 2, n->json);
	if (mx_query_next(q))
		n->number = mx_col_int(q, 0);
	MX_TRY(mx_query_end(q));
	if (n->number > 0)
		return NULL;
	q = mx_query(c, &LAST);
	mx_bind_int(q, 1, n->owner);
	if (mx_query_next(q))
		n->number = mx_col_int(q, 0) + 1;
	MX_TRY(mx_query_end(q));
	q = mx_query(c, &ADD);
	mx_bind_int(q, 1, n->owner);
	mx_bind_int(q, 2, n->number);
	mx_bind_str(q, 3, n->json);
	MX_TRY(mx_query_run(q));
	if (n->number <= n->keep)
		return NULL;
	q = mx_query(c, &TRIM);
	mx_bind_int(q, 1, n->owner);
	mx_bind_int(q, 2, n->number - n->keep);
	return mx_query_run(q);
}

static mx_error *
post(struct mx_request *rq, int64_t *number)
{
	const struct sync_options *o = mx_self_options(mx_request_self(rq));
	MX_AUTO(sync_filter) *f = NULL;
	MX_AUTO(mx_buf) *text = mx_buf_new(0);
	struct new_filter n = { .owner = mx_request_auth(rq)->user, .keep = o->filters_per_user };
	json_t *body;

	MX_TRY(check_owner(rq));
	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(parse(body, &f));
	MX_TRY(mx_json_canonical(body, false, text));
	n.json = mx_buf_view(text);
	if (n.json.n > FILTER_BYTES)
		return mx_error_new(MX_E_TOO_LARGE, "a filter has at most %d bytes", FILTER_BYTES);
	MX_TRY(mx_write(mx_core_db(mx_request_core(rq)), add, &n));
	*number = n.number;
	return NULL;
}

enum mx_outcome
sync_filter_post(struct mx_request *rq)
{
	int64_t number = 0;
	mx_error *e = post(rq, &number);
	char text[24];

	if (e != NULL)
		return mx_reply_error(rq, e);
	snprintf(text, sizeof(text), "%lld", (long long)number);
	return mx_reply_json(rq, 200, json_pack("{s:s}", "filter_id", text));
}

enum mx_outcome
sync_filter_get(struct mx_request *rq)
{
	mx_error *e = check_owner(rq);
	struct mx_buf *b;
	int64_t number = 0;
	mx_str text = { 0 };

	if (e == NULL && !mx_str_int(mx_request_param(rq, "filterId"), 0, INT64_MAX, &number))
		e = mx_error_new(MX_E_NOT_FOUND, "there is no such filter");
	if (e == NULL)
		e = stored(rq, mx_request_auth(rq)->user, number, &text);
	if (e != NULL)
		return mx_reply_error(rq, e);
	b = mx_buf_new(0);
	mx_buf_str(b, text);
	return mx_reply_buf(rq, 200, &b);
}
