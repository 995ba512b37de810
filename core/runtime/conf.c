#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/runtime/conf_private.h"
#include "core/runtime/option.h"

enum { CONF_D_MAX = 1000, SECRET_MAX_BYTES = 64 << 10, SHOWN_MAX = 80 };

void *
mx_config_more(void *v, size_t n, size_t *room, size_t size)
{
	if (n < *room)
		return v;
	*room = *room == 0 ? 16 : *room * 2;
	return mx_realloc(v, *room, size);
}

unsigned
mx_config_add_file(struct mx_config *c, const char *label)
{
	c->files = mx_realloc(c->files, c->file_count + 1, sizeof(*c->files));
	c->files[c->file_count] = mx_arena_str(c->arena, mx_str_of(label)).p;
	return c->file_count++;
}

static void note(struct mx_config *c, unsigned file, unsigned line, const char *fmt, va_list ap)
	MX_PRINTF(4, 0);

static void
note(struct mx_config *c, unsigned file, unsigned line, const char *fmt, va_list ap)
{
	char *text;

	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	c->mistakes = mx_config_more(c->mistakes, c->mistake_count, &c->mistake_room,
				     sizeof(*c->mistakes));
	c->mistakes[c->mistake_count] = (struct mx_config_mistake){
		file, line, c->mistake_count, mx_arena_str(c->arena, mx_str_of(text)).p,
	};
	c->mistake_count++;
	free(text);
}

void
mx_config_note(struct mx_config *c, unsigned file, unsigned line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note(c, file, line, fmt, ap);
	va_end(ap);
}

struct mx_config_entry *
mx_config_find(const struct mx_config *c, const char *section, const char *name)
{
	for (size_t i = c->entry_count; i-- > 0;)
		if (strcmp(c->entries[i].section, section) == 0 &&
		    strcmp(c->entries[i].name, name) == 0)
			return &c->entries[i];
	return NULL;
}

static const struct mx_config_head *
head_of(const struct mx_config *c, const char *section)
{
	for (size_t i = 0; i < c->head_count; i++)
		if (strcmp(c->heads[i].section, section) == 0)
			return &c->heads[i];
	return NULL;
}

void
mx_config_mistake(struct mx_config *c, const char *section, const char *name, const char *fmt, ...)
{
	const struct mx_config_entry *e = name != NULL ? mx_config_find(c, section, name) : NULL;
	const struct mx_config_head *head = section != NULL ? head_of(c, section) : NULL;
	va_list ap;

	va_start(ap, fmt);
	if (e != NULL)
		note(c, e->file, e->line, fmt, ap);
	else
		note(c, head != NULL ? head->file : 0, head != NULL ? head->line : 0, fmt, ap);
	va_end(ap);
}

mx_str
mx_config_text(const struct mx_config *c, const char *section, const char *name)
{
	const struct mx_config_entry *e = mx_config_find(c, section, name);

	return e != NULL ? e->value : (mx_str){ NULL, 0 };
}

/* ---- reading ---- */

static int
wanted(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return d->d_name[0] != '.' && n > 5 && strcmp(d->d_name + n - 5, ".conf") == 0;
}

static int
by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void
read_folder(struct mx_config *c, const char *path, const char *label)
{
	const char *slash = strrchr(path, '/'), *label_slash = strrchr(label, '/');
	mx_str base = { path, slash != NULL ? (size_t)(slash + 1 - path) : 0 };
	mx_str shown = { label, label_slash != NULL ? (size_t)(label_slash + 1 - label) : 0 };
	mx_str folder = mx_arena_printf(c->arena, "%.*sconf.d", MX_SFMT(base));
	struct dirent **found;
	int n = scandir(folder.p, &found, wanted, by_bytes);

	if (n < 0) {
		if (errno != ENOENT)
			mx_config_note(c, 0, 0, "%s cannot be read: %s", folder.p, strerror(errno));
		return;
	}
	if (n > CONF_D_MAX)
		mx_config_note(c, 0, 0, "%s has more than %d files", folder.p, CONF_D_MAX);
	for (int i = 0; i < n; i++) {
		if (i < CONF_D_MAX)
			mx_config_read_file(
				c, mx_arena_printf(c->arena, "%s/%s", folder.p, found[i]->d_name).p,
				mx_arena_printf(c->arena, "%.*sconf.d/%s", MX_SFMT(shown),
						found[i]->d_name)
					.p);
		free(found[i]);
	}
	free(found);
}

