/* Errors are values: a code for machines (codes.def: an HTTP status and a Matrix errcode) and a
 * text for people. NULL is success. Whoever receives an error owns it: pass it on, wrap it, answer
 * it, or free it; the compiler warns about a dropped one. Libraries return errors and never log
 * them. */
#ifndef MYELIN_ERROR_H
#define MYELIN_ERROR_H

#include <jansson.h>
#include <myelin/base.h>

enum mx_code {
#define MX_CODE(name, status, errcode) name,
#include <myelin/codes.def>
#undef MX_CODE
};

typedef struct mx_error mx_error;

MX_API mx_error *mx_error_new(enum mx_code code, const char *fmt, ...) MX_PRINTF(2, 3) MX_MUST_USE;
/* Takes e, puts "text: " before its text and keeps its code; NULL stays NULL. */
MX_API mx_error *mx_error_wrap(mx_error *e, const char *fmt, ...) MX_PRINTF(2, 3) MX_MUST_USE;
/* Adds a member to the JSON answer (retry_after_ms, soft_logout …). Takes value. Returns e. */
MX_API mx_error *mx_error_with(mx_error *e, const char *key, json_t *value) MX_MUST_USE;
MX_API void mx_error_free(mx_error **e);

MX_API enum mx_code mx_error_code(const mx_error *e);
MX_API const char *mx_error_text(const mx_error *e);
MX_API int mx_error_status(const mx_error *e);		/* HTTP */
MX_API const char *mx_error_errcode(const mx_error *e);	/* "M_…" */
/* {"errcode":…,"error":…} and what mx_error_with added, onto b. The text of a failure of ours
 * (status 500) is for the log, and is not in it. */
MX_API void mx_error_json(const mx_error *e, struct mx_buf *b);

/* Whether e is there and has this code; does not take it. */
static inline bool
mx_error_is(const mx_error *e, enum mx_code code)
{
	return e != NULL && mx_error_code(e) == code;
}

/* Frees e when it is there, and says whether it was: for failures that mean "no". */
MX_API bool mx_error_drop(mx_error *e);
/* The first of two that is there, or NULL; frees the other. For what must be ended after a failure
 * too: return mx_error_first(e, mx_query_end(q)). */
MX_API mx_error *mx_error_first(mx_error *e, mx_error *then) MX_MUST_USE;

#define MX_TRY(expr)                                                                               \
	do {                                                                                       \
		mx_error *mx_try_e_ = (expr);                                                      \
		if (mx_try_e_ != NULL)                                                             \
			return mx_try_e_;                                                          \
	} while (0)

#endif
