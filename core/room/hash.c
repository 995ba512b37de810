#include "config.h"

#include "core/room/hash.h"
#include "core/room/redact.h"
#include "core/room/scan.h"

static bool
hashed(mx_str key)
{
	return !mx_str_eq(key, MX_S("hashes")) && !mx_str_eq(key, MX_S("signatures")) &&
	       !mx_str_eq(key, MX_S("unsigned"));
}

void
mx_event_content_hash(mx_str event, unsigned char out[MX_SHA256_SIZE])
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_scan s;
	mx_str key, value;
	char sep = '{';

	mx_buf_reserve(b, event.n);
	if (mx_scan_object(&s, event)) {
		while (mx_scan_member(&s, &key, &value)) {
			if (!hashed(key))
				continue;
			mx_buf_byte(b, sep);
			sep = ',';
			mx_buf_add(b, key.p - 1, (size_t)(value.p + value.n - key.p) + 1);
		}
	}
	if (sep == '{')
		mx_buf_byte(b, sep);
	mx_buf_byte(b, '}');
	mx_sha256(mx_buf_view(b).p, mx_buf_view(b).n, out);
}

void
mx_event_reference_hash(const struct mx_room_version *v, mx_str event,
			unsigned char out[MX_SHA256_SIZE])
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	mx_redact_bytes(v, event, false, b);
	mx_sha256(mx_buf_view(b).p, mx_buf_view(b).n, out);
}

/* 32 bytes are 10 groups of three and one of two: 43 characters. */
static void
encode(const unsigned char *hash, const char *last2, char *out)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	unsigned char in[33];
	size_t o = 0;

	memcpy(in, hash, 32);
	in[32] = 0;
	for (size_t i = 0; i < 33; i += 3) {
		uint32_t g = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | in[i + 2];

		for (int shift = 18; shift >= 0 && o < 43; shift -= 6) {
			uint32_t c = g >> shift & 63;

			out[o++] = c < 62 ? letters[c] : last2[c - 62];
		}
	}
}

void
mx_event_id_of_hash(const struct mx_room_version *v, const unsigned char hash[MX_SHA256_SIZE],
		    char out[MX_HASH_ID])
{
	out[0] = '$';
	encode(hash, v->event_id == MX_EVENT_ID_BASE64URL ? "-_" : "+/", out + 1);
}

void
mx_hash_base64(const unsigned char hash[MX_SHA256_SIZE], char out[MX_HASH_ID - 1])
{
	encode(hash, "+/", out);
}
