/* What the files of the server share. Three objects, and who may touch them:
 *
 * - An I/O thread (mx_io) has an event base, a wheel of deadlines, and links. Others reach it by
 *   messages only.
 * - A link is a client's connection. It belongs to its I/O thread, except while LINK_BUSY is set
 *   in its state: then it belongs, with its request, to whoever works on the request (a worker,
 *   or nobody while it is parked). Only its I/O thread frees it, and never while it is busy.
 * - A request belongs to its link while it is read, then to who works on it. While it is parked,
 *   whoever moves link->park from PARK_WAITING to PARK_CLAIMED owns it. */
#ifndef CORE_HTTP_INTERNAL_H
#define CORE_HTTP_INTERNAL_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/http/address.h"
#include "core/http/parse.h"
#include "core/http/rate.h"
#include "core/http/server.h"
#include "core/http/wheel.h"

struct bufferevent;
struct mx_guests;
struct mx_upload;
struct mx_tls;
struct mx_io;

enum {
	MX_UNKNOWN_BODY = 64 * 1024,	/* the most body that is taken from who has not said who it is */
	MX_SCRATCH = 64 * 1024,
	MX_TURN = 64,			/* requests of one link before others get a turn */
};

/* ---- a link ---- */

enum link_state {			/* bits */
	LINK_BUSY = 1,
	LINK_READABLE = 2,		/* more may have come since the last read */
	LINK_GONE = 4,			/* the client has closed its end */
};

enum link_phase {
	PHASE_IDLE = 0,			/* between requests */
	PHASE_HEAD = 1,
	PHASE_BODY = 2,
	PHASE_BUSY = 3,
	PHASE_WRITE = 4,
	PHASE_LINGER = 5,		/* answered early: what still comes is thrown away */
	PHASE_CLOSED = 6,		/* mx_link_run frees it */
	PHASE_UPLOAD = 7,		/* its handler waits for more of the body */
};

enum link_todo {			/* why a link is in the queue of its I/O thread */
	TODO_ADOPT = 1,			/* it was accepted by another thread */
	TODO_RESUME = 2,		/* its request is answered */
	TODO_OUTPUT = 3,		/* its request has an answer to be written */
	TODO_BODY = 4,			/* its sender is known: go on reading the body */
	TODO_THEN = 5,			/* what its held request waited for has happened */
	TODO_READ = 6,			/* its handler wants more of the body */
};

enum park_state {			/* the low bits of link->park; the others count the parkings */
	PARK_RUNNING = 0,
	PARK_ASKED = 1,			/* mx_request_suspend was called, the handler has not returned */
	PARK_EARLY = 2,			/* and was woken already */
	PARK_LOST = 3,			/* and the client is gone already */
	PARK_WAITING = 4,
	PARK_CLAIMED = 5,
	PARK_MASK = 7,
	PARK_ONE = 8,
};

struct mx_input {			/* bytes that were read and are not part of a request yet */
	uint32_t len, parsed, cap;
	struct mx_head head;
	char bytes[];
};

struct mx_out {				/* what could not be written at once */
	struct event ev;
	struct mx_buf *body;
	size_t head_at, head_n, body_at, body_n;
	char head[];
};

struct mx_link {
	struct event ev;		/* edge-triggered, registered once; not while TLS reads */
	struct mx_io *io;
	struct mx_request *rq;
	struct mx_link *next, **prev;	/* the links of the I/O thread */
	struct mx_link *next_message;
	struct mx_wheel_entry timer;	/* always in the wheel, at or before what is due; under io->wheel_lock */
	int64_t park_deadline;		/* of the parking that park_count tells; under io->wheel_lock */
	uint32_t park_count;
	uint32_t thrown_away;		/* bytes, in PHASE_LINGER */
	int64_t deadline;		/* of the phase */
	struct mx_input *in;
	struct mx_out *out;
	struct bufferevent *tls;
	struct mx_parse parse;
	_Atomic uint32_t state;
	_Atomic uint32_t park;
	int fd;
	uint64_t guest;			/* what is counted for it, or 0 */
	struct mx_address peer;
	uint8_t phase, todo;
	bool closing;			/* after the answer */
	bool unread;			/* its request's body was not read to the end */
	bool asked;			/* there was a request on it */
	bool is_tls, tls_ended;
};

/* ---- a request ---- */

struct mx_headers {
	const char *base;
	unsigned n;
	struct {
		struct mx_span name, value;
	} v[];
};

struct mx_asked {			/* what was asked, in one block of memory */
	mx_str path, query, token;
	struct mx_headers *headers;	/* behind the parameters */
	unsigned n_params;
	struct {
		const char *name;	/* of the router */
		mx_str value;		/* decoded */
	} params[];
};

struct mx_answer {
	int status;			/* 0: none yet */
	const char *type;
	struct mx_buf *body, *headers;
};

struct mx_run {				/* what a request has while a thread works on it; on that thread's stack */
	struct mx_conn *conn;
	struct mx_module_self *self;	/* pinned, so that its code outlives a request that was held */
};

