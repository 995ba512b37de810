#include "config.h"

#include <stdlib.h>

#include "core/base/buf.h"
#include "core/base/encode.h"
#include "core/base/sodium.h"
#include "core/crypto/key.h"
#include "core/json/json.h"

static const char *const unsigned_members[] = { "signatures", "unsigned" };

void
mx_sign_bytes(const struct mx_signing_key *k, mx_str bytes, char out[87])
{
	unsigned char signature[crypto_sign_BYTES];

	crypto_sign_detached(signature, NULL, (const unsigned char *)bytes.p, bytes.n, k->secret);
	sodium_bin2base64(out, 87, signature, sizeof(signature),
			  sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
}

bool
mx_verify_bytes(const unsigned char public_key[MX_ED25519_PUBLIC], mx_str bytes,
		const unsigned char signature[MX_ED25519_SIGNATURE])
{
	mx_sodium();
	return crypto_sign_verify_detached(signature, (const unsigned char *)bytes.p, bytes.n,
					   public_key) == 0;
}

/* o[key], made when it is absent. */
static mx_error *
object_in(json_t *o, const char *key, json_t **out)
{
	*out = NULL;
	MX_TRY(mx_json_opt_object(o, key, out));
	if (*out != NULL)
		return NULL;
	*out = json_object();
	if (json_object_set_new(o, key, *out) != 0)
		return mx_error_new(MX_E_BAD_JSON, "the name of a signature is not text");
	return NULL;
}

static mx_error *
add_signature(json_t *o, const char *server, const char *key_id, const char *signature)
{
	json_t *signatures, *own;

	MX_TRY(object_in(o, "signatures", &signatures));
	MX_TRY(object_in(signatures, server, &own));
	json_object_set_new(own, key_id, json_string(signature));
	return NULL;
}

/* What is signed is the canonical form, where 1.0 is 1; what others get is the object, and they
 * need not take the one for the other. */
static mx_error *
check_integers(const json_t *o)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)o, key, value)
		if (strcmp(key, "signatures") != 0 && strcmp(key, "unsigned") != 0)
			MX_TRY(mx_json_check_integers(value, MX_JSON_DEPTH));
	return NULL;
}

mx_error *
mx_sign_json(json_t *o, bool strict, mx_str server, const struct mx_signing_key *k)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	char signature[87];
	char *name;
	mx_error *e;

	if (strict)
		MX_TRY(check_integers(o));
	MX_TRY(mx_json_canonical_except(o, strict, unsigned_members, 2, b));
	if (server.n == 0 || memchr(server.p, '\0', server.n) != NULL || !mx_str_utf8(server))
		return mx_error_new(MX_E_BAD_JSON, "the name of who signs is not text");
	mx_sign_bytes(k, mx_buf_view(b), signature);
	name = mx_str_dup(server);
	e = add_signature(o, name, k->id, signature);
	free(name);
	return e;
}

/* The member of an object whose name is not NUL-terminated, or NULL. */
static json_t *
member(const json_t *o, mx_str key)
{
	json_t *v;
	char *name;

	if (key.n != 0 && memchr(key.p, '\0', key.n) != NULL)
		return NULL;
	name = mx_str_dup(key);
	v = json_object_get(o, name);
	free(name);
	return v;
}

mx_error *
mx_verify_json(const json_t *o, bool strict, mx_str server, mx_str key_id,
	       const unsigned char public_key[MX_ED25519_PUBLIC])
{
	MX_AUTO(mx_buf) *signature = mx_buf_new(128);
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	const json_t *own = member(json_object_get(o, "signatures"), server),
		     *v = member(own, key_id);
	mx_error *e;

	if (own == NULL)
		return mx_error_new(MX_E_FORBIDDEN, "not signed by %.*s", MX_SFMT(server));
	if (!mx_str_starts(key_id, MX_S("ed25519:")))
		return mx_error_new(MX_E_FORBIDDEN, "%.*s is of an algorithm that is not known",
				    MX_SFMT(key_id));
	if (v == NULL)
		return mx_error_new(MX_E_FORBIDDEN, "not signed by %.*s with %.*s", MX_SFMT(server),
				    MX_SFMT(key_id));
	if (!json_is_string(v) ||
	    !mx_base64_decode_lax(signature,
				  (mx_str){ json_string_value(v), json_string_length(v) }) ||
	    mx_buf_view(signature).n != MX_ED25519_SIGNATURE)
		return mx_error_new(MX_E_FORBIDDEN,
				    "the signature of %.*s with %.*s is not 64 bytes in base64",
				    MX_SFMT(server), MX_SFMT(key_id));
	e = mx_json_canonical_except(o, strict, unsigned_members, 2, b);
	if (e != NULL) {
		mx_error *forbidden =
			mx_error_new(MX_E_FORBIDDEN, "what was signed has no canonical form: %s",
				     mx_error_text(e));

		mx_error_free(&e);
		return forbidden;
	}
	if (!mx_verify_bytes(public_key, mx_buf_view(b),
			     (const unsigned char *)mx_buf_view(signature).p))
		return mx_error_new(MX_E_FORBIDDEN, "the signature of %.*s with %.*s is wrong",
				    MX_SFMT(server), MX_SFMT(key_id));
	return NULL;
}
