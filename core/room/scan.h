/* Walking canonical JSON without a tree. The text is an event that was checked when it entered, so
 * only its shape is followed; text that is broken all the same ends the walk and is never read
 * past. */
#ifndef CORE_ROOM_SCAN_H
#define CORE_ROOM_SCAN_H

#include <myelin/json.h>

struct mx_scan {
	const char *p, *end;
	bool broken;		/* the walk ended because the text is not what it should be */
};

/* Starts at the first member of the object, or element of the array, that is the whole of text;
 * false, and broken, otherwise. */
bool mx_scan_object(struct mx_scan *s, mx_str text);
bool mx_scan_array(struct mx_scan *s, mx_str text);
/* The next member: its key as it stands between the quotes, its value's bytes. False at the end. */
bool mx_scan_member(struct mx_scan *s, mx_str *key, mx_str *value);
bool mx_scan_element(struct mx_scan *s, mx_str *value);

/* The value of the member `key` (a key without escapes) of the object; false when it is absent. */
bool mx_scan_find(mx_str object, mx_str key, mx_str *value);

/* ---- values ---- */

/* What is between the quotes, escapes as they stand; false when value is no string. */
bool mx_scan_string(mx_str value, mx_str *inner);
bool mx_scan_int(mx_str value, int64_t *out);	/* false when it is no integer */
static inline bool mx_scan_is_object(mx_str value) { return value.n > 1 && value.p[0] == '{'; }
static inline bool mx_scan_is_array(mx_str value) { return value.n > 1 && value.p[0] == '['; }

static inline bool
mx_scan_escaped(mx_str inner)
{
	return inner.n != 0 && memchr(inner.p, '\\', inner.n) != NULL;
}

/* Decodes the escapes of inner into out, which has room for inner.n bytes. Returns the length; an
 * escape that is none is copied as it stands. */
size_t mx_scan_unescape(mx_str inner, char *out);

/* The string member `key` of the object, decoded: a slice of it, or in buf when there are escapes.
 * False when it is absent, no string, or its escapes do not fit. */
bool mx_scan_find_str(mx_str object, mx_str key, char *buf, size_t size, mx_str *out);

#endif
