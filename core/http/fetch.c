#include "config.h"

/* Calls to other servers, as their callers see them. */

#define CURL_DISABLE_TYPECHECK
#include "core/http/fetch_internal.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/runtime/core.h"

/* ---- its life ---- */

static mx_error *
load_authorities(struct mx_fetcher *f)
{
	const char *file = f->o->ca_file;
	char text[256];

	f->trusted = X509_STORE_new();
	if (file == NULL || X509_STORE_load_locations(f->trusted, file, NULL) == 1)
		return NULL;
	ERR_error_string_n(ERR_get_error(), text, sizeof(text));
	ERR_clear_error();
	return mx_error_new(MX_E_CONFIG, "[fetch] ca_file %s: %s", file, text);
}

static char *
agent_of(const struct mx_fetch_options *o)
{
	char *text;

	if (o->user_agent != NULL)
		return mx_str_dup(mx_str_of(o->user_agent));
	if (asprintf(&text, "Myelin/%s", mx_version()) < 0)
		abort();
	return text;
}

mx_error *
mx_fetcher_new(const struct mx_fetch_options *o, struct mx_fetcher **out)
{
	struct mx_fetcher *f = mx_alloc(sizeof(*f));
	mx_error *e;

	f->o = o;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->left, NULL);
	f->agent = agent_of(o);
	e = mx_networks_new("[fetch] deny_addresses", o->deny_addresses.v, o->deny_addresses.n,
			    &f->deny);
	if (e == NULL)
		e = mx_networks_new("[fetch] allow_addresses", o->allow_addresses.v,
				    o->allow_addresses.n, &f->allow);
	if (e == NULL)
		e = load_authorities(f);
	if (e != NULL)
		mx_fetcher_free(&f);
	*out = f;
	return e;
}

void
mx_fetcher_abort(struct mx_fetcher *f)
{
	pthread_mutex_lock(&f->lock);
	f->stopping = true;
	if (f->running)
		f->curl->multi_wakeup(f->multi);
	pthread_mutex_unlock(&f->lock);
}

void
mx_fetcher_free(struct mx_fetcher **fetcher)
{
	struct mx_fetcher *f = *fetcher;

	*fetcher = NULL;
	if (f == NULL)
		return;
	mx_fetcher_abort(f);
	pthread_mutex_lock(&f->lock);
	while (f->inside > 0)
		pthread_cond_wait(&f->left, &f->lock);
	pthread_mutex_unlock(&f->lock);
	mx_fetcher_end(f);
	mx_networks_free(&f->deny);
	mx_networks_free(&f->allow);
	X509_STORE_free(f->trusted);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->left);
	free(f->agent);
	free(f);
}

void
mx_fetcher_stats(const struct mx_fetcher *f, struct mx_fetch_stats *out)
{
	struct mx_fetcher *own = (struct mx_fetcher *)(uintptr_t)f;

	*out = (struct mx_fetch_stats){ .requests = atomic_load(&f->requests),
					.failures = atomic_load(&f->failures),
					.received = atomic_load(&f->received) };
	pthread_mutex_lock(&own->lock);
	out->active = f->inside;
	pthread_mutex_unlock(&own->lock);
}

/* ---- the response ---- */

static mx_str
trimmed(mx_str s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = (mx_str){ s.p + 1, s.n - 1 };
	while (s.n > 0 && strchr(" \t\r\n", s.p[s.n - 1]) != NULL)
		s.n--;
	return s;
}

/* The lines of the head, once it is known. */
static void
read_head(const struct mx_fetch_call *c, struct mx_arena *arena, struct mx_fetch_response *rs)
{
	mx_str text = mx_arena_str(arena, mx_buf_view(c->head)), line, rest, name, value;
	struct mx_fetch_header *v;
	size_t lines = 0;

	rs->status = c->status;
	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n';
	v = mx_arena_alloc(arena, (lines + 1) * sizeof(v[0]));
	rs->headers = v;
	for (rest = text; mx_str_cut(rest, '\n', &line, &rest);) {
		if (mx_str_starts(line, MX_S("HTTP/")) || !mx_str_cut(line, ':', &name, &value))
			continue;
		v[rs->header_count++] = (struct mx_fetch_header){ trimmed(name), trimmed(value) };
	}
}

