/* What differs between databases, and the section [database]. */
#include "config.h"

#include "tests/unit/sql/common.h"

static const struct mx_storage_word words[] = { { "blob", "BYTES" }, { "none", "" } };

static void
becomes(const char *text, const char *wanted)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	assert_ok(mx_storage_dialect(text, '?', words, 2, b));
	assert_string_equal(mx_buf_cstr(b), wanted);
}

static void
parameters_and_words_are_replaced(void **state)
{
	(void)state;
	becomes("SELECT $1, $12, a$b, $x", "SELECT ?1, ?12, a$b, $x");
	becomes("a {blob} {none}, b {blob}", "a BYTES , b BYTES");
	becomes("", "");
}

static void
quotes_and_comments_stay_as_they_are(void **state)
{
	(void)state;
	becomes("'$1 {blob}' $2", "'$1 {blob}' ?2");
	becomes("'it''s $1' \"$1\" $2", "'it''s $1' \"$1\" ?2");
	becomes("-- $1 {x\n$2", "-- $1 {x\n?2");
	becomes("'no end $1", "'no end $1");
	becomes("1 - $1 -- {", "1 - ?1 -- {");
}

static void
unknown_words_are_errors(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	(void)state;
	assert_code(mx_storage_dialect("a {blub}", '?', words, 2, b), MX_E_UNKNOWN);
	assert_code(mx_storage_dialect("a {blob", '?', words, 2, b), MX_E_UNKNOWN);
}

static void
a_url_names_its_driver_first(void **state)
{
	mx_str provider, where;

	(void)state;
	assert_ok(mx_db_url(MX_S("sqlite:/var/lib/a:b.db"), &provider, &where));
	assert_true(mx_str_eq(provider, MX_S("sqlite")));
	assert_true(mx_str_eq(where, MX_S("/var/lib/a:b.db")));
	assert_ok(mx_db_url(MX_S("postgres://u@h/d"), &provider, &where));
	assert_true(mx_str_eq(where, MX_S("//u@h/d")));
	assert_code(mx_db_url(MX_S("/var/lib/myelin.db"), &provider, &where), MX_E_CONFIG);
	assert_code(mx_db_url(MX_S(":x"), &provider, &where), MX_E_CONFIG);
	assert_code(mx_db_url(MX_S(""), &provider, &where), MX_E_CONFIG);
}

/* A value as it would stand in the file, in the unit of the struct. */
static int64_t
written(const struct mx_option *o)
{
	char *unit;
	int64_t v = strtoll(o->def, &unit, 10);

	return o->type == MX_OPT_MSEC && strcmp(unit, "s") == 0 ? v * 1000 : v;
}

static void
the_built_in_options_are_those_of_the_table(void **state)
{
	struct mx_db_options built_in;

	(void)state;
	mx_db_options_default(&built_in);
	for (size_t i = 0; i < mx_db_option_count; i++) {
		const struct mx_option *o = &mx_db_option_rows[i];
		const char *at = (const char *)&built_in + o->offset;
		if (o->type == MX_OPT_STR)
			assert_string_equal(*(const char *const *)(const void *)at, o->def);
		else
			assert_int_equal(*(const int64_t *)(const void *)at, written(o));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parameters_and_words_are_replaced),
		cmocka_unit_test(quotes_and_comments_stay_as_they_are),
		cmocka_unit_test(unknown_words_are_errors),
		cmocka_unit_test(a_url_names_its_driver_first),
		cmocka_unit_test(the_built_in_options_are_those_of_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
