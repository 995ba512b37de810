/* The service "account-data", version 1: what a user's clients keep on the server. The module
 * client-account-data publishes it; who uses it requires "account-data>=1" or "?account-data>=1".
 * Client-Server API, "Client Config".
 *
 * Functions may block on the database: call them on a worker, with no lock held. c is a connection
 * for reading. */
#ifndef MYELIN_SERVICE_ACCOUNT_DATA_H
#define MYELIN_SERVICE_ACCOUNT_DATA_H

#include <myelin/core.h>

#define MX_ACCOUNT_DATA_VERSION 1

struct mx_account_data_service {
	uint32_t size;
	/* The content as JSON, in the arena; empty when there is none. room 0: global. */
	mx_error *(*get)(struct mx_core *core, struct mx_conn *c, mx_nid user, mx_nid room,
			 mx_str type, struct mx_arena *a, mx_str *content);
	/* Sets it, and announces it. content: an object's JSON. */
	mx_error *(*set)(struct mx_core *core, mx_nid user, mx_nid room, mx_str type,
			 mx_str content);
	/* The users whom this user ignores (m.ignored_user_list), sorted, in the arena; answered
	 * from memory after the first. */
	mx_error *(*ignored)(struct mx_core *core, struct mx_conn *c, mx_nid user,
			     struct mx_arena *a, mx_str **out, size_t *n);
};

#endif
