/* Server access control lists, parsed. Client-Server API, "Server Access Control Lists (ACLs) for
 * rooms", m.room.server_acl. */
#ifndef CORE_ROOM_ACL_H
#define CORE_ROOM_ACL_H

#include "core/room/event_private.h"

struct mx_acl;

/* Of the content of an m.room.server_acl. */
struct mx_acl *mx_acl_parse(mx_str content);
void mx_acl_free(struct mx_acl **a);
/* Whether it lets the server take part; a port at the end of the name is not looked at. */
bool mx_acl_allows(const struct mx_acl *a, mx_str server);

/* The lists used lately. */
struct mx_acl_cache;
struct mx_acl_cache *mx_acl_cache_new(void);
void mx_acl_cache_free(struct mx_acl_cache **c);
/* What the list in this event says of the server. */
bool mx_acl_cache_allows(struct mx_acl_cache *c, struct mx_event *ev, mx_str server);

#endif
