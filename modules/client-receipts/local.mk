module_LTLIBRARIES += modules/client-receipts/client_receipts.la
modules_client_receipts_client_receipts_la_SOURCES = modules/client-receipts/module.c modules/client-receipts/routes.c \
	modules/client-receipts/store.c modules/client-receipts/sync.c modules/client-receipts/receipts.h
modules_client_receipts_client_receipts_la_CPPFLAGS = $(module_cppflags)
modules_client_receipts_client_receipts_la_LDFLAGS = $(module_ldflags)
modules_client_receipts_client_receipts_la_LIBADD = $(module_libadd)
