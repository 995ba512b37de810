#include "config.h"

#include <stdlib.h>
#include <unistd.h>

#include <myelin/base.h>

/* Without memory for a few bytes there is nothing sensible to do; what is durable is in the
 * database. */
static _Noreturn void
out_of_memory(void)
{
	static const char text[] = "myelin: out of memory\n";

	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(70);
	abort();
}

void *
mx_alloc(size_t n)
{
	void *p = calloc(1, n != 0 ? n : 1);

	if (p == NULL)
		out_of_memory();
	return p;
}

void *
mx_realloc(void *p, size_t count, size_t size)
{
	size_t n;

	if (__builtin_mul_overflow(count, size, &n))
		out_of_memory();
	p = realloc(p, n != 0 ? n : 1);
	if (p == NULL)
		out_of_memory();
	return p;
}
