/* From a configuration file to an open server without HTTP: what myelind starts with, and what
 * myelinctl opens when no server runs. The process moves into the folder of the configuration, so
 * that relative paths there mean what they say. */
#ifndef CORE_DAEMON_SETUP_H
#define CORE_DAEMON_SETUP_H

#include "core/daemon/sections.h"
#include "core/runtime/conf.h"
#include "core/runtime/core.h"
#include "core/sql/db.h"

struct mx_setup {
	struct mx_core *core;
	struct mx_config *config;
	struct mx_values *sections[MX_CORE_SECTIONS];
	char *file;			/* absolute */
	const char *const *set;		/* the caller's, as long as the setup */
	size_t set_count;
	mx_str provider, where;		/* of the database's url */
	struct mx_module_self *storage;
	const void *storage_ops;
	int lock, database_lock;
};

struct mx_setup_options {
	const char *file;		/* NULL: where it is installed */
	const char *const *set;		/* "section.name=value" */
	size_t set_count;
	void (*wake)(void *arg);	/* as in struct mx_modules_setup */
	void *wake_arg;
};

/* Reads and checks everything: files, options, modules. MX_E_CONFIG has all mistakes, a line each.
 * On failure too *out is there, and is closed by mx_setup_close. */
mx_error *mx_setup_read(const struct mx_setup_options *o, struct mx_setup **out) MX_MUST_USE;
/* The filled options of a section of the core. */
const void *mx_setup_section(const struct mx_setup *s, const char *name);
/* Only one process at a time may be past this with one configuration, and with one database that is
 * not shared. MX_E_EXISTS: another is. */
mx_error *mx_setup_lock(struct mx_setup *s) MX_MUST_USE;
/* The tables of the core, and with those of the loaded modules: how many there are. A module's are
 * there as long as it is. */
size_t mx_setup_core_tables(struct mx_core *core, struct mx_migration_set *out);
size_t mx_setup_tables(struct mx_core *core, struct mx_migration_set *out, size_t max);
enum { MX_SETUP_TABLES_MAX = 128 };
/* Only the database, as it is: its tables are not brought up to date. */
mx_error *mx_setup_open_database(struct mx_setup *s) MX_MUST_USE;
/* The key, the database, the stream, accounts and rooms. Modules are registered, but not started.
 */
mx_error *mx_setup_open(struct mx_setup *s) MX_MUST_USE;
/* The configuration as the files are now, checked, with new values of the core's sections. */
mx_error *mx_setup_reread(struct mx_setup *s, struct mx_config **config,
			  struct mx_values *sections[MX_CORE_SECTIONS]) MX_MUST_USE;
/* The same unchecked: for a module that is about to be loaded. */
struct mx_config *mx_setup_config(const struct mx_setup *s);
/* Closes what is open. Nothing of the server may run any more. */
void mx_setup_close(struct mx_setup **s);

#endif
