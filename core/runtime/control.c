/* The control socket. A thread accepts, one thread a client reads lines and runs commands: they are
 * few, and some take minutes. What is written to a client goes through one buffer; a client that
 * does not read is dropped. */
#include "config.h"

#include "core/runtime/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/runtime/core.h"
#include "core/runtime/registry.h"

enum {
	CLIENTS_MAX = 8,
	WORDS_MAX = 64,
	LINE_MAX_BYTES = 1 << 20,
	SEND_TIMEOUT_S = 30,
	ANSWER_MAX = 32 << 20
};

struct table {
	const struct mx_control_row *rows;
	size_t n;
};

struct client {
	struct mx_control *control;
	pthread_t thread;
	int fd;
	bool used, done;
};

struct mx_control {
	struct mx_core *core;
	struct table *tables;
	size_t table_count;
	char *path;
	int listener, wake[2];
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;		/* guards the clients */
	struct client clients[CLIENTS_MAX];
};

static struct mx_control *
control_of(struct mx_core *core)
{
	if (core->control == NULL) {
		core->control = mx_alloc(sizeof(*core->control));
		core->control->core = core;
		core->control->listener = core->control->wake[0] = core->control->wake[1] = -1;
		pthread_mutex_init(&core->control->lock, NULL);
	}
	return core->control;
}

/* ---- commands ---- */

/* How many words a name has when `words` begin with all of them; 0 when they don't. */
static size_t
matched(const char *name, const mx_str *words, size_t n)
{
	mx_str rest = mx_str_of(name), word;
	size_t count = 0;

	while (rest.n > 0) {
		if (!mx_str_cut(rest, ' ', &word, &rest))
			rest = (mx_str){ NULL, 0 };
		if (count == n || !mx_str_eq(word, words[count]))
			return 0;
		count++;
	}
	return count;
}

static const struct mx_control_row *
row_named(struct mx_control *control, const char *name)
{
	for (size_t t = 0; t < control->table_count; t++)
		for (size_t i = 0; i < control->tables[t].n; i++)
			if (strcmp(control->tables[t].rows[i].name, name) == 0)
				return &control->tables[t].rows[i];
	return NULL;
}

void
mx_control_register(struct mx_core *core, const struct mx_control_row *rows, size_t n)
{
	struct mx_control *control = control_of(core);

	for (size_t i = 0; i < n; i++) {
		if (row_named(control, rows[i].name) != NULL) {
			mx_log("runtime", MX_ERROR, "RUN030", "a command is there twice",
			       mx_fz("command", rows[i].name));
			abort();
		}
	}
	control->tables =
		mx_realloc(control->tables, control->table_count + 1, sizeof(*control->tables));
	control->tables[control->table_count++] = (struct table){ rows, n };
}

static void
help_line(struct mx_buf *b, const char *name, const char *usage, const char *help)
{
	mx_buf_printf(b, "%s%s%s\n    %s\n", name, usage != NULL && usage[0] != 0 ? " " : "",
		      usage != NULL ? usage : "", help != NULL ? help : "");
}

static void
help_entry(json_t *list, const char *name, const char *usage, const char *help)
{
	json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "name", name, "usage",
					      usage != NULL ? usage : "", "help",
					      help != NULL ? help : ""));
}

static mx_error *
help(struct mx_core *core, struct mx_buf *text, json_t **json)
{
	struct mx_control *control = control_of(core);
	json_t *list = json_array();
	unsigned ticket;
	struct mx_generation *g = mx_registry_enter(core, &ticket);

	for (size_t t = 0; t < control->table_count; t++) {
		for (size_t i = 0; i < control->tables[t].n; i++) {
			const struct mx_control_row *r = &control->tables[t].rows[i];

			help_line(text, r->name, r->usage, r->help);
			help_entry(list, r->name, r->usage, r->help);
		}
	}
	for (size_t m = 0; g != NULL && m < g->module_count; m++) {
		for (size_t i = 0; i < g->modules[m]->image->command_count; i++) {
			const struct mx_command_row *r = &g->modules[m]->image->commands[i];

			help_line(text, r->name, r->usage, r->help);
			help_entry(list, r->name, r->usage, r->help);
		}
	}
	mx_registry_leave(core, ticket);
	*json = list;
	return NULL;
}

