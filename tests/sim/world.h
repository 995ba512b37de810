/* Many servers in one process: each has the real room engine over a database of its own, and all
 * meet in one room, over a network that loses, delays and repeats. Some more servers have no
 * engine: what they send is made by hand, and is not always nice. Everything that chance decides
 * comes from the seed. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <setjmp.h>

#include <myelin/federation.h>

#include "core/room/rooms.h"
#include "tests/sim/acts.h"
#include "tests/sim/oracle.h"

#define HONEST_MAX 4
#define HOSTILE_MAX 2
#define SERVERS (HONEST_MAX + HOSTILE_MAX)
#define PEOPLE 2 /* of each server */
#define WIRES ORACLE_EVENTS
#define PACKETS 16384
#define KEY_ID "ed25519:sim"

/* What a server thinks of an event: 0, or its fate and 1. */
#define THINKS(fate) ((unsigned char)((fate) + 1))

struct server {
	char name[24];
	unsigned char public_key[32], secret_key[64];
	char people[PEOPLE][40];

	/* the honest only */
	struct mx_signing_key *key;
	struct mx_db *db;
	struct mx_stream *stream;
	struct mx_rooms *rooms;
	struct mx_conn *conn;
	mx_nid nids[PEOPLE];
	struct mx_room *room; /* NULL: not in it yet */
	unsigned char thinks[ORACLE_EVENTS];
	bool outlier[ORACLE_EVENTS]; /* it knows this without its place in the graph */
	bool unasked[ORACLE_EVENTS]; /* its engine said this by itself */
	bool extra[ORACLE_EVENTS];   /* stays an extremity although something comes after it */
	bool dropped[WIRES];	     /* this it will not have */
	bool told[WIRES];	     /* this has been handed to it */
	bool past[ORACLE_EVENTS];    /* it stands before the beginning of the timeline */
	int history; /* events before its own join are asked for one by one: 0, as states: 1, in
		      * pages: 2 */
};

/* What went over the network once: the bytes, and the oracle's number of the event. */
struct wire {
	char *json;
	size_t n;
	int event; /* ORACLE_NONE: nobody takes it */
	int from;
	bool withheld; /* its maker gives it to nobody who asks */
};

struct packet {
	int to, wire;
	int64_t at;
};

/* What has happened, for people. */
struct count {
	uint64_t accepted, rejected, soft_failed, dropped, sent, refused, states;
	uint64_t denied, pages; /* by access lists; of history */
	uint64_t apart;		/* rooms that ended with servers that differ in what they have heard */
	uint64_t differ;	/* of these: whose states differ */
	uint64_t splits;	/* of these: that nobody could bring together */
};

struct world {
	uint64_t seed;
	struct dice dice;
	int version;
	int honest, hostile;
	struct server *servers;
	struct oracle *oracle;
	char room_id[64];

	mx_msec now;
	int64_t tick;
	struct wire wires[WIRES];
	int wires_n;
	struct packet packets[PACKETS];
	int packets_n;
	bool cut[SERVERS][SERVERS];   /* partitions */
	unsigned loss, repeat, delay; /* percent, percent, ticks */
	int serial;

	/* a failure leaves the play */
	jmp_buf out;
	char why[2048];
	int step;
	bool loud;
	bool open; /* access lists are not asked any more */

	struct count count;
};

void __attribute__((noreturn, format(printf, 2, 3)))
world_fail(struct world *w, const char *format, ...);
void __attribute__((format(printf, 2, 3))) world_trace(struct world *w, const char *format, ...);
/* An error that nothing in the play explains. */
void world_ok(struct world *w, mx_error *e, const char *what);

/* ---- servers.c ---- */
void servers_open(struct server *servers);
void servers_close(struct server *servers);
void server_restart(struct world *w, struct server *s);
const unsigned char *servers_key(void *arg, const char *server, const char *key_id);
void clock_set(mx_msec now);
void chance_set(uint64_t seed);

/* ---- network.c ---- */
/* A wire for these bytes; the oracle is told. */
int network_wire(struct world *w, int from, const char *json, size_t n);
void network_send(struct world *w, int wire, int to);
void network_send_all(struct world *w, int wire);
void network_deliver(struct world *w); /* what is due */
bool network_reaches(struct world *w, int a, int b);
/* Hands bytes in, and checks what becomes of them. */
/* origin: the server that sends; < 0: it was asked. */
void network_hand_in(struct world *w, int to, int origin, const int *wires, int n);
int network_wire_of(struct world *w, int event); /* one with these bytes, from whoever has it */
/* Asks others for what is missing. all: everybody, until there is no more to have. */
void network_fetch(struct world *w, int to, bool all);
/* Everything lost is sent again, and nothing is lost any more. */
void network_heal(struct world *w);

/* The state before an event, as /state gives it. */
struct told {
	mx_str *state, *auth;
	size_t n, auth_n;
};
struct told *told_before(struct world *w, int event);
void told_free(struct told *t);

/* ---- backfill.c ---- */
bool backfill(struct world *w, int to, int peer); /* a page; false: there was none */

/* ---- forge.c: events made by hand ---- */
struct forged {
	const struct act *act;
	const int *prev;
	int prev_n;
	const int *auth; /* NULL: as the oracle selects from the state after prev */
	int auth_n;
	int64_t depth; /* 0: as it should be */
	mx_msec ts;
	int by;	     /* who signs; < 0: nobody */
	int also_by; /* who signs too; < 0: nobody */
	bool bad_hash, bad_signature;
	const char *id;		       /* versions 1 and 2; NULL: a new one */
	const char *extra_prev, *extra_auth; /* one more that it names; NULL */
};
json_t *forge(struct world *w, const struct forged *f);
int forge_wire(struct world *w, int from, const struct forged *f, json_t *ev); /* takes ev */
const json_t *forge_levels(struct world *w, const struct oracle_state *s);
int server_of(struct world *w, const char *user);
int server_of_n(struct world *w, mx_str user);
/* The oracle's state after these events; the caller's. */
void forge_state(struct world *w, const int *prev, int n, struct oracle_state *out);

/* ---- honest.c, hostile.c ---- */
void honest_begin(struct world *w);
void honest_enter(struct world *w, int i); /* by /send_join over some server that is in the room */
void honest_act(struct world *w, int i);
bool honest_may_be_redacted(struct world *w, int e);
bool honest_send(struct world *w, int i, const struct act *a); /* false: refused */
bool honest_speak(struct world *w, int i);
int honest_extremities(struct world *w, int i, int *out, int room);
/* What the engine has sent unasked: among its extremities, or before this event. */
void honest_find_own(struct world *w, int i, const struct mx_event *after);
void hostile_act(struct world *w, int i);

/* ---- check.c ---- */
/* After a hand-in: which events have been decided, and rightly? */
void check_fates(struct world *w, int i);
/* A state of a server is what the oracle makes of its extremities. */
void check_state(struct world *w, int i);
void check_sent(struct world *w, int i, int event);
/* Whether the access list in the state of a server, as it should be, lets another take part. */
bool check_lets_in(struct world *w, int i, const char *other);
bool check_agree(struct world *w);	 /* all have the same forward extremities */
bool check_agree_states(struct world *w); /* and the same state */
void check_end(struct world *w);

/* ---- amnesty.c ---- */
/* The room's owner lets everybody speak again, and all do. */
void amnesty(struct world *w);

/* ---- play.c ---- */
struct play {
	uint64_t seed;
	int steps;
	bool skip[512]; /* steps that are left out */
	bool loud;
	char why[2048];
	int step; /* where it failed */
	struct count count;
};
bool play(struct server *servers, struct play *p);

#endif
