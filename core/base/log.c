#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/utf8.h"

/* A line is one write, and a pipe keeps up to 4096 bytes of one write together. */
#define LONGEST_LINE 4096
#define LONGEST_VALUE 1024
#define MAX_AREAS 128
#define AREA_SIZE 48
#define BUILT_IN MX_INFO

/* ---- levels: read without a lock. Areas are only ever added; one without a level of its own has 0. ---- */

static struct {
	char name[AREA_SIZE];
	atomic_int level;
} areas[MAX_AREAS];
static atomic_size_t area_count;
static atomic_int base_level = BUILT_IN;
static atomic_int most_level = BUILT_IN;	/* what no area exceeds */
static pthread_mutex_t levels_lock = PTHREAD_MUTEX_INITIALIZER;	/* for changing them */

bool
mx_log_wants(const char *area, enum mx_level level)
{
	size_t n;

	if ((int)level > atomic_load_explicit(&most_level, memory_order_relaxed))
		return false;
	n = atomic_load_explicit(&area_count, memory_order_acquire);
	for (size_t i = 0; i < n; i++) {
		int own = atomic_load_explicit(&areas[i].level, memory_order_relaxed);

		if (own != 0 && strcmp(areas[i].name, area) == 0)
			return (int)level <= own;
	}
	return (int)level <= atomic_load_explicit(&base_level, memory_order_relaxed);
}

static bool
parse_level(mx_str word, int *out)
{
	static const struct { mx_str word; enum mx_level level; } words[] = {
		{ { "error", 5 }, MX_ERROR }, { { "warn", 4 }, MX_WARN },
		{ { "info", 4 }, MX_INFO }, { { "debug", 5 }, MX_DEBUG },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (mx_str_eq(word, words[i].word)) {
			*out = (int)words[i].level;
			return true;
		}
	}
	return false;
}

