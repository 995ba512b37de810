/* SHA-1, which rooms of the first version break ties with. It protects nothing here. */
#ifndef CORE_CRYPTO_SHA1_H
#define CORE_CRYPTO_SHA1_H

#include <myelin/crypto.h>

#define MX_SHA1_SIZE 20

/* False where OpenSSL's configuration has no SHA-1. */
bool mx_sha1(const void *p, size_t n, unsigned char out[MX_SHA1_SIZE]) MX_MUST_USE;

#endif
