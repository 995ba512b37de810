module_LTLIBRARIES += modules/client-typing/client_typing.la
modules_client_typing_client_typing_la_SOURCES = modules/client-typing/module.c modules/client-typing/room.c \
	modules/client-typing/typing.h
modules_client_typing_client_typing_la_CPPFLAGS = $(module_cppflags)
modules_client_typing_client_typing_la_LDFLAGS = $(module_ldflags)
modules_client_typing_client_typing_la_LIBADD = $(module_libadd)
