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

/* The value of a letter of either alphabet; 64 and more is none. *seen collects the alphabets. */
static unsigned
letter_value(char c, unsigned *seen)
{
	if (c >= 'A' && c <= 'Z')
		return (unsigned)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (unsigned)(c - 'a') + 26;
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0') + 52;
	switch (c) {
	case '+': *seen |= 1; return 62;
	case '/': *seen |= 1; return 63;
	case '-': *seen |= 2; return 62;
	case '_': *seen |= 2; return 63;
	}
	return 64;
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
		unsigned v = letter_value(s.p[i], &seen);

		if (v >= 64 || seen == 3)
			return false;
		held = held << 6 | v;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			*to++ = (char)(held >> bits);
			held &= (1u << bits) - 1;
		}
	}
	if (held != 0 && !lax)
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
