/* All room versions, and how a row of a table says for which it is meant. */
#ifndef TESTS_UNIT_ROOM_VERSIONS_H
#define TESTS_UNIT_ROOM_VERSIONS_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Every version, oldest first. */
static const char *const all_versions[] = { "1", "2", "3", "4",  "5",  "6",
					    "7", "8", "9", "10", "11", "12" };
#define ALL_VERSIONS (sizeof(all_versions) / sizeof(all_versions[0]))

/* Whether a version is among "1-5,9,11-"; NULL: every version is. */
static inline bool
is_version(const char *which, const char *version)
{
	long n = strtol(version, NULL, 10);

	for (const char *p = which; p != NULL && *p != 0;) {
		char *end;
		long first = strtol(p, &end, 10), last = first;

		if (*end == '-')
			last = end[1] == 0 || end[1] == ',' ? 99 : strtol(end + 1, &end, 10);
		if (n >= first && n <= last)
			return true;
		p = strchr(end, ',');
		p = p != NULL ? p + 1 : NULL;
	}
	return which == NULL;
}

#endif
