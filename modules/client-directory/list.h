/* The public list as it was a moment ago: each room as the JSON that is answered, in the order in
 * which it is answered. */
#ifndef CLIENT_DIRECTORY_LIST_H
#define CLIENT_DIRECTORY_LIST_H

#include "directory.h"

struct list_entry {
	_Atomic uint32_t refs;
	mx_nid room;
	struct mx_state_root root;	/* what it was made from */
	size_t joined;
	char *bytes;			/* owns what the strings below point into */
	mx_str json, text, type;	/* text: what a search looks at, folded */
};

struct list_snapshot {
	_Atomic uint32_t refs;
	int64_t made;			/* mx_monotonic_us */
	uint64_t changes;		/* directory_changes() when it was made */
	struct list_entry **v;		/* most members first, then the older room */
	size_t n;
};

/* The list, at most list_age old and with every change that this process made. Release with
 * list_release. */
mx_error *list_take(struct mx_request *rq, struct list_snapshot **out) MX_MUST_USE;
void list_release(struct list_snapshot **s);

#endif
