/* An invite that began with an e-mail address: the identity server signed who turned out to have
 * it, and the m.room.third_party_invite in the state says by which keys. Client-Server API,
 * "Third-party invites"; room version 12, rule 5.4.1. */
#include "config.h"

#include <myelin/crypto.h>

#include "core/base/encode.h"
#include "core/room/rules_private.h"

/* Any signature may match any key: more pairs than this are not tried (10 ms). */
#define MAX_TRIES 200

struct tries {
	mx_str message;		/* what was signed */
	mx_str signatures;	/* server → key → signature */
	unsigned left;
};

static bool
decode(mx_str value, void *out, size_t size)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(256);
	mx_str text;

	if (!mx_scan_string(value, &text) || !mx_base64_decode_lax(b, text) ||
	    mx_buf_view(b).n != size)
		return false;
	memcpy(out, mx_buf_view(b).p, size);
	return true;
}

/* Whether one of the server's signatures is by this key. */
static bool
server_matches(struct tries *t, mx_str of_server, const unsigned char key[MX_ED25519_PUBLIC])
{
	unsigned char signature[MX_ED25519_SIGNATURE];
	mx_str key_id, value;
	struct mx_scan s;

	if (!mx_scan_object(&s, of_server))
		return false;
	while (t->left > 0 && mx_scan_member(&s, &key_id, &value)) {
		if (!mx_str_starts(key_id, MX_S("ed25519:")) ||
		    !decode(value, signature, sizeof(signature)))
			continue;
		t->left--;
		if (mx_verify_bytes(key, t->message, signature))
			return true;
	}
	return false;
}

static bool
key_matches(struct tries *t, mx_str value)
{
	unsigned char key[MX_ED25519_PUBLIC];
	mx_str server, of_server;
	struct mx_scan s;

	if (!decode(value, key, sizeof(key)) || !mx_scan_object(&s, t->signatures))
		return false;
	while (mx_scan_member(&s, &server, &of_server))
		if (server_matches(t, of_server, key))
			return true;
	return false;
}

static bool
any_key_matches(struct tries *t, mx_str content)
{
	mx_str value, keys, key;
	struct mx_scan s;

	if (mx_scan_find(content, MX_S("public_key"), &value) && key_matches(t, value))
		return true;
	if (!mx_scan_find(content, MX_S("public_keys"), &keys) || !mx_scan_array(&s, keys))
		return false;
	while (mx_scan_element(&s, &value))
		if (mx_scan_find(value, MX_S("public_key"), &key) && key_matches(t, key))
			return true;
	return false;
}

/* The object without signatures and unsigned: canonical, because it is within an event that is. */
static void
write_message(mx_str object, struct mx_buf *b)
{
	struct mx_scan s;
	mx_str key, value;
	bool comma = false;

	mx_buf_byte(b, '{');
	if (mx_scan_object(&s, object)) {
		while (mx_scan_member(&s, &key, &value)) {
			if (mx_str_eq(key, MX_S("signatures")) || mx_str_eq(key, MX_S("unsigned")))
				continue;
			if (comma)
				mx_buf_byte(b, ',');
			comma = true;
			mx_buf_add(b, key.p - 1, (size_t)(value.p + value.n - key.p) + 1);
		}
	}
	mx_buf_byte(b, '}');
}

mx_error *
mx_check_third_party(const struct mx_check *c, mx_str invite)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	char mxid_buf[MX_CHECK_BUF * 6], token_buf[MX_CHECK_BUF * 6];	/* any byte may stand as \u00xx */
	const struct mx_event *asked;
	struct tries t = { .left = MAX_TRIES };
	mx_str object, mxid, token;

	if (!mx_scan_find(invite, MX_S("signed"), &object))
		return MX_REFUSE("the third-party invite is not signed");
	if (!mx_scan_find_str(object, MX_S("mxid"), mxid_buf, sizeof(mxid_buf), &mxid) ||
	    !mx_scan_find_str(object, MX_S("token"), token_buf, sizeof(token_buf), &token))
		return MX_REFUSE("the third-party invite does not say for whom it is");
	if (!mx_str_eq(mxid, c->target))
		return MX_REFUSE("the third-party invite is for somebody else");
	asked = c->state->get(c->state->arg, MX_S("m.room.third_party_invite"), token);
	if (asked == NULL)
		return MX_REFUSE("nobody made the third-party invite, or it was withdrawn");
	if (!mx_str_eq(c->sender, mx_event_sender(asked)))
		return MX_REFUSE("the third-party invite was made by somebody else");
	write_message(object, b);
	t.message = mx_buf_view(b);
	if (!mx_scan_find(object, MX_S("signatures"), &t.signatures) ||
	    !any_key_matches(&t, mx_event_content(asked)))
		return MX_REFUSE("no signature of the third-party invite is by one of its keys");
	return NULL;
}
