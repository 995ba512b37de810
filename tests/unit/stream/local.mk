if HAVE_CMOCKA
if HAVE_SQLITE
check_PROGRAMS += tests/unit/stream/test_stream
tests_unit_stream_test_stream_SOURCES = tests/unit/stream/test_stream.c tests/unit/sql/place_sqlite.c tests/unit/sql/place.h
tests_unit_stream_test_stream_CPPFLAGS = $(test_cppflags)
tests_unit_stream_test_stream_CFLAGS = $(test_cflags)
tests_unit_stream_test_stream_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
endif
endif
