/* When no server runs: the same parts, opened in this process without HTTP, so that a command does
 * here what it does there. */
#include "config.h"

#include <stdlib.h>

#include "core/account/commands.h"
#include "core/room/commands.h"
#include "core/ctl/local.h"
#include "core/daemon/server.h"
#include "core/runtime/loader.h"
#include "core/runtime/pool.h"

enum { THREADS = 1 };

static mx_error *
open_all(struct mx_setup *s)
{
	struct mx_core *core = s->core;
	mx_error *e = mx_setup_lock(s);

	if (mx_error_is(e, MX_E_EXISTS))
		return mx_error_wrap(
			e,
			"a server seems to be running, but does not answer at its control socket");
	if (e != NULL)
		return e;
	core->pool = mx_pool_new("defer", THREADS, 0);
	MX_TRY(mx_setup_open(s));
	MX_TRY(mx_modules_start(core));
	mx_control_register(core, mx_account_commands, mx_account_command_count);
	mx_control_register(core, mx_room_commands, mx_room_command_count);
	mx_control_register(core, mx_server_commands, mx_server_command_count);
	mx_control_register(core, mx_ctl_local_rows, mx_ctl_local_row_count);
	return NULL;
}

/* What hooks and modules have put off is done before the end. */
static void
close_all(struct mx_setup **s)
{
	struct mx_core *core = (*s)->core;

	mx_control_stop(core);
	if (core->modules != NULL)
		mx_modules_drain(core);
	if (core->pool != NULL)
		mx_pool_stop(&core->pool);
	mx_setup_close(s);
}

mx_error *
mx_ctl_local(struct mx_ctl *ctl, const mx_str *words, size_t n, struct mx_ctl_answer *out)
{
	MX_AUTO(mx_buf) *text = mx_buf_new(0);
	struct mx_setup_options o = { .set = ctl->set, .set_count = ctl->set_count };
	struct mx_setup *s;
	mx_error *e;

	MX_TRY(mx_ctl_move_in(ctl, &o.file));
	mx_ctl_progress_begin("at it, without a server");
	/* What goes wrong is this program's to say; the log of a server starting and ending is not.
	 */
	e = mx_log_levels("warn");
	if (e == NULL) {
		e = mx_setup_read(&o, &s);
		if (e == NULL)
			e = open_all(s);
		if (e == NULL)
			e = mx_control_run(s->core, words, n, text, &out->json);
		close_all(&s);
	}
	mx_ctl_progress_end();
	if (e == NULL)
		out->text = mx_str_dup(mx_buf_view(text));
	return e;
}

mx_error *
mx_ctl_local_database(struct mx_ctl *ctl, mx_error *(*fn)(struct mx_core *core, void *arg), void *arg)
{
	struct mx_setup_options o = { .set = ctl->set, .set_count = ctl->set_count };
	struct mx_setup *s;
	mx_error *e;

	MX_TRY(mx_ctl_move_in(ctl, &o.file));
	mx_ctl_progress_begin("looking at the database");
	e = mx_log_levels("warn");
	if (e == NULL) {
		e = mx_setup_read(&o, &s);
		if (e == NULL)
			e = mx_setup_open_database(s);
		if (e == NULL)
			e = fn(s->core, arg);
		close_all(&s);
	}
	mx_ctl_progress_end();
	return e;
}
