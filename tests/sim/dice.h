/* Chance that can be had again: from a seed, or from bytes that a fuzzer made. */
#ifndef TESTS_SIM_DICE_H
#define TESTS_SIM_DICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dice {
	uint64_t state;
	const uint8_t *bytes; /* NULL: from state */
	size_t n;
};

static inline uint64_t
dice_mix(uint64_t z)
{
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9); /* splitmix64 */
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* Mixed, or one seed's numbers would be those of the next but for the first. */
static inline struct dice
dice_of_seed(uint64_t seed)
{
	return (struct dice){ .state =
				      dice_mix(dice_mix(seed + 1) + UINT64_C(0x632be59bd9b4e019)) };
}

static inline uint64_t
dice_word(struct dice *d)
{
	d->state += UINT64_C(0x9e3779b97f4a7c15);
	return dice_mix(d->state);
}

/* One of 0 … n - 1; bytes that have run out are zeros. */
static inline unsigned
dice_roll(struct dice *d, unsigned n)
{
	unsigned x;

	if (d->bytes == NULL)
		return (unsigned)(dice_word(d) % n);
	if (d->n == 0)
		return 0;
	x = *d->bytes++;
	d->n--;
	return x % n;
}

static inline bool
dice_percent(struct dice *d, unsigned chance)
{
	return dice_roll(d, 100) < chance;
}

static inline bool
dice_over(const struct dice *d)
{
	return d->bytes != NULL && d->n == 0;
}

#endif
