/* The rows of covers, as they are written: several to a statement. */
#include "config.h"

#include "core/room/cover.h"

#define FEW 3			/* fewer are put one by one */

static const struct mx_sql PUT =
	MX_SQL("INSERT INTO cover (nid, auth) VALUES ($1, $2) ON CONFLICT (nid) DO NOTHING");
static const struct mx_sql PUT_ABOVE =
	MX_SQL("INSERT INTO cover_above (below, above) VALUES ($1, $2) "
	       "ON CONFLICT (below, above) DO NOTHING");
/* MX_COVER_BATCH of them; where there are fewer, the last is said again. */
static const struct mx_sql PUT_MANY =
	MX_SQL("INSERT INTO cover (nid, auth) VALUES ($1, $2), ($3, $4), ($5, $6), ($7, $8), "
	       "($9, $10), ($11, $12), ($13, $14), ($15, $16) ON CONFLICT (nid) DO NOTHING");
static const struct mx_sql PUT_MANY_ABOVE =
	MX_SQL("INSERT INTO cover_above (below, above) VALUES ($1, $2), ($3, $4), ($5, $6), "
	       "($7, $8), ($9, $10), ($11, $12), ($13, $14), ($15, $16) "
	       "ON CONFLICT (below, above) DO NOTHING");

static size_t
put_number(unsigned char *p, uint64_t v)
{
	size_t n = 0;

	for (; v >= 128; v >>= 7)
		p[n++] = (unsigned char)(v | 128);
	p[n++] = (unsigned char)v;
	return n;
}

static void
bind_row(struct mx_query *q, int at, const struct mx_cover_batch *b, size_t i)
{
	mx_bind_int(q, at, b->rows[i].nid);
	mx_bind_blob(q, at + 1, b->rows[i].data, b->rows[i].n);
}

static void
bind_above(struct mx_query *q, int at, const struct mx_cover_batch *b, size_t i)
{
	mx_bind_int(q, at, b->above[i].below);
	mx_bind_int(q, at + 1, b->above[i].above);
}

static mx_error *
put(struct mx_conn *c, const struct mx_cover_batch *b, size_t n, const struct mx_sql *one,
    const struct mx_sql *many,
    void (*bind)(struct mx_query *q, int at, const struct mx_cover_batch *b, size_t i))
{
	struct mx_query *q;

	for (size_t i = 0; n < FEW && i < n; i++) {
		q = mx_query(c, one);
		bind(q, 1, b, i);
		MX_TRY(mx_query_run(q));
	}
	if (n < FEW)
		return NULL;
	q = mx_query(c, many);
	for (size_t i = 0; i < MX_COVER_BATCH; i++)
		bind(q, 2 * (int)i + 1, b, i < n ? i : n - 1);
	return mx_query_run(q);
}

static mx_error *
flush_rows(struct mx_conn *c, struct mx_cover_batch *b)
{
	size_t n = b->rows_n;

	b->rows_n = 0;
	return put(c, b, n, &PUT, &PUT_MANY, bind_row);
}

static mx_error *
flush_above(struct mx_conn *c, struct mx_cover_batch *b)
{
	size_t n = b->above_n;

	b->above_n = 0;
	return put(c, b, n, &PUT_ABOVE, &PUT_MANY_ABOVE, bind_above);
}

mx_error *
mx_cover_flush(struct mx_txn *tx, struct mx_cover_batch *b)
{
	MX_TRY(flush_rows(mx_txn_conn(tx), b));
	return flush_above(mx_txn_conn(tx), b);
}

/* For who has no position, its height; then how far back what it rests on is. */
static size_t
write_row(const struct mx_auth_row *row, unsigned char *data)
{
	size_t n = row->nid <= 0 ? put_number(data, (uint64_t)row->height) : 0;

	for (size_t i = 0; i < row->n; i++) {
		uint64_t back = (uint64_t)(row->nid - row->auth[i]);

		n += put_number(data + n, back << 1 ^ (~(back >> 63) + 1));
	}
	return n;
}

mx_error *
mx_cover_put_row(struct mx_txn *tx, struct mx_rooms *rs, const struct mx_auth_row *row, bool leaf,
		 struct mx_cover_batch *b)
{
	struct mx_conn *c = mx_txn_conn(tx);

	if (row->nid <= 0) {
		if (row->height % MX_COVER_STEPS == 0)
			return mx_error_new(MX_E_LIMIT_EXCEEDED, "an auth chain is too long");
		mx_cover_recent_set_height(rs->covers, row->nid, row->height);
	}
	for (size_t i = 0; i < row->n; i++) {
		if (b->above_n == MX_COVER_BATCH)
			MX_TRY(flush_above(c, b));
		b->above[b->above_n].below = 2 * row->auth[i] + !leaf;
		b->above[b->above_n++].above = row->nid;
	}
	if (b->rows_n == MX_COVER_BATCH)
		MX_TRY(flush_rows(c, b));
	b->rows[b->rows_n].nid = row->nid;
	b->rows[b->rows_n].n = write_row(row, b->rows[b->rows_n].data);
	b->rows_n++;
	return NULL;
}
