/* What the targets about rooms share. */
#ifndef TESTS_FUZZ_FUZZ_ROOM_H
#define TESTS_FUZZ_FUZZ_ROOM_H

#include "core/room/version.h"
#include "tests/fuzz/fuzz.h"

#define FUZZ_VERSIONS 12

/* The letters a to l stand for the versions 1 to 12. */
static inline const struct mx_room_version *
fuzz_version(uint8_t byte)
{
	return mx_room_version_at((byte + FUZZ_VERSIONS - 1u) % FUZZ_VERSIONS);
}

#endif
