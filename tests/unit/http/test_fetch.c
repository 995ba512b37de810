#include "config.h"

#include "tests/unit/http/harness.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <pthread.h>

#include <myelin/fetch.h>

#include "core/http/fetch_internal.h"
#include "core/runtime/core.h"

/* The client for other servers against this server's own listener, and, for what that never does,
 * against a listener that says what a test has it say. */

static char folder[] = "/tmp/myelin-fetch-XXXXXX";
static char authority[64], certificate[64], key[64], wrong_certificate[64];

/* ---- certificates ---- */

static void
write_certificate(const char *path, X509 *x)
{
	FILE *f = fopen(path, "w");

	PEM_write_X509(f, x);
	fclose(f);
}

static X509 *
issue(const char *name, EVP_PKEY *of, X509 *issuer, EVP_PKEY *by, const char *alternative)
{
	X509 *x = X509_new();
	X509_EXTENSION *e;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), alternative != NULL ? 2 : 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, of);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(issuer != NULL ? issuer : x));
	e = X509V3_EXT_conf_nid(NULL, NULL,
				alternative != NULL ? NID_subject_alt_name : NID_basic_constraints,
				alternative != NULL ? alternative : "critical,CA:TRUE");
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	assert_true(X509_sign(x, by, EVP_sha256()) > 0);
	return x;
}

static void
make_certificates(void)
{
	EVP_PKEY *root = EVP_EC_gen("P-256"), *leaf = EVP_EC_gen("P-256");
	X509 *ca = issue("test authority", root, NULL, root, NULL), *x;
	FILE *f;

	write_certificate(authority, ca);
	x = issue("here", leaf, ca, root, "DNS:matrix.example,IP:127.0.0.1");
	write_certificate(certificate, x);
	X509_free(x);
	x = issue("elsewhere", leaf, ca, root, "DNS:elsewhere.example");
	write_certificate(wrong_certificate, x);
	X509_free(x);
	f = fopen(key, "w");
	PEM_write_PrivateKey(f, leaf, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_free(ca);
	EVP_PKEY_free(root);
	EVP_PKEY_free(leaf);
}

/* ---- the server that is asked ---- */

static _Atomic unsigned served;
static _Atomic bool gate;

static enum mx_outcome
describe(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);

	mx_buf_printf(b, "%.*s %.*s [", MX_SFMT(mx_request_method(rq)),
		      MX_SFMT(mx_request_path(rq)));
	mx_buf_str(b, mx_request_body(rq));
	mx_buf_printf(b, "] host=%.*s type=%.*s agent=%.*s x=%.*s",
		      MX_SFMT(mx_request_header(rq, "host")),
		      MX_SFMT(mx_request_header(rq, "content-type")),
		      MX_SFMT(mx_request_header(rq, "user-agent")),
		      MX_SFMT(mx_request_header(rq, "x-test")));
	mx_reply_header(rq, "X-Answer", MX_S(" two words "));
	atomic_fetch_add(&served, 1);
	return mx_reply_bytes(rq, 200, "text/plain", &b);
}

static enum mx_outcome
missing(struct mx_request *rq)
{
	return mx_reply_error(rq, mx_error_new(MX_E_NOT_FOUND, "not here"));
}

static enum mx_outcome
big(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);

	for (int i = 0; i < 1 << 18; i++)
		mx_buf_printf(b, "%07d\n", i);
	return mx_reply_bytes(rq, 200, "text/plain", &b);
}

static enum mx_outcome
size(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);
	uint64_t sum = 0;
	mx_str body = mx_request_body(rq);

	for (size_t i = 0; i < body.n; i++)
		sum = sum * 31 + (unsigned char)body.p[i];
	mx_buf_printf(b, "%zu %llu", body.n, (unsigned long long)sum);
	return mx_reply_bytes(rq, 200, "text/plain", &b);
}

static enum mx_outcome
moved(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);

	mx_buf_str(b, MX_S("this is not the body"));
	mx_reply_header(rq, "Location", mx_request_param(rq, "to"));
	return mx_reply_bytes(rq, 302, "text/plain", &b);
}

static enum mx_outcome
never(struct mx_request *rq)
{
	while (!atomic_load(&gate))
		usleep(1000);
	return mx_reply_empty(rq);
}

