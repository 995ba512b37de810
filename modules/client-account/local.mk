module_LTLIBRARIES += modules/client-account/client_account.la
modules_client_account_client_account_la_SOURCES = modules/client-account/account.c modules/client-account/client_account.h \
	modules/client-account/leave.c modules/client-account/openid.c modules/client-account/threepid.c
modules_client_account_client_account_la_CPPFLAGS = $(module_cppflags)
modules_client_account_client_account_la_LDFLAGS = $(module_ldflags)
modules_client_account_client_account_la_LIBADD = $(module_libadd)
