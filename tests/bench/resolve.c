/* State resolution over stored rooms: two forks of a room come together.
 *
 *	resolve DIRECTORY [MEMBERS …]
 *
 * For each size (1,000 and 100,000) and for the algorithms 2 (version 11) and 2.1 (version 12):
 *
 *	members	25 members change their names in one fork and 25 others in the other: 50
 *		entries
 *	clash	50 members change their names in both forks
 *	power	members; and one fork changes the power levels five times in between,
 *		bans two and has a new topic, the other changes power levels, topic and
 *		join rules
 *	line	as power; but one fork changes the power levels 500 times
 *
 * cold: the first merge of a new engine on a newly opened database (the median of 9). disk: the
 * same, and the operating system was told to forget the file. warm: the median of 50, not
 * remembered. known: one that was done before. The forks' events are made and stored as the
 * engine would, without signatures. */
#include "config.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/room/cover.h"
#include "core/room/merge.h"
#include "core/sql/db.h"
#include "tests/bench/rows.h"

extern const struct mx_storage_ops sqlite_ops;

#define SERVER "bench.example.org"
#define BATCH 2000
#define WARM 50
#define COLD 9

struct one {
	char id[45];
	mx_nid nid;
};

/* What the next event of a branch is judged by. */
struct branch {
	struct one levels, rules, topic, alice;
	struct one *members;
	struct mx_tree_entry *v;	/* what differs from the base */
	size_t n, room;
};

struct place {
	struct mx_db *db;
	struct mx_stream *stream;
	struct mx_rooms *rooms;
	struct mx_signing_key *key;
	struct mx_conn *conn;
	char path[512];
};

struct made {
	struct place place;
	const struct mx_room_version *version;
	struct mx_room *room;
	struct one create;
	struct branch base;
	size_t members;
	uint64_t serial;
	struct mx_state_root root;
};

static void
must(mx_error *e)
{
	if (e == NULL)
		return;
	fprintf(stderr, "resolve: %s\n", mx_error_text(e));
	exit(1);
}

/* ---- the engine ---- */

static void
engine_open(struct place *p)
{
	must(mx_db_open(&sqlite_ops, NULL, mx_str_of(p->path), NULL, &p->db));
	must(mx_stream_open(p->db, NULL, &p->stream));
	must(mx_rooms_open(&(struct mx_rooms_config){ .db = p->db,
						      .stream = p->stream,
						      .key = p->key,
						      .server_name = MX_S(SERVER) },
			   &p->rooms));
	must(mx_conn_get(p->db, &p->conn));
}

static void
engine_close(struct place *p)
{
	mx_conn_put(&p->conn);
	mx_rooms_close(&p->rooms);
	mx_stream_close(&p->stream);
	mx_db_close(&p->db);
}

static void
place_begin(struct place *p, const char *dir)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };

	for (int i = 0; i < 3; i++) {
		snprintf(p->path, sizeof(p->path), "%s/resolve.db%s", dir, suffixes[i]);
		unlink(p->path);
	}
	snprintf(p->path, sizeof(p->path), "%s/resolve.db", dir);
	p->key = mx_signing_key_generate();
	engine_open(p);
}

/* Out of the operating system's memory too, as far as it listens. */
static void
forget_file(const struct place *p)
{
	int fd = open(p->path, O_RDONLY);

	if (fd < 0)
		return;
	fsync(fd);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
}

/* ---- events ---- */

struct spec {
	const char *type, *key, *sender, *content;
	const struct one *auth[5];
};

