#include "config.h"

#include "tests/unit/support/unit.h"
#include "core/crypto/sha1.h"

/* Appendices, "Cryptographic Test Vectors". */
#define KEY_LINE "ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"
#define SERVER MX_S("domain")
#define KEY_ID MX_S("ed25519:1")

static struct mx_signing_key *key;
static unsigned char public[MX_ED25519_PUBLIC];

static int
begin(void **state)
{
	(void)state;
	if (mx_error_drop(mx_signing_key_parse(MX_S(KEY_LINE), &key)))
		return -1;
	mx_signing_key_public(key, public);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	mx_signing_key_free(&key);
	return key == NULL ? 0 : -1;
}

static json_t *
parsed(const char *text)
{
	json_t *v;

	unit_ok(mx_json_parse(mx_str_of(text), &v));
	return v;
}

static void
signed_is(const char *text, const char *expected)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO_JSON *v = parsed(text);

	unit_ok(mx_sign_json(v, true, SERVER, key));
	unit_ok(mx_json_canonical(v, true, b));
	assert_string_equal(mx_buf_cstr(b), expected);
	unit_ok(mx_verify_json(v, true, SERVER, KEY_ID, public));
}

static void
the_specification_s_vectors(void **state)
{
	(void)state;
	signed_is("{}", "{\"signatures\":{\"domain\":{\"ed25519:1\":\"K8280/"
			"U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7G"
			"eitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ\"}}}");
	signed_is("{\"one\": 1, \"two\": \"Two\"}",
		  "{\"one\":1,\"signatures\":{\"domain\":{\"ed25519:1\":\"KqmLSbO39/Bz"
		  "b0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/"
		  "fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw\"}},\"two\":\"Two\"}");
	/* The minimal event with its content hash, whose redacted form is signed: itself. */
	signed_is("{\"room_id\":\"!x:domain\",\"sender\":\"@a:domain\",\"origin\":\"domain\","
		  "\"origin_server_ts\":1000000,"
		  "\"signatures\":{},\"hashes\":{\"sha256\":\"5jM4wQpv6lnBo7CLIghJuHdW+"
		  "s2CMBJPUOGOC89ncos\"},\"type\":\"X\","
		  "\"content\":{},\"prev_events\":[],\"auth_events\":[],\"depth\":3,\"unsigned\":{"
		  "\"age_ts\":1000000}}",
		  "{\"auth_events\":[],\"content\":{},\"depth\":3,\"hashes\":{\"sha256\":"
		  "\"5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJP"
		  "UOGOC89ncos\"},\"origin\":\"domain\",\"origin_server_ts\":1000000,\"prev_"
		  "events\":[],\"room_id\":\"!x:doma"
		  "in\",\"sender\":\"@a:domain\",\"signatures\":{\"domain\":{\"ed25519:1\":"
		  "\"KxwGjPSDEtvnFgU00fwFz+l6d2pJM6X"
		  "BIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg\"}},\"type\":\"X\","
		  "\"unsigned\":{\"age_ts\":1000"
		  "000}}");
}

static void
sha256_is_the_specification_s(void **state)
{
	static const char event[] = "{\"auth_events\":[],\"content\":{},\"depth\":3,\"origin\":"
				    "\"domain\",\"origin_server_ts\":"
				    "1000000,\"prev_events\":[],\"room_id\":\"!x:domain\","
				    "\"sender\":\"@a:domain\",\"type\":\"X\"}";
	unsigned char digest[MX_SHA256_SIZE];
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	(void)state;
	mx_sha256(event, strlen(event), digest);
	mx_base64(b, digest, sizeof(digest));
	/* The event's hashes member is left out, too, when its hash is made. */
	assert_string_equal(mx_buf_cstr(b), "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos");
	mx_buf_truncate(b, 0);
	mx_sha256(NULL, 0, digest);
	mx_hex(b, digest, 4);
	assert_string_equal(mx_buf_cstr(b), "e3b0c442");
}

