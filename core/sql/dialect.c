/* The words in which our two databases differ. */
#include "config.h"

#include "core/sql/impl.h"

/* The end of what stands in quotes, or of a comment, at s[i]; i when there is neither. */
static size_t
skip_verbatim(mx_str s, size_t i)
{
	if (s.p[i] == '\'' || s.p[i] == '"') {
		const char *end = memchr(s.p + i + 1, s.p[i], s.n - i - 1);
		return end != NULL ? (size_t)(end - s.p) + 1 : s.n;
	}
	if (s.p[i] == '-' && i + 1 < s.n && s.p[i + 1] == '-') {
		const char *end = memchr(s.p + i, '\n', s.n - i);
		return end != NULL ? (size_t)(end - s.p) : s.n;
	}
	return i;
}

static mx_error *
put_word(mx_str word, const struct mx_storage_word *words, size_t n, struct mx_buf *out)
{
	for (size_t i = 0; i < n; i++) {
		if (!mx_str_eq(word, mx_str_of(words[i].word)))
			continue;
		mx_buf_str(out, mx_str_of(words[i].text));
		return NULL;
	}
	return mx_error_new(MX_E_UNKNOWN, "SQL has no dialect word {%.*s}", MX_SFMT(word));
}

mx_error *
mx_storage_dialect(const char *text, char param, const struct mx_storage_word *words, size_t n,
		   struct mx_buf *out)
{
	mx_str s = mx_str_of(text);
	size_t i = 0;

	while (i < s.n) {
		size_t end = skip_verbatim(s, i);
		if (end > i) {
			mx_buf_add(out, s.p + i, end - i);
			i = end;
		} else if (s.p[i] == '$' && i + 1 < s.n && s.p[i + 1] >= '0' && s.p[i + 1] <= '9') {
			mx_buf_byte(out, param);
			i++;
		} else if (s.p[i] == '{') {
			const char *close = memchr(s.p + i, '}', s.n - i);
			if (close == NULL)
				return mx_error_new(MX_E_UNKNOWN, "SQL has a { without a }");
			mx_str word = { s.p + i + 1, (size_t)(close - s.p) - i - 1 };
			MX_TRY(put_word(word, words, n, out));
			i += word.n + 2;
		} else {
			mx_buf_byte(out, s.p[i++]);
		}
	}
	if (mx_buf_failed(out))
		return mx_error_new(MX_E_UNKNOWN, "an SQL statement is too long");
	return NULL;
}