static const struct mx_route routes[] = {
	{ .method = "GET", .path = "/describe", .handler = describe },
	{ .method = "PUT", .path = "/describe", .handler = describe },
	{ .method = "POST", .path = "/describe", .handler = describe },
	{ .method = "GET", .path = "/missing", .handler = missing },
	{ .method = "GET", .path = "/big", .handler = big },
	{ .method = "PUT", .path = "/size", .handler = size, .body_limit = 64 << 20 },
	{ .method = "GET", .path = "/moved/{to*}", .handler = moved },
	{ .method = "GET", .path = "/never", .handler = never },
};

/* ---- a client and what it asks ---- */

struct fixture {
	struct server s;
	struct mx_fetch_options o;
	struct mx_core *core;
	struct mx_arena *arena;
	struct mx_fetch_response rs;
	char url[200];
};

static const char *const loopback[] = { "127.0.0.0/8" };

static void
client_init(struct fixture *t)
{
	memset(t, 0, sizeof(*t));
	test_options(mx_fetch_option_rows, mx_fetch_option_count, &t->o);
	t->o.deny_addresses = (struct mx_list){ loopback, 1 };
	t->o.allow_addresses = (struct mx_list){ loopback, 1 };
	t->o.ca_file = authority;
	t->core = mx_core_new("localhost");
	t->arena = mx_arena_new();
	t->rs.size = sizeof(t->rs);
	atomic_store(&served, 0);
	atomic_store(&gate, false);
}

static void
client_start(struct fixture *t)
{
	must(mx_fetcher_new(&t->o, &t->core->fetcher));
}

static void
begin(struct fixture *t)
{
	client_init(t);
	server_init(&t->s);
	server_start(&t->s, routes, COUNT(routes));
	client_start(t);
}

static void
begin_tls(struct fixture *t, const char *with)
{
	client_init(t);
	server_init(&t->s);
	t->s.words[0] = "tls:127.0.0.1:0";
	t->s.o.tls_certificate = with;
	t->s.o.tls_key = key;
	server_start(&t->s, routes, COUNT(routes));
	client_start(t);
}

static void
end_client(struct fixture *t)
{
	mx_fetcher_free(&t->core->fetcher);
	mx_arena_free(&t->arena);
	mx_core_free(&t->core);
}

static void
end(struct fixture *t)
{
	atomic_store(&gate, true);
	end_client(t);
	server_stop(&t->s);
}

static mx_str
url(struct fixture *t, const char *scheme, const char *path)
{
	(void)snprintf(t->url, sizeof(t->url), "%s://127.0.0.1:%u%s", scheme, t->s.port, path);
	return mx_str_of(t->url);
}

static mx_error *
fetch(struct fixture *t, struct mx_fetch_request rq)
{
	rq.size = sizeof(rq);
	return mx_fetch(t->core, &rq, t->arena, &t->rs);
}

static void
got(const struct fixture *t, int status, const char *text)
{
	assert_int_equal(t->rs.failure, MX_FETCH_OK);
	assert_int_equal(t->rs.status, status);
	if (!mx_str_eq(t->rs.body, mx_str_of(text)))
		fail_msg("got: %.*s", MX_SFMT(t->rs.body));
}

static void
failed(const struct fixture *t, mx_error *e, enum mx_code code, enum mx_fetch_failure failure,
       const char *words)
{
	assert_non_null(e);
	assert_has(mx_error_text(e), words);
	assert_int_equal(mx_error_code(e), code);
	assert_int_equal(t->rs.failure, failure);
	assert_int_equal(t->rs.status, 0);
	mx_error_free(&e);
}

/* ---- what is asked and answered ---- */

