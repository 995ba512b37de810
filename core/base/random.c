#include "config.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/sodium.h"

static _Atomic(const struct mx_chance *) replacement;
static unsigned char hash_key[crypto_shorthash_KEYBYTES];
static atomic_bool ready;

static void
start(void)
{
	if (sodium_init() < 0)
		abort();	/* no source of randomness: nothing would be safe */
	randombytes_buf(hash_key, sizeof(hash_key));
	atomic_store_explicit(&ready, true, memory_order_release);
}

void
mx_sodium(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (!atomic_load_explicit(&ready, memory_order_acquire))
		pthread_once(&once, start);
}

void
mx_chance_replace(const struct mx_chance *chance)
{
	atomic_store(&replacement, chance);
}

void
mx_random(void *p, size_t n)
{
	const struct mx_chance *chance = atomic_load_explicit(&replacement, memory_order_acquire);

	if (chance != NULL) {
		chance->fill(chance->arg, p, n);
		return;
	}
	mx_sodium();
	randombytes_buf(p, n);
}

void
mx_random_text(char *out, size_t n)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	const unsigned count = sizeof(letters) - 1;
	unsigned char bytes[64];
	size_t have = 0;

	for (size_t i = 0; i < n;) {
		if (have == 0) {
			have = n - i < sizeof(bytes) ? n - i : sizeof(bytes);
			mx_random(bytes, have);
		}
		/* Bytes that would make the first letters likelier are thrown away. */
		if (bytes[--have] < 256 / count * count)
			out[i++] = letters[bytes[have] % count];
	}
	out[n] = '\0';
	sodium_memzero(bytes, sizeof(bytes));
}

uint64_t
mx_hash(const void *p, size_t n)
{
	uint64_t h;

	mx_sodium();
	_Static_assert(sizeof(h) == crypto_shorthash_BYTES, "SipHash makes 64 bits");
	crypto_shorthash((unsigned char *)&h, p, n, hash_key);
	return h;
}
