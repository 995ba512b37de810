EXTRA_DIST += tests/bench/takeover.py tests/bench/waiting.py

if HAVE_SQLITE
noinst_PROGRAMS += tests/bench/limits
tests_bench_limits_SOURCES = tests/bench/limits.c tests/bench/rows.h
tests_bench_limits_CPPFLAGS = $(core_cppflags)
tests_bench_limits_CFLAGS = $(program_cflags) $(SQLITE_CFLAGS)
tests_bench_limits_LDFLAGS = $(program_ldflags)
tests_bench_limits_LDADD = $(SQLITE_LIBS)
bench_sqlite_cppflags = -DBENCH_SQLITE
bench_sqlite_libs = modules/storage-sqlite/libsqlitedriver.la
endif
if HAVE_PQ
bench_postgres_cppflags = -DBENCH_POSTGRES
bench_postgres_libs = modules/storage-postgres/libpostgresdriver.la
endif
noinst_PROGRAMS += tests/bench/writes
tests_bench_writes_SOURCES = tests/bench/writes.c tests/bench/rows.h
tests_bench_writes_CPPFLAGS = $(core_cppflags) $(bench_sqlite_cppflags) $(bench_postgres_cppflags)
tests_bench_writes_CFLAGS = $(program_cflags)
tests_bench_writes_LDFLAGS = $(program_ldflags)
tests_bench_writes_LDADD = $(bench_sqlite_libs) $(bench_postgres_libs) core/libcore.la $(core_libs) $(SQLITE_LIBS) $(PQ_LIBS)
noinst_PROGRAMS += tests/bench/http
tests_bench_http_SOURCES = tests/bench/http.c tests/unit/http/options.h
tests_bench_http_CPPFLAGS = $(core_cppflags)
tests_bench_http_CFLAGS = $(program_cflags)
tests_bench_http_LDFLAGS = $(program_ldflags)
tests_bench_http_LDADD = core/libcore.la $(core_libs)

if HAVE_SQLITE
noinst_PROGRAMS += tests/bench/state
tests_bench_state_SOURCES = tests/bench/state.c tests/bench/rows.h
tests_bench_state_CPPFLAGS = $(core_cppflags)
tests_bench_state_CFLAGS = $(program_cflags) $(SQLITE_CFLAGS)
tests_bench_state_LDFLAGS = $(program_ldflags)
tests_bench_state_LDADD = modules/storage-sqlite/libsqlitedriver.la core/libcore.la $(core_libs) $(SQLITE_LIBS)
endif
if HAVE_SQLITE
noinst_PROGRAMS += tests/bench/resolve
tests_bench_resolve_SOURCES = tests/bench/resolve.c tests/bench/rows.h
tests_bench_resolve_CPPFLAGS = $(core_cppflags)
tests_bench_resolve_CFLAGS = $(program_cflags)
tests_bench_resolve_LDFLAGS = $(program_ldflags)
tests_bench_resolve_LDADD = modules/storage-sqlite/libsqlitedriver.la core/libcore.la $(core_libs) $(SQLITE_LIBS)
endif
if HAVE_SQLITE
noinst_PROGRAMS += tests/bench/send
tests_bench_send_SOURCES = tests/bench/send.c tests/bench/rows.h
tests_bench_send_CPPFLAGS = $(core_cppflags)
tests_bench_send_CFLAGS = $(program_cflags)
tests_bench_send_LDFLAGS = $(program_ldflags)
tests_bench_send_LDADD = modules/storage-sqlite/libsqlitedriver.la core/libcore.la $(core_libs) $(SQLITE_LIBS)
endif
noinst_PROGRAMS += tests/bench/events
tests_bench_events_SOURCES = tests/bench/events.c
tests_bench_events_CPPFLAGS = $(core_cppflags)
tests_bench_events_CFLAGS = $(program_cflags)
tests_bench_events_LDFLAGS = $(program_ldflags)
tests_bench_events_LDADD = core/libcore.la $(core_libs)

if HAVE_SQLITE
noinst_PROGRAMS += tests/bench/enter
tests_bench_enter_SOURCES = tests/bench/enter.c tests/bench/large.h
tests_bench_enter_CPPFLAGS = $(core_cppflags)
tests_bench_enter_CFLAGS = $(program_cflags)
tests_bench_enter_LDFLAGS = $(program_ldflags)
tests_bench_enter_LDADD = modules/storage-sqlite/libsqlitedriver.la core/libcore.la $(core_libs) $(SQLITE_LIBS)
noinst_PROGRAMS += tests/bench/accept
tests_bench_accept_SOURCES = tests/bench/accept.c tests/bench/large.h
tests_bench_accept_CPPFLAGS = $(core_cppflags)
tests_bench_accept_CFLAGS = $(program_cflags)
tests_bench_accept_LDFLAGS = $(program_ldflags)
tests_bench_accept_LDADD = modules/storage-sqlite/libsqlitedriver.la core/libcore.la $(core_libs) $(SQLITE_LIBS)
endif
