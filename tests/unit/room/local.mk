# The pure part: nothing here needs a database.
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/room/test_id
tests_unit_room_test_id_SOURCES = tests/unit/room/test_id.c
tests_unit_room_test_id_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_id_CFLAGS = $(test_cflags)
tests_unit_room_test_id_LDADD = $(test_ldadd)
check_PROGRAMS += tests/unit/room/test_redact
tests_unit_room_test_redact_SOURCES = tests/unit/room/test_redact.c tests/unit/room/events.h tests/unit/room/versions.h
tests_unit_room_test_redact_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_redact_CFLAGS = $(test_cflags)
tests_unit_room_test_redact_LDADD = $(test_ldadd)
check_PROGRAMS += tests/unit/room/test_event
tests_unit_room_test_event_SOURCES = tests/unit/room/test_event.c tests/unit/room/events.h tests/unit/room/versions.h
tests_unit_room_test_event_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_event_CFLAGS = $(test_cflags)
tests_unit_room_test_event_LDADD = $(test_ldadd)
check_PROGRAMS += tests/unit/room/test_build
tests_unit_room_test_build_SOURCES = tests/unit/room/test_build.c tests/unit/room/events.h tests/unit/room/versions.h
tests_unit_room_test_build_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_build_CFLAGS = $(test_cflags)
tests_unit_room_test_build_LDADD = $(test_ldadd)
check_PROGRAMS += tests/unit/room/test_power
tests_unit_room_test_power_SOURCES = tests/unit/room/test_power.c tests/unit/room/events.h tests/unit/room/versions.h
tests_unit_room_test_power_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_power_CFLAGS = $(test_cflags)
tests_unit_room_test_power_LDADD = $(test_ldadd)
check_PROGRAMS += tests/unit/room/test_rules
tests_unit_room_test_rules_SOURCES = tests/unit/room/test_rules.c tests/unit/room/events.h tests/unit/room/versions.h
tests_unit_room_test_rules_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_rules_CFLAGS = $(test_cflags)
tests_unit_room_test_rules_LDADD = $(test_ldadd)
check_PROGRAMS += tests/unit/room/test_resolve
tests_unit_room_test_resolve_SOURCES = tests/unit/room/test_resolve.c tests/unit/room/events.h tests/unit/room/versions.h tests/unit/room/graph.h tests/unit/room/plain_v1.h tests/unit/room/plain.h
tests_unit_room_test_resolve_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_resolve_CFLAGS = $(test_cflags)
tests_unit_room_test_resolve_LDADD = $(test_ldadd)
check_PROGRAMS += tests/unit/room/test_resolve_v1
tests_unit_room_test_resolve_v1_SOURCES = tests/unit/room/test_resolve_v1.c tests/unit/room/events.h tests/unit/room/versions.h \
	tests/unit/room/graph.h tests/unit/room/plain_v1.h tests/unit/room/plain.h
tests_unit_room_test_resolve_v1_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_resolve_v1_CFLAGS = $(test_cflags)
tests_unit_room_test_resolve_v1_LDADD = $(test_ldadd)
check_PROGRAMS += tests/unit/room/test_scan
tests_unit_room_test_scan_SOURCES = tests/unit/room/test_scan.c
tests_unit_room_test_scan_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_scan_CFLAGS = $(test_cflags)
tests_unit_room_test_scan_LDADD = $(test_ldadd)
check_PROGRAMS += tests/unit/room/test_version
tests_unit_room_test_version_SOURCES = tests/unit/room/test_version.c
tests_unit_room_test_version_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_version_CFLAGS = $(test_cflags)
tests_unit_room_test_version_LDADD = $(test_ldadd)
if HAVE_SQLITE
check_PROGRAMS += tests/unit/room/test_accept_versions
tests_unit_room_test_accept_versions_SOURCES = tests/unit/room/test_accept_versions.c tests/unit/room/remote.h \
	tests/unit/room/guests.h tests/unit/room/house.h tests/unit/room/versions.h tests/unit/sql/place_sqlite.c
tests_unit_room_test_accept_versions_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_accept_versions_CFLAGS = $(test_cflags)
tests_unit_room_test_accept_versions_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
endif
if HAVE_PQ
check_PROGRAMS += tests/unit/room/test_accept_versions_postgres
tests_unit_room_test_accept_versions_postgres_SOURCES = tests/unit/room/test_accept_versions.c tests/unit/room/remote.h \
	tests/unit/room/guests.h tests/unit/room/house.h tests/unit/room/versions.h tests/unit/sql/place_postgres.c
