core_libcore_la_SOURCES += \
	core/ctl/ask.c core/ctl/catalog.c core/ctl/catalog.h core/ctl/config_commands.c core/ctl/ctl.h core/ctl/db_commands.c \
	core/ctl/key_commands.c core/ctl/local.c core/ctl/local.h core/ctl/main.c core/ctl/manual.c core/ctl/module_commands.c \
	core/ctl/server_commands.c core/ctl/show.c core/ctl/terminal.c core/ctl/top.c core/ctl/top.h core/ctl/user_commands.c core/ctl/room_commands.c

bin_PROGRAMS += myelinctl
myelinctl_SOURCES = core/ctl/myelinctl.c
myelinctl_CPPFLAGS = $(core_cppflags)
myelinctl_CFLAGS = $(program_cflags)
myelinctl_LDFLAGS = $(program_ldflags) $(linked_modules)
myelinctl_LDADD = core/libmyelin-core.la
if STATIC_MODULES
EXTRA_myelinctl_DEPENDENCIES = $(module_LTLIBRARIES)
endif

bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = contrib/completion/myelinctl
