#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/encode.h"
#include "core/base/sodium.h"
#include "core/crypto/key.h"

#define ALGORITHM "ed25519"
#define MAX_FILE 4096

static struct mx_signing_key *
new_key(mx_str version, const unsigned char seed[crypto_sign_SEEDBYTES])
{
	struct mx_signing_key *k;

	mx_sodium();
	k = sodium_malloc(sizeof(*k));
	if (k == NULL)
		abort();
	memset(k, 0, sizeof(*k));
	k->id_size = (size_t)snprintf(k->id, sizeof(k->id), "%s:%.*s", ALGORITHM, MX_SFMT(version));
	crypto_sign_seed_keypair(k->public, k->secret, seed);
	sodium_mprotect_readonly(k);
	return k;
}

struct mx_signing_key *
mx_signing_key_generate(void)
{
	unsigned char seed[crypto_sign_SEEDBYTES];
	char version[7] = "a_";
	struct mx_signing_key *k;

	mx_random_text(version + 2, 4);
	mx_random(seed, sizeof(seed));
	k = new_key((mx_str){ version, 6 }, seed);
	sodium_memzero(seed, sizeof(seed));
	return k;
}

void
mx_signing_key_free(struct mx_signing_key **k)
{
	if (*k != NULL)
		sodium_free(*k);
	*k = NULL;
}

mx_str
mx_signing_key_id(const struct mx_signing_key *k)
{
	return (mx_str){ k->id, k->id_size };
}

void
mx_signing_key_public(const struct mx_signing_key *k, unsigned char out[MX_ED25519_PUBLIC])
{
	memcpy(out, k->public, MX_ED25519_PUBLIC);
}

/* ---- the file: what is read and written holds the secret, and is wiped ---- */

static void
wipe(struct mx_buf **b)
{
	if ((*b)->p != NULL)
		sodium_memzero((*b)->p, (*b)->room);
	mx_buf_free(b);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static mx_str
next_word(mx_str *rest)
{
	mx_str word;

	while (rest->n != 0 && is_blank(rest->p[0]))
		rest->p++, rest->n--;
	word = (mx_str){ rest->p, 0 };
	while (rest->n != 0 && !is_blank(rest->p[0]))
		rest->p++, rest->n--, word.n++;
	return word;
}

static bool
is_version(mx_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '_'))
			return false;
	}
	return s.n != 0 && s.n <= MX_KEY_VERSION_MAX;
}

mx_error *
mx_signing_key_parse(mx_str line, struct mx_signing_key **out)
{
	mx_str algorithm = next_word(&line), version = next_word(&line), seed = next_word(&line);
	struct mx_buf *b;
	mx_error *e = NULL;

	/* None of these texts quotes the line. */
	*out = NULL;
	if (seed.n == 0)
		return mx_error_new(MX_E_CONFIG, "a signing key is one line: ed25519 VERSION SEED");
	if (next_word(&line).n != 0)
		return mx_error_new(MX_E_CONFIG,
				    "there is more than one signing key, or something behind it");
	if (!mx_str_eq(algorithm, MX_S(ALGORITHM)))
		return mx_error_new(MX_E_CONFIG, "the signing key is not for ed25519");
	if (!is_version(version))
		return mx_error_new(
			MX_E_CONFIG,
			"the version of the signing key is not of A-Z a-z 0-9 _, or too long");
	b = mx_buf_new(MAX_FILE);
	if (!mx_base64_decode_lax(b, seed) || mx_buf_view(b).n != crypto_sign_SEEDBYTES)
		e = mx_error_new(MX_E_CONFIG,
				 "the seed of the signing key is not 32 bytes in base64");
	else
		*out = new_key(version, (const unsigned char *)b->p);
	wipe(&b);
	return e;
}

/* Reads the whole of a small file, not more than b takes. */
static mx_error *
read_file(int fd, struct mx_buf *b)
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) != 0)
		return mx_error_new(MX_E_CONFIG, "%s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return mx_error_new(MX_E_CONFIG, "not a file");
	if ((st.st_mode & S_IRWXO) != 0)
		return mx_error_new(MX_E_CONFIG,
				    "other users may read it or change it: chmod o= it");
	for (;;) {
		char *to = mx_buf_space(b, 1);

		if (to == NULL)
			return mx_error_new(MX_E_CONFIG, "more than %d bytes: not a signing key",
					    MAX_FILE);
		n = read(fd, to, b->room - b->n);
		if (n == 0)
			return NULL;
		if (n > 0)
			b->n += (size_t)n;
		else if (errno != EINTR)
			return mx_error_new(MX_E_CONFIG, "%s", strerror(errno));
	}
}

mx_error *
mx_signing_key_load(const char *path, struct mx_signing_key **out)
{
	struct mx_buf *b;
	mx_error *e;
	int fd;

	*out = NULL;
	/* Not waiting for a writer, should it be a pipe. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return mx_error_new(MX_E_CONFIG, "%s: %s", path, strerror(errno));
	b = mx_buf_new(MAX_FILE);
	mx_buf_reserve(b, MAX_FILE);	/* growing would leave copies behind */
	e = read_file(fd, b);
	if (e == NULL)
		e = mx_signing_key_parse(mx_buf_view(b), out);
	wipe(&b);
	close(fd);
	return mx_error_wrap(e, "%s", path);
}

static bool
write_all(int fd, mx_str s)
{
	while (s.n != 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		s.p += n;
		s.n -= (size_t)n;
	}
	return fsync(fd) == 0;
}

/* The name is durable when the folder is. */
static bool
sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash == NULL   ? mx_str_dup(MX_S("."))
		       : slash == path ? mx_str_dup(MX_S("/"))
				       : mx_str_dup((mx_str){ path, (size_t)(slash - path) });
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool done = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	free(folder);
	return done;
}

mx_error *
mx_signing_key_save(const struct mx_signing_key *k, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct mx_buf *b;
	bool written;
	int reason;

	if (fd < 0)
		return mx_error_new(errno == EEXIST ? MX_E_EXISTS : MX_E_CONFIG, "%s: %s", path,
				    strerror(errno));
	b = mx_buf_new(MAX_FILE);
	mx_buf_reserve(b, MAX_FILE);
	mx_buf_printf(b, "%s %s ", ALGORITHM, k->id + sizeof(ALGORITHM));
	mx_base64(b, k->secret, crypto_sign_SEEDBYTES);
	mx_buf_byte(b, '\n');
	written = fchmod(fd, 0600) == 0 && write_all(fd, mx_buf_view(b));
	reason = errno;
	wipe(&b);
	if (close(fd) != 0 && written) {
		written = false;
		reason = errno;
	}
	if (written && !sync_folder(path)) {
		written = false;
		reason = errno;
	}
	if (written)
		return NULL;
	unlink(path);	/* half a key would only be in the way of a whole one */
	return mx_error_new(MX_E_CONFIG, "%s: %s", path, strerror(reason));
}
