#include "config.h"

#include "core/base/encode.h"
#include "core/room/hash.h"
#include "core/room/redact.h"
#include "core/room/scan.h"
#include "core/room/verify.h"

/* Keys of one server that are looked up for one event: each may cost a request to that server. */
#define MAX_KEYS 10

static bool
decode(mx_str base64, void *out, size_t size)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(256);
	mx_str bytes;

	if (!mx_base64_decode_lax(b, base64))
		return false;
	bytes = mx_buf_view(b);
	if (bytes.n != size)
		return false;
	memcpy(out, bytes.p, size);
	return true;
}

/* ---- who must have signed ---- */

static void
add_server(mx_str id, mx_str servers[MX_VERIFY_SERVERS], size_t *n)
{
	mx_str server = mx_id_server_of(id);

	for (size_t i = 0; i < *n; i++)
		if (mx_str_eq(servers[i], server))
			return;
	servers[(*n)++] = server;
}

/* With escapes or without a server it names nobody: the rules refuse that. */
static bool
voucher_of(const struct mx_event *ev, mx_str *out)
{
	mx_str value;

	return ev->version->join_restricted &&
	       mx_str_eq(mx_event_type(ev), MX_S("m.room.member")) &&
	       mx_scan_find(mx_event_content(ev), MX_S("join_authorised_via_users_server"),
			    &value) &&
	       mx_scan_string(value, out) && !mx_scan_escaped(mx_id_server_of(*out)) &&
	       mx_id_server_of(*out).p != NULL;
}

size_t
mx_verify_servers(const struct mx_event *ev, mx_str servers[MX_VERIFY_SERVERS])
{
	bool member = mx_str_eq(mx_event_type(ev), MX_S("m.room.member"));
	mx_str content = mx_event_content(ev), value, user;
	size_t n = 0;

	/* An invite by e-mail address is sent by the server of who turns out to have that address:
	 * its sender only asked for it, and the rules check what it asked for. */
	if (!member || ev->membership != MX_MEMBER_INVITE ||
	    !mx_scan_find(content, MX_S("third_party_invite"), &value))
		add_server(mx_event_sender(ev), servers, &n);
	if (ev->version->event_id == MX_EVENT_ID_CHOSEN)
		add_server(mx_event_id(ev), servers, &n);
	if (voucher_of(ev, &user))
		add_server(user, servers, &n);
	return n;
}

/* ---- signatures ---- */

/* How far ahead a key is believed to be valid: who has stolen it cannot publish it for ever. */
#define BELIEVED (INT64_C(7) * 24 * 60 * 60 * 1000)

/* What a signature of an unknown key, or of one that had expired, says: nothing. */
static bool
usable(const struct mx_event *ev, const struct mx_verify_key *key)
{
	return !ev->version->key_validity || key->valid_until >= ev->ts;
}

/* No key can be valid at its time: asking for one would only make its server busy. */
static bool
dated_ahead(const struct mx_event *ev)
{
	return ev->version->key_validity && ev->ts > mx_now() + BELIEVED;
}

/* The signatures of one server that are looked at. */
struct signatures {
	struct mx_scan s;
	size_t looked;
};

static bool
signatures_of(const struct mx_event *ev, mx_str server, struct signatures *out)
{
	mx_str all, of_server;

	*out = (struct signatures){ .looked = 0 };
	return mx_scan_find(mx_event_json(ev), MX_S("signatures"), &all) &&
	       mx_scan_find(all, server, &of_server) && mx_scan_object(&out->s, of_server);
}

static bool
next_signature(struct signatures *it, mx_str *key_id, mx_str *text)
{
	mx_str value;

	while (it->looked < MAX_KEYS && mx_scan_member(&it->s, key_id, &value)) {
		if (!mx_str_starts(*key_id, MX_S("ed25519:")) || mx_scan_escaped(*key_id) ||
		    !mx_scan_string(value, text))
			continue;
		it->looked++;
		return true;
	}
	return false;
}

void
mx_verify_keys(const struct mx_event *ev,
	       void (*fn)(void *arg, mx_str server, mx_str key_id, mx_msec at), void *arg)
{
	mx_str servers[MX_VERIFY_SERVERS], key_id, text;
	size_t n = mx_verify_servers(ev, servers);
	struct signatures it;

	for (size_t i = 0; i < n && !dated_ahead(ev); i++) {
		if (!signatures_of(ev, servers[i], &it))
			continue;
		while (next_signature(&it, &key_id, &text))
			fn(arg, servers[i], key_id, ev->version->key_validity ? ev->ts : 0);
	}
}

