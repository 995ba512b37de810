EXTRA_DIST += contrib/myelin.pc.in
EXTRA_DIST += autogen.sh .clang-format
EXTRA_DIST += contrib/quickstart contrib/check contrib/install-packages README.md LICENSE
EXTRA_DIST += contrib/systemd/myelin.service.in tests/complement/start
if HAVE_SYSTEMD
systemdsystemunit_DATA = contrib/systemd/myelin.service
CLEANFILES += contrib/systemd/myelin.service
contrib/systemd/myelin.service: contrib/systemd/myelin.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) contrib/systemd && \
	$(SED) -e 's|@sbindir[@]|$(sbindir)|' -e 's|@sysconfdir[@]|$(sysconfdir)|' $(top_srcdir)/contrib/systemd/myelin.service.in >$@
endif