static void
requests_and_answers_arrive_whole(void **state)
{
	const struct mx_fetch_header headers[] = { { MX_S("X-Test"), MX_S("yes") },
						   { MX_S("Content-Type"), MX_S("text/x") },
						   { MX_S("Host"), MX_S("other.example") } };
	struct fixture t;
	char expected[200];

	(void)state;
	begin(&t);
	must(fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/describe") }));
	(void)snprintf(expected, sizeof(expected),
		       "GET /describe [] host=127.0.0.1:%u type= agent=Myelin/%s x=", t.s.port,
		       mx_version());
	got(&t, 200, expected);
	assert_true(mx_str_eq(mx_fetch_response_header(&t.rs, "x-answer"), MX_S("two words")));
	assert_null(mx_fetch_response_header(&t.rs, "x-other").p);
	assert_true(mx_str_eq(t.rs.url, mx_str_of(t.url)));
	must(fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/describe"),
						  .method = "PUT",
						  .body = MX_S("a\0b"),
						  .headers = headers,
						  .header_count = COUNT(headers) }));
	assert_int_equal(t.rs.status, 200);
	assert_non_null(memmem(t.rs.body.p, t.rs.body.n, "[a\0b] host=other.example type=text/x",
			       36));
	assert_non_null(memmem(t.rs.body.p, t.rs.body.n, " x=yes", 6));
	must(fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/describe"),
						  .method = "POST" }));
	assert_int_equal(t.rs.status, 200);
	must(fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/describe"),
						  .method = "HEAD" }));
	got(&t, 200, "");
	must(fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/missing") }));
	got(&t, 404, "{\"errcode\":\"M_NOT_FOUND\",\"error\":\"not here\"}");
	/* All went over one connection. */
	assert_int_equal(stats(&t.s).connections, 1);
	end(&t);
}

static void
wrong_requests_are_refused(void **state)
{
	static const char *const urls[] = { "ftp://127.0.0.1/", "file:///etc/passwd", "/describe", "",
					    "http://", "http://user:pw@127.0.0.1/",
					    "http://127.0.0.1/a b", "http://127.0.0.1:99999/",
					    "http://127.0.0.1/\r\nX: y" };
	static const struct mx_fetch_header bad[] = { { MX_S("X"), MX_S("a\r\nB: c") },
						      { MX_S("X Y"), MX_S("a") },
						      { MX_S(""), MX_S("a") },
						      { MX_S("X:"), MX_S("a") } };
	struct fixture t;

	(void)state;
	begin(&t);
	for (size_t i = 0; i < COUNT(urls); i++)
		failed(&t, fetch(&t, (struct mx_fetch_request){ .url = mx_str_of(urls[i]) }),
		       MX_E_INVALID_PARAM, MX_FETCH_REQUEST, "its URL");
	failed(&t, fetch(&t, (struct mx_fetch_request){ .url = MX_S("http://127.0.0.1\0.example/") }),
	       MX_E_INVALID_PARAM, MX_FETCH_REQUEST, "its URL");
	for (size_t i = 0; i < COUNT(bad); i++)
		failed(&t, fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/describe"),
								.headers = &bad[i],
								.header_count = 1 }),
		       MX_E_INVALID_PARAM, MX_FETCH_REQUEST, "a header");
	failed(&t, fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/describe"),
							.method = "GET / HTTP/1.1\r\nX:" }),
	       MX_E_INVALID_PARAM, MX_FETCH_REQUEST, "its method");
	failed(&t, fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/describe"),
							.body = MX_S("x") }),
	       MX_E_INVALID_PARAM, MX_FETCH_REQUEST, "must not have a body");
	failed(&t, fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/describe"),
							.method = "PUT",
							.flags = MX_FETCH_REDIRECTS }),
	       MX_E_INVALID_PARAM, MX_FETCH_REQUEST, "redirections");
	assert_int_equal(atomic_load(&served), 0);
	end(&t);
}

static void
redirections_are_followed_when_asked_for(void **state)
{
	struct fixture t;

	(void)state;
	begin(&t);
	must(fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/moved/%2Fdescribe") }));
	got(&t, 302, "this is not the body");
	must(fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/moved/%2Fdescribe"),
						  .flags = MX_FETCH_REDIRECTS }));
	assert_int_equal(t.rs.status, 200);
	assert_true(mx_str_starts(t.rs.body, MX_S("GET /describe")));
	assert_true(t.rs.url.n > 9 &&
		    memcmp(t.rs.url.p + t.rs.url.n - 9, "/describe", 9) == 0);
	assert_null(mx_fetch_response_header(&t.rs, "location").p);
	failed(&t, fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/moved/x"),
							.flags = MX_FETCH_REDIRECTS }),
	       MX_E_REMOTE, MX_FETCH_BROKEN, "redirects");
	failed(&t, fetch(&t, (struct mx_fetch_request){
				     .url = url(&t, "http", "/moved/file%3A%2F%2F%2Fetc%2Fpasswd"),
				     .flags = MX_FETCH_REDIRECTS }),
	       MX_E_REMOTE, MX_FETCH_BROKEN, "127.0.0.1: ");
	end(&t);
}

