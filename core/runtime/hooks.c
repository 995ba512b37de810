#include "config.h"

#include "core/runtime/hooks.h"

#include "core/base/clock.h"
#include "core/runtime/durable.h"
#include "core/runtime/registry.h"

enum { SLOW_US = 100000, SLOW_SAID_EVERY_MS = 60000 };

/* One walk over the handlers of a hook. */
struct walk {
	struct mx_core *core;
	const struct mx_hook_list *list;
	size_t i;
	unsigned ticket;
	bool typed;
	mx_str type;
	int64_t began;			/* by the coarse clock: hooks are many and short */
};

static bool
filled(struct mx_core *core, enum mx_hook_id id)
{
	return core != NULL &&
	       (atomic_load_explicit(&core->hooked, memory_order_relaxed) >> id & 1) != 0;
}

static struct walk
walk_begin(struct mx_core *core, enum mx_hook_id id, const mx_str *type)
{
	struct walk w = { .core = core };
	struct mx_generation *g = mx_registry_enter(core, &w.ticket);

	w.list = g != NULL ? &g->hooks[id] : NULL;
	w.typed = type != NULL;
	if (type != NULL)
		w.type = *type;
	return w;
}

static bool
wants(const struct mx_hook_entry *h, mx_str type)
{
	for (size_t i = 0; i < h->type_count; i++)
		if (mx_str_eq(h->types[i], type))
			return true;
	return false;
}

static struct mx_hook_entry *
walk_next(struct walk *w)
{
	while (w->list != NULL && w->i < w->list->n) {
		struct mx_hook_entry *h = w->list->v[w->i++];

		if (w->typed && h->types != NULL && !wants(h, w->type))
			continue;
		w->began = mx_monotonic_coarse_us();
		return h;
	}
	mx_registry_leave(w->core, w->ticket);
	return NULL;
}

static void
count(struct walk *w, struct mx_hook_entry *h)
{
	int64_t took = mx_monotonic_coarse_us() - w->began, said;

	atomic_fetch_add_explicit(&h->calls, 1, memory_order_relaxed);
	if (took > 0)
		atomic_fetch_add_explicit(&h->us, (uint64_t)took, memory_order_relaxed);
	if (took < SLOW_US)
		return;
	said = atomic_load_explicit(&h->slow_said, memory_order_relaxed);
	if (said != 0 && mx_now() - said < SLOW_SAID_EVERY_MS)
		return;
	atomic_store_explicit(&h->slow_said, mx_now(), memory_order_relaxed);
	mx_log("runtime", MX_WARN, "RUN010", "slow hook", mx_fz("module", h->self->name),
	       mx_fz("hook", mx_hook_name(h->id)), mx_fi("ms", took / 1000));
}

/* What a handler of a decide hook said. A verdict that does not exist, and "no opinion" with an
 * error, are the hook's safe verdict. True: the walk is over. */
static bool
decided(struct walk *w, struct mx_hook_entry *h, enum mx_verdict safe, enum mx_verdict *v,
	mx_error **why)
{
	if ((unsigned)*v > MX_REFUSE || (*v == MX_NO_OPINION && *why != NULL))
		*v = safe;
	if (*v != MX_REFUSE)
		mx_error_free(why);
	else
		atomic_fetch_add_explicit(&h->refusals, 1, memory_order_relaxed);
	if (*v == MX_REFUSE && *why == NULL)
		*why = mx_error_new(MX_E_FORBIDDEN, "Refused by %s", h->self->name);
	if (*v == MX_NO_OPINION)
		return false;
	mx_registry_leave(w->core, w->ticket);
	return true;
}

/* The runners: run_NAME(core, type or NULL, self, …), where self is only a name for the arguments.
 */
