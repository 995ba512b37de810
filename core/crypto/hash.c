#include "config.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <sodium.h>

#include "core/crypto/sha1.h"

static const EVP_MD *sha256;

static void
find_sha256(void)
{
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);	/* once: looking it up costs as much as a small hash */
#else
	sha256 = EVP_sha256();
#endif
}

/* OpenSSL uses the processor's instructions for it and takes a fifth of libsodium's time;
 * libsodium's cannot fail, and is there where OpenSSL's configuration has no SHA-256. */
void
mx_sha256(const void *p, size_t n, unsigned char out[MX_SHA256_SIZE])
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	_Static_assert(MX_SHA256_SIZE == crypto_hash_sha256_BYTES, "the size of SHA-256");
	pthread_once(&once, find_sha256);
	if (sha256 == NULL || EVP_Digest(n != 0 ? p : "", n, out, NULL, sha256, NULL) != 1)
		crypto_hash_sha256(out, p, n);
}

bool
mx_sha1(const void *p, size_t n, unsigned char out[MX_SHA1_SIZE])
{
	return EVP_Digest(n != 0 ? p : "", n, out, NULL, EVP_sha1(), NULL) == 1;
}