static struct one
put(struct mx_txn *tx, struct made *m, const struct spec *s)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_event_row row = { .version = m->version };
	struct mx_event *ev = NULL;
	struct one out;
	unsigned char hash[32];
	bool create = strcmp(s->type, "m.room.create") == 0;
	bool named = m->version->room_id_is_create_hash;
	const char *sep = "";

	m->serial++;
	crypto_generichash(hash, sizeof(hash), (const unsigned char *)&m->serial, sizeof(m->serial),
			   NULL, 0);
	out.id[0] = '$';
	sodium_bin2base64(out.id + 1, sizeof(out.id) - 1, hash, sizeof(hash),
			  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	mx_buf_printf(b, "{\"auth_events\":[");
	for (size_t i = 0; i < 5 && s->auth[i] != NULL; i++) {
		if (named && s->auth[i] == &m->create)
			continue;
		mx_buf_printf(b, "%s\"%s\"", sep, s->auth[i]->id);
		sep = ",";
	}
	mx_buf_printf(b,
		      "],\"content\":%s,\"depth\":%llu,\"hashes\":{\"sha256\":\"%s\"},"
		      "\"origin_server_ts\":%llu,\"prev_events\":[%s%s%s]",
		      s->content, (unsigned long long)m->serial, out.id + 1,
		      1700000000000ull + m->serial, create ? "" : "\"", create ? "" : m->create.id,
		      create ? "" : "\"");
	if (!named)
		mx_buf_printf(b, ",\"room_id\":\"!bench:" SERVER "\"");
	else if (!create)
		mx_buf_printf(b, ",\"room_id\":\"!%s\"", m->create.id + 1);
	mx_buf_printf(b, ",\"sender\":\"%s\",\"signatures\":{\"" SERVER
			 "\":{\"ed25519:a\":\"%.43s%.43s\"}},\"state_key\":\"%s\",\"type\":\"%s\"}",
		      s->sender, out.id + 1, out.id + 1, s->key, s->type);
	row.json = mx_buf_view(b);
	row.id = mx_str_of(out.id);
	char room_id[45];

	memcpy(room_id, out.id, sizeof(room_id));
	room_id[0] = '!';
	row.room_id = create && named ? mx_str_of(room_id) : (mx_str){ NULL, 0 };
	must(mx_event_from_row(&row, &ev));
	if (create) {
		mx_str id = mx_event_room_id(ev);

		m->room = mx_room_new(m->place.rooms, id, m->version);
		must(mx_name_intern(tx, id, &m->room->nid));
	}
	ev->nid = out.nid = mx_txn_pos(tx);
	ev->room = m->room->nid;
	must(mx_name_intern(tx, mx_event_sender(ev), &ev->sender_nid));
	must(mx_event_put_row(tx, ev));
	must(mx_cover_put(tx, m->place.rooms, ev));
	mx_event_unref(&ev);
	return out;
}

static void
set(struct branch *b, const char *type, const char *key, struct one e)
{
	struct mx_tree_key k = mx_tree_key(mx_str_of(type), mx_str_of(key));

	for (size_t i = b->n > 200 ? b->n - 200 : 0; i < b->n; i++)
		if (memcmp(b->v[i].key.h, k.h, sizeof(k.h)) == 0) {
			b->v[i].nid = e.nid;
			return;
		}
	if (b->n == b->room) {
		b->room = 2 * b->room + 256;
		b->v = mx_realloc(b->v, b->room, sizeof(*b->v));
	}
	b->v[b->n++] = (struct mx_tree_entry){ k, e.nid };
}

static void
user_id(size_t i, char out[64])
{
	snprintf(out, 64, "@member%06zu:" SERVER, i);
}

#define ALICE "@alice:" SERVER

static void
put_levels(struct mx_txn *tx, struct made *m, struct branch *b, int n)
{
	char content[200];

	snprintf(content, sizeof(content), "{\"ban\":%d,\"users\":{%s}}", 40 + n % 10,
		 m->version->rule_creators ? "" : "\"" ALICE "\":100");
	b->levels = put(tx, m, &(struct spec){ "m.room.power_levels", "", ALICE, content,
					       { &m->create, &b->alice,
						 b->levels.nid != 0 ? &b->levels : NULL } });
	set(b, "m.room.power_levels", "", b->levels);
}

static void
put_rules(struct mx_txn *tx, struct made *m, struct branch *b)
{
	b->rules = put(tx, m, &(struct spec){ "m.room.join_rules", "", ALICE,
					      "{\"join_rule\":\"public\"}",
					      { &m->create, &b->alice, &b->levels } });
	set(b, "m.room.join_rules", "", b->rules);
}

static void
put_topic(struct mx_txn *tx, struct made *m, struct branch *b)
{
	b->topic = put(tx, m, &(struct spec){ "m.room.topic", "", ALICE, "{\"topic\":\"bench\"}",
					      { &m->create, &b->alice, &b->levels } });
	set(b, "m.room.topic", "", b->topic);
}

/* A join, or a change of name. */
static void
put_member(struct mx_txn *tx, struct made *m, struct branch *b, size_t i)
{
	char user[64], content[128];
	struct one before = b->members[i];

	user_id(i, user);
	snprintf(content, sizeof(content), "{\"displayname\":\"%llu\",\"membership\":\"join\"}",
		 (unsigned long long)m->serial);
	b->members[i] = put(tx, m, &(struct spec){ "m.room.member", user, user, content,
						   { &m->create, &b->levels, &b->rules,
						     before.nid != 0 ? &before : NULL } });
	set(b, "m.room.member", user, b->members[i]);
}

static void
put_ban(struct mx_txn *tx, struct made *m, struct branch *b, size_t i)
{
	char user[64];
	struct one before = b->members[i];

	user_id(i, user);
	b->members[i] = put(tx, m, &(struct spec){ "m.room.member", user, ALICE,
						   "{\"membership\":\"ban\"}",
						   { &m->create, &b->levels, &b->alice,
						     &before } });
	set(b, "m.room.member", user, b->members[i]);
}

