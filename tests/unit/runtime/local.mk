if HAVE_CMOCKA
check_PROGRAMS += tests/unit/runtime/test_conf
tests_unit_runtime_test_conf_SOURCES = tests/unit/runtime/test_conf.c
tests_unit_runtime_test_conf_CPPFLAGS = $(test_cppflags)
tests_unit_runtime_test_conf_CFLAGS = $(test_cflags)
tests_unit_runtime_test_conf_LDADD = $(test_ldadd)
check_PROGRAMS += tests/unit/runtime/test_hooks
tests_unit_runtime_test_hooks_SOURCES = tests/unit/runtime/test_hooks.c tests/unit/runtime/fake.h
tests_unit_runtime_test_hooks_CPPFLAGS = $(test_cppflags)
tests_unit_runtime_test_hooks_CFLAGS = $(test_cflags)
tests_unit_runtime_test_hooks_LDADD = $(test_ldadd)
check_PROGRAMS += tests/unit/runtime/test_jobs
tests_unit_runtime_test_jobs_SOURCES = tests/unit/runtime/test_jobs.c tests/unit/runtime/fake.h
tests_unit_runtime_test_jobs_CPPFLAGS = $(test_cppflags)
tests_unit_runtime_test_jobs_CFLAGS = $(test_cflags)
tests_unit_runtime_test_jobs_LDADD = $(test_ldadd)
check_PROGRAMS += tests/unit/runtime/test_loader
tests_unit_runtime_test_loader_SOURCES = tests/unit/runtime/test_loader.c
tests_unit_runtime_test_loader_CPPFLAGS = $(test_cppflags)
tests_unit_runtime_test_loader_CFLAGS = $(test_cflags)
tests_unit_runtime_test_loader_LDADD = $(test_ldadd)
# Its modules find the core's functions in the test, of which there is one copy then.
tests_unit_runtime_test_loader_LDFLAGS = $(AM_LDFLAGS) -export-dynamic
check_PROGRAMS += tests/unit/runtime/test_control
tests_unit_runtime_test_control_SOURCES = tests/unit/runtime/test_control.c tests/unit/runtime/fake.h
tests_unit_runtime_test_control_CPPFLAGS = $(test_cppflags)
tests_unit_runtime_test_control_CFLAGS = $(test_cflags)
tests_unit_runtime_test_control_LDADD = $(test_ldadd)

if HAVE_SQLITE
check_PROGRAMS += tests/unit/runtime/test_lease_sqlite
tests_unit_runtime_test_lease_sqlite_SOURCES = tests/unit/runtime/test_lease.c tests/unit/sql/place_sqlite.c \
	tests/unit/sql/place.h tests/unit/sql/common.h
tests_unit_runtime_test_lease_sqlite_CPPFLAGS = $(test_cppflags)
tests_unit_runtime_test_lease_sqlite_CFLAGS = $(test_cflags)
tests_unit_runtime_test_lease_sqlite_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
check_PROGRAMS += tests/unit/runtime/test_durable
tests_unit_runtime_test_durable_SOURCES = tests/unit/runtime/test_durable.c tests/unit/runtime/fake_plain.c \
	tests/unit/runtime/fake_plain.h tests/unit/room/house.h tests/unit/sql/place_sqlite.c
tests_unit_runtime_test_durable_CPPFLAGS = $(test_cppflags) -DSHARED=false
tests_unit_runtime_test_durable_CFLAGS = $(test_cflags)
tests_unit_runtime_test_durable_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
endif
if HAVE_PQ
check_PROGRAMS += tests/unit/runtime/test_lease_postgres
tests_unit_runtime_test_lease_postgres_SOURCES = tests/unit/runtime/test_lease.c tests/unit/sql/place_postgres.c \
	tests/unit/sql/place.h tests/unit/sql/common.h
tests_unit_runtime_test_lease_postgres_CPPFLAGS = $(test_cppflags)
tests_unit_runtime_test_lease_postgres_CFLAGS = $(test_cflags)
tests_unit_runtime_test_lease_postgres_LDADD = modules/storage-postgres/libpostgresdriver.la $(test_ldadd) $(PQ_LIBS)
check_PROGRAMS += tests/unit/runtime/test_jobs_shared
tests_unit_runtime_test_jobs_shared_SOURCES = tests/unit/runtime/test_jobs_shared.c tests/unit/runtime/fake_plain.c \
	tests/unit/runtime/fake_plain.h tests/unit/sql/place_postgres.c tests/unit/sql/place.h
