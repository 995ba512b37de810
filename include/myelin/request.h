/* A request, as its handler sees it. Handlers are straight-line code on a worker thread: they read
 * what they need, may block on the database, answer exactly once, and return. A request that waits
 * for something to happen is not a thread: its handler returns what mx_stream_park (stream.h) gave
 * it, and runs again when it is woken or its time is up. Everything borrowed from a request lives
 * until its answer. */
#ifndef MYELIN_REQUEST_H
#define MYELIN_REQUEST_H

#include <myelin/error.h>
#include <myelin/json.h>

struct mx_request;
struct mx_module_self;
struct mx_core;
struct mx_conn;

enum mx_outcome {
	MX_DONE = 0,		/* answered */
	MX_PARK = 1,		/* parked: the handler runs again later */
	MX_HELD = 2,		/* held: answered by what mx_request_hold named */
	MX_AGAIN = 3,		/* of that, or of a handler on trial (MX_ROUTE_TRY): it runs anew on a worker */
};

/* Who asks. Immutable and reference-counted by account/; a request holds one. */
struct mx_auth {
	mx_nid user;			/* the name nid of the user id */
	mx_str user_id;
	mx_nid device;			/* 0 for none (guests of appservices, admin tools) */
	mx_str device_id;
	mx_nid token;			/* the row of the access token */
	bool admin, guest, locked, suspended;
};

enum mx_auth_need {
	MX_AUTH_NONE = 0,
	MX_AUTH_OPTIONAL = 1,		/* a bad token is still refused */
	MX_AUTH_USER = 2,		/* guests are refused */
	MX_AUTH_GUEST = 3,		/* users and guests */
	MX_AUTH_ADMIN = 4,
};

enum mx_rate_class {			/* limits for each class are options of [http] */
	MX_RATE_NONE = 0,
	MX_RATE_READ = 1,
	MX_RATE_WRITE = 2,		/* sending, state, joins */
	MX_RATE_LOGIN = 3,		/* by address and by account */
	MX_RATE_REGISTER = 4,
};

enum mx_route_flags {
	MX_ROUTE_INLINE = 1 << 0,	/* never blocks: runs on the I/O thread */
	MX_ROUTE_CPU = 1 << 1,		/* heavy computing (password hashes): runs in the small, niced pool */
	MX_ROUTE_REMOTE = 1 << 2,	/* waits for other servers: runs in a pool of its own */
	MX_ROUTE_STREAM = 1 << 3,	/* the body is read by the handler, not collected before it: mx_request_read */
	MX_ROUTE_RAW_BODY = 1 << 4,	/* the body need not be JSON */
	MX_ROUTE_SUSPENDED_OK = 1 << 5,	/* also for suspended or locked users (logout …) */
	MX_ROUTE_TRY = 1 << 6,		/* tried on the I/O thread first: mx_request_on_trial */
};

typedef enum mx_outcome mx_handler(struct mx_request *rq);

/* A row of a module's route table. path:
 * "/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}"; a parameter is one segment,
 * percent-decoded after splitting (%2F stays inside it); "{rest*}" at the end takes what is left.
 * A "/" at the end, after a literal, is part of the path. "v3" also answers for "r0". Two modules
 * that claim one method and path fail at load. */
struct mx_route {
	const char *method;
	const char *path;
	mx_handler *handler;
	enum mx_auth_need auth;
	enum mx_rate_class rate;
	uint32_t flags;
	uint32_t body_limit;		/* bytes; 0: [http] body_limit, 64 KiB without a user */
};

/* ---- what was asked ---- */
MX_API mx_str mx_request_method(const struct mx_request *rq);
MX_API mx_str mx_request_path(const struct mx_request *rq);	/* raw */
MX_API mx_str mx_request_param(const struct mx_request *rq, const char *name);	/* of the route's template */
/* The first query parameter of that name, decoded; false when absent. */
MX_API bool mx_request_query(struct mx_request *rq, const char *name, mx_str *out);
/* The nth (from 0) of several of one name. */
MX_API bool mx_request_query_nth(struct mx_request *rq, const char *name, size_t nth, mx_str *out);
/* A number between min and max, or fallback when absent; MX_E_INVALID_PARAM. */
MX_API mx_error *mx_request_query_int(struct mx_request *rq, const char *name, int64_t min,
				      int64_t max, int64_t fallback, int64_t *out) MX_MUST_USE;
MX_API mx_str mx_request_header(const struct mx_request *rq, const char *name);	/* {NULL, 0} when absent */
MX_API mx_str mx_request_body(const struct mx_request *rq);
/* The body as an object, parsed once, borrowed. An empty body reads as {}.
 * MX_E_NOT_JSON, MX_E_BAD_JSON. */
MX_API mx_error *mx_request_json(struct mx_request *rq, json_t **out) MX_MUST_USE;
MX_API const struct mx_auth *mx_request_auth(const struct mx_request *rq);	/* NULL when nobody is logged in */
MX_API mx_str mx_request_token(const struct mx_request *rq);	/* the bearer token, or {NULL, 0} */
MX_API mx_str mx_request_address(const struct mx_request *rq);	/* of the client; X-Forwarded-For if trusted */

/* ---- what it has ---- */
MX_API struct mx_core *mx_request_core(const struct mx_request *rq);
MX_API struct mx_module_self *mx_request_self(const struct mx_request *rq);	/* the route's module */
MX_API struct mx_arena *mx_request_arena(struct mx_request *rq);
/* A read connection for this run of the handler, given back when it returns. On failure the error
 * is kept and returned by the first query on it. */
