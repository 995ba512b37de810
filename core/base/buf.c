#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "core/base/buf.h"

#define FIRST 256
#define DEFAULT_LIMIT ((size_t)64 << 20)

struct mx_buf *
mx_buf_new(size_t limit)
{
	struct mx_buf *b = mx_alloc(sizeof(*b));

	b->limit = limit != 0 ? limit : DEFAULT_LIMIT;
	return b;
}

void
mx_buf_free(struct mx_buf **b)
{
	if (*b == NULL)
		return;
	free((*b)->p);
	free(*b);
	*b = NULL;
}

static void
resize(struct mx_buf *b, size_t room)
{
	b->p = mx_realloc(b->p, room + 1, 1);
	b->room = room;
}

bool
mx_buf_grow(struct mx_buf *b, size_t n)
{
	size_t room = b->room;

	if (b->failed || n > b->limit - b->n) {
		/* Nothing may follow a gap: a reader must never take what is left for the whole. */
		b->failed = true;
		return false;
	}
	if (room - b->n >= n && b->p != NULL)
		return true;
	if (room < FIRST / 2)
		room = FIRST / 2;
	room = room > b->limit / 2 ? b->limit : room * 2;
	if (room < b->n + n)
		room = b->n + n;
	resize(b, room < b->limit ? room : b->limit);
	return true;
}

void
mx_buf_reserve(struct mx_buf *b, size_t more)
{
	if (b->failed)
		return;
	if (more > b->limit - b->n)
		more = b->limit - b->n;
	if (b->room - b->n >= more)
		return;
	/* Who reserves piece by piece must not have all that is there copied for each. */
	size_t room = b->n > 0 && b->room <= b->limit / 2 ? b->room * 2 : 0;

	resize(b, room > b->n + more ? room : b->n + more);
}

void
mx_buf_add(struct mx_buf *b, const void *p, size_t n)
{
	char *to;

	if (n == 0 || (to = mx_buf_space(b, n)) == NULL)
		return;
	memcpy(to, p, n);
	b->n += n;
}

void
mx_buf_str(struct mx_buf *b, mx_str s)
{
	mx_buf_add(b, s.p, s.n);
}

void
mx_buf_byte(struct mx_buf *b, char c)
{
	char *to = mx_buf_space(b, 1);

	if (to == NULL)
		return;
	*to = c;
	b->n++;
}

void
mx_buf_int(struct mx_buf *b, int64_t v)
{
	static const char pairs[] =
		"00010203040506070809101112131415161718192021222324252627282930313233343536373839"
		"40414243444546474849505152535455565758596061626364656667686970717273747576777879"
		"8081828384858687888990919293949596979899";
	char digits[20];
	char *end = digits + sizeof(digits), *p = end;
	uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;

	for (; u >= 100; u /= 100)
		memcpy(p -= 2, pairs + 2 * (u % 100), 2);
	if (u >= 10)
		memcpy(p -= 2, pairs + 2 * u, 2);
	else
		*--p = (char)('0' + u);
	if (v < 0)
		*--p = '-';
	mx_buf_add(b, p, (size_t)(end - p));
}

void
mx_buf_printf(struct mx_buf *b, const char *fmt, ...)
{
	va_list ap;
	char *to = mx_buf_space(b, 0);
	size_t space;
	int n;

	if (to == NULL)
		return;
	space = b->room - b->n;
	va_start(ap, fmt);
	n = vsnprintf(to, space + 1, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return;
	}
	if ((size_t)n > space) {
		to = mx_buf_space(b, (size_t)n);
		if (to == NULL)
			return;
		va_start(ap, fmt);
		vsnprintf(to, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	b->n += (size_t)n;
}

void
mx_buf_truncate(struct mx_buf *b, size_t n)
{
	if (n < b->n)
		b->n = n;
}

bool
mx_buf_failed(const struct mx_buf *b)
{
	return b->failed;
}

mx_str
mx_buf_view(const struct mx_buf *b)
{
	return (mx_str){ b->p != NULL ? b->p : "", b->n };
}

const char *
mx_buf_cstr(struct mx_buf *b)
{
	if (b->p == NULL)
		return "";
	b->p[b->n] = '\0';
	return b->p;
}

char *
mx_buf_take(struct mx_buf *b, size_t *n)
{
	char *p = b->p != NULL ? b->p : mx_alloc(1);

	p[b->n] = '\0';
	if (n != NULL)
		*n = b->n;
	b->p = NULL;
	b->n = b->room = 0;
	return p;
}
