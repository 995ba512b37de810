#include "config.h"

#include <stdlib.h>

#include "core/http/internal.h"
#include "core/http/text.h"

/* ---- from the head to the request ---- */

/* Where a span of the head's bytes goes in a copy. */
static mx_str
span(const char *base, struct mx_span s)
{
	return (mx_str){ base + s.at, s.n };
}

static struct mx_headers *
headers_of(const struct mx_request *rq)
{
	return rq->asked->headers;
}

/* Splits the request's target: "/path?query", or the absolute form of it. RFC 9112, 3.2. */
static void
split_target(mx_str target, mx_str *path, mx_str *query)
{
	mx_str rest, fragment;

	if (target.n > 0 && target.p[0] != '/' && mx_str_cut(target, ':', &rest, &fragment) &&
	    fragment.n >= 2) {
		const char *slash = memchr(fragment.p + 2, '/', fragment.n - 2);

		target = slash != NULL
				 ? (mx_str){ slash, (size_t)(fragment.p + fragment.n - slash) }
				 : MX_S("/");
	}
	(void)mx_str_cut(target, '#', &target, &fragment);
	if (!mx_str_cut(target, '?', path, query))
		*query = (mx_str){ NULL, 0 };
}

/* Finds the route and pins what it needs, so that a change of modules does not take it away. */
static enum mx_router_result
locate(struct mx_request *rq, mx_str path, struct mx_router_match *m)
{
	struct mx_io *io = rq->link->io;
	enum mx_router_result result = MX_ROUTER_UNKNOWN;

	*m = (struct mx_router_match){ .n = 0 };
	pthread_mutex_lock(&io->router_lock);
	if (io->router != NULL)
		result =
			mx_router_find(io->router, mx_str_of(http_method_str(rq->method)), path, m);
	if (result == MX_ROUTER_FOUND) {
		rq->router = mx_router_ref(io->router);
		rq->route = m->route;
		rq->self = m->self;
		if (rq->self != NULL && rq->http->hooks.pin != NULL)
			rq->http->hooks.pin(rq->self);
	} else if (result == MX_ROUTER_METHOD) {
		mx_reply_header(rq, "Allow", mx_str_of(m->allow));
	}
	pthread_mutex_unlock(&io->router_lock);
	return result;
}

static mx_error *
refusal_of(const struct mx_request *rq, enum mx_router_result result, mx_str path)
{
	if (rq->method == HTTP_OPTIONS)		/* asked by browsers beforehand, also for what is not there */
		return NULL;
	switch (result) {
	case MX_ROUTER_UNKNOWN:
		return (rq->method == HTTP_GET || rq->method == HTTP_HEAD) &&
				       mx_str_eq(path, MX_S("/health"))
			       ? NULL
			       : mx_error_new(MX_E_UNRECOGNIZED, "Unrecognized request");
	case MX_ROUTER_METHOD:
		return mx_error_new(MX_E_METHOD, "This method is not allowed here");
	case MX_ROUTER_MALFORMED:
		return mx_error_new(MX_E_INVALID_PARAM, "The path has a malformed escape");
	default:
		return NULL;
	}
}

/* Decodes the parameters behind the copied head. */
static mx_error *
decode_params(struct mx_asked *a, const struct mx_router_match *m, char *room)
{
	for (size_t i = 0; i < m->n; i++) {
		mx_str *v = &a->params[i].value;

		a->params[i].name = m->names[i];
		v->p = room;
		if (!mx_percent_decode(m->values[i], false, room, &v->n) || !mx_str_utf8(*v) ||
		    memchr(room, 0, v->n) != NULL) {
			v->n = 0;
			return mx_error_new(MX_E_INVALID_PARAM, "The path's %s is no text",
					    m->names[i]);
		}
		room += m->values[i].n;
	}
	return NULL;
}

/* "Bearer TOKEN", or the deprecated query parameter. Client-Server API, "Using access tokens". */
static void
find_token(struct mx_request *rq, char *room)
{
	static const char bearer[] = "bearer ";
	struct mx_asked *a = rq->asked;
	mx_str value = mx_request_header(rq, "authorization");

	if (value.n >= sizeof(bearer) - 1 &&
	    mx_str_ieq((mx_str){ value.p, sizeof(bearer) - 1 }, MX_S(bearer))) {
		value = (mx_str){ value.p + sizeof(bearer) - 1, value.n - sizeof(bearer) + 1 };
		while (value.n > 0 && value.p[0] == ' ')
			value = (mx_str){ value.p + 1, value.n - 1 };
		a->token = value;
	} else if (value.p == NULL && mx_query_find(a->query, MX_S("access_token"), 0, &value)) {
		if (mx_percent_decode(value, true, room, &value.n))
			a->token = (mx_str){ room, value.n };
	}
	if (a->token.n == 0)
		a->token = (mx_str){ NULL, 0 };
}

