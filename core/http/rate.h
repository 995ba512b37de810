/* Token buckets for who asks how often: a table of fixed size, so that strangers cannot make it
 * grow. When a set of the table is full, the bucket that is fullest, that is, the one whose loss
 * forgives least, makes room. */
#ifndef CORE_HTTP_RATE_H
#define CORE_HTTP_RATE_H

#include <myelin/request.h>

struct mx_rates;

struct mx_rate {
	int64_t every_us;	/* one more request is granted each; 0: no limit */
	int64_t burst;		/* so many at once */
};

enum { MX_RATE_CLASSES = 5 };		/* by enum mx_rate_class */

struct mx_rates *mx_rates_new(size_t buckets);
void mx_rates_free(struct mx_rates **r);
void mx_rates_set(struct mx_rates *r, enum mx_rate_class c, struct mx_rate rate);
/* Takes a token. 0 when there was one, else the milliseconds until there is. Any thread. */
mx_msec mx_rates_take(struct mx_rates *r, enum mx_rate_class c, uint64_t key, int64_t now_us);

#endif
