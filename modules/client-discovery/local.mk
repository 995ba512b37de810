module_LTLIBRARIES += modules/client-discovery/client_discovery.la
modules_client_discovery_client_discovery_la_SOURCES = modules/client-discovery/discovery.c
modules_client_discovery_client_discovery_la_CPPFLAGS = $(module_cppflags)
modules_client_discovery_client_discovery_la_LDFLAGS = $(module_ldflags)
modules_client_discovery_client_discovery_la_LIBADD = $(module_libadd)