static mx_str
moved(mx_str s, const char *from, const char *to)
{
	return s.p != NULL ? (mx_str){ to + (s.p - from), s.n } : s;
}

/* One block: parameters, headers' places, the head's bytes, and room for what is decoded. */
static mx_error *
copy_head(struct mx_request *rq, const struct mx_input *in, const struct mx_router_match *m,
	  mx_str path, mx_str query)
{
	const struct mx_head *h = &in->head;
	size_t headers = m->n * sizeof(rq->asked->params[0]);
	size_t bytes = headers + sizeof(struct mx_headers) + h->n * sizeof(h->headers[0]);
	struct mx_asked *a =
		mx_realloc(NULL, sizeof(*a) + bytes + in->parsed + path.n + query.n + 2, 1);
	char *base = (char *)a + sizeof(*a) + bytes, *room = base + in->parsed;
	mx_error *e;

	memset(a, 0, sizeof(*a));
	memcpy(base, in->bytes, in->parsed);
	a->path = moved(path, in->bytes, base);
	a->query = moved(query, in->bytes, base);
	a->n_params = (uint16_t)m->n;
	memset(a->params, 0, headers);
	a->headers = (struct mx_headers *)(void *)((char *)a->params + headers);
	a->headers->base = base;
	a->headers->n = h->n;
	memcpy(a->headers->v, h->headers, h->n * sizeof(h->headers[0]));
	rq->asked = a;
	e = decode_params(a, m, room);
	if (e == NULL && !mx_query_valid(a->query, room + path.n))
		e = mx_error_new(MX_E_INVALID_PARAM,
				 "The query is no text, or has a malformed escape");
	find_token(rq, room + path.n);
	return e;
}

/* What the route lets in, and from whom. */
static void
set_limits(struct mx_request *rq)
{
	const struct mx_route *r = rq->route;
	uint32_t own = r != NULL ? r->body_limit : 0;
	bool anybody = r == NULL || r->auth == MX_AUTH_NONE ||
		       (r->auth == MX_AUTH_OPTIONAL && rq->asked->token.p == NULL);

	rq->known = anybody;
	if (own != 0)
		rq->body_limit = own;
	else
		rq->body_limit =
			anybody ? MX_UNKNOWN_BODY : (uint32_t)rq->http->o->body_limit.bytes;
	if (!anybody && rq->asked->token.p == NULL && rq->refusal == NULL)
		rq->refusal = mx_error_new(MX_E_MISSING_TOKEN, "Missing access token");
}

/* Who is behind the proxies that are trusted: the header that stands last was written by the
 * nearest. */
static void
find_address(struct mx_request *rq)
{
	const struct mx_networks *trusted = rq->http->trusted;
	const struct mx_headers *h = headers_of(rq);
	bool more;

	rq->address = rq->link->peer;
	more = mx_networks_have(trusted, &rq->address);
	for (unsigned i = h->n; more && i-- > 0;) {
		if (mx_str_ieq(span(h->base, h->v[i].name), MX_S("x-forwarded-for")))
			more = mx_networks_client(trusted, &rq->address,
						  span(h->base, h->v[i].value));
	}
}

struct mx_request *
mx_request_new(struct mx_link *l, const struct mx_input *in)
{
	struct mx_request *rq = mx_alloc(sizeof(*rq));
	struct mx_router_match m;
	enum mx_router_result result;
	mx_str path, query;
	mx_error *e;

	rq->link = l;
	rq->http = l->io->http;
	rq->method = (uint8_t)l->parse.p.method;
	rq->http_minor = (uint8_t)l->parse.p.http_minor;
	rq->keep_alive = http_should_keep_alive(&l->parse.p) != 0;
	rq->chunked = mx_parse_chunked(&l->parse);
	rq->arrived = mx_now();
	rq->begun = rq->arrived_us = mx_monotonic_us();
	split_target(span(in->bytes, in->head.url), &path, &query);
	result = locate(rq, path, &m);
	rq->refusal = refusal_of(rq, result, path);
	e = copy_head(rq, in, &m, path, query);
	if (rq->refusal == NULL && rq->method != HTTP_OPTIONS)
		rq->refusal = e;
	else
		mx_error_free(&e);
	rq->expects = mx_str_ieq(mx_request_header(rq, "expect"), MX_S("100-continue"));
	set_limits(rq);
	find_address(rq);
	atomic_fetch_add_explicit(&rq->http->active, 1, memory_order_relaxed);
	return rq;
}

