/* What myelinctl asks the room engine. */
#include "config.h"

#include "core/room/commands.h"

#include "core/room/doctor.h"

#include <myelin/core.h>
#include <myelin/federation.h>
#include <stdlib.h>
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

/* ---- the doctor ---- */

static void
put_finding(struct mx_buf *text, json_t *list, const struct mx_finding *f)
{
	mx_buf_printf(text, "%s%s%s: %s: %s\n", f->mended ? "mended: " : "", f->id,
		      f->id[0] == '\0' ? "(no id)" : "", mx_ailment_name(f->what), f->words);
	json_array_append_new(list, json_pack("{s:s,s:s,s:I,s:s,s:b}", "what",
					      mx_ailment_name(f->what), "id", f->id, "position",
					      (json_int_t)f->nid, "words", f->words, "mended",
					      f->mended));
}

static void
put_checkup(const struct mx_checkup *c, struct mx_buf *text, json_t **json)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->n; i++)
		put_finding(text, list, &c->v[i]);
	if (c->found > c->n)
		mx_buf_printf(text, "and %llu more\n", (unsigned long long)(c->found - c->n));
	mx_buf_printf(text,
		      "%llu events, %llu outside of the timeline, %llu members; %llu states as other "
		      "servers have told them\n",
		      (unsigned long long)c->events, (unsigned long long)c->outliers,
		      (unsigned long long)c->members, (unsigned long long)c->untold);
	if (c->found == 0)
		mx_buf_str(text, MX_S("nothing is wrong\n"));
	else
		mx_buf_printf(text, "%llu wrong, %llu mended\n", (unsigned long long)c->found,
			      (unsigned long long)c->mended);
	*json = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "events", (json_int_t)c->events,
			  "outliers", (json_int_t)c->outliers, "members", (json_int_t)c->members,
			  "told", (json_int_t)c->untold, "found", (json_int_t)c->found, "mended",
			  (json_int_t)c->mended, "findings", list);
}

static mx_error *
checkup(struct mx_core *core, const mx_str *args, size_t n, bool repair, struct mx_buf *text,
	json_t **json)
{
	MX_AUTO(mx_conn) *c = NULL;
	MX_AUTO(mx_room) *room = NULL;
	bool signatures = n == 2 && !repair && mx_str_eq(args[1], MX_S("--signatures"));
	struct mx_checkup *out;

	if (n == 0 || n > 1 + (size_t)signatures)
		return mx_error_new(MX_E_BAD_REQUEST, "expected a room id");
	MX_TRY(mx_conn_get(mx_core_db(core), &c));
	MX_TRY(mx_room_get(mx_core_rooms(core), c, args[0], &room));
	out = mx_alloc(sizeof(*out));
	out->repair = repair;
	out->signatures = signatures;
	mx_error *e = mx_room_checkup(mx_core_rooms(core), c, room, out);

	if (e == NULL)
		put_checkup(out, text, json);
	free(out);
	return e;
}

static mx_error *
room_verify(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, json_t **json)
{
	return checkup(core, args, n, false, text, json);
}

static mx_error *
room_repair(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, json_t **json)
{
	return checkup(core, args, n, true, text, json);
}

/* ---- what was redacted ---- */

static mx_error *
room_show_redacted(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text,
		   json_t **json)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	MX_AUTO(mx_conn) *c = NULL;
	mx_str event;

	if (n != 1)
		return mx_error_new(MX_E_BAD_REQUEST, "expected one argument: an event id");
	MX_TRY(mx_conn_get(mx_core_db(core), &c));
	MX_TRY(mx_redacted_get(mx_core_rooms(core), c, args[0], a, &event));
	mx_buf_str(text, event);
	mx_buf_byte(text, '\n');
	return mx_json_parse(event, json);
}

const struct mx_control_row mx_room_commands[] = {
	{ "room show-redacted", "EVENT", "What a redacted event was, while that is kept.",
	  room_show_redacted },
	{ "room verify", "ROOM [--signatures]",
	  "Recomputes a room from its events, and names what differs.", room_verify },
	{ "room repair", "ROOM", "The same, and mends what follows from the events.", room_repair },
	{ "room explain", "EVENT", "What became of an event, and why.", room_explain },
};
const size_t mx_room_command_count = sizeof(mx_room_commands) / sizeof(mx_room_commands[0]);
