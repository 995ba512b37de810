if HAVE_CMOCKA
check_PROGRAMS += tests/unit/json/test_parse
tests_unit_json_test_parse_SOURCES = tests/unit/json/test_parse.c
tests_unit_json_test_parse_CPPFLAGS = $(test_cppflags)
tests_unit_json_test_parse_CFLAGS = $(test_cflags)
tests_unit_json_test_parse_LDADD = $(test_ldadd)
check_PROGRAMS += tests/unit/json/test_get
tests_unit_json_test_get_SOURCES = tests/unit/json/test_get.c
tests_unit_json_test_get_CPPFLAGS = $(test_cppflags)
tests_unit_json_test_get_CFLAGS = $(test_cflags)
tests_unit_json_test_get_LDADD = $(test_ldadd)
check_PROGRAMS += tests/unit/json/test_canonical
tests_unit_json_test_canonical_SOURCES = tests/unit/json/test_canonical.c
tests_unit_json_test_canonical_CPPFLAGS = $(test_cppflags)
tests_unit_json_test_canonical_CFLAGS = $(test_cflags)
tests_unit_json_test_canonical_LDADD = $(test_ldadd)
check_PROGRAMS += tests/unit/json/test_raw
tests_unit_json_test_raw_SOURCES = tests/unit/json/test_raw.c
tests_unit_json_test_raw_CPPFLAGS = $(test_cppflags)
tests_unit_json_test_raw_CFLAGS = $(test_cflags)
tests_unit_json_test_raw_LDADD = $(test_ldadd)
check_PROGRAMS += tests/unit/json/test_write
tests_unit_json_test_write_SOURCES = tests/unit/json/test_write.c
tests_unit_json_test_write_CPPFLAGS = $(test_cppflags)
tests_unit_json_test_write_CFLAGS = $(test_cflags)
tests_unit_json_test_write_LDADD = $(test_ldadd)
endif