static void
sha1_is_what_others_call_so(void **state)
{
	unsigned char digest[MX_SHA1_SIZE];
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	(void)state;
	assert_true(mx_sha1("abc", 3, digest));
	mx_hex(b, digest, sizeof(digest));
	assert_string_equal(mx_buf_cstr(b), "a9993e364706816aba3e25717850c26c9cd0d89d");
	assert_true(mx_sha1(NULL, 0, digest));
}

static void
what_others_would_read_otherwise_is_not_signed(void **state)
{
	static const char *const bad[] = { "{\"a\":1.0}", "{\"a\":[1e3]}", "{\"a\":{\"b\":1.5}}",
					   "{\"a\":9007199254740992}" };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		MX_AUTO_JSON *v = parsed(bad[i]);

		unit_refused(mx_sign_json(v, true, SERVER, key), MX_E_BAD_JSON);
		assert_null(json_object_get(v, "signatures"));
		/* events of old rooms may hold such numbers */
		unit_ok(mx_sign_json(v, false, SERVER, key));
		unit_ok(mx_verify_json(v, false, SERVER, KEY_ID, public));
	}
	MX_AUTO_JSON *v = parsed("{\"a\":1,\"unsigned\":{\"age\":1.5}}");

	unit_ok(mx_sign_json(v, true, SERVER, key));
}

static void
other_signatures_stay(void **state)
{
	MX_AUTO_JSON *v = parsed("{\"a\":1,\"signatures\":{\"other\":{\"ed25519:x\":\"s\"},"
				 "\"domain\":{\"ed25519:0\":\"t\"}}}");
	const json_t *all = json_object_get(v, "signatures");

	(void)state;
	unit_ok(mx_sign_json(v, true, SERVER, key));
	unit_text(mx_json_str(json_object_get(all, "other"), "ed25519:x"), "s");
	unit_text(mx_json_str(json_object_get(all, "domain"), "ed25519:0"), "t");
	unit_ok(mx_verify_json(v, true, SERVER, KEY_ID, public));
}

static void
signatures_and_unsigned_are_not_covered(void **state)
{
	MX_AUTO_JSON *v = parsed("{\"a\":1}");

	(void)state;
	unit_ok(mx_sign_json(v, true, SERVER, key));
	json_object_set_new(v, "unsigned", json_pack("{s:i}", "age", 5));
	json_object_set_new(json_object_get(v, "signatures"), "other", json_object());
	unit_ok(mx_verify_json(v, true, SERVER, KEY_ID, public));
	json_object_set_new(v, "b", json_null());
	unit_refused(mx_verify_json(v, true, SERVER, KEY_ID, public), MX_E_FORBIDDEN);
}

static void
a_failure_to_sign_changes_nothing(void **state)
{
	static const char *const bad[] = { "{\"a\":1.5}", "{\"signatures\":1}",
					   "{\"signatures\":{\"domain\":[]}}", "[]" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		MX_AUTO_JSON *v = parsed(bad[i]), *before = json_deep_copy(v);

		unit_refused(mx_sign_json(v, true, SERVER, key), MX_E_BAD_JSON);
		assert_true(json_equal(v, before));
	}
	{
		MX_AUTO_JSON *v = json_object();

		unit_refused(mx_sign_json(v, true, MX_S("a\0b"), key), MX_E_BAD_JSON);
		unit_refused(mx_sign_json(v, true, MX_S("\xff"), key), MX_E_BAD_JSON);
		unit_refused(mx_sign_json(v, true, MX_S(""), key), MX_E_BAD_JSON);
		assert_int_equal(json_object_size(v), 0);
	}
}

static void
rooms_of_old_sign_fractions(void **state)
{
	MX_AUTO_JSON *v = parsed("{\"a\":1.5,\"b\":9007199254740993}");

	(void)state;
	unit_ok(mx_sign_json(v, false, SERVER, key));
	unit_ok(mx_verify_json(v, false, SERVER, KEY_ID, public));
	unit_refused(mx_verify_json(v, true, SERVER, KEY_ID, public), MX_E_FORBIDDEN);
}

