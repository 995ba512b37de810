/* JSON in and out. What comes in is parsed by jansson, with the decisions that Matrix needs made
 * once: duplicate keys, lone surrogates, NUL in keys, more than 100 levels of nesting and numbers
 * beyond what a 64-bit integer or a double holds are refused. What goes out is written straight
 * into a buffer. Canonical JSON: Appendices, "Canonical JSON". */
#ifndef MYELIN_JSON_H
#define MYELIN_JSON_H

#include <myelin/error.h>

static inline void mx_json_auto_(json_t **j) { json_decref(*j); }
#define MX_AUTO_JSON __attribute__((cleanup(mx_json_auto_))) json_t

/* Any JSON value. MX_E_NOT_JSON with line and column when it is none or no Unicode; MX_E_BAD_JSON
 * for duplicate keys, NUL in keys, depth and numbers. Errors don't quote the text. The caller owns
 * *out. A tree takes up to 80 times the memory of its text: limit the text first. */
MX_API mx_error *mx_json_parse(mx_str text, json_t **out) MX_MUST_USE;

/* Members of an object, borrowed. A wrong type is MX_E_BAD_JSON naming the key. The _opt forms
 * leave *out as it was when the key is absent (null counts as a wrong type); the others say
 * MX_E_MISSING_PARAM. */
MX_API mx_error *mx_json_get_str(const json_t *o, const char *key, mx_str *out) MX_MUST_USE;
MX_API mx_error *mx_json_opt_str(const json_t *o, const char *key, mx_str *out) MX_MUST_USE;
MX_API mx_error *mx_json_opt_int(const json_t *o, const char *key, int64_t *out) MX_MUST_USE;
MX_API mx_error *mx_json_opt_bool(const json_t *o, const char *key, bool *out) MX_MUST_USE;
MX_API mx_error *mx_json_get_object(const json_t *o, const char *key, json_t **out) MX_MUST_USE;
MX_API mx_error *mx_json_opt_object(const json_t *o, const char *key, json_t **out) MX_MUST_USE;
MX_API mx_error *mx_json_opt_array(const json_t *o, const char *key, json_t **out) MX_MUST_USE;

/* The string that o[key] is, or {NULL, 0} when it is absent or no string: for reading stored
 * content. */
MX_API mx_str mx_json_str(const json_t *o, const char *key);

/* The canonical form of a value, onto b. strict: integers within ±(2^53 - 1) only, no fractions
 * (room versions from 6); 1e10 and 5.0 are integers and become 10000000000 and 5. Otherwise numbers
 * are carried as they are. MX_E_BAD_JSON, or MX_E_TOO_LARGE when b is full; then nothing is added
 * to b. */
MX_API mx_error *mx_json_canonical(const json_t *v, bool strict, struct mx_buf *b) MX_MUST_USE;
/* Compact JSON in the order of insertion, onto b. Never fails for values that mx_json_parse made.
 */
MX_API void mx_json_dump(const json_t *v, struct mx_buf *b);
/* A JSON string with its quotes, onto b: the shortest escapes, as canonical JSON has them. s is
 * UTF-8. */
MX_API void mx_json_quote(mx_str s, struct mx_buf *b);

/* ---- reading without a tree: members of the object in `text`, which must be valid JSON (as stored events are). False when the key is absent. *raw is the value's bytes within text. ---- */
MX_API bool mx_json_raw(mx_str text, mx_str key, mx_str *raw);

/* ---- writing: commas take care of themselves ---- */

struct mx_jw {			/* lives on the stack */
	struct mx_buf *b;
	bool comma;
};

static inline struct mx_jw
mx_jw_on(struct mx_buf *b)
{
	return (struct mx_jw){ .b = b, .comma = false };
}

MX_API void mx_jw_object(struct mx_jw *w);		/* { */
MX_API void mx_jw_object_end(struct mx_jw *w);
MX_API void mx_jw_array(struct mx_jw *w);		/* [ */
MX_API void mx_jw_array_end(struct mx_jw *w);
MX_API void mx_jw_key(struct mx_jw *w, mx_str key);
MX_API void mx_jw_str(struct mx_jw *w, mx_str s);
MX_API void mx_jw_int(struct mx_jw *w, int64_t v);
MX_API void mx_jw_bool(struct mx_jw *w, bool v);
MX_API void mx_jw_null(struct mx_jw *w);
MX_API void mx_jw_raw(struct mx_jw *w, mx_str json);	/* bytes that are JSON already */
MX_API void mx_jw_json(struct mx_jw *w, const json_t *v);

#endif
