#include "config.h"

#include "tests/unit/support/unit.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void
a_line_has_level_tag_area_text_and_fields(void **state)
{
	mx_error *e = mx_error_new(MX_E_NOT_FOUND, "no such room");

	(void)state;
	mx_log("http", MX_WARN, "HTTP003", "slow client", mx_fz("address", "127.0.0.1"),
	       mx_fi("ms", -5), mx_fe(e));
	assert_string_equal(unit_expect_log("HTTP003"),
			    "warn HTTP003 http: slow client address=127.0.0.1 ms=-5 "
			    "error=\"no such room\" errcode=M_NOT_FOUND");
	mx_log("http", MX_INFO, "HTTP001", "listening");
	assert_string_equal(unit_expect_log("HTTP001"), "info HTTP001 http: listening");
	mx_log("http", MX_INFO, "HTTP002", "fine", mx_fe(NULL), mx_fs("none", mx_str_of(NULL)));
	assert_string_equal(unit_expect_log("HTTP002"), "info HTTP002 http: fine none=\"\"");
	mx_error_free(&e);
}

static void
values_cannot_pretend_to_be_more(void **state)
{
	static const char *const cases[][2] = {
		{ "plain-1:2/3", "plain-1:2/3" },
		{ "", "\"\"" },
		{ "a b", "\"a b\"" },
		{ "a=b", "\"a=b\"" },
		{ "a\"b", "\"a\\\"b\"" },
		{ "a\\b", "\"a\\\\b\"" },
		{ "a\nerror X: b", "\"a\\nerror X: b\"" },
		{ "\x1b[31m", "\"\\x1b[31m\"" },
		{ "\x7f", "\"\\x7f\"" },
		{ "\xc3\xa4", "\"\xc3\xa4\"" },
		{ "\xc2\x9b", "\"\\xc2\\x9b\"" },
		{ "\xff", "\"\\xff\"" },
		{ "a\xc3", "\"a\\xc3\"" },
		{ "\xf0\x9f\x98\x80!", "\"\xf0\x9f\x98\x80!\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		mx_log("test", MX_INFO, "TEST001", "x", mx_fz("v", cases[i][0]));
		assert_string_equal(unit_expect_log("TEST001") + strlen("info TEST001 test: x v="),
				    cases[i][1]);
	}
}

static void
lines_have_an_end(void **state)
{
	char value[3000];
	const char *line;

	(void)state;
	memset(value, 'x', sizeof(value));
	mx_log("test", MX_INFO, "TEST002", "x", mx_fs("a", (mx_str){ value, sizeof(value) }));
	line = unit_expect_log("TEST002");
	assert_int_equal(strlen(line), strlen("info TEST002 test: x a=") + 1024 + 3);
	memset(value, '\x01', sizeof(value));
	mx_log("test", MX_INFO, "TEST002", "x", mx_fs("a", (mx_str){ value, sizeof(value) }),
	       mx_fs("b", (mx_str){ value, sizeof(value) }));
	assert_in_range(strlen(unit_expect_log("TEST002")), 4000, 4096);
}

static void
levels_are_per_area(void **state)
{
	(void)state;
	assert_true(mx_log_wants("http", MX_INFO));
	assert_false(mx_log_wants("http", MX_DEBUG));
	unit_ok(mx_log_levels("warn,http=debug, sql = error"));
	assert_true(mx_log_wants("http", MX_DEBUG));
	assert_true(mx_log_wants("room", MX_WARN));
	assert_false(mx_log_wants("room", MX_INFO));
	assert_true(mx_log_wants("sql", MX_ERROR));
	assert_false(mx_log_wants("sql", MX_WARN));
	mx_log("sql", MX_WARN, "SQL001", "not written");	/* the end of this test would tell */
	unit_ok(mx_log_levels("debug"));
	assert_true(mx_log_wants("sql", MX_DEBUG));
	unit_ok(mx_log_levels("http=warn"));
	assert_true(mx_log_wants("sql", MX_INFO));
	assert_false(mx_log_wants("sql", MX_DEBUG));
	assert_false(mx_log_wants("http", MX_INFO));
	unit_ok(mx_log_levels(NULL));
	assert_true(mx_log_wants("http", MX_INFO));
	unit_ok(mx_log_levels(""));
}

static void
wrong_levels_change_nothing(void **state)
{
	static const char *const bad[] = {
		"loud",
		"debug,http=loud",
		"debug,=info",
		"debug,http=",
		"debug,,info",
		"debug,an-area-whose-name-is-far-too-long-to-be-the-name-of-an-area=info",
		"INFO"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		unit_refused(mx_log_levels(bad[i]), MX_E_CONFIG);
		assert_false(mx_log_wants("http", MX_DEBUG));
	}
}

static void
the_number_of_areas_is_bounded(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	(void)state;
	for (int i = 0; i < 300; i++)
		mx_buf_printf(b, "%sarea%d=debug", i == 0 ? "" : ",", i);
	unit_refused(mx_log_levels(mx_buf_cstr(b)), MX_E_CONFIG);
	unit_ok(mx_log_levels(NULL));
	assert_false(mx_log_wants("area1", MX_DEBUG));
}

static void *
log_many(void *arg)
{
	for (int i = 0; i < 2000; i++)
		mx_log(arg, MX_DEBUG, "TEST005", "often", mx_fi("i", i));
	return NULL;
}

static void
levels_may_change_while_others_log(void **state)
{
	static char names[4][8] = { "area0", "area1", "area2", "area3" };
	pthread_t threads[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, log_many, names[i]), 0);
	for (int i = 0; i < 200; i++) {
		char spec[64];

		snprintf(spec, sizeof(spec), "%s,area%d=%s", i % 2 ? "info" : "debug", i % 4,
			 i % 3 ? "debug" : "warn");
		unit_ok(mx_log_levels(spec));
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	unit_ok(mx_log_levels(NULL));
}

/* What a process of its own writes to standard error. */
static void
written(char *out, size_t size, bool journal)
{
	int ends[2], status;
	size_t n = 0;
	ssize_t got;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		char stream[64];
		struct stat st;

		mx_log_sink(NULL, NULL);
		if (dup2(ends[1], STDERR_FILENO) < 0 || fstat(STDERR_FILENO, &st) != 0)
			_exit(1);
		snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
			 (unsigned long long)st.st_ino + (journal ? 0 : 1));
		setenv("JOURNAL_STREAM", stream, 1);
		execl("/proc/self/exe", "test_log", "write", (char *)NULL);
		_exit(1);
	}
	close(ends[1]);
	while (n < size - 1 && (got = read(ends[0], out + n, size - 1 - n)) > 0)
		n += (size_t)got;
	out[n] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void
