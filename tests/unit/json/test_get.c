#include "config.h"

#include "tests/unit/support/unit.h"
#include <myelin/json.h>

static json_t *object;

static int
begin(void **state)
{
	(void)state;
	return mx_error_drop(mx_json_parse(
		MX_S("{\"s\":\"text\",\"nul\":\"a\\u0000b\",\"i\":7,\"r\":7.0,\"t\":true,"
		     "\"f\":false,\"n\":null,\"o\":{\"x\":1},\"l\":[1]}"),
		&object));
}

static int
end(void **state)
{
	(void)state;
	json_decref(object);
	return 0;
}

static void
members_of_the_right_type_are_given(void **state)
{
	mx_str s;
	int64_t i;
	bool t = false, f = true;
	json_t *v;

	(void)state;
	unit_ok(mx_json_get_str(object, "s", &s));
	unit_text(s, "text");
	unit_ok(mx_json_opt_str(object, "nul", &s));
	assert_int_equal(s.n, 3);
	unit_ok(mx_json_opt_int(object, "i", &i));
	assert_int_equal(i, 7);
	unit_ok(mx_json_opt_bool(object, "t", &t));
	unit_ok(mx_json_opt_bool(object, "f", &f));
	assert_true(t);
	assert_false(f);
	unit_ok(mx_json_get_object(object, "o", &v));
	assert_int_equal(json_object_size(v), 1);
	unit_ok(mx_json_opt_object(object, "o", &v));
	unit_ok(mx_json_opt_array(object, "l", &v));
	assert_int_equal(json_array_size(v), 1);
	unit_text(mx_json_str(object, "s"), "text");
}

static void
absent_members_leave_what_was(void **state)
{
	mx_str s = MX_S("before");
	int64_t i = 3;
	bool t = true;
	json_t *v = object;

	(void)state;
	unit_ok(mx_json_opt_str(object, "absent", &s));
	unit_ok(mx_json_opt_int(object, "absent", &i));
	unit_ok(mx_json_opt_bool(object, "absent", &t));
	unit_ok(mx_json_opt_object(object, "absent", &v));
	unit_ok(mx_json_opt_array(NULL, "absent", &v));
	unit_text(s, "before");
	assert_int_equal(i, 3);
	assert_true(t);
	assert_ptr_equal(v, object);
	unit_refused(mx_json_get_str(object, "absent", &s), MX_E_MISSING_PARAM);
	unit_refused(mx_json_get_str(NULL, "absent", &s), MX_E_MISSING_PARAM);
	unit_refused(mx_json_get_object(object, "absent", &v), MX_E_MISSING_PARAM);
	assert_int_equal(mx_json_str(object, "absent").n, 0);
}

static void
wrong_types_are_bad_json_and_name_the_key(void **state)
{
	mx_str s = MX_S("before");
	int64_t i = 3;
	bool t = true;
	json_t *v = object;
	mx_error *e = mx_json_opt_str(object, "n", &s);

	(void)state;
	assert_true(mx_error_is(e, MX_E_BAD_JSON));
	assert_non_null(strstr(mx_error_text(e), "'n'"));
	mx_error_free(&e);
	unit_refused(mx_json_get_str(object, "i", &s), MX_E_BAD_JSON);
	unit_refused(mx_json_opt_int(object, "r", &i), MX_E_BAD_JSON);
	unit_refused(mx_json_opt_int(object, "t", &i), MX_E_BAD_JSON);
	unit_refused(mx_json_opt_bool(object, "n", &t), MX_E_BAD_JSON);
	unit_refused(mx_json_get_object(object, "l", &v), MX_E_BAD_JSON);
	unit_refused(mx_json_opt_array(object, "o", &v), MX_E_BAD_JSON);
	unit_refused(mx_json_opt_array(object, "n", &v), MX_E_BAD_JSON);
	unit_text(s, "before");
	assert_int_equal(i, 3);
	assert_true(t);
	assert_ptr_equal(v, object);
	assert_null(mx_json_str(object, "i").p);
}

static void
what_is_no_object_has_no_members(void **state)
{
	MX_AUTO_JSON *array = json_array();
	mx_str s;

	(void)state;
	unit_refused(mx_json_get_str(array, "s", &s), MX_E_BAD_JSON);
	unit_refused(mx_json_opt_str(array, "s", &s), MX_E_BAD_JSON);
	assert_null(mx_json_str(array, "s").p);
	assert_null(mx_json_str(NULL, "s").p);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(members_of_the_right_type_are_given),
		unit_case(absent_members_leave_what_was),
		unit_case(wrong_types_are_bad_json_and_name_the_key),
		unit_case(what_is_no_object_has_no_members),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
