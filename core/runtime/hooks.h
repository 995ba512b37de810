/* The runners of the hooks (myelin/hooks.def) that the core itself calls; those for modules stand
 * in myelin/hook.h. A hook that nobody fills costs one branch. core NULL: nobody is asked. */
#ifndef CORE_RUNTIME_HOOKS_H
#define CORE_RUNTIME_HOOKS_H

#include <myelin/hook.h>

/* As struct mx_rooms_config wants them: core is a struct mx_core. */
mx_error *mx_hooks_event_check(void *core, struct mx_room *room,
			       const struct mx_draft *draft) MX_MUST_USE;
void mx_hooks_event_stored(void *core, struct mx_event *event);
/* As mx_stream_on_told wants it. */
void mx_hooks_told(void *core, mx_str text);

void mx_run_user_created(struct mx_core *core, mx_nid user, mx_str user_id);
void mx_run_user_deactivated(struct mx_core *core, mx_nid user, mx_str user_id);
void mx_run_device_gone(struct mx_core *core, mx_nid user, mx_nid device, mx_str device_id);

#endif
