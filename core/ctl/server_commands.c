/* Commands about the running server as a whole. top is in top.c. */
#include "config.h"

#include "core/ctl/ctl.h"
#include "core/ctl/top.h"

static mx_error *
forward(struct mx_ctl *ctl, const char *word, const char *const *args, size_t n, int *status)
{
	mx_str words[4] = { mx_str_of(word) };

	for (size_t i = 0; i < n; i++)
		words[i + 1] = mx_str_of(args[i]);
	return mx_ctl_forward(ctl, MX_CTL_SERVER, words, n + 1, status);
}

static mx_error *
show_status(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	return forward(ctl, "status", args, n, status);
}

static mx_error *
show_metrics(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	return forward(ctl, "metrics", args, n, status);
}

static mx_error *
reload(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	return forward(ctl, "reload", args, n, status);
}

static mx_error *
upgrade(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	return forward(ctl, "upgrade", args, n, status);
}

static mx_error *
stop(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	return forward(ctl, "stop", args, n, status);
}

static mx_error *
log_level(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	(void)n;
	return forward(ctl, "log", (const char *const[]){ "level", args[0] }, 2, status);
}

static mx_error *
config_show(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	(void)args, (void)n;
	return forward(ctl, "config", (const char *const[]){ "show" }, 1, status);
}

const struct mx_ctl_command mx_ctl_server_commands[] = {
	{ "status", "", "says how the running server is", NULL, 0, 0, show_status },
	{ "top", "", "shows what the running server does, again and again",
	  "q ends it. Once, and without clearing the screen, when the output is no terminal.", 0, 0,
	  mx_ctl_top },
	{ "metrics", "", "prints everything that is counted, in the text format of Prometheus",
	  NULL, 0, 0, show_metrics },
	{ "reload", "", "has the server take up its configuration and certificates anew",
	  "As SIGHUP does. Options that need a restart are named in the log.", 0, 0, reload },
	{ "upgrade", "", "starts the server's program anew, which takes over without a gap",
	  "As SIGUSR2 does. The new process has the sockets of the one before; that ends once what "
	  "runs there has.", 0, 0, upgrade },
	{ "stop", "", "stops the server once what runs has ended", NULL, 0, 0, stop },
	{ "log level", "LEVELS",
	  "sets what the server logs: a level, then exceptions: info,http=debug",
	  "Until the next reload. Levels are error, warn, info and debug.", 1, 1, log_level },
	{ "config show", "", "prints the running server's configuration, without secrets", NULL, 0,
	  0, config_show },
};
const size_t mx_ctl_server_command_count =
	sizeof(mx_ctl_server_commands) / sizeof(mx_ctl_server_commands[0]);
