#include "config.h"

#include <stdint.h>
#include <string.h>

#include "tests/sim/sha1.h"

static uint32_t
rotate(uint32_t x, int n)
{
	return x << n | x >> (32 - n);
}

static void
block(uint32_t h[5], const unsigned char *p)
{
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

	for (int t = 0; t < 16; t++)
		w[t] = (uint32_t)p[4 * t] << 24 | (uint32_t)p[4 * t + 1] << 16 |
		       (uint32_t)p[4 * t + 2] << 8 | p[4 * t + 3];
	for (int t = 16; t < 80; t++)
		w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
	for (int t = 0; t < 80; t++) {
		uint32_t f = t < 20   ? (b & c) | (~b & d)
			     : t < 40 ? b ^ c ^ d
			     : t < 60 ? (b & c) | (b & d) | (c & d)
				      : b ^ c ^ d;
		uint32_t k = t < 20   ? 0x5a827999U
			     : t < 40 ? 0x6ed9eba1U
			     : t < 60 ? 0x8f1bbcdcU
				      : 0xca62c1d6U;
		uint32_t next = rotate(a, 5) + f + e + k + w[t];

		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = next;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

void
sha1(const char *s, unsigned char out[20])
{
	uint32_t h[5] = { 0x67452301U, 0xefcdab89U, 0x98badcfeU, 0x10325476U, 0xc3d2e1f0U };
	size_t n = strlen(s), left = n % 64, pad = left < 56 ? 64 : 128;
	unsigned char last[128] = { 0 };

	for (size_t at = 0; at + 64 <= n; at += 64)
		block(h, (const unsigned char *)s + at);
	memcpy(last, s + n - left, left);
	last[left] = 0x80;
	for (int i = 0; i < 8; i++)
		last[pad - 1 - (size_t)i] = (unsigned char)((uint64_t)n * 8 >> 8 * i);
	for (size_t at = 0; at < pad; at += 64)
		block(h, last + at);
	for (int i = 0; i < 20; i++)
		out[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
}

int
sha1_compare(const char *a, const char *b)
{
	unsigned char x[20], y[20];

	sha1(a, x);
	sha1(b, y);
	return memcmp(x, y, sizeof(x));
}
