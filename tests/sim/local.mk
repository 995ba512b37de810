# The oracle, and what is put before it: tests/sim/oracle.h, tests/sim/sim.h.
oracle_sources = tests/sim/oracle.c tests/sim/oracle_auth.c tests/sim/oracle_resolve.c tests/sim/oracle.h \
	tests/sim/oracle_private.h tests/sim/sha1.c tests/sim/sha1.h
yard_sources = $(oracle_sources) tests/sim/yard.c tests/sim/yard.h tests/sim/acts.c tests/sim/acts.h tests/sim/dice.h
if HAVE_CMOCKA
check_PROGRAMS += tests/sim/test_oracle
tests_sim_test_oracle_SOURCES = tests/sim/test_oracle.c $(yard_sources)
tests_sim_test_oracle_CPPFLAGS = $(test_cppflags)
tests_sim_test_oracle_CFLAGS = $(test_cflags)
tests_sim_test_oracle_LDADD = $(test_ldadd)
endif
