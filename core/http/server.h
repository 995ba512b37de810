/* The HTTP/1.1 server: listeners, connections, requests from their first byte to their answer.
 * See myelin/request.h for what handlers see of it.
 *
 * I/O threads own the connections; handlers run in pools of workers by their route's flags. A
 * connection holds buffers only while bytes are in flight, a parked request only what its next
 * run needs. */
#ifndef CORE_HTTP_SERVER_H
#define CORE_HTTP_SERVER_H

#include <myelin/module.h>

#include "core/http/router.h"
#include "core/runtime/pool.h"

struct mx_http;

/* Section [http]. */
struct mx_http_options {
	struct mx_list listen, trusted_proxies;
	const char *unix_mode, *tls_certificate, *tls_key;
	int64_t io_threads, workers, remote_workers, upload_workers, cpu_workers;
	int64_t backlog, max_connections, max_connections_per_address, max_queue;
	struct mx_size body_limit, header_limit, uri_limit;
	int64_t header_count;
	struct mx_duration header_timeout, body_timeout, write_timeout, idle_timeout;
	bool rate_limits;
	int64_t rate_table;
	struct mx_duration read_every, write_every, login_every, register_every;
	int64_t read_burst, write_burst, login_burst, register_burst;
};
extern const struct mx_option mx_http_option_rows[];
extern const size_t mx_http_option_count;

/* What the server asks of the rest of the core. Any may be NULL but authenticate and release go
 * together. */
struct mx_http_hooks {
	void *arg;
	/* Returns when everything that a client may know of is known here: before anything else is
	 * asked for a request. Runs on a worker and may block. */
	mx_error *(*fresh)(void *arg);
	/* Who has this token: *out is a reference that release gives back. Runs on a worker and
	 * may block. Locked and suspended users are found too: the server looks at the route. */
	mx_error *(*authenticate)(void *arg, struct mx_request *rq, mx_str token,
				  const struct mx_auth **out);
	/* The same from memory, without blocking, for I/O threads. False when memory does not know,
	 * or when `fresh` would have to ask others first. May be NULL. */
	bool (*known)(void *arg, struct mx_request *rq, mx_str token, const struct mx_auth **out);
	void (*release)(void *arg, const struct mx_auth *auth);
	/* False when the token's owner has changed since: asked before a request waits, which who
	 * changes it afterwards has to wake. From memory. NULL: always true. */
	bool (*current)(void *arg, const struct mx_auth *auth);
	/* A read connection for one run of a handler. Never NULL: one that could not be had
	 * carries its error. */
	struct mx_conn *(*conn_get)(void *arg);
	void (*conn_put)(void *arg, struct mx_conn *c);
	/* Where several processes serve: tells the others of it, who give it to mx_http_told. Never
	 * blocks. May be NULL; rate_secret is the same in all of them. */
	void (*tell)(void *arg, mx_str text);
	unsigned char rate_secret[16];
	/* mx_self_pin and mx_self_unpin. */
	void (*pin)(struct mx_module_self *self);
	void (*unpin)(struct mx_module_self *self);
};

/* A listening socket: as it stands in [http] listen, or "inherited:" or "inherited:tls" when a
 * service manager has opened it. */
struct mx_http_socket {
	const char *word;
	int fd;
};

struct mx_http_stats {
	uint64_t connections;			/* accepted since the start */
	uint64_t refused;			/* at a limit of connections */
	uint64_t requests[6];			/* answered, by the status's first digit; [0]: client gone before */
	uint64_t limited;			/* by a rate limit */
	size_t open, active, parked;		/* now: connections, requests being worked on, requests that wait */
	size_t queued_local, queued_remote, queued_cpu, queued_upload;
};

/* o and what it points to must outlive the server. MX_E_CONFIG. */
mx_error *mx_http_new(struct mx_core *core, const struct mx_http_options *o,
		      const struct mx_http_hooks *hooks, struct mx_http **out) MX_MUST_USE;
/* Takes a reference of r; at once for requests that come in from now on, also before the start.
 * When it returns, no request that has not pinned its module can still be found in the router
 * before. */
void mx_http_set_router(struct mx_http *h, struct mx_router *r);
/* Sockets of another process, for those of [http] listen that they fit; takes the descriptors.
 * Before the start. */
void mx_http_inherit(struct mx_http *h, const struct mx_http_socket *v, size_t n);
/* The listening sockets; borrowed. At most `most`. */
size_t mx_http_sockets(const struct mx_http *h, struct mx_http_socket *v, size_t most);
/* The sockets are another process's from now on: their files stay, and a drain gives who has just
 * connected, or keeps a connection, the time to ask. */
void mx_http_hand_over(struct mx_http *h);
/* Opens the listeners (or takes those of LISTEN_FDS) and starts the threads. MX_E_CONFIG. */
mx_error *mx_http_start(struct mx_http *h) MX_MUST_USE;
/* New values for what may change while running (MX_OPT_RELOAD), and the certificate read anew. */
mx_error *mx_http_reload(struct mx_http *h, const struct mx_http_options *o) MX_MUST_USE;
/* Stops accepting, reruns what is parked, waits for what runs, for so long at most. True when all is
 * done. */
bool mx_http_drain(struct mx_http *h, mx_msec most);
/* Closes everything and frees the server. Who has not drained it is not waited for. */
void mx_http_stop(struct mx_http **h);

/* What another process has told. Any thread. */
void mx_http_told(struct mx_http *h, mx_str text);

void mx_http_stats(struct mx_http *h, struct mx_http_stats *out);
/* The port of the nth listener, 0 when it has none: for ":0". */
uint16_t mx_http_port(const struct mx_http *h, size_t nth);
/* The pool that runs routes with these flags. Lives until mx_http_stop. */
struct mx_pool *mx_http_pool(struct mx_http *h, uint32_t route_flags);

#endif
