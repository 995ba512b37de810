module_LTLIBRARIES += modules/client-register/client_register.la
modules_client_register_client_register_la_SOURCES = modules/client-register/register.c
modules_client_register_client_register_la_CPPFLAGS = $(module_cppflags)
modules_client_register_client_register_la_LDFLAGS = $(module_ldflags)
modules_client_register_client_register_la_LIBADD = $(module_libadd)
