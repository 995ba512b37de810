/* Events in memory, by nid and by id: the ones used lately, bounded by bytes. One lock, held for a
 * few hundred nanoseconds; who wants many asks for them at once. */
#ifndef CORE_ROOM_EVENT_CACHE_H
#define CORE_ROOM_EVENT_CACHE_H

#include "core/room/event_private.h"

struct mx_event_cache;

struct mx_event_cache *mx_event_cache_new(size_t bytes);
void mx_event_cache_free(struct mx_event_cache **c);
/* References, or NULL. nid: also one that the event has as an alias. */
struct mx_event *mx_event_cache_get(struct mx_event_cache *c, mx_nid nid);
struct mx_event *mx_event_cache_find(struct mx_event_cache *c, mx_str id);
/* The same for many; NULL where one is missing. Returns how many are. */
size_t mx_event_cache_get_many(struct mx_event_cache *c, const mx_nid *nids, size_t n,
			       struct mx_event **out);
/* The events in front of `from` in its room's timeline that are after `after`, newest first, as far as
 * they are here one behind the other; at most max. *whole: there are no others up to `after`. */
size_t mx_event_cache_earlier(struct mx_event_cache *c, const struct mx_event *from, mx_nid after,
			      size_t max, struct mx_event **out, bool *whole);
/* What was read from the database: if it is here already, that one counts (it may be redacted by
 * now) and *ev is exchanged. */
void mx_event_cache_add(struct mx_event_cache *c, struct mx_event **ev);
/* What was just made or changed: it replaces. */
void mx_event_cache_put(struct mx_event_cache *c, struct mx_event *ev);
void mx_event_cache_drop(struct mx_event_cache *c, mx_nid nid);
void mx_event_cache_clear(struct mx_event_cache *c);
void mx_event_cache_stats(struct mx_event_cache *c, uint64_t *hits, uint64_t *misses,
			  size_t *bytes);

#endif
