/* What unit tests include before anything of their own: cmocka with what it needs, and a log that
 * is watched.
 *
 *	static const struct CMUnitTest tests[] = { unit_case(rule_it_states), … };
 *	return cmocka_run_group_tests(tests, NULL, NULL);
 *
 * A warning or an error that a test doesn't expect with unit_expect_log("TAG") fails it. */
#ifndef TESTS_UNIT_SUPPORT_UNIT_H
#define TESTS_UNIT_SUPPORT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/log.h"

#define unit_case(fn) cmocka_unit_test_setup_teardown(fn, unit_log_begin_, unit_log_end_)

#define UNIT_LINES 512

static struct {
	pthread_mutex_t lock;
	pthread_cond_t news;
	size_t n;
	struct {
		char tag[24];
		char *text;
		int level;
		bool expected;
	} lines[UNIT_LINES];
} unit_log_ = { .lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER };

static inline void
unit_log_take_(void *arg, enum mx_level level, const char *tag, mx_str line)
{
	(void)arg;
	pthread_mutex_lock(&unit_log_.lock);
	/* When there are too many, the last place keeps the latest. */
	if (unit_log_.n == UNIT_LINES)
		free(unit_log_.lines[--unit_log_.n].text);
	snprintf(unit_log_.lines[unit_log_.n].tag, sizeof(unit_log_.lines[0].tag), "%s", tag);
	unit_log_.lines[unit_log_.n].text = mx_str_dup(line);
	unit_log_.lines[unit_log_.n].level = (int)level;
	unit_log_.lines[unit_log_.n].expected = false;
	unit_log_.n++;
	pthread_cond_broadcast(&unit_log_.news);
	pthread_mutex_unlock(&unit_log_.lock);
}

static inline int
unit_log_begin_(void **state)
{
	(void)state;
	mx_log_sink(unit_log_take_, NULL);
	return 0;
}

static inline int
unit_log_end_(void **state)
{
	int failed = 0;

	(void)state;
	pthread_mutex_lock(&unit_log_.lock);
	for (size_t i = 0; i < unit_log_.n; i++) {
		if (unit_log_.lines[i].level <= MX_WARN && !unit_log_.lines[i].expected) {
			print_error("not expected: %s\n", unit_log_.lines[i].text);
			failed = -1;
		}
		free(unit_log_.lines[i].text);
	}
	unit_log_.n = 0;
	pthread_mutex_unlock(&unit_log_.lock);
	return failed;
}

/* Waits (ten seconds at most) for a line with this tag that was not asked for before, and returns
 * its text, which lives until the test ends; fails the test when there is none. */
static inline const char *
unit_expect_log(const char *tag)
{
	struct timespec deadline;
	const char *text = NULL;
	int timed_out = 0;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += 10;
	pthread_mutex_lock(&unit_log_.lock);
	for (;;) {
		for (size_t i = 0; i < unit_log_.n && text == NULL; i++) {
			if (!unit_log_.lines[i].expected &&
			    strcmp(unit_log_.lines[i].tag, tag) == 0) {
				unit_log_.lines[i].expected = true;
				text = unit_log_.lines[i].text;
			}
		}
		if (text != NULL || timed_out != 0)
			break;
		timed_out = pthread_cond_timedwait(&unit_log_.news, &unit_log_.lock, &deadline);
	}
	pthread_mutex_unlock(&unit_log_.lock);
	if (text == NULL)
		fail_msg("no line with %s was logged", tag);
	return text;
}

/* Lets the lines with this tag pass that were logged so far: for warnings that depend on how busy
 * the machine is. Call it at the end of the test. */
static inline void
unit_allow_log(const char *tag)
{
	pthread_mutex_lock(&unit_log_.lock);
	for (size_t i = 0; i < unit_log_.n; i++)
		if (strcmp(unit_log_.lines[i].tag, tag) == 0)
			unit_log_.lines[i].expected = true;
	pthread_mutex_unlock(&unit_log_.lock);
}

/* Fails the test, with its text, when e is an error; frees it. */
#define unit_ok(e) unit_ok_((e), __FILE__, __LINE__)

static inline void
unit_ok_(mx_error *e, const char *file, int line)
{
	if (e == NULL)
		return;
	print_error("%s: %s\n", mx_error_errcode(e), mx_error_text(e));
	mx_error_free(&e);
	_fail(file, line);
}

/* Fails the test when e is not an error with this code; frees it. */
#define unit_refused(e, code) unit_refused_((e), (code), __FILE__, __LINE__)

static inline void
unit_refused_(mx_error *e, enum mx_code code, const char *file, int line)
{
	bool right = mx_error_is(e, code);

	if (e == NULL)
		print_error("no error where there should be one\n");
	else if (!right)
		print_error("%s: %s: not the error that should be\n", mx_error_errcode(e),
			    mx_error_text(e));
	mx_error_free(&e);
	if (!right)
		_fail(file, line);
}

static inline void
unit_text_(mx_str s, const char *z, const char *file, int line)
{
	if (mx_str_eq(s, mx_str_of(z)))
		return;
	print_error("'%.*s' is not '%s'\n", MX_SFMT(s), z);
	_fail(file, line);
}

/* Fails the test when the string s is not the C string z. */
#define unit_text(s, z) unit_text_((s), (z), __FILE__, __LINE__)

#endif
