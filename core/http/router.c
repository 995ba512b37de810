#include "config.h"

#include "core/http/router.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "core/http/text.h"

/* One row of a module, copied. */
struct entry {
	struct entry *next;		/* of the same node, in the order of methods */
	struct mx_route route;
	mx_str method;
	struct mx_module_self *self;
	const char *owner;
	const char **names;
	size_t n;
};

/* What may stand in one segment of a path. */
struct node {
	mx_str literal;			/* empty: the template ends with a slash */
	struct node *next;		/* sibling literals */
	struct node *literals, *parameter, *rest;
	struct entry *entries;
	const char *allow;
	bool is_parameter;
};

struct mx_router {
	atomic_size_t refs;
	struct mx_arena *arena;
	struct node *root;
	size_t count;
};

static const char *const methods[] = { "DELETE", "GET", "PATCH", "POST", "PUT" };
enum {
	KNOWN_FLAGS = MX_ROUTE_INLINE | MX_ROUTE_CPU | MX_ROUTE_REMOTE | MX_ROUTE_STREAM |
		      MX_ROUTE_RAW_BODY | MX_ROUTE_SUSPENDED_OK | MX_ROUTE_TRY
};
enum { VERSION_SEGMENT = 2 };		/* /_matrix/client/v3 */

static mx_str
same_version(mx_str segment, unsigned depth)
{
	return depth == VERSION_SEGMENT && mx_str_eq(segment, MX_S("r0")) ? MX_S("v3") : segment;
}

/* ---- building ---- */

static struct node *
new_node(struct mx_router *r, mx_str literal)
{
	struct node *n = mx_arena_alloc(r->arena, sizeof(*n));

	n->literal = mx_arena_str(r->arena, literal);
	return n;
}

static struct node *
literal_child(struct mx_router *r, struct node *parent, mx_str literal)
{
	struct node *n;

	for (n = parent->literals; n != NULL; n = n->next) {
		if (mx_str_eq(n->literal, literal))
			return n;
	}
	n = new_node(r, literal);
	n->next = parent->literals;
	parent->literals = n;
	return n;
}

static struct node *
other_child(struct mx_router *r, struct node **where)
{
	if (*where == NULL) {
		*where = new_node(r, MX_S(""));
		(*where)->is_parameter = true;
	}
	return *where;
}

static mx_error *
malformed(const struct mx_router_row *row, const char *what)
{
	return mx_error_new(MX_E_CONFIG, "%s: route %s %s: %s", row->owner, row->route->method,
			    row->route->path, what);
}

/* Adds the segment's name to e when it is a parameter, and goes one step down. */
static mx_error *
descend(struct mx_router *r, const struct mx_router_row *row, struct entry *e, mx_str segment,
	bool last, struct node **at)
{
	bool rest = false;

	if (segment.n == 0 || segment.p[0] != '{') {
		bool slash = segment.n == 0 && last && (*at)->literal.n > 0;

		if (!slash && (segment.n == 0 || memchr(segment.p, '{', segment.n) != NULL))
			return malformed(row,
					 "a segment is empty, or a parameter is not all of it");
		*at = literal_child(r, *at, segment);
		return NULL;
	}
	if (segment.n < 3 || segment.p[segment.n - 1] != '}')
		return malformed(row, "a parameter is written {name}");
	segment = (mx_str){ segment.p + 1, segment.n - 2 };
	if (segment.p[segment.n - 1] == '*') {
		rest = true;
		segment.n--;
	}
	if (segment.n == 0 || (rest && !last))
		return malformed(row, "{name*} stands at the end");
	if (e->n >= MX_ROUTER_PARAMS)
		return malformed(row, "too many parameters");
	e->names[e->n++] = mx_arena_str(r->arena, segment).p;
	*at = other_child(r, rest ? &(*at)->rest : &(*at)->parameter);
	return NULL;
}

static mx_error *
hang(const struct mx_router_row *row, struct node *at, struct entry *e)
{
	struct entry **where = &at->entries;

	while (*where != NULL && mx_str_cmp((*where)->method, e->method) < 0)
		where = &(*where)->next;
	if (*where != NULL && mx_str_eq((*where)->method, e->method))
		return mx_error_new(MX_E_CONFIG, "%s and %s both serve %s %s", (*where)->owner,
				    row->owner, row->route->method, row->route->path);
	e->next = *where;
	*where = e;
	return NULL;
}

static mx_error *
check(const struct mx_router_row *row)
{
	bool known = false;

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		known = known || strcmp(row->route->method, methods[i]) == 0;
	if (!known)
		return malformed(row, "the method is none of DELETE, GET, PATCH, POST, PUT");
	if (row->route->path[0] != '/')
		return malformed(row, "a path begins with /");
	if (row->route->handler == NULL)
		return malformed(row, "it has no handler");
	if ((row->route->flags & MX_ROUTE_STREAM) != 0 &&
	    (row->route->flags & (MX_ROUTE_INLINE | MX_ROUTE_CPU)) != 0)
		return malformed(row, "who reads a body waits for it: MX_ROUTE_STREAM excludes "
				      "MX_ROUTE_INLINE and MX_ROUTE_CPU");
	if ((row->route->flags & ~(uint32_t)KNOWN_FLAGS) != 0)
		return malformed(row, "it has a flag that this version of Myelin does not know");
	return NULL;
}