static void
answers_have_a_limit(void **state)
{
	struct fixture t;

	(void)state;
	begin(&t);
	must(fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/big"),
						  .limit = 8 << 18 }));
	assert_int_equal(t.rs.body.n, 8 << 18);
	failed(&t, fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/big"),
							.limit = (8 << 18) - 1 }),
	       MX_E_REMOTE, MX_FETCH_TOO_LARGE, "too large");
	must(fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/big"),
						  .method = "HEAD", .limit = 1 }));
	end(&t);
}

/* ---- bodies in pieces ---- */

struct pieces {
	size_t n, calls;
	uint64_t sum;
	int status;
	useconds_t pause;
	size_t fail_at;
};

static mx_error *
take_piece(void *arg, const struct mx_fetch_response *head, mx_str piece)
{
	struct pieces *p = arg;

	p->calls++;
	p->status = head->status;
	assert_non_null(mx_fetch_response_header(head, "content-length").p);
	for (size_t i = 0; i < piece.n; i++)
		p->sum = p->sum * 31 + (unsigned char)piece.p[i];
	p->n += piece.n;
	usleep(p->pause);
	if (p->fail_at != 0 && p->n >= p->fail_at)
		return mx_error_new(MX_E_BAD_JSON, "enough of this");
	return NULL;
}

static uint64_t
sum_of(const char *p, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum = sum * 31 + (unsigned char)p[i];
	return sum;
}

static void
an_answer_comes_in_pieces(void **state)
{
	struct pieces p = { 0 }, slow = { .pause = 2000 }, fails = { .fail_at = 1 };
	struct fixture t;
	uint64_t sum;

	(void)state;
	begin(&t);
	must(fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/big") }));
	sum = sum_of(t.rs.body.p, t.rs.body.n);
	must(fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/big"),
						  .piece = take_piece, .piece_arg = &p }));
	got(&t, 200, "");
	assert_int_equal(p.status, 200);
	assert_int_equal(p.n, 8 << 18);
	assert_true(p.sum == sum && p.calls > 1);
	/* Who takes them slowly has the sender wait: never more than the window at a time. */
	must(fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/big"),
						  .piece = take_piece, .piece_arg = &slow }));
	assert_true(slow.sum == sum);
	assert_true(slow.calls >= (8 << 18) / (MX_FETCH_WINDOW + 16384));
	failed(&t, fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/big"),
							.piece = take_piece, .piece_arg = &fails }),
	       MX_E_BAD_JSON, MX_FETCH_CALLER, "enough");
	/* A refusal is no part of the stream. */
	p.calls = 0;
	must(fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/missing"),
						  .piece = take_piece, .piece_arg = &p }));
	got(&t, 404, "{\"errcode\":\"M_NOT_FOUND\",\"error\":\"not here\"}");
	assert_int_equal(p.calls, 0);
	end(&t);
}

struct filling {
	size_t left, fail_at;
	uint64_t sum;
};

static mx_error *
fill(void *arg, char *out, size_t space, size_t *n)
{
	struct filling *f = arg;

	if (f->fail_at != 0 && f->left <= f->fail_at)
		return mx_error_new(MX_E_UNKNOWN, "the disk is gone");
	*n = f->left < space ? f->left : space;
	for (size_t i = 0; i < *n; i++) {
		out[i] = (char)('a' + (f->left - i) % 26);
		f->sum = f->sum * 31 + (unsigned char)out[i];
	}
	f->left -= *n;
	return NULL;
}

