#include "config.h"

#include <myelin/filter.h>
#include <myelin/view.h>

#include "tests/fuzz/fuzz.h"

/* A filter, a newline, and the type of an event. What the filter says of all events must hold for
 * this one. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	mx_str json, type, input = { (const char *)data, size };
	struct mx_filter *f = NULL;
	struct mx_shape *shape = NULL;
	json_t *tree = NULL;

	mx_str_cut(input, '\n', &json, &type);
	if (!mx_error_drop(mx_json_parse(json, &tree)) &&
	    mx_error_drop(mx_shape_parse(tree, &shape)))
		fuzz_holds(shape == NULL);
	mx_shape_free(&shape);
	json_decref(tree);
	if (mx_error_drop(mx_filter_parse_text(json, &f))) {
		fuzz_holds(f == NULL);
		return 0;
	}
	if (mx_filter_nothing(f))
		fuzz_holds(!mx_filter_match(f, type, MX_S("@a:x")));
	if (mx_filter_everything(f))
		fuzz_holds(mx_filter_match(f, type, MX_S("@a:x")) &&
			   mx_filter_match(f, type, MX_S("")));
	if (!mx_filter_match(f, type, MX_S("")))
		fuzz_holds(!mx_filter_match(f, type, MX_S("@a:x")));
	mx_filter_room(f, MX_S("!r:x"));
	fuzz_holds(mx_filter_limit(f, 10, 100) >= 0 && mx_filter_limit(f, 10, 100) <= 100);
	mx_filter_free(&f);
	return 0;
}
