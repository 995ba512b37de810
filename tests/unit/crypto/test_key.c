#include "config.h"

#include "tests/unit/support/unit.h"
#include <myelin/crypto.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Appendices, "Cryptographic Test Vectors", "Signing Key". */
#define SEED "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"

static char folder[] = "/tmp/myelin-test-key-XXXXXX";
static char path[64];

static int
begin(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/signing.key", folder);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	return rmdir(folder);
}

static void
put_file(const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void
load_is_refused(void)
{
	struct mx_signing_key *k = (struct mx_signing_key *)path;
	mx_error *e = mx_signing_key_load(path, &k);

	assert_null(k);
	assert_true(mx_error_is(e, MX_E_CONFIG));
	assert_non_null(strstr(mx_error_text(e), path));
	assert_null(strstr(mx_error_text(e), "YJDBA9"));
	mx_error_free(&e);
}

static void
a_line_as_synapse_writes_it_is_read(void **state)
{
	static const char *const good[] = {
		"ed25519 1 " SEED "\n", "ed25519 1 " SEED, "  ed25519\t1  " SEED "=\r\n\n",
	};
	unsigned char public[MX_ED25519_PUBLIC];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		MX_AUTO(mx_signing_key) *k = NULL;
		MX_AUTO(mx_buf) *b = mx_buf_new(0);

		unit_ok(mx_signing_key_parse(mx_str_of(good[i]), &k));
		unit_text(mx_signing_key_id(k), "ed25519:1");
		mx_signing_key_public(k, public);
		mx_base64(b, public, sizeof(public));
		assert_string_equal(mx_buf_cstr(b), "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI");
	}
}

static void
other_lines_are_refused_without_quoting_them(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"ed25519",
		"ed25519 1",
		SEED,
		"ed25519 1 short",
		"ed25519 1 " SEED "AAAA",
		"ed25519 a-b " SEED,
		"rsa 1 " SEED,
		"ed25519 1 " SEED " more",
		"ed25519 1 " SEED "\ned25519 2 " SEED,
		"ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3X!1",
		"ed25519 "
		"aaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaa"
		"aaaaaaaabbbb"
		"bbbbbbx " SEED,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct mx_signing_key *k;
		mx_error *e = mx_signing_key_parse(mx_str_of(bad[i]), &k);

		assert_true(mx_error_is(e, MX_E_CONFIG));
		assert_null(strstr(mx_error_text(e), "YJDBA9"));
		assert_null(k);
		mx_error_free(&e);
	}
}

static void
what_is_saved_is_loaded_again(void **state)
{
	MX_AUTO(mx_signing_key) *k = mx_signing_key_generate();
	MX_AUTO(mx_signing_key) *again = NULL;
	char one[87], two[87];
	struct stat st;
	mx_str id = mx_signing_key_id(k);

	(void)state;
	assert_int_equal(id.n, strlen("ed25519:a_1234"));
	assert_true(mx_str_starts(id, MX_S("ed25519:a_")));
	unit_ok(mx_signing_key_save(k, path));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	unit_ok(mx_signing_key_load(path, &again));
	assert_true(mx_str_eq(id, mx_signing_key_id(again)));
	mx_sign_bytes(k, MX_S("text"), one);
	mx_sign_bytes(again, MX_S("text"), two);
	assert_string_equal(one, two);
	unlink(path);
}

static void
saving_replaces_no_file(void **state)
{
	MX_AUTO(mx_signing_key) *k = mx_signing_key_generate();
	char text[64] = "";
	int fd;

	(void)state;
	put_file("precious", 0600);
	unit_refused(mx_signing_key_save(k, path), MX_E_EXISTS);
	fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, text, sizeof(text)), 8);
	close(fd);
	assert_string_equal(text, "precious");
	unlink(path);
	assert_int_equal(symlink("/nowhere/at/all", path), 0);
	unit_refused(mx_signing_key_save(k, path), MX_E_EXISTS);
	unlink(path);
}

static void
a_key_that_others_can_read_is_refused(void **state)
{
	MX_AUTO(mx_signing_key) *k = NULL;

	(void)state;
	put_file("ed25519 1 " SEED "\n", 0604);
	load_is_refused();
	put_file("ed25519 1 " SEED "\n", 0602);
	load_is_refused();
	put_file("ed25519 1 " SEED "\n", 0640);
	unit_ok(mx_signing_key_load(path, &k));
	unlink(path);
}

static void
what_is_no_key_file_is_refused(void **state)
{
	char *big = mx_alloc(5001);

	(void)state;
	load_is_refused();	/* none there */
	put_file("", 0600);
	load_is_refused();
	memset(big, ' ', 5000);
	put_file(big, 0600);
	load_is_refused();
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	load_is_refused();
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	load_is_refused();
	rmdir(path);
	free(big);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(a_line_as_synapse_writes_it_is_read),
		unit_case(other_lines_are_refused_without_quoting_them),
		unit_case(what_is_saved_is_loaded_again),
		unit_case(saving_replaces_no_file),
		unit_case(a_key_that_others_can_read_is_refused),
		unit_case(what_is_no_key_file_is_refused),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
