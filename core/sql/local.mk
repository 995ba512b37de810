core_libcore_la_SOURCES += core/sql/db.h
