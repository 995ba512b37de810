/* The rooms: what a command does stands in core/room/commands.c. */
#include "config.h"

#include "core/ctl/ctl.h"

static mx_error *
explain(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	mx_str words[] = { MX_S("room"), MX_S("explain"), mx_str_of(args[0]) };

	(void)n;
	return mx_ctl_forward(ctl, MX_CTL_ANYWHERE, words, 3, status);
}

const struct mx_ctl_command mx_ctl_room_commands[] = {
	{ "room explain", "EVENT", "says what became of an event, and why",
	  "Events of other servers may be rejected, soft-failed, or in waiting for what is before "
	  "them.",
	  1, 1, explain },
};
const size_t mx_ctl_room_command_count =
	sizeof(mx_ctl_room_commands) / sizeof(mx_ctl_room_commands[0]);
