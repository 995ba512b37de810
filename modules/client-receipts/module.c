/* Receipts and read markers. Client-Server API, "Receipts" and "Fully read markers". */
#include "receipts.h"

static const struct mx_migration migrations[] = {
	{ 1, "receipts",
	  "CREATE TABLE client_receipt (\n"
	  "	room BIGINT NOT NULL,\n"
	  "	reader BIGINT NOT NULL,\n"
	  "	private BIGINT NOT NULL,\n"
	  "	thread TEXT NOT NULL,\n"
	  "	event_id TEXT NOT NULL,\n"
	  "	event BIGINT NOT NULL,\n"
	  "	ts BIGINT NOT NULL,\n"
	  "	pos BIGINT NOT NULL,\n"
	  "	PRIMARY KEY (room, reader, private, thread)\n"
	  ") {unkeyed};\n"
	  "CREATE INDEX client_receipt_pos ON client_receipt (room, pos)" },
};

static const struct mx_route routes[] = {
	{ "POST", "/_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}",
	  receipts_post, MX_AUTH_USER, MX_RATE_WRITE, 0, 0 },
	{ "POST", "/_matrix/client/v3/rooms/{roomId}/read_markers", receipts_markers, MX_AUTH_USER,
	  MX_RATE_WRITE, 0, 0 },
};

/* Private receipts came with v1.4: below it clients look here for them. */
static void
versions(struct mx_module_self *self, json_t *list, json_t *unstable_features)
{
	(void)self;
	(void)list;
	json_object_set_new(unstable_features, "org.matrix.msc2285.stable", json_true());
}

static const struct mx_hook_row hooks[] = {
	MX_ON(versions, MX_PRIO_NORMAL, versions),
	MX_ON(sync_section, MX_PRIO_NORMAL, receipts_sync),
};

MX_MODULE(client_receipts) = {
	MX_MODULE_HEAD("client-receipts", "1.0", "Receipts and read markers"),
	.requires = "?account-data>=1",
	.migrations = MX_TABLE(migrations),
	.routes = MX_TABLE(routes),
	.hooks = MX_TABLE(hooks),
};
