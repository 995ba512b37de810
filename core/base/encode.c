#include "config.h"

#include "core/base/buf.h"
#include "core/base/encode.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void
encode(struct mx_buf *b, const unsigned char *p, size_t n, const char *letters)
{
	size_t size = n / 3 * 4 + (n % 3 != 0 ? n % 3 + 1 : 0);
	char *to = n <= SIZE_MAX / 2 ? mx_buf_space(b, size) : NULL;

	if (to == NULL) {
		b->failed = true;
		return;
	}
	b->n += size;
	for (; n >= 3; n -= 3, p += 3) {
		*to++ = letters[p[0] >> 2];
		*to++ = letters[(p[0] & 3) << 4 | p[1] >> 4];
		*to++ = letters[(p[1] & 15) << 2 | p[2] >> 6];
		*to++ = letters[p[2] & 63];
	}
	if (n == 0)
		return;
	*to++ = letters[p[0] >> 2];
	if (n == 1) {
		*to = letters[(p[0] & 3) << 4];
		return;
	}
	*to++ = letters[(p[0] & 3) << 4 | p[1] >> 4];
	*to = letters[(p[1] & 15) << 2];
}

void
mx_base64(struct mx_buf *b, const void *p, size_t n)
{
	encode(b, p, n, standard);
}

void
mx_base64url(struct mx_buf *b, const void *p, size_t n)
{
	encode(b, p, n, url_safe);
}

enum { STANDARD = 1 << 6, URL_SAFE = 1 << 7, NO_LETTER = STANDARD | URL_SAFE };

/* The value of a letter of either alphabet, and of which alone it is. */
static unsigned
letter_value(char c)
{
	enum { S = STANDARD, U = URL_SAFE, N = NO_LETTER };
	static const unsigned char values[96] = {	/* from the space on */
		N, N, N, N, N, N, N, N, N, N, N, S | 62, N, U | 62, N, S | 63,
		52, 53, 54, 55, 56, 57, 58, 59, 60, 61, N, N, N, N, N, N,
		N, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
		15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, N, N, N, N, U | 63,
		N, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
		41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, N, N, N, N, N,
	};
	unsigned at = (unsigned)(unsigned char)c - ' ';

	return at < sizeof(values) ? values[at] : N;
}

static bool
decode(struct mx_buf *b, mx_str s, bool lax)
{
	unsigned seen = 0, bits = 0, held = 0;
	char *to;
	size_t size;

	if (s.n != 0 && s.n % 4 == 0 && s.p[s.n - 1] == '=')
		s.n -= s.p[s.n - 2] == '=' ? 2 : 1;
	if (s.n % 4 == 1)
		return false;
	size = s.n / 4 * 3 + (s.n % 4 != 0 ? s.n % 4 - 1 : 0);
	to = mx_buf_space(b, size);
	if (to == NULL)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned v = letter_value(s.p[i]);

		seen |= v;
		held = held << 6 | (v & 63);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			*to++ = (char)(held >> bits);
			held &= (1u << bits) - 1;
		}
	}
	/* A letter of one alphabet beside one of the other, or none at all. */
	if ((seen & NO_LETTER) == NO_LETTER || (held != 0 && !lax))
		return false;
	b->n += size;
	return true;
}

bool
mx_base64_decode(struct mx_buf *b, mx_str s)
{
	return decode(b, s, false);
}

bool
mx_base64_decode_lax(struct mx_buf *b, mx_str s)
{
	return decode(b, s, true);
}

void
mx_hex(struct mx_buf *b, const void *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *from = p;
	char *to = n <= SIZE_MAX / 2 ? mx_buf_space(b, 2 * n) : NULL;

	if (to == NULL) {
		b->failed = true;
		return;
	}
	b->n += 2 * n;
	for (size_t i = 0; i < n; i++) {
		*to++ = digits[from[i] >> 4];
		*to++ = digits[from[i] & 15];
	}
}
