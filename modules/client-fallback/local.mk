module_LTLIBRARIES += modules/client-fallback/client_fallback.la
modules_client_fallback_client_fallback_la_SOURCES = modules/client-fallback/fallback.h \
	modules/client-fallback/module.c modules/client-fallback/pages.c
modules_client_fallback_client_fallback_la_CPPFLAGS = $(module_cppflags)
modules_client_fallback_client_fallback_la_LDFLAGS = $(module_ldflags)
modules_client_fallback_client_fallback_la_LIBADD = $(module_libadd)
