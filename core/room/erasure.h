/* Which users are erased, in memory. */
#ifndef CORE_ROOM_ERASURE_H
#define CORE_ROOM_ERASURE_H

#include <myelin/room.h>

struct mx_erasures;
struct mx_erasures *mx_erasures_new(void);
void mx_erasures_free(struct mx_erasures **x);
/* Whether nobody is erased. */
mx_error *mx_erasures_none(struct mx_rooms *rs, struct mx_conn *c, bool *out) MX_MUST_USE;
/* Within a batch, before anything of ours: other processes have written these positions. */
mx_error *mx_erasures_foreign(struct mx_rooms *rs, struct mx_conn *c, mx_pos since,
			      mx_pos upto) MX_MUST_USE;

#endif
