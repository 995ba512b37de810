/* myelinctl: one table of commands, each a function of its arguments. What needs a server asks the running one through its
 * control socket; what needs only the database opens that in this process when no server runs. */
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
	const char *config;		/* --config FILE, or where it is installed */
	const char *const *set;		/* --set section.name=value, for the configuration */
	size_t set_count;
	bool json;			/* --json: the answer as one JSON value */
};

struct mx_ctl_command {
	const char *name;		/* "key generate" */
	const char *usage, *help;	/* the arguments; one line */
	const char *more;		/* what else --help says, or NULL */
	size_t min, max;		/* how many arguments it takes */
	/* NULL, or what went wrong; *status is what to exit with when that alone does not say it. */
	mx_error *(*run)(struct mx_ctl *ctl, const char *const *args, size_t n, int *status);
};

extern const struct mx_ctl_command mx_ctl_key_commands[];
extern const size_t mx_ctl_key_command_count;

/* The whole program. */
MX_API int mx_ctl_main(int argc, char **argv);

#endif
