#include "config.h"

/* The thread that drives all calls to other servers, and what libcurl calls on it. */

#define CURL_DISABLE_TYPECHECK
#include "core/http/fetch_internal.h"

#include <signal.h>
#include <stdlib.h>

enum { POLL_MS = 60000 };

/* ---- messages ---- */

void
mx_fetch_post(struct mx_fetch_call *c, enum fetch_todo todo)
{
	struct mx_fetcher *f = c->fetcher;
	bool queued = c->todo != 0;

	c->todo |= (unsigned)todo;
	if (queued)
		return;
	c->next_message = f->messages;
	f->messages = c;
	f->curl->multi_wakeup(f->multi);
}

static void
forget_message(struct mx_fetch_call *c)
{
	struct mx_fetch_call **at = &c->fetcher->messages;

	while (*at != NULL && *at != c)
		at = &(*at)->next_message;
	if (*at == c)
		*at = c->next_message;
	c->todo = 0;
}

/* ---- what libcurl calls ---- */

size_t
mx_fetch_on_head(char *line, size_t size, size_t n, void *call)
{
	struct mx_fetch_call *c = call;
	mx_str s = { line, size * n };
	bool full;

	pthread_mutex_lock(&c->fetcher->lock);
	if (!c->head_known) {		/* else it is a trailer */
		if (mx_str_starts(s, MX_S("HTTP/")))
			mx_buf_truncate(c->head, 0);
		mx_buf_str(c->head, s);
	}
	full = mx_buf_failed(c->head);
	pthread_mutex_unlock(&c->fetcher->lock);
	return full ? 0 : s.n;
}

static int
status_of(const struct mx_fetch_call *c)
{
	long status = 0;

	c->fetcher->curl->easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	return (int)status;
}

