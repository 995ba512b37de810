dist_man_MANS += man/myelin-modules.7 man/myelinctl.1 man/myelind.8

# From the options as the core and the modules that were built declare them: made where it is installed, not distributed.
nodist_man_MANS += man/myelin.conf.5
man/myelin.conf.5: myelinctl$(EXEEXT) $(module_LTLIBRARIES)
	$(AM_V_GEN)$(MKDIR_P) man && ./myelinctl --config /dev/null config reference --mdoc >$@.new && mv $@.new $@
CLEANFILES += man/myelin.conf.5 man/myelin.conf.5.new

dist_check_SCRIPTS += tests/man/lint
TESTS += tests/man/lint
