/* A large JSON object, read as it comes: elements of its big arrays are handed out one by one, a
 * few other members whole, and everything else is passed over. Only the shape is followed here (who
 * gets a piece parses it); memory is bounded by the limits, whatever comes. */
#ifndef CORE_JSON_SPLIT_H
#define CORE_JSON_SPLIT_H

#include <myelin/json.h>

#define MX_SPLIT_ARRAYS 4

struct mx_split_want {
	const char *arrays[MX_SPLIT_ARRAYS];	/* members of the object: arrays */
	const char *members[MX_SPLIT_ARRAYS];	/* members that are handed out whole */
	size_t element_max, member_max;		/* bytes of an element, of a member */
	uint64_t elements_max;			/* of all the arrays together */
	uint64_t total_max;			/* bytes */
	/* which: the index in arrays. text is borrowed; p is NULL for an element that is too large,
	 * which is passed over. An error ends the reading. */
	mx_error *(*element)(void *arg, size_t which, mx_str text);
	mx_error *(*member)(void *arg, size_t which, mx_str text);
	void *arg;
};

struct mx_split;
struct mx_split *mx_split_new(const struct mx_split_want *want);
void mx_split_free(struct mx_split **s);
/* MX_E_NOT_JSON, MX_E_BAD_JSON (a wanted member twice, an array that is none), MX_E_TOO_LARGE, or
 * what a callback returned: then nothing more may be fed. */
mx_error *mx_split_feed(struct mx_split *s, mx_str bytes) MX_MUST_USE;
/* MX_E_NOT_JSON when the object has not ended. */
mx_error *mx_split_end(const struct mx_split *s) MX_MUST_USE;

#endif