/* The longest name of the core's commands and of the modules' that the words begin with. */
struct found {
	size_t words;
	const struct mx_control_row *row;
	const struct mx_command_row *command;
	struct mx_module_self *self;	/* pinned */
};

static struct found
find(struct mx_core *core, const mx_str *words, size_t n)
{
	struct mx_control *control = control_of(core);
	struct found f = { 0 };
	unsigned ticket;
	struct mx_generation *g = mx_registry_enter(core, &ticket);

	for (size_t t = 0; t < control->table_count; t++) {
		for (size_t i = 0; i < control->tables[t].n; i++) {
			size_t k = matched(control->tables[t].rows[i].name, words, n);

			if (k > f.words)
				f = (struct found){ .words = k,
						    .row = &control->tables[t].rows[i] };
		}
	}
	for (size_t m = 0; g != NULL && m < g->module_count; m++) {
		for (size_t i = 0; i < g->modules[m]->image->command_count; i++) {
			size_t k = matched(g->modules[m]->image->commands[i].name, words, n);

			if (k > f.words)
				f = (struct found){ .words = k,
						    .command = &g->modules[m]->image->commands[i],
						    .self = g->modules[m] };
		}
	}
	mx_self_pin(f.self);
	mx_registry_leave(core, ticket);
	return f;
}

static mx_error *
unknown(const mx_str *words, size_t n)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	for (size_t i = 0; i < n && i < 2; i++)
		mx_buf_printf(b, "%s%.*s", i > 0 ? " " : "",
			      (int)(words[i].n < 40 ? words[i].n : 40), words[i].p);
	return mx_error_new(MX_E_NOT_FOUND, "there is no command \"%s\"; help lists them all",
			    mx_buf_cstr(b));
}

mx_error *
mx_control_run(struct mx_core *core, const mx_str *words, size_t n, struct mx_buf *text,
	       json_t **json)
{
	struct found f;
	mx_error *e;

	*json = NULL;
	if (n == 1 && mx_str_eq(words[0], MX_S("help")))
		return help(core, text, json);
	f = find(core, words, n);
	if (f.words == 0)
		return unknown(words, n);
	if (f.row != NULL)
		return f.row->run(core, words + f.words, n - f.words, text, json);
	e = f.command->run(f.self, words + f.words, n - f.words, text);
	mx_self_unpin(f.self);
	return e;
}

/* ---- one line in, one line out ---- */

static int
exit_code(const mx_error *e)
{
	switch (mx_error_code(e)) {
	case MX_E_CONFIG:
		return 78;
	case MX_E_BAD_REQUEST:
	case MX_E_MISSING_PARAM:
	case MX_E_INVALID_PARAM:
		return 2;
	default:
		return 1;
	}
}

/* The words of a request, borrowed from it. */
static mx_error *
words_of(const json_t *request, mx_str *words, size_t *n)
{
	json_t *args = NULL, *arg;
	mx_str rest, word;
	size_t i;

	MX_TRY(mx_json_get_str(request, "command", &rest));
	MX_TRY(mx_json_opt_array(request, "args", &args));
	while (rest.n > 0 && *n < WORDS_MAX) {
		if (!mx_str_cut(rest, ' ', &word, &rest))
			rest = (mx_str){ NULL, 0 };
		if (word.n > 0)
			words[(*n)++] = word;
	}
	json_array_foreach(args, i, arg) {
		if (!json_is_string(arg) || *n == WORDS_MAX)
			return mx_error_new(MX_E_BAD_JSON, "args is a list of up to %d texts",
					    WORDS_MAX);
		words[(*n)++] = (mx_str){ json_string_value(arg), json_string_length(arg) };
	}
	return NULL;
}

