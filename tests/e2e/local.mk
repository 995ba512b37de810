EXTRA_DIST += tests/e2e/conftest.py tests/e2e/myelin.py tests/e2e/postgres.py tests/e2e/pytest.ini tests/e2e/requirements.txt