static mx_str
trim(mx_str s)
{
	while (s.n != 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s.p++, s.n--;
	while (s.n != 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* Takes the next word off *rest: an area (empty for all others) and its level. */
static mx_error *
next_word(mx_str *rest, mx_str *area, int *level)
{
	mx_str word, name, value;

	mx_str_cut(*rest, ',', &word, rest);
	word = trim(word);
	if (!mx_str_cut(word, '=', &name, &value)) {
		value = name;
		name = (mx_str){ NULL, 0 };
	} else {
		name = trim(name);
		if (name.n == 0 || name.n >= AREA_SIZE)
			return mx_error_new(MX_E_CONFIG, "'%.*s' is not the name of an area",
					    MX_SFMT(name));
	}
	*area = name;
	value = trim(value);
	if (!parse_level(value, level))
		return mx_error_new(MX_E_CONFIG,
				    "'%.*s' is not a level: error, warn, info or debug",
				    MX_SFMT(value));
	return NULL;
}

static bool
set_area(mx_str name, int level)
{
	size_t n = atomic_load(&area_count), i;

	for (i = 0; i < n; i++)
		if (mx_str_eq(mx_str_of(areas[i].name), name))
			break;
	if (i == MAX_AREAS)
		return false;
	if (i == n)
		memcpy(areas[i].name, name.p, name.n);	/* the rest is zero */
	atomic_store(&areas[i].level, level);
	if (i == n)
		atomic_store_explicit(&area_count, n + 1, memory_order_release);
	return true;
}

mx_error *
mx_log_levels(const char *spec)
{
	mx_str rest, area;
	mx_error *e = NULL;
	int level, base = BUILT_IN, most;

	/* All of it is checked before anything changes. */
	for (rest = mx_str_of(spec); rest.n != 0;)
		MX_TRY(next_word(&rest, &area, &level));

	pthread_mutex_lock(&levels_lock);
	for (size_t i = 0; i < atomic_load(&area_count); i++)
		atomic_store(&areas[i].level, 0);
	most = 0;
	for (rest = mx_str_of(spec); rest.n != 0 && e == NULL;) {
		e = next_word(&rest, &area, &level);
		if (e != NULL)
			break;
		if (area.n == 0)
			base = level;
		else if (!set_area(area, level))
			e = mx_error_new(MX_E_CONFIG, "more than %d areas have a level", MAX_AREAS);
		if (area.n != 0 && level > most)
			most = level;
	}
	atomic_store(&base_level, base);
	atomic_store(&most_level, base > most ? base : most);
	pthread_mutex_unlock(&levels_lock);
	return e;
}

/* ---- lines ---- */

struct line {
	size_t n;
	char text[LONGEST_LINE];
};

static const char cut_mark[] = "...\n";
#define USABLE (LONGEST_LINE - (sizeof(cut_mark) - 1))

static void
put(struct line *l, const char *p, size_t n)
{
	if (n > USABLE - l->n)
		n = USABLE - l->n;
	memcpy(l->text + l->n, p, n);
	l->n += n;
}

static void
put_str(struct line *l, const char *z)
{
	put(l, z, strlen(z));
}

static void
put_int(struct line *l, int64_t v)
{
	char digits[24];

	put(l, digits, (size_t)snprintf(digits, sizeof(digits), "%lld", (long long)v));
}

static bool
is_plain(unsigned char c)
{
	return c > ' ' && c < 0x7f && c != '"' && c != '\\' && c != '=';
}

/* A value that could be taken for something else is quoted; nothing in it can begin a new line. */
static void
put_value(struct line *l, mx_str s)
{
	bool plain = s.n != 0, cut = s.n > LONGEST_VALUE;

	if (cut)
		s.n = LONGEST_VALUE;
	for (size_t i = 0; plain && i < s.n; i++)
		plain = is_plain((unsigned char)s.p[i]);
	if (plain) {
		put(l, s.p, s.n);
		if (cut)
			put_str(l, "...");
		return;
	}
	put(l, "\"", 1);
	while (s.n != 0) {
		unsigned char c = (unsigned char)s.p[0];
		size_t n = mx_utf8_prefix((mx_str){ s.p, s.n < 4 ? s.n : 4 });
		char escape[5];

		if (c == '"' || c == '\\') {
			put(l, "\\", 1);
			put(l, s.p, 1);
		} else if (c == '\n') {
			put(l, "\\n", 2);
		} else if (c >= 0x80 && n >= 2 && !(c == 0xc2 && (unsigned char)s.p[1] < 0xa0)) {
			size_t len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

			put(l, s.p, len);
			s.p += len - 1;
			s.n -= len - 1;
		} else if (c < ' ' || c >= 0x7f) {	/* controls of both kinds, and no UTF-8 */
			put(l, escape, (size_t)snprintf(escape, sizeof(escape), "\\x%02x", c));
		} else {
			put(l, s.p, 1);
		}
		s.p++;
		s.n--;
	}
	put_str(l, cut ? "\"..." : "\"");
}

static void
put_field(struct line *l, const struct mx_field *f)
{
	if (f->kind == MX_FIELD_ERROR && f->e == NULL)
		return;
	put(l, " ", 1);
	put_str(l, f->key != NULL ? f->key : "error");
	put(l, "=", 1);
	switch (f->kind) {
	case MX_FIELD_STR:
		put_value(l, f->s);
		break;
	case MX_FIELD_INT:
		put_int(l, f->i);
		break;
	case MX_FIELD_ERROR:
		put_value(l, mx_str_of(mx_error_text(f->e)));
		put_str(l, " errcode=");
		put_str(l, mx_error_errcode(f->e));
		break;
	}
}

static const char *
level_word(enum mx_level level)
{
	switch (level) {
	case MX_ERROR: return "error";
	case MX_WARN: return "warn";
	case MX_INFO: return "info";
	case MX_DEBUG: return "debug";
	}
	return "error";
}

/* ---- where they go ---- */

static mx_log_sink_fn *sink;
static void *sink_arg;
static bool journal;

void
mx_log_sink(mx_log_sink_fn *fn, void *arg)
{
	sink = fn;
	sink_arg = arg;
}

/* systemd names the journal's stream by device and inode: standard error may have been turned
 * elsewhere. */
static void
find_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	journal = stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
		fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

/* The journal has its own clock and takes the level from the prefix; other readers need both in the
 * line. */
static void
put_head(struct line *l, enum mx_level level)
{
	char text[64];
	struct timespec now;
	struct tm tm;
	size_t n;

	if (sink != NULL)
		return;
	if (journal) {
		put(l, text, (size_t)snprintf(text, sizeof(text), "<%d>", (int)level));
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(text + n, sizeof(text) - n, ".%03dZ ", (int)(now.tv_nsec / 1000000));
	put(l, text, n);
}

static void
emit(struct line *l, enum mx_level level, const char *tag)
{
	ssize_t done;

	if (sink != NULL) {
		sink(sink_arg, level, tag, (mx_str){ l->text, l->n });
		return;
	}
	if (l->n == USABLE)
		memcpy(l->text + l->n, cut_mark, sizeof(cut_mark) - 1),
			l->n += sizeof(cut_mark) - 1;
	else
		l->text[l->n++] = '\n';
	/* A log that takes nothing must not stop the server. */
	do
		done = write(STDERR_FILENO, l->text, l->n);
	while (done < 0 && errno == EINTR);
}

void
mx_log_fields(const char *area, enum mx_level level, const char *tag, const char *text,
	      const struct mx_field *fields, size_t n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int saved_errno = errno;
	struct line l;

	if (!mx_log_wants(area, level))
		return;
	pthread_once(&once, find_journal);
	l.n = 0;
	put_head(&l, level);
	put_str(&l, level_word(level));
	put(&l, " ", 1);
	put_str(&l, tag);
	put(&l, " ", 1);
	put_str(&l, area);
	put(&l, ": ", 2);
	put_str(&l, text);
	for (size_t i = 1; i < n; i++)
		put_field(&l, &fields[i]);
	emit(&l, level, tag);
	errno = saved_errno;
}
