/* Filters over events: which ones a client wants of a list. One reader for all three shapes of the
 * specification, EventFilter, StateFilter and RoomEventFilter (Client-Server API, "Filtering"):
 * what a shape lacks is simply absent. A filter is immutable once parsed and owns its strings; any
 * thread may use it. NULL is a filter that lets all pass. */
#ifndef MYELIN_FILTER_H
#define MYELIN_FILTER_H

#include <myelin/event.h>

struct mx_filter;

/* Reads the object o; NULL gives the filter that lets all pass. Wrong types, user ids and room ids
 * that are none, a limit below 0 and lists beyond 10,000 entries (100 of them with wildcards) are
 * MX_E_BAD_JSON. Unknown members are ignored. */
MX_API mx_error *mx_filter_parse(const json_t *o, struct mx_filter **out) MX_MUST_USE;
/* The same from JSON text, as in the query of GET /messages; empty text lets all pass.
 * MX_E_NOT_JSON. */
MX_API mx_error *mx_filter_parse_text(mx_str json, struct mx_filter **out) MX_MUST_USE;
MX_API void mx_filter_free(struct mx_filter **f);
static inline void mx_filter_auto(struct mx_filter **f) { mx_filter_free(f); }

/* Whether the event passes: types (with wildcards), senders and contains_url. The room is not
 * looked at. */
MX_API bool mx_filter_event(const struct mx_filter *f, const struct mx_event *ev);
/* The same by type and sender alone, for what is no room event; an empty sender is not looked at.
 */
MX_API bool mx_filter_match(const struct mx_filter *f, mx_str type, mx_str sender);
/* Whether events of this room may pass: rooms and not_rooms. */
MX_API bool mx_filter_room(const struct mx_filter *f, mx_str room_id);
/* Whether no event can pass, whatever it is ("types": []): spares reading them. */
MX_API bool mx_filter_nothing(const struct mx_filter *f);
/* Whether every event passes mx_filter_event: spares asking for each. */
MX_API bool mx_filter_everything(const struct mx_filter *f);
/* limit, at most max; fallback when absent. */
MX_API int64_t mx_filter_limit(const struct mx_filter *f, int64_t fallback, int64_t max);
MX_API bool mx_filter_lazy_members(const struct mx_filter *f);		/* lazy_load_members */
MX_API bool mx_filter_redundant_members(const struct mx_filter *f);	/* include_redundant_members */
MX_API bool mx_filter_thread_counts(const struct mx_filter *f);	/* unread_thread_notifications */

#endif
