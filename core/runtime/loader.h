/* Loading, unloading and reloading modules. Everything here runs on the main thread only, as
 * libltdl wants it.
 *
 * At start: mx_modules_open finds and reads the modules that [modules] load names and binds their
 * options (mistakes go into the configuration's report), _configure and _register make them known,
 * and once the database is open _start migrates their tables and starts them, each after what it
 * requires. Afterwards mx_module_load, _unload and _reload change one module of a running server;
 * what is replaced leaves when its last pin is gone: mx_modules_reap stops, frees and closes. */
#ifndef CORE_RUNTIME_LOADER_H
#define CORE_RUNTIME_LOADER_H

#include "core/runtime/conf.h"
#include "core/runtime/core.h"
#include "core/runtime/image.h"
#include "core/runtime/module.h"

/* [modules] */
struct mx_modules_options {
	struct mx_list load, path, optional;
};
extern const struct mx_option mx_modules_option_rows[];
extern const size_t mx_modules_option_count;

/* [log] */
struct mx_log_options {
	const char *levels;
};
extern const struct mx_option mx_log_option_rows[];
extern const size_t mx_log_option_count;

struct mx_modules_setup {
	const struct mx_modules_options *options;	/* copied */
	const char *storage;		/* the scheme of [database] url: its module is loaded, other storage modules are not */
	const char *folder;		/* where a reload keeps private copies; made when needed */
	/* A module that leaves has lost its last pin, on any thread: have mx_modules_reap called
	 * soon. May be NULL. */
	void (*wake)(void *arg);
	void *wake_arg;
};

/* core->modules is set. Never fails: what is wrong stands in the configuration's report. */
void mx_modules_open(struct mx_core *core, struct mx_config *config,
		     const struct mx_modules_setup *setup);
mx_error *mx_modules_configure(struct mx_core *core) MX_MUST_USE;
mx_error *mx_modules_register(struct mx_core *core) MX_MUST_USE;
struct mx_migration_set;
/* The migrations of the loaded modules, of max at most: those of others run when they start. */
size_t mx_modules_tables(struct mx_core *core, struct mx_migration_set *out, size_t max);
mx_error *mx_modules_start(struct mx_core *core) MX_MUST_USE;
/* The provider of a kind and name among the open modules, and who it is: pinned, and never unloaded
 * from now on. */
const void *mx_modules_provider(struct mx_core *core, const char *kind, const char *name,
				struct mx_module_self **self);
void mx_modules_release(struct mx_module_self *self);

/* Tells every module to take no new work. */
void mx_modules_drain(struct mx_core *core);
/* Stops and closes all modules but those that are held (mx_modules_provider), in reverse order;
 * call it when nothing of the server runs any more. Then, once they are released too, _close ends
 * the rest. */
void mx_modules_stop(struct mx_core *core);
void mx_modules_close(struct mx_core *core);

/* ---- on a running server. MX_E_CONFIG with what to do; the server is as before then. ---- */
mx_error *mx_module_load(struct mx_core *core, struct mx_config *config,
			 const char *name) MX_MUST_USE;
mx_error *mx_module_unload(struct mx_core *core, const char *name) MX_MUST_USE;
/* Modules that use a service of it are reloaded with it. */
mx_error *mx_module_reload(struct mx_core *core, struct mx_config *config,
			   const char *name) MX_MUST_USE;
/* Finishes what has left and is not pinned any more; returns how many are still pinned. */
size_t mx_modules_reap(struct mx_core *core);

/* Takes up changed options of all loaded modules (MX_OPT_RELOAD); config was checked. The names of
 * options whose change needs a restart, one a line, onto notes. */
void mx_modules_reload_options(struct mx_core *core, struct mx_config *config,
			       struct mx_buf *notes);
/* Declares the sections of all loaded and of idle installed modules in another configuration, to
 * check it. */
void mx_modules_declare(struct mx_core *core, struct mx_config *config);

/* ---- looking at files, for tools: opens the object, runs none of its functions ---- */
mx_error *mx_module_peek(struct mx_core *core, const char *name_or_path,
			 struct mx_image **out) MX_MUST_USE;
/* The names of all modules that are installed, in order; strings in the arena. */
size_t mx_modules_installed(struct mx_core *core, struct mx_arena *a, const char ***names);

/* The modules that are linked into this program (./configure --enable-static-modules): the table
 * that libtool's -dlpreopen makes, lt_preloaded_symbols of <ltdl.h>. Before anything else of the
 * loader, once; the table stays. A module that is linked in is found before one that is installed,
 * and is known as the file "linked:NAME". */
MX_API void mx_modules_linked(const void *preloaded_symbols);

/* Where modules are looked for when nothing else says so: the build tree of this program if it runs
 * uninstalled. */
const char *mx_modules_build_folder(struct mx_arena *a);

#endif
