#include "config.h"

/* From a request to libcurl's handle for it, on the caller's thread. */

#define CURL_DISABLE_TYPECHECK
#include "core/http/fetch_internal.h"

#include <stdlib.h>

enum { REDIRECTS = 5, NAMES_KEPT_S = 5 };

/* The first option that this libcurl does not take ends it. */
#define SET(c, option, value)                                                                      \
	do {                                                                                       \
		CURLcode set_ = (c)->fetcher->curl->easy_setopt((c)->easy, (option), (value));     \
		if (set_ != CURLE_OK)                                                              \
			return mx_error_new(MX_E_UNKNOWN, "libcurl does not take %s: %s", #option, \
					    (c)->fetcher->curl->easy_strerror(set_));              \
	} while (0)

static mx_error *
wrong(const char *what)
{
	return mx_error_new(MX_E_INVALID_PARAM, "a request to another server: %s", what);
}

static mx_error *
set_url(struct mx_fetch_call *c)
{
	const struct mx_curl *curl = c->fetcher->curl;
	char *z = mx_str_dup(c->rq->url), *scheme = NULL;
	CURLUcode code;
	bool known, tls;

	c->url = curl->url();
	code = memchr(z, 0, c->rq->url.n) != NULL
		       ? CURLUE_MALFORMED_INPUT
		       : curl->url_set(c->url, CURLUPART_URL, z, CURLU_DISALLOW_USER);
	free(z);
	if (code != CURLUE_OK)
		return wrong(code == CURLUE_USER_NOT_ALLOWED
				     ? "its URL must not hold a user or a password"
				     : "its URL is malformed");
	known = curl->url_get(c->url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK;
	tls = known && strcmp(scheme, "https") == 0;
	known = tls || (known && strcmp(scheme, "http") == 0);
	curl->free(scheme);
	if (!known)
		return wrong("its URL is neither http: nor https:");
	SET(c, CURLOPT_CURLU, c->url);
#if LIBCURL_VERSION_NUM >= 0x075500
	SET(c, CURLOPT_PROTOCOLS_STR, "http,https");
	SET(c, CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https");
#else
	SET(c, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
	SET(c, CURLOPT_REDIR_PROTOCOLS,
	    (long)(tls ? CURLPROTO_HTTPS : CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	/* A second request waits until the first one's handshake has said whether both go over one
	 * connection. Without TLS only the answer would say it. */
	SET(c, CURLOPT_PIPEWAIT, tls ? 1L : 0L);
	return NULL;
}

static bool
is_plain(mx_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char b = (unsigned char)s.p[i];

		if (b < 0x20 || b == 0x7f)
			return false;
	}
	return true;
}

/* RFC 9110, 5.6.2 */
static bool
is_token(mx_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char b = (unsigned char)s.p[i];

		if (b <= 0x20 || b >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", b) != NULL)
			return false;
	}
	return s.n > 0;
}

static mx_error *
add_line(struct mx_fetch_call *c, struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = c->fetcher->curl->slist_append(*list, line);

	if (longer == NULL)
		abort();
	*list = longer;
	return NULL;
}

static mx_error *
set_headers(struct mx_fetch_call *c)
{
	MX_AUTO(mx_buf) *line = mx_buf_new(0);
	bool typed = false;

	for (size_t i = 0; i < c->rq->header_count; i++) {
		const struct mx_fetch_header *h = &c->rq->headers[i];

		if (!is_token(h->name) || !is_plain(h->value))
			return wrong("a header has characters that headers may not have");
		typed = typed || mx_str_ieq(h->name, MX_S("content-type"));
		mx_buf_truncate(line, 0);
		mx_buf_str(line, h->name);
		/* libcurl's way to say that the value is empty. */
		mx_buf_str(line, h->value.n > 0 ? MX_S(": ") : MX_S(";"));
		mx_buf_str(line, h->value);
		MX_TRY(add_line(c, &c->headers, mx_buf_cstr(line)));
	}
	if (!typed)
		MX_TRY(add_line(c, &c->headers, "Content-Type:"));	/* no form */
	MX_TRY(add_line(c, &c->headers, "Expect:"));	/* a round trip for nothing */
	SET(c, CURLOPT_HTTPHEADER, c->headers);
	return NULL;
}

static mx_error *
set_method(struct mx_fetch_call *c)
{
	const struct mx_fetch_request *rq = c->rq;
	const char *method = rq->method != NULL ? rq->method : "GET";
	bool reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;

	if (!is_token(mx_str_of(method)))
		return wrong("its method is malformed");
	if (reads && (rq->fill != NULL || rq->body.n > 0))
		return wrong("it asks only, and must not have a body");
	if ((rq->flags & MX_FETCH_REDIRECTS) != 0) {
		if (!reads)
			return wrong("only GET and HEAD may follow redirections");
		SET(c, CURLOPT_FOLLOWLOCATION, 1L);
		SET(c, CURLOPT_MAXREDIRS, (long)REDIRECTS);
	}
	if (rq->fill != NULL) {
		SET(c, CURLOPT_UPLOAD, 1L);
		SET(c, CURLOPT_READFUNCTION, mx_fetch_on_fill);
		SET(c, CURLOPT_READDATA, c);
		SET(c, CURLOPT_INFILESIZE_LARGE,
		    (curl_off_t)(rq->fill_size >= 0 ? rq->fill_size : -1));
		/* What was given to a kept connection that had been closed could not be said
		 * again. */
		SET(c, CURLOPT_FRESH_CONNECT, 1L);
	} else if (!reads) {
		SET(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)rq->body.n);
		SET(c, CURLOPT_POSTFIELDS, rq->body.n > 0 ? rq->body.p : "");
	}
	if (strcmp(method, "HEAD") == 0)
		SET(c, CURLOPT_NOBODY, 1L);
	else if (!reads)
		SET(c, CURLOPT_CUSTOMREQUEST, method);
	return NULL;
}

static long
ms(mx_msec own, mx_msec usual)
{
	mx_msec v = own > 0 ? own : usual;

	return (long)(v < INT32_MAX ? v : INT32_MAX);
}

static mx_error *
set_limits(struct mx_fetch_call *c)
{
	const struct mx_fetch_request *rq = c->rq;
	const struct mx_fetch_options *o = c->fetcher->o;
	long stall = (ms(rq->stall_timeout, o->stall_timeout.ms) + 999) / 1000;

	c->limit = rq->limit != 0 ? rq->limit : (uint64_t)o->body_limit.bytes;
	if (c->limit > INT64_MAX)
		c->limit = INT64_MAX;
	SET(c, CURLOPT_CONNECTTIMEOUT_MS, ms(rq->connect_timeout, o->connect_timeout.ms));
	SET(c, CURLOPT_TIMEOUT_MS, ms(rq->timeout, o->timeout.ms));
	SET(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	SET(c, CURLOPT_LOW_SPEED_TIME, stall);
	/* Of HEAD it is the size of what does not come. */
	if (rq->method == NULL || strcmp(rq->method, "HEAD") != 0)
		SET(c, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)c->limit);
	return NULL;
}

/* Through a proxy, only addresses that stand in the URL itself can be looked at here. */
static mx_error *
set_proxy(struct mx_fetch_call *c)
{
	const char *proxy = c->fetcher->o->proxy;
	char *host = NULL;
	struct mx_address a;

	c->direct = proxy == NULL || proxy[0] == 0;
	SET(c, CURLOPT_PROXY, c->direct ? "" : proxy);
	SET(c, CURLOPT_NOPROXY, "");
	if (c->direct)
		return NULL;
	SET(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (c->fetcher->curl->url_get(c->url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
	    mx_address_parse(mx_str_of(host), &a))
		c->denied = !mx_fetch_allows(c->fetcher, &a);
	c->fetcher->curl->free(host);
	if (c->rq->connect_to.n > 0 && mx_address_parse(c->rq->connect_to, &a))
		c->denied = c->denied || !mx_fetch_allows(c->fetcher, &a);
	return NULL;
}

static mx_error *
set_place(struct mx_fetch_call *c)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	const char *bind = c->fetcher->o->bind;

	MX_TRY(set_proxy(c));
	if (c->rq->connect_to.n > 0) {
		if (!is_plain(c->rq->connect_to))
			return wrong("connect_to is malformed");
		mx_buf_printf(b, "::%.*s", MX_SFMT(c->rq->connect_to));
		MX_TRY(add_line(c, &c->connect_to, mx_buf_cstr(b)));
		SET(c, CURLOPT_CONNECT_TO, c->connect_to);
	}
	if (bind != NULL && bind[0] != 0) {
		mx_buf_truncate(b, 0);
		mx_buf_printf(b, "host!%s", bind);
		SET(c, CURLOPT_INTERFACE, mx_buf_cstr(b));
	}
	SET(c, CURLOPT_OPENSOCKETFUNCTION, mx_fetch_on_socket);
	SET(c, CURLOPT_OPENSOCKETDATA, c);
	return NULL;
}

static mx_error *
set_tls(struct mx_fetch_call *c)
{
	/* The store of certificates is our own, read once: see mx_fetch_on_tls. */
	SET(c, CURLOPT_CAINFO, NULL);
	SET(c, CURLOPT_CAPATH, NULL);
	SET(c, CURLOPT_SSL_CTX_FUNCTION, mx_fetch_on_tls);
	SET(c, CURLOPT_SSL_CTX_DATA, c);
	SET(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(c, CURLOPT_SSL_VERIFYPEER, 1L);
	SET(c, CURLOPT_SSL_VERIFYHOST, 2L);
	return NULL;
}

static mx_error *
set_common(struct mx_fetch_call *c)
{
	SET(c, CURLOPT_PRIVATE, c);
	SET(c, CURLOPT_ERRORBUFFER, c->error);
	SET(c, CURLOPT_NOSIGNAL, 1L);
	/* The system's resolver knows how long a name is good for. */
	SET(c, CURLOPT_DNS_CACHE_TIMEOUT, (long)NAMES_KEPT_S);
	SET(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	SET(c, CURLOPT_USERAGENT, c->fetcher->agent);
	SET(c, CURLOPT_HEADERFUNCTION, mx_fetch_on_head);
	SET(c, CURLOPT_HEADERDATA, c);
	SET(c, CURLOPT_WRITEFUNCTION, mx_fetch_on_body);
	SET(c, CURLOPT_WRITEDATA, c);
	if ((c->rq->flags & MX_FETCH_COMPRESSED) != 0)
		SET(c, CURLOPT_ACCEPT_ENCODING, "");
#if LIBCURL_VERSION_NUM >= 0x075700
	/* A resolver that hangs must not hold everybody up when its call is over. An older libcurl
	 * at run time does without. */
	(void)c->fetcher->curl->easy_setopt(c->easy, CURLOPT_QUICK_EXIT, 1L);
#endif
	return NULL;
}

mx_error *
mx_fetch_prepare(struct mx_fetch_call *c)
{
	c->easy = c->fetcher->curl->easy_init();
	if (c->easy == NULL)
		return mx_error_new(MX_E_UNKNOWN, "libcurl has no memory");
	MX_TRY(set_common(c));
	MX_TRY(set_url(c));
	MX_TRY(set_method(c));
	MX_TRY(set_headers(c));
	MX_TRY(set_limits(c));
	MX_TRY(set_place(c));
	return set_tls(c);
}

void
mx_fetch_clear(struct mx_fetch_call *c)
{
	const struct mx_curl *curl = c->fetcher->curl;

	if (curl == NULL)
		return;
	if (c->easy != NULL)
		curl->easy_cleanup(c->easy);
	if (c->url != NULL)
		curl->url_cleanup(c->url);
	curl->slist_free_all(c->headers);
	curl->slist_free_all(c->connect_to);
}

mx_str
mx_fetch_host(const struct mx_fetch_call *c, struct mx_arena *arena)
{
	char *host = NULL;
	mx_str s = MX_S("another server");

	if (c->url != NULL &&
	    c->fetcher->curl->url_get(c->url, CURLUPART_HOST, &host, 0) == CURLUE_OK)
		s = mx_arena_str(arena, mx_str_of(host));
	c->fetcher->curl->free(host);
	return s;
}
