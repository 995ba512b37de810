/* The service "directory", version 2: aliases of this server, and which rooms its public list
 * shows. The module client-directory publishes it; who uses it requires "directory>=1" or, when it
 * can do without, "?directory>=1", and asks mx_self_service(self, "directory"). Client-Server API,
 * "Room aliases" and "Published room directory".
 *
 * Functions may block on the database: call them on a worker, with no lock held. c is a connection
 * for reading. */
#ifndef MYELIN_SERVICE_DIRECTORY_H
#define MYELIN_SERVICE_DIRECTORY_H

#include <myelin/core.h>

#define MX_DIRECTORY_VERSION 2

struct mx_directory_service {
	uint32_t size;
	/* The room behind an alias of this server, in the arena; MX_E_NOT_FOUND, also for aliases
	 * of other servers. */
	mx_error *(*resolve)(struct mx_core *core, struct mx_conn *c, mx_str alias,
			     struct mx_arena *a, mx_str *room_id);
	/* Takes an alias for a room that is about to be made: nobody else gets it for a minute, and
	 * it leads nowhere until bind. Asks the hook directory_check. MX_E_INVALID_PARAM,
	 * MX_E_EXISTS when it is taken, MX_E_FORBIDDEN. */
	mx_error *(*reserve)(struct mx_core *core, const struct mx_auth *who, mx_str alias);
	/* Lets a reserved alias lead to its room; MX_E_EXISTS when the reservation ran out and
	 * somebody else took it. */
	mx_error *(*bind)(struct mx_core *core, const struct mx_auth *who, mx_str alias,
			  struct mx_room *room);
	/* Gives a reserved alias back. */
	mx_error *(*release)(struct mx_core *core, const struct mx_auth *who, mx_str alias);
	/* The aliases of a room, in the arena, in bytewise order. */
	mx_error *(*aliases)(struct mx_core *core, struct mx_conn *c, struct mx_room *room,
			     struct mx_arena *a, mx_str **out, size_t *n);
	/* Moves the aliases of a room, and its place in the public list, to another: for upgrades.
	 */
	mx_error *(*move)(struct mx_core *core, struct mx_room *from, struct mx_room *to);
	mx_error *(*visible)(struct mx_core *core, struct mx_conn *c, struct mx_room *room,
			     bool *out);
	mx_error *(*set_visible)(struct mx_core *core, struct mx_room *room, bool on);
	/* Since version 2: bind, move and set_visible within a write of the caller's, durable with
	 * the rest of it. */
	mx_error *(*bind_in)(struct mx_txn *tx, const struct mx_auth *who, mx_str alias,
			     struct mx_room *room);
	mx_error *(*move_in)(struct mx_txn *tx, struct mx_room *from, struct mx_room *to);
	mx_error *(*set_visible_in)(struct mx_txn *tx, struct mx_room *room, bool on);
};

#endif