static mx_error *
run_line(struct mx_core *core, mx_str line, struct mx_buf *text, json_t **json)
{
	MX_AUTO_JSON *request = NULL;
	mx_str words[WORDS_MAX];
	size_t n = 0;

	MX_TRY(mx_json_parse(line, &request));
	if (!json_is_object(request))
		return mx_error_new(MX_E_BAD_JSON, "a request is an object");
	MX_TRY(words_of(request, words, &n));
	return mx_control_run(core, words, n, text, json);
}

static void
answer(struct mx_core *core, mx_str line, struct mx_buf *out)
{
	MX_AUTO(mx_buf) *text = mx_buf_new(ANSWER_MAX);
	MX_AUTO_JSON *json = NULL;
	mx_error *e = run_line(core, line, text, &json);
	struct mx_jw w = mx_jw_on(out);

	mx_jw_object(&w);
	mx_jw_key(&w, MX_S("ok"));
	mx_jw_bool(&w, e == NULL);
	if (e == NULL) {
		mx_jw_key(&w, MX_S("text"));
		mx_jw_str(&w, mx_buf_view(text));
		if (json != NULL) {
			mx_jw_key(&w, MX_S("json"));
			mx_jw_json(&w, json);
		}
	} else {
		mx_jw_key(&w, MX_S("error"));
		mx_jw_str(&w, mx_str_of(mx_error_text(e)));
		mx_jw_key(&w, MX_S("errcode"));
		mx_jw_str(&w, mx_str_of(mx_error_errcode(e)));
		mx_jw_key(&w, MX_S("code"));
		mx_jw_int(&w, exit_code(e));
	}
	mx_jw_object_end(&w);
	mx_buf_byte(out, '\n');
	mx_error_free(&e);
}

static bool
send_all(int fd, mx_str s)
{
	while (s.n > 0) {
		ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		s.p += n;
		s.n -= (size_t)n;
	}
	return true;
}

/* ---- clients ---- */

static void
serve(struct client *c)
{
	MX_AUTO(mx_buf) *in = mx_buf_new(LINE_MAX_BYTES);
	MX_AUTO(mx_buf) *out = mx_buf_new(0);
	char chunk[4096];
	ssize_t n;

	while ((n = recv(c->fd, chunk, sizeof(chunk), 0)) > 0 || (n < 0 && errno == EINTR)) {
		mx_str line, rest;

		mx_buf_add(in, chunk, n > 0 ? (size_t)n : 0);
		if (mx_buf_failed(in))
			return;
		while (mx_str_cut(mx_buf_view(in), '\n', &line, &rest)) {
			char *kept = mx_str_dup(rest);
			size_t kept_n = rest.n;
			bool sent;

			answer(c->control->core, line, out);
			mx_buf_truncate(in, 0);
			mx_buf_add(in, kept, kept_n);
			free(kept);
			sent = !mx_buf_failed(out) && send_all(c->fd, mx_buf_view(out));
			mx_buf_truncate(out, 0);
			if (!sent)
				return;
		}
	}
}

static void *
client_main(void *arg)
{
	struct client *c = arg;
	struct mx_control *control = c->control;

	serve(c);
	pthread_mutex_lock(&control->lock);
	close(c->fd);
	c->fd = -1;
	c->done = true;
	pthread_mutex_unlock(&control->lock);
	return NULL;
}

/* root and the server's own user only; the mode of the socket says the same. */
static bool
allowed(int fd)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

static void
join_done(struct mx_control *control, bool all)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = &control->clients[i];
		bool done;

		pthread_mutex_lock(&control->lock);
		done = c->used && (c->done || all);
		if (c->used && all && c->fd >= 0)
			shutdown(c->fd, SHUT_RD);
		pthread_mutex_unlock(&control->lock);
		if (!done)
			continue;
		pthread_join(c->thread, NULL);
		c->used = false;
	}
}

