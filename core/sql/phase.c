/* The phases of a migration: the words of <myelin/sql.h> before its SQL. */
#include "config.h"

#include <ctype.h>

#include "core/sql/impl.h"

static const struct {
	const char *mark, *name;
} PHASES[] = {
	[MX_PHASE_WHOLE] = { "", "whole" },
	[MX_PHASE_EXPAND] = { MX_EXPAND, "expand" },
	[MX_PHASE_INDEX] = { MX_INDEX, "index" },
	[MX_PHASE_BACKFILL] = { MX_BACKFILL, "backfill" },
	[MX_PHASE_CONTRACT] = { MX_CONTRACT, "contract" },
};
enum { PHASE_COUNT = sizeof(PHASES) / sizeof(PHASES[0]) };

enum mx_phase
mx_phase_of(const struct mx_migration *m, const char **sql)
{
	size_t p = PHASE_COUNT - 1;

	while (p > MX_PHASE_WHOLE && !mx_str_starts(mx_str_of(m->sql), mx_str_of(PHASES[p].mark)))
		p--;
	*sql = m->sql + strlen(PHASES[p].mark);
	return (enum mx_phase)p;
}

const char *
mx_phase_name(enum mx_phase phase)
{
	return PHASES[phase].name;
}

bool
mx_phase_suits_older(mx_str name)
{
	return mx_str_eq(name, mx_str_of(PHASES[MX_PHASE_EXPAND].name)) ||
	       mx_str_eq(name, mx_str_of(PHASES[MX_PHASE_INDEX].name)) ||
	       mx_str_eq(name, mx_str_of(PHASES[MX_PHASE_BACKFILL].name));
}

/* The word behind the first of these that stands in the text. */
mx_str
mx_phase_table(const char *sql)
{
	static const char *const before[] = { "UPDATE ", "ALTER TABLE ", "DROP TABLE ", "DELETE FROM ",
					      " ON " };

	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		const char *at = strstr(sql, before[i]);
		size_t n = 0;

		if (at == NULL)
			continue;
		at += strlen(before[i]);
		while (isalnum((unsigned char)at[n]) || at[n] == '_')
			n++;
		return (mx_str){ at, n };
	}
	return MX_S("");
}
