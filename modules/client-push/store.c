/* A user's document in the database. It is changed outside the writer, which then only looks
 * whether it is still the one that was changed. */
#include "push.h"

static const struct mx_sql GET = MX_SQL("SELECT pos, json FROM client_push_rules WHERE owner = $1");
static const struct mx_sql POS = MX_SQL("SELECT pos FROM client_push_rules WHERE owner = $1");
static const struct mx_sql PUT =
	MX_SQL("INSERT INTO client_push_rules (owner, pos, json) VALUES ($1, $2, $3) "
	       "ON CONFLICT (owner) DO UPDATE SET pos = excluded.pos, json = excluded.json");

enum { MAX_ATTEMPTS = 20 };

mx_error *
store_get(struct mx_conn *c, mx_nid user, struct push_row *out)
{
	struct mx_query *q = mx_query(c, &GET);
	mx_error *e = NULL;

	*out = (struct push_row){ 0 };
	mx_bind_int(q, 1, user);
	if (mx_query_next(q)) {
		out->pos = mx_col_int(q, 0);
		e = mx_json_parse(mx_col_str(q, 1), &out->doc);
	}
	if (e != NULL) {
		mx_error_drop(mx_query_end(q));
		return mx_error_wrap(e, "the push rules of user %lld", (long long)user);
	}
	e = mx_query_end(q);
	if (e != NULL) {
		json_decref(out->doc);
		out->doc = NULL;
	}
	return e;
}

struct replacement {
	struct mx_core *core;
	mx_nid user;
	mx_pos expected;
	mx_str json;
};

static mx_error *
check_premise(struct mx_conn *c, const struct replacement *r)
{
	struct mx_query *q = mx_query(c, &POS);
	mx_pos pos = 0;

	mx_bind_int(q, 1, r->user);
	if (mx_query_next(q))
		pos = mx_col_int(q, 0);
	MX_TRY(mx_query_end(q));
	return pos == r->expected ? NULL : mx_error_new(MX_E_AGAIN, "the push rules have changed");
}

static mx_error *
replace(struct mx_txn *tx, void *arg)
{
	const struct replacement *r = arg;
	struct mx_item item = { .kind = MX_ITEM_ACCOUNT_DATA, .user = r->user };
	struct mx_query *q;

	MX_TRY(check_premise(mx_txn_conn(tx), r));
	item.pos = mx_txn_pos(tx);
	q = mx_query(mx_txn_conn(tx), &PUT);
	mx_bind_int(q, 1, r->user);
	mx_bind_int(q, 2, item.pos);
	mx_bind_str(q, 3, r->json);
	MX_TRY(mx_query_run(q));
	mx_stream_publish(mx_core_stream(r->core), tx, &item);
	return NULL;
}

static mx_error *
attempt(struct mx_core *core, struct mx_conn *c, mx_nid user, const struct push_change *ch)
{
	struct replacement r = { .core = core, .user = user };
	MX_AUTO(mx_buf) *json = mx_buf_new(0);
	MX_AUTO_JSON *doc = NULL;
	struct push_row row;

	MX_TRY(store_get(c, user, &row));
	doc = row.doc != NULL ? row.doc : json_object();
	r.expected = row.pos;
	MX_TRY(rules_change(doc, ch));
	mx_json_dump(doc, json);
	r.json = mx_buf_view(json);
	if (r.json.n > (size_t)ch->limits->max_size.bytes)
		return mx_error_new(MX_E_TOO_LARGE, "a user's push rules have at most %lld bytes",
				    (long long)ch->limits->max_size.bytes);
	return mx_write(mx_core_db(core), replace, &r);
}

mx_error *
store_change(struct mx_core *core, struct mx_conn *c, mx_nid user, const struct push_change *ch)
{
	for (int i = 0; i < MAX_ATTEMPTS; i++) {
		mx_error *e = attempt(core, c, user, ch);

		if (!mx_error_is(e, MX_E_AGAIN))
			return e;
		mx_error_free(&e);
	}
	return mx_error_new(MX_E_UNAVAILABLE, "the push rules are being changed by many at once");
}
