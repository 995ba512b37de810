/* What the tests of the rules share: a table, and a function that adds to it. */
#ifndef TESTS_SQL_RULES_H
#define TESTS_SQL_RULES_H

#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/sql/common.h"
#include "tests/unit/sql/place.h"

extern struct mx_db *db;		/* of the test that runs */

/* CREATE TABLE item (id {key}, name TEXT UNIQUE, data {blob}) */
extern const struct mx_migration migrations[2];
extern const struct mx_sql COUNT, ADD, EMPTY;

int fresh(void **state);
int gone(void **state);
#define RULE(f) cmocka_unit_test_setup_teardown(f, fresh, gone)

struct add {
	int64_t id;
	const char *name;
	enum mx_code fail;	/* after the row was added */
	bool position, read;
	mx_pos pos;
	int after_true, after_false;
};
mx_error *add(struct mx_txn *tx, void *arg);

struct intern {
	const char *text;
	mx_nid nid;
	bool fail;
};
mx_error *intern(struct mx_txn *tx, void *arg);

/* Each file's own tests. */
int reading_rules(void);
int writing_rules(void);
int names_rules(void);
int sharing_rules(void);
int phases_rules(void);

#endif
