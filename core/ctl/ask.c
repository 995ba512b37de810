/* Speaking to a running server through its control socket: core/runtime/control.h has the protocol.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/ctl/local.h"
#include "core/runtime/conf.h"
#include "core/runtime/core.h"

enum { ANSWER_MAX = 64 << 20 };

void
mx_ctl_answer_free(struct mx_ctl_answer *a)
{
	free(a->text);
	json_decref(a->json);
	*a = (struct mx_ctl_answer){ 0 };
}

mx_error *
mx_ctl_move_in(struct mx_ctl *ctl, const char **file)
{
	static char *found;
	char *slash;
	int moved;

	*file = found;
	if (found != NULL)
		return NULL;
	found = realpath(ctl->config, NULL);
	if (found == NULL)
		return mx_error_new(
			MX_E_CONFIG,
			"the configuration %s cannot be read: %s; --config FILE names another one",
			ctl->config, strerror(errno));
	slash = strrchr(found, '/');
	*slash = 0;
	moved = chdir(slash == found ? "/" : found);
	*slash = '/';
	if (moved != 0)
		return mx_error_new(MX_E_CONFIG, "the folder of %s cannot be entered: %s", found,
				    strerror(errno));
	*file = found;
	return NULL;
}

/* [server] control, whatever else is wrong with the configuration: a server may be running with the
 * one before. */
static mx_error *
control_path(struct mx_ctl *ctl, struct mx_arena *a, const char **out)
{
	const char *file;
	struct mx_config *c;
	mx_str text;

	MX_TRY(mx_ctl_move_in(ctl, &file));
	if (access(file, R_OK) != 0)
		return mx_error_new(MX_E_CONFIG, "the configuration %s cannot be read: %s", file,
				    strerror(errno));
	c = mx_config_read(file, NULL);
	for (size_t i = 0; i < ctl->set_count; i++)
		mx_config_set(c, ctl->set[i]);
	text = mx_config_text(c, "server", "control");
	for (size_t i = 0; text.n == 0 && i < mx_server_option_count; i++)
		if (strcmp(mx_server_option_rows[i].name, "control") == 0)
			text = mx_str_of(mx_server_option_rows[i].def);
	*out = mx_arena_str(a, text).p;
	mx_config_free(&c);
	return NULL;
}

mx_error *
mx_ctl_connect(struct mx_ctl *ctl, int *out)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	const char *path = NULL;
	int why;

	*out = -1;
	MX_TRY(control_path(ctl, a, &path));
	if (strlen(path) >= sizeof(to.sun_path))
		return mx_error_new(
			MX_E_CONFIG,
			"[server] control: the path of a socket has at most %zu bytes: %s",
			sizeof(to.sun_path) - 1, path);
	memcpy(to.sun_path, path, strlen(path));
	*out = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*out < 0)
		return mx_error_new(MX_E_UNKNOWN, "socket: %s", strerror(errno));
	if (connect(*out, (const struct sockaddr *)&to, sizeof(to)) == 0)
		return NULL;
	why = errno;
	close(*out);
	*out = -1;
	if (why == ENOENT || why == ECONNREFUSED || why == ENOTDIR)
		return NULL;
	return mx_error_new(
		MX_E_FORBIDDEN, "the server's control socket %s: %s%s", path, strerror(why),
		why == EACCES ? "; run myelinctl as the server's user, or as root" : "");
}

/* ---- one line there, one line back ---- */

static mx_error *
lost(void)
{
	return mx_error_new(MX_E_UNAVAILABLE,
			    "the server ended the connection before it answered: %s",
			    errno != 0 ? strerror(errno)
				       : "is it stopping? run myelinctl as its user, or as root");
}

static mx_error *
send_words(int fd, const mx_str *words, size_t n)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_jw w = mx_jw_on(b);
	mx_error *e = NULL;
	mx_str rest;

	/* A password may be in it: growing would leave copies behind. */
	mx_buf_reserve(b, 64 << 10);
	mx_jw_object(&w);
	mx_jw_key(&w, MX_S("command"));
	mx_jw_str(&w, words[0]);
	mx_jw_key(&w, MX_S("args"));
	mx_jw_array(&w);
	for (size_t i = 1; i < n; i++)
		mx_jw_str(&w, words[i]);
	mx_jw_array_end(&w);
	mx_jw_object_end(&w);
	mx_buf_byte(b, '\n');
	for (rest = mx_buf_view(b); rest.n > 0 && e == NULL;) {
		ssize_t sent = send(fd, rest.p, rest.n, MSG_NOSIGNAL);

		if (sent > 0)
			rest = (mx_str){ rest.p + sent, rest.n - (size_t)sent };
		else if (errno != EINTR)
			e = lost();
	}
	explicit_bzero(b->p, b->room);
	return e;
}

