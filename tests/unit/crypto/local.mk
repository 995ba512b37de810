if HAVE_CMOCKA
check_PROGRAMS += tests/unit/crypto/test_key
tests_unit_crypto_test_key_SOURCES = tests/unit/crypto/test_key.c
tests_unit_crypto_test_key_CPPFLAGS = $(test_cppflags)
tests_unit_crypto_test_key_CFLAGS = $(test_cflags)
tests_unit_crypto_test_key_LDADD = $(test_ldadd)
check_PROGRAMS += tests/unit/crypto/test_sign
tests_unit_crypto_test_sign_SOURCES = tests/unit/crypto/test_sign.c
tests_unit_crypto_test_sign_CPPFLAGS = $(test_cppflags)
tests_unit_crypto_test_sign_CFLAGS = $(test_cflags)
tests_unit_crypto_test_sign_LDADD = $(test_ldadd)
endif
