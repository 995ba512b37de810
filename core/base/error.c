#include "config.h"

#include <stdarg.h>
#include <stdlib.h>

#include "core/base/utf8.h"
#include <myelin/json.h>

/* Texts quote what strangers sent: they are cut here, and are UTF-8 whatever came. */
#define LONGEST 1000

struct mx_error {
	enum mx_code code;
	char *text;
	json_t *more;	/* members for the answer, or NULL */
};

static const struct {
	int status;
	const char *errcode;
} codes[] = {
#define MX_CODE(name, status, errcode) [name] = { status, errcode },
#include <myelin/codes.def>
#undef MX_CODE
};

/* Replaces what is not UTF-8, and cuts the text between two characters. */
static void
clean(char *z)
{
	mx_str rest = mx_str_of(z);
	bool cut = rest.n > LONGEST;
	char *end;

	if (cut)
		rest.n = LONGEST;
	end = z + rest.n;
	for (;;) {
		size_t good = mx_utf8_prefix(rest);

		if (good == rest.n)
			break;
		/* A character that the cut went through; four bytes at most. */
		if (cut && rest.n - good < 4) {
			end -= rest.n - good;
			break;
		}
		((char *)rest.p)[good] = '?';
		rest.p += good;
		rest.n -= good;
	}
	*end = '\0';
}

MX_PRINTF(1, 0) static char *
format(const char *fmt, va_list ap)
{
	char *text;

	if (vasprintf(&text, fmt, ap) < 0)
		text = mx_str_dup(MX_S("the text of this error could not be made"));
	clean(text);
	return text;
}

mx_error *
mx_error_new(enum mx_code code, const char *fmt, ...)
{
	mx_error *e = mx_alloc(sizeof(*e));
	va_list ap;

	e->code = code;
	va_start(ap, fmt);
	e->text = format(fmt, ap);
	va_end(ap);
	return e;
}

mx_error *
mx_error_wrap(mx_error *e, const char *fmt, ...)
{
	char *before, *text;
	va_list ap;

	if (e == NULL)
		return NULL;
	va_start(ap, fmt);
	before = format(fmt, ap);
	va_end(ap);
	if (asprintf(&text, "%s: %s", before, e->text) >= 0) {
		clean(text);
		free(e->text);
		e->text = text;
	}
	free(before);
	return e;
}

mx_error *
mx_error_with(mx_error *e, const char *key, json_t *value)
{
	if (e == NULL) {
		json_decref(value);
		return NULL;
	}
	if (e->more == NULL)
		e->more = json_object();
	json_object_set_new(e->more, key, value);
	return e;
}

void
mx_error_free(mx_error **e)
{
	if (*e == NULL)
		return;
	json_decref((*e)->more);
	free((*e)->text);
	free(*e);
	*e = NULL;
}

enum mx_code
mx_error_code(const mx_error *e)
{
	return e->code;
}

const char *
mx_error_text(const mx_error *e)
{
	return e->text;
}

int
mx_error_status(const mx_error *e)
{
	return codes[e->code].status;
}

const char *
mx_error_errcode(const mx_error *e)
{
	return codes[e->code].errcode;
}

void
mx_error_json(const mx_error *e, struct mx_buf *b)
{
	bool bare = codes[e->code].errcode[0] == '\0';
	struct mx_jw w = mx_jw_on(b);
	const char *key;
	json_t *value;

	mx_jw_object(&w);
	if (!bare) {
		mx_jw_key(&w, MX_S("errcode"));
		mx_jw_str(&w, mx_str_of(mx_error_errcode(e)));
		mx_jw_key(&w, MX_S("error"));
		/* What went wrong inside is for the log: it may name files, hosts or statements. */
		mx_jw_str(&w, codes[e->code].status == 500 ? MX_S("Internal server error")
							   : mx_str_of(e->text));
	}
	json_object_foreach(e->more, key, value) {
		if (!bare && (strcmp(key, "errcode") == 0 || strcmp(key, "error") == 0))
			continue;
		mx_jw_key(&w, mx_str_of(key));
		mx_jw_json(&w, value);
	}
	mx_jw_object_end(&w);
}

mx_error *
mx_error_first(mx_error *e, mx_error *then)
{
	if (e == NULL)
		return then;
	mx_error_free(&then);
	return e;
}

bool
mx_error_drop(mx_error *e)
{
	bool was = e != NULL;

	mx_error_free(&e);
	return was;
}
