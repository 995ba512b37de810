/* myelinctl: one table of commands, each a function of its arguments. What needs a server asks the
 * running one through its control socket; what needs only the database opens that in this process
 * when no server runs. */
#ifndef CORE_CTL_CTL_H
#define CORE_CTL_CTL_H

#include <myelin/error.h>

enum mx_ctl_exit {
	MX_CTL_OK = 0,
	MX_CTL_FAILED = 1,
	MX_CTL_USAGE = 2,
	MX_CTL_CONFIG = 78,		/* as in sysexits.h, and as myelind says it */
};

/* What stands before, between and behind the words of a command. */
struct mx_ctl {
	const char *config;		/* --config FILE, or where it is installed; as it was given */
	const char *const *set;		/* --set section.name=value, for the configuration */
	size_t set_count;
	bool json;			/* --json: the answer as one JSON value */
};

struct mx_ctl_command {
	const char *name;		/* "key generate" */
	const char *usage, *help;	/* the arguments; one line */
	const char *more;		/* what else --help says, or NULL */
	size_t min, max;		/* how many arguments it takes */
	/* NULL, or what went wrong; *status is what to exit with when that alone does not say it.
	 */
	mx_error *(*run)(struct mx_ctl *ctl, const char *const *args, size_t n, int *status);
};

extern const struct mx_ctl_command mx_ctl_key_commands[], mx_ctl_user_commands[],
	mx_ctl_config_commands[], mx_ctl_module_commands[], mx_ctl_db_commands[],
	mx_ctl_server_commands[], mx_ctl_room_commands[];
extern const size_t mx_ctl_key_command_count, mx_ctl_user_command_count,
	mx_ctl_config_command_count, mx_ctl_module_command_count, mx_ctl_db_command_count,
	mx_ctl_server_command_count, mx_ctl_room_command_count;

/* Where the configuration is. The process moves into its folder, so that relative paths in it mean
 * what they say; paths of the command line are used before. MX_E_CONFIG. */
mx_error *mx_ctl_move_in(struct mx_ctl *ctl, const char **file) MX_MUST_USE;

/* ---- commands that the server runs: ask.c ---- */

/* What a command answered. Free with mx_ctl_answer_free. */
struct mx_ctl_answer {
	char *text;			/* for people; never NULL after success */
	json_t *json;			/* or NULL */
};
void mx_ctl_answer_free(struct mx_ctl_answer *a);

enum mx_ctl_where {
	MX_CTL_SERVER = 0,		/* only a running server can do it */
	MX_CTL_ANYWHERE = 1,		/* or this process, on the database, when no server runs */
};
mx_error *mx_ctl_ask(struct mx_ctl *ctl, enum mx_ctl_where where, const mx_str *words, size_t n,
		     struct mx_ctl_answer *out, int *status) MX_MUST_USE;
/* Asks, and prints the answer: its JSON with --json, else its text. */
mx_error *mx_ctl_forward(struct mx_ctl *ctl, enum mx_ctl_where where, const mx_str *words, size_t n,
			 int *status) MX_MUST_USE;
/* With a server or without: whether one answers at its control socket. The connection, or -1. */
mx_error *mx_ctl_connect(struct mx_ctl *ctl, int *fd) MX_MUST_USE;
/* One command on a connection. */
mx_error *mx_ctl_exchange(int fd, const mx_str *words, size_t n, struct mx_ctl_answer *out,
			  int *status) MX_MUST_USE;

/* ---- the terminal: terminal.c ---- */

/* Writes all of it to standard output, or says that it could not be. */
void mx_ctl_write(mx_str s);
void mx_ctl_write_json(const json_t *j);
/* Shows on a terminal that something takes long, from its second second on: what, and for how long.
 */
void mx_ctl_progress_begin(const char *what);
/* It is something else by now. */
void mx_ctl_progress_note(const char *fmt, ...) MX_PRINTF(1, 2);
void mx_ctl_progress_end(void);
/* A password: the first line of standard input (from_stdin), or typed twice on the terminal,
 * unseen. Wipe it and free it. */
mx_error *mx_ctl_password(const char *whose, bool from_stdin, char **out) MX_MUST_USE;
void mx_ctl_wipe(char **secret);

/* The whole program. */
MX_API int mx_ctl_main(int argc, char **argv);

#endif
