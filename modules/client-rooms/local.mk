module_LTLIBRARIES += modules/client-rooms/client_rooms.la
modules_client_rooms_client_rooms_la_SOURCES = \
	modules/client-rooms/alias.c modules/client-rooms/call.c modules/client-rooms/create.c \
	modules/client-rooms/member.c modules/client-rooms/membership.c modules/client-rooms/module.c \
	modules/client-rooms/power.c modules/client-rooms/power.h modules/client-rooms/restricted.c \
	modules/client-rooms/rooms.h modules/client-rooms/send.c modules/client-rooms/state.c \
	modules/client-rooms/succeed.c modules/client-rooms/upgrade.c
modules_client_rooms_client_rooms_la_CPPFLAGS = $(module_cppflags)
modules_client_rooms_client_rooms_la_LDFLAGS = $(module_ldflags)
modules_client_rooms_client_rooms_la_LIBADD = $(module_libadd)