static void
a_body_is_sent_in_pieces(void **state)
{
	struct filling known = { .left = 3000000 }, unknown = { .left = 3000000 },
		       fails = { .left = 3000000, .fail_at = 2000000 };
	struct fixture t;
	char expected[64], path[80];
	int fd;

	(void)state;
	begin(&t);
	must(fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/size"), .method = "PUT",
						  .fill = fill, .fill_arg = &known,
						  .fill_size = 3000000 }));
	(void)snprintf(expected, sizeof(expected), "3000000 %llu", (unsigned long long)known.sum);
	got(&t, 200, expected);
	must(fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/size"), .method = "PUT",
						  .fill = fill, .fill_arg = &unknown,
						  .fill_size = -1 }));
	got(&t, 200, expected);
	failed(&t, fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/size"),
							.method = "PUT", .fill = fill,
							.fill_arg = &fails,
							.fill_size = 3000000 }),
	       MX_E_UNKNOWN, MX_FETCH_CALLER, "the disk is gone");
	(void)snprintf(path, sizeof(path), "%s/body", folder);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, "abc", 3), 3);
	assert_int_equal(lseek(fd, 1, SEEK_SET), 1);
	must(fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/size"), .method = "PUT",
						  .fill = mx_fetch_fill_file, .fill_arg = &fd,
						  .fill_size = 2 }));
	(void)snprintf(expected, sizeof(expected), "2 %llu", (unsigned long long)sum_of("bc", 2));
	got(&t, 200, expected);
	close(fd);
	unlink(path);
	end(&t);
}

/* ---- TLS ---- */

static void
certificates_are_checked(void **state)
{
	struct fixture t;
	char place[40];

	(void)state;
	begin_tls(&t, certificate);
	must(fetch(&t, (struct mx_fetch_request){ .url = url(&t, "https", "/describe") }));
	assert_int_equal(t.rs.status, 200);
	/* The name is the URL's, wherever it leads. */
	(void)snprintf(place, sizeof(place), "127.0.0.1:%u", t.s.port);
	must(fetch(&t, (struct mx_fetch_request){ .url = MX_S("https://matrix.example/describe"),
						  .connect_to = mx_str_of(place) }));
	assert_int_equal(t.rs.status, 200);
	assert_non_null(memmem(t.rs.body.p, t.rs.body.n, "host=matrix.example ", 20));
	failed(&t, fetch(&t, (struct mx_fetch_request){ .url = MX_S("https://evil.example/describe"),
							.connect_to = mx_str_of(place) }),
	       MX_E_REMOTE, MX_FETCH_TLS, "evil.example: ");
	failed(&t, fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/describe") }),
	       MX_E_REMOTE, MX_FETCH_BROKEN, "127.0.0.1: ");
	assert_int_equal(atomic_load(&served), 2);
	end(&t);
	begin_tls(&t, wrong_certificate);
	failed(&t, fetch(&t, (struct mx_fetch_request){ .url = url(&t, "https", "/describe") }),
	       MX_E_REMOTE, MX_FETCH_TLS, "127.0.0.1: ");
	end(&t);
	/* Without the authority nobody is trusted. */
	begin_tls(&t, certificate);
	mx_fetcher_free(&t.core->fetcher);
	t.o.ca_file = NULL;
	client_start(&t);
	failed(&t, fetch(&t, (struct mx_fetch_request){ .url = url(&t, "https", "/describe") }),
	       MX_E_REMOTE, MX_FETCH_TLS, "certificate");
	assert_int_equal(atomic_load(&served), 0);
	end(&t);
}

/* ---- addresses ---- */

static void
denied_addresses_are_not_connected_to(void **state)
{
	static const char *const hosts[] = { "127.0.0.1", "localhost", "2130706433", "0x7f.1",
					     "[::ffff:127.0.0.1]" };
	struct fixture t;
	char address[100];

	(void)state;
	begin(&t);
	mx_fetcher_free(&t.core->fetcher);
	t.o.allow_addresses.n = 0;
	client_start(&t);
	for (size_t i = 0; i < COUNT(hosts); i++) {
		(void)snprintf(address, sizeof(address), "http://%s:%u/describe", hosts[i],
			       t.s.port);
		/* ::1 answers nobody here, and 127.0.0.1 is the only other address. */
		failed(&t, fetch(&t, (struct mx_fetch_request){ .url = mx_str_of(address) }),
		       MX_E_REMOTE, MX_FETCH_DENIED, "deny_addresses");
	}
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", t.s.port);
	failed(&t, fetch(&t, (struct mx_fetch_request){ .url = MX_S("http://matrix.example/"),
							.connect_to = mx_str_of(address) }),
	       MX_E_REMOTE, MX_FETCH_DENIED, "deny_addresses");
	assert_int_equal(stats(&t.s).connections, 0);
	end(&t);
}

