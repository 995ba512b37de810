/* client-account-data inside: store.c keeps the rows and announces changes; succeed.c
 * carries them over to upgraded rooms; ignored.c keeps who is
 * ignored at hand; routes.c and tags.c are the endpoints; sync.c is its part of /sync. */
#ifndef MODULES_CLIENT_ACCOUNT_DATA_DATA_H
#define MODULES_CLIENT_ACCOUNT_DATA_DATA_H

#include <myelin/module.h>
#include <myelin/service/account_data.h>

struct data_options {
	struct mx_size max_content;
	int64_t max_types;
};

/* The row, as JSON in the arena; empty when there is none. room 0: global. */
mx_error *data_get(struct mx_core *core, struct mx_conn *c, mx_nid user, mx_nid room, mx_str type,
		   struct mx_arena *a, mx_str *content) MX_MUST_USE;

/* Changes a row within the writer: change sees the JSON that is there (empty: none) and puts the
 * new one onto out; when it puts nothing, all stays as it is. */
typedef mx_error *data_change_fn(void *arg, mx_str old, struct mx_buf *out);
mx_error *data_change(struct mx_core *core, mx_nid user, mx_nid room, mx_str type,
		      int64_t max_types, data_change_fn *change, void *arg) MX_MUST_USE;
/* The user has come from one room into the one that replaces it: its tags and its being direct are
 * carried over, unless the new room has them. */
void data_succeed(struct mx_module_self *self, struct mx_conn *c, mx_nid user, mx_str user_id,
		  struct mx_room *from, struct mx_room *to);
mx_error *data_set(struct mx_core *core, mx_nid user, mx_nid room, mx_str type,
		   mx_str content) MX_MUST_USE;

/* ---- who is ignored ---- */
struct ignored_cache;
struct ignored_cache *ignored_new(void);
void ignored_free(struct ignored_cache **c);
struct ignored_cache *data_ignored_cache(void);	/* of the running module */
/* After the commit of an m.ignored_user_list. */
void ignored_forget(struct ignored_cache *c, mx_nid user);
mx_error *ignored_list(struct ignored_cache *cache, struct mx_core *core, struct mx_conn *c,
		       mx_nid user, struct mx_arena *a, mx_str **out, size_t *n) MX_MUST_USE;

/* MX_E_FORBIDDEN unless the path's {userId} is who asks. */
mx_error *data_check_owner(struct mx_request *rq) MX_MUST_USE;
/* The nid of the path's {roomId}; 0 where the route has none. */
mx_error *data_room(struct mx_request *rq, mx_nid *room) MX_MUST_USE;

enum mx_outcome data_route_get(struct mx_request *rq);
enum mx_outcome data_route_put(struct mx_request *rq);
enum mx_outcome tags_get(struct mx_request *rq);
enum mx_outcome tags_put(struct mx_request *rq);
enum mx_outcome tags_delete(struct mx_request *rq);

void data_sync(struct mx_module_self *self, const struct mx_sync *sync,
	       enum mx_sync_section section, struct mx_jw *w);

#endif
