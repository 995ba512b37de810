/* Hooks: places where the server asks its modules, or tells them. Each is declared once, in
 * hooks.def. A row in a module's table fills the slot of one hook with a function of exactly its
 * type: a wrong name or signature does not compile. Handlers run in order of priority (lower
 * first), then of module name. */
#ifndef MYELIN_HOOK_H
#define MYELIN_HOOK_H

#include <myelin/room.h>
#include <myelin/sync.h>

struct mx_module_self;

enum mx_verdict { MX_NO_OPINION = 0, MX_ALLOW = 1, MX_REFUSE = 2 };

/* Which of the processes that share a database: hooks.def says what each means for a hook, mx_job_row for
 * a job. */
enum mx_hook_who { MX_EVERY_PROCESS = 0, MX_ONE_PROCESS = 1, MX_WRITER = 2 };

enum mx_prio {
	MX_PRIO_FIRST = 0,
	MX_PRIO_POLICY = 1000,
	MX_PRIO_NORMAL = 2000,
	MX_PRIO_LAST = 3000
};

enum mx_hook_id {
#define MX_HOOK_DECIDE(name, safe, params, args) MX_HOOK_ID_##name,
#define MX_HOOK_NOTIFY(name, who, params, args) MX_HOOK_ID_##name,
#define MX_HOOK_DURABLE(name, params, args) MX_HOOK_ID_##name,
#define MX_HOOK_COLLECT(name, params, args) MX_HOOK_ID_##name,
#include <myelin/hooks.def>
#undef MX_HOOK_DECIDE
#undef MX_HOOK_NOTIFY
#undef MX_HOOK_DURABLE
#undef MX_HOOK_COLLECT
	MX_HOOK_COUNT
};

#define MX_HOOK_DECIDE(name, safe, params, args) typedef enum mx_verdict mx_hook_##name##_fn params;
#define MX_HOOK_NOTIFY(name, who, params, args) typedef void mx_hook_##name##_fn params;
#define MX_HOOK_DURABLE(name, params, args) typedef mx_error *mx_hook_##name##_fn params;
#define MX_HOOK_COLLECT(name, params, args) typedef void mx_hook_##name##_fn params;
#include <myelin/hooks.def>
#undef MX_HOOK_DECIDE
#undef MX_HOOK_NOTIFY
#undef MX_HOOK_DURABLE
#undef MX_HOOK_COLLECT

union mx_hook_fn {
#define MX_HOOK_DECIDE(name, safe, params, args) mx_hook_##name##_fn *name;
#define MX_HOOK_NOTIFY(name, who, params, args) mx_hook_##name##_fn *name;
#define MX_HOOK_DURABLE(name, params, args) mx_hook_##name##_fn *name;
#define MX_HOOK_COLLECT(name, params, args) mx_hook_##name##_fn *name;
#include <myelin/hooks.def>
#undef MX_HOOK_DECIDE
#undef MX_HOOK_NOTIFY
#undef MX_HOOK_DURABLE
#undef MX_HOOK_COLLECT
	void (*any)(void);
};

struct mx_hook_row {
	uint32_t id;			/* enum mx_hook_id */
	int32_t priority;
	union mx_hook_fn fn;
	const char *const *types;	/* event_check, event_stored, event_after: only these event types, told: topics; NULL-ended; NULL: all */
};
/* static const struct mx_hook_row hooks[] = { MX_ON(event_check, MX_PRIO_POLICY, no_spam), }; */
#define MX_ON(name, prio, handler) { .id = MX_HOOK_ID_##name, .priority = (prio), .fn.name = (handler) }
#define MX_ON_TYPES(name, prio, handler, list) { .id = MX_HOOK_ID_##name, .priority = (prio), .fn.name = (handler), .types = (list) }

/* Runs the section hooks of /sync: for client-sync. The other runners are the core's own. */
MX_API void mx_run_sync_section(struct mx_core *core, const struct mx_sync *s,
				enum mx_sync_section section, struct mx_jw *w);
MX_API void mx_run_versions(struct mx_core *core, json_t *versions, json_t *unstable_features);
MX_API void mx_run_capabilities(struct mx_core *core, struct mx_request *rq, json_t *capabilities);
MX_API void mx_run_well_known(struct mx_core *core, json_t *document);
MX_API void mx_run_event_unsigned(struct mx_core *core, struct mx_request *rq,
				  struct mx_event *event, struct mx_buf *members);
MX_API void mx_run_profile_changed(struct mx_core *core, mx_nid user, mx_str user_id, mx_str field);
MX_API void mx_run_room_succeeded(struct mx_core *core, struct mx_conn *c, mx_nid user,
				  mx_str user_id, struct mx_room *from, struct mx_room *to);
/* MX_REFUSE: *why is set. */
MX_API mx_error *mx_check_register(struct mx_core *core, mx_str localpart,
				   mx_str address) MX_MUST_USE;
MX_API mx_error *mx_check_login(struct mx_core *core, mx_str user_id,
				mx_str login_type) MX_MUST_USE;
MX_API mx_error *mx_check_room_create(struct mx_core *core, mx_str user_id,
				      const json_t *request) MX_MUST_USE;
MX_API mx_error *mx_check_directory(struct mx_core *core, mx_str user_id, mx_str room_id,
				    mx_str alias) MX_MUST_USE;

#endif
