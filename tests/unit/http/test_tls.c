#include "config.h"

#include "tests/unit/http/harness.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>

static char folder[] = "/tmp/myelin-tls-XXXXXX";
static char certificate[64], key[64];

static enum mx_outcome
echo(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);

	mx_buf_str(b, mx_request_body(rq));
	return mx_reply_bytes(rq, 200, "text/plain", &b);
}

static enum mx_outcome
big(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);

	for (int i = 0; i < 1 << 17; i++)
		mx_buf_printf(b, "%07d\n", i);
	return mx_reply_bytes(rq, 200, "text/plain", &b);
}

/* Reads a body in pieces. */
static enum mx_outcome
measure(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);
	char piece[5000];
	size_t all = 0, n;

	do {
		mx_error *e = mx_request_read(rq, piece, sizeof(piece), &n);

		if (e != NULL) {
			mx_buf_free(&b);
			return mx_reply_error(rq, e);
		}
		for (size_t i = 0; i < n; i++)
			all += piece[i] == 'x';
	} while (n > 0);
	mx_buf_printf(b, "%zu", all);
	return mx_reply_bytes(rq, 200, "text/plain", &b);
}

static enum mx_outcome
park(struct mx_request *rq)
{
	if (mx_request_again(rq))
		return mx_reply_empty(rq);
	return mx_request_suspend(rq,
				  mx_monotonic_us() + (mx_request_query(rq, "long", &(mx_str){ 0 })
							       ? 60000000
							       : 20000),
				  NULL, NULL);
}

static const struct mx_route routes[] = {
	{ .method = "POST", .path = "/echo", .handler = echo },
	{ .method = "GET", .path = "/big", .handler = big },
	{ .method = "GET", .path = "/park", .handler = park },
	{ .method = "POST", .path = "/measure", .handler = measure, .flags = MX_ROUTE_STREAM,
	  .body_limit = 1 << 24 },
	{ .method = "POST", .path = "/mine", .handler = echo, .auth = MX_AUTH_USER,
	  .body_limit = 1 << 24 },
};

/* A key and a certificate that it signs itself, for `name`. */
static void
make_certificate(const char *name)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	FILE *f;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, pkey);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	assert_true(X509_sign(x, pkey, EVP_sha256()) > 0);
	f = fopen(certificate, "w");
	PEM_write_X509(f, x);
	fclose(f);
	f = fopen(key, "w");
	PEM_write_PrivateKey(f, pkey, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(pkey);
}

static SSL *
tls_dial(struct server *s, int version, const char *protocol)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	int fd = dial(s->port);
	SSL *ssl;

	SSL_CTX_set_max_proto_version(context, version);
	SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
	SSL_CTX_set_cipher_list(context, "DEFAULT@SECLEVEL=0");
	ssl = SSL_new(context);
	SSL_CTX_free(context);
	SSL_set_fd(ssl, fd);
	if (protocol != NULL)
		SSL_set_alpn_protos(ssl, (const unsigned char *)protocol,
				    (unsigned)strlen(protocol));
	if (SSL_connect(ssl) != 1) {
		ERR_clear_error();
		SSL_free(ssl);
		close(fd);
		return NULL;
	}
	return ssl;
}

static void
tls_end(SSL *ssl)
{
	int fd = SSL_get_fd(ssl);

	SSL_free(ssl);
	close(fd);
}

/* An answer with this body. */
static size_t
tls_hear(SSL *ssl, char *out, size_t cap)
{
	size_t n = 0, whole = cap;

	while (n < whole) {
		int got = SSL_read(ssl, out + n, (int)(cap - n - 1));
		char *end;

		if (got <= 0)
			break;
		n += (size_t)got;
		out[n] = 0;
		end = strstr(out, "\r\n\r\n");
		if (end != NULL)
			whole = (size_t)(end + 4 - out) +
				strtoul(strcasestr(out, "content-length:") + 15, NULL, 10);
	}
	return n;
}

static mx_error *
authenticate(void *arg, struct mx_request *rq, mx_str token, const struct mx_auth **out)
{
	(void)arg;
	(void)rq;
	(void)token;
	(void)out;
	return mx_error_new(MX_E_UNKNOWN_TOKEN, "no");
}

static void
release(void *arg, const struct mx_auth *auth)
{
	(void)arg;
	(void)auth;
}

static void
begin(struct server *s)
{
	server_init(s);
	s->words[0] = "tls:127.0.0.1:0";
	s->o.tls_certificate = certificate;
	s->o.tls_key = key;
	s->hooks.authenticate = authenticate;
	s->hooks.release = release;
	server_start(s, routes, COUNT(routes));
}

