/* Logging: one line an occurrence, with a tag that never changes (to search for and to test for), a
 * sentence, and key=value fields. Levels are set per area ("http", "room", a module's name) at run
 * time. Lines go to standard error, or to the journal with priorities when it is there. Any thread
 * may log. Never log a secret, a token, or the content of a message. */
#ifndef MYELIN_LOG_H
#define MYELIN_LOG_H

#include <myelin/error.h>

enum mx_level { MX_ERROR = 3, MX_WARN = 4, MX_INFO = 6, MX_DEBUG = 7 };

struct mx_field {
	const char *key;
	enum { MX_FIELD_STR, MX_FIELD_INT, MX_FIELD_ERROR } kind;
	mx_str s;
	int64_t i;
	const mx_error *e;
};

static inline struct mx_field
mx_fs(const char *key, mx_str s)
{
	return (struct mx_field){ .key = key, .kind = MX_FIELD_STR, .s = s };
}

static inline struct mx_field
mx_fz(const char *key, const char *z)
{
	return mx_fs(key, mx_str_of(z));
}

static inline struct mx_field
mx_fi(const char *key, int64_t i)
{
	return (struct mx_field){ .key = key, .kind = MX_FIELD_INT, .i = i };
}

static inline struct mx_field
mx_fe(const mx_error *e)	/* error="text" errcode=…; borrowed */
{
	return (struct mx_field){ .key = "error", .kind = MX_FIELD_ERROR, .e = e };
}

/* mx_log("http", MX_WARN, "HTTP003", "slow client", mx_fs("address", a), mx_fi("ms", t)); */
#define mx_log(area, level, tag, text, ...)                                                        \
	mx_log_fields(area, level, tag, text, (const struct mx_field[]){ { 0 }, ##__VA_ARGS__ },   \
		      sizeof((const struct mx_field[]){ { 0 }, ##__VA_ARGS__ }) /                  \
			      sizeof(struct mx_field))

/* fields[0] is skipped, so that the list may be empty. */
MX_API void mx_log_fields(const char *area, enum mx_level level, const char *tag, const char *text,
			  const struct mx_field *fields, size_t n);
/* Whether a line of this level would be written: spares preparing what nobody reads. */
MX_API bool mx_log_wants(const char *area, enum mx_level level);
/* "info" or "info,http=debug,sql=warn". NULL: the built-in level. Unknown words are an error. */
MX_API mx_error *mx_log_levels(const char *spec) MX_MUST_USE;

#endif
