core_libcore_la_SOURCES += core/stream/stream.h