#define HOST "Host: localhost\r\n"

static void
tls_carries_requests(void **state)
{
	static const char two[] = "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\none"
				  "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\ntwo";
	static const char get[] = "GET /big HTTP/1.1\r\n" HOST "\r\n",
			  wait[] = "GET /park HTTP/1.1\r\n" HOST "\r\n";
	static const char nonsense[] = "nonsense\r\n\r\n";
	size_t cap = 2 << 20, n;
	char *text = calloc(1, cap);
	struct server s;
	SSL *ssl;

	(void)state;
	begin(&s);
	ssl = tls_dial(&s, TLS1_3_VERSION, "\x08http/1.1");
	assert_non_null(ssl);
	SSL_write(ssl, two, sizeof(two) - 1);
	n = 0;
	while (strstr(text, "two") == NULL || n == 0) {
		int got = SSL_read(ssl, text + n, (int)(cap - n - 1));

		assert_true(got > 0);
		n += (size_t)got;
		text[n] = 0;
	}
	assert_has(text, "\r\n\r\none");
	SSL_write(ssl, get, sizeof(get) - 1);
	n = tls_hear(ssl, text, cap);
	assert_string_equal(text + n - 8, "0131071\n");
	SSL_write(ssl, wait, sizeof(wait) - 1);
	(void)tls_hear(ssl, text, cap);
	assert_status(text, 200);
	SSL_write(ssl, nonsense, sizeof(nonsense) - 1);
	(void)tls_hear(ssl, text, cap);
	assert_status(text, 400);
	assert_true(SSL_read(ssl, text, 1) <= 0);
	tls_end(ssl);
	EVENTUALLY(stats(&s).open == 0);
	free(text);
	server_stop(&s);
}

static void
tls_carries_uploads(void **state)
{
	static const char head[] = "POST /measure HTTP/1.1\r\n" HOST "Content-Length: 3000000\r\n\r\n";
	char *block = malloc(3000000), text[2000] = "";
	struct server s;
	SSL *ssl;

	(void)state;
	begin(&s);
	memset(block, 'x', 3000000);
	ssl = tls_dial(&s, TLS1_3_VERSION, NULL);
	for (int i = 0; i < 2; i++) {
		SSL_write(ssl, head, sizeof(head) - 1);
		assert_int_equal(SSL_write(ssl, block, 3000000), 3000000);
		(void)tls_hear(ssl, text, sizeof(text));
		assert_status(text, 200);
		assert_string_equal(body_of(text), "3000000");
	}
	/* Half a body, and no more. */
	SSL_write(ssl, head, sizeof(head) - 1);
	SSL_write(ssl, block, 100000);
	EVENTUALLY(stats(&s).active == 1);
	tls_end(ssl);
	EVENTUALLY(stats(&s).open == 0 && stats(&s).active == 0);
	free(block);
	server_stop(&s);
}

/* A client that sends its whole body before it looks what the server says to it. */
static void
an_early_answer_arrives(void **state)
{
	static const struct {
		const char *head;
		int status;
	} rows[] = {
		{ "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 8388608\r\n\r\n", 413 },
		{ "POST /mine HTTP/1.1\r\n" HOST "Content-Length: 8388608\r\n"
		  "Authorization: Bearer x\r\n\r\n", 401 },
	};
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	char *block = calloc(1, 1 << 23), text[2000];
	struct server s;

	(void)state;
	begin(&s);
	for (size_t i = 0; i < 2 * COUNT(rows); i++) {
		SSL *ssl = tls_dial(&s, versions[i % 2], NULL);

		assert_non_null(ssl);
		assert_int_equal(SSL_write(ssl, rows[i / 2].head, (int)strlen(rows[i / 2].head)),
				 strlen(rows[i / 2].head));
		assert_int_equal(SSL_write(ssl, block, 1 << 23), 1 << 23);
		(void)tls_hear(ssl, text, sizeof(text));
		assert_status(text, rows[i / 2].status);
		assert_has(text, "Connection: close");
		/* The end is said in TLS as well. */
		assert_int_equal(SSL_get_error(ssl, SSL_read(ssl, text, 1)), SSL_ERROR_ZERO_RETURN);
		tls_end(ssl);
		EVENTUALLY(stats(&s).open == 0);
	}
	free(block);
	server_stop(&s);
}

/* At the most that is thrown away, or, if it is slow, the longest that the server waits for the
 * end. */
