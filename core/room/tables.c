/* The tables of the room engine.
 *
 * event: nid is the event's position in the stream; events from before we knew the room get
 * negative ones. id_hash stands for the id in the index (an id is 44 bytes, and the index of ids is
 * what a random insert costs most in), the id itself is compared. root is the root of the state
 * after the event, root_before only where that is another. An event carries its sender's
 * transaction id itself: one row and one statement a message.
 *
 * state_node: nodes of state trees, and roots as deltas (tree.h, delta.c). nid follows from the
 * position of the event that made it, so that nodes are appended: kept in the order of their
 * hashes, three nodes a join were three pages written. hash is the first eight bytes; who reads
 * compares the rest.
 *
 * entry: rooms of other servers that are just being entered (entry.h). store: the room nid that their
 * events have until then; at: when the claim was last renewed.
 *
 * erased_user: at is the position at which the user was erased (erasure.c). redacted_content: the JSON
 * of redacted events, for a while (redacted.c); at: when they were redacted.
 *
 * room_mended: at is the position from which on other processes must read a room again that the doctor
 * has mended (doctor.c).
 *
 * event_fate: of an event that is kept but was not simply accepted. nid is the event's.
 *
 * room: nid is the name nid of the room id. extremities is NULL as long as the newest accepted event
 * is the only one, which is the case unless other servers write at the same time; else their nids,
 * with spaces between.
 *
 * What other servers bring. event.alias: an event that was an outlier when it came into the
 * timeline keeps the number that it had then as a second one: states and auth chains name it by
 * that, so that one event has one number there (mx_event_state_nid). event.root_room: the current
 * state of the room once the event had been taken in, where that is another than root; flag
 * MX_EVENT_FORKED says so. membership.changed: the position at which the member became so, where
 * that is not the member event's (state resolution did it). event_waiting: events whose
 * prev_events or auth_events are missing (unvouched: a join that its voucher's server has not signed),
 * and event_lack which (auth 1: an auth event). event_gap:
 * prev_events that were missing when their event was taken in all the same (with a state that
 * another server told). redaction_pending: redactions whose target is not here yet. *
 * cover: what a state event rests on (cover.c). cover_above: what rests on an event; below is twice
 * its number, and one more where others can rest on what is above. cover_fill: a row while events
 * from before these tables are left to cover: up to which it is done, and up to which there are.
 */
#include "config.h"

#include "core/room/engine.h"
#include "core/sql/db.h"

