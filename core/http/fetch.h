/* The client behind myelin/fetch.h: one thread drives all transfers with libcurl's multi
 * interface, which keeps the connections; callers wait for their own. The thread and libcurl
 * itself (two dozen libraries, 4 MiB) come with the first call, so that a server that talks to
 * nobody does not pay for them. */
#ifndef CORE_HTTP_FETCH_CLIENT_H
#define CORE_HTTP_FETCH_CLIENT_H

#include <myelin/fetch.h>
#include <myelin/module.h>

struct mx_fetcher;

/* Section [fetch]. */
struct mx_fetch_options {
	struct mx_list deny_addresses, allow_addresses;
	const char *user_agent, *ca_file, *proxy, *bind;
	int64_t connections, connections_per_host;
	struct mx_duration connect_timeout, stall_timeout, timeout;
	struct mx_size body_limit;
};
extern const struct mx_option mx_fetch_option_rows[];
extern const size_t mx_fetch_option_count;

struct mx_fetch_stats {
	uint64_t requests, failures, received;	/* begun, ended without an answer, bytes of bodies */
	size_t active;
};

/* o and what it points to must outlive the client. MX_E_CONFIG. */
mx_error *mx_fetcher_new(const struct mx_fetch_options *o, struct mx_fetcher **out) MX_MUST_USE;
/* Ends what is under way, and whatever is still asked for, with MX_E_UNAVAILABLE. */
void mx_fetcher_abort(struct mx_fetcher *f);
/* Aborts, waits until every caller has left, and frees. */
void mx_fetcher_free(struct mx_fetcher **f);
void mx_fetcher_stats(const struct mx_fetcher *f, struct mx_fetch_stats *out);

#endif
