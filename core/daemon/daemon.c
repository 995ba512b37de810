#include "config.h"

#include "core/daemon/daemon.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/daemon/notify.h"
#include "core/daemon/server.h"

enum {
	EXIT_USAGE = 2,
	EXIT_MISCONFIGURED = 78,
	REAP_EVERY_MS = 100,
	STACK_BYTES = 256 << 10,
	ARENAS_MIN = 2,
	ARENAS_MAX = 8,
	STOP_SLACK_S = 15,
	SET_MAX = 100
};

static const char HELP[] =
	"Usage: myelind [--config FILE] [--set SECTION.NAME=VALUE]... [--check]\n"
	"\n"
	"  --config FILE   the configuration; conf.d/*.conf beside it is read after it\n"
	"                  (default: " MX_SYSCONFDIR "/myelin/myelin.conf)\n"
	"  --set SECTION.NAME=VALUE\n"
	"                  sets one option, whatever the files say\n"
	"  --check         reads and checks the configuration and the modules, and starts nothing\n"
	"  --version\n"
	"  --help\n"
	"\n"
	"Relative paths in the configuration start at the folder of its file.\n"
	"SIGTERM and SIGINT stop the server once what runs has ended, a second one at once; SIGHUP "
	"takes up the\n"
	"configuration and the certificates anew; SIGUSR2 starts the program anew, which takes over "
	"without a gap.\n"
	"Exit status: 0 stopped, 1 failed, 2 wrong usage, 78 a mistake in the configuration or in "
	"a module.\n";

struct arguments {
	const char *config;
	const char *set[SET_MAX];
	size_t set_count;
	bool check;
};

/* The value of --name VALUE or --name=VALUE; NULL when argv[*i] is something else. */
static const char *
value_of(const char *name, int argc, char **argv, int *i)
{
	size_t n = strlen(name);

	if (strncmp(argv[*i], name, n) != 0)
		return NULL;
	if (argv[*i][n] == '=')
		return argv[*i] + n + 1;
	return argv[*i][n] == 0 && *i + 1 < argc ? argv[++*i] : NULL;
}

/* -1: go on; else the exit status. */
static int
read_arguments(int argc, char **argv, struct arguments *a)
{
	for (int i = 1; i < argc; i++) {
		const char *v;

		if ((v = value_of("--config", argc, argv, &i)) != NULL ||
		    (v = value_of("-c", argc, argv, &i)) != NULL) {
			a->config = v;
		} else if ((v = value_of("--set", argc, argv, &i)) != NULL &&
			   a->set_count < SET_MAX) {
			a->set[a->set_count++] = v;
		} else if (strcmp(argv[i], "--check") == 0) {
			a->check = true;
		} else if (strcmp(argv[i], "--version") == 0) {
			printf("myelind %s\n", mx_version());
			return 0;
		} else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			fputs(HELP, stdout);
			return 0;
		} else {
			fprintf(stderr, "myelind: %s: unknown, or its value is missing\n%s",
				argv[i], HELP);
			return EXIT_USAGE;
		}
	}
	return -1;
}

/* ---- the process ---- */

static void
prepare_process(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct rlimit files;
	pthread_attr_t attr;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);	/* a file that may not grow is a write that fails */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	/* The allocator of glibc makes up to eight arenas a core if it is let, and each keeps what
	 * its threads have freed: as many as can run at a time are enough. */
	mallopt(M_ARENA_MAX, (int)(cores < ARENAS_MIN   ? ARENAS_MIN
				   : cores > ARENAS_MAX ? ARENAS_MAX
							: cores));
	pthread_attr_init(&attr);
#ifndef MX_SANITIZED
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_setattr_default_np(&attr);
#endif
	pthread_attr_destroy(&attr);
}

/* Blocked here, before any thread is made, the signals come to the descriptor alone. */
static int
take_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, set, NULL);
	return signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void
stop_now(int signal_number)
{
	static const char quick[] = "stopping at once: what was not answered is not\n";
	static const char late[] = "stopping took too long and ends here\n";
	ssize_t ignored = signal_number == SIGALRM ? write(2, late, sizeof(late) - 1)
						   : write(2, quick, sizeof(quick) - 1);

	(void)ignored;
	_exit(signal_number == SIGALRM ? 1 : 0);
}

