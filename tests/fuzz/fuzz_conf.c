#include "config.h"

#include <string.h>
#include <unistd.h>

#include "core/runtime/conf.h"

#include "tests/fuzz/fuzz.h"

struct options {
	bool switched;
	int64_t number;
	const char *text, *word;
	struct mx_duration span;
	struct mx_size size;
	struct mx_list list;
};

static const struct mx_option rows[] = {
	MX_OPT(struct options, switched, .def = "no", .help = "A switch."),
	MX_OPT(struct options, number, .def = "3", .min = 1, .max = 9, .help = "A number."),
	MX_OPT(struct options, text, .def = "", .help = "A text."),
	MX_OPT(struct options, word, .def = "a", .choices = "a|b", .help = "A choice."),
	MX_OPT(struct options, span, .def = "1s", .min = 1, .max = 60000, .help = "A time."),
	MX_OPT(struct options, size, .def = "1K", .max = 1 << 20, .help = "A size."),
	MX_OPT(struct options, list, .def = "", .help = "A list."),
};

/* The options as they were understood, with everything in its range, whatever the file says. */
static void
check_values(const struct options *o)
{
	fuzz_holds(o->number >= 1 && o->number <= 9);
	fuzz_holds(o->span.ms >= 1 && o->span.ms <= 60000);
	fuzz_holds(o->size.bytes >= 0 && o->size.bytes <= 1 << 20);
	fuzz_holds(o->text == NULL || strlen(o->text) < 1 << 20);
	for (size_t i = 0; i < o->list.n; i++)
		fuzz_holds(o->list.v[i] != NULL);
}

/* The bytes are a configuration file with one section that is known. What is in force can be dumped
 * whatever is wrong. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[] = "/tmp/fuzz-conf-XXXXXX";
	int fd = mkstemp(path);

	fuzz_holds(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);

	struct mx_config *c = mx_config_read(path, "fuzz.conf");
	struct mx_values *v = mx_config_bind(c, "known", rows, sizeof(rows) / sizeof(rows[0]),
					     sizeof(struct options), 0);
	MX_AUTO(mx_buf) *dump = mx_buf_new(0);
	mx_error *e = mx_config_check(c);

	check_values(v->data);
	mx_config_dump(c, dump);
	if (e != NULL)
		fuzz_holds(mx_error_is(e, MX_E_CONFIG) && mx_error_text(e)[0] != 0);
	mx_error_free(&e);
	mx_values_free(&v);
	mx_config_free(&c);
	unlink(path);
	return 0;
}
