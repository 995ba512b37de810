core_libcore_la_SOURCES += core/room/rooms.h