/* What is durable is in the database: from here on the process may end at any moment. */
static void
allow_quick_stop(const struct mx_server *s, sigset_t *set)
{
	unsigned seconds = (unsigned)(s->core->server.drain_timeout.ms / 1000) + STOP_SLACK_S;

	signal(SIGTERM, stop_now);
	signal(SIGINT, stop_now);
	signal(SIGALRM, stop_now);
	sigdelset(set, SIGHUP);
	sigdelset(set, SIGUSR2);
	pthread_sigmask(SIG_UNBLOCK, set, NULL);
	alarm(seconds);
}

/* ---- running ---- */

static void
take_signal(struct mx_server *s, int fd)
{
	struct signalfd_siginfo info;
	mx_error *e;

	while (read(fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) {
			s->quit = true;
			continue;
		}
		if (info.ssi_signo == SIGUSR2) {
			e = mx_handover_start(s);
			if (e != NULL)
				mx_log("runtime", MX_WARN, "RUN053", "there is no handover",
				       mx_fe(e));
			mx_error_free(&e);
			continue;
		}
		e = mx_server_reload(s);
		if (e != NULL)
			mx_log("runtime", MX_WARN, "RUN044", "the configuration stays as it was",
			       mx_fe(e));
		mx_error_free(&e);
	}
}

static void
run(struct mx_server *s, int signals)
{
	mx_msec watchdog = mx_notify_watchdog();
	struct pollfd p[3] = { { .fd = signals, .events = POLLIN },
			       { .fd = s->wake, .events = POLLIN },
			       { .events = POLLIN } };

	while (!s->quit && !atomic_load(&s->anew)) {
		int timeout = s->leaving > 0 || s->handover.ready >= 0 ? REAP_EVERY_MS
			      : watchdog > 0 && watchdog < INT32_MAX ? (int)watchdog
								     : -1;

		p[2].fd = s->handover.ready;
		if (poll(p, 3, timeout) < 0 && errno != EINTR)
			break;
		mx_server_turn(s);
		take_signal(s, signals);
		if (mx_handover_look(s))
			s->quit = true;
		if (watchdog > 0)
			mx_notify("WATCHDOG=1");
	}
}

/* A mistake of the operator is told in lines of text, whether or not somebody collects the log. */
static int
failed(mx_error *e)
{
	int status = mx_error_code(e) == MX_E_CONFIG ? EXIT_MISCONFIGURED : EXIT_FAILURE;

	for (mx_str rest = mx_str_of(mx_error_text(e)), line; rest.n > 0;) {
		if (!mx_str_cut(rest, '\n', &line, &rest))
			rest = (mx_str){ NULL, 0 };
		fprintf(stderr, "myelind: %.*s\n", MX_SFMT(line));
	}
	mx_error_free(&e);
	return status;
}

int
mx_daemon_main(int argc, char **argv)
{
	struct arguments a = { 0 };
	struct mx_server *s;
	int64_t began = mx_monotonic_us();
	sigset_t set;
	int status = read_arguments(argc, argv, &a), signals;
	mx_error *e;

	if (status >= 0)
		return status;
	prepare_process();
	mx_handover_receive();
	signals = take_signals(&set);
	e = mx_server_open(a.config, a.set, a.set_count, a.check, &s);
	if (e != NULL) {
		status = failed(e);
	} else if (a.check) {
		status = 0;
		printf("%s: no mistakes\n", s->setup->file);
	} else {
		status = 0;
		mx_log("runtime", MX_INFO, "RUN000", "ready", mx_fz("version", mx_version()),
		       mx_fz("server", s->core->server.name),
		       mx_fi("ms", (mx_monotonic_us() - began) / 1000));
		mx_notify("READY=1");
		mx_handover_ready();
		run(s, signals);
		mx_handover_cancel(s);
		/* Without draining: whatever is answered from here may be of a past that is gone. */
		if (atomic_load(&s->anew) && !s->quit) {
			e = mx_handover_to_ourselves(s);
			mx_log("runtime", MX_ERROR, "RUN054", "this process cannot start anew", mx_fe(e));
			mx_error_free(&e);
			_exit(EXIT_FAILURE);
		}
		mx_log("runtime", MX_INFO, "RUN046", "stopping");
		if (atomic_load(&s->handover.state) != MX_HANDOVER_DONE)
			mx_notify("STOPPING=1");
		allow_quick_stop(s, &set);
	}
	mx_server_close(&s);
	close(signals);
	return status;
}
