EXTRA_DIST += contrib/myelin.pc.in
EXTRA_DIST += autogen.sh .clang-format .gitignore .ci/run
EXTRA_DIST += contrib/quickstart contrib/check contrib/install-packages LICENSE
EXTRA_DIST += contrib/systemd/myelin.service.in tests/complement/start tests/complement/Dockerfile \
	tests/complement/Dockerfile.dockerignore \
	tests/complement/README.md tests/complement/compare tests/complement/known
if HAVE_SYSTEMD
systemdsystemunit_DATA = contrib/systemd/myelin.service
CLEANFILES += contrib/systemd/myelin.service
contrib/systemd/myelin.service: contrib/systemd/myelin.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) contrib/systemd && \
	$(SED) -e 's|@sbindir[@]|$(sbindir)|' -e 's|@sysconfdir[@]|$(sysconfdir)|' $(top_srcdir)/contrib/systemd/myelin.service.in >$@
endif

# libtool's own descriptions are not for installing: modules are opened by their .so, and pkg-config says the rest. What
# `make uninstall` would find through them is named here instead.
install-data-hook:
	rm -f $(DESTDIR)$(libdir)/libmyelin-core.la
	for m in $(module_LTLIBRARIES); do rm -f $(DESTDIR)$(moduledir)/`basename $$m`; done
if STATIC_MODULES
# They are in the programs.
	for m in $(module_LTLIBRARIES); do rm -f $(DESTDIR)$(moduledir)/`basename $$m .la`.a; done
endif
uninstall-hook:
	rm -f $(DESTDIR)$(libdir)/libmyelin-core.so $(DESTDIR)$(libdir)/libmyelin-core.so.*
	for m in $(module_LTLIBRARIES); do rm -f $(DESTDIR)$(moduledir)/`basename $$m .la`.so; done
	-for d in $(myelinservicedir) $(myelinincludedir) $(moduledir) $(docdir); do \
		rmdir $(DESTDIR)$$d 2>/dev/null; done; :

# A configuration to begin with. Nothing is put into $(sysconfdir): what stands there belongs to the operator.
dist_doc_DATA = README.md contrib/myelin.conf

# `make installcheck`, and so `make distcheck`, runs what was installed; with DESTDIR it could not.
EXTRA_DIST += tests/install/check
dist_check_SCRIPTS += tests/install/packages
TESTS += tests/install/packages
installcheck-local:
	@[ -z "$(DESTDIR)" ] || { echo 'make installcheck: not with DESTDIR' >&2; exit 1; }
	SRCDIR='$(abs_top_srcdir)' BUILDDIR='$(abs_top_builddir)' SBINDIR='$(sbindir)' BINDIR='$(bindir)' LIBDIR='$(libdir)' \
		INCLUDEDIR='$(includedir)' DOCDIR='$(docdir)' MANDIR='$(mandir)' PKGCONFIGDIR='$(pkgconfigdir)' \
		MODULEDIR='$(moduledir)' CHECK_CFLAGS='$(MX_CFLAGS)' \
		MODULES="`for m in $(module_LTLIBRARIES); do basename $$m .la; done`" $(SHELL) $(srcdir)/tests/install/check
