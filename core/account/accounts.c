/* Opening and closing, the tables, and what the other files of account/ share. */
#include "config.h"

#include "core/account/internal.h"
#include "core/sql/db.h"
#include "core/stream/stream.h"

#include <myelin/log.h>
#include <sodium.h>
#include <stdlib.h>

/* Rows of device are named by the stream position that announced them, so that no name is ever
 * given twice: what a device has sent is kept by it for ever. */
static const struct mx_migration migrations[] = {
	{ 1, "accounts, devices and tokens",
	  "CREATE TABLE account ("
	  " nid BIGINT PRIMARY KEY,"		/* the name nid of the user id */
	  " localpart TEXT NOT NULL,"
	  " created BIGINT NOT NULL,"
	  " password TEXT,"
	  " appservice TEXT,"
	  " admin BIGINT NOT NULL DEFAULT 0,"
	  " guest BIGINT NOT NULL DEFAULT 0,"
	  " deactivated BIGINT NOT NULL DEFAULT 0,"
	  " locked BIGINT NOT NULL DEFAULT 0,"
	  " suspended BIGINT NOT NULL DEFAULT 0,"
	  " leaving BIGINT NOT NULL DEFAULT 0,"	/* 1: deactivated, its rooms are to be left; 2: and its profile erased */
	  " devices_pos BIGINT NOT NULL DEFAULT 0,"	/* when its list of devices last changed */
	  " changed_pos BIGINT NOT NULL DEFAULT 0"	/* when its tokens or flags did: other processes forget it */
	  ") {unkeyed};\n"
	  "CREATE INDEX account_changed ON account (changed_pos) WHERE changed_pos > 0;\n"
	  "CREATE INDEX account_leaving ON account (nid) WHERE leaving > 0;\n"
	  "CREATE TABLE device ("
	  " nid BIGINT PRIMARY KEY,"
	  " user_nid BIGINT NOT NULL,"
	  " id TEXT NOT NULL,"
	  " display_name TEXT,"
	  " created BIGINT NOT NULL,"
	  " last_seen BIGINT NOT NULL,"
	  " last_ip TEXT,"
	  " UNIQUE (user_nid, id)"
	  ") {unkeyed};\n"
	  "CREATE TABLE access_token ("
	  " hash {blob} PRIMARY KEY,"
	  " nid BIGINT NOT NULL,"
	  " user_nid BIGINT NOT NULL,"
	  " device_nid BIGINT NOT NULL,"	/* 0: none */
	  " created BIGINT NOT NULL,"
	  " expires BIGINT NOT NULL,"		/* 0: never */
	  " pair BIGINT NOT NULL,"		/* of its refresh token; 0: it has none */
	  " replaces BIGINT NOT NULL"		/* the pair that ends when this token is used; 0: none */
	  ") {unkeyed};\n"
	  "CREATE INDEX access_token_user ON access_token (user_nid, device_nid);\n"
	  "CREATE INDEX access_token_expires ON access_token (expires) WHERE expires > 0;\n"
	  "CREATE TABLE refresh_token ("
	  " hash {blob} PRIMARY KEY,"
	  " pair BIGINT NOT NULL,"
	  " user_nid BIGINT NOT NULL,"
	  " device_nid BIGINT NOT NULL,"
	  " created BIGINT NOT NULL,"
	  " expires BIGINT NOT NULL,"
	  " replaces BIGINT NOT NULL"
	  ") {unkeyed};\n"
	  "CREATE INDEX refresh_token_user ON refresh_token (user_nid, device_nid);\n"
	  "CREATE INDEX refresh_token_expires ON refresh_token (expires) WHERE expires > 0" },
	{ 2, "authentication sessions that any process may go on with",
	  "CREATE TABLE uia_session (id TEXT PRIMARY KEY, expires BIGINT NOT NULL, data TEXT NOT NULL) "
	  "{unkeyed};\n"
	  "CREATE INDEX uia_session_expires ON uia_session (expires);\n" },
};

const struct mx_migration_set mx_accounts_tables = { "account", migrations,
						     sizeof(migrations) / sizeof(migrations[0]) };