tests_unit_room_test_accept_versions_postgres_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_accept_versions_postgres_CFLAGS = $(test_cflags)
tests_unit_room_test_accept_versions_postgres_LDADD = modules/storage-postgres/libpostgresdriver.la $(test_ldadd) $(PQ_LIBS)
endif
if HAVE_SQLITE
check_PROGRAMS += tests/unit/room/test_all_versions
tests_unit_room_test_all_versions_SOURCES = tests/unit/room/test_all_versions.c tests/unit/room/house.h \
	tests/unit/room/versions.h tests/unit/sql/place_sqlite.c
tests_unit_room_test_all_versions_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_all_versions_CFLAGS = $(test_cflags)
tests_unit_room_test_all_versions_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
endif
if HAVE_PQ
check_PROGRAMS += tests/unit/room/test_all_versions_postgres
tests_unit_room_test_all_versions_postgres_SOURCES = tests/unit/room/test_all_versions.c tests/unit/room/house.h \
	tests/unit/room/versions.h tests/unit/sql/place_postgres.c
tests_unit_room_test_all_versions_postgres_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_all_versions_postgres_CFLAGS = $(test_cflags)
tests_unit_room_test_all_versions_postgres_LDADD = modules/storage-postgres/libpostgresdriver.la $(test_ldadd) $(PQ_LIBS)
endif
endif

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/room/test_difference
tests_unit_room_test_difference_SOURCES = tests/unit/room/test_difference.c
tests_unit_room_test_difference_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_difference_CFLAGS = $(test_cflags)
tests_unit_room_test_difference_LDADD = $(test_ldadd)
if HAVE_SQLITE
check_PROGRAMS += tests/unit/room/test_merge
tests_unit_room_test_merge_SOURCES = tests/unit/room/test_merge.c tests/unit/room/house.h tests/unit/room/forks.h \
	tests/unit/room/graph.h tests/unit/room/plain_v1.h tests/unit/room/plain.h tests/unit/sql/place_sqlite.c
tests_unit_room_test_merge_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_merge_CFLAGS = $(test_cflags)
tests_unit_room_test_merge_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
endif
if HAVE_PQ
check_PROGRAMS += tests/unit/room/test_merge_postgres
tests_unit_room_test_merge_postgres_SOURCES = tests/unit/room/test_merge.c tests/unit/room/house.h tests/unit/room/forks.h \
	tests/unit/room/graph.h tests/unit/room/plain_v1.h tests/unit/room/plain.h tests/unit/sql/place_postgres.c
tests_unit_room_test_merge_postgres_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_merge_postgres_CFLAGS = $(test_cflags)
tests_unit_room_test_merge_postgres_LDADD = modules/storage-postgres/libpostgresdriver.la $(test_ldadd) $(PQ_LIBS)
endif
endif
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/room/test_filter
tests_unit_room_test_filter_SOURCES = tests/unit/room/test_filter.c tests/unit/room/events.h tests/unit/room/versions.h
tests_unit_room_test_filter_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_filter_CFLAGS = $(test_cflags)
tests_unit_room_test_filter_LDADD = $(test_ldadd)
endif
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/room/test_tree
tests_unit_room_test_tree_SOURCES = tests/unit/room/test_tree.c
tests_unit_room_test_tree_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_tree_CFLAGS = $(test_cflags)
tests_unit_room_test_tree_LDADD = $(test_ldadd)
endif
if HAVE_CMOCKA
if HAVE_SQLITE
check_PROGRAMS += tests/unit/room/test_engine
tests_unit_room_test_engine_SOURCES = tests/unit/room/test_engine.c tests/unit/room/house.h tests/unit/sql/place_sqlite.c
tests_unit_room_test_engine_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_engine_CFLAGS = $(test_cflags)
tests_unit_room_test_engine_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
endif
endif
if HAVE_CMOCKA
if HAVE_SQLITE
check_PROGRAMS += tests/unit/room/test_visible
tests_unit_room_test_visible_SOURCES = tests/unit/room/test_visible.c tests/unit/room/house.h tests/unit/sql/place_sqlite.c
tests_unit_room_test_visible_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_visible_CFLAGS = $(test_cflags)
tests_unit_room_test_visible_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
endif
endif
if HAVE_CMOCKA
if HAVE_PQ
check_PROGRAMS += tests/unit/room/test_engine_postgres
tests_unit_room_test_engine_postgres_SOURCES = tests/unit/room/test_engine.c tests/unit/room/house.h \
	tests/unit/sql/place_postgres.c
