/* The server of one process: its parts, and what the modules have registered with it. Each part is
 * opened and closed by core/daemon/server.c, in this order, and is constant in between; a test sets
 * only the parts that it needs. */
#ifndef CORE_RUNTIME_CORE_H
#define CORE_RUNTIME_CORE_H

#include <stdatomic.h>

#include <myelin/module.h>

struct mx_config;
struct mx_modules;
struct mx_generation;
struct mx_control;
struct mx_jobs;
struct mx_durable;
struct mx_leases;
struct mx_pool;
struct mx_http;
struct mx_fetcher;

/* [server] */
struct mx_server_options {
	const char *name, *public_url, *signing_key, *control;
	struct mx_duration drain_timeout;
};
extern const struct mx_option mx_server_option_rows[];
extern const size_t mx_server_option_count;

/* Readers of the current generation count themselves in one of two sets, so that who replaced it
 * can wait until nobody reads the old one any more. Striped: threads do not fight for one cache
 * line. */
enum { MX_READER_STRIPES = 8 };
struct mx_readers {
	_Atomic unsigned set;
	struct mx_reader_stripe {
		_Alignas(64) _Atomic long n[2];
	} stripe[MX_READER_STRIPES];
};

struct mx_core {
	struct mx_config *config;
	struct mx_server_options server;
	struct mx_signing_key *key;
	struct mx_modules *modules;		/* the loader: core/runtime/loader.h */
	struct mx_db *db;
	struct mx_stream *stream;
	struct mx_accounts *accounts;
	struct mx_rooms *rooms;
	struct mx_pool *pool;			/* mx_core_defer */
	struct mx_http *http;
	struct mx_fetcher *fetcher;		/* mx_fetch */
	struct mx_jobs *jobs;
	struct mx_durable *durable;		/* from when the database is open until it is closed */
	struct mx_control *control;
	bool shared;				/* other processes may use the database too */
	struct mx_leases *leases;		/* where they may, while the database is open */
	/* Runs fn(arg) on the main thread and waits for it; NULL: this is the only thread. */
	mx_error *(*on_main)(struct mx_core *core, mx_error *(*fn)(struct mx_core *core, void *arg),
			     void *arg);
	void *main;

	/* What is registered now: core/runtime/registry.h. */
	_Atomic(struct mx_generation *) generation;
	_Atomic uint64_t hooked;		/* bit n: some module fills hook n */
	struct mx_readers readers;
};

/* A core without parts: name becomes [server] name. Tests that need no more use it as it is. */
struct mx_core *mx_core_new(const char *server_name);
void mx_core_free(struct mx_core **core);

#endif
