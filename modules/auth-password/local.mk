module_LTLIBRARIES += modules/auth-password/auth_password.la
modules_auth_password_auth_password_la_SOURCES = modules/auth-password/argon2id.c modules/auth-password/auth_password.h \
	modules/auth-password/login.c modules/auth-password/module.c modules/auth-password/throttle.c
modules_auth_password_auth_password_la_CPPFLAGS = $(module_cppflags)
modules_auth_password_auth_password_la_LDFLAGS = $(module_ldflags)
modules_auth_password_auth_password_la_LIBADD = $(module_libadd) $(SODIUM_LIBS)
if HAVE_XCRYPT
modules_auth_password_auth_password_la_SOURCES += modules/auth-password/bcrypt.c
modules_auth_password_auth_password_la_CPPFLAGS += -DHAVE_XCRYPT $(XCRYPT_CFLAGS)
modules_auth_password_auth_password_la_LIBADD += $(XCRYPT_LIBS)
endif