#define PARAMS(...) __VA_ARGS__
#define MX_HOOK_DECIDE(name, safe, params, args) \
	static enum mx_verdict \
	run_##name(struct mx_core *core, const mx_str *type, PARAMS params) \
	{ \
		struct walk walk_ = walk_begin(core, MX_HOOK_ID_##name, type); \
		struct mx_hook_entry *entry_; \
\
		while ((entry_ = walk_next(&walk_)) != NULL) { \
			enum mx_verdict verdict_; \
\
			self = entry_->self; \
			verdict_ = entry_->fn.name args; \
			count(&walk_, entry_); \
			if (decided(&walk_, entry_, safe, &verdict_, why)) \
				return verdict_; \
		} \
		return MX_NO_OPINION; \
	}
#define MX_HOOK_COLLECT(name, params, args) \
	static void \
	run_##name(struct mx_core *core, const mx_str *type, PARAMS params) \
	{ \
		struct walk walk_ = walk_begin(core, MX_HOOK_ID_##name, type); \
		struct mx_hook_entry *entry_; \
\
		while ((entry_ = walk_next(&walk_)) != NULL) { \
			self = entry_->self; \
			entry_->fn.name args; \
			count(&walk_, entry_); \
		} \
	}
#define MX_HOOK_NOTIFY(name, who, params, args) MX_HOOK_COLLECT(name, params, args)
#define MX_HOOK_DURABLE(name, params, args)	/* durable.c tells them */
#include <myelin/hooks.def>
#undef MX_HOOK_DECIDE
#undef MX_HOOK_NOTIFY
#undef MX_HOOK_DURABLE
#undef MX_HOOK_COLLECT

/* Every decide hook ends in an error or none: "no opinion" lets pass. */
#define CHECK(core, id, call) \
	do { \
		mx_error *why = NULL; \
\
		if (!filled(core, id)) \
			return NULL; \
		return (call) == MX_REFUSE ? why : NULL; \
	} while (0)

mx_error *
mx_hooks_event_check(void *arg, struct mx_room *room, const struct mx_draft *draft)
{
	struct mx_core *core = arg;

	CHECK(core, MX_HOOK_ID_event_check,
	      run_event_check(core, &draft->type, NULL, room, draft, &why));
}

mx_error *
mx_check_register(struct mx_core *core, mx_str localpart, mx_str address)
{
	CHECK(core, MX_HOOK_ID_register_check,
	      run_register_check(core, NULL, NULL, localpart, address, &why));
}

mx_error *
mx_check_login(struct mx_core *core, mx_str user_id, mx_str login_type)
{
	CHECK(core, MX_HOOK_ID_login_check,
	      run_login_check(core, NULL, NULL, user_id, login_type, &why));
}

mx_error *
mx_check_room_create(struct mx_core *core, mx_str user_id, const json_t *request)
{
	CHECK(core, MX_HOOK_ID_room_create_check,
	      run_room_create_check(core, NULL, NULL, user_id, request, &why));
}

mx_error *
mx_check_directory(struct mx_core *core, mx_str user_id, mx_str room_id, mx_str alias)
{
	CHECK(core, MX_HOOK_ID_directory_check,
	      run_directory_check(core, NULL, NULL, user_id, room_id, alias, &why));
}

void
mx_hooks_event_stored(void *arg, struct mx_event *event)
{
	struct mx_core *core = arg;

	if (filled(core, MX_HOOK_ID_event_stored)) {
		mx_str type = mx_event_type(event);

		run_event_stored(core, &type, NULL, event);
	}
	if (filled(core, MX_HOOK_ID_event_after))
		mx_durable_poke(core);
}

void
mx_hooks_told(void *arg, mx_str text)
{
	struct mx_core *core = arg;
	mx_str topic;

	if (filled(core, MX_HOOK_ID_told) && mx_str_cut(text, ' ', &topic, &text))
		run_told(core, &topic, NULL, topic, text);
}

void
mx_run_user_created(struct mx_core *core, mx_nid user, mx_str user_id)
{
	if (filled(core, MX_HOOK_ID_user_created))
		run_user_created(core, NULL, NULL, user, user_id);
}

void
mx_run_user_deactivated(struct mx_core *core, mx_nid user, mx_str user_id)
{
	if (filled(core, MX_HOOK_ID_user_deactivated))
		run_user_deactivated(core, NULL, NULL, user, user_id);
}

void
mx_run_profile_changed(struct mx_core *core, mx_nid user, mx_str user_id, mx_str field)
{
	if (filled(core, MX_HOOK_ID_profile_changed))
		run_profile_changed(core, NULL, NULL, user, user_id, field);
}

void
mx_run_room_succeeded(struct mx_core *core, struct mx_conn *c, mx_nid user, mx_str user_id,
		      struct mx_room *from, struct mx_room *to)
{
	if (filled(core, MX_HOOK_ID_room_succeeded))
		run_room_succeeded(core, NULL, NULL, c, user, user_id, from, to);
}

void
mx_run_device_gone(struct mx_core *core, mx_nid user, mx_nid device, mx_str device_id)
{
	if (filled(core, MX_HOOK_ID_device_gone))
		run_device_gone(core, NULL, NULL, user, device, device_id);
}

void
mx_run_versions(struct mx_core *core, json_t *versions, json_t *unstable_features)
{
	if (filled(core, MX_HOOK_ID_versions))
		run_versions(core, NULL, NULL, versions, unstable_features);
}

void
mx_run_capabilities(struct mx_core *core, struct mx_request *rq, json_t *capabilities)
{
	if (filled(core, MX_HOOK_ID_capabilities))
		run_capabilities(core, NULL, NULL, rq, capabilities);
}

void
mx_run_well_known(struct mx_core *core, json_t *document)
{
	if (filled(core, MX_HOOK_ID_well_known))
		run_well_known(core, NULL, NULL, document);
}

void
mx_run_sync_section(struct mx_core *core, const struct mx_sync *s, enum mx_sync_section section,
		    struct mx_jw *w)
{
	if (filled(core, MX_HOOK_ID_sync_section))
		run_sync_section(core, NULL, NULL, s, section, w);
}

void
mx_run_event_unsigned(struct mx_core *core, struct mx_request *rq, struct mx_event *event,
		      struct mx_buf *members)
{
	if (filled(core, MX_HOOK_ID_event_unsigned))
		run_event_unsigned(core, NULL, NULL, rq, event, members);
}
