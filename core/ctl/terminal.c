/* What myelinctl does with a terminal: saying that something takes long, and asking for a password.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "core/ctl/ctl.h"

enum { PASSWORD_MAX = 4096, TICK_MS = 250 };

/* ---- progress ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t over;
	pthread_t thread;
	char what[160];
	bool running, ends;
} progress = { .lock = PTHREAD_MUTEX_INITIALIZER, .over = PTHREAD_COND_INITIALIZER };

static void *
show_progress(void *arg)
{
	int64_t began = mx_monotonic_us();
	bool shown = false;
	struct timespec t;

	(void)arg;
	pthread_mutex_lock(&progress.lock);
	while (!progress.ends) {
		int seconds = (int)((mx_monotonic_us() - began) / 1000000);

		if (seconds > 0) {
			fprintf(stderr, "\r\033[K%s … %d s", progress.what, seconds);
			shown = true;
		}
		clock_gettime(CLOCK_REALTIME, &t);
		t.tv_nsec += TICK_MS * 1000000L;
		if (t.tv_nsec >= 1000000000L) {
			t.tv_nsec -= 1000000000L;
			t.tv_sec++;
		}
		pthread_cond_timedwait(&progress.over, &progress.lock, &t);
	}
	pthread_mutex_unlock(&progress.lock);
	if (shown)
		fputs("\r\033[K", stderr);
	return NULL;
}

void
mx_ctl_progress_begin(const char *what)
{
	if (progress.running || !isatty(STDERR_FILENO))
		return;
	snprintf(progress.what, sizeof(progress.what), "%s", what);
	progress.ends = false;
	progress.running = pthread_create(&progress.thread, NULL, show_progress, NULL) == 0;
}

void
mx_ctl_progress_note(const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&progress.lock);
	va_start(ap, fmt);
	vsnprintf(progress.what, sizeof(progress.what), fmt, ap);
	va_end(ap);
	pthread_mutex_unlock(&progress.lock);
}

void
mx_ctl_progress_end(void)
{
	if (!progress.running)
		return;
	pthread_mutex_lock(&progress.lock);
	progress.ends = true;
	pthread_cond_signal(&progress.over);
	pthread_mutex_unlock(&progress.lock);
	pthread_join(progress.thread, NULL);
	progress.running = false;
}

/* ---- passwords ---- */

void
mx_ctl_wipe(char **secret)
{
	if (*secret != NULL)
		explicit_bzero(*secret, strlen(*secret));
	free(*secret);
	*secret = NULL;
}

/* Up to the end of the line, byte by byte: what follows is somebody else's. */
static mx_error *
read_line(int fd, char **out)
{
	char *line = mx_alloc(PASSWORD_MAX + 1), c;
	size_t n = 0;
	mx_error *e = NULL;
	ssize_t got;

	for (;;) {
		got = read(fd, &c, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0 || c == '\n')
			break;
		if (n == PASSWORD_MAX || c == 0) {
			e = mx_error_new(MX_E_BAD_REQUEST,
					 c == 0 ? "a password cannot contain a NUL"
						: "the password is longer than %d bytes",
					 PASSWORD_MAX);
			break;
		}
		line[n++] = c;
	}
	if (n > 0 && line[n - 1] == '\r')
		line[--n] = 0;
	if (e == NULL && n == 0)
		e = mx_error_new(MX_E_BAD_REQUEST, "no password was given");
	if (e == NULL && !mx_str_utf8((mx_str){ line, n }))
		e = mx_error_new(MX_E_BAD_REQUEST, "the password is not UTF-8");
	if (e != NULL)
		explicit_bzero(line, n);
	if (e != NULL)
		free(line);
	else
		*out = line;
	return e;
}

static struct termios before;	/* of the terminal, while a password is typed */

static void
show_again(int signal_number)
{
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static mx_error *
type_unseen(const char *prompt, const char *whose, char **out)
{
	struct termios hidden = before;
	mx_error *e;

	fprintf(stderr, "%s %s: ", prompt, whose);
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	e = read_line(STDIN_FILENO, out);
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
	fputc('\n', stderr);
	return e;
}

static mx_error *
ask_twice(const char *whose, char **out)
{
	char *again = NULL;
	mx_error *e = type_unseen("New password of", whose, out);

	if (e != NULL)
		return e;
	e = type_unseen("Once more, the password of", whose, &again);
	if (e == NULL && strcmp(*out, again) != 0)
		e = mx_error_new(MX_E_BAD_REQUEST, "the two passwords are not the same");
	mx_ctl_wipe(&again);
	if (e != NULL)
		mx_ctl_wipe(out);
	return e;
}

mx_error *
mx_ctl_password(const char *whose, bool from_stdin, char **out)
{
	struct sigaction restore = { .sa_handler = show_again }, old[2];
	mx_error *e;

	*out = NULL;
	if (from_stdin)
		return read_line(STDIN_FILENO, out);
	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &before) != 0)
		return mx_error_new(
			MX_E_BAD_REQUEST,
			"there is no terminal to ask for the password; give it on standard input "
			"with --password-stdin");
	sigaction(SIGINT, &restore, &old[0]);
	sigaction(SIGTERM, &restore, &old[1]);
	e = ask_twice(whose, out);
	sigaction(SIGINT, &old[0], NULL);
	sigaction(SIGTERM, &old[1], NULL);
	return e;
}

/* ---- output ---- */

void
mx_ctl_write(mx_str s)
{
	fwrite(s.p, 1, s.n, stdout);
}

void
mx_ctl_write_json(const json_t *j)
{
	json_dumpf(j, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	putchar('\n');
}