static void
who_sends_on_after_an_early_answer_is_cut_off(void **state)
{
	static const char head[] = "POST /echo HTTP/1.1\r\n" HOST
				   "Content-Length: 4000000000\r\n\r\n";
	enum { BLOCK = 1 << 20, MOST = 1 << 30 };
	char *block = calloc(1, BLOCK);
	struct server s;

	(void)state;
	begin(&s);
	for (int slow = 0; slow < 2; slow++) {
		SSL *ssl = tls_dial(&s, TLS1_3_VERSION, NULL);
		int sent = 0;

		assert_non_null(ssl);
		SSL_write(ssl, head, sizeof(head) - 1);
		while (sent < MOST && SSL_write(ssl, block, slow ? 1 : BLOCK) > 0) {
			sent += slow ? 1 : BLOCK;
			if (slow)
				usleep(1000);
		}
		ERR_clear_error();
		assert_in_range(sent, slow ? 100 : 8 * BLOCK, slow ? BLOCK : 256 * BLOCK);
		tls_end(ssl);
		EVENTUALLY(stats(&s).open == 0);
	}
	free(block);
	server_stop(&s);
}

static void
old_versions_and_other_protocols_are_refused(void **state)
{
	struct server s;
	SSL *ssl;
	int fd;

	(void)state;
	begin(&s);
	assert_null(tls_dial(&s, TLS1_1_VERSION, NULL));
	assert_null(tls_dial(&s, TLS1_3_VERSION, "\x02h2"));
	ssl = tls_dial(&s, TLS1_2_VERSION, NULL);
	assert_non_null(ssl);
	tls_end(ssl);
	fd = dial(s.port);
	say(fd, "GET / HTTP/1.1\r\n" HOST "\r\n");
	while (!is_closed(fd))
		continue;
	close(fd);
	EVENTUALLY(stats(&s).open == 0);
	server_stop(&s);
}

static void
a_tls_client_that_hangs_up_ends_its_wait(void **state)
{
	static const char wait[] = "GET /park?long=1 HTTP/1.1\r\n" HOST "\r\n";
	struct server s;

	(void)state;
	begin(&s);
	for (int polite = 0; polite < 2; polite++) {
		SSL *ssl = tls_dial(&s, TLS1_3_VERSION, NULL);

		assert_non_null(ssl);
		SSL_write(ssl, wait, sizeof(wait) - 1);
		EVENTUALLY(stats(&s).parked == 1);
		if (polite)
			SSL_shutdown(ssl);
		tls_end(ssl);
		EVENTUALLY(stats(&s).open == 0 && stats(&s).parked == 0);
	}
	server_stop(&s);
}

static void
a_reload_brings_the_new_certificate(void **state)
{
	struct server s;
	char name[64];
	X509 *x;
	SSL *ssl;

	(void)state;
	begin(&s);
	make_certificate("renewed");
	must(mx_http_reload(s.h, &s.o));
	ssl = tls_dial(&s, TLS1_3_VERSION, NULL);
	assert_non_null(ssl);
	x = SSL_get1_peer_certificate(ssl);
	X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, name, sizeof(name));
	assert_string_equal(name, "renewed");
	X509_free(x);
	tls_end(ssl);
	/* A bad one changes nothing. */
	s.o.tls_key = certificate;
	{
		mx_error *e = mx_http_reload(s.h, &s.o);

		assert_true(mx_error_is(e, MX_E_CONFIG));
		mx_error_free(&e);
	}
	ssl = tls_dial(&s, TLS1_3_VERSION, NULL);
	assert_non_null(ssl);
	tls_end(ssl);
	server_stop(&s);
}

static int
set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(certificate, sizeof(certificate), "%s/cert.pem", folder);
	(void)snprintf(key, sizeof(key), "%s/key.pem", folder);
	make_certificate("first");
	/* OpenSSL writes to sockets that are closed already. */
	(void)signal(SIGPIPE, SIG_IGN);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	unlink(certificate);
	unlink(key);
	return rmdir(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tls_carries_requests),
		cmocka_unit_test(tls_carries_uploads),
		cmocka_unit_test(an_early_answer_arrives),
		cmocka_unit_test(who_sends_on_after_an_early_answer_is_cut_off),
		cmocka_unit_test(old_versions_and_other_protocols_are_refused),
		cmocka_unit_test(a_tls_client_that_hangs_up_ends_its_wait),
		cmocka_unit_test(a_reload_brings_the_new_certificate),
	};

	return cmocka_run_group_tests_name("http tls", tests, set_up, tear_down);
}
