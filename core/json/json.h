/* What the files of json/ share, and canonical JSON with members left out, for hashes and
 * signatures. */
#ifndef CORE_JSON_JSON_H
#define CORE_JSON_JSON_H

#include <myelin/json.h>

#define MX_JSON_DEPTH 100	/* levels of arrays and objects within each other */

/* As mx_json_canonical of an object, without its members `except` (of the object itself, not
 * deeper). */
mx_error *mx_json_canonical_except(const json_t *o, bool strict, const char *const except[],
				   size_t except_count, struct mx_buf *b) MX_MUST_USE;

/* Whether text is the canonical form, strict, of what it says: then mx_json_parse takes it, and
 * mx_json_canonical gives the same bytes again. False for some that are, too: with more than some
 * levels, escapes in a key, or a number near the greatest. */
bool mx_json_is_canonical(mx_str text);

/* MX_E_BAD_JSON when there is a number that is no integer as it was written (1.0 and 1e3 are none), or
 * more than depth levels: for what leaves as a tree, whose signature is over its canonical form. */
mx_error *mx_json_check_integers(const json_t *v, unsigned depth) MX_MUST_USE;

/* A number that is no integer, with the fewest digits that give the same double again. */
void mx_json_real(double v, struct mx_buf *b);

/* The first byte from p on that a JSON string cannot hold as it is, or end. Eight bytes at a time.
 */
static inline const char *
mx_json_special(const char *p, const char *end)
{
	const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;

	for (; end - p >= 8; p += 8) {
		uint64_t w, quote, slash;

		memcpy(&w, p, 8);
		quote = w ^ ones * '"';
		slash = w ^ ones * '\\';
		if ((((w - ones * 0x20) & ~w) | ((quote - ones) & ~quote) |
		     ((slash - ones) & ~slash)) &
		    highs)
			break;
	}
	while (p < end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\')
		p++;
	return p;
}

#endif
