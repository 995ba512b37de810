/* Token buckets for who asks how often: a table of fixed size, so that strangers cannot make it
 * grow. When a set of the table is full, the bucket that is fullest, that is, the one whose loss
 * forgives least, makes room.
 *
 * Where several processes serve, what one of them has granted counts in all: each tells the others
 * how many tokens it took from a bucket, but not each token (a sixteenth of the burst at a time) and
 * only from buckets that are down by a quarter. So n of them together grant at most a burst and n
 * sixteenths, as long as no more than four take from one bucket, and what is under way; a bucket that
 * is nearly full costs nothing, and what is told is never more than one short message for a
 * sixteenth of a burst. Buckets have the same keys in all processes: a hash with a secret that they
 * share. */
#ifndef CORE_HTTP_RATE_H
#define CORE_HTTP_RATE_H

#include <myelin/request.h>

struct mx_rates;

struct mx_rate {
	int64_t every_us;	/* one more request is granted each; 0: no limit */
	int64_t burst;		/* so many at once */
};

enum { MX_RATE_CLASSES = 5, MX_RATE_SECRET = 16 };	/* classes: by enum mx_rate_class */

struct mx_rates *mx_rates_new(size_t buckets);
void mx_rates_free(struct mx_rates **r);
void mx_rates_set(struct mx_rates *r, enum mx_rate_class c, struct mx_rate rate);
/* Before the first token is taken. secret: the same in all processes, and known to nobody else. */
void mx_rates_share(struct mx_rates *r, const unsigned char secret[MX_RATE_SECRET],
		    void (*tell)(void *arg, mx_str text), void *arg);
/* What another process has told. Any thread; anything is accepted. */
void mx_rates_told(struct mx_rates *r, mx_str text, int64_t now_us);
/* The key of what the bytes name. */
uint64_t mx_rates_key(const struct mx_rates *r, const void *p, size_t n);
/* Takes a token. 0 when there was one, else the milliseconds until there is. Any thread. */
mx_msec mx_rates_take(struct mx_rates *r, enum mx_rate_class c, uint64_t key, int64_t now_us);

#endif