/* ---- the room ---- */

struct range {
	struct made *m;
	size_t from, to;
};

static mx_error *
begin_room(struct mx_txn *tx, void *arg)
{
	static const struct mx_sql sql = MX_SQL(
		"INSERT INTO room (nid, version, joined, invited) VALUES ($1, $2, 0, 0)");
	struct made *m = arg;

	m->create = put(tx, m, &(struct spec){ "m.room.create", "", ALICE,
					       "{\"creator\":\"" ALICE "\"}", { NULL } });
	set(&m->base, "m.room.create", "", m->create);
	struct mx_query *q = mx_query(mx_txn_conn(tx), &sql);

	mx_bind_int(q, 1, m->room->nid);
	mx_bind_str(q, 2, m->version->name);
	must(mx_query_run(q));
	m->base.alice = put(tx, m, &(struct spec){ "m.room.member", ALICE, ALICE,
						   "{\"membership\":\"join\"}", { &m->create } });
	set(&m->base, "m.room.member", ALICE, m->base.alice);
	put_levels(tx, m, &m->base, 0);
	put_rules(tx, m, &m->base);
	put_topic(tx, m, &m->base);
	return NULL;
}

/* In the course of it the power levels change twenty times. */
static mx_error *
add_members(struct mx_txn *tx, void *arg)
{
	struct range *r = arg;

	for (size_t i = r->from; i < r->to; i++) {
		put_member(tx, r->m, &r->m->base, i);
		if (i % (r->m->members / 20) == 0)
			put_levels(tx, r->m, &r->m->base, (int)i);
	}
	return NULL;
}

static int
by_key(const void *a, const void *b)
{
	const struct mx_tree_entry *x = a, *y = b;
	int c = memcmp(x->key.h, y->key.h, MX_TREE_KEY);

	return c != 0 ? c : (x->nid > y->nid) - (x->nid < y->nid);
}

struct storing {
	struct made *m;
	struct mx_state_root near, root;
};

static mx_error *
store(struct mx_txn *tx, void *arg)
{
	struct storing *s = arg;

	return mx_merge_store(tx, s->m->place.rooms, s->near, s->root, mx_txn_pos(tx));
}

/* The state of `from` with the branch's entries, stored. */
static struct mx_state_root
store_branch(struct made *m, struct mx_state_root from, struct branch *b)
{
	struct mx_tree t = mx_rooms_tree(m->place.rooms, m->place.conn);
	struct mx_fresh_nodes fresh = { .cache = m->place.rooms->nodes };
	struct storing s = { .m = m, .near = from };
	size_t n = 0;

	qsort(b->v, b->n, sizeof(*b->v), by_key);
	for (size_t i = 0; i < b->n; i++) {	/* the newest of a key is last */
		if (n > 0 && memcmp(b->v[n - 1].key.h, b->v[i].key.h, MX_TREE_KEY) == 0)
			n--;
		b->v[n++] = b->v[i];
	}
	must(mx_tree_set_all(&t, from, b->v, n, &fresh, &s.root));
	mx_tree_done(&t);
	must(mx_write(m->place.db, store, &s));
	mx_fresh_nodes_done(&fresh);
	return s.root;
}

static void
make_room(struct made *m, const char *dir, const char *version, size_t members)
{
	*m = (struct made){ .version = mx_room_version_find(mx_str_of(version)),
			    .members = members };
	place_begin(&m->place, dir);
	m->base.members = calloc(members, sizeof(*m->base.members));
	must(mx_write(m->place.db, begin_room, m));
	for (size_t at = 0; at < members; at += BATCH) {
		struct range r = { m, at, at + BATCH < members ? at + BATCH : members };

		must(mx_write(m->place.db, add_members, &r));
	}
	m->root = store_branch(m, (struct mx_state_root){ { 0 } }, &m->base);
}

/* ---- the forks ---- */

enum scenario { MEMBERS, CLASH, POWER, LINE };

struct forks {
	struct made *m;
	enum scenario what;
	struct branch a, b;
};

static mx_error *
put_forks(struct mx_txn *tx, void *arg)
{
	struct forks *f = arg;
	struct made *m = f->m;
	size_t step = m->members / 120;
	int levels = f->what == LINE ? 100 : 1;

	for (size_t i = 0; i < 25; i++) {
		put_member(tx, m, &f->a, i * step);
		if (f->what >= POWER && i % 5 == 4)
			for (int k = 0; k < levels; k++)
				put_levels(tx, m, &f->a, (int)i + k);
	}
	for (size_t i = 25; f->what == CLASH && i < 50; i++)
		put_member(tx, m, &f->a, i * step);
	for (size_t i = f->what == CLASH ? 0 : 25; i < 50; i++)
		put_member(tx, m, &f->b, i * step);
	if (f->what < POWER)
		return NULL;
	put_ban(tx, m, &f->a, 60 * step);
	put_ban(tx, m, &f->a, 61 * step);
	put_topic(tx, m, &f->a);
	put_levels(tx, m, &f->b, 7);
	put_rules(tx, m, &f->b);
	put_topic(tx, m, &f->b);
	put_member(tx, m, &f->b, 60 * step);
	return NULL;
}

