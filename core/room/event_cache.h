/* Events in memory, by nid and by id: the ones used lately, bounded by bytes. One lock, held for a
 * few hundred nanoseconds; who wants many asks for them at once. */
#ifndef CORE_ROOM_EVENT_CACHE_H
#define CORE_ROOM_EVENT_CACHE_H

#include "core/room/event_private.h"

/* An idle room's events and state leave memory, when others come in: after so long, in microseconds. */
#define MX_CACHE_IDLE (INT64_C(1800) * 1000000)

struct mx_event_cache;

struct mx_event_cache *mx_event_cache_new(size_t bytes);
void mx_event_cache_free(struct mx_event_cache **c);
/* References, or NULL. nid: also one that the event has as an alias. */
struct mx_event *mx_event_cache_get(struct mx_event_cache *c, mx_nid nid);
struct mx_event *mx_event_cache_find(struct mx_event_cache *c, mx_str id);
/* The same for many; NULL where one is missing. Returns how many are. */
size_t mx_event_cache_get_many(struct mx_event_cache *c, const mx_nid *nids, size_t n,
			       struct mx_event **out);
/* Events know which one is shown in front of them in their room's timeline, once that was noted. A new
 * one comes behind all others, so what was noted stays true until one that was hidden is shown
 * (mx_event_cache_unlink); what was noted before, of any room, counts no longer then. */
void mx_event_cache_link(struct mx_event_cache *c, struct mx_event *ev, mx_nid earlier);
/* The same for neighbours that were read: links is what mx_event_cache_links said before the reading. */
uint64_t mx_event_cache_links(struct mx_event_cache *c);
void mx_event_cache_link_read(struct mx_event_cache *c, struct mx_event *const *v, size_t n,
			      bool newest_first, uint64_t links);
void mx_event_cache_unlink(struct mx_event_cache *c);
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
/* Drops what nobody has asked for in MX_CACHE_IDLE before now (mx_monotonic_us). */
void mx_event_cache_age(struct mx_event_cache *c, int64_t now);
void mx_event_cache_stats(struct mx_event_cache *c, uint64_t *hits, uint64_t *misses,
			  size_t *bytes);

#endif
