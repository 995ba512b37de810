core_libcore_la_SOURCES += \
	core/base/alloc.c core/base/arena.c core/base/buf.c core/base/buf.h core/base/clock.c \
	core/base/clock.h core/base/encode.c core/base/encode.h core/base/error.c core/base/fold.c core/base/log.c \
	core/base/log.h core/base/random.c core/base/sodium.h core/base/str.c core/base/utf8.h \
	core/base/version.c
