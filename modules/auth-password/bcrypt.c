/* Bcrypt, for accounts that come from Synapse: verified only, and replaced at the first login.
 * Synapse may append a pepper to each password (its password_config.pepper). */
#include "config.h"

#include "auth_password.h"

#include <crypt.h>
#include <sodium.h>
#include <stdlib.h>

static bool
claims(mx_str hash)
{
	return mx_str_starts(hash, MX_S("$2a$")) || mx_str_starts(hash, MX_S("$2b$")) ||
	       mx_str_starts(hash, MX_S("$2y$"));
}

static mx_error *
verify(struct mx_module_self *self, mx_str hash, mx_str password, bool *right)
{
	const struct auth_password_options *o = mx_self_options(self);
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct crypt_data *data = mx_alloc(sizeof(*data));
	const char *pepper = o->bcrypt_pepper != NULL ? o->bcrypt_pepper : "";
	mx_str phrase = mx_arena_printf(a, "%.*s%s", MX_SFMT(password), pepper);

	const char *made = crypt_r(phrase.p, mx_arena_str(a, hash).p, data);
	/* A failure is a text that begins with '*', and no hash does. */
	*right = made != NULL && made[0] == '$' && strlen(made) == hash.n &&
		 sodium_memcmp(made, hash.p, hash.n) == 0;
	sodium_memzero((char *)(uintptr_t)phrase.p, phrase.n);
	sodium_memzero(data, sizeof(*data));
	free(data);
	return NULL;
}

const struct mx_password_ops auth_password_bcrypt = {
	.size = sizeof(struct mx_password_ops), .claims = claims, .verify = verify,
};