struct mx_config *
mx_config_read(const char *path, const char *label)
{
	struct mx_config *c = mx_alloc(sizeof(*c));

	c->arena = mx_arena_new();
	if (label == NULL)
		label = path;
	mx_config_read_file(c, path, label);
	read_folder(c, path, label);
	return c;
}

void
mx_config_free(struct mx_config **config)
{
	struct mx_config *c = *config;

	*config = NULL;
	if (c == NULL)
		return;
	/* Secrets may stand among the values; the arena's memory goes back to malloc. */
	for (size_t i = 0; i < c->entry_count; i++)
		explicit_bzero((char *)c->entries[i].value.p, c->entries[i].value.n);
	mx_arena_free(&c->arena);
	free(c->files);
	free(c->entries);
	free(c->sections);
	free(c->mistakes);
	free(c->heads);
	free(c);
}

void
mx_config_set(struct mx_config *c, const char *assignment)
{
	mx_str left, value, section, name;

	if (c->file_count == 0 || strcmp(c->files[c->file_count - 1], "--set") != 0)
		mx_config_add_file(c, "--set");
	if (!mx_str_cut(mx_str_of(assignment), '=', &left, &value) ||
	    !mx_str_cut(left, '.', &section, &name) || section.n == 0 || name.n == 0) {
		mx_config_note(c, c->file_count - 1, 0, "%s: expected section.name=value",
			       assignment);
		return;
	}
	c->entries =
		mx_config_more(c->entries, c->entry_count, &c->entry_room, sizeof(*c->entries));
	c->entries[c->entry_count++] = (struct mx_config_entry){
		.section = mx_arena_str(c->arena, section).p,
		.name = mx_arena_str(c->arena, name).p,
		.value = mx_arena_str(c->arena, value),
		.file = c->file_count - 1,
	};
}

/* ---- secrets from files ---- */

/* A small file without the newline at its end. */
static mx_error *
read_secret(const char *path, struct mx_arena *a, mx_str *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *p;
	ssize_t n;

	if (fd < 0)
		return mx_error_new(MX_E_CONFIG, "%s cannot be read: %s", path, strerror(errno));
	p = mx_arena_alloc(a, SECRET_MAX_BYTES + 1);
	n = read(fd, p, SECRET_MAX_BYTES + 1);
	close(fd);
	if (n < 0)
		return mx_error_new(MX_E_CONFIG, "%s cannot be read: %s", path, strerror(errno));
	if (n > SECRET_MAX_BYTES)
		return mx_error_new(MX_E_CONFIG, "%s is larger than %d bytes", path,
				    SECRET_MAX_BYTES);
	if (memchr(p, 0, (size_t)n) != NULL)
		return mx_error_new(MX_E_CONFIG, "%s is not text", path);
	while (n > 0 && (p[n - 1] == '\n' || p[n - 1] == '\r'))
		n--;
	*out = (mx_str){ p, (size_t)n };
	return NULL;
}

/* The text of a secret: NAME, NAME_file, or the credential SECTION.NAME of the service manager. */
static mx_error *
secret_text(struct mx_config *c, const char *section, const struct mx_option *row,
	    struct mx_arena *a, mx_str *out, const char **from)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	const char *file_name = mx_arena_printf(a, "%s_file", row->name).p;
	struct mx_config_entry *file = mx_config_find(c, section, file_name);
	const char *credential;

	if (file != NULL) {
		*from = file_name;
		file->known = true;
		if (out->p != NULL)
			return mx_error_new(MX_E_CONFIG, "%s is given too: one of both", row->name);
		return read_secret(file->value.p, a, out);
	}
	if (out->p != NULL || folder == NULL || folder[0] != '/')
		return NULL;
	credential = mx_arena_printf(a, "%s/%s.%s", folder, section, row->name).p;
	return access(credential, F_OK) == 0 ? read_secret(credential, a, out) : NULL;
}

