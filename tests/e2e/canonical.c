/* Reads JSON, a value a line, and writes its canonical form, or "refused": with the argument "strict" as
 * room versions from 6 on have it, with "old" (objects only) as the bytes of old events are read. For
 * comparing with other implementations. */
#include "config.h"

#include <stdlib.h>

#include "core/room/event_big.h"

static mx_error *
canonical(const char *mode, mx_str text, struct mx_buf *b)
{
	MX_AUTO_JSON *v = NULL;

	if (strcmp(mode, "old") == 0) {
		MX_TRY(mx_json_parse_big(text, &v));
		return mx_json_canonical_big(text, b);
	}
	MX_TRY(mx_json_parse(text, &v));
	return mx_json_canonical(v, strcmp(mode, "strict") == 0, b);
}

int
main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "loose";
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	while ((n = getline(&line, &room, stdin)) > 0) {
		MX_AUTO(mx_buf) *b = mx_buf_new(0);

		if (mx_error_drop(canonical(mode, (mx_str){ line, (size_t)n }, b)))
			mx_buf_str(b, MX_S("refused"));
		mx_buf_byte(b, '\n');
		fwrite(mx_buf_view(b).p, 1, mx_buf_view(b).n, stdout);
	}
	free(line);
	return ferror(stdin) || fflush(stdout) != 0;
}
