module_LTLIBRARIES += modules/client-history/client_history.la
modules_client_history_client_history_la_SOURCES = \
	modules/client-history/context.c modules/client-history/history.h modules/client-history/initial_sync.c \
	modules/client-history/messages.c modules/client-history/module.c modules/client-history/page.c \
	modules/client-history/timestamp.c
modules_client_history_client_history_la_CPPFLAGS = $(module_cppflags)
modules_client_history_client_history_la_LDFLAGS = $(module_ldflags)
modules_client_history_client_history_la_LIBADD = $(module_libadd)
