# The engine.
core_libcore_la_SOURCES += core/room/engine.h core/room/cover.h core/room/merge.h core/room/outlier.h core/room/event_cache.c core/room/event_cache.h core/room/foreign.c core/room/load.c \
	core/room/members.c core/room/nodes.c core/room/room.c core/room/rooms.c core/room/rooms.h core/room/create.c core/room/send.c core/room/send_build.c core/room/send_crowded.c core/room/send_late.c core/room/send_private.h \
	core/room/state.c core/room/store.c core/room/summary.c core/room/tables.c core/room/timeline.c \
	core/room/tip.c core/room/tree.c core/room/tree.h core/room/tree_change.c core/room/delta.c core/room/txn_table.c \
	core/room/visible.c core/room/extremities.c core/room/place.c core/room/intake.h core/room/accept.c core/room/intake_order.c \
	core/room/judge.c core/room/placing.c core/room/redacting.c core/room/waiting.c core/room/supply.c core/room/gaps.c core/room/accept_at.c core/room/backfill.c core/room/join_ends.c \
	core/room/explain.c core/room/between.c core/room/commands.c core/room/commands.h

core_libcore_la_SOURCES += core/room/roots.c core/room/merge.c core/room/merge_store.c core/room/merge_memory.c core/room/cover.c core/room/cover_put.c core/room/cover_fill.c core/room/entry_cover.c core/room/doctor_cover.c

# The pure part: identifiers, versions, events, the rules, resolution.
core_libcore_la_SOURCES += core/room/id.c core/room/version.c core/room/version.h core/room/scan.c core/room/scan.h \
	core/room/event.c core/room/event_client.c core/room/event_check.c core/room/event_quick.c core/room/event_big.c core/room/event_big.h \
	core/room/event_private.h core/room/redact.c core/room/redact.h core/room/hash.c core/room/hash.h \
	core/room/build.c core/room/build.h core/room/verify.c core/room/verify.h core/room/power.c core/room/power.h \
	core/room/rules.c core/room/rules.h core/room/rules_private.h core/room/rules_member.c \
	core/room/rules_third_party.c core/room/rules_levels.c core/room/auth_types.c \
	core/room/resolve.c core/room/resolve.h core/room/resolve_private.h core/room/difference.c core/room/difference.h \
	core/room/resolve_order.c core/room/resolve_check.c core/room/resolve_v1.c

# For who answers with events: filters, and events as a reader gets them.
core_libcore_la_SOURCES += core/room/filter.c core/room/shape.c core/room/view.c

# Many events at once, events outside of the timeline, coming into rooms, access control lists.
core_libcore_la_SOURCES += core/room/verify_many.c core/room/crew.c core/room/crew.h core/room/outlier.c \
	core/room/fate.c core/room/arrival.c core/room/acl.c core/room/acl.h core/room/entry.c core/room/entry.h \
	core/room/entry_rows.c core/room/entry_judge.c core/room/entry_finish.c

# The doctor; erasure; what was redacted.
core_libcore_la_SOURCES += core/room/doctor.c core/room/doctor.h core/room/doctor_state.c \
	core/room/doctor_members.c core/room/erasure.c core/room/erasure.h core/room/redacted.c