the_journal_gets_a_priority(void **state)
{
	char text[8192];

	(void)state;
	written(text, sizeof(text), true);
	assert_memory_equal(text, "<4>warn TEST003 test: to the log n=1\n<3>error TEST004", 53);
}

static void
others_get_the_time(void **state)
{
	char text[8192];
	int year, month, day, hour, minute, second, ms, end = 0;

	(void)state;
	written(text, sizeof(text), false);
	assert_int_equal(
		sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ warn TEST003 test: to the log n=1\n%n",
		       &year, &month, &day, &hour, &minute, &second, &ms, &end),
		7);
	assert_int_not_equal(end, 0);
}

static void
a_cut_line_ends_in_a_newline(void **state)
{
	char text[8192], *second;

	(void)state;
	written(text, sizeof(text), true);
	second = strchr(text, '\n') + 1;
	assert_int_equal(strlen(second), 4096);
	assert_string_equal(second + 4092, "...\n");
}

static int
write_lines(void)
{
	char value[1024];
	mx_str s = { value, sizeof(value) };

	memset(value, '\x01', sizeof(value));
	mx_log("test", MX_WARN, "TEST003", "to the log", mx_fi("n", 1));
	mx_log("test", MX_ERROR, "TEST004", "long", mx_fs("a", s), mx_fs("b", s));
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		unit_case(a_line_has_level_tag_area_text_and_fields),
		unit_case(values_cannot_pretend_to_be_more),
		unit_case(lines_have_an_end),
		unit_case(levels_are_per_area),
		unit_case(wrong_levels_change_nothing),
		unit_case(levels_may_change_while_others_log),
		unit_case(the_number_of_areas_is_bounded),
		unit_case(the_journal_gets_a_priority),
		unit_case(others_get_the_time),
		unit_case(a_cut_line_ends_in_a_newline),
	};

	if (argc == 2 && strcmp(argv[1], "write") == 0)
		return write_lines();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
