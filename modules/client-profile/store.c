/* The tables of profiles. */
#include "config.h"

#include "profile.h"

const struct mx_migration profile_migrations[PROFILE_MIGRATIONS] = {
	{ 1, "Profile fields, names to search, and rooms to tell",
	  "CREATE TABLE client_profile_fields (\n"
	  "	account BIGINT NOT NULL,\n"
	  "	field TEXT NOT NULL,\n"
	  "	json TEXT NOT NULL,\n"
	  "	bytes BIGINT NOT NULL,\n"
	  "	PRIMARY KEY (account, field)\n"
	  ") {unkeyed};\n"
	  "CREATE TABLE client_profile_names (\n"
	  "	account {key},\n"
	  "	user_id TEXT NOT NULL,\n"
	  "	folded TEXT NOT NULL\n"
	  ");\n"
	  "CREATE UNIQUE INDEX client_profile_names_id ON client_profile_names (user_id);\n"
	  "CREATE TABLE client_profile_spread (\n"
	  "	account {key},\n"
	  "	stamp BIGINT NOT NULL,\n"
	  "	after_room BIGINT NOT NULL\n"
	  ")" },
};

/* ---- reading ---- */

static const struct mx_sql GET = MX_SQL("SELECT json FROM client_profile_fields WHERE account = $1 AND field = $2");
static const struct mx_sql ALL = MX_SQL("SELECT field, json FROM client_profile_fields WHERE account = $1 ORDER BY field");
static const struct mx_sql PAIR = MX_SQL(
	"SELECT field, json FROM client_profile_fields WHERE account = $1 AND field IN ('displayname', 'avatar_url')");

mx_error *
profile_field(struct mx_conn *c, mx_nid user, mx_str field, struct mx_arena *a, mx_str *json)
{
	struct mx_query *q = mx_query(c, &GET);

	*json = (mx_str){ NULL, 0 };
	mx_bind_int(q, 1, user);
	mx_bind_str(q, 2, field);
	if (mx_query_next(q))
		*json = mx_arena_str(a, mx_col_str(q, 0));
	return mx_query_end(q);
}

mx_error *
profile_all(struct mx_conn *c, mx_nid user, struct mx_buf *b)
{
	struct mx_query *q = mx_query(c, &ALL);
	struct mx_jw w = mx_jw_on(b);

	mx_bind_int(q, 1, user);
	mx_jw_object(&w);
	while (mx_query_next(q)) {
		mx_jw_key(&w, mx_col_str(q, 0));
		mx_jw_raw(&w, mx_col_str(q, 1));
	}
	mx_jw_object_end(&w);
	return mx_query_end(q);
}

static mx_str
text_of(mx_str json, struct mx_arena *a)
{
	MX_AUTO_JSON *v = NULL;

	if (mx_error_drop(mx_json_parse(json, &v)) || !json_is_string(v))
		return (mx_str){ NULL, 0 };
	return mx_arena_str(a, (mx_str){ json_string_value(v), json_string_length(v) });
}

mx_error *
profile_pair(struct mx_conn *c, mx_nid user, struct mx_arena *a, mx_str *displayname,
	     mx_str *avatar_url)
{
	struct mx_query *q = mx_query(c, &PAIR);

	*displayname = *avatar_url = (mx_str){ NULL, 0 };
	mx_bind_int(q, 1, user);
	while (mx_query_next(q)) {
		if (mx_str_eq(mx_col_str(q, 0), MX_S("displayname")))
			*displayname = text_of(mx_col_str(q, 1), a);
		else
			*avatar_url = text_of(mx_col_str(q, 1), a);
	}
	return mx_query_end(q);
}

/* ---- writing ---- */

static const struct mx_sql SIZE = MX_SQL(
	"SELECT coalesce(sum(bytes), 0) FROM client_profile_fields WHERE account = $1 AND field <> $2");
static const struct mx_sql PUT = MX_SQL(
	"INSERT INTO client_profile_fields (account, field, json, bytes) VALUES ($1, $2, $3, $4) "
	"ON CONFLICT (account, field) DO UPDATE SET json = excluded.json, bytes = excluded.bytes");
static const struct mx_sql DROP =
	MX_SQL("DELETE FROM client_profile_fields WHERE account = $1 AND field = $2");
static const struct mx_sql NAME = MX_SQL(
	"INSERT INTO client_profile_names (account, user_id, folded) VALUES ($1, $2, $3) "
	"ON CONFLICT (account) DO UPDATE SET folded = excluded.folded");
