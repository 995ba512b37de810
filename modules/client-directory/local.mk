module_LTLIBRARIES += modules/client-directory/client_directory.la
modules_client_directory_client_directory_la_SOURCES = \
	modules/client-directory/alias.c modules/client-directory/directory.h modules/client-directory/list.c \
	modules/client-directory/list.h modules/client-directory/module.c modules/client-directory/public.c \
	modules/client-directory/service.c modules/client-directory/store.c modules/client-directory/users.c
modules_client_directory_client_directory_la_CPPFLAGS = $(module_cppflags)
modules_client_directory_client_directory_la_LDFLAGS = $(module_ldflags)
modules_client_directory_client_directory_la_LIBADD = $(module_libadd)
