/* Values in PostgreSQL's binary format: each type as its _send function writes it, integers in
 * network order. */
#include "config.h"

#include "postgres.h"

enum type {
	BOOL = 16,
	INT8 = 20,
	INT2 = 21,
	INT4 = 23,
	OID = 26,
	FLOAT4 = 700,
	FLOAT8 = 701,
	NUMERIC = 1700,
	XID8 = 5069
};

static uint64_t
big_endian(const unsigned char *p, int n)
{
	uint64_t v = 0;

	for (int i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

/* A number that PostgreSQL made of integers, as SUM does; fractions are cut off. Digits count to
 * 10,000. */
static int64_t
numeric(const unsigned char *p, int n)
{
	int64_t v = 0;

	if (n < 8)
		return 0;
	int digits = (int)big_endian(p, 2), weight = (int16_t)big_endian(p + 2, 2);
	bool negative = big_endian(p + 4, 2) == 0x4000;
	for (int i = 0; i <= weight; i++) {
		int64_t digit =
			i < digits && 10 + 2 * i <= n ? (int64_t)big_endian(p + 8 + 2 * i, 2) : 0;
		if (__builtin_mul_overflow(v, 10000, &v) || __builtin_add_overflow(v, digit, &v))
			return negative ? INT64_MIN : INT64_MAX;
	}
	return negative ? -v : v;
}

static int64_t
from_text(const char *p, int n)
{
	int64_t v;

	return mx_str_int((mx_str){ p, (size_t)n }, INT64_MIN, INT64_MAX, &v) ? v : 0;
}

static double
floating(const unsigned char *p, int n)
{
	union {
		uint64_t i;
		double d;
	} eight = { .i = big_endian(p, 8 < n ? 8 : n) };
	union {
		uint32_t i;
		float f;
	} four = { .i = (uint32_t)eight.i };

	return n == 4 ? (double)four.f : eight.d;
}

bool
result_is_number(const PGresult *r, int column)
{
	switch (PQftype(r, column)) {
	case BOOL:
	case INT2:
	case INT4:
	case INT8:
	case OID:
	case FLOAT4:
	case FLOAT8:
	case NUMERIC:
	case XID8:
		return true;
	default:
		return false;
	}
}

int64_t
result_int(const PGresult *r, int row, int column)
{
	const char *p = PQgetvalue(r, row, column);
	const unsigned char *bytes = (const unsigned char *)p;
	int n = PQgetlength(r, row, column);

	switch (PQftype(r, column)) {
	case BOOL:
		return n == 1 && p[0] != 0;
	case INT2:
		return (int16_t)big_endian(bytes, n);
	case INT4:
		return (int32_t)big_endian(bytes, n);
	case INT8:
	case XID8:
	case OID:
		return (int64_t)big_endian(bytes, n);
	case FLOAT4:
	case FLOAT8:
		return (int64_t)floating(bytes, n);
	case NUMERIC:
		return numeric(bytes, n);
	default:
		return from_text(p, n);
	}
}