struct mx_request {
	struct mx_pool_job job;
	struct mx_link *link;
	struct mx_http *http;
	struct mx_router *router;
	const struct mx_route *route;	/* NULL: the server itself answers */
	struct mx_module_self *self;
	struct mx_asked *asked;
	struct mx_arena *arena;
	const struct mx_auth *auth;
	struct mx_run *run;
	json_t *json;
	void *data;
	void (*on_end)(struct mx_request *rq, void *arg);
	void *on_arg;
	mx_handler *then;		/* of a held one */
	mx_error *refusal;		/* decided before the body was read */
	struct mx_answer answer;
	struct mx_upload *upload;	/* of a route with MX_ROUTE_STREAM */
	char *body;
	uint32_t body_n, body_cap, body_limit;
	mx_msec arrived;
	int64_t arrived_us;		/* mx_monotonic_us */
	int64_t begun;			/* monotonic: for the body's deadline and the log */
	int64_t deadline;		/* of its parking */
	struct mx_address address;
	uint8_t method;			/* enum http_method */
	uint8_t http_minor;
	bool keep_alive, chunked, expects;
	bool known;			/* authenticated, or needs not be */
	bool asking;			/* on a worker only to be authenticated */
	bool fresh;			/* what others had committed when it came is known here */
	bool admitted;			/* authenticated and counted by the rate limits */
	bool again;
	bool suspended;
	bool on_trial;			/* of this run: mx_request_on_trial */
	bool drained;			/* this run began after the server began to drain */
	char address_text[MX_ADDRESS_TEXT];
};

/* ---- an I/O thread ---- */

enum io_command { IO_DRAIN = 1, IO_QUIET = 2, IO_STOP = 4 };

struct mx_io {
	struct mx_http *http;
	unsigned number;
	pthread_t thread;
	struct event_base *base;
	struct event wakeup, tick;
	int wakeup_fd;
	_Atomic(struct mx_link *) messages;
	_Atomic uint32_t commands;
	bool quiet;			/* nothing is taken in any more */
	bool draining;
	bool gentle;			/* while it drains: who has connected may still ask */
	struct mx_link *links;
	struct mx_input *scratch;

	pthread_mutex_t wheel_lock;
	struct mx_wheel wheel;
	int64_t armed;			/* when `tick` fires; under wheel_lock */
	_Atomic bool rearm;		/* something sooner was put in by another thread */

	pthread_mutex_t router_lock;
	struct mx_router *router;

	_Atomic uint64_t requests[6], limited, accepted, refused;
};

struct mx_listener {
	int fd;
	bool is_tls, is_unix;
	struct event ev, pause;
	struct mx_http *http;
	char *path;			/* of a Unix socket that we made */
	char *word;			/* of [http] listen */
};

struct mx_http {
	struct mx_core *core;
	const struct mx_http_options *o;
	struct mx_http_hooks hooks;
	struct mx_parse_limits limits;
	int64_t header_timeout, body_timeout, write_timeout, idle_timeout;	/* microseconds */
	struct mx_rates *rates;
	_Atomic bool rate_limits;
	struct mx_networks *trusted;
	struct mx_guests *guests;
	struct mx_tls *tls;
	struct mx_pool *local, *remote, *cpu;
	struct mx_pool *upload;		/* made when it is first needed; under the lock */
	struct mx_io *ios;
	unsigned n_ios, next_io;
	struct mx_listener *listeners;
	size_t n_listeners;
	struct mx_http_socket *handed;	/* from another process; fd -1: in use */
	size_t n_handed;
	unsigned n_started;
	_Atomic bool draining, handed_over;
	_Atomic size_t open, active, parked, held;
	pthread_mutex_t lock;		/* for the condition: no link is open, all threads are quiet, none is held */
	pthread_cond_t changed;
	unsigned n_quiet;
};

/* io.c */
mx_error *mx_io_init(struct mx_io *io, struct mx_http *h, unsigned number) MX_MUST_USE;
mx_error *mx_io_start(struct mx_io *io) MX_MUST_USE;
void mx_io_command(struct mx_io *io, enum io_command c);
void mx_io_join(struct mx_io *io);
void mx_io_free(struct mx_io *io);
/* By the link's owner, who gives it away with it. */
void mx_io_post(struct mx_link *l, enum link_todo todo);
/* The deadline of a phase; by the I/O thread. */
void mx_io_deadline(struct mx_link *l, int64_t at);
/* The deadline of a parked request; by any thread. */
void mx_io_park_deadline(struct mx_link *l, int64_t at);

/* link.c: by the I/O thread */
struct mx_link *mx_link_new(struct mx_io *io, int fd, bool is_tls, const struct mx_address *peer,
			    uint64_t guest);
mx_error *mx_link_adopt(struct mx_link *l) MX_MUST_USE;
/* Reads and answers what there is. The link may be freed; nothing else but a timeout and the
 * peer's end frees one. */