/* ---- binding ---- */

void
mx_values_free(struct mx_values **values)
{
	struct mx_values *v = *values;

	*values = NULL;
	if (v == NULL)
		return;
	mx_arena_free(&v->arena);
	free(v);
}

/* Marks every entry for the option, also those that a later file overrides. */
static void
mark_known(struct mx_config *c, const char *section, const char *name)
{
	for (size_t i = 0; i < c->entry_count; i++)
		if (strcmp(c->entries[i].section, section) == 0 &&
		    strcmp(c->entries[i].name, name) == 0)
			c->entries[i].known = true;
}

static void
bind_one(struct mx_config *c, const char *section, const struct mx_option *row, struct mx_values *v,
	 bool idle)
{
	const char *name = row->name, *from = row->name;
	bool secret = (row->flags & MX_OPT_SECRET) != 0;
	mx_str text = mx_config_text(c, section, name);
	mx_error *e = mx_option_default(row, v->arena, v->data);

	if (e != NULL) {
		mx_config_mistake(c, section, NULL, "[%s] %s: its built-in default is wrong: %s",
				  section, name, mx_error_text(e));
		mx_error_free(&e);
	}
	mark_known(c, section, name);
	if (secret) {
		mark_known(c, section, mx_arena_printf(v->arena, "%s_file", name).p);
		if (!idle)
			e = secret_text(c, section, row, v->arena, &text, &from);
	}
	if (e == NULL && text.p != NULL)
		e = mx_option_parse(row, text, v->arena, v->data);
	if (e != NULL && secret)
		mx_config_mistake(c, section, from, "[%s] %s: %s", section, from, mx_error_text(e));
	else if (e != NULL)
		mx_config_mistake(c, section, name, "[%s] %s = %.*s%s: %s%s", section, name,
				  (int)(text.n < SHOWN_MAX ? text.n : SHOWN_MAX), text.p,
				  text.n < SHOWN_MAX ? "" : "…", mx_error_text(e),
				  memchr(text.p, '#', text.n) != NULL ||
						  memchr(text.p, ';', text.n) != NULL
					  ? " (a comment stands on a line of its own)"
					  : "");
	else if (text.p == NULL && !idle && (row->flags & MX_OPT_REQUIRED) != 0)
		mx_config_mistake(c, section, NULL, "[%s] %s is missing%s%s. %s", section, name,
				  secret ? ", or " : "",
				  secret ? mx_arena_printf(v->arena, "%s_file", name).p : "",
				  row->help != NULL ? row->help : "");
	mx_error_free(&e);
}

struct mx_values *
mx_config_bind(struct mx_config *c, const char *section, const struct mx_option *rows, size_t n,
	       size_t size, uint32_t flags)
{
	struct mx_values *v = mx_alloc(sizeof(*v));
	struct mx_config_section *s;
	bool own_enabled = false;

	v->arena = mx_arena_new();
	v->data = mx_arena_alloc(v->arena, size > 0 ? size : 1);
	c->sections = mx_config_more(c->sections, c->section_count, &c->section_room,
				     sizeof(*c->sections));
	s = &c->sections[c->section_count++];
	*s = (struct mx_config_section){
		.name = mx_arena_str(c->arena, mx_str_of(section)).p,
		.rows = mx_options_copy(rows, n, sizeof(*rows), c->arena),
		.n = n,
		.flags = flags,
	};
	for (size_t i = 0; i < n; i++) {
		bind_one(c, section, &s->rows[i], v, (flags & MX_BIND_IDLE) != 0);
		own_enabled |= strcmp(s->rows[i].name, "enabled") == 0;
	}
	if ((flags & MX_BIND_MODULE) != 0 && !own_enabled)
		mark_known(c, section, "enabled");
	return v;
}

