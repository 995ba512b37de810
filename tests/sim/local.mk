# The oracle, and what is put before it: tests/sim/oracle.h, tests/sim/sim.h.
oracle_sources = tests/sim/oracle.c tests/sim/oracle_auth.c tests/sim/oracle_resolve.c \
	tests/sim/oracle_room.c tests/sim/oracle.h \
	tests/sim/oracle_private.h tests/sim/sha1.c tests/sim/sha1.h
yard_sources = $(oracle_sources) tests/sim/yard.c tests/sim/yard.h tests/sim/acts.c tests/sim/acts.h tests/sim/dice.h
if HAVE_CMOCKA
check_PROGRAMS += tests/sim/test_oracle
tests_sim_test_oracle_SOURCES = tests/sim/test_oracle.c $(yard_sources)
tests_sim_test_oracle_CPPFLAGS = $(test_cppflags)
tests_sim_test_oracle_CFLAGS = $(test_cflags)
tests_sim_test_oracle_LDADD = $(test_ldadd)
endif
if HAVE_SQLITE
noinst_PROGRAMS += tests/sim/sim
tests_sim_sim_SOURCES = tests/sim/sim.c tests/sim/play.c tests/sim/servers.c tests/sim/network.c tests/sim/forge.c \
	tests/sim/honest.c tests/sim/hostile.c tests/sim/check.c tests/sim/backfill.c tests/sim/amnesty.c \
	tests/sim/world.h tests/sim/acts.c tests/sim/acts.h \
	tests/sim/dice.h $(oracle_sources)
tests_sim_sim_CPPFLAGS = $(core_cppflags)
tests_sim_sim_CFLAGS = $(program_cflags) $(SQLITE_CFLAGS)
tests_sim_sim_LDFLAGS = $(program_ldflags)
tests_sim_sim_LDADD = modules/storage-sqlite/libsqlitedriver.la core/libcore.la $(core_libs) $(SQLITE_LIBS)
endif
dist_check_SCRIPTS += tests/sim/check
TESTS += tests/sim/check