static const struct mx_migration MIGRATIONS[] = {
	{ 1, "rooms, events, members, state",
	  "CREATE TABLE room (nid {key}, version TEXT NOT NULL, joined BIGINT NOT NULL, "
	  "invited BIGINT NOT NULL, extremities TEXT);\n"
	  "CREATE TABLE event (nid {key}, room BIGINT NOT NULL, type BIGINT NOT NULL, "
	  "state_key BIGINT, sender BIGINT NOT NULL, depth BIGINT NOT NULL, ts BIGINT NOT NULL, "
	  "flags BIGINT NOT NULL, id TEXT NOT NULL, id_hash BIGINT NOT NULL, root_before {blob}, "
	  "root {blob}, "
	  "redacted_by BIGINT, device BIGINT, txn_id TEXT, json TEXT NOT NULL);\n"
	  "CREATE INDEX event_room ON event (room, nid);\n"
	  "CREATE INDEX event_id ON event (id_hash);\n"
	  "CREATE UNIQUE INDEX event_txn ON event (device, txn_id) WHERE device IS NOT NULL;\n"
	  "CREATE INDEX event_redacted ON event (redacted_by) WHERE redacted_by IS NOT NULL;\n"
	  "CREATE TABLE membership (room BIGINT NOT NULL, \"user\" BIGINT NOT NULL, membership "
	  "BIGINT NOT NULL, "
	  "event BIGINT NOT NULL, forgotten BIGINT NOT NULL, local BIGINT NOT NULL, PRIMARY KEY "
	  "(room, \"user\")) {unkeyed};\n"
	  "CREATE INDEX membership_user ON membership (\"user\", room) WHERE local = 1;\n"
	  "CREATE TABLE state_node (nid {key}, hash BIGINT NOT NULL, data {blob} NOT NULL);\n"
	  "CREATE INDEX state_node_hash ON state_node (hash)" },
	{ 2, "why events were rejected, soft-failed or redacted on arrival",
	  "CREATE TABLE event_fate (nid {key}, reason BIGINT NOT NULL, decided BIGINT NOT NULL, "
	  "words TEXT NOT NULL)" },
	{ 3, "events of other servers",
	  "ALTER TABLE event ADD COLUMN alias BIGINT;\n"
	  "ALTER TABLE event ADD COLUMN root_room {blob};\n"
	  "CREATE UNIQUE INDEX event_alias ON event (alias) WHERE alias IS NOT NULL;\n"
	  "ALTER TABLE membership ADD COLUMN changed BIGINT;\n"
	  "CREATE INDEX membership_changed ON membership (changed) WHERE changed IS NOT NULL;\n"
	  "CREATE TABLE event_waiting (nid {key}, room BIGINT NOT NULL, id TEXT NOT NULL, "
	  "id_hash BIGINT NOT NULL, at BIGINT NOT NULL, json TEXT NOT NULL);\n"
	  "CREATE INDEX event_waiting_room ON event_waiting (room, nid);\n"
	  "CREATE INDEX event_waiting_id ON event_waiting (id_hash);\n"
	  "CREATE TABLE event_lack (waiting BIGINT NOT NULL, auth BIGINT NOT NULL, id TEXT NOT NULL, "
	  "id_hash BIGINT NOT NULL, room BIGINT NOT NULL, PRIMARY KEY (waiting, auth, id)) {unkeyed};\n"
	  "CREATE INDEX event_lack_id ON event_lack (id_hash);\n"
	  "CREATE INDEX event_lack_room ON event_lack (room, waiting);\n"
	  "CREATE TABLE event_gap (event BIGINT NOT NULL, id TEXT NOT NULL, id_hash BIGINT NOT NULL, "
	  "room BIGINT NOT NULL, PRIMARY KEY (event, id)) {unkeyed};\n"
	  "CREATE INDEX event_gap_id ON event_gap (id_hash);\n"
	  "CREATE INDEX event_gap_room ON event_gap (room, event);\n"
	  "CREATE TABLE redaction_pending (redaction {key}, room BIGINT NOT NULL, id TEXT NOT NULL, "
	  "id_hash BIGINT NOT NULL);\n"
	  "CREATE INDEX redaction_pending_id ON redaction_pending (id_hash)" },
	{ 4, "rooms that are being entered",
	  "CREATE TABLE entry (room {key}, store BIGINT NOT NULL, token BIGINT NOT NULL, "
	  "at BIGINT NOT NULL)" },
	{ 5, "who rests on whom",
	  "CREATE TABLE cover (nid {key}, auth {blob} NOT NULL);\n"
	  "CREATE TABLE cover_above (below BIGINT NOT NULL, above BIGINT NOT NULL, PRIMARY KEY "
	  "(below, above)) {unkeyed};\n"
	  "CREATE TABLE cover_fill (done BIGINT NOT NULL, upto BIGINT NOT NULL);\n"
	  "INSERT INTO cover_fill (done, upto) SELECT 0, m.newest FROM (SELECT MAX(nid) AS newest "
	  "FROM event) m WHERE m.newest > 0" },
	{ 6, "erased users, redacted content",
	  "CREATE TABLE erased_user (\"user\" {key}, at BIGINT NOT NULL);\n"
	  "CREATE INDEX erased_user_at ON erased_user (at);\n"
	  "CREATE TABLE redacted_content (id TEXT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, "
	  "json TEXT NOT NULL) {unkeyed};\n"
	  "CREATE INDEX redacted_content_at ON redacted_content (at)" },
	{ 7, "joins in waiting that nobody has vouched for",
	  "ALTER TABLE event_waiting ADD COLUMN unvouched BIGINT NOT NULL DEFAULT 0" },
	{ 8, "rooms that were mended",
	  "CREATE TABLE room_mended (room {key}, at BIGINT NOT NULL);\n"
	  "CREATE INDEX room_mended_at ON room_mended (at)" },
};

const struct mx_migration_set mx_rooms_tables = { "room", MIGRATIONS,
						  sizeof(MIGRATIONS) / sizeof(MIGRATIONS[0]) };
