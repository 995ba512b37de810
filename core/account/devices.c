/* The devices of a user. Client-Server API, "Device Management". */
#include "config.h"

#include "core/account/internal.h"

#include <stdlib.h>

static mx_str
name_or_empty(struct mx_arena *a, mx_str s)
{
	return s.p == NULL ? (mx_str){ NULL, 0 } : mx_arena_str(a, s);
}

static void
device_read(struct mx_query *q, struct mx_arena *a, struct mx_device *out)
{
	out->nid = mx_col_int(q, 0);
	out->device_id = mx_arena_str(a, mx_col_str(q, 1));
	out->display_name = name_or_empty(a, mx_col_str(q, 2));
	out->last_seen = mx_col_int(q, 3);
	out->last_ip = name_or_empty(a, mx_col_str(q, 4));
}

static const struct mx_sql DEVICES =
	MX_SQL("SELECT nid, id, display_name, last_seen, last_ip FROM device WHERE user_nid = $1 ORDER BY id");
static const struct mx_sql DEVICE_GET =
	MX_SQL("SELECT nid, id, display_name, last_seen, last_ip FROM device WHERE user_nid = $1 AND id = $2");

mx_error *
mx_devices(struct mx_accounts *as, struct mx_conn *c, mx_nid user, struct mx_arena *a,
	   struct mx_device **out, size_t *n)
{
	size_t room = 8;
	struct mx_device *v = mx_arena_alloc(a, room * sizeof(*v));

	*n = 0;
	MX_TRY(seen_flush(as));
	struct mx_query *q = mx_query(c, &DEVICES);
	mx_bind_int(q, 1, user);
	while (mx_query_next(q)) {
		if (*n == room) {
			struct mx_device *more = mx_arena_alloc(a, 2 * room * sizeof(*v));

			memcpy(more, v, room * sizeof(*v));
			v = more;
			room *= 2;
		}
		device_read(q, a, &v[(*n)++]);
	}
	*out = v;
	return mx_query_end(q);
}

mx_error *
mx_device_get(struct mx_accounts *as, struct mx_conn *c, mx_nid user, mx_str device_id,
	      struct mx_arena *a, struct mx_device *out)
{
	MX_TRY(seen_flush(as));
	struct mx_query *q = mx_query(c, &DEVICE_GET);
	mx_bind_int(q, 1, user);
	mx_bind_str(q, 2, device_id);
	bool found = mx_query_next(q);
	if (found)
		device_read(q, a, out);
	MX_TRY(mx_query_end(q));
	if (!found)
		return mx_error_new(MX_E_NOT_FOUND, "You have no device with this id");
	return NULL;
}

static const struct mx_sql DEVICES_POS =
	MX_SQL("UPDATE account SET devices_pos = $2 WHERE nid = $1");

mx_error *
device_list_changed(struct mx_accounts *as, struct mx_txn *tx, mx_nid user, mx_pos *out)
{
	mx_pos pos = mx_txn_pos(tx);

	if (as->stream != NULL) {
		struct mx_item item = { .pos = pos, .kind = MX_ITEM_DEVICE_LIST, .user = user };

		mx_stream_publish(as->stream, tx, &item);
	}
	if (out != NULL)
		*out = pos;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &DEVICES_POS);
	mx_bind_int(q, 1, user);
	mx_bind_int(q, 2, pos);
	return mx_query_run(q);
}

mx_error *
device_name_check(mx_str name)
{
	if (name.n > MX_ACCOUNT_DEVICE_NAME_MAX)
		return mx_error_new(MX_E_TOO_LARGE, "A device's display name has at most %d bytes",
				    MX_ACCOUNT_DEVICE_NAME_MAX);
	if (name.n > 0 && memchr(name.p, '\0', name.n) != NULL)
		return mx_error_new(MX_E_INVALID_PARAM,
				    "A device's display name must not contain NUL");
	return NULL;
}

static const struct mx_sql DEVICE_RENAME =
	MX_SQL("UPDATE device SET display_name = $3 WHERE user_nid = $1 AND id = $2 RETURNING nid");

struct rename {
	struct mx_accounts *as;
	mx_nid user;
	mx_str device_id, name;
};

static mx_error *
rename_write(struct mx_txn *tx, void *arg)
{
	const struct rename *r = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &DEVICE_RENAME);

	mx_bind_int(q, 1, r->user);
	mx_bind_str(q, 2, r->device_id);
	mx_bind_str(q, 3, r->name);
	bool found = mx_query_next(q);
	MX_TRY(mx_query_end(q));
	if (!found)
		return mx_error_new(MX_E_NOT_FOUND, "You have no device with this id");
	return device_list_changed(r->as, tx, r->user, NULL);
}

mx_error *
mx_device_rename(struct mx_accounts *as, mx_nid user, mx_str device_id, mx_str name)
{
	struct rename r = { .as = as, .user = user, .device_id = device_id, .name = name };

	MX_TRY(device_name_check(name));
	return mx_write(as->db, rename_write, &r);
}

