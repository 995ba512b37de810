/* From files to entries. inih finds sections and names; around it stands a reader that hands it one
 * line at a time, counts them, and keeps the values back: as a library of the system it is built to
 * cut lines at 200 bytes, values at " ;" and section names at 49, and to join indented lines to
 * what stood before. */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/runtime/conf_private.h"

enum { FILE_MAX_BYTES = 4 << 20, SECTION_MAX = 48, NAME_MAX_LENGTH = 64 };

struct reader {
	struct mx_config *c;
	mx_str rest;			/* what is not read yet */
	unsigned file, line;
	mx_str value;			/* of the line that inih sees now */
	bool in_section, seen_section;
};

static mx_str
trim(mx_str s)
{
	while (s.n > 0 && isspace((unsigned char)s.p[0]))
		s.p++, s.n--;
	while (s.n > 0 && isspace((unsigned char)s.p[s.n - 1]))
		s.n--;
	return s;
}

static bool
is_name(mx_str s, size_t max)
{
	for (size_t i = 0; i < s.n; i++)
		if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '_' && s.p[i] != '-')
			return false;
	return s.n > 0 && s.n <= max;
}

/* The line for inih, or an empty one when there is nothing (good) in it. */
static void
section_line(struct reader *r, mx_str s, char *out, size_t room)
{
	mx_str name = trim((mx_str){ s.p + 1, s.n > 1 ? s.n - 2 : 0 });

	/* Until the next section, options belong to none: one mistake is enough for them. */
	r->in_section = false;
	r->seen_section = true;
	if (s.p[s.n - 1] != ']' || s.n < 2) {
		mx_config_note(r->c, r->file, r->line, "a section is [name], alone on its line");
	} else if (!is_name(name, SECTION_MAX)) {
		mx_config_note(r->c, r->file, r->line,
			       "[%.*s]: the name of a section is made of up to %d letters, digits, "
			       "- and _",
			       (int)(name.n < 80 ? name.n : 80), name.p, SECTION_MAX);
	} else {
		struct mx_config *c = r->c;

		snprintf(out, room, "[%.*s]\n", MX_SFMT(name));
		r->in_section = true;
		c->heads =
			mx_config_more(c->heads, c->head_count, &c->head_room, sizeof(*c->heads));
		c->heads[c->head_count++] =
			(struct mx_config_head){ mx_arena_str(c->arena, name).p, r->file, r->line };
	}
}

static void
option_line(struct reader *r, mx_str s, char *out, size_t room)
{
	mx_str name, value;

	if (!mx_str_cut(s, '=', &name, &value)) {
		mx_config_note(r->c, r->file, r->line,
			       "expected name = value (a value cannot go on in a second line)");
		return;
	}
	name = trim(name);
	if (!is_name(name, NAME_MAX_LENGTH)) {
		mx_config_note(
			r->c, r->file, r->line,
			"\"%.*s\": the name of an option is made of up to %d letters, digits and _",
			(int)(name.n < 80 ? name.n : 80), name.p, NAME_MAX_LENGTH);
	} else if (!r->in_section) {
		if (!r->seen_section)
			mx_config_note(r->c, r->file, r->line, "%.*s stands before any [section]",
				       MX_SFMT(name));
	} else {
		r->value = trim(value);
		snprintf(out, room, "%.*s=.\n", MX_SFMT(name));
	}
}

static char *
next_line(char *out, int room, void *arg)
{
	struct reader *r = arg;
	mx_str line, s;

	if (r->rest.n == 0)
		return NULL;
	if (!mx_str_cut(r->rest, '\n', &line, &r->rest))
		r->rest = (mx_str){ NULL, 0 };
	r->line++;
	s = trim(line);
	snprintf(out, (size_t)room, "\n");
	if (s.n == 0 || s.p[0] == '#' || s.p[0] == ';')
		return out;
	if (memchr(s.p, 0, s.n) != NULL || !mx_str_utf8(s))
		mx_config_note(r->c, r->file, r->line, "the line is not text in UTF-8");
	else if (s.p[0] == '[')
		section_line(r, s, out, (size_t)room);
	else
		option_line(r, s, out, (size_t)room);
	return out;
}

static int
take(struct reader *r, const char *section, const char *name)
{
	struct mx_config *c = r->c;
	struct mx_config_entry *before = mx_config_find(c, section, name);

	if (before != NULL && before->file == r->file) {
		mx_config_note(c, r->file, r->line,
			       "[%s] %s is given a second time; the first is in line %u", section,
			       name, before->line);
		return 1;
	}
	c->entries =
		mx_config_more(c->entries, c->entry_count, &c->entry_room, sizeof(*c->entries));
	c->entries[c->entry_count++] = (struct mx_config_entry){
		.section = mx_arena_str(c->arena, mx_str_of(section)).p,
		.name = mx_arena_str(c->arena, mx_str_of(name)).p,
		.value = mx_arena_str(c->arena, r->value),
		.file = r->file,
		.line = r->line,
	};
	return 1;
}

#if INI_HANDLER_LINENO
static int
handler(void *user, const char *section, const char *name, const char *value, int lineno)
{
	(void)value;
	(void)lineno;
	return take(user, section, name);
}
#else
static int
handler(void *user, const char *section, const char *name, const char *value)
{
	(void)value;
	return take(user, section, name);
}
#endif

/* The bytes of a file, up to a limit; NULL and errno. */
static char *
slurp(const char *path, size_t *n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *p = NULL;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) != 0) {
		close(fd);
		return NULL;
	}
	if (S_ISDIR(st.st_mode) || st.st_size > FILE_MAX_BYTES) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EFBIG;
		close(fd);
		return NULL;
	}
	p = mx_realloc(NULL, FILE_MAX_BYTES + 1, 1);
	*n = 0;
	while (*n <= FILE_MAX_BYTES) {
		ssize_t got = read(fd, p + *n, FILE_MAX_BYTES + 1 - *n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			if (got < 0)
				*n = SIZE_MAX;
			break;
		}
		*n += (size_t)got;
	}
	if (*n > FILE_MAX_BYTES) {
		int why = *n == SIZE_MAX ? errno : EFBIG;

		free(p);
		p = NULL;
		errno = why;
	}
	close(fd);
	return p;
}

void
mx_config_read_file(struct mx_config *c, const char *path, const char *label)
{
	struct reader r = { .c = c, .file = mx_config_add_file(c, label) };
	size_t n;
	char *text = slurp(path, &n);

	if (text == NULL) {
		mx_config_note(c, r.file, 0, "cannot be read: %s", strerror(errno));
		return;
	}
	r.rest = (mx_str){ text, n };
	if (mx_str_starts(r.rest, MX_S("\xef\xbb\xbf")))
		r.rest = (mx_str){ text + 3, n - 3 };
	if (ini_parse_stream(next_line, &r, handler, &r) != 0)
		mx_config_note(c, r.file, 0, "cannot be parsed");
	free(text);
}
