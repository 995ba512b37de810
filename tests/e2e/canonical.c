/* Reads JSON, a value a line, and writes its canonical form, or "refused". With the argument "strict" as
 * room versions from 6 on have it. For comparing with other implementations. */
#include "config.h"

#include <stdlib.h>

#include <myelin/json.h>

int
main(int argc, char **argv)
{
	bool strict = argc > 1 && strcmp(argv[1], "strict") == 0;
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	while ((n = getline(&line, &room, stdin)) > 0) {
		MX_AUTO(mx_buf) *b = mx_buf_new(0);
		MX_AUTO_JSON *v = NULL;

		if (mx_error_drop(mx_json_parse((mx_str){ line, (size_t)n }, &v)) ||
		    mx_error_drop(mx_json_canonical(v, strict, b)))
			mx_buf_str(b, MX_S("refused"));
		mx_buf_byte(b, '\n');
		fwrite(mx_buf_view(b).p, 1, mx_buf_view(b).n, stdout);
	}
	free(line);
	return ferror(stdin) || fflush(stdout) != 0;
}