/* What stands as the default of a list. */
static struct mx_list
default_words(const char *name, const char *words[64], char text[1024])
{
	struct mx_list list = { words, 0 };
	char *rest = text, *word;

	for (size_t i = 0; i < mx_fetch_option_count; i++)
		if (strcmp(mx_fetch_option_rows[i].name, name) == 0)
			(void)snprintf(text, 1024, "%s", mx_fetch_option_rows[i].def);
	while ((word = strtok_r(rest, ", ", &rest)) != NULL)
		words[list.n++] = word;
	assert_in_range(list.n, 20, 63);
	return list;
}

static void
special_addresses_are_denied_unless_allowed(void **state)
{
	static const struct {
		const char *address;
		bool allowed;
	} rows[] = {
		{ "127.0.0.1", false },	      { "127.255.0.9", false },
		{ "10.1.2.3", false },	      { "172.16.0.1", false },
		{ "172.32.0.1", true },	      { "192.168.1.1", false },
		{ "192.169.1.1", true },      { "169.254.169.254", false },
		{ "100.64.0.1", false },      { "100.128.0.1", true },
		{ "0.0.0.0", false },	      { "224.0.0.1", false },
		{ "255.255.255.255", false }, { "198.18.0.1", false },
		{ "8.8.8.8", true },	      { "::", false },
		{ "::1", false },	      { "::ffff:10.0.0.1", false },
		{ "::ffff:8.8.8.8", true },   { "fe80::1", false },
		{ "fd00::1", false },	      { "ff02::1", false },
		{ "2001:db8::1", false },     { "2002:7f00:1::", false },
		{ "2001::1", false },	      { "64:ff9b::7f00:1", false },
		{ "64:ff9b::808:808", true }, { "2a00:1450::1", true },
		{ "10.9.0.1", true },
	};
	static const char *const allow[] = { "10.9.0.0/16" };
	const char *words[64];
	char text[1024];
	struct fixture t;

	(void)state;
	client_init(&t);
	t.o.deny_addresses = default_words("deny_addresses", words, text);
	t.o.allow_addresses = (struct mx_list){ allow, 1 };
	client_start(&t);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct mx_address a;

		assert_true(mx_address_parse(mx_str_of(rows[i].address), &a));
		if (mx_fetch_allows(t.core->fetcher, &a) != rows[i].allowed)
			fail_msg("%s", rows[i].address);
	}
	end_client(&t);
}

/* ---- what goes wrong ---- */

/* A listener that takes one connection, reads the head of a request, and says a text. */
struct scripted {
	int fd;
	uint16_t port;
	pthread_t thread;
	const char *text;
	bool hold;		/* keeps the connection open until the client has gone */
	char heard[4096];
};

static void *
play(void *arg)
{
	struct scripted *s = arg;
	int fd = accept(s->fd, NULL, NULL);
	size_t n = 0;

	while (n < sizeof(s->heard) - 1 && strstr(s->heard, "\r\n\r\n") == NULL) {
		ssize_t got = recv(fd, s->heard + n, sizeof(s->heard) - 1 - n, 0);

		if (got <= 0)
			break;
		n += (size_t)got;
		s->heard[n] = 0;
	}
	if (s->text[0] != 0)
		(void)send(fd, s->text, strlen(s->text), MSG_NOSIGNAL);
	if (s->hold)
		(void)recv(fd, s->heard + n, 1, 0);
	close(fd);
	return NULL;
}

static void
script(struct scripted *s, const char *text, bool hold)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(in);

	memset(s, 0, sizeof(*s));
	s->text = text;
	s->hold = hold;
	s->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&in, n), 0);
	assert_int_equal(listen(s->fd, 1), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&in, &n), 0);
	s->port = ntohs(in.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, play, s), 0);
}

static void
script_end(struct scripted *s)
{
	pthread_join(s->thread, NULL);
	close(s->fd);
}

