#include "config.h"

#include "tests/unit/support/unit.h"
#include "core/base/clock.h"

static mx_msec
fixed_now(void *arg)
{
	return *(mx_msec *)arg;
}

static int64_t
fixed_monotonic(void *arg)
{
	return *(mx_msec *)arg * 1000;
}

static void
time_may_be_replaced(void **state)
{
	mx_msec t = 1700000000123;
	struct mx_clock clock = { fixed_now, fixed_monotonic, &t };

	(void)state;
	mx_clock_replace(&clock);
	assert_int_equal(mx_now(), 1700000000123);
	assert_int_equal(mx_monotonic_us(), 1700000000123000);
	mx_clock_replace(NULL);
	assert_true(mx_now() > t);
}

static void
the_monotonic_clock_does_not_go_back(void **state)
{
	int64_t before = mx_monotonic_us();

	(void)state;
	for (int i = 0; i < 1000; i++) {
		int64_t t = mx_monotonic_us();

		assert_true(t >= before);
		before = t;
	}
}

static void
counting(void *arg, void *p, size_t n)
{
	unsigned char *next = arg;

	for (size_t i = 0; i < n; i++)
		((unsigned char *)p)[i] = (*next)++;
}

static void
chance_may_be_replaced(void **state)
{
	unsigned char next = 0;
	struct mx_chance chance = { counting, &next };
	char text[11];
	unsigned char bytes[3];

	(void)state;
	mx_chance_replace(&chance);
	mx_random(bytes, sizeof(bytes));
	assert_memory_equal(bytes, "\0\1\2", 3);
	mx_random_text(text, 10);
	assert_int_equal(strlen(text), 10);
	/* Bytes from 248 on are thrown away, so that no letter is likelier than another. */
	next = 248;
	mx_random_text(text, 8);
	assert_int_equal(next, 8);
	assert_string_equal(text, "HGFEDCBA");
	mx_chance_replace(NULL);
}

static void
random_text_is_of_letters_and_digits(void **state)
{
	char text[1001], other[1001];
	bool seen[256] = { false };

	(void)state;
	mx_random_text(text, 1000);
	mx_random_text(other, 1000);
	assert_int_equal(strlen(text), 1000);
	assert_string_not_equal(text, other);
	for (size_t i = 0; i < 1000; i++)
		seen[(unsigned char)text[i]] = true;
	for (int c = 0; c < 256; c++)
		if (seen[c])
			assert_true((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
				    (c >= 'a' && c <= 'z'));
	mx_random_text(text, 0);
	assert_string_equal(text, "");
}

static void
the_hash_is_of_all_bytes(void **state)
{
	(void)state;
	assert_true(mx_hash("abc", 3) == mx_hash("abc", 3));
	assert_false(mx_hash("abc", 3) == mx_hash("abd", 3));
	assert_false(mx_hash("abc", 3) == mx_hash("abc\0", 4));
	assert_false(mx_hash("", 0) == mx_hash("\0", 1));
	assert_true(mx_hash(NULL, 0) == mx_hash("", 0));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(time_may_be_replaced),
		unit_case(the_monotonic_clock_does_not_go_back),
		unit_case(chance_may_be_replaced),
		unit_case(random_text_is_of_letters_and_digits),
		unit_case(the_hash_is_of_all_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
