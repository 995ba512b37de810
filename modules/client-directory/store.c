/* The tables of aliases and of listed rooms. */
#include "config.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "directory.h"

enum {
	RESERVED_FOR = 60 * 1000,	/* ms */
	ALIASES_MAX = 1000,		/* of one room */
	LISTED_MAX = 100000,
};

const struct mx_migration directory_migrations[DIRECTORY_MIGRATIONS] = {
	{ 1, "Aliases and the list of public rooms",
	  "CREATE TABLE client_directory_aliases (\n"
	  "	alias TEXT NOT NULL PRIMARY KEY,\n"
	  "	room BIGINT NOT NULL,\n"
	  "	creator BIGINT NOT NULL,\n"
	  "	made BIGINT NOT NULL\n"
	  ");\n"
	  "CREATE INDEX client_directory_aliases_room ON client_directory_aliases (room, alias);\n"
	  "CREATE TABLE client_directory_rooms (\n"
	  "	room {key}\n"
	  ")" },
};

static _Atomic uint64_t changes;

uint64_t
directory_changes(void)
{
	return atomic_load(&changes);
}

/* ---- aliases ---- */

static const struct mx_sql FIND = MX_SQL("SELECT room, creator, made FROM client_directory_aliases WHERE alias = $1");
static const struct mx_sql PUT = MX_SQL(
	"INSERT INTO client_directory_aliases (alias, room, creator, made) VALUES ($1, $2, $3, $4) "
	"ON CONFLICT (alias) DO UPDATE SET room = excluded.room, creator = excluded.creator, made "
	"= excluded.made");
static const struct mx_sql DROP =
	MX_SQL("DELETE FROM client_directory_aliases WHERE alias = $1 AND room = $2");
static const struct mx_sql OF_ROOM = MX_SQL(
	"SELECT alias FROM client_directory_aliases WHERE room = $1 ORDER BY alias LIMIT $2");
static const struct mx_sql COUNT = MX_SQL("SELECT count(*) FROM client_directory_aliases WHERE room = $1");
static const struct mx_sql MOVE =
	MX_SQL("UPDATE client_directory_aliases SET room = $2 WHERE room = $1");

static mx_error *
find_any(struct mx_conn *c, mx_str alias, struct directory_alias *out, bool *found)
{
	struct mx_query *q = mx_query(c, &FIND);

	*out = (struct directory_alias){ .alias = alias };
	mx_bind_str(q, 1, alias);
	*found = mx_query_next(q);
	if (*found) {
		out->room = mx_col_int(q, 0);
		out->creator = mx_col_int(q, 1);
		out->made = mx_col_int(q, 2);
	}
	return mx_query_end(q);
}

mx_error *
directory_find(struct mx_conn *c, mx_str alias, struct directory_alias *out)
{
	bool found;

	MX_TRY(find_any(c, alias, out, &found));
	if (!found || out->room == 0)
		return mx_error_new(MX_E_NOT_FOUND, "There is no room alias %.*s", MX_SFMT(alias));
	return NULL;
}

static mx_error *
check_count(struct mx_conn *c, mx_nid room)
{
	struct mx_query *q = mx_query(c, &COUNT);
	int64_t n;

	mx_bind_int(q, 1, room);
	n = mx_query_next(q) ? mx_col_int(q, 0) : 0;
	MX_TRY(mx_query_end(q));
	if (n >= ALIASES_MAX)
		return mx_error_new(MX_E_FORBIDDEN, "The room has %d aliases already", ALIASES_MAX);
	return NULL;
}

mx_error *
directory_put_in(struct mx_txn *tx, const struct directory_alias *a)
{
	struct mx_conn *c = mx_txn_conn(tx);
	struct directory_alias now;
	struct mx_query *q;
	bool found;

	MX_TRY(find_any(c, a->alias, &now, &found));
	if (found &&
	    (now.room != 0 || (now.creator != a->creator && now.made + RESERVED_FOR > a->made)))
		return mx_error_new(MX_E_EXISTS, "The room alias %.*s exists already",
				    MX_SFMT(a->alias));
	/* Its own reservation that runs is taken too, as long as it is only reserved again. */
	if (found && a->room == 0 && now.made + RESERVED_FOR > a->made)
		return mx_error_new(MX_E_EXISTS, "The room alias %.*s exists already",
				    MX_SFMT(a->alias));
	if (a->room != 0)
		MX_TRY(check_count(c, a->room));
	q = mx_query(c, &PUT);
	mx_bind_str(q, 1, a->alias);
	mx_bind_int(q, 2, a->room);
	mx_bind_int(q, 3, a->creator);
	mx_bind_int(q, 4, a->made);
	return mx_query_run(q);
}