static void
nonsense_is_told_from_answers(void **state)
{
	static const struct {
		const char *text;
		enum mx_fetch_failure failure;
	} rows[] = {
		{ "", MX_FETCH_BROKEN },
		{ "SSH-2.0-OpenSSH\r\n", MX_FETCH_BROKEN },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", MX_FETCH_BROKEN },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		  MX_FETCH_BROKEN },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", MX_FETCH_BROKEN },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", MX_FETCH_TOO_LARGE },
	};
	struct scripted peer;
	struct fixture t;

	(void)state;
	client_init(&t);
	client_start(&t);
	for (size_t i = 0; i < COUNT(rows); i++) {
		script(&peer, rows[i].text, false);
		t.s.port = peer.port;
		failed(&t, fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/") }),
		       MX_E_REMOTE, rows[i].failure, "127.0.0.1: ");
		script_end(&peer);
	}
	/* A preliminary answer and a trailer are no part of what is handed over. */
	script(&peer,
	       "HTTP/1.1 103 Early Hints\r\nX-One: 1\r\n\r\nHTTP/1.1 200 OK\r\nX-Two: 2\r\n"
	       "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\nX-Three: 3\r\n\r\n",
	       false);
	t.s.port = peer.port;
	must(fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/") }));
	got(&t, 200, "abcde");
	assert_null(mx_fetch_response_header(&t.rs, "x-one").p);
	assert_null(mx_fetch_response_header(&t.rs, "x-three").p);
	assert_true(mx_str_eq(mx_fetch_response_header(&t.rs, "x-two"), MX_S("2")));
	script_end(&peer);
	end_client(&t);
}

static void
who_is_too_slow_is_left(void **state)
{
	struct scripted peer;
	struct fixture t;

	(void)state;
	client_init(&t);
	client_start(&t);
	script(&peer, "", true);
	t.s.port = peer.port;
	failed(&t, fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/"), .timeout = 50 }),
	       MX_E_REMOTE, MX_FETCH_TIMEOUT, "timed out");
	script_end(&peer);
	script(&peer, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", true);
	t.s.port = peer.port;
	failed(&t, fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/"),
							.stall_timeout = 1 }),
	       MX_E_REMOTE, MX_FETCH_TIMEOUT, "too slow");
	script_end(&peer);
	end_client(&t);
}

static void
who_is_not_there_is_named(void **state)
{
	struct scripted peer;
	struct fixture t;

	(void)state;
	client_init(&t);
	client_start(&t);
	script(&peer, "", false);
	close(dial(peer.port));
	script_end(&peer);
	t.s.port = peer.port;
	failed(&t, fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/") }), MX_E_REMOTE,
	       MX_FETCH_CONNECT, "127.0.0.1: ");
	failed(&t, fetch(&t, (struct mx_fetch_request){ .url = MX_S("http://nowhere.invalid/") }),
	       MX_E_REMOTE, MX_FETCH_NAME, "nowhere.invalid: ");
	end_client(&t);
}

static void
http2_is_offered(void **state)
{
	struct scripted peer;
	struct fixture t;

	(void)state;
	client_init(&t);
	client_start(&t);
	script(&peer, "", false);
	t.s.port = peer.port;
	{
		mx_error *e = fetch(&t, (struct mx_fetch_request){ .url = url(&t, "https", "/") });

		assert_true(mx_error_is(e, MX_E_REMOTE));
		mx_error_free(&e);
	}
	script_end(&peer);
	/* The ALPN extension of the hello. */
	assert_non_null(memmem(peer.heard, sizeof(peer.heard), "\x02h2\x08http/1.1", 12));
	end_client(&t);
}

/* ---- many at a time, and the end ---- */

struct caller {
	struct fixture *t;
	pthread_t thread;
	const char *path;
	enum mx_fetch_failure failure;
	int status;
	size_t n;
};

static void *
call(void *arg)
{
	struct caller *c = arg;
	struct mx_arena *arena = mx_arena_new();
	struct mx_fetch_response rs = { .size = sizeof(rs) };
	char text[100];
	struct mx_fetch_request rq = { .size = sizeof(rq) };
	mx_error *e;

	(void)snprintf(text, sizeof(text), "http://127.0.0.1:%u%s", c->t->s.port, c->path);
	rq.url = mx_str_of(text);
	e = mx_fetch(c->t->core, &rq, arena, &rs);
	c->failure = rs.failure;
	c->status = rs.status;
	c->n = rs.body.n;
	mx_error_free(&e);
	mx_arena_free(&arena);
	return NULL;
}

static size_t
under_way(struct fixture *t)
{
	struct mx_fetch_stats st;

	mx_fetcher_stats(t->core->fetcher, &st);
	return st.active;
}