MX_API struct mx_conn *mx_request_conn(struct mx_request *rq);
/* When this request arrived (Unix time), and whether it has run before (was parked). */
MX_API mx_msec mx_request_arrived(const struct mx_request *rq);
/* For how long it has been here, parked or not, whatever happens to the clock. */
MX_API mx_msec mx_request_age(const struct mx_request *rq);
MX_API bool mx_request_again(const struct mx_request *rq);
/* Whether this run is on the I/O thread, of a route with MX_ROUTE_TRY and for a user who is known
 * without asking the database: the handler answers or parks from memory, without blocking and
 * without a connection, or changes nothing and returns MX_AGAIN, as most handlers would have to.
 * For routes whose commonest request has nothing to tell. */
MX_API bool mx_request_on_trial(const struct mx_request *rq);
/* One pointer of the handler's own that survives parking. While it is set, the arena and all that
 * was asked survive too; else a parked request keeps only path, query, token, body, and the headers
 * Authorization, Content-Type and Accept-Language, and its arena is a new one in the next run. */
MX_API void mx_request_set_data(struct mx_request *rq, void *p);
MX_API void *mx_request_data(const struct mx_request *rq);

/* ---- the answer: once; all return MX_DONE ---- */
MX_API enum mx_outcome mx_reply_json(struct mx_request *rq, int status, json_t *body);	/* takes body */
MX_API enum mx_outcome mx_reply_buf(struct mx_request *rq, int status, struct mx_buf **json);	/* takes it */
MX_API enum mx_outcome mx_reply_empty(struct mx_request *rq);				/* 200 {} */
MX_API enum mx_outcome mx_reply_error(struct mx_request *rq, mx_error *e);		/* takes e */
MX_API enum mx_outcome mx_reply_bytes(struct mx_request *rq, int status, const char *content_type,
				      struct mx_buf **b);
/* Counts a request against a limit beyond its route's own: the account that a login names, say. key
 * is what is counted. MX_E_LIMIT_EXCEEDED. */
MX_API mx_error *mx_request_limit(struct mx_request *rq, enum mx_rate_class c,
				  mx_str key) MX_MUST_USE;
/* Before the answer. The core adds CORS, Content-Length and Date itself. */
MX_API void mx_reply_header(struct mx_request *rq, const char *name, mx_str value);

/* ---- parking, for who builds on it (stream.h has what handlers use) ---- */
/* Hands the request back for waking: the handler must return MX_PARK next. deadline:
 * mx_monotonic_us. The handler runs again exactly once: when mx_request_wake is called, at the
 * deadline, or when the server drains. If the client is gone, it does not run; on_end (may be NULL)
 * is called exactly once in every case, before the rerun, on any thread. */
MX_API enum mx_outcome mx_request_suspend(struct mx_request *rq, int64_t deadline_us,
					  void (*on_end)(struct mx_request *rq, void *arg),
					  void *arg);
/* From any thread; a second wake, or one after the end, does nothing as long as on_end has not
 * returned. */
MX_API void mx_request_wake(struct mx_request *rq);
/* Whether the server is draining: a handler that would park answers what it has. */
MX_API bool mx_request_draining(const struct mx_request *rq);

/* ---- waiting for a write without a thread, for the hottest routes ---- */
/* A handler whose last step would be to wait for its write need not keep a worker for that: it
 * holds its request, hands the write in (mx_write_later), and returns MX_HELD. When the write's
 * fate is known, mx_request_resume has `then` called on the request's I/O thread, where it must
 * not block: it replies as a handler does and returns MX_DONE, or returns MX_AGAIN, and the handler
 * runs from its beginning (mx_request_again tells; this time it should wait).
 * A held request is not its handler's any more: it may be answered before the handler has
 * returned. If the client hangs up meanwhile, nothing else happens than that nobody hears the
 * answer. `then` may use what was asked, the arena, mx_request_data and mx_request_json, but
 * no connection. */
MX_API void mx_request_hold(struct mx_request *rq, mx_handler *then);
/* Once, from any thread: rq may be gone when it returns. */
MX_API void mx_request_resume(struct mx_request *rq);

/* ---- bodies that a handler reads itself: routes with MX_ROUTE_STREAM ---- */
/* Their handlers run when the head is there and its sender is known, in a pool of their own. What
 * they do not read is not taken from the socket: the sender waits. A connection that
 * mx_request_conn gave is not kept while one of these waits. Who answers before the end ends the
 * connection with the answer. */

/* The next bytes of the body, as they come; waits for at least one. *n is 0 at the end. Every
 * further call fails the same way: MX_E_TOO_LARGE, MX_E_TIMEOUT (slower than [http] body_timeout
 * lets), MX_E_BAD_REQUEST (malformed, or broken off), MX_E_UNAVAILABLE (the server stops). */
MX_API mx_error *mx_request_read(struct mx_request *rq, void *to, size_t space,
				 size_t *n) MX_MUST_USE;
MX_API int64_t mx_request_length(const struct mx_request *rq);	/* as announced; -1: it was not */
/* The most bytes of body, instead of the route's: for a limit that is an option. */
MX_API void mx_request_set_limit(struct mx_request *rq, uint64_t most);

#endif
