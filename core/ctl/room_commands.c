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

/* Fails when something is wrong with the room, and stays so. */
static mx_error *
checkup(struct mx_ctl *ctl, const char *verb, const char *const *args, size_t n, int *status)
{
	mx_str words[4] = { MX_S("room"), mx_str_of(verb) };
	struct mx_ctl_answer answer = { 0 };
	mx_error *e;

	for (size_t i = 0; i < n; i++)
		words[2 + i] = mx_str_of(args[i]);
	e = mx_ctl_ask(ctl, MX_CTL_ANYWHERE, words, 2 + n, &answer, status);
	if (e != NULL)
		return e;
	if (json_integer_value(json_object_get(answer.json, "found")) >
	    json_integer_value(json_object_get(answer.json, "mended")))
		*status = MX_CTL_FAILED;
	if (ctl->json && answer.json != NULL)
		mx_ctl_write_json(answer.json);
	else
		mx_ctl_write(mx_str_of(answer.text));
	mx_ctl_answer_free(&answer);
	return NULL;
}

static mx_error *
verify(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	return checkup(ctl, "verify", args, n, status);
}

static mx_error *
repair(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	return checkup(ctl, "repair", args, n, status);
}

static mx_error *
show_redacted(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	mx_str words[] = { MX_S("room"), MX_S("show-redacted"), mx_str_of(args[0]) };

	(void)n;
	return mx_ctl_forward(ctl, MX_CTL_ANYWHERE, words, 3, status);
}

const struct mx_ctl_command mx_ctl_room_commands[] = {
	{ "room show-redacted", "EVENT", "says what a redacted event was, while that is kept",
	  "For how long, says [rooms] keep_redacted.", 1, 1, show_redacted },
	{ "room verify", "ROOM [--signatures]",
	  "recomputes a room from its events, and names what differs",
	  "Ids and hashes, columns, the states before and after each event, members, counts, forward "
	  "extremities; with --signatures also what this server has signed. Changes nothing.\n"
	  "The exit status is 1 when something is wrong.",
	  1, 2, verify },
	{ "room repair", "ROOM", "mends what is wrong with a room, as far as it follows from its events",
	  "Nobody can write to the room meanwhile. Other processes of the same server should be started "
	  "anew afterwards.\n"
	  "The exit status is 1 when something is still wrong.",
	  1, 1, repair },
	{ "room explain", "EVENT", "says what became of an event, and why",
	  "Events of other servers may be rejected, soft-failed, or in waiting for what is before "
	  "them.",
	  1, 1, explain },
};
const size_t mx_ctl_room_command_count =
	sizeof(mx_ctl_room_commands) / sizeof(mx_ctl_room_commands[0]);