void
mx_config_tolerate(struct mx_config *c, const char *section)
{
	c->sections = mx_config_more(c->sections, c->section_count, &c->section_room,
				     sizeof(*c->sections));
	c->sections[c->section_count++] = (struct mx_config_section){
		.name = mx_arena_str(c->arena, mx_str_of(section)).p, .tolerated = true,
	};
}

/* ---- the report ---- */

static const struct mx_config_section *
section_find(const struct mx_config *c, const char *name)
{
	for (size_t i = 0; i < c->section_count; i++)
		if (strcmp(c->sections[i].name, name) == 0)
			return &c->sections[i];
	return NULL;
}

static const char *
section_name(void *arg, size_t i)
{
	return ((struct mx_config *)arg)->sections[i].name;
}

static const char *
row_name(void *arg, size_t i)
{
	return ((const struct mx_config_section *)arg)->rows[i].name;
}

/* Another section that has an option of this name. */
static const char *
home_of(const struct mx_config *c, const char *name)
{
	for (size_t i = 0; i < c->section_count; i++)
		for (size_t j = 0; j < c->sections[i].n; j++)
			if (strcmp(c->sections[i].rows[j].name, name) == 0)
				return c->sections[i].name;
	return NULL;
}

static void
unknown_option(struct mx_config *c, const struct mx_config_entry *e,
	       const struct mx_config_section *s)
{
	const char *near = mx_nearest(mx_str_of(e->name), s->n, row_name, (void *)s);
	const char *home = near == NULL ? home_of(c, e->name) : NULL;

	if (near != NULL)
		mx_config_note(c, e->file, e->line, "[%s] has no option %s; did you mean %s?",
			       s->name, e->name, near);
	else if (home != NULL)
		mx_config_note(c, e->file, e->line, "[%s] has no option %s; it belongs into [%s]",
			       s->name, e->name, home);
	else
		mx_config_note(c, e->file, e->line, "[%s] has no option %s", s->name, e->name);
}

static void
unknown_section(struct mx_config *c, const struct mx_config_head *h)
{
	const char *near = mx_nearest(mx_str_of(h->section), c->section_count, section_name, c);

	if (near != NULL)
		mx_config_note(
			c, h->file, h->line,
			"there is no section [%s] and no module of this name; did you mean [%s]?",
			h->section, near);
	else
		mx_config_note(c, h->file, h->line,
			       "there is no section [%s] and no module of this name", h->section);
}

static int
by_place(const void *a, const void *b)
{
	const struct mx_config_mistake *x = a, *y = b;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

void
mx_config_undeclared(struct mx_config *c, void (*fn)(void *arg, const char *section), void *arg)
{
	for (size_t i = 0; i < c->head_count; i++)
		if (section_find(c, c->heads[i].section) == NULL)
			fn(arg, c->heads[i].section);
}

static void
find_unknown(struct mx_config *c)
{
	for (size_t i = 0; i < c->head_count; i++)
		if (section_find(c, c->heads[i].section) == NULL)
			unknown_section(c, &c->heads[i]);
	for (size_t i = 0; i < c->entry_count; i++) {
		const struct mx_config_entry *e = &c->entries[i];
		const struct mx_config_section *s = section_find(c, e->section);

		if (s != NULL && !s->tolerated && !e->known)
			unknown_option(c, e, s);
		else if (s == NULL && head_of(c, e->section) == NULL)
			mx_config_note(c, e->file, e->line, "there is no section [%s]", e->section);
	}
}

mx_error *
mx_config_check(struct mx_config *c)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	find_unknown(c);
	if (c->mistake_count == 0)
		return NULL;
	qsort(c->mistakes, c->mistake_count, sizeof(*c->mistakes), by_place);
	for (size_t i = 0; i < c->mistake_count; i++) {
		const struct mx_config_mistake *m = &c->mistakes[i];

		if (i > 0)
			mx_buf_byte(b, '\n');
		mx_buf_str(b, mx_str_of(c->files[m->file]));
		if (m->line != 0)
			mx_buf_printf(b, ":%u", m->line);
		mx_buf_printf(b, ": %s", m->text);
	}
	return mx_error_new(MX_E_CONFIG, "%s", mx_buf_cstr(b));
}