/* *known: one of its keys could be had, or there is no signature to need one. */
static mx_error *
check_server(const struct mx_event *ev, mx_str signed_bytes, mx_str server, mx_verify_key_fn *get,
	     void *arg, bool *known)
{
	unsigned char signature[MX_ED25519_SIGNATURE];
	mx_str key_id, text;
	struct mx_verify_key key;
	struct signatures it;
	bool valid = false, asked = false;

	*known = true;
	if (!signatures_of(ev, server, &it))
		return mx_error_new(MX_E_FORBIDDEN, "the event is not signed by %.*s",
				    MX_SFMT(server));
	while (next_signature(&it, &key_id, &text)) {
		bool have =
			get(arg, server, key_id, ev->version->key_validity ? ev->ts : 0, &key);

		*known = asked ? *known || have : have;
		asked = true;
		if (!have || !usable(ev, &key))
			continue;
		if (!decode(text, signature, sizeof(signature)) ||
		    !mx_verify_bytes(key.public_key, signed_bytes, signature))
			return mx_error_new(MX_E_FORBIDDEN,
					    "the signature of %.*s by the key %.*s is wrong",
					    MX_SFMT(server), MX_SFMT(key_id));
		valid = true;
	}
	if (!valid)
		return mx_error_new(MX_E_FORBIDDEN,
				    "no signature of %.*s is by a key that was known and valid",
				    MX_SFMT(server));
	return NULL;
}

/* Whether nobody but the voucher of a join must have signed as this server: without that the auth rules
 * reject the event, and it is not dropped. */
static bool
only_vouches(const struct mx_event *ev, mx_str server)
{
	mx_str user;

	return voucher_of(ev, &user) && mx_str_eq(mx_id_server_of(user), server) &&
	       !mx_str_eq(mx_id_server_of(mx_event_sender(ev)), server);
}

static mx_error *
check_signatures(struct mx_event *ev, mx_verify_key_fn *get, void *arg)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	mx_str servers[MX_VERIFY_SERVERS];
	size_t n = mx_verify_servers(ev, servers);

	if (dated_ahead(ev))
		return mx_error_new(MX_E_FORBIDDEN,
				    "the event is dated more than a week ahead");
	mx_redact_bytes(ev->version, mx_event_json(ev), false, b);
	for (size_t i = 0; i < n; i++) {
		bool known;
		mx_error *e = check_server(ev, mx_buf_view(b), servers[i], get, arg, &known);

		/* A key that cannot be had now may be had another time. */
		if (e == NULL || !known || !only_vouches(ev, servers[i]))
			MX_TRY(e);
		else
			ev->unvouched = mx_error_drop(e);
	}
	return NULL;
}

/* ---- the content hash ---- */

bool
mx_verify_hash(const struct mx_event *ev)
{
	unsigned char is[MX_SHA256_SIZE], said[MX_SHA256_SIZE];
	mx_str hashes, value, text;

	if (!mx_scan_find(mx_event_json(ev), MX_S("hashes"), &hashes) ||
	    !mx_scan_find(hashes, MX_S("sha256"), &value) || !mx_scan_string(value, &text) ||
	    !decode(text, said, sizeof(said)))
		return false;
	mx_event_content_hash(mx_event_json(ev), is);
	return memcmp(is, said, sizeof(is)) == 0;
}

mx_error *
mx_verify_parsed(struct mx_event *ev, mx_verify_key_fn *key, void *arg, struct mx_event **out)
{
	MX_TRY(check_signatures(ev, key, arg));
	*out = mx_verify_hash(ev) ? mx_event_ref(ev) : mx_event_redact(ev);
	(*out)->unvouched = ev->unvouched;
	return NULL;
}

mx_error *
mx_verify_event(const struct mx_room_version *v, mx_str bytes, mx_verify_key_fn *key, void *arg,
		struct mx_event **out)
{
	MX_AUTO(mx_event) *ev = NULL;

	MX_TRY(mx_event_from_bytes(v, bytes, &ev));
	return mx_verify_parsed(ev, key, arg, out);
}
