/* The built-in values of [http], for tests and the bench, which have no configuration. */
#ifndef TESTS_HTTP_OPTIONS_H
#define TESTS_HTTP_OPTIONS_H

#include <stdlib.h>
#include <strings.h>

#include "core/http/server.h"

static inline int64_t
test_amount(const char *def)
{
	static const struct {
		const char *unit;
		int64_t factor;
	} units[] = { { "ms", 1 },   { "s", 1000 },    { "m", 60000 },
		      { "K", 1024 }, { "M", 1 << 20 }, { "", 1 } };
	char *unit;
	int64_t n = strtoll(def, &unit, 10);

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(unit, units[i].unit) == 0)
			return n * units[i].factor;
	}
	abort();
}

/* Lists are left empty. */
static inline void
test_options(const struct mx_option *rows, size_t n, void *out)
{
	for (size_t i = 0; i < n; i++) {
		const struct mx_option *row = &rows[i];
		void *at = (char *)out + row->offset;

		if (row->def == NULL || row->type == MX_OPT_LIST)
			continue;
		if (row->type == MX_OPT_BOOL)
			*(bool *)at = strcmp(row->def, "yes") == 0;
		else if (row->type == MX_OPT_STR)
			*(const char **)at = row->def;
		else
			*(int64_t *)at =
				test_amount(row->def); /* durations and sizes are structs of one */
	}
}

static inline struct mx_http_options
test_http_options(void)
{
	struct mx_http_options o;

	memset(&o, 0, sizeof(o));
	test_options(mx_http_option_rows, mx_http_option_count, &o);
	return o;
}

#endif
