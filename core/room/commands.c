/* What myelinctl asks the room engine. */
#include "config.h"

#include "core/room/commands.h"

#include <myelin/core.h>
#include <myelin/federation.h>
#include <time.h>

static void
put_when(struct mx_buf *text, mx_msec when)
{
	time_t t = (time_t)(when / 1000);
	char date[32] = "";
	struct tm tm;

	if (when == 0)
		return;
	if (gmtime_r(&t, &tm) != NULL)
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
	mx_buf_printf(text, "Decided: %s UTC\n", date);
}

static mx_error *
room_explain(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, json_t **json)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	MX_AUTO(mx_conn) *c = NULL;
	struct mx_explanation why;

	if (n != 1)
		return mx_error_new(MX_E_BAD_REQUEST, "expected one argument: an event id");
	MX_TRY(mx_conn_get(mx_core_db(core), &c));
	MX_TRY(mx_event_explain(mx_core_rooms(core), c, args[0], a, &why));
	mx_buf_printf(text, "Room: %.*s\nFate: %s\n", MX_SFMT(why.room_id), mx_fate_name(why.fate));
	if (why.reason != MX_REASON_NONE)
		mx_buf_printf(text, "Reason: %s\n", mx_reason_name(why.reason));
	if (why.words.n > 0)
		mx_buf_printf(text, "Words: %.*s\n", MX_SFMT(why.words));
	put_when(text, why.when);
	if (why.position != 0)
		mx_buf_printf(text, "Position: %lld\n", (long long)why.position);
	if (why.outlier)
		mx_buf_str(text, MX_S("It stands outside of the timeline.\n"));
	if (why.redacted)
		mx_buf_str(text, MX_S("It is redacted.\n"));
	*json = json_pack("{s:s%,s:s,s:s,s:s%,s:I,s:I,s:b,s:b}", "room_id", why.room_id.p,
			  why.room_id.n, "fate", mx_fate_name(why.fate), "reason",
			  mx_reason_name(why.reason), "words", why.words.p, why.words.n, "decided",
			  (json_int_t)why.when, "position", (json_int_t)why.position, "outlier",
			  why.outlier, "redacted", why.redacted);
	return NULL;
}

const struct mx_control_row mx_room_commands[] = {
	{ "room explain", "EVENT", "What became of an event, and why.", room_explain },
};
const size_t mx_room_command_count = sizeof(mx_room_commands) / sizeof(mx_room_commands[0]);
