core_libcore_la_SOURCES += \
	core/stream/impl.h core/stream/log.c core/stream/nidmap.c core/stream/nidmap.h core/stream/park.c core/stream/present.c \
	core/stream/ring.c core/stream/stream.c core/stream/stream.h