tests_unit_runtime_test_jobs_shared_CPPFLAGS = $(test_cppflags)
tests_unit_runtime_test_jobs_shared_CFLAGS = $(test_cflags)
tests_unit_runtime_test_jobs_shared_LDADD = modules/storage-postgres/libpostgresdriver.la $(test_ldadd) $(PQ_LIBS)
check_PROGRAMS += tests/unit/runtime/test_durable_postgres
tests_unit_runtime_test_durable_postgres_SOURCES = tests/unit/runtime/test_durable.c tests/unit/runtime/fake_plain.c \
	tests/unit/runtime/fake_plain.h tests/unit/room/house.h tests/unit/sql/place_postgres.c
tests_unit_runtime_test_durable_postgres_CPPFLAGS = $(test_cppflags) -DSHARED=true
tests_unit_runtime_test_durable_postgres_CFLAGS = $(test_cflags)
tests_unit_runtime_test_durable_postgres_LDADD = modules/storage-postgres/libpostgresdriver.la $(test_ldadd) $(PQ_LIBS)
endif

# A module that is linked into its test, as --enable-static-modules links all of them into myelind.
check_PROGRAMS += tests/unit/runtime/test_linked
tests_unit_runtime_test_linked_SOURCES = tests/unit/runtime/test_linked.c
tests_unit_runtime_test_linked_CPPFLAGS = $(test_cppflags)
tests_unit_runtime_test_linked_CFLAGS = $(test_cflags)
tests_unit_runtime_test_linked_LDFLAGS = $(AM_LDFLAGS) -dlpreopen tests/unit/runtime/t_linked.la
tests_unit_runtime_test_linked_LDADD = $(test_ldadd)
EXTRA_tests_unit_runtime_test_linked_DEPENDENCIES = tests/unit/runtime/t_linked.la
check_LTLIBRARIES += tests/unit/runtime/t_linked.la
tests_unit_runtime_t_linked_la_SOURCES = tests/unit/runtime/modules/t_linked.c
tests_unit_runtime_t_linked_la_CPPFLAGS = $(module_cppflags)
tests_unit_runtime_t_linked_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -static -rpath /nowhere

# Modules to load, and to refuse, each for one reason. The rpath makes libtool build them shared; they are never \
	installed.
runtime_test_ldflags = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere -export-symbols-regex \
	'_LTX_mx_module$$'
check_LTLIBRARIES += tests/unit/runtime/t_good.la tests/unit/runtime/t_good2.la tests/unit/runtime/t_user.la
tests_unit_runtime_t_good_la_SOURCES = tests/unit/runtime/modules/t_good.c
tests_unit_runtime_t_good_la_CPPFLAGS = $(module_cppflags)
tests_unit_runtime_t_good_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_good2_la_SOURCES = tests/unit/runtime/modules/t_good.c
tests_unit_runtime_t_good2_la_CPPFLAGS = $(module_cppflags) -DVARIANT='"2"'
tests_unit_runtime_t_good2_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_user_la_SOURCES = tests/unit/runtime/modules/t_user.c
tests_unit_runtime_t_user_la_CPPFLAGS = $(module_cppflags)
tests_unit_runtime_t_user_la_LDFLAGS = $(runtime_test_ldflags)
check_LTLIBRARIES += tests/unit/runtime/t_magic.la tests/unit/runtime/t_major.la tests/unit/runtime/t_minor.la \
	tests/unit/runtime/t_version.la tests/unit/runtime/t_size.la tests/unit/runtime/t_name.la \
	tests/unit/runtime/t_symbol.la tests/unit/runtime/t_undefined.la tests/unit/runtime/t_absent.la \
	tests/unit/runtime/t_later.la tests/unit/runtime/t_requires.la tests/unit/runtime/t_option.la \
	tests/unit/runtime/t_required.la tests/unit/runtime/t_route.la tests/unit/runtime/t_hook.la tests/unit/runtime/t_job.la \
	tests/unit/runtime/t_provider.la tests/unit/runtime/t_migration.la tests/unit/runtime/t_start.la \
	tests/unit/runtime/t_configure.la tests/unit/runtime/t_ring_a.la tests/unit/runtime/t_ring_b.la
