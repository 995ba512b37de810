#include "config.h"

#include <myelin/id.h>

#include "tests/fuzz/fuzz.h"

/* A well-formed id is its sigil, its parts and a colon, and both parts are well-formed themselves.
 */
static void
parts_make_the_whole(mx_str s, char sigil, mx_str local, mx_str server)
{
	fuzz_holds(s.p[0] == sigil && s.n <= 255);
	fuzz_holds(local.p == s.p + 1 && local.p + local.n + 1 == server.p &&
		   server.p + server.n == s.p + s.n);
	fuzz_holds(mx_id_server(server) && mx_str_utf8(local));
	fuzz_holds(mx_str_eq(mx_id_server_of(s), server));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	mx_str s = { (const char *)data, size }, local, server;

	if (mx_id_user(s, &local, &server))
		parts_make_the_whole(s, '@', local, server);
	if (mx_id_alias(s, &local, &server))
		parts_make_the_whole(s, '#', local, server);
	fuzz_holds(!mx_id_room(s) || (s.p[0] == '!' && s.n <= 255));
	fuzz_holds(!mx_id_event(s) || (s.p[0] == '$' && s.n <= 255));
	if (mx_id_localpart_strict(s))
		fuzz_holds(mx_str_utf8(s) && memchr(s.p, ':', s.n) == NULL);
	if (mx_id_opaque(s, 64))
		fuzz_holds(s.n <= 64);
	fuzz_holds(mx_error_drop(mx_id_check_user(s, "x")) != mx_id_user(s, NULL, NULL));
	fuzz_holds(mx_error_drop(mx_id_check_room(s, "x")) != mx_id_room(s));
	return 0;
}
