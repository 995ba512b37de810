if HAVE_CMOCKA
check_PROGRAMS += tests/unit/http/test_park
tests_unit_http_test_park_SOURCES = tests/unit/http/test_park.c tests/unit/http/harness.h tests/unit/http/options.h
tests_unit_http_test_park_CPPFLAGS = $(test_cppflags)
tests_unit_http_test_park_CFLAGS = $(test_cflags)
tests_unit_http_test_park_LDADD = $(test_ldadd)
check_PROGRAMS += tests/unit/http/test_server
tests_unit_http_test_server_SOURCES = tests/unit/http/test_server.c tests/unit/http/harness.h tests/unit/http/options.h
tests_unit_http_test_server_CPPFLAGS = $(test_cppflags)
tests_unit_http_test_server_CFLAGS = $(test_cflags)
tests_unit_http_test_server_LDADD = $(test_ldadd)
endif
