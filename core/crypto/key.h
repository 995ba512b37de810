/* The inside of a signing key. */
#ifndef CORE_CRYPTO_KEY_H
#define CORE_CRYPTO_KEY_H

#include <sodium.h>

#include <myelin/crypto.h>

#define MX_KEY_VERSION_MAX 100

/* In memory of libsodium's own: not swapped, not in core dumps, wiped when freed. */
struct mx_signing_key {
	char id[sizeof("ed25519:") + MX_KEY_VERSION_MAX];
	size_t id_size;
	unsigned char public[crypto_sign_PUBLICKEYBYTES];
	unsigned char secret[crypto_sign_SECRETKEYBYTES];	/* the seed, then the public key */
};

#endif
