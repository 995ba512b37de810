/* The control socket, as myelinctl sees it. */
#include "config.h"

#include "tests/unit/runtime/fake.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/runtime/control.h"

static char folder[] = "/tmp/mx-control-XXXXXX";
static char path[128];

static mx_error *
echo(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, json_t **json)
{
	(void)core;
	if (n == 0)
		return mx_error_new(MX_E_BAD_REQUEST, "nothing to say");
	for (size_t i = 0; i < n; i++)
		mx_buf_printf(text, "%s%.*s", i > 0 ? "|" : "", MX_SFMT(args[i]));
	*json = json_integer((json_int_t)n);
	return NULL;
}

static const struct mx_control_row ROWS[] = {
	{ "echo", "WORD...", "Says it again.", echo },
	{ "echo twice", "WORD...", "Not really.", echo },
};

static struct mx_core *
begin(void)
{
	struct mx_core *core = mx_core_new("x");

	mx_control_register(core, ROWS, 2);
	unit_ok(mx_control_start(core, path));
	return core;
}

static int
dial(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(at.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

/* The answer to one line, without its newline. */
static const char *
ask(int fd, const char *line)
{
	static char answer[8192];
	size_t n = 0;

	assert_int_equal(send(fd, line, strlen(line), 0), strlen(line));
	while (n == 0 || answer[n - 1] != '\n') {
		ssize_t got = recv(fd, answer + n, sizeof(answer) - n - 1, 0);

		assert_true(got > 0);
		n += (size_t)got;
	}
	answer[n - 1] = 0;
	return answer;
}

static void
a_line_is_answered_by_a_line(void **state)
{
	struct mx_core *core = begin();
	int fd = dial();

	(void)state;
	assert_string_equal(ask(fd, "{\"command\":\"echo\",\"args\":[\"a b\",\"c\"]}\n"),
			    "{\"ok\":true,\"text\":\"a b|c\",\"json\":2}");
	assert_string_equal(ask(fd, "{\"command\":\"\",\"args\":[\"echo\",\"twice\",\"c\"]}\n"),
			    "{\"ok\":true,\"text\":\"c\",\"json\":1}");
	assert_string_equal(
		ask(fd, "{\"command\":\"echo\"}\n"),
		"{\"ok\":false,\"error\":\"nothing to say\",\"errcode\":\"M_UNKNOWN\",\"code\":2}");
	assert_non_null(strstr(ask(fd, "{\"command\":\"ecco\"}\n"), "there is no command"));
	assert_non_null(strstr(ask(fd, "{\"command\":\"help\"}\n"),
			       "echo twice WORD...\\n    Not really."));
	assert_non_null(strstr(ask(fd, "nonsense\n"), "\"errcode\":\"M_NOT_JSON\""));
	assert_non_null(strstr(ask(fd, "[]\n"), "a request is an object"));
	assert_non_null(strstr(ask(fd, "{\"command\":\"echo\",\"args\":[1]}\n"), "args is a list"));
	close(fd);
	mx_control_stop(core);
	mx_core_free(&core);
}

static void
only_the_owner_may_connect(void **state)
{
	struct mx_core *core = begin();
	struct stat st;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	mx_control_stop(core);
	assert_int_not_equal(stat(path, &st), 0);
	mx_core_free(&core);
}

static void
a_socket_that_a_killed_server_left_is_replaced(void **state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), client;
	struct mx_core *core;

	(void)state;
	strcpy(at.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	close(fd);
	core = begin();
	client = dial();
	assert_non_null(strstr(ask(client, "{\"command\":\"echo x\"}\n"), "\"ok\":true"));
	close(client);
	mx_control_stop(core);
	mx_core_free(&core);
}

static void
too_many_clients_are_turned_away(void **state)
{
	struct mx_core *core = begin();
	int fd[8], more;
	char answer[128];

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		fd[i] = dial();
		assert_non_null(strstr(ask(fd[i], "{\"command\":\"echo x\"}\n"), "\"ok\":true"));
	}
	more = dial();
	assert_true(recv(more, answer, sizeof(answer), 0) > 0);
	assert_memory_equal(answer, "{\"ok\":false,", 12);
	close(more);
	/* It stops while they are connected. */
	mx_control_stop(core);
	for (size_t i = 0; i < 8; i++)
		close(fd[i]);
	mx_core_free(&core);
}

static void
an_endless_line_ends_the_connection(void **state)
{
	struct mx_core *core = begin();
	int fd = dial();
	char *chunk = mx_alloc(1 << 20);
	ssize_t n = 1;

	(void)state;
	memset(chunk, 'x', 1 << 20);
	for (int i = 0; i < 4 && n > 0; i++)
		n = send(fd, chunk, 1 << 20, MSG_NOSIGNAL);
	n = recv(fd, chunk, 1, 0);
	assert_true(n <= 0);
	free(chunk);
	close(fd);
	mx_control_stop(core);
	mx_core_free(&core);
}

static int
make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/run/control.sock", folder);
	return 0;
}

static int
remove_folder(void **state)
{
	char run[128];

	(void)state;
	snprintf(run, sizeof(run), "%s/run", folder);
	rmdir(run);
	return rmdir(folder);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(a_line_is_answered_by_a_line),
		unit_case(only_the_owner_may_connect),
		unit_case(a_socket_that_a_killed_server_left_is_replaced),
		unit_case(too_many_clients_are_turned_away),
		unit_case(an_endless_line_ends_the_connection),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
