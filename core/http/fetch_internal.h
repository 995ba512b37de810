/* What the files of the client for other servers share. A call lies on its caller's stack. Its
 * members below `exchange` are guarded by the client's lock; the others are set by the caller
 * before it posts the call, and belong to the client's thread from then until `done`. */
#ifndef CORE_HTTP_FETCH_INTERNAL_H
#define CORE_HTTP_FETCH_INTERNAL_H

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/http/address.h"
#include "core/http/fetch.h"
#include "core/http/parse.h"

enum {
	MX_FETCH_HEAD_MOST = 128 * 1024,
	MX_FETCH_WINDOW = 256 * 1024,	/* what may wait for a caller that takes pieces */
	MX_FETCH_FILL = 64 * 1024,
};

/* libcurl, loaded. */
struct mx_curl {
#define MX_CURL(name) __typeof__(curl_##name) *name;
#include "core/http/fetch_curl.def"
#undef MX_CURL
};
/* Loads it at the first call. */
mx_error *mx_curl_get(const struct mx_curl **out) MX_MUST_USE;

enum fetch_todo { FETCH_BEGIN = 1, FETCH_RESUME = 2, FETCH_ABORT = 4 };

struct mx_fetch_call {
	struct mx_fetcher *fetcher;
	const struct mx_fetch_request *rq;
	CURL *easy;
	CURLU *url;
	struct curl_slist *headers, *connect_to;
	char error[CURL_ERROR_SIZE];
	uint64_t limit, received;
	struct mx_fetch_call *next, **prev;	/* of those that are under way */
	bool direct;				/* not through a proxy */
	bool denied;				/* an address was refused */

	/* exchange */
	pthread_cond_t news;
	struct mx_fetch_call *next_message;
	unsigned todo;				/* enum fetch_todo; not 0: in the queue of messages */
	struct mx_buf *head;			/* lines of the answer's head; the caller's once it is known */
	struct mx_buf *in;			/* of its body, what the caller has not taken */
	char *out;				/* of the request's body, MX_FETCH_FILL bytes */
	size_t out_at, out_n;
	bool out_wanted, out_end;		/* wanted: `out` is the caller's to fill */
	int status;
	bool head_known, pieces, in_full, too_large, stopped, done;
	CURLcode result;
};

struct mx_fetcher {
	const struct mx_fetch_options *o;
	struct mx_networks *deny, *allow;
	X509_STORE *trusted;
	char *agent;
	const struct mx_curl *curl;
	CURLM *multi;
	CURLSH *share;				/* of TLS sessions; its thread's only */
	pthread_t thread;
	struct mx_fetch_call *calls;		/* under way; its thread's only */

	pthread_mutex_t lock;
	pthread_cond_t left;
	struct mx_fetch_call *messages;
	size_t inside;				/* callers */
	bool running, stopping;

	_Atomic uint64_t requests, failures, received;
};

/* fetch_loop.c */
/* Starts the thread if it does not run. With the lock held. */
mx_error *mx_fetcher_start(struct mx_fetcher *f) MX_MUST_USE;
void mx_fetcher_end(struct mx_fetcher *f);	/* stopping is set; waits for the thread */
/* Has the thread look at a call. With the lock held, and before it is done. */
void mx_fetch_post(struct mx_fetch_call *c, enum fetch_todo todo);

/* fetch_setup.c: the easy handle of a call, on the caller's thread */
mx_error *mx_fetch_prepare(struct mx_fetch_call *c) MX_MUST_USE;
void mx_fetch_clear(struct mx_fetch_call *c);
mx_str mx_fetch_host(const struct mx_fetch_call *c, struct mx_arena *arena);

/* What libcurl calls, on the client's thread. fetch_loop.c */
size_t mx_fetch_on_head(char *line, size_t size, size_t n, void *call);
size_t mx_fetch_on_body(char *p, size_t size, size_t n, void *call);
size_t mx_fetch_on_fill(char *p, size_t size, size_t n, void *call);
curl_socket_t mx_fetch_on_socket(void *call, curlsocktype purpose, struct curl_sockaddr *address);
CURLcode mx_fetch_on_tls(CURL *easy, void *context, void *call);

/* Whether [fetch] lets this address be connected to. fetch_address.c */
bool mx_fetch_allows(const struct mx_fetcher *f, const struct mx_address *a);

#endif
