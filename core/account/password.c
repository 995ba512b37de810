/* Passwords: which scheme hashes and which one knows a hash. The schemes are providers. */
#include "config.h"

#include "core/account/internal.h"

#include <myelin/log.h>
#include <stdlib.h>

mx_error *
password_possible(mx_str password)
{
	if (password.n == 0)
		return mx_error_new(MX_E_WEAK_PASSWORD, "The password is empty");
	if (password.n > MX_ACCOUNT_PASSWORD_MAX)
		return mx_error_new(MX_E_INVALID_PARAM, "A password has at most %d bytes",
				    MX_ACCOUNT_PASSWORD_MAX);
	if (memchr(password.p, '\0', password.n) != NULL)
		return mx_error_new(MX_E_INVALID_PARAM, "A password must not contain NUL");
	return NULL;
}

mx_error *
mx_password_acceptable(struct mx_accounts *as, mx_str password)
{
	size_t characters = 0;

	MX_TRY(password_possible(password));
	for (size_t i = 0; i < password.n; i++)
		characters += ((unsigned char)password.p[i] & 0xc0) != 0x80;
	if (characters < (size_t)as->options->password_min_length)
		return mx_error_new(MX_E_WEAK_PASSWORD,
				    "The password must have at least %d characters",
				    (int)as->options->password_min_length);
	return NULL;
}

/* A walk over the schemes that stops where something was found. */
struct walk {
	mx_str password, hash;
	char *made;			/* password_hash: the new hash */
	bool claimed, right, stale;	/* verify */
};

static mx_error *
walk_hash(void *arg, const char *name, const void *ops, struct mx_module_self *self)
{
	const struct mx_password_ops *o = ops;
	struct walk *w = arg;

	(void)name;
	if (w->made == NULL && o->hash != NULL)
		w->made = o->hash(self, w->password);
	return NULL;
}

mx_error *
password_hash(struct mx_accounts *as, mx_str password, char **out)
{
	struct walk w = { .password = password };

	if (as->ports.providers != NULL)
		MX_TRY(as->ports.providers(as->ports.arg, "password", walk_hash, &w));
	if (w.made == NULL)
		return mx_error_new(MX_E_UNAVAILABLE, "The server has no way to keep passwords: no "
						      "module that hashes them is loaded");
	*out = w.made;
	return NULL;
}

static mx_error *
walk_verify(void *arg, const char *name, const void *ops, struct mx_module_self *self)
{
	const struct mx_password_ops *o = ops;
	struct walk *w = arg;

	(void)name;
	if (w->claimed || !o->claims(w->hash))
		return NULL;
	w->claimed = true;
	MX_TRY(o->verify(self, w->hash, w->password, &w->right));
	w->stale = o->hash == NULL || (o->size > offsetof(struct mx_password_ops, outdated) &&
				       o->outdated != NULL && o->outdated(self, w->hash));
	return NULL;
}

static mx_error *
verify(struct mx_accounts *as, struct walk *w)
{
	if (as->ports.providers != NULL)
		MX_TRY(as->ports.providers(as->ports.arg, "password", walk_verify, w));
	return NULL;
}

/* Who asks for an account that does not exist, or has no password, waits as long as who gives a
 * wrong password: it is compared with a hash of something random. */
static mx_error *
decoy_verify(struct mx_accounts *as, mx_str password)
{
	char random[33];

	pthread_mutex_lock(&as->decoy_lock);
	bool there = as->decoy != NULL;
	pthread_mutex_unlock(&as->decoy_lock);
	if (!there) {
		char *made;

		mx_random_text(random, 32);
		if (mx_error_drop(password_hash(as, mx_str_of(random), &made)))
			return NULL;
		pthread_mutex_lock(&as->decoy_lock);
		if (as->decoy == NULL) {
			as->decoy = made;
			made = NULL;
		}
		pthread_mutex_unlock(&as->decoy_lock);
		free(made);
	}
	struct walk w = { .password = password, .hash = mx_str_of(as->decoy) };
	return verify(as, &w);
}

static mx_error *
wrong(void)
{
	return mx_error_new(MX_E_FORBIDDEN, "The user name or the password is wrong");
}

/* ---- a hash of an older kind becomes one of the kind that we make ---- */

static const struct mx_sql PASSWORD_UPGRADE = MX_SQL(
	"UPDATE account SET password = $3 WHERE nid = $1 AND password = $2 AND deactivated = 0");

struct upgrade {
	mx_nid user;
	mx_str from, to;
};

static mx_error *
upgrade_write(struct mx_txn *tx, void *arg)
{
	const struct upgrade *u = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &PASSWORD_UPGRADE);

	mx_bind_int(q, 1, u->user);
	mx_bind_str(q, 2, u->from);
	mx_bind_str(q, 3, u->to);
	return mx_query_run(q);
}

static void
upgrade(struct mx_accounts *as, mx_nid user, mx_str from, mx_str password)
{
	char *made;

	if (mx_error_drop(password_hash(as, password, &made)))
		return;
	struct upgrade u = { .user = user, .from = from, .to = mx_str_of(made) };
	mx_error *e = mx_write(as->db, upgrade_write, &u);
	if (e != NULL)
		mx_log("account", MX_WARN, "ACC002", "a password's hash could not be renewed",
		       mx_fe(e));
	mx_error_free(&e);
	free(made);
}

static const struct mx_sql PASSWORD_GET = MX_SQL("SELECT password, deactivated FROM account WHERE nid = $1");

mx_error *
mx_user_check_password(struct mx_accounts *as, struct mx_conn *c, mx_nid user, mx_str password)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct walk w = { .password = password };

	if (mx_error_drop(password_possible(password)))
		return wrong();
	struct mx_query *q = mx_query(c, &PASSWORD_GET);
	mx_bind_int(q, 1, user);
	if (mx_query_next(q) && !mx_col_null(q, 0) && mx_col_int(q, 1) == 0)
		w.hash = mx_arena_str(a, mx_col_str(q, 0));
	MX_TRY(mx_query_end(q));
	if (w.hash.n == 0) {
		MX_TRY(decoy_verify(as, password));
		return wrong();
	}
	MX_TRY(verify(as, &w));
	if (!w.claimed)
		mx_log("account", MX_WARN, "ACC003",
		       "no loaded module knows the scheme of a stored password",
		       mx_fi("user", user));
	if (!w.right)
		return wrong();
	if (w.stale)
		upgrade(as, user, w.hash, password);
	return NULL;
}
