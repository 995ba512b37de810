#include "config.h"

#include "core/room/acl.h"

#include "core/room/engine.h"

#include <pthread.h>
#include <stdlib.h>

#define CACHED 64

struct patterns {
	mx_str *v;
	size_t n;
};

struct mx_acl {
	struct mx_arena *arena;
	struct patterns allow, deny;
	bool ip_literals;
};

/* ---- one pattern ---- */

/* One that needs more characters than a name may have matches nothing. */
static bool
can_match(mx_str pattern)
{
	size_t needs = 0;

	for (size_t i = 0; i < pattern.n; i++)
		needs += pattern.p[i] != '*';
	return needs <= MX_EVENT_MAX_FIELD;
}

static bool
matches(const struct patterns *l, mx_str name)
{
	for (size_t i = 0; i < l->n; i++)
		if (mx_glob(l->v[i], name, MX_GLOB_ONE | MX_GLOB_CASELESS))
			return true;
	return false;
}

/* ---- a list ---- */

/* What is no string is left out; what is no list is empty. */
static struct patterns
read_patterns(struct mx_arena *a, const json_t *content, const char *key)
{
	const json_t *list = json_object_get(content, key), *item;
	struct patterns out = { .v = mx_arena_alloc(a, (json_array_size(list) + 1) * sizeof(mx_str)) };
	size_t i;

	json_array_foreach(list, i, item) {
		mx_str s = { json_string_value(item), json_string_length(item) };

		if (s.p != NULL && can_match(s))
			out.v[out.n++] = mx_arena_str(a, s);
	}
	return out;
}

struct mx_acl *
mx_acl_parse(mx_str content)
{
	MX_AUTO_JSON *json = NULL;
	struct mx_acl *a = mx_alloc(sizeof(*a));

	a->arena = mx_arena_new();
	(void)mx_error_drop(mx_json_parse(content, &json));
	a->allow = read_patterns(a->arena, json, "allow");
	a->deny = read_patterns(a->arena, json, "deny");
	a->ip_literals = !json_is_false(json_object_get(json, "allow_ip_literals"));
	return a;
}

void
mx_acl_free(struct mx_acl **ap)
{
	struct mx_acl *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	mx_arena_free(&a->arena);
	free(a);
}

static mx_str
without_port(mx_str server)
{
	size_t n = server.n;

	while (n > 0 && server.p[n - 1] >= '0' && server.p[n - 1] <= '9')
		n--;
	if (n > 0 && n < server.n && server.p[n - 1] == ':')
		server.n = n - 1;
	return server;
}

static bool
is_ip_literal(mx_str name)
{
	mx_str part, rest = name;
	int parts = 0;
	int64_t number;
	bool more = true;

	if (name.n > 0 && name.p[0] == '[')
		return true;
	while (more) {
		more = mx_str_cut(rest, '.', &part, &rest);
		if (part.n > 3 || !mx_str_int(part, 0, 255, &number))
			return false;
		parts++;
	}
	return parts == 4;
}

bool
mx_acl_allows(const struct mx_acl *a, mx_str server)
{
	mx_str name = without_port(server);

	if (!a->ip_literals && is_ip_literal(name))
		return false;
	return !matches(&a->deny, name) && matches(&a->allow, name);
}

/* ---- the cache ---- */

struct cached {
	struct mx_event *event;		/* a reference; its redacted form is another */
	struct mx_acl *acl;
	uint64_t used;
};

struct mx_acl_cache {
	pthread_mutex_t lock;
	uint64_t clock;
	struct cached v[CACHED];
};

struct mx_acl_cache *
mx_acl_cache_new(void)
{
	struct mx_acl_cache *c = mx_alloc(sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	return c;
}

static void
forget(struct cached *e)
{
	mx_event_unref(&e->event);
	mx_acl_free(&e->acl);
	e->used = 0;
}

void
mx_acl_cache_free(struct mx_acl_cache **cp)
{
	struct mx_acl_cache *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	for (size_t i = 0; i < CACHED; i++)
		forget(&c->v[i]);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

bool
mx_acl_cache_allows(struct mx_acl_cache *c, struct mx_event *ev, mx_str server)
{
	struct cached *e = &c->v[0];

	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < CACHED && e->event != ev; i++)
		if (c->v[i].event == ev || c->v[i].used < e->used)
			e = &c->v[i];
	if (e->event != ev) {
		forget(e);
		e->event = mx_event_ref(ev);
		e->acl = mx_acl_parse(mx_event_content(ev));
	}
	e->used = ++c->clock;
	bool allows = mx_acl_allows(e->acl, server);

	pthread_mutex_unlock(&c->lock);
	return allows;
}

mx_error *
mx_room_server_allowed(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, mx_str server,
		       bool *out)
{
	MX_AUTO(mx_event) *ev = NULL;

	*out = true;
	MX_TRY(mx_room_state(rs, c, r, MX_S("m.room.server_acl"), MX_S(""), &ev));
	if (ev != NULL)
		*out = mx_acl_cache_allows(rs->acls, ev, server);
	return NULL;
}
