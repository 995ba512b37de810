/* The covers of an entry's events. What rests on what is in the records: no event is read again. */
#include "config.h"

#include "core/room/cover.h"
#include "core/room/entry.h"

#include <stdlib.h>

#define AT_ONCE 1024	/* events of one write: the writer is not held up for long */

struct covering {
	struct mx_entry *e;
	int64_t *heights;	/* of each record; 0: not known yet */
	size_t at, n;		/* of the order: this write's */
};

/* The record of the kth auth event, if it is one that others may rest on. */
static const struct mx_record *
auth_of(const struct mx_entry *e, const struct mx_record *r, size_t k)
{
	uint32_t place = *mx_entry_slot(e, e->refs[r->refs + k]);
	const struct mx_record *auth = place != 0 ? &e->records[place - 1] : NULL;

	return auth != NULL && auth->judged && !auth->rejected && !auth->missing ? auth : NULL;
}

/* Whether another of the auth events of r rests on the kth. */
static bool
follows(const struct mx_entry *e, const struct mx_record *r, size_t k)
{
	for (size_t i = 0; i < r->refs_n; i++) {
		const struct mx_record *auth = i != k ? auth_of(e, r, i) : NULL;

		for (size_t n = 0; auth != NULL && n < auth->refs_n; n++)
			if (e->refs[auth->refs + n] == e->refs[r->refs + k])
				return true;
	}
	return false;
}

static mx_error *
height_of(struct mx_txn *tx, struct covering *c, const struct mx_record *r, int64_t *out)
{
	int64_t *at = &c->heights[r - c->e->records];

	if (*at == 0)
		MX_TRY(mx_cover_height(c->e->rs, mx_txn_conn(tx), r->nid, at));
	*out = *at;
	return NULL;
}

static mx_error *
put_one(struct mx_txn *tx, struct covering *c, const struct mx_record *r, struct mx_cover_batch *b)
{
	struct mx_auth_row row = { .nid = r->nid, .height = 1 };
	int64_t height;

	for (size_t k = 0; k < r->refs_n && row.n < MX_EVENT_MAX_AUTH; k++) {
		const struct mx_record *auth = auth_of(c->e, r, k);

		if (auth == NULL)
			continue;
		MX_TRY(height_of(tx, c, auth, &height));
		if (height >= row.height)
			row.height = height + 1;
		if (!follows(c->e, r, k))
			row.auth[row.n++] = auth->nid;
	}
	c->heights[r - c->e->records] = row.height;
	return mx_cover_put_row(tx, c->e->rs, &row, r->leaf, b);
}

static mx_error *
put_some(struct mx_txn *tx, void *arg)
{
	struct covering *c = arg;
	struct mx_cover_batch b = { .rows_n = 0 };

	for (size_t i = c->at; i < c->at + c->n; i++) {
		const struct mx_record *r = &c->e->records[c->e->order[i]];

		if (!r->rejected && !r->missing)
			MX_TRY(put_one(tx, c, r, &b));
	}
	return mx_cover_flush(tx, &b);
}

mx_error *
mx_entry_cover(struct mx_entry *e)
{
	struct covering c = { .e = e };
	mx_error *error = NULL;

	c.heights = mx_alloc((e->records_n + 1) * sizeof(*c.heights));
	for (; error == NULL && c.at < e->order_n; c.at += c.n) {
		c.n = e->order_n - c.at < AT_ONCE ? e->order_n - c.at : AT_ONCE;
		error = mx_write(e->rs->db, put_some, &c);
	}
	free(c.heights);
	return error;
}
