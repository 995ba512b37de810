module_LTLIBRARIES += modules/auth-token/auth_token.la
modules_auth_token_auth_token_la_SOURCES = modules/auth-token/admin.c \
	modules/auth-token/auth_token.h modules/auth-token/commands.c modules/auth-token/login.c \
	modules/auth-token/module.c modules/auth-token/registration.c modules/auth-token/table.c
modules_auth_token_auth_token_la_CPPFLAGS = $(module_cppflags)
modules_auth_token_auth_token_la_LDFLAGS = $(module_ldflags)
modules_auth_token_auth_token_la_LIBADD = $(module_libadd)
