/* The module ABI: what a module says of itself. It exports one symbol, made by MX_MODULE: constant
 * data first, then the functions of its life. The core copies rows and strings at load; nothing
 * points into a module after it is unloaded.
 *
 * Log of changes to the ABI (newest first):
 *   2026-11-24  1.3  migrations in phases; patience and index, of a storage driver; lock_us and lock_wait_us,
 *                    of mx_sql_stats; mx_conn_rest; mx_run_is_ours; mx_request_age; mx_events_drop_lost;
 *                    rooms and memos, of a sync, and mx_sync_memo; MX_REASON_VOUCHER. A job has to say who runs it.
 *   2026-11-24  1.2  the hooks room_succeeded and told, mx_core_tell; mx_room_create_along; mx_shape_parse and
 *                    mx_events_write_as; done, of a stage;
 *                    mx_uia_pass; the service threepids;
 *                    mx_core_has_route.
 *   2026-11-24  1.1  the durable hook event_after.
 *   2026-11-24  1.0  first.
 */
#ifndef MYELIN_MODULE_H
#define MYELIN_MODULE_H

#include <myelin/core.h>
#include <myelin/hook.h>
#include <myelin/log.h>
#include <myelin/storage.h>

#define MX_ABI_MAJOR 1
#define MX_ABI_MINOR 3
#define MX_MODULE_MAGIC 0x4d79656cu	/* "Myel" */

/* ---- options: [module-name] in myelin.conf ---- */
enum mx_option_type {
	MX_OPT_BOOL = 1,		/* yes no true false on off 1 0 */
	MX_OPT_INT = 2,			/* int64_t */
	MX_OPT_STR = 3,			/* const char * */
	MX_OPT_MSEC = 4,		/* struct mx_duration; "10s", "5m", "2h", "1d", "250ms" */
	MX_OPT_SIZE = 5,		/* struct mx_size; "64K", "50M", "1G" */
	MX_OPT_LIST = 6,		/* struct mx_list; words or quoted strings, separated by commas */
};
struct mx_duration { mx_msec ms; };
struct mx_size { int64_t bytes; };
struct mx_list { const char *const *v; size_t n; };	/* NULL-ended too */

enum mx_option_flags {
	MX_OPT_REQUIRED = 1 << 0,
	MX_OPT_SECRET = 1 << 1,		/* never printed; NAME_file = PATH reads it from a file */
	MX_OPT_RELOAD = 1 << 2,		/* a changed value takes effect at reload, without a restart */
};
struct mx_option {
	const char *name;
	uint32_t type, flags;
	uint32_t offset;		/* in the module's options struct */
	const char *def;		/* as it would stand in the file; NULL: zero, NULL, empty */
	int64_t min, max;		/* numbers, sizes, durations (ms); both 0: any not negative */
	const char *choices;		/* of a string: "a|b|c"; NULL: any */
	const char *help;		/* one line */
};
#define MX_OPT_TYPE_(m)                                                                            \
	_Generic((m), bool: MX_OPT_BOOL, int64_t: MX_OPT_INT, const char *: MX_OPT_STR,            \
		 struct mx_duration: MX_OPT_MSEC, struct mx_size: MX_OPT_SIZE, struct mx_list: MX_OPT_LIST)
/* MX_OPT(struct push_options, retries, .def = "5", .max = 20, .help = "Attempts per push.") */
#define MX_OPT(strct, member, ...)                                                                 \
	{ .name = #member, .type = MX_OPT_TYPE_(((strct *)0)->member),                             \
	  .offset = offsetof(strct, member), __VA_ARGS__ }

/* ---- providers and services ---- */
struct mx_provider_row {
	const char *kind, *name;	/* "storage" "sqlite"; a second one of a name is an error */
	uint32_t abi;			/* of the kind: MX_STORAGE_ABI … */
	const void *ops;
};
struct mx_service_row {
	const char *name;		/* "directory" */
	uint32_t version;
	const void *functions;		/* a table that starts with its size */
};

