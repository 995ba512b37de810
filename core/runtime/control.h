/* The control socket: how myelinctl speaks to a running server.
 *
 * A client connects to the unix socket [server] control (mode 0600; only the server's user and root
 * may), writes one line of JSON for a request and reads one line for its answer:
 *
 *	{"command": "user create", "args": ["alice", "--admin"]}
 *	{"ok": true, "text": "…", "json": …}		json only if the command has one
 *	{"ok": false, "error": "…", "errcode": "M_…", "code": 64}
 *
 * code is an exit status as in sysexits.h. The words of command and args are read as one list; its
 * longest beginning that is a command is run, the rest are its arguments. "help" lists the commands.
 */
#ifndef CORE_RUNTIME_CONTROL_H
#define CORE_RUNTIME_CONTROL_H

#include <myelin/module.h>

struct mx_control;

/* A command of the core or of one of its areas. */
struct mx_control_row {
	const char *name;		/* "user create" */
	const char *usage, *help;	/* of its arguments; one line */
	/* On a thread of its own, several may run at once. text: for people. *json may stay NULL.
	 * MX_E_BAD_REQUEST: the arguments are wrong. */
	mx_error *(*run)(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text,
			 json_t **json);
};

/* Adds commands, before mx_control_start. rows live as long as the process. A name that is there
 * already is a bug of ours, and ends the process. */
void mx_control_register(struct mx_core *core, const struct mx_control_row *rows, size_t n);

/* The command's table without a socket: for tests and for the socket itself. */
mx_error *mx_control_run(struct mx_core *core, const mx_str *words, size_t n, struct mx_buf *text,
			 json_t **json) MX_MUST_USE;

mx_error *mx_control_start(struct mx_core *core, const char *path) MX_MUST_USE;
/* Ends it, waits for the commands that run, and removes the socket. */
void mx_control_stop(struct mx_core *core);
/* The socket's file is another process's by now: it stays when this one stops. */
void mx_control_hand_over(struct mx_core *core);

#endif
