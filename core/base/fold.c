/* Text for comparing without regard to case. The alphabets that have case and stand within two
 * bytes of UTF-8 (Latin, Greek, Cyrillic, Armenian) are folded by the ranges of Unicode's simple
 * case folding; everything else is copied. */
#include "config.h"

#include <myelin/base.h>

static bool
within(uint32_t c, uint32_t first, uint32_t last)
{
	return c >= first && c <= last;
}

static uint32_t
fold_latin(uint32_t c)
{
	if (within(c, 0xc0, 0xde) && c != 0xd7)
		return c + 0x20;
	if (c == 0x178)
		return 0xff;
	/* Pairs of a capital and its small letter; in two stretches the capitals are the odd ones.
	 */
	if (within(c, 0x139, 0x148) || within(c, 0x179, 0x17e))
		return (c & 1) != 0 ? c + 1 : c;
	if (within(c, 0x100, 0x177) && c != 0x130 && c != 0x131 && c != 0x138)
		return c | 1;
	return c;
}

static uint32_t
fold_greek(uint32_t c)
{
	if (within(c, 0x391, 0x3ab) && c != 0x3a2)
		return c + 0x20;
	if (c == 0x386)
		return 0x3ac;
	if (within(c, 0x388, 0x38a))
		return c + 37;
	if (c == 0x38c)
		return 0x3cc;
	if (within(c, 0x38e, 0x38f))
		return c + 63;
	return c == 0x3c2 ? 0x3c3 : c;	/* the sigma at the end of a word */
}

static uint32_t
fold_cyrillic(uint32_t c)
{
	if (within(c, 0x410, 0x42f))
		return c + 0x20;
	if (within(c, 0x400, 0x40f))
		return c + 0x50;
	if (within(c, 0x460, 0x481) || within(c, 0x48a, 0x4bf) || within(c, 0x4d0, 0x52f))
		return c | 1;
	return within(c, 0x531, 0x556) ? c + 0x30 : c;
}

static uint32_t
fold(uint32_t c)
{
	if (c < 0x180)
		return fold_latin(c);
	return within(c, 0x370, 0x3ff)   ? fold_greek(c)
	       : within(c, 0x400, 0x556) ? fold_cyrillic(c)
					 : c;
}

void
mx_str_fold(mx_str s, struct mx_buf *b)
{
	const unsigned char *p = (const unsigned char *)s.p;

	mx_buf_reserve(b, s.n);
	for (size_t i = 0; i < s.n; i++) {
		uint32_t c = p[i];

		if (c >= 0xc2 && c <= 0xdf && i + 1 < s.n && (p[i + 1] & 0xc0) == 0x80) {
			c = fold((c & 0x1f) << 6 | (p[++i] & 0x3f));
			mx_buf_byte(b, (char)(0xc0 | c >> 6));
			mx_buf_byte(b, (char)(0x80 | (c & 0x3f)));
		} else {
			mx_buf_byte(b, (char)(c >= 'A' && c <= 'Z' ? c + 0x20 : c));
		}
	}
}
