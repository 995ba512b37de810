#include "config.h"

#include "core/base/encode.h"
#include "tests/fuzz/fuzz.h"

static void
encoded_comes_back(mx_str s, bool url_safe)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO(mx_buf) *back = mx_buf_new(0);

	if (url_safe)
		mx_base64url(b, s.p, s.n);
	else
		mx_base64(b, s.p, s.n);
	fuzz_holds(mx_base64_decode(back, mx_buf_view(b)));
	fuzz_holds(mx_str_eq(mx_buf_view(back), s));
}

/* There is one text for some bytes, but for padding and the alphabet. */
static void
decoded_comes_back(mx_str s)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO(mx_buf) *lax = mx_buf_new(0);
	MX_AUTO(mx_buf) *one = mx_buf_new(0);
	MX_AUTO(mx_buf) *two = mx_buf_new(0);
	bool is_lax = mx_base64_decode_lax(lax, s);

	if (!mx_base64_decode(b, s)) {
		fuzz_holds(mx_buf_view(b).n == 0);
		return;
	}
	fuzz_holds(is_lax);
	fuzz_holds(mx_str_eq(mx_buf_view(b), mx_buf_view(lax)));
	while (s.n != 0 && s.p[s.n - 1] == '=')
		s.n--;
	mx_base64(one, mx_buf_view(b).p, mx_buf_view(b).n);
	mx_base64url(two, mx_buf_view(b).p, mx_buf_view(b).n);
	fuzz_holds(mx_str_eq(mx_buf_view(one), s) || mx_str_eq(mx_buf_view(two), s));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	mx_str s = { (const char *)data, size };

	encoded_comes_back(s, false);
	encoded_comes_back(s, true);
	decoded_comes_back(s);
	return 0;
}
