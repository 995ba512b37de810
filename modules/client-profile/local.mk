module_LTLIBRARIES += modules/client-profile/client_profile.la
modules_client_profile_client_profile_la_SOURCES = \
	modules/client-profile/module.c modules/client-profile/profile.h modules/client-profile/service.c \
	modules/client-profile/set.c modules/client-profile/spread.c modules/client-profile/store.c
modules_client_profile_client_profile_la_CPPFLAGS = $(module_cppflags)
modules_client_profile_client_profile_la_LDFLAGS = $(module_ldflags)
modules_client_profile_client_profile_la_LIBADD = $(module_libadd)