void mx_link_run(struct mx_link *l);
void mx_link_event(struct mx_link *l, uint32_t bits);
void mx_link_body(struct mx_link *l);		/* TODO_BODY */
void mx_link_read(struct mx_link *l);		/* TODO_READ */
/* A link that its I/O thread does not want any more: frees it, or has its handler told. */
void mx_link_drop(struct mx_link *l, enum mx_code code, const char *why);
void mx_link_timeout(struct mx_link *l);
void mx_link_linger(struct mx_link *l);		/* it is to be closed, so that its answer arrives; then run it */
void mx_link_free(struct mx_link *l);
bool mx_link_is_mine(const struct mx_link *l);	/* on the I/O thread and not busy */

/* output.c */
/* Writes the answer of rq, gives the link back and frees rq. By who works on it; on_io: that is
 * the I/O thread, which then finds the link its own again or will get a message. */
void mx_answer_send(struct mx_request *rq, bool on_io);
void mx_link_output(struct mx_link *l);		/* TODO_OUTPUT */
void mx_link_resume(struct mx_link *l);		/* TODO_RESUME */
void mx_link_written(struct mx_link *l);	/* its output has left */
void mx_link_text(struct mx_link *l, mx_str text);	/* a few bytes, while nothing waits to be written */
/* Answers what could not even be read. The link is to be closed; then run it. */
void mx_link_refuse(struct mx_link *l, uint16_t status);
void mx_out_free(struct mx_out **out);

/* server.c */
void mx_http_less(struct mx_http *h, _Atomic size_t *n);	/* one fewer is open, active or held */

/* request.c */
struct mx_request *mx_request_new(struct mx_link *l, const struct mx_input *in);
void mx_request_free(struct mx_request **rq);
/* Frees what the next run does not need. */
void mx_request_shrink(struct mx_request *rq);
/* Before a run waits for somebody outside. */
void mx_request_conn_back(struct mx_request *rq);

/* run.c */
/* The body is complete: has rq answered. The link is busy from here on. */
void mx_request_dispatch(struct mx_request *rq);
/* Sends rq to a worker to be authenticated before more of its body is read. */
void mx_request_ask(struct mx_request *rq);
/* By the I/O thread, while the link is busy. */
void mx_request_lost(struct mx_link *l);	/* the client is gone */
void mx_request_expired(struct mx_link *l, uint32_t now);	/* now: l->park when its deadline was looked at */
void mx_request_drain(struct mx_link *l);
void mx_request_then(struct mx_link *l);	/* TODO_THEN */

/* upload.c: by the I/O thread */
void mx_upload_begin(struct mx_request *rq, struct mx_input *in);	/* with what came with the head */
void mx_upload_feed(struct mx_request *rq, struct mx_input *in);
bool mx_upload_has(const struct mx_request *rq);	/* something for the handler */
void mx_upload_fail(struct mx_request *rq, enum mx_code code, const char *why);	/* why: a constant */
int64_t mx_upload_wait(struct mx_request *rq);	/* begins to wait; until when */
void mx_upload_give(struct mx_request *rq);	/* wakes the handler, whose the link is then */
/* By who has the request. */
bool mx_upload_unread(const struct mx_request *rq);
void mx_upload_free(struct mx_upload **u);

/* reply.c */
/* The answer's head into out: everything but the module's headers and the empty line. */
enum { MX_HEAD_BYTES = 640 };
size_t mx_answer_head(const struct mx_request *rq, bool keep_alive, char out[MX_HEAD_BYTES]);
void mx_answer_error(struct mx_request *rq, mx_error *e);

/* tls.c */
mx_error *mx_tls_new(const struct mx_http_options *o, struct mx_tls **out) MX_MUST_USE;
mx_error *mx_tls_reload(struct mx_tls *t, const struct mx_http_options *o) MX_MUST_USE;
void mx_tls_free(struct mx_tls **t);
mx_error *mx_tls_adopt(struct mx_link *l) MX_MUST_USE;
ssize_t mx_tls_read(struct mx_link *l, void *p, size_t n);	/* as recv */
void mx_tls_write(struct mx_link *l, struct mx_out **out);	/* takes it */
void mx_tls_text(struct mx_link *l, mx_str text);
/* Tells the client that no more comes, and leaves the socket to the link: nothing is read here any
 * more. */
void mx_tls_finish(struct mx_link *l);
void mx_tls_close(struct mx_link *l);

/* listen.c */
mx_error *mx_listen_open(struct mx_http *h) MX_MUST_USE;
void mx_listen_start(struct mx_http *h);	/* before its I/O thread runs */
void mx_listen_stop(struct mx_http *h);		/* on the first I/O thread */
void mx_listen_close(struct mx_http *h);
void mx_listen_forget(struct mx_http *h);	/* what was handed to us and is not used */

/* guests.c: how many connections each address has */
struct mx_guests *mx_guests_new(void);
void mx_guests_free(struct mx_guests **g);
bool mx_guests_enter(struct mx_guests *g, uint64_t key, int64_t most);
void mx_guests_leave(struct mx_guests *g, uint64_t key);

#endif
