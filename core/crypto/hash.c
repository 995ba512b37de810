#include "config.h"

#include <sodium.h>

#include <myelin/crypto.h>

void
mx_sha256(const void *p, size_t n, unsigned char out[MX_SHA256_SIZE])
{
	_Static_assert(MX_SHA256_SIZE == crypto_hash_sha256_BYTES, "the size of SHA-256");
	crypto_hash_sha256(out, p, n);
}
