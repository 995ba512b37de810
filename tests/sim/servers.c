#include "config.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/sql/db.h"
#include "core/stream/stream.h"
#include "modules/storage-sqlite/sqlite.h"
#include "tests/sim/world.h"

static const struct sqlite_options driver = { .synchronous = "relaxed",
					      .reader_cache = { 256 << 10 },
					      .writer_cache = { 4 << 20 },
					      .wal = { 2 << 20 },
					      .busy = { 5000 } };
static char dir[64];

/* ---- time and chance ---- */

static _Atomic mx_msec now;
static pthread_mutex_t chance_lock = PTHREAD_MUTEX_INITIALIZER;
static struct dice chance_dice;

static mx_msec
clock_now(void *arg)
{
	(void)arg;
	return now;
}

/* Who waits for another thread waits in real time. */
static int64_t
clock_monotonic(void *arg)
{
	struct timespec t;

	(void)arg;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void
chance_fill(void *arg, void *p, size_t n)
{
	(void)arg;
	pthread_mutex_lock(&chance_lock);
	for (size_t i = 0; i < n; i++)
		((unsigned char *)p)[i] = (unsigned char)dice_roll(&chance_dice, 256);
	pthread_mutex_unlock(&chance_lock);
}

static const struct mx_clock virtual_clock = { clock_now, clock_monotonic, NULL };
static const struct mx_chance virtual_chance = { chance_fill, NULL };

void
clock_set(mx_msec to)
{
	now = to;
}

void
chance_set(uint64_t seed)
{
	pthread_mutex_lock(&chance_lock);
	chance_dice = dice_of_seed(seed);
	pthread_mutex_unlock(&chance_lock);
}

/* ---- keys: everybody knows everybody's ---- */

const unsigned char *
servers_key(void *arg, const char *server, const char *key_id)
{
	const struct server *servers = arg;

	for (int i = 0; i < SERVERS; i++)
		if (server != NULL && strcmp(servers[i].name, server) == 0 &&
		    strcmp(key_id, KEY_ID) == 0)
			return servers[i].public_key;
	return NULL;
}

static bool
verify_key(void *arg, mx_str server, mx_str key_id, mx_msec at, struct mx_verify_key *out)
{
	char name[64], id[64];
	const unsigned char *key;

	(void)at;
	if (server.n >= sizeof(name) || key_id.n >= sizeof(id))
		return false;
	snprintf(name, sizeof(name), "%.*s", MX_SFMT(server));
	snprintf(id, sizeof(id), "%.*s", MX_SFMT(key_id));
	key = servers_key(arg, name, id);
	if (key == NULL)
		return false;
	memcpy(out->public_key, key, sizeof(out->public_key));
	out->valid_until = INT64_MAX;
	return true;
}

static void
make_key(struct server *s, unsigned char number)
{
	unsigned char seed[crypto_sign_SEEDBYTES] = { number, 1, 2, 3 };
	char line[128], encoded[64];

	crypto_sign_seed_keypair(s->public_key, s->secret_key, seed);
	sodium_bin2base64(encoded, sizeof(encoded), seed, sizeof(seed),
			  sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	snprintf(line, sizeof(line), "ed25519 sim %s", encoded);
	if (mx_error_drop(mx_signing_key_parse(mx_str_of(line), &s->key)))
		abort();
}

/* ---- opening ---- */

static void
must(mx_error *e)
{
	if (e == NULL)
		return;
	fprintf(stderr, "sim: %s\n", mx_error_text(e));
	exit(2);
}

static void
path_of(const struct server *s, const char *suffix, char out[128])
{
	snprintf(out, 128, "%s/%s.db%s", dir, s->name, suffix);
}

struct intern {
	mx_str text;
	mx_nid nid;
};

static mx_error *
intern(struct mx_txn *tx, void *arg)
{
	struct intern *i = arg;

	return mx_name_intern(tx, i->text, &i->nid);
}

static void
open_engine(struct server *s, struct server *all)
{
	must(mx_stream_open(s->db, NULL, &s->stream));
	must(mx_rooms_open(&(struct mx_rooms_config){ .db = s->db,
						      .stream = s->stream,
						      .key = s->key,
						      .server_name = mx_str_of(s->name),
						      .verify_key = verify_key,
						      .verify_arg = all },
			   &s->rooms));
	must(mx_conn_get(s->db, &s->conn));
}

static void
open_server(struct server *s, struct server *all)
{
	char path[128];

	path_of(s, "", path);
	must(mx_db_open(&sqlite_ops, &driver, mx_str_of(path), NULL, &s->db));
	open_engine(s, all);
	for (int i = 0; i < PEOPLE; i++) {
		struct intern name = { .text = mx_str_of(s->people[i]) };

		must(mx_write(s->db, intern, &name));
		s->nids[i] = name.nid;
	}
}

static void
close_engine(struct server *s)
{
	mx_room_unref(&s->room);
	mx_conn_put(&s->conn);
	mx_rooms_close(&s->rooms);
	mx_stream_close(&s->stream);
}

void
servers_open(struct server *servers)
{
	snprintf(dir, sizeof(dir), "%s/myelin-sim-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(dir) == NULL) {
		perror(dir);
		exit(2);
	}
	mx_clock_replace(&virtual_clock);
	mx_chance_replace(&virtual_chance);
	memset(servers, 0, SERVERS * sizeof(*servers));
	for (int i = 0; i < SERVERS; i++) {
		snprintf(servers[i].name, sizeof(servers[i].name), "%c%d.example",
			 i < HONEST_MAX ? 's' : 'h', i);
		for (int k = 0; k < PEOPLE; k++)
			snprintf(servers[i].people[k], sizeof(servers[i].people[k]), "@%c%d:%c%d.example",
				 'a' + k, i, servers[i].name[0], i);
		make_key(&servers[i], (unsigned char)i);
		if (i < HONEST_MAX)
			open_server(&servers[i], servers);
	}
}

void
servers_close(struct server *servers)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	char path[128];

	for (int i = 0; i < SERVERS; i++) {
		if (i < HONEST_MAX) {
			close_engine(&servers[i]);
			mx_db_close(&servers[i].db);
			for (int k = 0; k < 3; k++) {
				path_of(&servers[i], suffixes[k], path);
				unlink(path);
			}
		}
		mx_signing_key_free(&servers[i].key);
	}
	rmdir(dir);
	mx_clock_replace(NULL);
	mx_chance_replace(NULL);
}

/* Nothing is left in memory. */
void
server_restart(struct world *w, struct server *s)
{
	bool was_in = s->room != NULL;

	close_engine(s);
	open_engine(s, w->servers);
	if (was_in)
		world_ok(w, mx_room_get(s->rooms, s->conn, mx_str_of(w->room_id), &s->room),
			 "finding the room after a restart");
}
