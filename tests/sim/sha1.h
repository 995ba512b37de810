/* SHA-1, FIPS 180-4, for the one place of the specification that wants it: the order of version 1's
 * state resolution. */
#ifndef TESTS_SIM_SHA1_H
#define TESTS_SIM_SHA1_H

void sha1(const char *s, unsigned char out[20]);
int sha1_compare(const char *a, const char *b); /* of their hashes */

#endif