static const struct mx_sql SPREAD = MX_SQL(
	"INSERT INTO client_profile_spread (account, stamp, after_room) VALUES ($1, $2, 0) "
	"ON CONFLICT (account) DO UPDATE SET stamp = excluded.stamp, after_room = 0");

static mx_error *
check_size(struct mx_conn *c, const struct profile_change *ch, int64_t bytes)
{
	struct mx_query *q = mx_query(c, &SIZE);
	int64_t sum;

	mx_bind_int(q, 1, ch->user);
	mx_bind_str(q, 2, ch->field);
	sum = mx_query_next(q) ? mx_col_int(q, 0) : 0;
	MX_TRY(mx_query_end(q));
	if (sum + bytes + 2 > PROFILE_MAX)
		return mx_error_new(MX_E_PROFILE_TOO_LARGE, "A profile may have %d bytes",
				    PROFILE_MAX);
	return NULL;
}

static mx_error *
put_field(struct mx_conn *c, const struct profile_change *ch)
{
	int64_t bytes = (int64_t)(ch->field.n + ch->json.n + 4);	/* quotes, colon, comma */
	struct mx_query *q;

	if (ch->json.p == NULL) {
		q = mx_query(c, &DROP);
		mx_bind_int(q, 1, ch->user);
		mx_bind_str(q, 2, ch->field);
		return mx_query_run(q);
	}
	MX_TRY(check_size(c, ch, bytes));
	q = mx_query(c, &PUT);
	mx_bind_int(q, 1, ch->user);
	mx_bind_str(q, 2, ch->field);
	mx_bind_str(q, 3, ch->json);
	mx_bind_int(q, 4, bytes);
	return mx_query_run(q);
}

static mx_error *
put_name(struct mx_conn *c, const struct profile_change *ch)
{
	struct mx_query *q = mx_query(c, &NAME);

	mx_bind_int(q, 1, ch->user);
	mx_bind_str(q, 2, ch->user_id);
	mx_bind_str(q, 3, ch->folded);
	return mx_query_run(q);
}

static mx_error *
store_in(struct mx_txn *tx, void *arg)
{
	struct profile_change *ch = arg;
	struct mx_conn *c = mx_txn_conn(tx);
	struct mx_item item = { .kind = MX_ITEM_PROFILE, .user = ch->user };
	struct mx_query *q;
	mx_str now;

	MX_TRY(profile_field(c, ch->user, ch->field, mx_txn_arena(tx), &now));
	ch->changed = (now.p == NULL) != (ch->json.p == NULL) || !mx_str_eq(now, ch->json);
	if (!ch->changed)
		return NULL;
	MX_TRY(put_field(c, ch));
	if (ch->name)
		MX_TRY(put_name(c, ch));
	item.pos = mx_txn_pos(tx);
	if (ch->spread) {
		q = mx_query(c, &SPREAD);
		mx_bind_int(q, 1, ch->user);
		mx_bind_int(q, 2, item.pos);
		MX_TRY(mx_query_run(q));
	}
	mx_stream_publish(ch->stream, tx, &item);
	return NULL;
}

mx_error *
profile_store(struct mx_db *db, struct profile_change *change)
{
	return mx_write(db, store_in, change);
}

static mx_error *
add_name_in(struct mx_txn *tx, void *arg)
{
	return put_name(mx_txn_conn(tx), arg);
}

mx_error *
profile_add_name(struct mx_db *db, mx_nid user, mx_str user_id)
{
	MX_AUTO(mx_buf) *folded = mx_buf_new(0);
	struct profile_change ch = { .user = user, .user_id = user_id };

	mx_str_fold(user_id, folded);
	ch.folded = mx_buf_view(folded);
	return mx_write(db, add_name_in, &ch);
}

/* ---- searching ---- */

static const struct mx_sql SEARCH = MX_SQL(
	"SELECT account, user_id FROM client_profile_names WHERE folded LIKE $1 ESCAPE '!' AND user_id > $2 "
	"ORDER BY user_id LIMIT $3");

