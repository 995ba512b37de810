/* client-typing inside: room.c keeps who types where, in memory alone; module.c is the endpoint and
 * the part of /sync. */
#ifndef MODULES_CLIENT_TYPING_TYPING_H
#define MODULES_CLIENT_TYPING_TYPING_H

#include <myelin/module.h>

struct typing;

/* Starts the thread that ends what nobody renews. */
struct typing *typing_new(struct mx_stream *stream);
void typing_free(struct typing **t);

/* until: mx_monotonic_us; 0: the user stopped. Announces a change, in this process. False
 * when the user did not type before and does not now. */
bool typing_set(struct typing *t, mx_nid room, mx_str user_id, int64_t until);
/* The user ids as elements of a JSON array, onto w; false when nothing changed in the room since
 * `since`. everything: also when it is old, if somebody types. */
bool typing_write(struct typing *t, mx_nid room, mx_pos since, bool everything, struct mx_jw *w);

#endif
