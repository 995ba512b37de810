/* When devices were last used: noted in memory by requests, written in one transaction every now
 * and then. What a crash loses is minutes of a column that people look at. */
#include "config.h"

#include "core/account/internal.h"

#include <stdlib.h>

enum { SEEN_MAX = 4096, SEEN_FLUSH = 1024, ADDRESS_MAX = 46 };

struct note {
	mx_nid device;
	mx_msec when;
	uint8_t n;
	char address[ADDRESS_MAX];
};

struct seen {
	pthread_mutex_t lock;
	struct note *notes;		/* grown as needed, up to SEEN_MAX: devices beyond are not noted */
	size_t n, room;
};

struct seen *
seen_new(void)
{
	struct seen *s = mx_alloc(sizeof(*s));

	pthread_mutex_init(&s->lock, NULL);
	return s;
}

void
seen_free(struct seen **sp)
{
	struct seen *s = *sp;

	if (s == NULL)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s->notes);
	free(s);
	*sp = NULL;
}

bool
seen_note(struct seen *s, mx_nid device, mx_msec when, mx_str address)
{
	pthread_mutex_lock(&s->lock);
	if (s->n == s->room && s->room < SEEN_MAX) {
		s->room = s->room == 0 ? 64 : s->room * 2;
		s->notes = mx_realloc(s->notes, s->room, sizeof(*s->notes));
	}
	if (s->n < s->room) {
		struct note *note = &s->notes[s->n++];

		note->device = device;
		note->when = when;
		note->n = (uint8_t)(address.n < ADDRESS_MAX ? address.n : ADDRESS_MAX);
		if (note->n > 0)
			memcpy(note->address, address.p, note->n);
	}
	bool full = s->n == SEEN_FLUSH;
	pthread_mutex_unlock(&s->lock);
	return full;
}

static const struct mx_sql SEEN_SET =
	MX_SQL("UPDATE device SET last_seen = $2, last_ip = $3 WHERE nid = $1 AND last_seen < $2");

struct flush {
	const struct note *notes;
	size_t n;
};

static mx_error *
flush_write(struct mx_txn *tx, void *arg)
{
	const struct flush *f = arg;

	for (size_t i = 0; i < f->n; i++) {
		const struct note *note = &f->notes[i];
		struct mx_query *q = mx_query(mx_txn_conn(tx), &SEEN_SET);

		mx_bind_int(q, 1, note->device);
		mx_bind_int(q, 2, note->when);
		mx_bind_str(q, 3,
			    note->n > 0 ? (mx_str){ note->address, note->n } : (mx_str){ NULL, 0 });
		MX_TRY(mx_query_run(q));
	}
	return NULL;
}

/* Two processes that write the same devices in different orders would wait for each other. */
static int
by_device(const void *a, const void *b)
{
	const struct note *x = a, *y = b;

	return x->device < y->device ? -1 : x->device > y->device;
}

mx_error *
seen_flush(struct mx_accounts *as)
{
	struct seen *s = as->seen;

	pthread_mutex_lock(&s->lock);
	struct note *notes = s->notes;
	struct flush f = { .notes = notes, .n = s->n };
	s->notes = NULL;
	s->n = s->room = 0;
	pthread_mutex_unlock(&s->lock);
	if (f.n == 0) {
		free(notes);
		return NULL;
	}
	qsort(notes, f.n, sizeof(*notes), by_device);
	mx_error *e = mx_write_aside(as->db, flush_write, &f);
	free(notes);
	return e;
}
