/* Hashes and signatures. Appendices, "Signing JSON"; Server-Server API, "Signing events". */
#ifndef MYELIN_CRYPTO_H
#define MYELIN_CRYPTO_H

#include <myelin/json.h>

#define MX_SHA256_SIZE 32
#define MX_ED25519_PUBLIC 32
#define MX_ED25519_SIGNATURE 64

MX_API void mx_sha256(const void *p, size_t n, unsigned char out[MX_SHA256_SIZE]);

/* The server's signing key: immutable once loaded, used by any thread. */
struct mx_signing_key;

/* Makes a new key with the version "a_" and four random characters. */
MX_API struct mx_signing_key *mx_signing_key_generate(void);
/* One line, "ed25519 VERSION SEED" with the seed in unpadded base64, as Synapse writes it. The file
 * must not be readable by others. Errors: MX_E_CONFIG. */
MX_API mx_error *mx_signing_key_load(const char *path, struct mx_signing_key **out) MX_MUST_USE;
/* Writes it with mode 0600; refuses to replace a file. */
MX_API mx_error *mx_signing_key_save(const struct mx_signing_key *k, const char *path) MX_MUST_USE;
/* From the text of such a line. */
MX_API mx_error *mx_signing_key_parse(mx_str line, struct mx_signing_key **out) MX_MUST_USE;
MX_API void mx_signing_key_free(struct mx_signing_key **k);
MX_API mx_str mx_signing_key_id(const struct mx_signing_key *k);	/* "ed25519:VERSION", borrowed */
MX_API void mx_signing_key_public(const struct mx_signing_key *k,
				  unsigned char out[MX_ED25519_PUBLIC]);
/* The signature of the bytes in unpadded base64: 86 characters and a NUL. */
MX_API void mx_sign_bytes(const struct mx_signing_key *k, mx_str bytes, char out[87]);
MX_API bool mx_verify_bytes(const unsigned char public_key[MX_ED25519_PUBLIC], mx_str bytes,
			    const unsigned char signature[MX_ED25519_SIGNATURE]);

/* Signs an object in place: adds signatures.server.key_id over its canonical form without
 * signatures and unsigned. strict as in mx_json_canonical, but 1.0 and 1e3 are refused: they would
 * leave as they are. */
MX_API mx_error *mx_sign_json(json_t *o, bool strict, mx_str server,
			      const struct mx_signing_key *k) MX_MUST_USE;
/* Whether o carries a valid signature of server by the key; MX_E_FORBIDDEN says what is wrong. */
MX_API mx_error *mx_verify_json(const json_t *o, bool strict, mx_str server, mx_str key_id,
				const unsigned char public_key[MX_ED25519_PUBLIC]) MX_MUST_USE;

static inline void mx_signing_key_auto(struct mx_signing_key **k) { mx_signing_key_free(k); }

#endif
