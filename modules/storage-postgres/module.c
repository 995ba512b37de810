/* storage-postgres: the database in a PostgreSQL server, which several processes may share. */
#include "config.h"

#include "postgres.h"

const struct mx_option postgres_option_rows[] = {
	MX_OPT(struct postgres_options, connect_wait, .def = "5s", .min = 1000, .max = 600000,
	       .help = "How long one attempt to connect may take."),
	MX_OPT(struct postgres_options, lock_wait, .def = "4s", .min = 100, .max = 600000,
	       .help = "How long to wait for another process's batch; one that has said nothing for half "
		       "of that is paused, and loses it. Less than [database] write_wait."),
};
const size_t postgres_option_count = sizeof(postgres_option_rows) / sizeof(postgres_option_rows[0]);

static const struct mx_provider_row providers[] = {
	{ "storage", "postgres", MX_STORAGE_ABI, &postgres_ops },
};

MX_MODULE(storage_postgres) = {
	MX_MODULE_HEAD("storage-postgres", "1.0", "Keeps everything in a PostgreSQL database"),
	.options = MX_TABLE(postgres_option_rows),
	.options_size = sizeof(struct postgres_options),
	.providers = MX_TABLE(providers),
};
