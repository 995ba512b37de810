EXTRA_DIST += tests/e2e/test_ctl.py tests/e2e/test_modules.py
EXTRA_DIST += tests/e2e/test_account.py tests/e2e/test_admin.py tests/e2e/test_register.py \
	tests/e2e/test_session.py
EXTRA_DIST += tests/e2e/conftest.py tests/e2e/myelin.py tests/e2e/postgres.py tests/e2e/pytest.ini tests/e2e/requirements.txt
EXTRA_DIST += tests/e2e/test_rooms.py tests/e2e/test_membership.py tests/e2e/test_history.py tests/e2e/test_directory.py \
	tests/e2e/test_profile.py
EXTRA_DIST += tests/e2e/test_clients.py tests/e2e/test_daemon.py
