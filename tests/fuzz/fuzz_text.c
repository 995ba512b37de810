#include "config.h"

#include "core/base/log.h"
#include "tests/fuzz/fuzz.h"

/* Texts that quote strangers: error texts are UTF-8 and have an end, log lines are one line of
 * UTF-8. */

static void
check_line(void *arg, enum mx_level level, const char *tag, mx_str line)
{
	(void)arg;
	(void)level;
	(void)tag;
	for (size_t i = 0; i < line.n; i++)
		fuzz_holds((unsigned char)line.p[i] >= ' ' && line.p[i] != 0x7f);
	fuzz_holds(line.n <= 4096);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	mx_str s = { (const char *)data, size };
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	mx_error *e = mx_error_new(MX_E_BAD_JSON, "%.*s", MX_SFMT(s));

	e = mx_error_wrap(e, "%.*s", (int)(size / 2), s.p);
	fuzz_holds(mx_str_utf8(mx_str_of(mx_error_text(e))));
	fuzz_holds(strlen(mx_error_text(e)) <= 1000);
	mx_error_json(e, b);
	fuzz_holds(!mx_buf_failed(b));
	mx_log_sink(check_line, NULL);
	mx_log("fuzz", MX_ERROR, "FUZZ001", "text", mx_fs("s", s), mx_fe(e));
	mx_error_free(&e);
	return 0;
}
