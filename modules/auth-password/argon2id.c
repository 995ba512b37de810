/* Argon2id by libsodium. The cost is paid by the caller's thread. */
#include "config.h"

#include "auth_password.h"

#include <sodium.h>
#include <stdlib.h>

static bool
claims(mx_str hash)
{
	return mx_str_starts(hash, MX_S("$argon2id$"));
}

static mx_error *
verify(struct mx_module_self *self, mx_str hash, mx_str password, bool *right)
{
	char text[crypto_pwhash_STRBYTES] = { 0 };

	(void)self;
	*right = false;
	if (hash.n >= sizeof(text))
		return NULL;
	memcpy(text, hash.p, hash.n);
	*right = crypto_pwhash_str_verify(text, password.p, password.n) == 0;
	return NULL;
}

static char *
hash(struct mx_module_self *self, mx_str password)
{
	const struct auth_password_options *o = mx_self_options(self);
	char text[crypto_pwhash_STRBYTES];

	if (crypto_pwhash_str_alg(text, password.p, password.n, (unsigned long long)o->operations,
				  (size_t)o->memory.bytes, crypto_pwhash_ALG_ARGON2ID13) != 0)
		return NULL;
	return mx_str_dup(mx_str_of(text));
}

static bool
outdated(struct mx_module_self *self, mx_str old)
{
	const struct auth_password_options *o = mx_self_options(self);
	char text[crypto_pwhash_STRBYTES] = { 0 };

	if (old.n >= sizeof(text))
		return true;
	memcpy(text, old.p, old.n);
	return crypto_pwhash_str_needs_rehash(text, (unsigned long long)o->operations,
					      (size_t)o->memory.bytes) != 0;
}

const struct mx_password_ops auth_password_argon2id = {
	.size = sizeof(struct mx_password_ops),
	.claims = claims,
	.verify = verify,
	.hash = hash,
	.outdated = outdated,
};