static void
what_is_no_signature_is_refused(void **state)
{
	static const char *const bad[] = {
		"{}",
		"[]",
		"{\"signatures\":1}",
		"{\"signatures\":{}}",
		"{\"signatures\":{\"domain\":1}}",
		"{\"signatures\":{\"domain\":{}}}",
		"{\"signatures\":{\"domain\":{\"ed25519:1\":1}}}",
		"{\"signatures\":{\"domain\":{\"ed25519:1\":\"\"}}}",
		"{\"signatures\":{\"domain\":{\"ed25519:1\":\"AAAA\"}}}",
		"{\"signatures\":{\"domain\":{\"ed25519:1\":\"K8280/"
		"U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7"
		"Xg4ahLwYGYZzuHGZKM5ZAQAA\"}}}",
		"{\"signatures\":{\"domain\":{\"ed25519:1\":\"A8280/"
		"U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7"
		"Xg4ahLwYGYZzuHGZKM5ZAQ\"}}}",
		"{\"signatures\":{\"domain\":{\"ed25519:2\":\"K8280/"
		"U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7"
		"Xg4ahLwYGYZzuHGZKM5ZAQ\"}}}",
		"{\"signatures\":{\"other\":{\"ed25519:1\":\"K8280/"
		"U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg"
		"4ahLwYGYZzuHGZKM5ZAQ\"}}}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		MX_AUTO_JSON *v = parsed(bad[i]);

		unit_refused(mx_verify_json(v, true, SERVER, KEY_ID, public), MX_E_FORBIDDEN);
	}
}

static void
names_are_compared_whole(void **state)
{
	MX_AUTO_JSON *v = parsed("{}");
	unsigned char other[MX_ED25519_PUBLIC];

	(void)state;
	unit_ok(mx_sign_json(v, true, SERVER, key));
	unit_ok(mx_verify_json(v, true, (mx_str){ "domainx", 6 }, KEY_ID, public));
	unit_refused(mx_verify_json(v, true, MX_S("domain\0x"), KEY_ID, public), MX_E_FORBIDDEN);
	unit_refused(mx_verify_json(v, true, SERVER, MX_S("ed25519:1\0x"), public), MX_E_FORBIDDEN);
	unit_refused(mx_verify_json(v, true, SERVER, MX_S("rsa:1"), public), MX_E_FORBIDDEN);
	memcpy(other, public, sizeof(other));
	other[3] ^= 1;
	unit_refused(mx_verify_json(v, true, SERVER, KEY_ID, other), MX_E_FORBIDDEN);
	memset(other, 0, sizeof(other));	/* a point of small order signs anything */
	unit_refused(mx_verify_json(v, true, SERVER, KEY_ID, other), MX_E_FORBIDDEN);
}

static void
the_last_bits_of_a_signature_mean_nothing(void **state)
{
	MX_AUTO_JSON *v = parsed("{\"signatures\":{\"domain\":{\"ed25519:1\":\"K8280/"
				 "U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7"
				 "Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAR\"}}}");

	(void)state;
	unit_ok(mx_verify_json(v, true, SERVER, KEY_ID, public));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(the_specification_s_vectors),
		unit_case(sha256_is_the_specification_s),
		unit_case(sha1_is_what_others_call_so),
		unit_case(what_others_would_read_otherwise_is_not_signed),
		unit_case(other_signatures_stay),
		unit_case(signatures_and_unsigned_are_not_covered),
		unit_case(a_failure_to_sign_changes_nothing),
		unit_case(rooms_of_old_sign_fractions),
		unit_case(what_is_no_signature_is_refused),
		unit_case(names_are_compared_whole),
		unit_case(the_last_bits_of_a_signature_mean_nothing),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
