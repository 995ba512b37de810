module_LTLIBRARIES += modules/admin/admin.la
modules_admin_admin_la_SOURCES = modules/admin/actions.c modules/admin/admin.h modules/admin/common.c modules/admin/moderate.c \
	modules/admin/module.c modules/admin/register.c modules/admin/threepids.c modules/admin/users.c
modules_admin_admin_la_CPPFLAGS = $(module_cppflags)
modules_admin_admin_la_LDFLAGS = $(module_ldflags)
modules_admin_admin_la_LIBADD = $(module_libadd) $(OPENSSL_LIBS)
