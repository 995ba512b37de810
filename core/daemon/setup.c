#include "config.h"

#include "core/daemon/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/account/accounts.h"
#include "core/daemon/handover.h"
#include "core/http/fetch.h"
#include "core/http/server.h"
#include "core/room/rooms.h"
#include "core/runtime/durable.h"
#include "core/runtime/hooks.h"
#include "core/runtime/jobs.h"
#include "core/runtime/lease.h"
#include "core/runtime/loader.h"
#include "core/sql/db.h"
#include "core/stream/stream.h"

/* ---- reading ---- */

const void *
mx_setup_section(const struct mx_setup *s, const char *name)
{
	for (size_t i = 0; i < MX_CORE_SECTIONS; i++)
		if (strcmp(mx_core_section(i)->name, name) == 0)
			return s->sections[i] != NULL ? s->sections[i]->data : NULL;
	return NULL;
}

struct mx_config *
mx_setup_config(const struct mx_setup *s)
{
	struct mx_config *c = mx_config_read(s->file, NULL);

	for (size_t i = 0; i < s->set_count; i++)
		mx_config_set(c, s->set[i]);
	return c;
}

static void
bind_core(struct mx_config *c, struct mx_values *sections[MX_CORE_SECTIONS])
{
	for (size_t i = 0; i < MX_CORE_SECTIONS; i++) {
		const struct mx_core_section *row = mx_core_section(i);

		sections[i] = mx_config_bind(c, row->name, row->rows, *row->n, row->size, 0);
	}
}

/* The absolute path of the file; its folder becomes the working directory. */
static mx_error *
move_in(struct mx_setup *s, const char *file)
{
	char *slash;
	mx_error *e = NULL;

	s->file = realpath(file, NULL);
	if (s->file == NULL)
		return mx_error_new(MX_E_CONFIG,
				    "%s: cannot be read: %s; --config names another file", file,
				    strerror(errno));
	slash = strrchr(s->file, '/');
	*slash = 0;
	if (chdir(slash == s->file ? "/" : s->file) != 0)
		e = mx_error_new(MX_E_CONFIG, "%s: cannot be entered: %s", s->file,
				 strerror(errno));
	*slash = '/';
	return e;
}

static void
check_name(struct mx_setup *s)
{
	mx_str name = mx_core_server_name(s->core);

	if (name.n > 0 && !mx_id_server(name))
		mx_config_mistake(s->config, "server", "name",
				  "[server] name = %s: expected a server name such as example.org",
				  name.p);
}

static void
read_url(struct mx_setup *s)
{
	const struct mx_db_options *db = mx_setup_section(s, "database");
	mx_error *e;

	if (db->url == NULL)
		return;
	e = mx_db_url(mx_str_of(db->url), &s->provider, &s->where);
	if (e != NULL)
		mx_config_mistake(s->config, "database", "url", "[database] url: %s",
				  mx_error_text(e));
	mx_error_free(&e);
}

/* A handler holds a connection while it waits for its write: with fewer of them than workers,
 * workers would only wait for each other. */
static void
check_readers(struct mx_setup *s)
{
	const struct mx_http_options *http = mx_setup_section(s, "http");
	const struct mx_db_options *db = mx_setup_section(s, "database");

	if (db->readers < http->workers)
		mx_config_mistake(s->config, "database", "readers",
				  "[database] readers = %" PRId64 ": must not be less than "
				  "[http] workers = %" PRId64,
				  db->readers, http->workers);
}

static void
check_versions(struct mx_setup *s)
{
	const struct mx_rooms_options *rooms = mx_setup_section(s, "rooms");
	mx_error *e = mx_rooms_check_versions(rooms);

	if (e != NULL)
		mx_config_mistake(
			s->config, "rooms",
			rooms->creatable_versions.n != 0 ? "creatable_versions" : "default_version",
			"%s", mx_error_text(e));
	mx_error_free(&e);
}

static void
find_storage(struct mx_setup *s, const char *scheme)
{
	s->storage_ops = mx_modules_provider(s->core, "storage", scheme, &s->storage);
	if (s->storage_ops == NULL)
		mx_config_mistake(
			s->config, "database", "url",
			"[database] url: there is no module for %s: databases; it would be "
			"storage-%s (is it installed, and not switched off?)",
			scheme, scheme);
}