mx_str
mx_fetch_response_header(const struct mx_fetch_response *rs, const char *name)
{
	for (size_t i = 0; i < rs->header_count; i++) {
		if (mx_str_ieq(rs->headers[i].name, mx_str_of(name)))
			return rs->headers[i].value;
	}
	return (mx_str){ NULL, 0 };
}

/* ---- what went wrong ---- */

static enum mx_fetch_failure
failure_of(const struct mx_fetch_call *c)
{
	if (c->stopped)
		return MX_FETCH_STOPPED;
	if (c->too_large)
		return MX_FETCH_TOO_LARGE;
	switch (c->result) {
	case CURLE_OK:
		return MX_FETCH_OK;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return MX_FETCH_NAME;
	case CURLE_COULDNT_CONNECT:
		return c->denied ? MX_FETCH_DENIED : MX_FETCH_CONNECT;
	case CURLE_INTERFACE_FAILED:
		return MX_FETCH_CONNECT;
	case CURLE_OPERATION_TIMEDOUT:
		return MX_FETCH_TIMEOUT;
	case CURLE_FILESIZE_EXCEEDED:
		return MX_FETCH_TOO_LARGE;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_ISSUER_ERROR:
		return MX_FETCH_TLS;
	default:
		return MX_FETCH_BROKEN;
	}
}

static mx_error *
denied(mx_str host)
{
	/* Not the address: who asked may be a stranger that looks for what is here. */
	return mx_error_new(MX_E_REMOTE, "%.*s is at an address that this server does not connect "
			    "to ([fetch] deny_addresses)", MX_SFMT(host));
}

static mx_error *
error_of(const struct mx_fetch_call *c, struct mx_arena *arena, struct mx_fetch_response *rs)
{
	mx_str host = mx_fetch_host(c, arena);

	rs->failure = failure_of(c);
	switch (rs->failure) {
	case MX_FETCH_OK:
		return NULL;
	case MX_FETCH_STOPPED:
		return mx_error_new(MX_E_UNAVAILABLE, "The server is shutting down");
	case MX_FETCH_DENIED:
		return denied(host);
	case MX_FETCH_TOO_LARGE:
		return mx_error_new(MX_E_REMOTE, "%.*s: the answer is too large: at most %llu bytes",
				    MX_SFMT(host), (unsigned long long)c->limit);
	default:
		return mx_error_new(MX_E_REMOTE, "%.*s: %s", MX_SFMT(host),
				    c->error[0] != 0 ? c->error
						     : c->fetcher->curl->easy_strerror(c->result));
	}
}

/* ---- waiting ---- */

/* Hands the caller what has come. With the lock held, which is let go meanwhile. */
static mx_error *
give_piece(struct mx_fetch_call *c, struct mx_buf **spare, struct mx_arena *arena,
	   struct mx_fetch_response *rs)
{
	struct mx_buf *full = c->in;
	mx_error *e;

	c->in = *spare;
	*spare = full;
	if (c->in_full && !c->done) {
		c->in_full = false;
		mx_fetch_post(c, FETCH_RESUME);
	}
	pthread_mutex_unlock(&c->fetcher->lock);
	if (rs->status == 0)
		read_head(c, arena, rs);
	e = c->rq->piece(c->rq->piece_arg, rs, mx_buf_view(full));
	mx_buf_truncate(full, 0);
	pthread_mutex_lock(&c->fetcher->lock);
	return e;
}

/* Has the caller write more of the body, likewise. */
static mx_error *
get_fill(struct mx_fetch_call *c)
{
	size_t n = 0;
	mx_error *e;

	pthread_mutex_unlock(&c->fetcher->lock);
	if (c->out == NULL)
		c->out = mx_alloc(MX_FETCH_FILL);
	e = c->rq->fill(c->rq->fill_arg, c->out, MX_FETCH_FILL, &n);
	pthread_mutex_lock(&c->fetcher->lock);
	if (e != NULL)
		return e;
	c->out_at = 0;
	c->out_n = n;
	c->out_end = n == 0;
	c->out_wanted = false;
	if (!c->done)
		mx_fetch_post(c, FETCH_RESUME);
	return NULL;
}

