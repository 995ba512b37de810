core_libcore_la_SOURCES += core/base/version.c
