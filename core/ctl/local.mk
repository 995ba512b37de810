core_libcore_la_SOURCES += core/ctl/ctl.h core/ctl/key.c core/ctl/main.c

bin_PROGRAMS += myelinctl
myelinctl_SOURCES = core/ctl/myelinctl.c
myelinctl_CPPFLAGS = $(core_cppflags)
myelinctl_CFLAGS = $(program_cflags)
myelinctl_LDFLAGS = $(program_ldflags)
myelinctl_LDADD = core/libmyelin-core.la
