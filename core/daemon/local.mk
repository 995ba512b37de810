core_libcore_la_SOURCES += \
	core/daemon/commands.c core/daemon/daemon.c core/daemon/daemon.h core/daemon/handover.c core/daemon/handover.h core/daemon/metrics.c core/daemon/migrator.c core/daemon/migrator.h core/daemon/notify.c \
	core/daemon/notify.h core/daemon/peers.c core/daemon/peers.h core/daemon/sections.c core/daemon/sections.h core/daemon/server.c core/daemon/server.h core/daemon/setup.c core/daemon/setup.h

sbin_PROGRAMS += myelind
myelind_SOURCES = core/daemon/myelind.c
myelind_CPPFLAGS = $(core_cppflags)
myelind_CFLAGS = $(program_cflags)
myelind_LDFLAGS = $(program_ldflags) $(linked_modules)
myelind_LDADD = core/libmyelin-core.la
if STATIC_MODULES
EXTRA_myelind_DEPENDENCIES = $(module_LTLIBRARIES)
endif