/* ---- its end ---- */

static void
forget_run(struct mx_request *rq)
{
	json_decref(rq->json);
	rq->json = NULL;
	mx_arena_free(&rq->arena);
}

void
mx_request_free(struct mx_request **request)
{
	struct mx_request *rq = *request;
	struct mx_http *h = rq->http;
	const struct mx_http_hooks *hooks = &h->hooks;

	*request = NULL;
	forget_run(rq);
	if (rq->auth != NULL)
		hooks->release(hooks->arg, rq->auth);
	mx_error_free(&rq->refusal);
	mx_buf_free(&rq->answer.body);
	mx_buf_free(&rq->answer.headers);
	mx_upload_free(&rq->upload);
	free(rq->body);
	free(rq->asked);
	mx_router_unref(&rq->router);
	if (rq->self != NULL && hooks->unpin != NULL)
		hooks->unpin(rq->self);
	free(rq);
	mx_http_less(h, &h->active);
}

/* Headers that a second run may still ask for. */
static bool
is_kept(mx_str name)
{
	return mx_str_ieq(name, MX_S("authorization")) || mx_str_ieq(name, MX_S("content-type")) ||
	       mx_str_ieq(name, MX_S("accept-language"));
}

static mx_str
put(char **to, mx_str s)
{
	char *at = *to;

	if (s.p == NULL)
		return s;
	if (s.n != 0)
		memcpy(at, s.p, s.n);
	*to += s.n;
	return (mx_str){ at, s.n };
}

static struct mx_span
put_span(char **to, const char *base, mx_str s)
{
	mx_str at = put(to, s);

	return (struct mx_span){ .at = (uint16_t)(at.p - base), .n = (uint16_t)s.n };
}

static struct mx_asked *
compact(const struct mx_asked *old)
{
	size_t text = old->path.n + old->query.n + old->token.n, kept = 0;
	size_t params = old->n_params * sizeof(old->params[0]), headers;
	const struct mx_headers *h = old->headers;
	struct mx_asked *a;
	char *base, *to;

	for (unsigned i = 0; i < h->n; i++) {
		if (is_kept(span(h->base, h->v[i].name))) {
			text += h->v[i].name.n + (size_t)h->v[i].value.n;
			kept++;
		}
	}
	for (unsigned i = 0; i < old->n_params; i++)
		text += old->params[i].value.n;
	headers = sizeof(*h) + kept * sizeof(h->v[0]);
	a = mx_realloc(NULL, sizeof(*a) + params + headers + text + 1, 1);
	*a = (struct mx_asked){ .n_params = old->n_params };
	base = to = (char *)a + sizeof(*a) + params + headers;
	a->headers = (struct mx_headers *)(void *)((char *)a->params + params);
	a->headers->base = base;
	a->headers->n = 0;
	for (unsigned i = 0; i < h->n; i++) {
		mx_str name = span(h->base, h->v[i].name), value = span(h->base, h->v[i].value);

		if (is_kept(name)) {
			a->headers->v[a->headers->n].name = put_span(&to, base, name);
			a->headers->v[a->headers->n++].value = put_span(&to, base, value);
		}
	}
	a->path = put(&to, old->path);
	a->query = put(&to, old->query);
	a->token = put(&to, old->token);
	for (unsigned i = 0; i < old->n_params; i++) {
		a->params[i].name = old->params[i].name;
		a->params[i].value = put(&to, old->params[i].value);
	}
	return a;
}

void
mx_request_shrink(struct mx_request *rq)
{
	struct mx_asked *smaller;

	/* The handler's own thing may lie in the arena, or borrow from what was asked. */
	if (rq->data != NULL)
		return;
	forget_run(rq);
	if (rq->again)
		return;
	smaller = compact(rq->asked);
	free(rq->asked);
	rq->asked = smaller;
	if (rq->body_cap > rq->body_n + 1) {
		rq->body = mx_realloc(rq->body, rq->body_n + 1, 1);
		rq->body_cap = rq->body_n + 1;
	}
}

/* ---- what was asked ---- */

mx_str
mx_request_method(const struct mx_request *rq)
{
	return mx_str_of(http_method_str(rq->method));
}

mx_str
mx_request_path(const struct mx_request *rq)
{
	return rq->asked->path;
}