static mx_error *
receive_line(int fd, struct mx_buf *b)
{
	char chunk[16 << 10];
	ssize_t n;

	for (;;) {
		errno = 0;
		n = recv(fd, chunk, sizeof(chunk), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return lost();
		mx_buf_add(b, chunk, (size_t)n);
		if (mx_buf_failed(b))
			return mx_error_new(MX_E_TOO_LARGE, "the server answers more than %d MiB",
					    ANSWER_MAX >> 20);
		if (chunk[n - 1] == '\n')
			return NULL;
	}
}

static mx_error *
read_answer(mx_str line, struct mx_ctl_answer *out, int *status)
{
	MX_AUTO_JSON *answer = NULL;
	int64_t code = MX_CTL_FAILED;
	bool ok = false;
	mx_str text;

	MX_TRY(mx_error_wrap(mx_json_parse(line, &answer), "the server's answer"));
	MX_TRY(mx_json_opt_bool(answer, "ok", &ok));
	if (ok) {
		text = mx_json_str(answer, "text");
		out->text = mx_str_dup(text.p != NULL ? text : MX_S(""));
		out->json = json_incref(json_object_get(answer, "json"));
		return NULL;
	}
	MX_TRY(mx_json_opt_int(answer, "code", &code));
	*status = code == MX_CTL_USAGE || code == MX_CTL_CONFIG ? (int)code : MX_CTL_FAILED;
	text = mx_json_str(answer, "error");
	return mx_error_new(mx_str_eq(mx_json_str(answer, "errcode"), MX_S("M_NOT_FOUND"))
				    ? MX_E_NOT_FOUND
				    : MX_E_UNKNOWN,
			    "%.*s", MX_SFMT(text));
}

mx_error *
mx_ctl_exchange(int fd, const mx_str *words, size_t n, struct mx_ctl_answer *out, int *status)
{
	MX_AUTO(mx_buf) *line = mx_buf_new(ANSWER_MAX);

	MX_TRY(send_words(fd, words, n));
	MX_TRY(receive_line(fd, line));
	return read_answer(mx_buf_view(line), out, status);
}

/* ---- with a server or without ---- */

static mx_error *
no_server(struct mx_ctl *ctl)
{
	return mx_error_new(
		MX_E_UNAVAILABLE,
		"no server runs with the configuration %s, and only a running one can do this",
		ctl->config);
}

mx_error *
mx_ctl_ask(struct mx_ctl *ctl, enum mx_ctl_where where, const mx_str *words, size_t n,
	   struct mx_ctl_answer *out, int *status)
{
	mx_error *e;
	int fd;

	MX_TRY(mx_ctl_connect(ctl, &fd));
	if (fd < 0 && where == MX_CTL_SERVER)
		return no_server(ctl);
	if (fd < 0)
		return mx_ctl_local(ctl, words, n, out);
	mx_ctl_progress_begin("the server is at it");
	e = mx_ctl_exchange(fd, words, n, out, status);
	mx_ctl_progress_end();
	close(fd);
	return e;
}

mx_error *
mx_ctl_forward(struct mx_ctl *ctl, enum mx_ctl_where where, const mx_str *words, size_t n,
	       int *status)
{
	struct mx_ctl_answer answer = { 0 };
	mx_error *e = mx_ctl_ask(ctl, where, words, n, &answer, status);

	if (e == NULL && ctl->json && answer.json != NULL)
		mx_ctl_write_json(answer.json);
	else if (e == NULL && ctl->json)
		mx_ctl_write(MX_S("null\n"));
	else if (e == NULL)
		mx_ctl_write(mx_str_of(answer.text));
	mx_ctl_answer_free(&answer);
	return e;
}
