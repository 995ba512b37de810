/* What the files of client-directory share. Tables: client_directory_aliases (an alias, its room or
 * 0 while it is reserved, who made it) and client_directory_rooms (the rooms of the public list).
 */
#ifndef CLIENT_DIRECTORY_DIRECTORY_H
#define CLIENT_DIRECTORY_DIRECTORY_H

#include <myelin/module.h>
#include <myelin/service/directory.h>
#include <myelin/service/profile.h>

struct directory_options {
	bool anonymous;			/* the public list without a login */
	bool search_all_users;		/* the user directory shows everybody */
	int64_t max_page;		/* rooms of one answer */
	struct mx_duration list_age;	/* how old the list of public rooms may be */
};

/* The module's state: the list of public rooms as it was a moment ago (list.c). */
struct directory_list;
struct directory_list *directory_list_new(void);
void directory_list_free(struct directory_list **l);

struct directory_alias {
	mx_str alias;			/* borrowed from the caller */
	mx_nid room;			/* 0: reserved */
	mx_nid creator;
	mx_msec made;
};

/* ---- store.c: the tables ---- */
enum { DIRECTORY_MIGRATIONS = 1 };
extern const struct mx_migration directory_migrations[DIRECTORY_MIGRATIONS];
/* MX_E_NOT_FOUND when there is none; a reservation counts as none. */
mx_error *directory_find(struct mx_conn *c, mx_str alias, struct directory_alias *out) MX_MUST_USE;
/* Makes the alias; room 0 reserves it. MX_E_EXISTS. A reservation of the same creator becomes the
 * alias. */
mx_error *directory_put(struct mx_db *db, const struct directory_alias *a) MX_MUST_USE;
mx_error *directory_put_in(struct mx_txn *tx, const struct directory_alias *a) MX_MUST_USE;
/* Removes it when it leads to that room (0: when it is reserved). */
mx_error *directory_drop(struct mx_db *db, mx_str alias, mx_nid room) MX_MUST_USE;
mx_error *directory_aliases(struct mx_conn *c, mx_nid room, struct mx_arena *a, mx_str **out,
			    size_t *n) MX_MUST_USE;
mx_error *directory_move(struct mx_db *db, mx_nid from, mx_nid to) MX_MUST_USE;
mx_error *directory_move_in(struct mx_txn *tx, mx_nid from, mx_nid to) MX_MUST_USE;
mx_error *directory_is_listed(struct mx_conn *c, mx_nid room, bool *out) MX_MUST_USE;
mx_error *directory_list_room(struct mx_db *db, mx_nid room, bool on) MX_MUST_USE;
mx_error *directory_list_in(struct mx_txn *tx, mx_nid room, bool on) MX_MUST_USE;
/* The rooms of the list; malloc'ed. */
mx_error *directory_listed(struct mx_conn *c, mx_nid **out, size_t *n) MX_MUST_USE;
/* Raised by every change of the list in this process. */
uint64_t directory_changes(void);

/* ---- service.c ---- */
extern const struct mx_directory_service directory_service;
/* That it is an alias of this server. MX_E_INVALID_PARAM. */
mx_error *directory_check_alias(struct mx_core *core, mx_str alias) MX_MUST_USE;

/* ---- handlers ---- */
mx_handler directory_get_alias, directory_put_alias, directory_delete_alias, directory_room_aliases;
mx_handler directory_get_visibility, directory_put_visibility;
mx_handler directory_public_rooms, directory_search_rooms, directory_search_users;

#endif
