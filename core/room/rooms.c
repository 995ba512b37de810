#include "config.h"

#include "core/room/rooms.h"

#include "core/room/acl.h"
#include "core/room/crew.h"
#include "core/room/cover.h"
#include "core/room/engine.h"
#include "core/room/erasure.h"
#include "core/sql/db.h"
#include "core/room/merge.h"

#include <stdlib.h>

const struct mx_option mx_rooms_option_rows[] = {
	MX_OPT(struct mx_rooms_options, default_version, .def = "12",
	       .help = "The version of rooms that are made without naming one."),
	MX_OPT(struct mx_rooms_options, creatable_versions, .def = "",
	       .help = "Versions that users may make rooms of; none: every stable one. Rooms of "
		       "other versions can be taken part in all the same."),
	MX_OPT(struct mx_rooms_options, event_cache, .def = "16M", .min = 65536,
	       .max = INT64_C(1) << 40, .help = "Memory for events."),
	MX_OPT(struct mx_rooms_options, state_cache, .def = "8M", .min = 65536,
	       .max = INT64_C(1) << 40, .help = "Memory for nodes of state trees."),
	MX_OPT(struct mx_rooms_options, room_cache, .def = "2048", .min = 1, .max = 10000000,
	       .help = "Rooms kept in memory; those in use are kept beyond it."),
	MX_OPT(struct mx_rooms_options, room_tail, .def = "64", .min = 8, .max = 4096,
	       .help = "Newest events of a room in memory whose order is known without asking the "
		       "database."),
	MX_OPT(struct mx_rooms_options, max_state, .def = "500000", .min = 100, .max = 100000000,
	       .help = "State events that one room may have, its members included."),
	MX_OPT(struct mx_rooms_options, keep_redacted, .def = "0",
	       .help = "For how long the content of redacted events is kept for those who look after "
		       "the server (\"myelinctl room show-redacted\"); 0: it goes at once."),
	MX_OPT(struct mx_rooms_options, max_extremities, .def = "100", .min = 2, .max = 10000,
	       .help = "Branches of a room, made by servers that write at the same time, that are "
		       "kept in mind; beyond it the oldest are left to others to join."),
	MX_OPT(struct mx_rooms_options, dummy_events, .def = "10", .min = 0, .max = 10000,
	       .help = "When a room has more branches than this, a member of this server joins them "
		       "with an event that clients do not see; 0: never."),
	MX_OPT(struct mx_rooms_options, max_waiting, .def = "20000", .min = 10, .max = 10000000,
	       .help = "Events of other servers kept until the events before them arrive; beyond it "
		       "the oldest go."),
	MX_OPT(struct mx_rooms_options, max_waiting_room, .def = "1000", .min = 10, .max = 1000000,
	       .help = "The same for one room."),
	MX_OPT(struct mx_rooms_options, max_conflict, .def = "10000", .min = 100, .max = 10000000,
	       .help = "Entries in which states of a room that come together may differ."),
	MX_OPT(struct mx_rooms_options, merge_cache, .def = "256", .max = 65536,
	       .help = "States made of several that are kept in mind, each up to 6 KiB; 0: none."),
};
const size_t mx_rooms_option_count = sizeof(mx_rooms_option_rows) / sizeof(mx_rooms_option_rows[0]);

static const struct mx_rooms_options DEFAULTS = {
	.event_cache = { 16 << 20 },
	.state_cache = { 8 << 20 },
	.room_cache = 2048,
	.room_tail = 64,
	.max_state = 500000,
	.max_extremities = 100,
	.dummy_events = 10,
	.max_waiting = 20000,
	.max_waiting_room = 1000,
	.max_conflict = 10000,
	.merge_cache = 256,
};

#define KEEP_TXNS 4096

static mx_error *
load_events(void *rooms, struct mx_conn *c, const mx_nid *nids, size_t n, struct mx_events *out)
{
	return mx_events_load(rooms, c, nids, n, out);
}

static bool
may_create(const struct mx_rooms_options *o, const struct mx_room_version *v)
{
	for (size_t i = 0; i < o->creatable_versions.n; i++)
		if (mx_str_eq(v->name, mx_str_of(o->creatable_versions.v[i])))
			return true;
	return o->creatable_versions.n == 0 && v->stable;
}

/* Which versions there are to choose from, and which is chosen when nobody does. */
static mx_error *
read_versions(const struct mx_rooms_options *o, struct mx_version_choice *out)
{
	const struct mx_room_version *v = mx_room_version_default();
	size_t n = 0;

	for (size_t i = 0; i < o->creatable_versions.n; i++)
		if (mx_room_version_find(mx_str_of(o->creatable_versions.v[i])) == NULL)
			return mx_error_new(MX_E_CONFIG,
					    "[rooms] creatable_versions: this server does not know "
					    "version %s",
					    o->creatable_versions.v[i]);
	if (o->default_version != NULL && o->default_version[0] != '\0')
		v = mx_room_version_find(mx_str_of(o->default_version));
	if (v == NULL)
		return mx_error_new(MX_E_CONFIG,
				    "[rooms] default_version = %s: this server does not know that "
				    "version",
				    o->default_version);
	if (!may_create(o, v))
		return mx_error_new(MX_E_CONFIG,
				    "[rooms] default_version = %.*s is not among "
				    "creatable_versions",
				    MX_SFMT(v->name));
	out->usual = v;
	for (size_t i = 0; (v = mx_room_version_at(i)) != NULL; i++)
		if (may_create(o, v))
			out->v[n++] = v;
	return NULL;
}