/* The pattern that finds the term anywhere. */
static void
write_pattern(mx_str term, struct mx_buf *b)
{
	MX_AUTO(mx_buf) *folded = mx_buf_new(0);
	mx_str f;

	mx_str_fold(term, folded);
	f = mx_buf_view(folded);
	mx_buf_byte(b, '%');
	for (size_t i = 0; i < f.n; i++) {
		if (f.p[i] == '%' || f.p[i] == '_' || f.p[i] == '!')
			mx_buf_byte(b, '!');
		mx_buf_byte(b, f.p[i]);
	}
	mx_buf_byte(b, '%');
}

mx_error *
profile_search(struct mx_conn *c, mx_str term, mx_str after, struct mx_arena *a,
	       struct mx_profile_user *out, size_t *n)
{
	MX_AUTO(mx_buf) *pattern = mx_buf_new(0);
	size_t max = *n;
	struct mx_query *q;

	*n = 0;
	if (term.n > 0 && memchr(term.p, '\0', term.n) != NULL)	/* no name holds one */
		return NULL;
	write_pattern(term, pattern);
	q = mx_query(c, &SEARCH);
	mx_bind_str(q, 1, mx_buf_view(pattern));
	mx_bind_str(q, 2, after.p != NULL ? after : MX_S(""));
	mx_bind_int(q, 3, (int64_t)max);
	while (*n < max && mx_query_next(q)) {
		out[*n] = (struct mx_profile_user){ .user = mx_col_int(q, 0),
						    .user_id = mx_arena_str(a, mx_col_str(q, 1)) };
		(*n)++;
	}
	MX_TRY(mx_query_end(q));
	for (size_t i = 0; i < *n; i++)
		MX_TRY(profile_pair(c, out[i].user, a, &out[i].displayname, &out[i].avatar_url));
	return NULL;
}

/* ---- who is still to be told ---- */

static const struct mx_sql SPREAD_NEXT = MX_SQL(
	"SELECT account, stamp, after_room FROM client_profile_spread WHERE account > $1 ORDER BY account LIMIT 1");
static const struct mx_sql SPREAD_GET = MX_SQL("SELECT account, stamp, after_room FROM client_profile_spread WHERE account = $1");
static const struct mx_sql SPREAD_STEP =
	MX_SQL("UPDATE client_profile_spread SET after_room = $2 WHERE account = $1");
static const struct mx_sql SPREAD_DONE =
	MX_SQL("DELETE FROM client_profile_spread WHERE account = $1");

static mx_error *
read_spread(struct mx_conn *c, const struct mx_sql *sql, mx_nid user, struct profile_spread *out,
	    bool *found)
{
	struct mx_query *q = mx_query(c, sql);

	mx_bind_int(q, 1, user);
	*found = mx_query_next(q);
	if (*found)
		*out = (struct profile_spread){ .user = mx_col_int(q, 0),
						.stamp = mx_col_int(q, 1),
						.after = mx_col_int(q, 2) };
	return mx_query_end(q);
}

mx_error *
profile_spread_next(struct mx_conn *c, mx_nid after, struct profile_spread *out, bool *found)
{
	return read_spread(c, &SPREAD_NEXT, after, out, found);
}

mx_error *
profile_spread_get(struct mx_conn *c, mx_nid user, struct profile_spread *out, bool *found)
{
	return read_spread(c, &SPREAD_GET, user, out, found);
}

struct step {
	struct profile_spread *spread;
	bool done;
};

static mx_error *
step_in(struct mx_txn *tx, void *arg)
{
	const struct step *s = arg;
	struct mx_conn *c = mx_txn_conn(tx);
	struct profile_spread now = { 0 };
	struct mx_query *q;
	bool found;

	MX_TRY(profile_spread_get(c, s->spread->user, &now, &found));
	s->spread->again = false;
	if (found && now.stamp == s->spread->stamp) {
		q = mx_query(c, s->done ? &SPREAD_DONE : &SPREAD_STEP);
		mx_bind_int(q, 1, s->spread->user);
		if (!s->done)
			mx_bind_int(q, 2, s->spread->after);
		return mx_query_run(q);
	}
	if (s->spread->told == 0)
		return NULL;
	s->spread->again = true;
	q = mx_query(c, &SPREAD);
	mx_bind_int(q, 1, s->spread->user);
	mx_bind_int(q, 2, (now.stamp > s->spread->stamp ? now.stamp : s->spread->stamp) + 1);
	return mx_query_run(q);
}

mx_error *
profile_spread_step(struct mx_db *db, struct profile_spread *s, bool done)
{
	struct step step = { .spread = s, .done = done };

	return mx_write(db, step_in, &step);
}
