/* A screen of what the server counts, with what each counter grows by in a second. The server says
 * what there is; this knows no name but the few that the head shows. */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "core/ctl/top.h"

enum { EVERY_MS = 2000, SERIES_MAX = 4000, WIDTH = 56 };

struct series {
	char *name;			/* with its labels */
	double value, rate;
	bool counter, known;		/* known: there is a rate */
};

struct sample {
	struct series *v;
	size_t n;
	int64_t at_us;
};

static void
sample_free(struct sample *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].name);
	free(s->v);
	*s = (struct sample){ 0 };
}

/* "# TYPE name counter" says what the lines behind it are. */
static void
read_line(struct sample *s, mx_str line, bool *counter)
{
	mx_str name = line, value = { NULL, 0 };
	char number[64];

	if (mx_str_starts(line, MX_S("# TYPE "))) {
		*counter = line.n > 8 && memcmp(line.p + line.n - 8, " counter", 8) == 0;
		return;
	}
	/* A label may hold spaces: the value stands behind the last one. */
	for (size_t i = line.n; i > 0 && value.p == NULL; i--) {
		if (line.p[i - 1] == ' ') {
			name = (mx_str){ line.p, i - 1 };
			value = (mx_str){ line.p + i, line.n - i };
		}
	}
	if (value.p == NULL || value.n >= sizeof(number) || name.n == 0 || name.p[0] == '#' ||
	    s->n == SERIES_MAX)
		return;
	snprintf(number, sizeof(number), "%.*s", MX_SFMT(value));
	if (mx_str_starts(name, MX_S("myelin_")))
		name = (mx_str){ name.p + 7, name.n - 7 };
	s->v[s->n++] = (struct series){ .name = mx_str_dup(name),
					.value = strtod(number, NULL),
					.counter = *counter };
}

static const struct series *
find(const struct sample *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->v[i].name, name) == 0)
			return &s->v[i];
	return NULL;
}

static void
read_sample(const char *text, const struct sample *before, struct sample *out)
{
	bool counter = false;
	mx_str rest = mx_str_of(text), line;

	*out = (struct sample){ .v = mx_alloc(SERIES_MAX * sizeof(struct series)),
				.at_us = mx_monotonic_us() };
	while (mx_str_cut(rest, '\n', &line, &rest))
		read_line(out, line, &counter);
	for (size_t i = 0; i < out->n; i++) {
		const struct series *old = find(before, out->v[i].name);
		double seconds = (double)(out->at_us - before->at_us) / 1e6;

		if (old == NULL || !out->v[i].counter || seconds <= 0)
			continue;
		out->v[i].known = true;
		out->v[i].rate = (out->v[i].value - old->value) / seconds;
	}
}

/* ---- showing ---- */

/* What happens comes first, then what is not nothing; within that, as the server gave it. */
static int
weight(const struct series *s)
{
	return s->known && s->rate != 0 ? 0 : s->value != 0 ? 1 : 2;
}

static void
put_line(const struct series *s, bool terminal)
{
	const char *end = terminal ? "\033[K\r\n" : "\n";

	if (s->known)
		printf("%-*.*s %16.0f %12.1f/s%s", WIDTH, terminal ? WIDTH : 1000, s->name,
		       s->value, s->rate, end);
	else
		printf("%-*.*s %16.0f%s", WIDTH, terminal ? WIDTH : 1000, s->name, s->value, end);
}

static void
put_head(const char *status, bool terminal, size_t *rows)
{
	mx_str rest = mx_str_of(status), line;

	while (mx_str_cut(rest, '\n', &line, &rest) && (!terminal || *rows > 8)) {
		if (mx_str_starts(line, MX_S("Job ")))
			continue;
		printf("%.*s%s", MX_SFMT(line), terminal ? "\033[K\r\n" : "\n");
		(*rows)--;
	}
	printf("%s", terminal ? "\033[K\r\n" : "\n");
}

static void
show(const char *status, const struct sample *s, bool terminal)
{
	struct winsize size = { .ws_row = 24 };
	size_t rows;

	if (terminal && (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0))
		size.ws_row = 24;
	rows = size.ws_row > 4 ? size.ws_row - 2u : 3;
	if (terminal)
		fputs("\033[H", stdout);
	put_head(status, terminal, &rows);
	for (int w = 0; w <= 2; w++)
		for (size_t i = 0; i < s->n && (!terminal || rows > 0); i++)
			if (weight(&s->v[i]) == w && strncmp(s->v[i].name, "info{", 5) != 0) {
				put_line(&s->v[i], terminal);
				rows--;
			}
	if (terminal)
		fputs("\033[J", stdout);
	fflush(stdout);
}

/* ---- the screen ---- */

static struct termios before;
static volatile sig_atomic_t stopped;

static void
stop(int signal_number)
{
	(void)signal_number;
	stopped = 1;
}

static void
enter(void)
{
	struct sigaction sa = { .sa_handler = stop };
	struct termios raw;

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	if (tcgetattr(STDIN_FILENO, &before) == 0) {
		raw = before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	fputs("\033[?1049h\033[?25l", stdout);
}

static void
leave(void)
{
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	if (isatty(STDIN_FILENO))
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

/* Until it is time to look again; false: somebody wants to end it. */
static bool
wait_key(int ms)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	char c = 0;

	if (!isatty(STDIN_FILENO))
		p.fd = -1;
	if (poll(&p, 1, ms) <= 0)
		return stopped == 0;
	return read(STDIN_FILENO, &c, 1) == 1 && c != 'q' && c != 'Q' && c != 4;
}

static mx_error *
look(int fd, struct sample *now, bool terminal, int *status)
{
	struct mx_ctl_answer counted = { 0 }, said = { 0 };
	struct sample old = *now;
	mx_error *e = mx_ctl_exchange(fd, (const mx_str[]){ MX_S("metrics") }, 1, &counted, status);

	if (e == NULL)
		e = mx_ctl_exchange(fd, (const mx_str[]){ MX_S("status") }, 1, &said, status);
	if (e == NULL) {
		read_sample(counted.text, &old, now);
		sample_free(&old);
		show(said.text, now, terminal);
	}
	mx_ctl_answer_free(&counted);
	mx_ctl_answer_free(&said);
	return e;
}

mx_error *
mx_ctl_top(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	bool terminal = isatty(STDOUT_FILENO);
	struct sample now = { 0 };
	mx_error *e;
	int fd;

	(void)args, (void)n;
	MX_TRY(mx_ctl_connect(ctl, &fd));
	if (fd < 0)
		return mx_error_new(MX_E_UNAVAILABLE, "no server runs with the configuration %s",
				    ctl->config);
	if (terminal)
		enter();
	do
		e = look(fd, &now, terminal, status);
	while (e == NULL && terminal && wait_key(EVERY_MS));
	if (terminal)
		leave();
	close(fd);
	sample_free(&now);
	return e;
}