static mx_error *
add(struct mx_router *r, const struct mx_router_row *row)
{
	struct entry *e = mx_arena_alloc(r->arena, sizeof(*e));
	mx_str path = mx_str_of(row->route->path), segment;
	struct node *at = r->root;

	MX_TRY(check(row));
	e->route = *row->route;
	e->method = mx_arena_str(r->arena, mx_str_of(row->route->method));
	e->route.method = e->method.p;
	e->route.path = mx_arena_str(r->arena, path).p;
	e->owner = mx_arena_str(r->arena, mx_str_of(row->owner)).p;
	e->self = row->self;
	e->names = mx_arena_alloc(r->arena, MX_ROUTER_PARAMS * sizeof(e->names[0]));
	path = (mx_str){ path.p + 1, path.n - 1 };
	for (unsigned depth = 0;; depth++) {
		bool more = mx_str_cut(path, '/', &segment, &path);

		MX_TRY(descend(r, row, e, same_version(segment, depth), !more, &at));
		if (!more)
			break;
	}
	MX_TRY(hang(row, at, e));
	r->count++;
	return NULL;
}

/* Writes what each path allows, once, for the answers that say 405. */
static void
list_methods(struct mx_router *r, struct node *n)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	for (struct entry *e = n->entries; e != NULL; e = e->next) {
		mx_buf_str(b, e->method);
		mx_buf_str(b, strcmp(e->route.method, "GET") == 0 ? MX_S(", HEAD, ") : MX_S(", "));
	}
	mx_buf_str(b, MX_S("OPTIONS"));
	n->allow = mx_arena_str(r->arena, mx_buf_view(b)).p;
	for (struct node *c = n->literals; c != NULL; c = c->next)
		list_methods(r, c);
	if (n->parameter != NULL)
		list_methods(r, n->parameter);
	if (n->rest != NULL)
		list_methods(r, n->rest);
}

mx_error *
mx_router_new(const struct mx_router_row *rows, size_t n, struct mx_router **out)
{
	struct mx_router *r = mx_alloc(sizeof(*r));

	atomic_init(&r->refs, 1);
	r->arena = mx_arena_new();
	r->root = new_node(r, MX_S(""));
	for (size_t i = 0; i < n; i++) {
		mx_error *e = add(r, &rows[i]);

		if (e != NULL) {
			mx_router_unref(&r);
			return e;
		}
	}
	list_methods(r, r->root);
	*out = r;
	return NULL;
}

struct mx_router *
mx_router_ref(struct mx_router *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

void
mx_router_unref(struct mx_router **router)
{
	struct mx_router *r = *router;

	*router = NULL;
	if (r == NULL || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
		return;
	mx_arena_free(&r->arena);
	free(r);
}

size_t
mx_router_count(const struct mx_router *r)
{
	return r->count;
}

/* ---- finding ---- */

struct search {
	mx_str method;
	struct mx_router_match *out;
	const struct node *wrong_method;
};

static const struct entry *
choose(struct search *s, const struct node *n)
{
	for (const struct entry *e = n->entries; e != NULL; e = e->next) {
		if (mx_str_eq(e->method, s->method))
			return e;
	}
	if (n->entries != NULL && s->wrong_method == NULL)
		s->wrong_method = n;
	return NULL;
}

static const struct entry *walk(struct search *s, const struct node *n, mx_str path,
				unsigned depth);

static const struct entry *
step(struct search *s, const struct node *n, mx_str rest, bool more, unsigned depth)
{
	return more ? walk(s, n, rest, depth + 1) : choose(s, n);
}

static const struct entry *
walk_literals(struct search *s, const struct node *n, mx_str segment, mx_str rest, bool more,
	      unsigned depth)
{
	char decoded[64];

	if (memchr(segment.p, '%', segment.n) != NULL) {
		if (segment.n > sizeof(decoded) ||
		    !mx_percent_decode(segment, false, decoded, &segment.n))
			return NULL;
		segment.p = decoded;
	}
	segment = same_version(segment, depth);
	for (const struct node *c = n->literals; c != NULL; c = c->next) {
		if (mx_str_eq(c->literal, segment))
			return step(s, c, rest, more, depth);
	}
	return NULL;
}

/* path: what follows the slash behind n's segment. */
static const struct entry *
walk(struct search *s, const struct node *n, mx_str path, unsigned depth)
{
	size_t before = s->out->n;
	const struct entry *e = NULL;
	mx_str segment, rest;
	bool more = mx_str_cut(path, '/', &segment, &rest);

	if ((segment.n > 0 || !more) && n->literals != NULL)
		e = walk_literals(s, n, segment, rest, more, depth);
	if (e == NULL && segment.n > 0 && n->parameter != NULL) {
		s->out->values[s->out->n++] = segment;
		e = step(s, n->parameter, rest, more, depth);
	}
	if (e == NULL && n->rest != NULL) {
		s->out->n = before;
		s->out->values[s->out->n++] = path;
		e = choose(s, n->rest);
	}
	if (e == NULL)
		s->out->n = before;
	/* …/state/m.room.name/ */
	if (e == NULL && segment.n == 0 && !more && n->is_parameter)
		e = choose(s, n);
	return e;
}

enum mx_router_result
mx_router_find(const struct mx_router *r, mx_str method, mx_str path, struct mx_router_match *out)
{
	struct search s = { .method = mx_str_eq(method, MX_S("HEAD")) ? MX_S("GET") : method,
			    .out = out };
	const struct entry *e;

	*out = (struct mx_router_match){ .n = 0 };
	if (path.n == 0 || path.p[0] != '/')
		return MX_ROUTER_UNKNOWN;
	if (!mx_percent_valid(path))
		return MX_ROUTER_MALFORMED;
	e = walk(&s, r->root, (mx_str){ path.p + 1, path.n - 1 }, 0);
	if (e != NULL) {
		out->route = &e->route;
		out->self = e->self;
		out->names = e->names;
		return MX_ROUTER_FOUND;
	}
	if (s.wrong_method != NULL) {
		out->allow = s.wrong_method->allow;
		return MX_ROUTER_METHOD;
	}
	return MX_ROUTER_UNKNOWN;
}
