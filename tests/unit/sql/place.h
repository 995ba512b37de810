/* Where a test's database is; each kind of database implements it once, and the same tests are
 * linked with each. */
#ifndef TESTS_SQL_PLACE_H
#define TESTS_SQL_PLACE_H

#include "core/sql/db.h"

bool place_start(void);		/* false: this kind of database is not installed */
void place_stop(void);
/* Ends the database's server without ceremony and starts it again; false: there is none. */
bool place_restart(void);
/* Makes it impossible to write, and possible again. */
void place_down(void);
void place_up(void);
mx_error *place_open(struct mx_db **out, const struct mx_db_options *options) MX_MUST_USE;

#endif