/* ---- jobs ---- */
struct mx_job_row {
	const char *name;
	mx_msec every;			/* from end to start, with a tenth of jitter; doubled after a failure, to an hour */
	uint32_t who;			/* enum mx_hook_who: MX_EVERY_PROCESS, or MX_ONE_PROCESS: of all that share the
					 * database one at a time runs it, and what a process that dies had in hand
					 * is begun anew by another within seconds */
	mx_error *(*run)(struct mx_module_self *self);
};

/* For a job of one process, and for the durable hook, while it runs: whether it is still this
 * process's to do. Where several share a database and this one was paused for seconds, another has
 * taken the work over: then false, and whatever is written from the same thread is refused with
 * MX_E_UNAVAILABLE. To be asked before each effect outside of the database. */
MX_API bool mx_run_is_ours(void);

/* ---- metrics: read when asked for ---- */
struct mx_metric_row {
	const char *name;		/* "myelin_" and the module's name are put before it */
	const char *help;
	uint32_t counter;		/* 1: only grows; 0: a gauge */
	int64_t (*read)(struct mx_module_self *self);
};

/* ---- commands of myelinctl: `myelinctl NAME ARGUMENTS` ---- */
struct mx_command_row {
	const char *name;		/* "example count" */
	const char *usage, *help;
	/* Prints onto out. */
	mx_error *(*run)(struct mx_module_self *self, const mx_str *args, size_t n,
			 struct mx_buf *out);
};

/* ---- the descriptor ---- */
struct mx_table {
	const void *rows;
	uint32_t count, stride;
};
#define MX_TABLE(array) { (array), sizeof(array) / sizeof((array)[0]), sizeof((array)[0]) }

enum mx_module_flags {
	MX_MODULE_RESIDENT = 1 << 0,	/* stays mapped after unloading (a library of it cannot be closed) */
};

struct mx_module {
	uint32_t magic, size, abi_major, abi_minor, flags, reserved;
	const char *name;		/* "push-http" */
	const char *version;
	const char *summary;		/* one line */
	const char *requires;		/* "client-rooms, directory>=1": modules, services; "?x" is used when there */
	struct mx_table options;
	uint32_t options_size;		/* sizeof the options struct */
	uint32_t reserved2;
	struct mx_table migrations, routes, hooks, providers, services, jobs, metrics, commands;
	/* Life. Each may be NULL. configure: looks at its options, touches nothing. start: after
	 * all are configured and migrated. reload: options changed. drain: no new work comes; stop:
	 * none runs any more, free everything. */
	mx_error *(*configure)(struct mx_module_self *self);
	mx_error *(*start)(struct mx_module_self *self);
	mx_error *(*reload)(struct mx_module_self *self);
	void (*drain)(struct mx_module_self *self);
	void (*stop)(struct mx_module_self *self);
};
/* MX_MODULE(push_http) = { MX_MODULE_HEAD("push-http", "1.0", "Delivers …"), … };  the file is
 * push_http.so */
#define MX_MODULE(ident)                                                                           \
	extern MX_API const struct mx_module ident##_LTX_mx_module;                                \
	const struct mx_module ident##_LTX_mx_module
#define MX_MODULE_HEAD(name_, version_, summary_)                                                  \
	.magic = MX_MODULE_MAGIC, .size = sizeof(struct mx_module), .abi_major = MX_ABI_MAJOR,     \
	.abi_minor = MX_ABI_MINOR, .name = (name_), .version = (version_), .summary = (summary_)

/* ---- the module itself, as handlers and hooks receive it ---- */
MX_API struct mx_core *mx_self_core(struct mx_module_self *self);
MX_API const char *mx_self_name(const struct mx_module_self *self);
/* The options struct, filled. Pinned for the call: a reload makes a new one, and strings of the old
 * stay valid until the request or hook ends. */
MX_API const void *mx_self_options(struct mx_module_self *self);
MX_API void mx_self_set_state(struct mx_module_self *self, void *state);	/* in start; free it in stop */
MX_API void *mx_self_state(struct mx_module_self *self);
/* A service that this module requires (or NULL for an absent optional one). */
MX_API const void *mx_self_service(struct mx_module_self *self, const char *name);

#endif
