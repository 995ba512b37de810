module_LTLIBRARIES += modules/client-sync/client_sync.la
modules_client_sync_client_sync_la_SOURCES = modules/client-sync/module.c modules/client-sync/answer.c \
	modules/client-sync/filter.c modules/client-sync/rooms.c modules/client-sync/room.c modules/client-sync/sync.h
modules_client_sync_client_sync_la_CPPFLAGS = $(module_cppflags)
modules_client_sync_client_sync_la_LDFLAGS = $(module_ldflags)
modules_client_sync_client_sync_la_LIBADD = $(module_libadd)
