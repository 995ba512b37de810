#include "config.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "core/http/internal.h"

/* TLS links read and write through a bufferevent, on their I/O thread only. The context is
 * replaced at a reload; connections keep the one they were made with. */

struct mx_tls {
	pthread_mutex_t lock;
	SSL_CTX *context;
};

enum { TLS_INPUT = 64 * 1024 };		/* what may wait unread */

/* Takes what OpenSSL says is wrong. */
static mx_error *
tls_error(const char *what, const char *file)
{
	char text[256];
	unsigned long code = ERR_get_error();

	ERR_error_string_n(code, text, sizeof(text));
	ERR_clear_error();
	return mx_error_new(MX_E_CONFIG, "[http] %s %s: %s", what, file, text);
}

static int
choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
		unsigned in_n, void *arg)
{
	static const unsigned char http11[] = "\x08http/1.1";

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_n, http11,
				  sizeof(http11) - 1, in, in_n) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

static mx_error *
load(SSL_CTX *context, const struct mx_http_options *o)
{
	if (o->tls_certificate == NULL || o->tls_key == NULL)
		return mx_error_new(MX_E_CONFIG,
				    "[http] listening with tls: needs tls_certificate and tls_key");
	if (SSL_CTX_use_certificate_chain_file(context, o->tls_certificate) != 1)
		return tls_error("tls_certificate", o->tls_certificate);
	if (SSL_CTX_use_PrivateKey_file(context, o->tls_key, SSL_FILETYPE_PEM) != 1)
		return tls_error("tls_key", o->tls_key);
	if (SSL_CTX_check_private_key(context) != 1)
		return tls_error("tls_key does not belong to the certificate:", o->tls_key);
	return NULL;
}

static mx_error *
new_context(const struct mx_http_options *o, SSL_CTX **out)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	mx_error *e;

	if (context == NULL)
		return tls_error("TLS", "");
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
					     SSL_OP_NO_COMPRESSION);
	/* An idle connection keeps no buffers. */
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
	e = load(context, o);
	if (e != NULL) {
		SSL_CTX_free(context);
		return e;
	}
	*out = context;
	return NULL;
}

mx_error *
mx_tls_new(const struct mx_http_options *o, struct mx_tls **out)
{
	SSL_CTX *context;
	struct mx_tls *t;

	MX_TRY(new_context(o, &context));
	t = mx_alloc(sizeof(*t));
	pthread_mutex_init(&t->lock, NULL);
	t->context = context;
	*out = t;
	return NULL;
}

mx_error *
mx_tls_reload(struct mx_tls *t, const struct mx_http_options *o)
{
	SSL_CTX *context, *old;

	MX_TRY(new_context(o, &context));
	pthread_mutex_lock(&t->lock);
	old = t->context;
	t->context = context;
	pthread_mutex_unlock(&t->lock);
	SSL_CTX_free(old);
	return NULL;
}

void
mx_tls_free(struct mx_tls **tls)
{
	struct mx_tls *t = *tls;

	*tls = NULL;
	if (t == NULL)
		return;
	SSL_CTX_free(t->context);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* ---- links ---- */

static void
on_read(struct bufferevent *bev, void *arg)
{
	(void)bev;
	mx_link_event(arg, LINK_READABLE);
}

static void
on_written(struct bufferevent *bev, void *arg)
{
	struct mx_link *l = arg;

	if (l->phase == PHASE_WRITE && evbuffer_get_length(bufferevent_get_output(bev)) == 0)
		mx_link_written(l);
}

static void
on_state(struct bufferevent *bev, short what, void *arg)
{
	struct mx_link *l = arg;

	(void)bev;
	if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) == 0)
		return;
	ERR_clear_error();
	l->tls_ended = true;
	if (l->phase == PHASE_WRITE)
		mx_link_free(l);
	else
		mx_link_event(l, LINK_READABLE | LINK_GONE);
}

mx_error *
mx_tls_adopt(struct mx_link *l)
{
	struct mx_tls *t = l->io->http->tls;
	SSL *ssl;

	pthread_mutex_lock(&t->lock);
	ssl = SSL_new(t->context);
	pthread_mutex_unlock(&t->lock);
	if (ssl == NULL)
		return tls_error("TLS", "");
	l->tls = bufferevent_openssl_socket_new(l->io->base, l->fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
						BEV_OPT_CLOSE_ON_FREE);
	if (l->tls == NULL) {
		SSL_free(ssl);
		return mx_error_new(MX_E_UNAVAILABLE, "no TLS connection could be made");
	}
	/* Many clients just close. */
	bufferevent_openssl_set_allow_dirty_shutdown(l->tls, 1);
	bufferevent_setwatermark(l->tls, EV_READ, 0, TLS_INPUT);
	bufferevent_setcb(l->tls, on_read, on_written, on_state, l);
	if (bufferevent_enable(l->tls, EV_READ | EV_WRITE) != 0)
		return mx_error_new(MX_E_UNAVAILABLE, "it could not be watched");
	return NULL;
}

ssize_t
mx_tls_read(struct mx_link *l, void *p, size_t n)
{
	size_t got = bufferevent_read(l->tls, p, n);

	if (got == 0 && !l->tls_ended) {
		errno = EAGAIN;
		return -1;
	}
	return (ssize_t)got;
}

static void
free_body(const void *p, size_t n, void *arg)
{
	struct mx_buf *b = arg;

	(void)p;
	(void)n;
	mx_buf_free(&b);
}

void
mx_tls_write(struct mx_link *l, struct mx_out **out)
{
	struct evbuffer *to = bufferevent_get_output(l->tls);
	struct mx_out *o = *out;

	evbuffer_add(to, o->head, o->head_n);
	if (o->body_n > 0 &&
	    evbuffer_add_reference(to, mx_buf_view(o->body).p, o->body_n, free_body, o->body) == 0)
		o->body = NULL;
	mx_out_free(out);
}

void
mx_tls_text(struct mx_link *l, mx_str text)
{
	bufferevent_write(l->tls, text.p, text.n);
}

void
mx_tls_finish(struct mx_link *l)
{
	SSL *ssl = bufferevent_openssl_get_ssl(l->tls);

	bufferevent_disable(l->tls, EV_READ | EV_WRITE);
	if (l->tls_ended || !SSL_is_init_finished(ssl))
		return;
	l->tls_ended = true;
	SSL_set_shutdown(ssl, SSL_RECEIVED_SHUTDOWN);
	(void)SSL_shutdown(ssl);
	ERR_clear_error();
}

void
mx_tls_close(struct mx_link *l)
{
	mx_tls_finish(l);
	bufferevent_setcb(l->tls, NULL, NULL, NULL, NULL);
	bufferevent_free(l->tls);	/* and the SSL, and the socket */
	l->tls = NULL;
	l->fd = -1;
}
