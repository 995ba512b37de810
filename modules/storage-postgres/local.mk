EXTRA_DIST += modules/storage-postgres/postgres.h
if HAVE_PQ
# The driver as an archive too, so that unit tests of what stands on the database can link it.
noinst_LTLIBRARIES += modules/storage-postgres/libpostgresdriver.la
modules_storage_postgres_libpostgresdriver_la_SOURCES = modules/storage-postgres/connect.c \
	modules/storage-postgres/pipeline.c modules/storage-postgres/result.c modules/storage-postgres/statement.c modules/storage-postgres/index.c modules/storage-postgres/notify.c \
	modules/storage-postgres/pooler.c \
	modules/storage-postgres/transaction.c
modules_storage_postgres_libpostgresdriver_la_CPPFLAGS = $(module_cppflags)
modules_storage_postgres_libpostgresdriver_la_CFLAGS = $(AM_CFLAGS) $(PQ_CFLAGS)

module_LTLIBRARIES += modules/storage-postgres/storage_postgres.la
modules_storage_postgres_storage_postgres_la_SOURCES = modules/storage-postgres/module.c
modules_storage_postgres_storage_postgres_la_CPPFLAGS = $(module_cppflags)
modules_storage_postgres_storage_postgres_la_CFLAGS = $(AM_CFLAGS) $(PQ_CFLAGS)
modules_storage_postgres_storage_postgres_la_LDFLAGS = $(module_ldflags)
modules_storage_postgres_storage_postgres_la_LIBADD = modules/storage-postgres/libpostgresdriver.la $(module_libadd) $(PQ_LIBS)
endif
