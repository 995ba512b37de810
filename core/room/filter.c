/* Filters over events: parsing, and matching by sorted lists so that a long list costs a search and
 * no walk. */
#include "config.h"

#include <stdlib.h>

#include <myelin/filter.h>
#include <myelin/id.h>

enum {
	LIST_MAX = 10000,	/* entries of one list; some clients name each of their rooms */
	WILD_MAX = 100,		/* of them with a wildcard: each is tried for each event */
};

/* A list of the filter. An absent one is not the same as an empty one, which nothing is in. */
struct list {
	bool given;
	mx_str *exact;		/* sorted */
	size_t exact_n;
	mx_str *wild;
	size_t wild_n;
};

struct mx_filter {
	struct mx_arena *arena;
	struct list types, not_types, senders, not_senders, rooms, not_rooms;
	int64_t limit;		/* -1: absent */
	bool lazy_members, redundant_members, thread_counts;
	bool by_url, url;	/* contains_url was given, and its value */
};

enum kind { TYPES, USERS, ROOMS };

static int
compare(const void *a, const void *b)
{
	return mx_str_cmp(*(const mx_str *)a, *(const mx_str *)b);
}

static mx_error *
check_entry(const char *key, enum kind kind, mx_str s)
{
	if (memchr(s.p, '\0', s.n) != NULL)
		return mx_error_new(MX_E_BAD_JSON, "filter: %s holds a string with a NUL", key);
	if (kind == USERS && !mx_id_user(s, NULL, NULL))
		return mx_error_new(MX_E_BAD_JSON, "filter: %s holds something that is no user id",
				    key);
	if (kind == ROOMS && !mx_id_room(s))
		return mx_error_new(MX_E_BAD_JSON, "filter: %s holds something that is no room id",
				    key);
	return NULL;
}

static mx_error *
read_list(struct mx_filter *f, const json_t *o, const char *key, enum kind kind, struct list *l)
{
	json_t *array = NULL, *item;
	size_t i, n;

	MX_TRY(mx_json_opt_array(o, key, &array));
	if (array == NULL)
		return NULL;
	n = json_array_size(array);
	if (n > LIST_MAX)
		return mx_error_new(MX_E_BAD_JSON, "filter: %s has more than %d entries", key,
				    LIST_MAX);
	l->given = true;
	l->exact = mx_arena_alloc(f->arena, (n + 1) * sizeof(*l->exact));
	l->wild = mx_arena_alloc(f->arena, WILD_MAX * sizeof(*l->wild));
	json_array_foreach(array, i, item) {
		mx_str s;

		if (!json_is_string(item))
			return mx_error_new(MX_E_BAD_JSON, "filter: %s must hold strings only",
					    key);
		s = (mx_str){ json_string_value(item), json_string_length(item) };
		MX_TRY(check_entry(key, kind, s));
		s = mx_arena_str(f->arena, s);
		if (kind != TYPES || memchr(s.p, '*', s.n) == NULL)
			l->exact[l->exact_n++] = s;
		else if (l->wild_n < WILD_MAX)
			l->wild[l->wild_n++] = s;
		else
			return mx_error_new(MX_E_BAD_JSON, "filter: %s has more than %d wildcards",
					    key, WILD_MAX);
	}
	qsort(l->exact, l->exact_n, sizeof(*l->exact), compare);
	return NULL;
}

static mx_error *
read_filter(struct mx_filter *f, const json_t *o)
{
	const json_t *url;

	if (!json_is_object(o))
		return mx_error_new(MX_E_BAD_JSON, "a filter must be an object");
	MX_TRY(read_list(f, o, "types", TYPES, &f->types));
	MX_TRY(read_list(f, o, "not_types", TYPES, &f->not_types));
	MX_TRY(read_list(f, o, "senders", USERS, &f->senders));
	MX_TRY(read_list(f, o, "not_senders", USERS, &f->not_senders));
	MX_TRY(read_list(f, o, "rooms", ROOMS, &f->rooms));
	MX_TRY(read_list(f, o, "not_rooms", ROOMS, &f->not_rooms));
	MX_TRY(mx_json_opt_bool(o, "lazy_load_members", &f->lazy_members));
	MX_TRY(mx_json_opt_bool(o, "include_redundant_members", &f->redundant_members));
	MX_TRY(mx_json_opt_bool(o, "unread_thread_notifications", &f->thread_counts));
	if (json_object_get(o, "limit") != NULL) {
		MX_TRY(mx_json_opt_int(o, "limit", &f->limit));
		if (f->limit < 0)
			return mx_error_new(MX_E_BAD_JSON, "filter: limit must not be negative");
	}
	url = json_object_get(o, "contains_url");
	f->by_url = url != NULL;
	return mx_json_opt_bool(o, "contains_url", &f->url);
}

