/* A table in memory from nids to pointers: open addressing, grows and shrinks with what it holds.
 * Keys are numbers that the server itself gives out one after the other, so a fixed mixing is
 * enough. One thread at a time. */
#ifndef CORE_STREAM_NIDMAP_H
#define CORE_STREAM_NIDMAP_H

#include <myelin/base.h>

struct mx_nidmap {		/* zero-initialised: empty */
	struct mx_nidmap_cell {
		mx_nid key;	/* 0: free */
		void *value;
	} *cells;
	size_t n, room;		/* room: a power of two, or 0 */
};

void *mx_nidmap_get(const struct mx_nidmap *m, mx_nid key);	/* NULL: not there */
void mx_nidmap_put(struct mx_nidmap *m, mx_nid key, void *value);	/* replaces; neither may be 0 */
void *mx_nidmap_del(struct mx_nidmap *m, mx_nid key);		/* what was there */
void mx_nidmap_clear(struct mx_nidmap *m);			/* the values are the caller's */

#endif