/* ---- removing ---- */

static void
gone_add(struct gone_devices *g, mx_nid nid, mx_str device_id)
{
	if (g->n == g->room) {
		struct gone_device *more =
			mx_arena_alloc(g->arena, (g->room * 2 + 4) * sizeof(*more));

		if (g->n > 0)
			memcpy(more, g->v, g->n * sizeof(*more));
		g->v = more;
		g->room = g->room * 2 + 4;
	}
	g->v[g->n++] =
		(struct gone_device){ .nid = nid, .device_id = mx_arena_str(g->arena, device_id) };
}

static const struct mx_sql DEVICE_DELETE =
	MX_SQL("DELETE FROM device WHERE user_nid = $1 AND id = $2 RETURNING nid");
static const struct mx_sql ACCESS_OF_DEVICE =
	MX_SQL("DELETE FROM access_token WHERE user_nid = $1 AND device_nid = $2");
static const struct mx_sql REFRESH_OF_DEVICE =
	MX_SQL("DELETE FROM refresh_token WHERE user_nid = $1 AND device_nid = $2");

mx_error *
device_tokens_remove(struct mx_txn *tx, mx_nid user, mx_nid device)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &ACCESS_OF_DEVICE);

	mx_bind_int(q, 1, user);
	mx_bind_int(q, 2, device);
	MX_TRY(mx_query_run(q));
	q = mx_query(mx_txn_conn(tx), &REFRESH_OF_DEVICE);
	mx_bind_int(q, 1, user);
	mx_bind_int(q, 2, device);
	return mx_query_run(q);
}

mx_error *
device_remove(struct mx_txn *tx, mx_nid user, mx_str device_id, struct gone_devices *gone,
	      bool *found)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &DEVICE_DELETE);
	mx_nid device = 0;

	mx_bind_int(q, 1, user);
	mx_bind_str(q, 2, device_id);
	*found = mx_query_next(q);
	if (*found)
		device = mx_col_int(q, 0);
	MX_TRY(mx_query_end(q));
	if (!*found)
		return NULL;
	gone_add(gone, device, device_id);
	return device_tokens_remove(tx, user, device);
}

static const struct mx_sql DEVICES_DELETE =
	MX_SQL("DELETE FROM device WHERE user_nid = $1 AND nid <> $2 RETURNING nid, id");
static const struct mx_sql ACCESS_DELETE =
	MX_SQL("DELETE FROM access_token WHERE user_nid = $1 AND device_nid <> $2");
static const struct mx_sql REFRESH_DELETE =
	MX_SQL("DELETE FROM refresh_token WHERE user_nid = $1 AND device_nid <> $2");

mx_error *
devices_remove_all(struct mx_txn *tx, mx_nid user, mx_nid keep, struct gone_devices *gone)
{
	static const struct mx_sql *const tokens[] = { &ACCESS_DELETE, &REFRESH_DELETE };
	struct mx_query *q = mx_query(mx_txn_conn(tx), &DEVICES_DELETE);

	mx_bind_int(q, 1, user);
	mx_bind_int(q, 2, keep);
	while (mx_query_next(q))
		gone_add(gone, mx_col_int(q, 0), mx_col_str(q, 1));
	MX_TRY(mx_query_end(q));
	for (size_t i = 0; i < 2; i++) {
		q = mx_query(mx_txn_conn(tx), tokens[i]);
		mx_bind_int(q, 1, user);
		mx_bind_int(q, 2, keep != 0 ? keep : -1);	/* 0 stands for none in these tables */
		MX_TRY(mx_query_run(q));
	}
	return NULL;
}

void
devices_gone(struct mx_accounts *as, mx_nid user, const struct gone_devices *gone)
{
	for (size_t i = 0; as->ports.device_gone != NULL && i < gone->n; i++)
		as->ports.device_gone(as->ports.arg, user, gone->v[i].nid, gone->v[i].device_id);
}

struct delete {
	struct mx_accounts *as;
	mx_nid user;
	const mx_str *device_ids;
	size_t n;
	struct gone_devices gone;
};

static mx_error *
delete_write(struct mx_txn *tx, void *arg)
{
	struct delete *d = arg;

	d->gone.n = 0;
	for (size_t i = 0; i < d->n; i++) {
		bool found;

		MX_TRY(device_remove(tx, d->user, d->device_ids[i], &d->gone, &found));
	}
	if (d->gone.n == 0)
		return NULL;
	MX_TRY(device_list_changed(d->as, tx, d->user, NULL));
	return accounts_changed(d->as, tx, d->user, d->gone.n == 1 ? d->gone.v[0].nid : 0);
}

mx_error *
mx_device_delete(struct mx_accounts *as, mx_nid user, const mx_str *device_ids, size_t n)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct delete d = {
		.as = as, .user = user, .device_ids = device_ids, .n = n, .gone.arena = a
	};

	MX_TRY(mx_write(as->db, delete_write, &d));
	devices_gone(as, user, &d.gone);
	return NULL;
}
