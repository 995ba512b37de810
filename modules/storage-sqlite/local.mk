EXTRA_DIST += modules/storage-sqlite/sqlite.h
if HAVE_SQLITE
# The driver as an archive too, so that unit tests of what stands on the database can link it.
noinst_LTLIBRARIES += modules/storage-sqlite/libsqlitedriver.la
modules_storage_sqlite_libsqlitedriver_la_SOURCES = modules/storage-sqlite/sqlite.c modules/storage-sqlite/checkpoint.c \
	modules/storage-sqlite/log_file.c
modules_storage_sqlite_libsqlitedriver_la_CPPFLAGS = $(module_cppflags)
modules_storage_sqlite_libsqlitedriver_la_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)

module_LTLIBRARIES += modules/storage-sqlite/storage_sqlite.la
modules_storage_sqlite_storage_sqlite_la_SOURCES = modules/storage-sqlite/module.c
modules_storage_sqlite_storage_sqlite_la_CPPFLAGS = $(module_cppflags)
modules_storage_sqlite_storage_sqlite_la_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
modules_storage_sqlite_storage_sqlite_la_LDFLAGS = $(module_ldflags)
modules_storage_sqlite_storage_sqlite_la_LIBADD = modules/storage-sqlite/libsqlitedriver.la $(module_libadd) $(SQLITE_LIBS)
endif
