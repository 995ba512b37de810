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
 * event_fate: of an event that is kept but was not simply accepted. nid is the event's.
 *
 * room: nid is the name nid of the room id. extremities is NULL as long as the newest event is the
 * only one, which is the case unless other servers write at the same time. */
#include "config.h"

#include "core/room/engine.h"

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
};

mx_error *
mx_rooms_migrate(struct mx_db *db)
{
	return mx_migrate(db, "room", MIGRATIONS, sizeof(MIGRATIONS) / sizeof(MIGRATIONS[0]));
}
