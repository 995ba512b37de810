module_LTLIBRARIES += modules/client-push/client_push.la
modules_client_push_client_push_la_SOURCES = modules/client-push/module.c \
	modules/client-push/defaults.c modules/client-push/check.c modules/client-push/rules.c \
	modules/client-push/store.c modules/client-push/routes.c modules/client-push/succeed.c \
	modules/client-push/sync.c \
	modules/client-push/push.h
modules_client_push_client_push_la_CPPFLAGS = $(module_cppflags)
modules_client_push_client_push_la_LDFLAGS = $(module_ldflags)
modules_client_push_client_push_la_LIBADD = $(module_libadd)
