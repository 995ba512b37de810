if HAVE_CMOCKA
check_PROGRAMS += tests/unit/account/test_cache
tests_unit_account_test_cache_SOURCES = tests/unit/account/test_cache.c
tests_unit_account_test_cache_CPPFLAGS = $(test_cppflags)
tests_unit_account_test_cache_CFLAGS = $(test_cflags)
tests_unit_account_test_cache_LDADD = $(test_ldadd)
check_PROGRAMS += tests/unit/account/test_schemes
tests_unit_account_test_schemes_SOURCES = tests/unit/account/test_schemes.c modules/auth-password/argon2id.c \
	modules/auth-password/throttle.c
tests_unit_account_test_schemes_CPPFLAGS = $(test_cppflags)
tests_unit_account_test_schemes_CFLAGS = $(test_cflags)
tests_unit_account_test_schemes_LDADD = $(test_ldadd)
if HAVE_XCRYPT
tests_unit_account_test_schemes_SOURCES += modules/auth-password/bcrypt.c
tests_unit_account_test_schemes_CPPFLAGS += -DHAVE_XCRYPT $(XCRYPT_CFLAGS)
tests_unit_account_test_schemes_LDADD += $(XCRYPT_LIBS)
endif
if HAVE_SQLITE
check_PROGRAMS += tests/unit/account/test_users
tests_unit_account_test_users_SOURCES = tests/unit/account/test_users.c tests/unit/account/common.h \
	tests/unit/sql/place_sqlite.c
tests_unit_account_test_users_CPPFLAGS = $(test_cppflags)
tests_unit_account_test_users_CFLAGS = $(test_cflags)
tests_unit_account_test_users_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
check_PROGRAMS += tests/unit/account/test_sessions
tests_unit_account_test_sessions_SOURCES = tests/unit/account/test_sessions.c tests/unit/account/common.h \
	tests/unit/sql/place_sqlite.c
tests_unit_account_test_sessions_CPPFLAGS = $(test_cppflags)
tests_unit_account_test_sessions_CFLAGS = $(test_cflags)
tests_unit_account_test_sessions_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
endif
if HAVE_PQ
check_PROGRAMS += tests/unit/account/test_users_postgres
tests_unit_account_test_users_postgres_SOURCES = tests/unit/account/test_users.c tests/unit/account/common.h \
	tests/unit/sql/place_postgres.c
tests_unit_account_test_users_postgres_CPPFLAGS = $(test_cppflags)
tests_unit_account_test_users_postgres_CFLAGS = $(test_cflags)
tests_unit_account_test_users_postgres_LDADD = modules/storage-postgres/libpostgresdriver.la $(test_ldadd) $(PQ_LIBS)
check_PROGRAMS += tests/unit/account/test_sessions_postgres
tests_unit_account_test_sessions_postgres_SOURCES = tests/unit/account/test_sessions.c tests/unit/account/common.h \
	tests/unit/sql/place_postgres.c
tests_unit_account_test_sessions_postgres_CPPFLAGS = $(test_cppflags)
tests_unit_account_test_sessions_postgres_CFLAGS = $(test_cflags)
tests_unit_account_test_sessions_postgres_LDADD = modules/storage-postgres/libpostgresdriver.la $(test_ldadd) $(PQ_LIBS)
endif
endif
