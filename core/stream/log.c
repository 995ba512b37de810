/* What each batch has announced, one row a batch, on databases that several processes share: who
 * wrote nothing itself fills its ring from here, and wakes only whom the items concern. A row is
 * wanted until everybody has read it; after that it goes. */
#include "config.h"

#include "core/sql/db.h"
#include "core/stream/impl.h"

#define KEEP_RINGS 4		/* lengths of the ring that rows are kept for: who is further behind reads the tables */
#define SWEEP_BATCHES 256

static const struct mx_migration MIGRATIONS[] = {
	{ 1, "what each batch announced, for the other processes",
	  "CREATE TABLE stream_batch (upto {key}, since BIGINT NOT NULL, items TEXT NOT NULL);\n" },
};
static const struct mx_sql PUT =
	MX_SQL("INSERT INTO stream_batch (upto, since, items) VALUES ($1, $2, $3)");
static const struct mx_sql SWEEP = MX_SQL("DELETE FROM stream_batch WHERE upto < $1");
static const struct mx_sql GET = MX_SQL("SELECT upto, since, items FROM stream_batch "
					"WHERE upto > $1 AND upto <= $2 ORDER BY upto");

const struct mx_migration_set mx_stream_tables = { "stream", MIGRATIONS,
						   sizeof(MIGRATIONS) / sizeof(MIGRATIONS[0]) };

/* ---- an item as text: "KIND POSITION ROOM USER DEVICE;" ---- */

static void
item_write(const struct mx_item *it, struct mx_buf *b)
{
	const int64_t v[] = { it->kind, it->pos, it->room, it->user, it->device };

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		mx_buf_int(b, v[i]);
		mx_buf_byte(b, i + 1 < sizeof(v) / sizeof(v[0]) ? ' ' : ';');
	}
}

static bool
item_read(mx_str text, struct mx_item *out)
{
	int64_t v[5];
	mx_str word;

	for (size_t i = 0; i < 5; i++) {
		if (i == 4)
			word = text;
		else if (!mx_str_cut(text, ' ', &word, &text))
			return false;
		if (!mx_str_int(word, INT64_MIN, INT64_MAX, &v[i]))
			return false;
	}
	*out = (struct mx_item){ .kind = (enum mx_item_kind)v[0], .pos = v[1], .room = v[2],
				 .user = v[3], .device = v[4] };
	return true;
}

/* ---- writing ---- */

mx_error *
mx_stream_log_put(struct mx_stream *s, struct mx_conn *c, mx_pos since, mx_pos upto)
{
	MX_AUTO(mx_buf) *items = mx_buf_new(64 * (s->open_n + 1));
	struct mx_query *q;

	for (size_t i = 0; i < s->open_n; i++)
		if (!s->open[i]->undone)
			item_write(&s->open[i]->item, items);
	if (++s->batches % SWEEP_BATCHES == 0) {
		q = mx_query(c, &SWEEP);
		mx_bind_int(q, 1, since - s->opt.ring * KEEP_RINGS);
		MX_TRY(mx_query_run(q));
	}
	q = mx_query(c, &PUT);
	mx_bind_int(q, 1, upto);
	mx_bind_int(q, 2, since);
	mx_bind_str(q, 3, mx_buf_view(items));
	return mx_query_run(q);
}

/* ---- reading ---- */

/* Stages the items of one row; false when they make no sense. */
static bool
stage_row(struct mx_stream *s, mx_str items)
{
	struct mx_item it;
	mx_str one;

	while (mx_str_cut(items, ';', &one, &items)) {
		if (!item_read(one, &it))
			return false;
		mx_stream_stage(s, &it);
	}
	return items.n == 0;
}

/* Events go into the ring with their items. */
static mx_error *
load_events(struct mx_stream *s, struct mx_conn *c, size_t from)
{
	struct mx_events l = { 0 };
	mx_nid *nids = mx_alloc((s->staged_n - from + 1) * sizeof(*nids));
	size_t n = 0;
	mx_error *e = NULL;

	for (size_t i = from; i < s->staged_n; i++)
		if (s->staged[i].kind == MX_ITEM_EVENT)
			nids[n++] = s->staged[i].pos;
	if (n > 0)
		e = s->load_events(s->on_foreign_arg, c, nids, n, &l);
	n = 0;
	for (size_t i = from; e == NULL && i < s->staged_n; i++)
		if (s->staged[i].kind == MX_ITEM_EVENT)
			s->staged[i].event = mx_event_ref(l.v[n++]);
	mx_events_clear(&l);
	free(nids);
	return e;
}

mx_error *
mx_stream_log_read(struct mx_stream *s, struct mx_conn *c, mx_pos since, mx_pos upto, bool *whole)
{
	size_t from = s->staged_n;
	mx_pos known = since;
	bool good = upto - since < s->opt.ring && s->load_events != NULL;

	*whole = false;
	if (!good)
		return NULL;
	struct mx_query *q = mx_query(c, &GET);

	mx_bind_int(q, 1, since);
	mx_bind_int(q, 2, upto);
	while (mx_query_next(q)) {
		good = good && mx_col_int(q, 1) == known && stage_row(s, mx_col_str(q, 2));
		known = mx_col_int(q, 0);
	}
	MX_TRY(mx_query_end(q));
	if (!good || known != upto)
		return NULL;
	mx_error *e = load_events(s, c, from);
	*whole = e == NULL;
	/* Purged in the meantime. */
	if (mx_error_is(e, MX_E_NOT_FOUND))
		mx_error_free(&e);
	return e;
}
