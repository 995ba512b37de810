core_libcore_la_SOURCES += \
	core/account/accounts.c core/account/accounts.h core/account/authenticate.c core/account/cache.c \
	core/account/commands.c core/account/commands.h core/account/devices.c core/account/internal.h \
	core/account/options.c core/account/password.c core/account/ports.c core/account/seen.c \
	core/account/sessions.c core/account/uia.c core/account/uia.h core/account/uia_session.c core/account/uia_store.c core/account/users.c
