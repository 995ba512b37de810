core_libcore_la_SOURCES += core/sql/db.h core/sql/impl.h core/sql/batch.c core/sql/conn.c core/sql/db.c core/sql/follow.c core/sql/fresh.c core/sql/dialect.c core/sql/lineage.c \
	core/sql/migrate.c core/sql/migrate_plan.c core/sql/migrate_work.c core/sql/names.c core/sql/phase.c core/sql/pool.c core/sql/skew.c \
	core/sql/txn.c core/sql/users.c core/sql/writer.c
