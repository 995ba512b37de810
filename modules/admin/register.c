/* Registration by who knows a secret of the operator: Synapse's "Register Users" of the admin API.
 *
 * A nonce is a moment and a signature by the secret, so that it needs no memory and any process of
 * the server knows it. It is good for a minute, and once: the newest that were used are remembered.
 */
#include "config.h"

#include "admin.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdlib.h>

enum { SHA1_SIZE = 20, USED_MAX = 4096, NONCE_BYTES = 16, NONCE_SIGNATURE = 16, NONCE_MS = 60000 };

struct nonces {
	pthread_mutex_t lock;
	uint64_t used[USED_MAX];	/* a ring */
	size_t next;
};

struct nonces *
nonces_new(void)
{
	struct nonces *n = mx_alloc(sizeof(*n));

	pthread_mutex_init(&n->lock, NULL);
	return n;
}

void
nonces_free(struct nonces **n)
{
	if (*n == NULL)
		return;
	pthread_mutex_destroy(&(*n)->lock);
	free(*n);
	*n = NULL;
}

/* True the first time it is asked about this nonce. */
static bool
nonce_take(struct nonces *n, mx_str nonce)
{
	uint64_t h = mx_hash(nonce.p, nonce.n) | 1;
	bool fresh = true;

	pthread_mutex_lock(&n->lock);
	for (size_t i = 0; i < USED_MAX && fresh; i++)
		fresh = n->used[i] != h;
	if (fresh)
		n->used[n->next++ % USED_MAX] = h;
	pthread_mutex_unlock(&n->lock);
	return fresh;
}

static void
hmac(const EVP_MD *md, const char *secret, const void *p, size_t n, unsigned char *out)
{
	unsigned int size;

	HMAC(md, secret, (int)strlen(secret), p, n, out, &size);
}

/* bytes: the moment, then randomness. */
static void
nonce_write(const char *secret, const unsigned char bytes[NONCE_BYTES], struct mx_buf *b)
{
	unsigned char mac[EVP_MAX_MD_SIZE];

	hmac(EVP_sha256(), secret, bytes, NONCE_BYTES, mac);
	mx_hex(b, bytes, NONCE_BYTES);
	mx_hex(b, mac, NONCE_SIGNATURE);
}

static bool
unhex(mx_str s, unsigned char *out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned v = 0;

		for (size_t k = 2 * i; k < 2 * i + 2; k++) {
			char ch = k < s.n ? s.p[k] : 'x';

			if (ch >= '0' && ch <= '9')
				v = v * 16 + (unsigned)(ch - '0');
			else if (ch >= 'a' && ch <= 'f')
				v = v * 16 + (unsigned)(ch - 'a') + 10;
			else
				return false;
		}
		out[i] = (unsigned char)v;
	}
	return true;
}

static bool
nonce_valid(const char *secret, mx_str nonce)
{
	unsigned char bytes[NONCE_BYTES];
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	mx_msec when;

	if (!unhex(nonce, bytes, NONCE_BYTES))
		return false;
	nonce_write(secret, bytes, b);
	mx_str mine = mx_buf_view(b);
	if (mine.n != nonce.n || CRYPTO_memcmp(mine.p, nonce.p, mine.n) != 0)
		return false;
	memcpy(&when, bytes, sizeof(when));
	return mx_now() - when < NONCE_MS;
}

static mx_error *
enabled(struct mx_request *rq, const char **secret)
{
	const struct admin_options *o = mx_self_options(mx_request_self(rq));

	if (o->registration_shared_secret == NULL || o->registration_shared_secret[0] == '\0')
		return mx_error_new(MX_E_BAD_REQUEST,
				    "Shared-secret registration is not configured");
	*secret = o->registration_shared_secret;
	return NULL;
}

enum mx_outcome
admin_nonce(struct mx_request *rq)
{
	unsigned char bytes[NONCE_BYTES];
	mx_msec now = mx_now();
	const char *secret = NULL;
	mx_error *e = enabled(rq, &secret);

	if (e != NULL)
		return mx_reply_error(rq, e);
	memcpy(bytes, &now, sizeof(now));
	mx_random(bytes + sizeof(now), NONCE_BYTES - sizeof(now));
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	nonce_write(secret, bytes, b);
	return mx_reply_json(rq, 200, json_pack("{s:s}", "nonce", mx_buf_cstr(b)));
}

/* As everywhere: names are asked for in capitals and made without. The mac is over what was asked.
 */
static mx_str
lower(struct mx_arena *a, mx_str s)
{
	mx_str copy = mx_arena_str(a, s);

	for (size_t i = 0; i < copy.n; i++)
		if (copy.p[i] >= 'A' && copy.p[i] <= 'Z')
			((char *)(uintptr_t)copy.p)[i] = (char)(copy.p[i] - 'A' + 'a');
	return copy;
}