static void
open_modules(struct mx_setup *s, const struct mx_setup_options *o)
{
	const char *control = s->core->server.control, *slash = strrchr(control, '/');
	char *folder = slash != NULL ? mx_str_dup((mx_str){ control, (size_t)(slash - control) })
				     : mx_str_dup(MX_S("."));
	char *scheme = s->provider.n > 0 ? mx_str_dup(s->provider) : NULL;
	struct mx_modules_setup setup = {
		.options = mx_setup_section(s, "modules"),
		.storage = scheme,
		.folder = folder,
		.wake = o->wake,
		.wake_arg = o->wake_arg,
	};

	mx_modules_open(s->core, s->config, &setup);
	if (scheme != NULL)
		find_storage(s, scheme);
	free(folder);
	free(scheme);
}

mx_error *
mx_setup_read(const struct mx_setup_options *o, struct mx_setup **out)
{
	struct mx_setup *s = mx_alloc(sizeof(*s));

	*out = s;
	s->lock = s->database_lock = -1;
	s->set = o->set;
	s->set_count = o->set_count;
	s->core = mx_core_new(NULL);
	MX_TRY(move_in(s, o->file != NULL ? o->file : MX_SYSCONFDIR "/myelin/myelin.conf"));
	s->config = mx_setup_config(s);
	s->core->config = s->config;
	bind_core(s->config, s->sections);
	s->core->server = *(const struct mx_server_options *)mx_setup_section(s, "server");
	check_name(s);
	read_url(s);
	check_readers(s);
	check_versions(s);
	open_modules(s, o);
	MX_TRY(mx_config_check(s->config));
	return mx_modules_configure(s->core);
}

mx_error *
mx_setup_reread(struct mx_setup *s, struct mx_config **config,
		struct mx_values *sections[MX_CORE_SECTIONS])
{
	*config = mx_setup_config(s);
	bind_core(*config, sections);
	mx_modules_declare(s->core, *config);
	return mx_config_check(*config);
}

/* ---- one server at a time ---- */

/* Takes the lock of a file and leaves the process's number in it. */
static mx_error *
lock_file(const char *path, const char *what, int *out)
{
	char text[32];
	ssize_t n;
	int fd = mx_handover_lock(path);

	if (fd < 0)
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return mx_error_new(MX_E_CONFIG, "%s cannot be opened: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		n = pread(fd, text, sizeof(text) - 1, 0);
		text[n > 0 ? n : 0] = 0;
		text[strcspn(text, "\n")] = 0;
		close(fd);
		return mx_error_new(MX_E_EXISTS,
				    "%s is in use by another process%s%s (%s is locked)", what,
				    text[0] != 0 ? ", number " : "", text, path);
	}
	n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) {
		mx_error *e = mx_error_new(MX_E_CONFIG, "%s cannot be written: %s", path,
					   strerror(errno));

		close(fd);
		return e;
	}
	*out = fd;
	return NULL;
}

static mx_error *
lock_beside(const char *path, const char *what, int *out)
{
	const char *slash = strrchr(path, '/');
	char *folder, *name;
	mx_error *e = NULL;

	if (slash != NULL && slash != path) {
		folder = mx_str_dup((mx_str){ path, (size_t)(slash - path) });
		if (mkdir(folder, 0700) != 0 && errno != EEXIST)
			e = mx_error_new(MX_E_CONFIG, "the folder %s cannot be made: %s", folder,
					 strerror(errno));
		free(folder);
	}
	if (e != NULL)
		return e;
	if (asprintf(&name, "%s.lock", path) < 0)
		abort();
	e = lock_file(name, what, out);
	free(name);
	return e;
}

mx_error *
mx_setup_lock(struct mx_setup *s)
{
	const struct mx_storage_ops *ops = s->storage_ops;
	mx_error *e = NULL;
	char *where;

	MX_TRY(lock_beside(s->core->server.control, "this configuration", &s->lock));
	/* A database that other processes must not use is a file; ":memory:" and the like are
	 * nobody else's anyway. */
	if ((ops->caps & MX_STORAGE_NOTIFY) != 0 || s->where.n == 0 || s->where.p[0] == ':')
		return NULL;
	where = mx_str_dup(s->where);
	e = lock_beside(where, "the database", &s->database_lock);
	free(where);
	return e;
}

/* ---- opening ---- */

static mx_error *
open_key(struct mx_setup *s)
{
	const char *path = s->core->server.signing_key;
	mx_error *e = mx_signing_key_load(path, &s->core->key);

	if (e == NULL)
		return NULL;
	if (access(path, F_OK) != 0 && errno == ENOENT) {
		mx_error_free(&e);
		return mx_error_new(MX_E_CONFIG,
				    "[server] signing_key: there is no file %s; make one: "
				    "myelinctl key generate %s",
				    path, path);
	}
	return mx_error_wrap(e, "[server] signing_key");
}

