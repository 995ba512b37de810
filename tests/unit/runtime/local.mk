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
endif