/* Until the call is done and all of it is taken. With the lock held. */
static mx_error *
wait_done(struct mx_fetch_call *c, struct mx_arena *arena, struct mx_fetch_response *rs)
{
	MX_AUTO(mx_buf) *spare = mx_buf_new(c->limit + 1);
	mx_error *e = NULL;

	while (e == NULL) {
		if (c->pieces && mx_buf_view(c->in).n > 0)
			e = give_piece(c, &spare, arena, rs);
		else if (c->done)
			return NULL;
		else if (c->out_wanted)
			e = get_fill(c);
		else
			pthread_cond_wait(&c->news, &c->fetcher->lock);
	}
	if (!c->done)
		mx_fetch_post(c, FETCH_ABORT);
	while (!c->done)
		pthread_cond_wait(&c->news, &c->fetcher->lock);
	return e;
}

static mx_error *
enter(struct mx_fetcher *f)
{
	mx_error *e = NULL;

	pthread_mutex_lock(&f->lock);
	if (f->stopping)
		e = mx_error_new(MX_E_UNAVAILABLE, "The server is shutting down");
	else
		e = mx_fetcher_start(f);
	if (e == NULL)
		f->inside++;
	pthread_mutex_unlock(&f->lock);
	return e;
}

static void
leave(struct mx_fetcher *f)
{
	pthread_mutex_lock(&f->lock);
	if (--f->inside == 0)
		pthread_cond_broadcast(&f->left);
	pthread_mutex_unlock(&f->lock);
}

/* The body and where it came from, into the arena. */
static void
read_rest(struct mx_fetch_call *c, struct mx_arena *arena, struct mx_fetch_response *rs)
{
	char *url = NULL, *body;
	size_t n;

	if (rs->status == 0)
		read_head(c, arena, rs);
	if (c->fetcher->curl->easy_getinfo(c->easy, CURLINFO_EFFECTIVE_URL, &url) == CURLE_OK)
		rs->url = mx_arena_str(arena, mx_str_of(url));
	if (c->pieces)
		return;
	body = mx_buf_take(c->in, &n);
	mx_arena_defer(arena, free, body);
	rs->body = (mx_str){ body, n };
}

static mx_error *
run(struct mx_fetch_call *c, struct mx_arena *arena, struct mx_fetch_response *rs)
{
	struct mx_fetcher *f = c->fetcher;
	mx_error *e = mx_fetch_prepare(c);

	if (e != NULL) {
		rs->failure = MX_FETCH_REQUEST;
		return e;
	}
	if (c->denied) {
		rs->failure = MX_FETCH_DENIED;
		return denied(mx_fetch_host(c, arena));
	}
	c->head = mx_buf_new(MX_FETCH_HEAD_MOST);
	c->in = mx_buf_new(c->limit + 1);
	pthread_mutex_lock(&f->lock);
	mx_fetch_post(c, FETCH_BEGIN);
	e = wait_done(c, arena, rs);
	pthread_mutex_unlock(&f->lock);
	if (e != NULL)
		rs->failure = MX_FETCH_CALLER;
	else
		e = error_of(c, arena, rs);
	if (e == NULL)
		read_rest(c, arena, rs);
	else
		rs->status = 0;
	return e;
}

mx_error *
mx_fetch(struct mx_core *core, const struct mx_fetch_request *rq, struct mx_arena *arena,
	 struct mx_fetch_response *rs)
{
	struct mx_fetcher *f = core->fetcher;
	struct mx_fetch_call c = { .fetcher = f, .rq = rq };
	mx_error *e;

	*rs = (struct mx_fetch_response){ .size = rs->size };
	if (f == NULL)
		return mx_error_new(MX_E_UNKNOWN, "there is no client for other servers");
	e = enter(f);
	if (e != NULL) {
		rs->failure = mx_error_is(e, MX_E_UNAVAILABLE) ? MX_FETCH_STOPPED : MX_FETCH_BROKEN;
		return e;
	}
	pthread_cond_init(&c.news, NULL);
	atomic_fetch_add(&f->requests, 1);
	e = run(&c, arena, rs);
	atomic_fetch_add(&f->received, c.received);
	if (e != NULL)
		atomic_fetch_add(&f->failures, 1);
	mx_fetch_clear(&c);
	mx_buf_free(&c.head);
	mx_buf_free(&c.in);
	free(c.out);
	pthread_cond_destroy(&c.news);
	leave(f);
	return e;
}

mx_error *
mx_fetch_fill_file(void *arg, char *out, size_t space, size_t *n)
{
	const int *fd = arg;
	ssize_t got;

	do
		got = read(*fd, out, space);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return mx_error_new(MX_E_UNKNOWN, "a file could not be read: %s", strerror(errno));
	*n = (size_t)got;
	return NULL;
}
