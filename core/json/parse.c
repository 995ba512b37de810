#include "config.h"

#include "core/json/json.h"

/* jansson calls itself for each level, up to 2048, which is more than a small thread's stack holds:
 * too deep texts are found before it sees them. Brackets within strings don't count. */
static bool
too_deep(mx_str text)
{
	const char *p = text.p, *end = text.p + text.n;
	size_t openers = 0, depth = 0;

	/* Nearly every text has too few brackets to be too deep: '[' and '{' differ in one bit. */
	for (size_t i = 0; i < text.n; i++)
		openers += (text.p[i] | 0x20) == '{';
	if (openers <= MX_JSON_DEPTH)
		return false;
	for (; p < end; p++) {
		switch (*p) {
		case '{': case '[':
			if (++depth > MX_JSON_DEPTH)
				return true;
			break;
		case '}': case ']':
			if (depth > 0)
				depth--;
			break;
		case '"':
			for (p++; p < end && *p != '"'; p++)
				if (*p == '\\')
					p++;
			break;
		}
	}
	return false;
}

/* jansson's texts end in what it read last, which may be anything: that is left out. */
static mx_error *
failure(const json_error_t *error)
{
	const char *near = strstr(error->text, " near ");
	mx_str text = mx_str_of(error->text);
	enum mx_code code;

	if (near != NULL)
		text.n = (size_t)(near - error->text);
	switch (json_error_code(error)) {
	case json_error_duplicate_key:
	case json_error_null_byte_in_key:
	case json_error_numeric_overflow:
	case json_error_stack_overflow:
		code = MX_E_BAD_JSON;	/* by the grammar it is JSON */
		break;
	default:
		code = MX_E_NOT_JSON;
	}
	return mx_error_new(code, "%s at line %d, column %d: %.*s",
			    code == MX_E_NOT_JSON ? "not JSON" : "unacceptable JSON", error->line,
			    error->column, MX_SFMT(text));
}

mx_error *
mx_json_parse(mx_str text, json_t **out)
{
	json_error_t error;
	json_t *v;

	*out = NULL;
	if (text.n == 0)
		return mx_error_new(MX_E_NOT_JSON, "not JSON: empty");
	if (too_deep(text))
		return mx_error_new(MX_E_BAD_JSON, "unacceptable JSON: more than %d levels",
				    MX_JSON_DEPTH);
	v = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL,
		       &error);
	if (v == NULL)
		return failure(&error);
	*out = v;
	return NULL;
}
