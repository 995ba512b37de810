/* storage-sqlite: the database in one file beside the server. */
#include "config.h"

#include "sqlite.h"

const struct mx_option sqlite_option_rows[] = {
	MX_OPT(struct sqlite_options, synchronous, .def = "full", .choices = "full|relaxed",
	       .help = "full: what was acknowledged survives a power cut. relaxed: only a crash of "
		       "the server."),
	MX_OPT(struct sqlite_options, reader_cache, .def = "256K", .min = 16384, .max = 1 << 30,
	       .help = "Page cache of each connection for reading."),
	MX_OPT(struct sqlite_options, writer_cache, .def = "4M", .min = 65536, .max = 1 << 30,
	       .help = "Page cache of the writer's connection."),
	MX_OPT(struct sqlite_options, wal, .def = "2M", .min = 65536, .max = 1 << 30,
	       .help = "Size of the write-ahead log from which on it is copied into the database."),
	MX_OPT(struct sqlite_options, mmap, .def = "0", .min = 0, .max = INT64_C(1) << 40,
	       .help = "How much of the file connections for reading map into memory."),
	MX_OPT(struct sqlite_options, busy, .def = "5s", .min = 1, .max = 600000,
	       .help = "How long to wait while another program holds the database."),
};
const size_t sqlite_option_count = sizeof(sqlite_option_rows) / sizeof(sqlite_option_rows[0]);

static const struct mx_provider_row providers[] = {
	{ "storage", "sqlite", MX_STORAGE_ABI, &sqlite_ops },
};

MX_MODULE(storage_sqlite) = {
	MX_MODULE_HEAD("storage-sqlite", "1.0", "Keeps everything in one SQLite file"),
	.options = MX_TABLE(sqlite_option_rows),
	.options_size = sizeof(struct sqlite_options),
	.providers = MX_TABLE(providers),
};
