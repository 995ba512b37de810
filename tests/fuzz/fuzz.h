/* What a fuzz target is: one function that libFuzzer calls with bytes, and that aborts when a rule
 * is broken. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <myelin/base.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define fuzz_holds(rule)                                                                           \
	do {                                                                                       \
		if (!(rule)) {                                                                     \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #rule);  \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#endif
