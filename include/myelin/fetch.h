/* Requests to other servers, over HTTP/1.1 and HTTP/2, on connections that are kept and shared.
 *
 * mx_fetch is straight-line code: it returns when the answer is complete, with its status whatever
 * that is, or says why there is none. The caller's thread waits for as long: handlers that call it
 * have MX_ROUTE_REMOTE. When the server stops, what is under way ends with MX_E_UNAVAILABLE.
 *
 * Certificates are always checked. Addresses of [fetch] deny_addresses (by default everything that
 * is not on the public internet) are refused after the name is resolved, whoever named it: nobody
 * makes this server talk to its own network. Behind [fetch] proxy, resolving and refusing is the
 * proxy's part. */
#ifndef MYELIN_FETCH_H
#define MYELIN_FETCH_H

#include <myelin/error.h>

struct mx_core;

struct mx_fetch_header {
	mx_str name, value;
};

enum mx_fetch_flags {
	MX_FETCH_REDIRECTS = 1 << 0,	/* GET and HEAD: follows five at most, never from https to http */
	MX_FETCH_COMPRESSED = 1 << 1,	/* asks for a compressed answer and unpacks it */
};

/* Why there is no answer. */
enum mx_fetch_failure {
	MX_FETCH_OK = 0,
	MX_FETCH_NAME = 1,		/* the host's name has no address */
	MX_FETCH_CONNECT = 2,		/* nobody answers there */
	MX_FETCH_TLS = 3,		/* no TLS, or a certificate that is not good for this name */
	MX_FETCH_TIMEOUT = 4,		/* too slow: see connect_timeout, stall_timeout, timeout */
	MX_FETCH_TOO_LARGE = 5,		/* the answer: see limit */
	MX_FETCH_DENIED = 6,		/* all its addresses are of [fetch] deny_addresses */
	MX_FETCH_STOPPED = 7,		/* this server is stopping */
	MX_FETCH_CALLER = 8,		/* fill or piece failed, and their error is returned */
	MX_FETCH_REQUEST = 9,		/* the request itself is wrong */
	MX_FETCH_BROKEN = 10,		/* anything else: an answer that is no HTTP, a connection that broke */
};

struct mx_fetch_response {
	uint32_t size;			/* sizeof(struct mx_fetch_response): set it before the call */
	uint32_t failure;		/* enum mx_fetch_failure */
	int status;			/* 0: no answer */
	const struct mx_fetch_header *headers;	/* as they came, without those of redirections; in the arena */
	size_t header_count;
	mx_str body;			/* in the arena */
	mx_str url;			/* where redirections ended; in the arena */
};

struct mx_fetch_request {
	uint32_t size;			/* sizeof(struct mx_fetch_request) */
	uint32_t flags;			/* enum mx_fetch_flags */
	const char *method;		/* NULL: GET */
	mx_str url;			/* http: or https:, without user and password */
	/* "host:port" or "[address]:port" to connect to instead of the url's; the certificate and
	 * the Host header are still the url's. Empty: the url's. */
	mx_str connect_to;
	const struct mx_fetch_header *headers;	/* Host and Content-Type among them replace the usual */
	size_t header_count;
	mx_str body;
	/* Instead of body, a body in pieces: called until *n is 0 to write up to `space` bytes. Runs
	 * on the caller's thread and may block. fill_size: how much there will be, -1 when that is
	 * not known. See mx_fetch_fill_file. */
	mx_error *(*fill)(void *arg, char *out, size_t space, size_t *n);
	void *fill_arg;
	int64_t fill_size;
	/* Instead of collecting the body of an answer of status 2xx: called with each piece of it.
	 * Runs on the caller's thread and may block: then the sender waits. The head of the response
	 * is filled in. */
	mx_error *(*piece)(void *arg, const struct mx_fetch_response *head, mx_str piece);
	void *piece_arg;
	uint64_t limit;			/* the most bytes of the answer's body; 0: [fetch] body_limit */
	/* How long it may take to connect, nothing may move, and all may take. 0: [fetch]'s. */
	mx_msec connect_timeout, stall_timeout, timeout;
};

/* rs->status tells whether the other server was content. Errors: MX_E_REMOTE, with what happened
 * in words and rs->failure for machines; MX_E_INVALID_PARAM for a wrong request; MX_E_UNAVAILABLE
 * when this server stops; what fill or piece returned. */
MX_API mx_error *mx_fetch(struct mx_core *core, const struct mx_fetch_request *rq,
			  struct mx_arena *arena, struct mx_fetch_response *rs) MX_MUST_USE;

/* The first header of that name, in letters of either case; {NULL, 0} when absent. */
MX_API mx_str mx_fetch_response_header(const struct mx_fetch_response *rs, const char *name);

/* For fill: reads the file descriptor (an int) that arg points to, from where it stands. */
MX_API mx_error *mx_fetch_fill_file(void *arg, char *out, size_t space, size_t *n) MX_MUST_USE;

#endif
