/* The configuration: checking it, printing what is in force, explaining options, the reference. */
#include "config.h"

#include "core/ctl/catalog.h"
#include "core/ctl/ctl.h"
#include "core/daemon/setup.h"
#include "core/runtime/option.h"

/* ---- check and dump ---- */

static mx_error *
read_all(struct mx_ctl *ctl, struct mx_setup **out)
{
	struct mx_setup_options o = { .set = ctl->set, .set_count = ctl->set_count };

	*out = NULL;
	MX_TRY(mx_ctl_move_in(ctl, &o.file));
	return mx_setup_read(&o, out);
}

/* What only the start would find: the key. */
static mx_error *
check_key(const struct mx_setup *s)
{
	MX_AUTO(mx_signing_key) *k = NULL;

	return mx_error_wrap(mx_signing_key_load(s->core->server.signing_key, &k),
			     "[server] signing_key");
}

static mx_error *
check(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	struct mx_setup *s;
	mx_error *e = read_all(ctl, &s);

	(void)args, (void)n, (void)status;
	if (e == NULL)
		e = check_key(s);
	if (e == NULL)
		printf("%s: no mistakes\n", s->file);
	mx_setup_close(&s);
	return e;
}

static mx_error *
dump(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_setup *s;
	mx_error *e = read_all(ctl, &s);

	(void)args, (void)n, (void)status;
	if (e == NULL) {
		mx_config_dump(s->config, b);
		mx_ctl_write(mx_buf_view(b));
	}
	mx_setup_close(&s);
	return e;
}

/* ---- explain ---- */

struct explaining {
	mx_str section, name;		/* section may be empty: any */
	struct mx_buf *b;
	size_t found;
	struct mx_arena *arena;
	const char *all[2000];		/* every name, for a suggestion */
	size_t n;
};

static void
remember(struct explaining *x, const char *section, const char *name)
{
	if (x->n < sizeof(x->all) / sizeof(x->all[0]))
		x->all[x->n++] = name == NULL ? mx_arena_str(x->arena, mx_str_of(section)).p :
			x->section.n > 0 ? mx_arena_printf(x->arena, "%s.%s", section, name).p :
			mx_arena_str(x->arena, mx_str_of(name)).p;
}

static mx_error *
explain_section(void *arg, const struct mx_ctl_section *s)
{
	struct explaining *x = arg;
	bool whole = x->section.n == 0 && mx_str_eq(x->name, mx_str_of(s->name));

	remember(x, s->name, NULL);
	if (whole) {
		mx_buf_printf(x->b, "%s[%s] %s\n\n", x->found > 0 ? "\n" : "", s->name, s->summary);
		x->found++;
	}
	for (size_t i = 0; i < s->n; i++) {
		remember(x, s->name, s->rows[i].name);
		if (!whole && (!mx_str_eq(x->name, mx_str_of(s->rows[i].name)) ||
			       (x->section.n > 0 && !mx_str_eq(x->section, mx_str_of(s->name)))))
			continue;
		mx_option_explain(s->name, &s->rows[i], x->b);
		x->found++;
	}
	return NULL;
}

static const char *
name_at(void *arg, size_t i)
{
	return ((struct explaining *)arg)->all[i];
}

/* "section.name", "name", "section"; the section may stand in brackets. */
static void
read_name(const char *const *args, size_t n, struct explaining *x)
{
	mx_str s = mx_str_of(args[0]), head, tail;

	if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		s = (mx_str){ s.p + 1, s.n - 2 };
	if (n == 2) {
		x->section = s;
		x->name = mx_str_of(args[1]);
	} else if (mx_str_cut(s, '.', &head, &tail)) {
		x->section = head;
		x->name = tail;
	} else {
		x->name = s;
	}
}

static mx_error *
explain(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct explaining *x = mx_arena_alloc(a, sizeof(*x));
	struct mx_ctl_catalog c;
	const char *near;
	mx_error *e;

	x->arena = a;
	x->b = b;
	read_name(args, n, x);
	mx_ctl_catalog_open(ctl, &c);
	e = mx_ctl_sections(&c, explain_section, x);
	mx_ctl_catalog_close(&c);
	if (e != NULL)
		return e;
	mx_ctl_write(mx_buf_view(b));
	if (x->found > 0)
		return NULL;
	*status = MX_CTL_FAILED;
	near = mx_nearest(mx_str_of(args[0]), x->n, name_at, x);
	return mx_error_new(MX_E_NOT_FOUND, "there is no option and no section %s%s%s%s", args[0],
			    near != NULL ? "; did you mean " : "", near != NULL ? near : "",
			    near != NULL ? "?" : "");
}

/* ---- reference ---- */

static mx_error *
put_reference(void *arg, const struct mx_ctl_section *s)
{
	mx_options_reference(s->name, s->summary, s->rows, s->n, arg);
	return NULL;
}

static mx_error *
reference(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_ctl_catalog c;
	mx_error *e;

	if (n == 1 && strcmp(args[0], "--mdoc") != 0) {
		*status = MX_CTL_USAGE;
		return NULL;
	}
	mx_ctl_catalog_open(ctl, &c);
	e = n == 1 ? mx_ctl_manual(&c, b) : mx_ctl_sections(&c, put_reference, b);
	mx_ctl_catalog_close(&c);
	if (e == NULL)
		mx_ctl_write(mx_buf_view(b));
	return e;
}

const struct mx_ctl_command mx_ctl_config_commands[] = {
	{ "config check", "", "reads the configuration and the modules, and tells every mistake",
	  "With file, line and a hint each. Exit status 78 when there are any.", 0, 0, check },
	{ "config dump", "", "prints the configuration that is in force, defaults included",
	  "Secrets are not shown. The running server's: myelinctl config show.", 0, 0, dump },
	{ "config explain", "NAME | SECTION.NAME | SECTION",
	  "explains an option, or all of a section",
	  "What it is for, what it takes, its default, and whether a reload takes it up. Needs no "
	  "configuration.",
	  1, 2, explain },
	{ "config reference", "[--mdoc]", "prints a configuration with every option there is",
	  "Each with its help and default, commented out. --mdoc prints the manual page "
	  "myelin.conf(5) instead.\n"
	  "Needs no configuration.",
	  0, 1, reference },
};
const size_t mx_ctl_config_command_count =
	sizeof(mx_ctl_config_commands) / sizeof(mx_ctl_config_commands[0]);
