module_LTLIBRARIES += modules/client-account-data/client_account_data.la
modules_client_account_data_client_account_data_la_SOURCES = modules/client-account-data/module.c \
	modules/client-account-data/store.c modules/client-account-data/ignored.c modules/client-account-data/routes.c \
	modules/client-account-data/tags.c modules/client-account-data/succeed.c \
	modules/client-account-data/sync.c modules/client-account-data/data.h
modules_client_account_data_client_account_data_la_CPPFLAGS = $(module_cppflags)
modules_client_account_data_client_account_data_la_LDFLAGS = $(module_ldflags)
modules_client_account_data_client_account_data_la_LIBADD = $(module_libadd)