tests_unit_room_test_engine_postgres_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_engine_postgres_CFLAGS = $(test_cflags)
tests_unit_room_test_engine_postgres_LDADD = modules/storage-postgres/libpostgresdriver.la $(test_ldadd) $(PQ_LIBS)
endif
endif
if HAVE_CMOCKA
if HAVE_SQLITE
check_PROGRAMS += tests/unit/room/test_held
tests_unit_room_test_held_SOURCES = tests/unit/room/test_held.c tests/unit/room/house.h $(http_test_headers) \
	tests/unit/sql/place_sqlite.c
tests_unit_room_test_held_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_held_CFLAGS = $(test_cflags)
tests_unit_room_test_held_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
endif
endif
if HAVE_CMOCKA
if HAVE_SQLITE
check_PROGRAMS += tests/unit/room/test_kill
tests_unit_room_test_kill_SOURCES = tests/unit/room/test_kill.c tests/unit/room/house.h tests/unit/sql/place_sqlite.c
tests_unit_room_test_kill_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_kill_CFLAGS = $(test_cflags)
tests_unit_room_test_kill_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
endif
endif
if HAVE_CMOCKA
if HAVE_SQLITE
check_PROGRAMS += tests/unit/room/test_stored_state
tests_unit_room_test_stored_state_SOURCES = tests/unit/room/test_stored_state.c tests/unit/room/house.h \
	tests/unit/sql/place_sqlite.c
tests_unit_room_test_stored_state_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_stored_state_CFLAGS = $(test_cflags)
tests_unit_room_test_stored_state_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
endif
endif
if HAVE_CMOCKA
if HAVE_PQ
check_PROGRAMS += tests/unit/room/test_stored_state_postgres
tests_unit_room_test_stored_state_postgres_SOURCES = tests/unit/room/test_stored_state.c tests/unit/room/house.h \
	tests/unit/sql/place_postgres.c
tests_unit_room_test_stored_state_postgres_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_stored_state_postgres_CFLAGS = $(test_cflags)
tests_unit_room_test_stored_state_postgres_LDADD = modules/storage-postgres/libpostgresdriver.la $(test_ldadd) $(PQ_LIBS)
endif
endif
if HAVE_CMOCKA
if HAVE_SQLITE
check_PROGRAMS += tests/unit/room/test_outlier
tests_unit_room_test_outlier_SOURCES = tests/unit/room/test_outlier.c tests/unit/room/house.h tests/unit/room/guests.h \
	tests/unit/sql/place_sqlite.c
tests_unit_room_test_outlier_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_outlier_CFLAGS = $(test_cflags)
tests_unit_room_test_outlier_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
endif
endif
if HAVE_CMOCKA
if HAVE_PQ
check_PROGRAMS += tests/unit/room/test_outlier_postgres
tests_unit_room_test_outlier_postgres_SOURCES = tests/unit/room/test_outlier.c tests/unit/room/house.h tests/unit/room/guests.h \
	tests/unit/sql/place_postgres.c
tests_unit_room_test_outlier_postgres_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_outlier_postgres_CFLAGS = $(test_cflags)
tests_unit_room_test_outlier_postgres_LDADD = modules/storage-postgres/libpostgresdriver.la $(test_ldadd) $(PQ_LIBS)
endif
endif
if HAVE_CMOCKA
if HAVE_SQLITE
check_PROGRAMS += tests/unit/room/test_acl
tests_unit_room_test_acl_SOURCES = tests/unit/room/test_acl.c tests/unit/room/house.h tests/unit/sql/place_sqlite.c
tests_unit_room_test_acl_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_acl_CFLAGS = $(test_cflags)
tests_unit_room_test_acl_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
endif
endif
if HAVE_CMOCKA
if HAVE_SQLITE
check_PROGRAMS += tests/unit/room/test_entry
tests_unit_room_test_entry_SOURCES = tests/unit/room/test_entry.c tests/unit/room/far.h tests/unit/room/house.h tests/unit/room/guests.h \
	tests/unit/sql/place_sqlite.c
