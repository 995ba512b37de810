/* What the specification says, read aloud: the rules of rooms written straight from its text, slow
 * and simple. It shares no line with core/room and knows nothing of it; both are asked the same
 * questions, and where they differ one of them is wrong. Server-Server API, "PDUs"; Room Versions 1
 * to 12.
 *
 * One oracle knows one room: every event that anybody has ever made for it, in any order. Events
 * are named by small numbers, in the order in which they were added. */
#ifndef TESTS_SIM_ORACLE_H
#define TESTS_SIM_ORACLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORACLE_EVENTS 1024 /* the most that a room may have here */
#define ORACLE_WORDS (ORACLE_EVENTS / 64)
#define ORACLE_NONE (-1)

struct oracle;

/* A set of events, as bits. */
struct oracle_set {
	uint64_t w[ORACLE_WORDS];
};

/* A state: at each key (a number, in the order in which keys were met) an event or ORACLE_NONE. */
struct oracle_state {
	int *v;
	int n;
};

enum oracle_verdict {
	ORACLE_UNKNOWN, /* some of its past or of its auth events is not there */
	ORACLE_ALLOWED,
	ORACLE_BY_AUTH_EVENTS, /* rejected: by the rules about auth_events, or in their state */
	ORACLE_BY_STATE,       /* rejected: in the state before it */
};

enum oracle_form {
	ORACLE_WHOLE,
	ORACLE_REDACTED, /* its content hash differs: it counts in its redacted form */
	ORACLE_DROPPED,	 /* malformed, or not signed as it must be */
};

typedef long double oracle_level;

/* The key of a server, or NULL. */
typedef const unsigned char *oracle_key_fn(void *arg, const char *server, const char *key_id);

/* key NULL: signatures and hashes are not looked at, and ids are given. */
struct oracle *oracle_new(int version, oracle_key_fn *key, void *arg);
void oracle_free(struct oracle *o);
int oracle_version(const struct oracle *o);

/* The event's number; one that is known already keeps its own. ORACLE_NONE: dropped. id: NULL, or
 * taken as it is. form may be NULL. */
int oracle_add(struct oracle *o, const char *json, size_t n, const char *id,
	       enum oracle_form *form);
int oracle_count(const struct oracle *o);
int oracle_find(const struct oracle *o, const char *id, size_t n);
const char *oracle_id(const struct oracle *o, int e);
const json_t *oracle_json(const struct oracle *o, int e); /* redacted where the hash was wrong */
bool oracle_is_state(const struct oracle *o, int e);
int oracle_key_of(const struct oracle *o, int e); /* ORACLE_NONE: a message */
int oracle_key(struct oracle *o, const char *type,
	       const char *key); /* makes the key when it is new */
const char *oracle_key_type(const struct oracle *o, int key);
const char *oracle_key_name(const struct oracle *o, int key);
/* The ith event that it names; ORACLE_NONE when it is not there. */
int oracle_prev(struct oracle *o, int e, int i);
int oracle_prev_count(struct oracle *o, int e);
int oracle_auth(struct oracle *o, int e, int i);
int oracle_auth_count(struct oracle *o, int e);
int oracle_create_event(const struct oracle *o);
bool oracle_in_chain(struct oracle *o, int e, int auth); /* auth is in the auth chain of e */

/* Checks 4 and 5 of those performed on receipt of a PDU. */
enum oracle_verdict oracle_judge(struct oracle *o, int e);
/* The state before and after an event; false when its past is not there. */
bool oracle_before(struct oracle *o, int e, const struct oracle_state **out);
bool oracle_after(struct oracle *o, int e, const struct oracle_state **out);

/* Whether the auth rules allow an event in a state. */
bool oracle_allows(struct oracle *o, int e, const struct oracle_state *s);
/* The rules about auth_events themselves, and then the others in the state that these make. */
bool oracle_allows_by_auth_events(struct oracle *o, int e);
/* Whether auth_events of such an event may hold something at this key. */
bool oracle_selects(struct oracle *o, const char *type, const char *sender, const char *state_key,
		    const json_t *content, const char *auth_type, const char *auth_key);

/* Whether the m.room.server_acl of a state, if it has one, lets a server take part. */
bool oracle_acl_allows(struct oracle *o, const struct oracle_state *s, const char *server);
/* The m.room.third_party_invite in a state, up to `room` of them; the words are the oracle's. */
struct oracle_invite {
	const char *token, *sender;
};
int oracle_invites(struct oracle *o, const struct oracle_state *s, struct oracle_invite *out,
		   int room);

/* State resolution, by the room's version. The result is the caller's: oracle_state_clear. */
void oracle_resolve(struct oracle *o, const struct oracle_state *const *states, int n,
		    struct oracle_state *out);

int oracle_at(const struct oracle_state *s, int key);
void oracle_put(struct oracle_state *s, int key, int e);
void oracle_copy(struct oracle_state *to, const struct oracle_state *from);
void oracle_state_clear(struct oracle_state *s);
bool oracle_same(const struct oracle_state *a, const struct oracle_state *b);

/* Whether a redaction takes effect on what it names, in the state before it; false when that is not
 * there. */
bool oracle_redacts(struct oracle *o, int redaction, int target);
int oracle_redacts_of(const struct oracle *o, int redaction); /* what it names; ORACLE_NONE */
bool oracle_was_redacted(const struct oracle *o, int e);      /* its hash was wrong when it came */
/* The redacted copy of an event. */
json_t *oracle_redact(int version, const json_t *ev);
/* "$" and the reference hash, for versions from 3; the caller frees it. */
char *oracle_hash_id(int version, const json_t *ev);
/* What another server would do to an event before it sends it: adds its hash, or a signature. */
void oracle_hash(json_t *ev);
void oracle_sign(int version, json_t *ev, const char *server, const char *key_id,
		 const unsigned char *secret_key);
/* Whether an event that nobody has made (its format right, no signature) would be allowed after its
 * prev_events, and in the state that the room has now. */
bool oracle_would_allow(struct oracle *o, const json_t *ev, const struct oracle_state *now);

#endif