static void
many_share_few_connections(void **state)
{
	struct caller callers[24];
	struct fixture t;

	(void)state;
	begin(&t);
	mx_fetcher_free(&t.core->fetcher);
	t.o.connections_per_host = 3;
	client_start(&t);
	for (size_t i = 0; i < COUNT(callers); i++) {
		callers[i] = (struct caller){ .t = &t, .path = i % 2 ? "/big" : "/describe" };
		pthread_create(&callers[i].thread, NULL, call, &callers[i]);
	}
	for (size_t i = 0; i < COUNT(callers); i++) {
		pthread_join(callers[i].thread, NULL);
		assert_int_equal(callers[i].status, 200);
		assert_true(i % 2 == 0 || callers[i].n == 8 << 18);
	}
	assert_true(stats(&t.s).connections <= 3);
	end(&t);
}

static void
the_end_ends_what_is_under_way(void **state)
{
	struct caller callers[3];
	struct fixture t;

	(void)state;
	begin(&t);
	for (size_t i = 0; i < COUNT(callers); i++) {
		callers[i] = (struct caller){ .t = &t, .path = "/never" };
		pthread_create(&callers[i].thread, NULL, call, &callers[i]);
	}
	EVENTUALLY(stats(&t.s).active == COUNT(callers) && under_way(&t) == COUNT(callers));
	mx_fetcher_abort(t.core->fetcher);
	for (size_t i = 0; i < COUNT(callers); i++) {
		pthread_join(callers[i].thread, NULL);
		assert_int_equal(callers[i].failure, MX_FETCH_STOPPED);
	}
	failed(&t, fetch(&t, (struct mx_fetch_request){ .url = url(&t, "http", "/describe") }),
	       MX_E_UNAVAILABLE, MX_FETCH_STOPPED, "shutting down");
	end(&t);
}

static void
mistakes_in_the_options_are_named(void **state)
{
	static const char *const words[] = { "10.0.0.0/99" };
	struct fixture t;
	mx_error *e;

	(void)state;
	client_init(&t);
	t.o.ca_file = "/nowhere/ca.pem";
	e = mx_fetcher_new(&t.o, &t.core->fetcher);
	assert_true(mx_error_is(e, MX_E_CONFIG));
	assert_has(mx_error_text(e), "[fetch] ca_file /nowhere/ca.pem");
	mx_error_free(&e);
	t.o.ca_file = NULL;
	t.o.deny_addresses = (struct mx_list){ words, 1 };
	e = mx_fetcher_new(&t.o, &t.core->fetcher);
	assert_true(mx_error_is(e, MX_E_CONFIG));
	assert_has(mx_error_text(e), "[fetch] deny_addresses: \"10.0.0.0/99\"");
	mx_error_free(&e);
	end_client(&t);
}

static int
set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(authority, sizeof(authority), "%s/ca.pem", folder);
	(void)snprintf(certificate, sizeof(certificate), "%s/cert.pem", folder);
	(void)snprintf(wrong_certificate, sizeof(wrong_certificate), "%s/wrong.pem", folder);
	(void)snprintf(key, sizeof(key), "%s/key.pem", folder);
	make_certificates();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	unlink(authority);
	unlink(certificate);
	unlink(wrong_certificate);
	unlink(key);
	return rmdir(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_and_answers_arrive_whole),
		cmocka_unit_test(wrong_requests_are_refused),
		cmocka_unit_test(redirections_are_followed_when_asked_for),
		cmocka_unit_test(answers_have_a_limit),
		cmocka_unit_test(an_answer_comes_in_pieces),
		cmocka_unit_test(a_body_is_sent_in_pieces),
		cmocka_unit_test(certificates_are_checked),
		cmocka_unit_test(denied_addresses_are_not_connected_to),
		cmocka_unit_test(special_addresses_are_denied_unless_allowed),
		cmocka_unit_test(nonsense_is_told_from_answers),
		cmocka_unit_test(who_is_too_slow_is_left),
		cmocka_unit_test(who_is_not_there_is_named),
		cmocka_unit_test(http2_is_offered),
		cmocka_unit_test(many_share_few_connections),
		cmocka_unit_test(the_end_ends_what_is_under_way),
		cmocka_unit_test(mistakes_in_the_options_are_named),
	};

	return cmocka_run_group_tests_name("fetch", tests, set_up, tear_down);
}