static mx_error *
put_in(struct mx_txn *tx, void *arg)
{
	return directory_put_in(tx, arg);
}

mx_error *
directory_put(struct mx_db *db, const struct directory_alias *a)
{
	struct directory_alias copy = *a;

	return mx_write(db, put_in, &copy);
}

static mx_error *
drop_in(struct mx_txn *tx, void *arg)
{
	const struct directory_alias *a = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &DROP);

	mx_bind_str(q, 1, a->alias);
	mx_bind_int(q, 2, a->room);
	return mx_query_run(q);
}

mx_error *
directory_drop(struct mx_db *db, mx_str alias, mx_nid room)
{
	struct directory_alias a = { .alias = alias, .room = room };

	return mx_write(db, drop_in, &a);
}

mx_error *
directory_aliases(struct mx_conn *c, mx_nid room, struct mx_arena *a, mx_str **out, size_t *n)
{
	struct mx_query *q = mx_query(c, &OF_ROOM);
	mx_str *list = mx_arena_alloc(a, ALIASES_MAX * sizeof(*list));

	*out = list;
	*n = 0;
	mx_bind_int(q, 1, room);
	mx_bind_int(q, 2, ALIASES_MAX);
	while (*n < ALIASES_MAX && mx_query_next(q))
		list[(*n)++] = mx_arena_str(a, mx_col_str(q, 0));
	return mx_query_end(q);
}

/* ---- the list ---- */

static const struct mx_sql LISTED = MX_SQL("SELECT 1 FROM client_directory_rooms WHERE room = $1");
static const struct mx_sql LIST = MX_SQL("INSERT INTO client_directory_rooms (room) VALUES ($1) ON CONFLICT (room) DO NOTHING");
static const struct mx_sql UNLIST = MX_SQL("DELETE FROM client_directory_rooms WHERE room = $1");
static const struct mx_sql ALL = MX_SQL("SELECT room FROM client_directory_rooms ORDER BY room LIMIT $1");

mx_error *
directory_is_listed(struct mx_conn *c, mx_nid room, bool *out)
{
	struct mx_query *q = mx_query(c, &LISTED);

	mx_bind_int(q, 1, room);
	*out = mx_query_next(q);
	return mx_query_end(q);
}

/* What is at hand of the list is old once the write is known to have happened, or may have. */
static void
list_changed(void *arg, bool committed)
{
	(void)arg;
	(void)committed;
	atomic_fetch_add(&changes, 1);
}

mx_error *
directory_list_in(struct mx_txn *tx, mx_nid room, bool on)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), on ? &LIST : &UNLIST);

	mx_txn_after(tx, list_changed, NULL);
	mx_bind_int(q, 1, room);
	return mx_query_run(q);
}

mx_error *
directory_move_in(struct mx_txn *tx, mx_nid from, mx_nid to)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &MOVE);
	bool listed;

	mx_txn_after(tx, list_changed, NULL);
	mx_bind_int(q, 1, from);
	mx_bind_int(q, 2, to);
	MX_TRY(mx_query_run(q));
	MX_TRY(directory_is_listed(mx_txn_conn(tx), from, &listed));
	if (!listed)
		return NULL;
	MX_TRY(directory_list_in(tx, from, false));
	return directory_list_in(tx, to, true);
}

struct listing {
	mx_nid room, to;
	bool on;
};

static mx_error *
list_in(struct mx_txn *tx, void *arg)
{
	const struct listing *l = arg;

	return directory_list_in(tx, l->room, l->on);
}

mx_error *
directory_list_room(struct mx_db *db, mx_nid room, bool on)
{
	struct listing l = { .room = room, .on = on };

	return mx_write(db, list_in, &l);
}

static mx_error *
move_in(struct mx_txn *tx, void *arg)
{
	const struct listing *l = arg;

	return directory_move_in(tx, l->room, l->to);
}

mx_error *
directory_move(struct mx_db *db, mx_nid from, mx_nid to)
{
	struct listing l = { .room = from, .to = to };

	return mx_write(db, move_in, &l);
}

mx_error *
directory_listed(struct mx_conn *c, mx_nid **out, size_t *n)
{
	struct mx_query *q = mx_query(c, &ALL);
	size_t room = 0;
	mx_error *e;

	*out = NULL;
	*n = 0;
	mx_bind_int(q, 1, LISTED_MAX);
	while (mx_query_next(q)) {
		if (*n == room)
			*out = mx_realloc(*out, room = room == 0 ? 64 : room * 2, sizeof(**out));
		(*out)[(*n)++] = mx_col_int(q, 0);
	}
	e = mx_query_end(q);
	if (e != NULL) {
		free(*out);
		*out = NULL;
	}
	return e;
}
