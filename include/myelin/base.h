/* The ground everything stands on: borrowed strings, growing buffers, arenas, and the attributes
 * that let the compiler check how they are used.
 *
 * Conventions of all headers: `mx_` is ours. A function named `_free` or `_unref` takes the address
 * of the caller's pointer, accepts NULL behind it, and leaves NULL. A small allocation that fails
 * ends the process; a size that a peer controls is checked against a limit before memory is asked
 * for. Unless a header says otherwise, objects belong to one thread at a time and functions are
 * re-entrant. */
#ifndef MYELIN_BASE_H
#define MYELIN_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define MX_API __attribute__((visibility("default")))
#define MX_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define MX_MUST_USE __attribute__((warn_unused_result))

/* Frees or unreferences the variable when it leaves its scope: MX_AUTO(mx_buf) *b = mx_buf_new(0);
 */
#define MX_AUTO(type) __attribute__((cleanup(type##_auto))) struct type

typedef int64_t mx_msec;	/* a time span or a Unix time, in milliseconds */
typedef int64_t mx_pos;		/* a position in the stream; 0 is before everything */
typedef int64_t mx_nid;		/* the integer that stands for a string or a row in the database; 0 is none */

/* ---- strings: borrowed bytes with a length, not NUL-terminated ---- */

typedef struct {
	const char *p;
	size_t n;
} mx_str;

#define MX_S(lit) ((mx_str){ (lit), sizeof(lit) - 1 })	/* of a literal */
#define MX_SFMT(s) (int)(s).n, (s).p			/* arguments for "%.*s" */

static inline mx_str
mx_str_of(const char *z)	/* of a C string; NULL gives {NULL, 0} */
{
	return (mx_str){ z, z != NULL ? strlen(z) : 0 };
}

static inline bool
mx_str_eq(mx_str a, mx_str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool
mx_str_starts(mx_str s, mx_str prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

/* Bytewise order, shorter first among equals: <0, 0, >0. */
MX_API int mx_str_cmp(mx_str a, mx_str b);
/* Splits s at the first sep: *head before it, *tail after it. False, and *head = s, when there is
 * none. */
MX_API bool mx_str_cut(mx_str s, char sep, mx_str *head, mx_str *tail);
/* The decimal number that is the whole of s, between min and max; false if it is anything else. */
MX_API bool mx_str_int(mx_str s, int64_t min, int64_t max, int64_t *out);
/* Whether s is well-formed UTF-8 (no surrogates, no overlong forms). */
MX_API bool mx_str_utf8(mx_str s);
/* Whether the pattern matches all of s: '*' stands for any bytes and, where the flags say so, '?' for
 * one, and the case of a to z does not matter. On a mismatch only the last star needs another try,
 * so the cost is at most the product of the lengths. */
enum mx_glob_flags { MX_GLOB_ONE = 1 << 0, MX_GLOB_CASELESS = 1 << 1 };
MX_API bool mx_glob(mx_str pattern, mx_str s, unsigned flags);
/* A NUL-terminated copy that the caller frees with free(). */
MX_API char *mx_str_dup(mx_str s);

/* ---- memory: malloc and friends that end the process instead of returning NULL ---- */

MX_API void *mx_alloc(size_t n);			/* zeroed */
MX_API void *mx_realloc(void *p, size_t count, size_t size);	/* checks count × size */

/* ---- arenas: memory that dies together; one thread at a time ---- */

struct mx_arena;

MX_API struct mx_arena *mx_arena_new(void);
MX_API void mx_arena_free(struct mx_arena **a);		/* runs the deferred calls, last first */
MX_API void *mx_arena_alloc(struct mx_arena *a, size_t n);	/* zeroed, aligned for anything */
MX_API mx_str mx_arena_str(struct mx_arena *a, mx_str s);	/* a copy, with a NUL behind it */
MX_API mx_str mx_arena_printf(struct mx_arena *a, const char *fmt, ...) MX_PRINTF(2, 3);
/* Calls fn(arg) when the arena is freed. */
MX_API void mx_arena_defer(struct mx_arena *a, void (*fn)(void *), void *arg);

static inline void mx_arena_auto(struct mx_arena **a) { mx_arena_free(a); }

/* ---- buffers: bytes that grow up to a limit, with an error that sticks ---- */

struct mx_buf;

/* limit: the most bytes it may hold; 0 is 64 MiB. What does not fit is dropped and marks it failed.
 */
MX_API struct mx_buf *mx_buf_new(size_t limit);
MX_API void mx_buf_free(struct mx_buf **b);
MX_API void mx_buf_reserve(struct mx_buf *b, size_t more);
MX_API void mx_buf_add(struct mx_buf *b, const void *p, size_t n);
MX_API void mx_buf_str(struct mx_buf *b, mx_str s);
MX_API void mx_buf_byte(struct mx_buf *b, char c);
MX_API void mx_buf_int(struct mx_buf *b, int64_t v);		/* in decimal, without printf */
MX_API void mx_buf_printf(struct mx_buf *b, const char *fmt, ...) MX_PRINTF(2, 3);
MX_API void mx_buf_truncate(struct mx_buf *b, size_t n);	/* shortens to n bytes */
MX_API bool mx_buf_failed(const struct mx_buf *b);
MX_API mx_str mx_buf_view(const struct mx_buf *b);	/* valid until the next change */
MX_API const char *mx_buf_cstr(struct mx_buf *b);	/* the same, with a NUL behind it */
/* Gives the bytes away (free() them) and leaves the buffer empty. */
MX_API char *mx_buf_take(struct mx_buf *b, size_t *n);

static inline void mx_buf_auto(struct mx_buf **b) { mx_buf_free(b); }

/* s in small letters (of Latin, Greek, Cyrillic, Armenian), for comparing without regard to case.
 * Keeps the number of bytes. */
MX_API void mx_str_fold(mx_str s, struct mx_buf *b);

/* ---- encodings ---- */

/* Base64 without padding; the second alphabet has - and _ for + and /. Decoding accepts padding,
 * and returns false for anything that is not base64 or that ends in bits that are not zero. */
MX_API void mx_base64(struct mx_buf *b, const void *p, size_t n);
MX_API void mx_base64url(struct mx_buf *b, const void *p, size_t n);
MX_API bool mx_base64_decode(struct mx_buf *b, mx_str s);
MX_API void mx_hex(struct mx_buf *b, const void *p, size_t n);	/* lower case */

/* ---- clock and randomness; tests and the simulation may replace both ---- */

MX_API mx_msec mx_now(void);		/* Unix time */
MX_API int64_t mx_monotonic_us(void);	/* microseconds since some moment, never backwards */
MX_API void mx_random(void *p, size_t n);	/* for keys and tokens */
/* n characters from A-Z a-z 0-9 and a NUL into out[n + 1]. */
MX_API void mx_random_text(char *out, size_t n);

/* A hash for tables in memory, keyed once a process so that strangers cannot make keys collide. */
MX_API uint64_t mx_hash(const void *p, size_t n);

#endif
