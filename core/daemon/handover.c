#include "config.h"

#include "core/daemon/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/daemon/migrator.h"
#include "core/daemon/notify.h"
#include "core/daemon/server.h"

#define VARIABLE "MYELIN_HANDOVER"

enum {
	SOCKETS_MAX = 64,
	FIRST_FD = 3,
	HIGH_FD = 256,			/* where descriptors wait until they are put in order */
	PATIENCE_US = 60000000,
};

/* ---- what was received ---- */

static struct {
	bool received;
	int lock, ready;
	size_t n;
	struct mx_http_socket sockets[SOCKETS_MAX];
} got = { .lock = -1, .ready = -1 };

static char program[4096];

static bool
take_number(mx_str *text, char end, int64_t *out)
{
	mx_str word;

	(void)mx_str_cut(*text, end, &word, text);
	return mx_str_int(word, 0, INT32_MAX, out);
}

static void
keep_to_ourselves(int64_t fd)
{
	(void)fcntl((int)fd, F_SETFD, FD_CLOEXEC);
}

/* "PROCESS LOCK READY\n", then "SOCKET WORD\n" for each socket. */
static void
read_variable(mx_str text)
{
	int64_t from, lock, ready, fd;
	mx_str line;

	if (!take_number(&text, ' ', &from) || (from != getppid() && from != getpid()) ||
	    !take_number(&text, ' ', &lock) || !take_number(&text, '\n', &ready))
		return;
	got.received = true;
	got.lock = (int)lock;
	got.ready = (int)ready;
	keep_to_ourselves(lock);
	keep_to_ourselves(ready);
	while (got.n < SOCKETS_MAX && mx_str_cut(text, '\n', &line, &text)) {
		if (!take_number(&line, ' ', &fd))
			continue;
		keep_to_ourselves(fd);
		got.sockets[got.n++] = (struct mx_http_socket){ mx_str_dup(line), (int)fd };
	}
}

void
mx_handover_receive(void)
{
	const char *text = getenv(VARIABLE);
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	program[n > 0 ? n : 0] = 0;
	if (text != NULL)
		read_variable(mx_str_of(text));
	(void)unsetenv(VARIABLE);
}

bool
mx_handover_received(void)
{
	return got.received;
}

const struct mx_http_socket *
mx_handover_sockets(size_t *n)
{
	*n = got.n;
	got.n = 0;
	return got.sockets;
}

int
mx_handover_lock(const char *path)
{
	struct stat ours, there;
	int fd = got.lock;

	if (fd < 0 || fstat(fd, &ours) != 0 || stat(path, &there) != 0 ||
	    ours.st_dev != there.st_dev || ours.st_ino != there.st_ino)
		return -1;
	got.lock = -1;
	return fd;
}

void
mx_handover_ready(void)
{
	ssize_t ignored;

	if (got.ready < 0)
		return;
	ignored = write(got.ready, "1", 1);
	(void)ignored;
	close(got.ready);
	got.ready = -1;
}

/* ---- handing over ---- */

extern char **environ;

struct parcel {				/* what the new process is started with */
	int from[SOCKETS_MAX + 2];	/* becomes FIRST_FD, FIRST_FD + 1 … */
	size_t n;
	struct mx_buf *variable;
	posix_spawn_file_actions_t actions;
	bool ours;			/* for this process itself: descriptors stay where they are put */
};

/* A descriptor for the new process; the number that it will have there. */
static int
pack(struct parcel *p, int fd)
{
	int high = fcntl(fd, p->ours ? F_DUPFD : F_DUPFD_CLOEXEC, HIGH_FD);
	int to = p->ours ? high : FIRST_FD + (int)p->n;

	if (high < 0)
		return -1;
	p->from[p->n++] = high;
	if (p->ours)
		return to;
	posix_spawn_file_actions_adddup2(&p->actions, high, to);
	return to;
}

static mx_error *
pack_all(struct parcel *p, const struct mx_server *s, int ready)
{
	struct mx_http_socket sockets[SOCKETS_MAX];
	size_t n = mx_http_sockets(s->core->http, sockets, SOCKETS_MAX);
	int lock = pack(p, s->setup->lock), tell = pack(p, ready);

	mx_buf_printf(p->variable, VARIABLE "=%ld %d %d\n", (long)getpid(), lock, tell);
	if (lock < 0 || tell < 0)
		return mx_error_new(MX_E_UNKNOWN, "%s", strerror(errno));
	for (size_t i = 0; i < n; i++) {
		int fd = pack(p, sockets[i].fd);

		if (fd < 0)
			return mx_error_new(MX_E_UNKNOWN, "%s", strerror(errno));
		mx_buf_printf(p->variable, "%d %s\n", fd, sockets[i].word);
	}
	return NULL;
}

/* What a service manager has said to this process alone is not for the new one. */
static bool
is_ours_alone(const struct parcel *p, const char *variable)
{
	return strncmp(variable, "LISTEN_", 7) == 0 ||
	       (!p->ours && strncmp(variable, "WATCHDOG_PID=", 13) == 0);
}

static void
make_environment(struct mx_arena *a, struct parcel *p, char ***out)
{
	size_t n = 0, k = 0;
	char **v;

	while (environ[n] != NULL)
		n++;
	v = mx_arena_alloc(a, (n + 2) * sizeof(v[0]));
	for (size_t i = 0; i < n; i++)
		if (!is_ours_alone(p, environ[i]))
			v[k++] = environ[i];
	v[k] = (char *)(uintptr_t)mx_buf_cstr(p->variable);
	*out = v;
}