mx_error *
mx_rooms_check_versions(const struct mx_rooms_options *options)
{
	return read_versions(options, &(struct mx_version_choice){ { NULL }, NULL });
}

mx_error *
mx_rooms_open(const struct mx_rooms_config *config, struct mx_rooms **out)
{
	const struct mx_rooms_options *o = config->options != NULL ? config->options : &DEFAULTS;
	struct mx_version_choice versions = { { NULL }, NULL };

	*out = NULL;
	MX_TRY(read_versions(o, &versions));
	MX_TRY(mx_migrate_set(config->db, &mx_rooms_tables));
	struct mx_rooms *rs = mx_alloc(sizeof(*rs));

	rs->db = config->db;
	rs->stream = config->stream;
	rs->key = config->key;
	rs->server = mx_str_dup(config->server_name);
	rs->server_n = config->server_name.n;
	rs->opt = *o;
	rs->opt.default_version = NULL;
	if (rs->opt.max_conflict == 0)
		rs->opt.max_conflict = DEFAULTS.max_conflict;
	rs->opt.creatable_versions = (struct mx_list){ NULL, 0 };
	rs->versions = versions;
	if (rs->opt.max_extremities == 0)
		rs->opt.max_extremities = DEFAULTS.max_extremities;
	if (rs->opt.max_waiting == 0)
		rs->opt.max_waiting = DEFAULTS.max_waiting;
	if (rs->opt.max_waiting_room == 0)
		rs->opt.max_waiting_room = DEFAULTS.max_waiting_room;
	rs->event_check = config->event_check;
	rs->event_stored = config->event_stored;
	rs->arg = config->arg;
	rs->verify_key = config->verify_key;
	rs->verify_arg = config->verify_arg;
	rs->crews = mx_crews_new();
	rs->acls = mx_acl_cache_new();
	rs->erasures = mx_erasures_new();
	rs->nodes = mx_node_cache_new((size_t)o->state_cache.bytes);
	rs->events = mx_event_cache_new((size_t)o->event_cache.bytes);
	rs->txns = mx_txn_table_new(KEEP_TXNS);
	rs->covers = mx_cover_recent_new();
	rs->merges = mx_merge_memory_new((size_t)o->merge_cache);
	pthread_mutex_init(&rs->lock, NULL);
	pthread_cond_init(&rs->loaded, NULL);
	mx_stream_on_foreign(rs->stream, mx_rooms_foreign, load_events, rs);
	mx_error *e = mx_cover_fill(rs);

	if (e != NULL)
		mx_rooms_close(&rs);
	*out = rs;
	return e;
}

void
mx_rooms_close(struct mx_rooms **rsp)
{
	struct mx_rooms *rs = *rsp;

	if (rs == NULL)
		return;
	mx_stream_on_foreign(rs->stream, NULL, NULL, NULL);
	mx_crews_free(&rs->crews);
	mx_acl_cache_free(&rs->acls);
	mx_erasures_free(&rs->erasures);
	for (size_t i = 0; i < MX_WARM_ROOMS; i++)
		mx_room_unref(&rs->warm[i]);
	mx_rooms_drop_all(rs);
	mx_nidmap_clear(&rs->by_nid);
	mx_txn_table_free(&rs->txns);
	mx_cover_recent_free(&rs->covers);
	mx_merge_memory_free(&rs->merges);
	mx_event_cache_free(&rs->events);
	mx_node_cache_free(&rs->nodes);
	pthread_cond_destroy(&rs->loaded);
	pthread_mutex_destroy(&rs->lock);
	free(rs->server);
	free(rs);
	*rsp = NULL;
}

const struct mx_room_version *
mx_rooms_version(const struct mx_rooms *rs, size_t n)
{
	return n < MX_ROOM_VERSIONS ? rs->versions.v[n] : NULL;
}

const struct mx_room_version *
mx_rooms_default_version(const struct mx_rooms *rs)
{
	return rs->versions.usual;
}

mx_str
mx_rooms_server_name(const struct mx_rooms *rs)
{
	return mx_rooms_server(rs);
}

void
mx_rooms_stats(struct mx_rooms *rs, struct mx_rooms_stats *out)
{
	*out = (struct mx_rooms_stats){ .sent = atomic_load(&rs->sent),
					.conflicts = atomic_load(&rs->conflicts) };
	for (size_t f = 0; f < MX_FATE_COUNT; f++)
		for (size_t k = 0; k < MX_REASON_COUNT; k++)
			out->arrived[f][k] = atomic_load(&rs->arrived[f][k]);
	mx_event_cache_stats(rs->events, &out->event_hits, &out->event_misses, &out->event_bytes);
	mx_node_cache_stats(rs->nodes, &out->node_hits, &out->node_misses, &out->node_bytes);
	pthread_mutex_lock(&rs->lock);
	out->rooms = rs->room_count;
	pthread_mutex_unlock(&rs->lock);
}
