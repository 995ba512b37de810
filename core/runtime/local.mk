core_libcore_la_SOURCES += \
	core/runtime/conf.c core/runtime/conf.h core/runtime/conf_print.c core/runtime/conf_private.h \
	core/runtime/conf_read.c core/runtime/control.c core/runtime/control.h core/runtime/core.c core/runtime/core.h \
	core/runtime/durable.c core/runtime/durable.h core/runtime/hooks.c \
	core/runtime/hooks.h core/runtime/image.c core/runtime/image_print.c core/runtime/image.h core/runtime/jobs.c core/runtime/jobs.h \
	core/runtime/lease.c core/runtime/lease.h core/runtime/loader.c core/runtime/loader.h core/runtime/loader_find.c \
	core/runtime/loader_live.c core/runtime/loader_needs.c core/runtime/loader_private.h core/runtime/loader_self.c \
	core/runtime/module.h core/runtime/option.c core/runtime/option.h core/runtime/registry.c core/runtime/registry.h \
	core/runtime/section.c
