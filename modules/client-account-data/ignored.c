/* Whom users ignore: asked at every sync, so that the lists of those who sync stay in memory. */
#include "data.h"

#include <pthread.h>
#include <stdlib.h>

enum { SLOTS = 1024, MAX_IGNORED = 10000 };

/* An entry is one block: the sorted list, and its strings behind it. A collision replaces it. */
struct ignored_cache {
	pthread_mutex_t lock;
	uint64_t changes;	/* counts what was forgotten: a list that was read before is not kept */
	struct entry {
		mx_nid user;
		size_t n;
		char *ids;	/* NUL-terminated, one after the other; NULL: none */
		size_t size;
	} slot[SLOTS];
};

struct ignored_cache *
ignored_new(void)
{
	struct ignored_cache *c = mx_alloc(sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	return c;
}

void
ignored_free(struct ignored_cache **cp)
{
	struct ignored_cache *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	for (size_t i = 0; i < SLOTS; i++)
		free(c->slot[i].ids);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct entry *
slot_of(struct ignored_cache *c, mx_nid user)
{
	return &c->slot[(uint64_t)user % SLOTS];
}

void
ignored_forget(struct ignored_cache *c, mx_nid user)
{
	struct entry *e = slot_of(c, user);

	pthread_mutex_lock(&c->lock);
	c->changes++;
	if (e->user == user) {
		free(e->ids);
		*e = (struct entry){ 0 };
	}
	pthread_mutex_unlock(&c->lock);
}

/* The list out of a block of n strings. */
static mx_str *
unpack(const char *ids, size_t n, struct mx_arena *a)
{
	mx_str *v = mx_arena_alloc(a, (n + 1) * sizeof(*v));

	for (size_t i = 0; i < n; i++) {
		v[i] = mx_arena_str(a, mx_str_of(ids));
		ids += v[i].n + 1;
	}
	return v;
}

static bool
find(struct ignored_cache *c, mx_nid user, struct mx_arena *a, mx_str **out, size_t *n,
     uint64_t *changes)
{
	struct entry *e = slot_of(c, user);
	bool found;

	pthread_mutex_lock(&c->lock);
	*changes = c->changes;
	found = e->user == user;
	if (found) {
		*n = e->n;
		*out = unpack(e->ids, e->n, a);
	}
	pthread_mutex_unlock(&c->lock);
	return found;
}

static void
keep(struct ignored_cache *c, mx_nid user, struct entry fresh, uint64_t changes)
{
	struct entry *e = slot_of(c, user);

	pthread_mutex_lock(&c->lock);
	if (c->changes == changes) {
		free(e->ids);
		*e = fresh;
		fresh.ids = NULL;
	}
	pthread_mutex_unlock(&c->lock);
	free(fresh.ids);
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The keys of ignored_users, sorted, as a block. What is no such object ignores nobody. */
static struct entry
read_list(mx_nid user, mx_str json)
{
	struct entry e = { .user = user };
	MX_AUTO_JSON *content = NULL;
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	const char **keys, *key;
	json_t *users, *value;
	size_t n = 0;

	if (json.n == 0 || mx_error_drop(mx_json_parse(json, &content)))
		return e;
	users = json_object_get(content, "ignored_users");
	if (!json_is_object(users) || json_object_size(users) > MAX_IGNORED)
		return e;
	keys = mx_alloc((json_object_size(users) + 1) * sizeof(*keys));
	json_object_foreach(users, key, value)
		keys[n++] = key;
	qsort(keys, n, sizeof(*keys), compare);
	for (size_t i = 0; i < n; i++)
		mx_buf_add(b, keys[i], strlen(keys[i]) + 1);
	free(keys);
	e.n = n;
	e.ids = mx_buf_take(b, &e.size);
	return e;
}

mx_error *
ignored_list(struct ignored_cache *cache, struct mx_core *core, struct mx_conn *c, mx_nid user,
	     struct mx_arena *a, mx_str **out, size_t *n)
{
	struct entry e;
	uint64_t changes;
	mx_str json;

	if (find(cache, user, a, out, n, &changes))
		return NULL;
	MX_TRY(data_get(core, c, user, 0, MX_S("m.ignored_user_list"), a, &json));
	e = read_list(user, json);
	*n = e.n;
	*out = unpack(e.ids, e.n, a);
	keep(cache, user, e, changes);
	return NULL;
}