static void
welcome(struct mx_control *control, int fd)
{
	static const char busy[] = "{\"ok\":false,\"error\":\"too many control "
				   "connections\",\"errcode\":\"M_UNKNOWN\",\"code\":1}\n";
	struct timeval timeout = { .tv_sec = SEND_TIMEOUT_S };
	struct client *c = NULL;

	join_done(control, false);
	for (size_t i = 0; i < CLIENTS_MAX && c == NULL; i++)
		if (!control->clients[i].used)
			c = &control->clients[i];
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (c == NULL || !allowed(fd)) {
		if (c == NULL)
			send_all(fd, MX_S(busy));
		close(fd);
		return;
	}
	*c = (struct client){ .control = control, .fd = fd, .used = true };
	if (pthread_create(&c->thread, NULL, client_main, c) != 0) {
		close(fd);
		c->used = false;
	}
}

static void *
accept_main(void *arg)
{
	struct mx_control *control = arg;
	struct pollfd p[2] = { { .fd = control->listener, .events = POLLIN },
			       { .fd = control->wake[0], .events = POLLIN } };

	pthread_setname_np(pthread_self(), "mx-control");
	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[1].revents != 0)
			break;
		if ((p[0].revents & POLLIN) != 0) {
			int fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC);

			if (fd >= 0)
				welcome(control, fd);
		}
	}
	join_done(control, true);
	return NULL;
}

/* ---- the socket ---- */

static mx_error *
make_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder;
	mx_error *e = NULL;

	if (slash == NULL || slash == path)
		return NULL;
	folder = mx_str_dup((mx_str){ path, (size_t)(slash - path) });
	if (mkdir(folder, 0700) != 0 && errno != EEXIST)
		e = mx_error_new(MX_E_CONFIG, "[server] control: the folder %s cannot be made: %s",
				 folder, strerror(errno));
	free(folder);
	return e;
}

/* Binds the listener. Who holds the server's lock owns the path: what stands there is left from a
 * server that was killed. */
static mx_error *
listen_on(struct mx_control *control, const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(at.sun_path))
		return mx_error_new(
			MX_E_CONFIG,
			"[server] control: the path of a socket has at most %zu bytes: %s",
			sizeof(at.sun_path) - 1, path);
	MX_TRY(make_folder(path));
	strcpy(at.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return mx_error_new(MX_E_UNKNOWN, "socket: %s", strerror(errno));
	unlink(path);
	/* On Linux the mode of the socket before bind is the mode of what bind makes: nobody gets
	 * in between. */
	if (fchmod(fd, 0600) != 0 || bind(fd, (const struct sockaddr *)&at, sizeof(at)) != 0 ||
	    chmod(path, 0600) != 0 || listen(fd, CLIENTS_MAX) != 0) {
		mx_error *e = mx_error_new(MX_E_CONFIG, "[server] control: %s cannot be opened: %s",
					   path, strerror(errno));

		close(fd);
		return e;
	}
	control->listener = fd;
	return NULL;
}

mx_error *
mx_control_start(struct mx_core *core, const char *path)
{
	struct mx_control *control = control_of(core);
	int why;

	MX_TRY(listen_on(control, path));
	control->path = mx_str_dup(mx_str_of(path));
	if (pipe2(control->wake, O_CLOEXEC) != 0)
		return mx_error_new(MX_E_UNKNOWN, "pipe: %s", strerror(errno));
	why = pthread_create(&control->thread, NULL, accept_main, control);
	if (why != 0)
		return mx_error_new(MX_E_UNKNOWN, "cannot start a thread: %s", strerror(why));
	control->started = true;
	return NULL;
}

void
mx_control_hand_over(struct mx_core *core)
{
	struct mx_control *control = core->control;

	if (control == NULL)
		return;
	free(control->path);
	control->path = NULL;
}

void
mx_control_stop(struct mx_core *core)
{
	struct mx_control *control = core->control;

	if (control == NULL)
		return;
	if (control->started) {
		ssize_t ignored = write(control->wake[1], "x", 1);

		(void)ignored;
		pthread_join(control->thread, NULL);
	}
	/* Commands that ran until now have looked at it. */
	core->control = NULL;
	if (control->path != NULL)
		unlink(control->path);
	for (size_t i = 0; i < 2; i++)
		if (control->wake[i] >= 0)
			close(control->wake[i]);
	if (control->listener >= 0)
		close(control->listener);
	pthread_mutex_destroy(&control->lock);
	free(control->path);
	free(control->tables);
	free(control);
}