static mx_error *
open_rooms(struct mx_setup *s)
{
	struct mx_core *core = s->core;
	struct mx_rooms_config config = {
		.db = core->db,
		.stream = core->stream,
		.key = core->key,
		.server_name = mx_core_server_name(core),
		.options = mx_setup_section(s, "rooms"),
		.event_check = mx_hooks_event_check,
		.event_stored = mx_hooks_event_stored,
		.arg = core,
	};

	return mx_rooms_open(&config, &core->rooms);
}

size_t
mx_setup_core_tables(struct mx_core *core, struct mx_migration_set *out)
{
	size_t n = 0;

	if (core->shared)
		out[n++] = mx_lease_tables;
	out[n++] = mx_stream_tables;
	out[n++] = mx_accounts_tables;
	out[n++] = mx_rooms_tables;
	out[n++] = mx_durable_tables;
	return n;
}

size_t
mx_setup_tables(struct mx_core *core, struct mx_migration_set *out, size_t max)
{
	size_t n = mx_setup_core_tables(core, out);

	return n + mx_modules_tables(core, &out[n], max - n);
}

/* The tables of all in one commit. If that fails, whose they are makes them and says why not. */
static void
make_tables(struct mx_core *core)
{
	struct mx_migration_set sets[MX_SETUP_TABLES_MAX];
	size_t n = mx_setup_tables(core, sets, MX_SETUP_TABLES_MAX);

	(void)mx_error_drop(mx_migrate_all(core->db, sets, n));
}

mx_error *
mx_setup_open_database(struct mx_setup *s)
{
	struct mx_core *core = s->core;
	const struct mx_storage_ops *ops = s->storage_ops;

	MX_TRY(mx_modules_register(core));
	MX_TRY(mx_error_wrap(mx_db_open(ops, mx_self_options(s->storage), s->where,
					mx_setup_section(s, "database"), &core->db),
			     "the database cannot be opened"));
	core->shared = (ops->caps & MX_STORAGE_NOTIFY) != 0;
	return NULL;
}

mx_error *
mx_setup_open(struct mx_setup *s)
{
	struct mx_core *core = s->core;

	MX_TRY(open_key(s));
	MX_TRY(mx_setup_open_database(s));
	make_tables(core);
	if (core->shared) {
		MX_TRY(mx_migrate_set(core->db, &mx_lease_tables));
		core->leases = mx_leases_new(core->db, MX_LEASE_MS);
	}
	MX_TRY(mx_stream_open(core->db, mx_setup_section(s, "stream"), &core->stream));
	MX_TRY(mx_accounts_open(core, core->db, core->stream, mx_core_server_name(core),
				mx_setup_section(s, "account"), &core->accounts));
	MX_TRY(open_rooms(s));
	MX_TRY(mx_migrate_set(core->db, &mx_durable_tables));
	mx_durable_new(core, mx_events_after);
	if (core->shared)
		mx_stream_follow(core->stream, mx_durable_foreign, core);
	return NULL;
}

void
mx_setup_close(struct mx_setup **setup)
{
	struct mx_setup *s = *setup;
	struct mx_core *core;

	*setup = NULL;
	if (s == NULL)
		return;
	core = s->core;
	if (core->db != NULL)
		mx_db_unfollow(core->db);
	mx_modules_stop(core);
	mx_fetcher_free(&core->fetcher);
	if (core->durable != NULL && core->shared)
		mx_stream_unfollow(core->stream, core);
	if (core->accounts != NULL)
		mx_accounts_close(&core->accounts);
	if (core->rooms != NULL)
		mx_rooms_close(&core->rooms);
	if (core->stream != NULL)
		mx_stream_close(&core->stream);
	mx_leases_free(&core->leases);
	if (core->db != NULL)
		mx_db_close(&core->db);
	mx_durable_free(core);
	mx_modules_release(s->storage);
	mx_modules_close(core);
	mx_signing_key_free(&core->key);
	for (size_t i = 0; i < MX_CORE_SECTIONS; i++)
		mx_values_free(&s->sections[i]);
	mx_config_free(&s->config);
	if (s->database_lock >= 0)
		close(s->database_lock);
	if (s->lock >= 0)
		close(s->lock);
	mx_core_free(&s->core);
	free(s->file);
	free(s);
}