static const struct mx_sql CHANGED_SET =
	MX_SQL("UPDATE account SET changed_pos = $2 WHERE nid = $1");
static const struct mx_sql CHANGED_GET = MX_SQL("SELECT nid FROM account WHERE changed_pos > $1 AND changed_pos <= $2");

/* Other processes have changed accounts. Who waits is woken by the stream, and asks again. */
static mx_error *
follow(void *arg, struct mx_conn *c, mx_pos since, mx_pos upto)
{
	struct mx_accounts *as = arg;
	struct mx_query *q = mx_query(c, &CHANGED_GET);

	mx_bind_int(q, 1, since);
	mx_bind_int(q, 2, upto);
	while (mx_query_next(q))
		auth_cache_forget(as->cache, mx_col_int(q, 0));
	return mx_query_end(q);
}

mx_error *
mx_accounts_open(struct mx_core *core, struct mx_db *db, struct mx_stream *stream,
		 mx_str server_name, const struct mx_account_options *options,
		 struct mx_accounts **out)
{
	*out = NULL;
	MX_TRY(mx_migrate_set(db, &mx_accounts_tables));
	struct mx_accounts *as = mx_alloc(sizeof(*as));
	as->core = core;
	as->db = db;
	as->stream = stream;
	as->server_name = mx_str_dup(server_name);
	as->options = options;
	if (core != NULL)
		accounts_core_ports(core, &as->ports);
	as->cache = auth_cache_new((size_t)options->auth_cache);
	as->seen = seen_new();
	as->uia = uia_new(options);
	pthread_mutex_init(&as->decoy_lock, NULL);
	if (stream != NULL)
		mx_stream_follow(stream, follow, as);
	*out = as;
	return NULL;
}

void
mx_accounts_close(struct mx_accounts **asp)
{
	struct mx_accounts *as = *asp;

	if (as == NULL)
		return;
	mx_error *e = seen_flush(as);
	if (e != NULL)
		mx_log("account", MX_WARN, "ACC001", "last uses of devices were not written",
		       mx_fe(e));
	mx_error_free(&e);
	if (as->stream != NULL)
		mx_stream_unfollow(as->stream, as);
	uia_free(&as->uia);
	seen_free(&as->seen);
	auth_cache_free(&as->cache);
	pthread_mutex_destroy(&as->decoy_lock);
	free(as->decoy);
	free(as->server_name);
	free(as);
	*asp = NULL;
}

void
mx_accounts_set_ports(struct mx_accounts *as, const struct mx_account_ports *ports)
{
	as->ports = *ports;
}

void
mx_accounts_forget(struct mx_accounts *as, mx_nid user, mx_nid device)
{
	auth_cache_forget(as->cache, user);
	if (as->stream != NULL)
		mx_stream_wake_user(as->stream, user, device);
}

struct changed {
	struct mx_accounts *as;
	mx_nid user, device;
};

static void
changed_after(void *arg, bool committed)
{
	const struct changed *ch = arg;

	if (committed)
		mx_accounts_forget(ch->as, ch->user, ch->device);
}

mx_error *
accounts_changed(struct mx_accounts *as, struct mx_txn *tx, mx_nid user, mx_nid device)
{
	struct changed *ch = mx_arena_alloc(mx_txn_arena(tx), sizeof(*ch));
	mx_pos pos = mx_txn_pos(tx);

	*ch = (struct changed){ .as = as, .user = user, .device = device };
	if (as->stream != NULL) {
		struct mx_item item = {
			.pos = pos, .kind = MX_ITEM_ACCOUNT, .user = user, .device = device
		};

		mx_stream_publish(as->stream, tx, &item);
	}
	mx_txn_after(tx, changed_after, ch);
	struct mx_query *q = mx_query(mx_txn_conn(tx), &CHANGED_SET);
	mx_bind_int(q, 1, user);
	mx_bind_int(q, 2, pos);
	return mx_query_run(q);
}

mx_nid
random_nid(void)
{
	int64_t v;

	do {
		mx_random(&v, sizeof(v));
		v &= INT64_MAX;
	} while (v == 0);
	return v;
}