tests_unit_room_test_entry_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_entry_CFLAGS = $(test_cflags)
tests_unit_room_test_entry_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
endif
endif
if HAVE_CMOCKA
if HAVE_SQLITE
check_PROGRAMS += tests/unit/room/test_accept
tests_unit_room_test_accept_SOURCES = tests/unit/room/test_accept.c tests/unit/room/remote.h tests/unit/room/guests.h \
	tests/unit/room/house.h tests/unit/sql/place_sqlite.c
tests_unit_room_test_accept_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_accept_CFLAGS = $(test_cflags)
tests_unit_room_test_accept_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
endif
endif
if HAVE_CMOCKA
if HAVE_PQ
check_PROGRAMS += tests/unit/room/test_entry_postgres
tests_unit_room_test_entry_postgres_SOURCES = tests/unit/room/test_entry.c tests/unit/room/far.h tests/unit/room/house.h tests/unit/room/guests.h \
	tests/unit/sql/place_postgres.c
tests_unit_room_test_entry_postgres_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_entry_postgres_CFLAGS = $(test_cflags)
tests_unit_room_test_entry_postgres_LDADD = modules/storage-postgres/libpostgresdriver.la $(test_ldadd) $(PQ_LIBS)
endif
endif
if HAVE_CMOCKA
if HAVE_PQ
check_PROGRAMS += tests/unit/room/test_accept_postgres
tests_unit_room_test_accept_postgres_SOURCES = tests/unit/room/test_accept.c tests/unit/room/remote.h \
	tests/unit/room/guests.h tests/unit/room/house.h tests/unit/sql/place_postgres.c
tests_unit_room_test_accept_postgres_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_accept_postgres_CFLAGS = $(test_cflags)
tests_unit_room_test_accept_postgres_LDADD = modules/storage-postgres/libpostgresdriver.la $(test_ldadd) $(PQ_LIBS)
endif
endif
if HAVE_CMOCKA
if HAVE_SQLITE
check_PROGRAMS += tests/unit/room/test_doctor
tests_unit_room_test_doctor_SOURCES = tests/unit/room/test_doctor.c tests/unit/room/house.h tests/unit/room/guests.h \
	tests/unit/sql/place_sqlite.c
tests_unit_room_test_doctor_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_doctor_CFLAGS = $(test_cflags)
tests_unit_room_test_doctor_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
endif
endif
if HAVE_CMOCKA
if HAVE_PQ
check_PROGRAMS += tests/unit/room/test_doctor_postgres
tests_unit_room_test_doctor_postgres_SOURCES = tests/unit/room/test_doctor.c tests/unit/room/house.h tests/unit/room/guests.h \
	tests/unit/sql/place_postgres.c
tests_unit_room_test_doctor_postgres_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_doctor_postgres_CFLAGS = $(test_cflags)
tests_unit_room_test_doctor_postgres_LDADD = modules/storage-postgres/libpostgresdriver.la $(test_ldadd) $(PQ_LIBS)
endif
endif
if HAVE_CMOCKA
if HAVE_SQLITE
check_PROGRAMS += tests/unit/room/test_erasure
tests_unit_room_test_erasure_SOURCES = tests/unit/room/test_erasure.c tests/unit/room/house.h \
	tests/unit/sql/place_sqlite.c
tests_unit_room_test_erasure_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_erasure_CFLAGS = $(test_cflags)
tests_unit_room_test_erasure_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
endif
endif
if HAVE_CMOCKA
if HAVE_PQ
check_PROGRAMS += tests/unit/room/test_erasure_postgres
tests_unit_room_test_erasure_postgres_SOURCES = tests/unit/room/test_erasure.c tests/unit/room/house.h \
	tests/unit/sql/place_postgres.c
tests_unit_room_test_erasure_postgres_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_erasure_postgres_CFLAGS = $(test_cflags)
tests_unit_room_test_erasure_postgres_LDADD = modules/storage-postgres/libpostgresdriver.la $(test_ldadd) $(PQ_LIBS)
endif
endif
if HAVE_CMOCKA
if HAVE_SQLITE
check_PROGRAMS += tests/unit/room/test_third_party
tests_unit_room_test_third_party_SOURCES = tests/unit/room/test_third_party.c tests/unit/room/house.h tests/unit/room/guests.h \
	tests/unit/sql/place_sqlite.c