tests_unit_runtime_t_magic_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_magic_la_CPPFLAGS = $(module_cppflags) -DBAD_magic -DIDENT=t_magic
tests_unit_runtime_t_magic_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_major_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_major_la_CPPFLAGS = $(module_cppflags) -DBAD_major -DIDENT=t_major
tests_unit_runtime_t_major_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_minor_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_minor_la_CPPFLAGS = $(module_cppflags) -DBAD_minor -DIDENT=t_minor
tests_unit_runtime_t_minor_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_version_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_version_la_CPPFLAGS = $(module_cppflags) -DBAD_version -DIDENT=t_version
tests_unit_runtime_t_version_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_size_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_size_la_CPPFLAGS = $(module_cppflags) -DBAD_size -DIDENT=t_size
tests_unit_runtime_t_size_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_name_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_name_la_CPPFLAGS = $(module_cppflags) -DBAD_name -DIDENT=t_name
tests_unit_runtime_t_name_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_symbol_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_symbol_la_CPPFLAGS = $(module_cppflags) -DBAD_symbol -DIDENT=t_symbol
tests_unit_runtime_t_symbol_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere
tests_unit_runtime_t_undefined_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_undefined_la_CPPFLAGS = $(module_cppflags) -DBAD_undefined -DIDENT=t_undefined
tests_unit_runtime_t_undefined_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_absent_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_absent_la_CPPFLAGS = $(module_cppflags) -DBAD_absent -DIDENT=t_absent
tests_unit_runtime_t_absent_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_later_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_later_la_CPPFLAGS = $(module_cppflags) -DBAD_later -DIDENT=t_later
tests_unit_runtime_t_later_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_requires_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_requires_la_CPPFLAGS = $(module_cppflags) -DBAD_requires -DIDENT=t_requires
tests_unit_runtime_t_requires_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_option_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_option_la_CPPFLAGS = $(module_cppflags) -DBAD_option -DIDENT=t_option
tests_unit_runtime_t_option_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_required_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_required_la_CPPFLAGS = $(module_cppflags) -DBAD_required -DIDENT=t_required
tests_unit_runtime_t_required_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_route_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_route_la_CPPFLAGS = $(module_cppflags) -DBAD_route -DIDENT=t_route
tests_unit_runtime_t_route_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_hook_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_hook_la_CPPFLAGS = $(module_cppflags) -DBAD_hook -DIDENT=t_hook
tests_unit_runtime_t_hook_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_job_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_job_la_CPPFLAGS = $(module_cppflags) -DBAD_job -DIDENT=t_job
tests_unit_runtime_t_job_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_provider_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_provider_la_CPPFLAGS = $(module_cppflags) -DBAD_provider -DIDENT=t_provider
tests_unit_runtime_t_provider_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_migration_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_migration_la_CPPFLAGS = $(module_cppflags) -DBAD_migration -DIDENT=t_migration
tests_unit_runtime_t_migration_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_start_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_start_la_CPPFLAGS = $(module_cppflags) -DBAD_start -DIDENT=t_start
tests_unit_runtime_t_start_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_configure_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_configure_la_CPPFLAGS = $(module_cppflags) -DBAD_configure -DIDENT=t_configure
tests_unit_runtime_t_configure_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_ring_a_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_ring_a_la_CPPFLAGS = $(module_cppflags) -DBAD_ring_a -DIDENT=t_ring_a
tests_unit_runtime_t_ring_a_la_LDFLAGS = $(runtime_test_ldflags)
tests_unit_runtime_t_ring_b_la_SOURCES = tests/unit/runtime/modules/bad.c
tests_unit_runtime_t_ring_b_la_CPPFLAGS = $(module_cppflags) -DBAD_ring_b -DIDENT=t_ring_b
tests_unit_runtime_t_ring_b_la_LDFLAGS = $(runtime_test_ldflags)
endif

TESTS += tests/unit/runtime/test_sealed.sh tests/unit/runtime/test_hardened.sh
EXTRA_DIST += tests/unit/runtime/test_sealed.sh tests/unit/runtime/test_hardened.sh tests/unit/runtime/fake.h
