#include "config.h"

#include "tests/fuzz/fuzz.h"
#include "tests/sim/yard.h"

/* Input: a byte for the room's version, then chance: each byte decides one thing about a room that
 * grows. The rules and the state resolution must say of it what the oracle says. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dice d = { .bytes = data + 1, .n = size - 1 };
	struct yard_count count = { 0 };
	char why[1024];

	if (size < 2 || !yard_knows(data[0] % 12 + 1))
		return 0;
	if (!yard_play(&d, data[0] % 12 + 1, 60, &count, why)) {
		fprintf(stderr, "%s\n", why);
		abort();
	}
	return 0;
}
