# The names of all of them: make has no wildcard that reaches the distribution.
EXTRA_DIST += tests/e2e/conftest.py tests/e2e/ledger.c tests/e2e/myelin.py tests/e2e/postgres.py tests/e2e/pytest.ini tests/e2e/requirements.txt \
	tests/e2e/test_account.py tests/e2e/test_account_data.py tests/e2e/test_admin.py tests/e2e/test_canonical_json.py tests/e2e/test_chaos.py tests/e2e/test_clients.py tests/e2e/test_clock.py tests/e2e/test_ctl.py \
	tests/e2e/test_daemon.py tests/e2e/test_directory.py tests/e2e/test_durability.py tests/e2e/test_failover.py tests/e2e/test_fallback.py tests/e2e/test_history.py \
	tests/e2e/test_membership.py tests/e2e/test_migrations.py tests/e2e/test_modules.py tests/e2e/test_nio.py tests/e2e/test_pooler.py tests/e2e/test_processes.py tests/e2e/test_profile.py tests/e2e/test_push_rules.py \
	tests/e2e/test_receipts.py tests/e2e/test_register.py tests/e2e/test_room_versions.py tests/e2e/test_rooms.py tests/e2e/test_session.py \
	tests/e2e/test_statements.py tests/e2e/test_sync.py

noinst_PROGRAMS += tests/e2e/canonical
tests_e2e_canonical_SOURCES = tests/e2e/canonical.c
tests_e2e_canonical_CPPFLAGS = $(core_cppflags)
tests_e2e_canonical_CFLAGS = $(program_cflags)
tests_e2e_canonical_LDFLAGS = $(program_ldflags)
tests_e2e_canonical_LDADD = core/libcore.la $(core_libs)
