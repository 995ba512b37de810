/* client-receipts inside: routes.c takes receipts, store.c keeps the newest of each reader, sync.c
 * shows them. */
#ifndef MODULES_CLIENT_RECEIPTS_RECEIPTS_H
#define MODULES_CLIENT_RECEIPTS_RECEIPTS_H

#include <myelin/module.h>
#include <myelin/service/account_data.h>

struct receipt {
	mx_nid room, reader;
	bool private;
	mx_str thread;			/* empty: not of a thread; "main", or a thread's root */
	mx_str event_id;
	mx_nid event;
	mx_msec ts;
};

/* Keeps and announces it, unless the reader has read further already. */
mx_error *receipt_put(struct mx_core *core, const struct receipt *r) MX_MUST_USE;

enum mx_outcome receipts_post(struct mx_request *rq);
enum mx_outcome receipts_markers(struct mx_request *rq);
void receipts_sync(struct mx_module_self *self, const struct mx_sync *sync,
		   enum mx_sync_section section, struct mx_jw *w);

#endif