/* The folder may have changed since the start: the configuration by its whole path. */
static void
make_arguments(struct mx_arena *a, const struct mx_setup *setup, char ***out)
{
	const char **v = mx_arena_alloc(a, (setup->set_count * 2 + 4) * sizeof(v[0]));
	size_t n = 0;

	v[n++] = program;
	v[n++] = "--config";
	v[n++] = setup->file;
	for (size_t i = 0; i < setup->set_count; i++) {
		v[n++] = "--set";
		v[n++] = setup->set[i];
	}
	*out = (char **)(uintptr_t)v;
}

static mx_error *
spawn(struct mx_server *s, struct parcel *p)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	char **arguments, **environment;
	posix_spawnattr_t attributes;
	sigset_t none;
	int error;

	make_arguments(a, s->setup, &arguments);
	make_environment(a, p, &environment);
	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	error = posix_spawn(&s->handover.pid, program, &p->actions, &attributes, arguments,
			    environment);
	posix_spawnattr_destroy(&attributes);
	return error == 0 ? NULL
			  : mx_error_new(MX_E_UNKNOWN, "%s cannot be started: %s", program,
					 strerror(error));
}

/* With no one waiting for it to be ready. */
mx_error *
mx_handover_to_ourselves(struct mx_server *s)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct parcel p = { .variable = mx_buf_new(0), .ours = true };
	int nobody = open("/dev/null", O_WRONLY | O_CLOEXEC);
	char **arguments, **environment;
	sigset_t none;
	mx_error *e = pack_all(&p, s, nobody);

	if (e == NULL) {
		make_arguments(a, s->setup, &arguments);
		make_environment(a, &p, &environment);
		sigemptyset(&none);
		pthread_sigmask(SIG_SETMASK, &none, NULL);
		execve(program, arguments, environment);
		e = mx_error_new(MX_E_UNKNOWN, "%s cannot be started: %s", program, strerror(errno));
	}
	mx_buf_free(&p.variable);
	return e;
}

static mx_error *
hand(struct mx_server *s, int ready)
{
	struct parcel p = { .variable = mx_buf_new(0) };
	mx_error *e;

	posix_spawn_file_actions_init(&p.actions);
	e = pack_all(&p, s, ready);
	if (e == NULL)
		e = spawn(s, &p);
	for (size_t i = 0; i < p.n; i++)
		close(p.from[i]);
	posix_spawn_file_actions_destroy(&p.actions);
	mx_buf_free(&p.variable);
	return e;
}

mx_error *
mx_handover_start(struct mx_server *s)
{
	struct mx_handover *h = &s->handover;
	int ends[2];
	mx_error *e;

	if (atomic_load(&h->state) == MX_HANDOVER_STARTING)
		return mx_error_new(MX_E_UNAVAILABLE, "a new process is being started");
	if (getpid() == 1)
		return mx_error_new(MX_E_UNKNOWN, "the first process of a container cannot be "
						  "replaced: its end is the container's");
	if (pipe2(ends, O_CLOEXEC) != 0)
		return mx_error_new(MX_E_UNKNOWN, "pipe: %s", strerror(errno));
	e = mx_migrator_company(s->migrator, true);
	if (e == NULL)
		e = hand(s, ends[1]);
	close(ends[1]);
	if (e != NULL) {
		close(ends[0]);
		(void)mx_error_drop(mx_migrator_company(s->migrator, false));
		return e;
	}
	mx_log("runtime", MX_INFO, "RUN050", "a new process is started",
	       mx_fi("process", h->pid));
	h->ready = ends[0];
	h->deadline = mx_monotonic_us() + PATIENCE_US;
	atomic_store(&h->state, MX_HANDOVER_STARTING);
	return NULL;
}

static void
give_up(struct mx_server *s)
{
	struct mx_handover *h = &s->handover;
	int status = 0;

	kill(h->pid, SIGKILL);
	while (waitpid(h->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	mx_log("runtime", MX_WARN, "RUN051",
	       "the new process did not come up; this one goes on: see what it has said",
	       mx_fi("process", h->pid),
	       mx_fi("exit_status", WIFEXITED(status) ? WEXITSTATUS(status) : -1));
	(void)mx_error_drop(mx_migrator_company(s->migrator, false));
	atomic_store(&h->state, MX_HANDOVER_FAILED);
}

static void
let_go(struct mx_server *s)
{
	char text[40];

	mx_http_hand_over(s->core->http);
	mx_control_hand_over(s->core);
	(void)snprintf(text, sizeof(text), "MAINPID=%ld", (long)s->handover.pid);
	mx_notify(text);
	mx_log("runtime", MX_INFO, "RUN052", "the new process serves; this one ends",
	       mx_fi("process", s->handover.pid));
	atomic_store(&s->handover.state, MX_HANDOVER_DONE);
}

bool
mx_handover_look(struct mx_server *s)
{
	struct mx_handover *h = &s->handover;
	struct pollfd p = { .fd = h->ready, .events = POLLIN };
	char c;
	bool ready;

	if (h->ready < 0 || (poll(&p, 1, 0) == 0 && mx_monotonic_us() < h->deadline))
		return false;
	ready = p.revents != 0 && read(h->ready, &c, 1) == 1;
	close(h->ready);
	h->ready = -1;
	if (ready)
		let_go(s);
	else
		give_up(s);
	return ready;
}

void
mx_handover_cancel(struct mx_server *s)
{
	if (s->handover.ready < 0)
		return;
	close(s->handover.ready);
	s->handover.ready = -1;
	give_up(s);
}
