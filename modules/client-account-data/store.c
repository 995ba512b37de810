/* The rows of account data, and the announcement of each change. */
#include "data.h"

static const struct mx_sql GET =
	MX_SQL("SELECT json FROM client_account_data WHERE owner = $1 AND room = $2 AND type = $3");
static const struct mx_sql COUNT = MX_SQL("SELECT COUNT(*) FROM client_account_data WHERE owner = $1 AND room = $2");
static const struct mx_sql PUT = MX_SQL(
	"INSERT INTO client_account_data (owner, room, type, pos, json) VALUES ($1, $2, $3, $4, "
	"$5) "
	"ON CONFLICT (owner, room, type) DO UPDATE SET pos = excluded.pos, json = excluded.json");

mx_error *
data_get(struct mx_core *core, struct mx_conn *c, mx_nid user, mx_nid room, mx_str type,
	 struct mx_arena *a, mx_str *content)
{
	struct mx_query *q = mx_query(c, &GET);

	(void)core;
	*content = (mx_str){ 0 };
	mx_bind_int(q, 1, user);
	mx_bind_int(q, 2, room);
	mx_bind_str(q, 3, type);
	if (mx_query_next(q))
		*content = mx_arena_str(a, mx_col_str(q, 0));
	return mx_query_end(q);
}

struct change {
	struct mx_core *core;
	mx_nid user, room;
	mx_str type;
	int64_t max_types;
	data_change_fn *change;
	void *arg;
};

static void
after(void *arg, bool committed)
{
	mx_nid *user = arg;

	if (committed)
		ignored_forget(data_ignored_cache(), *user);
}

static void
forget_ignored(struct mx_txn *tx, const struct change *ch)
{
	mx_nid *user;

	if (ch->room != 0 || !mx_str_eq(ch->type, MX_S("m.ignored_user_list")))
		return;
	user = mx_arena_alloc(mx_txn_arena(tx), sizeof(*user));
	*user = ch->user;
	mx_txn_after(tx, after, user);
}

static mx_error *
check_count(struct mx_conn *c, const struct change *ch)
{
	struct mx_query *q = mx_query(c, &COUNT);
	int64_t n = 0;

	mx_bind_int(q, 1, ch->user);
	mx_bind_int(q, 2, ch->room);
	if (mx_query_next(q))
		n = mx_col_int(q, 0);
	MX_TRY(mx_query_end(q));
	return n < ch->max_types ? NULL
				 : mx_error_new(MX_E_TOO_LARGE,
						"there are too many types of account data already");
}

static mx_error *
put(struct mx_conn *c, const struct change *ch, mx_pos pos, mx_str json)
{
	struct mx_query *q = mx_query(c, &PUT);

	mx_bind_int(q, 1, ch->user);
	mx_bind_int(q, 2, ch->room);
	mx_bind_str(q, 3, ch->type);
	mx_bind_int(q, 4, pos);
	mx_bind_str(q, 5, json);
	return mx_query_run(q);
}

static mx_error *
apply(struct mx_txn *tx, void *arg)
{
	const struct change *ch = arg;
	struct mx_conn *c = mx_txn_conn(tx);
	struct mx_item item = { .kind = MX_ITEM_ACCOUNT_DATA, .user = ch->user, .room = ch->room };
	MX_AUTO(mx_buf) *json = mx_buf_new(0);
	mx_str old;

	MX_TRY(data_get(ch->core, c, ch->user, ch->room, ch->type, mx_txn_arena(tx), &old));
	MX_TRY(ch->change(ch->arg, old, json));
	if (mx_buf_view(json).n == 0)
		return NULL;
	if (old.n == 0)
		MX_TRY(check_count(c, ch));
	item.pos = mx_txn_pos(tx);
	MX_TRY(put(c, ch, item.pos, mx_buf_view(json)));
	forget_ignored(tx, ch);
	mx_stream_publish(mx_core_stream(ch->core), tx, &item);
	return NULL;
}

mx_error *
data_change(struct mx_core *core, mx_nid user, mx_nid room, mx_str type, int64_t max_types,
	    data_change_fn *change, void *arg)
{
	struct change ch = { core, user, room, type, max_types, change, arg };

	return mx_write(mx_core_db(core), apply, &ch);
}

static mx_error *
replace(void *arg, mx_str old, struct mx_buf *out)
{
	(void)old;
	mx_buf_str(out, *(const mx_str *)arg);
	return NULL;
}

mx_error *
data_set(struct mx_core *core, mx_nid user, mx_nid room, mx_str type, mx_str content)
{
	return data_change(core, user, room, type, INT64_MAX, replace, &content);
}