struct asked {
	mx_str nonce, username, password, mac, user_type, displayname;
	bool admin, inhibit_login;
};

static mx_error *
read_body(struct mx_request *rq, struct asked *a)
{
	json_t *body;

	*a = (struct asked){ 0 };
	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(mx_json_get_str(body, "nonce", &a->nonce));
	MX_TRY(mx_json_get_str(body, "username", &a->username));
	MX_TRY(mx_json_get_str(body, "password", &a->password));
	MX_TRY(mx_json_get_str(body, "mac", &a->mac));
	MX_TRY(mx_json_opt_bool(body, "admin", &a->admin));
	if (!json_is_null(json_object_get(body, "user_type")))
		MX_TRY(mx_json_opt_str(body, "user_type", &a->user_type));
	if (!json_is_null(json_object_get(body, "displayname")))
		MX_TRY(mx_json_opt_str(body, "displayname", &a->displayname));
	return mx_json_opt_bool(body, "inhibit_login", &a->inhibit_login);
}

static bool
mac_right(const char *secret, const struct asked *a)
{
	unsigned char mac[EVP_MAX_MD_SIZE], given[SHA1_SIZE];
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	mx_buf_str(b, a->nonce);
	mx_buf_byte(b, '\0');
	mx_buf_str(b, a->username);
	mx_buf_byte(b, '\0');
	mx_buf_str(b, a->password);
	mx_buf_byte(b, '\0');
	mx_buf_str(b, a->admin ? MX_S("admin") : MX_S("notadmin"));
	if (a->user_type.n > 0) {
		mx_buf_byte(b, '\0');
		mx_buf_str(b, a->user_type);
	}
	mx_str text = mx_buf_view(b);
	hmac(EVP_sha1(), secret, text.p, text.n, mac);
	return a->mac.n == 2 * SHA1_SIZE && unhex(a->mac, given, SHA1_SIZE) &&
	       CRYPTO_memcmp(mac, given, SHA1_SIZE) == 0;
}

static mx_error *
allowed(struct mx_request *rq, const struct asked *a)
{
	struct nonces *used = mx_self_state(mx_request_self(rq));
	const char *secret = NULL;

	MX_TRY(enabled(rq, &secret));
	if (!nonce_valid(secret, a->nonce))
		return mx_error_new(MX_E_BAD_REQUEST, "unrecognised nonce: get a new one");
	if (!mac_right(secret, a))
		return mx_error_new(MX_E_FORBIDDEN, "HMAC incorrect");
	if (!nonce_take(used, a->nonce))
		return mx_error_new(MX_E_BAD_REQUEST, "unrecognised nonce: it was used before");
	return NULL;
}

static mx_error *
make(struct mx_request *rq, json_t **answer)
{
	struct mx_core *core = mx_request_core(rq);
	struct mx_session s = { 0 };
	struct mx_new_session n = { 0 };
	struct asked a;
	mx_nid user;

	MX_TRY(read_body(rq, &a));
	MX_TRY(allowed(rq, &a));
	a.username = lower(mx_request_arena(rq), a.username);
	struct mx_new_user u = { .localpart = a.username,
				 .password = a.password,
				 .admin = a.admin };
	if (a.password.n == 0)
		return mx_error_new(MX_E_INVALID_PARAM, "The password is empty");
	/* Spares the hash of a name that is taken. */
	MX_TRY(mx_user_available(mx_core_accounts(core), mx_request_conn(rq), a.username));
	MX_TRY(mx_user_register(mx_core_accounts(core), &u, a.inhibit_login ? NULL : &n,
				mx_request_arena(rq), &user, &s));
	mx_str server = mx_core_server_name(core);
	mx_str user_id = mx_arena_printf(mx_request_arena(rq), "@%.*s:%.*s", MX_SFMT(a.username),
					 MX_SFMT(server));
	if (a.displayname.n > 0)
		MX_TRY(admin_set_displayname(rq, user, user_id, a.displayname));
	*answer = json_object();
	json_object_set_new(*answer, "user_id", admin_json_of(user_id));
	json_object_set_new(*answer, "home_server", admin_json_of(server));
	if (!a.inhibit_login) {
		json_object_set_new(*answer, "access_token", admin_json_of(s.access_token));
		json_object_set_new(*answer, "device_id", admin_json_of(s.device_id));
	}
	return NULL;
}

enum mx_outcome
admin_register(struct mx_request *rq)
{
	json_t *answer = NULL;
	mx_error *e = make(rq, &answer);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_json(rq, 200, answer);
}
