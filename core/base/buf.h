/* The inside of a buffer, for the few places on hot paths that write into it directly. */
#ifndef CORE_BASE_BUF_H
#define CORE_BASE_BUF_H

#include <myelin/base.h>

struct mx_buf {
	char *p;
	size_t n;
	size_t room;	/* bytes that p can take, one less than is allocated: a NUL always fits */
	size_t limit;
	bool failed;
};

/* Makes room for n more bytes, or marks b failed. */
bool mx_buf_grow(struct mx_buf *b, size_t n);

/* Where the next n bytes go; they count once b->n says so. NULL when they don't fit. */
static inline char *
mx_buf_space(struct mx_buf *b, size_t n)
{
	if ((b->room - b->n < n || b->p == NULL || b->failed) && !mx_buf_grow(b, n))
		return NULL;
	return b->p + b->n;
}

#endif
