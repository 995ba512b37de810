#include "config.h"

#include <stdarg.h>
#include <stdlib.h>

#include <myelin/base.h>

/* A request lives in one arena, and thousands of requests may be parked: the first piece is small
 * and holds the arena itself; further ones double until they are big enough that malloc's share is
 * nothing. */
#define FIRST ((size_t)1024)
#define LARGEST ((size_t)64 * 1024)
#define ALIGN _Alignof(max_align_t)

struct piece {
	struct piece *next;
	max_align_t bytes[];
};

struct deferred {
	struct deferred *next;
	void (*fn)(void *);
	void *arg;
};

struct mx_arena {
	char *p;		/* the free part of the newest piece */
	char *end;
	struct piece *pieces;	/* all but the first, which begins with this struct */
	struct deferred *deferred;
	size_t next_size;
};

struct mx_arena *
mx_arena_new(void)
{
	struct mx_arena *a = mx_realloc(NULL, FIRST, 1);
	size_t head = (sizeof(*a) + ALIGN - 1) / ALIGN * ALIGN;

	*a = (struct mx_arena){ .p = (char *)a + head,
				.end = (char *)a + FIRST,
				.next_size = 2 * FIRST };
	return a;
}

void
mx_arena_free(struct mx_arena **ap)
{
	struct mx_arena *a = *ap;

	if (a == NULL)
		return;
	*ap = NULL;
	/* What is deferred may still use the arena's memory, and may defer more. */
	while (a->deferred != NULL) {
		struct deferred *d = a->deferred;

		a->deferred = d->next;
		d->fn(d->arg);
	}
	while (a->pieces != NULL) {
		struct piece *next = a->pieces->next;

		free(a->pieces);
		a->pieces = next;
	}
	free(a);
}

static void *
add_piece(struct mx_arena *a, size_t n)
{
	struct piece *piece;
	bool own = n > a->next_size / 4;	/* big ones get a piece of their own: nothing is left over */
	size_t size = own ? n : a->next_size;

	if (size > SIZE_MAX - sizeof(*piece))
		size = SIZE_MAX - sizeof(*piece);	/* cannot be had: ends the process below */
	piece = mx_realloc(NULL, sizeof(*piece) + size, 1);
	piece->next = a->pieces;
	a->pieces = piece;
	if (!own) {
		a->p = (char *)piece->bytes + n;
		a->end = (char *)piece->bytes + size;
		if (a->next_size < LARGEST)
			a->next_size *= 2;
	}
	return piece->bytes;
}

static void *
take(struct mx_arena *a, size_t n)
{
	char *p = a->p;

	if (n > SIZE_MAX - ALIGN)
		return add_piece(a, n);
	n = (n + ALIGN - 1) / ALIGN * ALIGN;
	if (n > (size_t)(a->end - p))
		return add_piece(a, n);
	a->p = p + n;
	return p;
}

void *
mx_arena_alloc(struct mx_arena *a, size_t n)
{
	return memset(take(a, n != 0 ? n : 1), 0, n);
}

mx_str
mx_arena_str(struct mx_arena *a, mx_str s)
{
	char *p = take(a, s.n + 1);

	if (s.n != 0)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return (mx_str){ p, s.n };
}

mx_str
mx_arena_printf(struct mx_arena *a, const char *fmt, ...)
{
	va_list ap;
	size_t space = (size_t)(a->end - a->p);
	char *p = a->p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(p, space, fmt, ap);
	va_end(ap);
	if (n < 0)
		return (mx_str){ take(a, 1), 0 };
	p = take(a, (size_t)n + 1);
	if ((size_t)n >= space) {
		va_start(ap, fmt);
		vsnprintf(p, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	return (mx_str){ p, (size_t)n };
}

void
mx_arena_defer(struct mx_arena *a, void (*fn)(void *), void *arg)
{
	struct deferred *d = take(a, sizeof(*d));

	*d = (struct deferred){ .next = a->deferred, .fn = fn, .arg = arg };
	a->deferred = d;
}