tests_unit_room_test_third_party_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_third_party_CFLAGS = $(test_cflags)
tests_unit_room_test_third_party_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
check_PROGRAMS += tests/unit/room/test_voucher
tests_unit_room_test_voucher_SOURCES = tests/unit/room/test_voucher.c tests/unit/room/remote.h tests/unit/room/garbage.h \
	tests/unit/room/covers.h tests/unit/room/guests.h tests/unit/room/house.h tests/unit/sql/place_sqlite.c
tests_unit_room_test_voucher_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_voucher_CFLAGS = $(test_cflags)
tests_unit_room_test_voucher_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
check_PROGRAMS += tests/unit/room/test_flood
tests_unit_room_test_flood_SOURCES = tests/unit/room/test_flood.c tests/unit/room/remote.h tests/unit/room/garbage.h \
	tests/unit/room/covers.h tests/unit/room/guests.h tests/unit/room/house.h tests/unit/sql/place_sqlite.c
tests_unit_room_test_flood_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_flood_CFLAGS = $(test_cflags)
tests_unit_room_test_flood_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
check_PROGRAMS += tests/unit/room/test_poison
tests_unit_room_test_poison_SOURCES = tests/unit/room/test_poison.c tests/unit/room/remote.h tests/unit/room/garbage.h \
	tests/unit/room/covers.h tests/unit/room/guests.h tests/unit/room/house.h tests/unit/sql/place_sqlite.c
tests_unit_room_test_poison_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_poison_CFLAGS = $(test_cflags)
tests_unit_room_test_poison_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
endif
endif
if HAVE_CMOCKA
if HAVE_SQLITE
check_PROGRAMS += tests/unit/room/test_accept_busy
tests_unit_room_test_accept_busy_SOURCES = tests/unit/room/test_accept_busy.c tests/unit/room/remote.h \
	tests/unit/room/guests.h tests/unit/room/house.h tests/unit/sql/place_sqlite.c
tests_unit_room_test_accept_busy_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_accept_busy_CFLAGS = $(test_cflags)
tests_unit_room_test_accept_busy_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
check_PROGRAMS += tests/unit/room/test_entry_kill
tests_unit_room_test_entry_kill_SOURCES = tests/unit/room/test_entry_kill.c tests/unit/room/far.h tests/unit/room/house.h \
	tests/unit/room/guests.h tests/unit/sql/place_sqlite.c
tests_unit_room_test_entry_kill_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_entry_kill_CFLAGS = $(test_cflags)
tests_unit_room_test_entry_kill_LDADD = modules/storage-sqlite/libsqlitedriver.la $(test_ldadd) $(SQLITE_LIBS)
endif
endif
if HAVE_CMOCKA
if HAVE_PQ
check_PROGRAMS += tests/unit/room/test_accept_busy_postgres
tests_unit_room_test_accept_busy_postgres_SOURCES = tests/unit/room/test_accept_busy.c tests/unit/room/remote.h \
	tests/unit/room/guests.h tests/unit/room/house.h tests/unit/sql/place_postgres.c
tests_unit_room_test_accept_busy_postgres_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_accept_busy_postgres_CFLAGS = $(test_cflags)
tests_unit_room_test_accept_busy_postgres_LDADD = modules/storage-postgres/libpostgresdriver.la $(test_ldadd) $(PQ_LIBS)
endif
endif
EXTRA_DIST += tests/unit/room/covers.h tests/unit/room/garbage.h
if HAVE_CMOCKA
if HAVE_PQ
check_PROGRAMS += tests/unit/room/test_contended_postgres
tests_unit_room_test_contended_postgres_SOURCES = tests/unit/room/test_contended.c tests/unit/room/house.h \
	tests/unit/sql/place_postgres.c
tests_unit_room_test_contended_postgres_CPPFLAGS = $(test_cppflags)
tests_unit_room_test_contended_postgres_CFLAGS = $(test_cflags)
tests_unit_room_test_contended_postgres_LDADD = modules/storage-postgres/libpostgresdriver.la $(test_ldadd) $(PQ_LIBS)
endif
endif