mx_str
mx_request_param(const struct mx_request *rq, const char *name)
{
	for (unsigned i = 0; i < rq->asked->n_params; i++) {
		if (strcmp(rq->asked->params[i].name, name) == 0)
			return rq->asked->params[i].value;
	}
	return (mx_str){ NULL, 0 };
}

bool
mx_request_query_nth(struct mx_request *rq, const char *name, size_t nth, mx_str *out)
{
	mx_str value;
	char *decoded;

	if (!mx_query_find(rq->asked->query, mx_str_of(name), nth, &value))
		return false;
	if (value.n == 0 ||
	    (memchr(value.p, '%', value.n) == NULL && memchr(value.p, '+', value.n) == NULL)) {
		*out = value;
		return true;
	}
	decoded = mx_arena_alloc(mx_request_arena(rq), value.n + 1);
	if (!mx_percent_decode(value, true, decoded, &out->n))	/* was checked when it came */
		return false;
	out->p = decoded;
	return true;
}

bool
mx_request_query(struct mx_request *rq, const char *name, mx_str *out)
{
	return mx_request_query_nth(rq, name, 0, out);
}

mx_error *
mx_request_query_int(struct mx_request *rq, const char *name, int64_t min, int64_t max,
		     int64_t fallback, int64_t *out)
{
	mx_str text;

	*out = fallback;
	if (!mx_request_query(rq, name, &text) || mx_str_int(text, min, max, out))
		return NULL;
	return mx_error_new(MX_E_INVALID_PARAM, "%s must be a whole number from %lld to %lld", name,
			    (long long)min, (long long)max);
}

mx_str
mx_request_header(const struct mx_request *rq, const char *name)
{
	const struct mx_headers *h = headers_of(rq);
	mx_str wanted = mx_str_of(name);

	for (unsigned i = 0; i < h->n; i++) {
		if (mx_str_ieq(span(h->base, h->v[i].name), wanted))
			return span(h->base, h->v[i].value);
	}
	return (mx_str){ NULL, 0 };
}

mx_str
mx_request_body(const struct mx_request *rq)
{
	return (mx_str){ rq->body, rq->body_n };
}

mx_error *
mx_request_json(struct mx_request *rq, json_t **out)
{
	*out = rq->json;
	if (rq->json != NULL)
		return NULL;
	if (rq->body_n == 0)
		rq->json = json_object();
	else
		MX_TRY(mx_json_parse(mx_request_body(rq), &rq->json));
	if (!json_is_object(rq->json)) {
		json_decref(rq->json);
		rq->json = NULL;
		return mx_error_new(MX_E_BAD_JSON, "The body must be a JSON object");
	}
	*out = rq->json;
	return NULL;
}

const struct mx_auth *
mx_request_auth(const struct mx_request *rq)
{
	return rq->auth;
}

mx_str
mx_request_token(const struct mx_request *rq)
{
	return rq->asked->token;
}

mx_str
mx_request_address(const struct mx_request *rq)
{
	struct mx_request *own = (struct mx_request *)(uintptr_t)rq;

	/* Written when first asked for; a request is one thread's at a time. */
	if (own->address_text[0] == 0)
		(void)mx_address_text(&rq->address, own->address_text);
	return mx_str_of(rq->address_text);
}

/* ---- what it has ---- */

struct mx_core *
mx_request_core(const struct mx_request *rq)
{
	return rq->http->core;
}

struct mx_module_self *
mx_request_self(const struct mx_request *rq)
{
	return rq->self;
}

struct mx_arena *
mx_request_arena(struct mx_request *rq)
{
	if (rq->arena == NULL)
		rq->arena = mx_arena_new();
	return rq->arena;
}

struct mx_conn *
mx_request_conn(struct mx_request *rq)
{
	if (rq->run->conn == NULL)
		rq->run->conn = rq->http->hooks.conn_get(rq->http->hooks.arg);
	return rq->run->conn;
}

mx_msec
mx_request_arrived(const struct mx_request *rq)
{
	return rq->arrived;
}

mx_msec
mx_request_age(const struct mx_request *rq)
{
	return (mx_monotonic_us() - rq->arrived_us) / 1000;
}

bool
mx_request_again(const struct mx_request *rq)
{
	return rq->again;
}

bool
mx_request_on_trial(const struct mx_request *rq)
{
	return rq->on_trial;
}

void
mx_request_set_data(struct mx_request *rq, void *p)
{
	rq->data = p;
}

void *
mx_request_data(const struct mx_request *rq)
{
	return rq->data;
}

bool
mx_request_draining(const struct mx_request *rq)
{
	return atomic_load_explicit(&rq->http->draining, memory_order_acquire);
}