static struct branch
branch_of(const struct made *m)
{
	struct branch b = m->base;

	b.v = NULL;
	b.n = b.room = 0;
	b.members = malloc(m->members * sizeof(*b.members));
	memcpy(b.members, m->base.members, m->members * sizeof(*b.members));
	return b;
}

static double
merge(struct made *m, const struct mx_state_root roots[2], struct mx_state_root *out,
      uint64_t *statements)
{
	struct mx_fresh_nodes fresh = { 0 };

	mx_conn_statements(m->place.conn);
	int64_t start = mx_monotonic_us();

	must(mx_merge_roots(m->place.rooms, m->place.conn, m->room, roots, 2, &fresh, out));
	double ms = (double)(mx_monotonic_us() - start) / 1e3;

	*statements = mx_conn_statements(m->place.conn);
	mx_fresh_nodes_done(&fresh);
	return ms;
}

static int
by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static mx_error *
count_one(void *arg, struct mx_tree_key key, mx_nid from, mx_nid to)
{
	(void)key;
	(void)from;
	(void)to;
	++*(size_t *)arg;
	return NULL;
}

static void
reopen(struct made *m, bool forget)
{
	engine_close(&m->place);
	if (forget)
		forget_file(&m->place);
	engine_open(&m->place);
	m->room->rs = m->place.rooms;
}

static void
run(struct made *m, enum scenario what, const char *name)
{
	struct forks f = { m, what, branch_of(m), branch_of(m) };
	struct mx_state_root roots[2], out, again;
	double disk, cold[COLD], warm[WARM], known;
	uint64_t cold_n, warm_n, n;
	size_t differ = 0;

	must(mx_write(m->place.db, put_forks, &f));
	roots[0] = store_branch(m, m->root, &f.a);
	roots[1] = store_branch(m, m->root, &f.b);
	struct mx_tree t = mx_rooms_tree(m->place.rooms, m->place.conn);

	must(mx_tree_diff(&t, roots[0], roots[1], count_one, &differ));
	mx_tree_done(&t);
	reopen(m, true);
	disk = merge(m, roots, &out, &cold_n);
	for (int i = 0; i < COLD; i++) {
		reopen(m, false);
		cold[i] = merge(m, roots, &out, &cold_n);
	}
	qsort(cold, COLD, sizeof(cold[0]), by_size);
	known = merge(m, roots, &again, &n);
	mx_merge_memory_free(&m->place.rooms->merges);
	for (int i = 0; i < WARM; i++)
		warm[i] = merge(m, roots, &again, &warm_n);
	qsort(warm, WARM, sizeof(warm[0]), by_size);
	printf("%-4s %7zu members  %-8s %4zu entries  disk %7.2f  cold %6.2f ms (%llu "
	       "statements)  warm %6.2f (%llu)  known %5.2f%s\n",
	       m->version->name.p, m->members, name, differ, disk, cold[COLD / 2],
	       (unsigned long long)cold_n, warm[WARM / 2], (unsigned long long)warm_n, known,
	       mx_root_eq(out, again) ? "" : "  THE ANSWERS DIFFER");
	fflush(stdout);
	free(f.a.members);
	free(f.b.members);
	free(f.a.v);
	free(f.b.v);
}

int
main(int argc, char **argv)
{
	static const char *const versions[] = { "11", "12" }, *const sizes[] = { "1000", "100000" };
	int n = argc > 2 ? argc - 2 : 2;

	if (argc < 2) {
		fprintf(stderr, "usage: resolve DIRECTORY [MEMBERS …]\n");
		return 2;
	}
	for (int i = 0; i < n; i++)
		for (int v = 0; v < 2; v++) {
			struct made m;

			make_room(&m, argv[1], versions[v],
				  (size_t)atol(argc > 2 ? argv[2 + i] : sizes[i]));
			run(&m, MEMBERS, "members");
			run(&m, CLASH, "clash");
			run(&m, POWER, "power");
			run(&m, LINE, "line");
			mx_room_unref(&m.room);
			engine_close(&m.place);
			mx_signing_key_free(&m.place.key);
			free(m.base.members);
			free(m.base.v);
		}
	return 0;
}
