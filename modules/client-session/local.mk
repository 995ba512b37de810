module_LTLIBRARIES += modules/client-session/client_session.la
modules_client_session_client_session_la_SOURCES = modules/client-session/client_session.h modules/client-session/devices.c modules/client-session/login.c modules/client-session/module.c
modules_client_session_client_session_la_CPPFLAGS = $(module_cppflags)
modules_client_session_client_session_la_LDFLAGS = $(module_ldflags)
modules_client_session_client_session_la_LIBADD = $(module_libadd)
