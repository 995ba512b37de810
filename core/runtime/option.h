/* Options as data: what a row of struct mx_option says, in both directions: text into a value, and
 * a row into words for people. Knows nothing of files. */
#ifndef CORE_RUNTIME_OPTION_H
#define CORE_RUNTIME_OPTION_H

#include <myelin/module.h>

/* Reads text into the member that row describes of the struct at `values`; strings and lists in the
 * arena. MX_E_CONFIG says what was expected, and not what was found. */
mx_error *mx_option_parse(const struct mx_option *row, mx_str text, struct mx_arena *a,
			  void *values) MX_MUST_USE;
/* Fills in a row's default, or zero, NULL, the empty list. */
mx_error *mx_option_default(const struct mx_option *row, struct mx_arena *a,
			    void *values) MX_MUST_USE;
/* Whether the row itself makes sense within a struct of this size: a known type, a member inside
 * the struct, a name of a-z 0-9 _, a default that is valid. MX_E_CONFIG. */
mx_error *mx_option_check(const struct mx_option *row, size_t struct_size) MX_MUST_USE;
/* Whether both structs hold the same value. */
bool mx_option_same(const struct mx_option *row, const void *a, const void *b);

/* "whole number from 0 to 20", "one of: a, b, c" … onto b. */
void mx_option_words(const struct mx_option *row, struct mx_buf *b);

/* n rows of this stride as rows of ours, strings and all, in the arena. */
struct mx_option *mx_options_copy(const void *rows, size_t n, size_t stride, struct mx_arena *a);

/* The name among n that a mistyped one was probably meant to be; NULL when none is near. at(arg, i)
 * gives the ith. */
const char *mx_nearest(mx_str typed, size_t n, const char *(*at)(void *arg, size_t i), void *arg);

#endif