mx_error *
mx_filter_parse(const json_t *o, struct mx_filter **out)
{
	struct mx_filter *f;
	mx_error *e;

	*out = NULL;
	if (o == NULL)
		return NULL;
	f = mx_alloc(sizeof(*f));
	f->arena = mx_arena_new();
	f->limit = -1;
	e = read_filter(f, o);
	if (e != NULL)
		mx_filter_free(&f);
	*out = f;
	return e;
}

mx_error *
mx_filter_parse_text(mx_str json, struct mx_filter **out)
{
	MX_AUTO_JSON *o = NULL;

	*out = NULL;
	if (json.n == 0)
		return NULL;
	MX_TRY(mx_error_wrap(mx_json_parse(json, &o), "filter"));
	return mx_filter_parse(o, out);
}

void
mx_filter_free(struct mx_filter **f)
{
	if (*f == NULL)
		return;
	mx_arena_free(&(*f)->arena);
	free(*f);
	*f = NULL;
}

static bool
in_list(const struct list *l, mx_str s)
{
	if (l->exact_n > 0 && bsearch(&s, l->exact, l->exact_n, sizeof(s), compare) != NULL)
		return true;
	for (size_t i = 0; i < l->wild_n; i++)
		if (mx_glob(l->wild[i], s, 0))
			return true;
	return false;
}

static bool
passes(const struct list *only, const struct list *never, mx_str s)
{
	return (!only->given || in_list(only, s)) && !(never->given && in_list(never, s));
}

bool
mx_filter_match(const struct mx_filter *f, mx_str type, mx_str sender)
{
	if (f == NULL)
		return true;
	return passes(&f->types, &f->not_types, type) &&
	       (sender.n == 0 || passes(&f->senders, &f->not_senders, sender));
}

bool
mx_filter_event(const struct mx_filter *f, const struct mx_event *ev)
{
	mx_str raw;

	if (f == NULL)
		return true;
	if (!mx_filter_match(f, mx_event_type(ev), mx_event_sender(ev)))
		return false;
	return !f->by_url || mx_json_raw(mx_event_content(ev), MX_S("url"), &raw) == f->url;
}

bool
mx_filter_room(const struct mx_filter *f, mx_str room_id)
{
	return f == NULL || passes(&f->rooms, &f->not_rooms, room_id);
}

static bool
empty(const struct list *l)
{
	return l->given && l->exact_n == 0 && l->wild_n == 0;
}

static bool
excludes_all(const struct list *l)
{
	for (size_t i = 0; i < l->wild_n; i++)
		if (mx_str_eq(l->wild[i], MX_S("*")))
			return true;
	return false;
}

bool
mx_filter_nothing(const struct mx_filter *f)
{
	return f != NULL && (empty(&f->types) || empty(&f->senders) || excludes_all(&f->not_types));
}

bool
mx_filter_everything(const struct mx_filter *f)
{
	if (f == NULL)
		return true;
	return !f->types.given && !f->senders.given && !f->by_url &&
	       (!f->not_types.given || empty(&f->not_types)) &&
	       (!f->not_senders.given || empty(&f->not_senders));
}

int64_t
mx_filter_limit(const struct mx_filter *f, int64_t fallback, int64_t max)
{
	int64_t limit = f != NULL && f->limit >= 0 ? f->limit : fallback;

	return limit < max ? limit : max;
}

bool
mx_filter_lazy_members(const struct mx_filter *f)
{
	return f != NULL && f->lazy_members;
}

bool
mx_filter_redundant_members(const struct mx_filter *f)
{
	return f != NULL && f->redundant_members;
}

bool
mx_filter_thread_counts(const struct mx_filter *f)
{
	return f != NULL && f->thread_counts;
}
