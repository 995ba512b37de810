abi_scripts = tests/abi/includes tests/abi/layers tests/abi/symbols tests/abi/example tests/abi/record
dist_check_SCRIPTS += $(abi_scripts)
TESTS += $(abi_scripts)
AM_TESTS_ENVIRONMENT += CC='$(CC)' NM='$(NM)' MX_BUILD_CFLAGS='$(CFLAGS) $(MX_CFLAGS)' \
	MX_CPPFLAGS='-I$(top_srcdir)/include $(JANSSON_CFLAGS)'; export CC NM MX_BUILD_CFLAGS MX_CPPFLAGS;

EXTRA_DIST += contrib/abi/libmyelin-core.abi contrib/abi/suppressions contrib/abi/version

# Records the interface of this build as the one that modules may count on: when MX_ABI_MINOR or MX_ABI_MAJOR was raised.
abi-record: core/libmyelin-core.la
	$(top_srcdir)/tests/abi/record --record
.PHONY: abi-record
