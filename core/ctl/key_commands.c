/* The signing key's file: making one, and replacing it by a new one. Works before there is any
 * configuration. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <myelin/crypto.h>

#include "core/ctl/ctl.h"

static void
show(const char *what, const struct mx_signing_key *k)
{
	unsigned char public[MX_ED25519_PUBLIC];
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	mx_signing_key_public(k, public);
	mx_base64(b, public, sizeof(public));
	printf("%s: %.*s %s\n", what, MX_SFMT(mx_signing_key_id(k)), mx_buf_cstr(b));
}

static mx_error *
make(const char *path)
{
	MX_AUTO(mx_signing_key) *k = mx_signing_key_generate();
	mx_error *e = mx_signing_key_save(k, path);

	if (mx_error_is(e, MX_E_EXISTS)) {
		mx_error_free(&e);
		return mx_error_new(
			MX_E_EXISTS,
			"%s exists already, and a signing key is never overwritten: without it the "
			"server's older events cannot be told from forged ones. Choose another "
			"name, or replace it "
			"with: myelinctl key rotate %s",
			path, path);
	}
	if (e == NULL)
		show("public key", k);
	return mx_error_wrap(e, "the key was not made");
}

/* Appends the public half of a key that is used no more: other servers still check old events with
 * it. */
static mx_error *
retire(const struct mx_signing_key *k, const char *path)
{
	unsigned char public[MX_ED25519_PUBLIC];
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
	bool written;

	if (fd < 0)
		return mx_error_new(MX_E_CONFIG, "%s: %s", path, strerror(errno));
	mx_signing_key_public(k, public);
	mx_buf_str(b, mx_signing_key_id(k));
	mx_buf_byte(b, ' ');
	mx_base64(b, public, sizeof(public));
	mx_buf_printf(b, " %lld\n", (long long)mx_now());
	written = write(fd, mx_buf_view(b).p, mx_buf_view(b).n) == (ssize_t)mx_buf_view(b).n &&
		  fsync(fd) == 0;
	if (close(fd) != 0 || !written)
		return mx_error_new(MX_E_CONFIG, "%s: %s", path, strerror(errno));
	return NULL;
}

/* The new key is on the disk and the old one is on record before the one takes the other's place.
 */
static mx_error *
replace(const char *path)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	MX_AUTO(mx_signing_key) *old = NULL;
	MX_AUTO(mx_signing_key) *new = NULL;
	const char *fresh = mx_arena_printf(a, "%s.new", path).p;
	const char *retired = mx_arena_printf(a, "%s.retired", path).p;
	mx_error *e;

	MX_TRY(mx_error_wrap(mx_signing_key_load(path, &old), "the key was not changed"));
	do {
		mx_signing_key_free(&new);
		new = mx_signing_key_generate();
	} while (mx_str_eq(mx_signing_key_id(new), mx_signing_key_id(old)));
	e = mx_signing_key_save(new, fresh);
	if (mx_error_is(e, MX_E_EXISTS)) {
		mx_error_free(&e);
		return mx_error_new(
			MX_E_EXISTS,
			"the key was not changed: %s is left from another attempt; remove it first",
			fresh);
	}
	if (e == NULL)
		e = retire(old, retired);
	if (e == NULL && rename(fresh, path) != 0)
		e = mx_error_new(MX_E_CONFIG, "%s: %s", path, strerror(errno));
	if (e != NULL) {
		unlink(fresh);
		return mx_error_wrap(e, "the key was not changed");
	}
	show("old public key", old);
	show("new public key", new);
	printf("The old one is noted in %s, so that older events can still be checked. Restart the "
	       "server to use the new one.\n",
	       retired);
	return NULL;
}

/* The paths come from the command line: a wrong one is no mistake in the configuration. */
static mx_error *
generate(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	mx_error *e = make(args[0]);

	(void)ctl, (void)n;
	*status = e != NULL ? MX_CTL_FAILED : MX_CTL_OK;
	return e;
}

static mx_error *
rotate(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	mx_error *e = replace(args[0]);

	(void)ctl, (void)n;
	*status = e != NULL ? MX_CTL_FAILED : MX_CTL_OK;
	return e;
}

const struct mx_ctl_command mx_ctl_key_commands[] = {
	{ "key generate", "FILE", "makes a signing key",
	  "The file gets mode 0600 and is never overwritten. [server] signing_key names it. Keep a "
	  "copy in a safe place.",
	  1, 1, generate },
	{ "key rotate", "FILE", "replaces the signing key by a new one",
	  "The public half of the old key is added to FILE.retired, with the time. A running "
	  "server uses the new key after\n"
	  "a restart.",
	  1, 1, rotate },
};
const size_t mx_ctl_key_command_count =
	sizeof(mx_ctl_key_commands) / sizeof(mx_ctl_key_commands[0]);
