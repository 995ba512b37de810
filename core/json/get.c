#include "config.h"

#include <myelin/json.h>

static mx_error *
wrong_type(const char *key, const char *what)
{
	return mx_error_new(MX_E_BAD_JSON, "'%s' must be %s", key, what);
}

/* The member, or NULL when it is absent. */
static mx_error *
member(const json_t *o, const char *key, bool needed, json_t **out)
{
	*out = NULL;
	if (o != NULL && !json_is_object(o))
		return mx_error_new(MX_E_BAD_JSON, "'%s' is looked for in what is not an object",
				    key);
	*out = json_object_get(o, key);
	if (*out == NULL && needed)
		return mx_error_new(MX_E_MISSING_PARAM, "'%s' is missing", key);
	return NULL;
}

static mx_error *
get_str(const json_t *o, const char *key, bool needed, mx_str *out)
{
	json_t *v;

	MX_TRY(member(o, key, needed, &v));
	if (v == NULL)
		return NULL;
	if (!json_is_string(v))
		return wrong_type(key, "a string");
	*out = (mx_str){ json_string_value(v), json_string_length(v) };
	return NULL;
}

mx_error *
mx_json_get_str(const json_t *o, const char *key, mx_str *out)
{
	return get_str(o, key, true, out);
}

mx_error *
mx_json_opt_str(const json_t *o, const char *key, mx_str *out)
{
	return get_str(o, key, false, out);
}

mx_error *
mx_json_opt_int(const json_t *o, const char *key, int64_t *out)
{
	json_t *v;

	MX_TRY(member(o, key, false, &v));
	if (v == NULL)
		return NULL;
	if (!json_is_integer(v))
		return wrong_type(key, "an integer");
	*out = json_integer_value(v);
	return NULL;
}

mx_error *
mx_json_opt_bool(const json_t *o, const char *key, bool *out)
{
	json_t *v;

	MX_TRY(member(o, key, false, &v));
	if (v == NULL)
		return NULL;
	if (!json_is_boolean(v))
		return wrong_type(key, "true or false");
	*out = json_is_true(v);
	return NULL;
}

static mx_error *
get_container(const json_t *o, const char *key, bool needed, json_type type, json_t **out)
{
	json_t *v;

	MX_TRY(member(o, key, needed, &v));
	if (v == NULL)
		return NULL;
	if (json_typeof(v) != type)
		return wrong_type(key, type == JSON_OBJECT ? "an object" : "an array");
	*out = v;
	return NULL;
}

mx_error *
mx_json_get_object(const json_t *o, const char *key, json_t **out)
{
	return get_container(o, key, true, JSON_OBJECT, out);
}

mx_error *
mx_json_opt_object(const json_t *o, const char *key, json_t **out)
{
	return get_container(o, key, false, JSON_OBJECT, out);
}

mx_error *
mx_json_opt_array(const json_t *o, const char *key, json_t **out)
{
	return get_container(o, key, false, JSON_ARRAY, out);
}

mx_str
mx_json_str(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_string(v))
		return (mx_str){ NULL, 0 };
	return (mx_str){ json_string_value(v), json_string_length(v) };
}
