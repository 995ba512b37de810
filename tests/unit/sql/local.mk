if HAVE_CMOCKA
check_PROGRAMS += tests/unit/sql/test_dialect
tests_unit_sql_test_dialect_SOURCES = tests/unit/sql/test_dialect.c tests/unit/sql/common.h
tests_unit_sql_test_dialect_CPPFLAGS = $(test_cppflags)
tests_unit_sql_test_dialect_CFLAGS = $(test_cflags)
tests_unit_sql_test_dialect_LDADD = $(test_ldadd)
if HAVE_SQLITE
check_PROGRAMS += tests/unit/sql/test_sqlite
tests_unit_sql_test_sqlite_SOURCES = tests/unit/sql/test_sql.c tests/unit/sql/rules_reading.c \
	tests/unit/sql/rules_writing.c tests/unit/sql/rules_names.c tests/unit/sql/rules_phases.c tests/unit/sql/rules_sharing.c \
	tests/unit/sql/place_sqlite.c tests/unit/sql/rules.h \
	tests/unit/sql/place.h tests/unit/sql/common.h
tests_unit_sql_test_sqlite_CPPFLAGS = $(test_cppflags)
tests_unit_sql_test_sqlite_CFLAGS = $(test_cflags) $(SQLITE_CFLAGS)
tests_unit_sql_test_sqlite_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
check_PROGRAMS += tests/unit/sql/test_sqlite_log
tests_unit_sql_test_sqlite_log_SOURCES = tests/unit/sql/test_sqlite_log.c
tests_unit_sql_test_sqlite_log_CPPFLAGS = $(test_cppflags)
tests_unit_sql_test_sqlite_log_CFLAGS = $(test_cflags) $(SQLITE_CFLAGS)
tests_unit_sql_test_sqlite_log_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
check_PROGRAMS += tests/unit/sql/test_sqlite_disk
tests_unit_sql_test_sqlite_disk_SOURCES = tests/unit/sql/test_sqlite_disk.c
tests_unit_sql_test_sqlite_disk_CPPFLAGS = $(test_cppflags)
tests_unit_sql_test_sqlite_disk_CFLAGS = $(test_cflags) $(SQLITE_CFLAGS)
tests_unit_sql_test_sqlite_disk_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
check_PROGRAMS += tests/unit/sql/test_crash_sqlite
tests_unit_sql_test_crash_sqlite_SOURCES = tests/unit/sql/test_crash.c tests/unit/sql/place_sqlite.c \
	tests/unit/sql/place.h tests/unit/sql/common.h
tests_unit_sql_test_crash_sqlite_CPPFLAGS = $(test_cppflags)
tests_unit_sql_test_crash_sqlite_CFLAGS = $(test_cflags) $(SQLITE_CFLAGS)
tests_unit_sql_test_crash_sqlite_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
endif
if HAVE_PQ
check_PROGRAMS += tests/unit/sql/test_postgres
tests_unit_sql_test_postgres_SOURCES = tests/unit/sql/test_sql.c tests/unit/sql/rules_reading.c \
	tests/unit/sql/rules_writing.c tests/unit/sql/rules_names.c tests/unit/sql/rules_phases.c tests/unit/sql/rules_sharing.c \
	tests/unit/sql/place_postgres.c tests/unit/sql/rules.h \
	tests/unit/sql/place.h tests/unit/sql/common.h
tests_unit_sql_test_postgres_CPPFLAGS = $(test_cppflags)
tests_unit_sql_test_postgres_CFLAGS = $(test_cflags)
tests_unit_sql_test_postgres_LDADD = modules/storage-postgres/libpostgresdriver.la $(test_ldadd) $(PQ_LIBS)
check_PROGRAMS += tests/unit/sql/test_crash_postgres
tests_unit_sql_test_crash_postgres_SOURCES = tests/unit/sql/test_crash.c tests/unit/sql/place_postgres.c \
	tests/unit/sql/place.h tests/unit/sql/common.h
tests_unit_sql_test_crash_postgres_CPPFLAGS = $(test_cppflags)
tests_unit_sql_test_crash_postgres_CFLAGS = $(test_cflags)
tests_unit_sql_test_crash_postgres_LDADD = modules/storage-postgres/libpostgresdriver.la $(test_ldadd) $(PQ_LIBS)
endif
endif