/* With the lock held. How much of n bytes is taken, or CURL_WRITEFUNC_PAUSE. */
static size_t
take_body(struct mx_fetch_call *c, const char *p, size_t n)
{
	if (!c->head_known) {
		c->head_known = true;
		c->status = status_of(c);
		c->pieces = c->rq->piece != NULL && c->status / 100 == 2;
	}
	if (n > c->limit - c->received) {
		c->too_large = true;
		return 0;
	}
	if (c->pieces && mx_buf_view(c->in).n > 0 && mx_buf_view(c->in).n + n > MX_FETCH_WINDOW) {
		c->in_full = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	mx_buf_add(c->in, p, n);
	if (mx_buf_failed(c->in))
		return 0;
	c->received += n;
	if (c->pieces)
		pthread_cond_signal(&c->news);
	return n;
}

size_t
mx_fetch_on_body(char *p, size_t size, size_t n, void *call)
{
	struct mx_fetch_call *c = call;
	size_t taken;

	pthread_mutex_lock(&c->fetcher->lock);
	taken = take_body(c, p, size * n);
	pthread_mutex_unlock(&c->fetcher->lock);
	return taken;
}

size_t
mx_fetch_on_fill(char *p, size_t size, size_t n, void *call)
{
	struct mx_fetch_call *c = call;
	size_t space = size * n, there;

	pthread_mutex_lock(&c->fetcher->lock);
	there = c->out_n - c->out_at;
	if (there > 0) {
		there = there < space ? there : space;
		memcpy(p, c->out + c->out_at, there);
		c->out_at += there;
	} else if (!c->out_end) {
		c->out_wanted = true;
		pthread_cond_signal(&c->news);
		there = CURL_READFUNC_PAUSE;
	}
	pthread_mutex_unlock(&c->fetcher->lock);
	return there;
}

curl_socket_t
mx_fetch_on_socket(void *call, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct mx_fetch_call *c = call;
	struct mx_address a;

	(void)purpose;
	mx_address_from(&address->addr, &a);
	/* A proxy is the operator's own choice. */
	if (c->direct && !mx_fetch_allows(c->fetcher, &a)) {
		c->denied = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

CURLcode
mx_fetch_on_tls(CURL *easy, void *context, void *call)
{
	const struct mx_fetch_call *c = call;

	(void)easy;
	SSL_CTX_set1_cert_store(context, c->fetcher->trusted);
	return CURLE_OK;
}

/* ---- calls ---- */

static void
link_call(struct mx_fetch_call *c)
{
	struct mx_fetcher *f = c->fetcher;

	c->next = f->calls;
	c->prev = &f->calls;
	if (c->next != NULL)
		c->next->prev = &c->next;
	f->calls = c;
}

static void
unlink_call(struct mx_fetch_call *c)
{
	if (c->prev == NULL)
		return;
	*c->prev = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	c->prev = NULL;
}

/* Gives the call back to its caller, and does not touch it any more. */
static void
finish(struct mx_fetch_call *c, CURLcode result, bool stopped)
{
	struct mx_fetcher *f = c->fetcher;

	if (c->prev != NULL) {
		f->curl->multi_remove_handle(f->multi, c->easy);
		f->curl->easy_setopt(c->easy, CURLOPT_SHARE, NULL);
		unlink_call(c);
	}
	pthread_mutex_lock(&f->lock);
	forget_message(c);
	c->status = status_of(c);
	c->head_known = true;
	c->result = result;
	c->stopped = stopped;
	c->done = true;
	pthread_cond_signal(&c->news);
	pthread_mutex_unlock(&f->lock);
}

static void
begin(struct mx_fetch_call *c)
{
	struct mx_fetcher *f = c->fetcher;

	link_call(c);
	f->curl->easy_setopt(c->easy, CURLOPT_SHARE, f->share);
	if (f->curl->multi_add_handle(f->multi, c->easy) != CURLM_OK)
		finish(c, CURLE_FAILED_INIT, false);
}

static void
obey(struct mx_fetch_call *c, unsigned todo)
{
	if ((todo & FETCH_ABORT) != 0)
		finish(c, CURLE_ABORTED_BY_CALLBACK, false);
	else if ((todo & FETCH_BEGIN) != 0)
		begin(c);
	else if ((todo & FETCH_RESUME) != 0)
		c->fetcher->curl->easy_pause(c->easy, CURLPAUSE_CONT);
}

/* False when the thread is to end. */
static bool
take_messages(struct mx_fetcher *f)
{
	for (;;) {
		struct mx_fetch_call *c;
		unsigned todo = 0;
		bool stopping;

		pthread_mutex_lock(&f->lock);
		c = f->messages;
		stopping = f->stopping;
		if (c != NULL) {
			f->messages = c->next_message;
			todo = c->todo;
			c->todo = 0;
		}
		pthread_mutex_unlock(&f->lock);
		if (c == NULL)
			return !stopping;
		if (stopping)
			finish(c, CURLE_ABORTED_BY_CALLBACK, true);
		else
			obey(c, todo);
	}
}

static void
finish_ended(struct mx_fetcher *f)
{
	CURLMsg *m;
	int left;

	while ((m = f->curl->multi_info_read(f->multi, &left)) != NULL) {
		CURLcode result = m->data.result;
		void *call = NULL;

		f->curl->easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &call);
		if (m->msg == CURLMSG_DONE)
			finish(call, result, false);
	}
}

static void *
loop(void *arg)
{
	struct mx_fetcher *f = arg;
	int n;

	/* Reading the system's certificates can take a while; a caller need not wait for it. */
	X509_STORE_set_default_paths(f->trusted);
	while (take_messages(f)) {
		f->curl->multi_perform(f->multi, &n);
		finish_ended(f);
		f->curl->multi_poll(f->multi, NULL, 0, POLL_MS, &n);
	}
	while (f->calls != NULL)
		finish(f->calls, CURLE_ABORTED_BY_CALLBACK, true);
	return NULL;
}

/* ---- the thread ---- */

static void
close_multi(struct mx_fetcher *f)
{
	if (f->multi != NULL)
		f->curl->multi_cleanup(f->multi);
	if (f->share != NULL)
		f->curl->share_cleanup(f->share);
	f->multi = NULL;
	f->share = NULL;
}

static mx_error *
open_multi(struct mx_fetcher *f)
{
	const struct mx_fetch_options *o = f->o;
	long most = (long)o->connections, host = (long)o->connections_per_host;

	f->multi = f->curl->multi_init();
	f->share = f->curl->share_init();
	if (f->multi == NULL || f->share == NULL ||
	    f->curl->share_setopt(f->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) != 0 ||
	    f->curl->multi_setopt(f->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, most) != CURLM_OK ||
	    f->curl->multi_setopt(f->multi, CURLMOPT_MAX_HOST_CONNECTIONS, host) != CURLM_OK ||
	    f->curl->multi_setopt(f->multi, CURLMOPT_MAXCONNECTS, most) != CURLM_OK)
		return mx_error_new(MX_E_UNKNOWN, "libcurl cannot be set up");
	return NULL;
}

mx_error *
mx_fetcher_start(struct mx_fetcher *f)
{
	sigset_t all, before;
	mx_error *e;
	int error;

	if (f->running)
		return NULL;
	MX_TRY(mx_curl_get(&f->curl));
	e = open_multi(f);
	if (e != NULL) {
		close_multi(f);
		return e;
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&f->thread, NULL, loop, f);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0) {
		close_multi(f);
		return mx_error_new(MX_E_UNKNOWN, "a thread could not be started: %s",
				    strerror(error));
	}
	(void)pthread_setname_np(f->thread, "fetch");
	f->running = true;
	return NULL;
}

void
mx_fetcher_end(struct mx_fetcher *f)
{
	if (!f->running)
		return;
	f->curl->multi_wakeup(f->multi);
	pthread_join(f->thread, NULL);
	f->running = false;
	close_multi(f);
}
