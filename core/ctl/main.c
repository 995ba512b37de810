/* The command line: the options that every command takes, finding the command, help, and how it ends. */
#include "config.h"

#include <stdlib.h>

#include <myelin/core.h>

#include "core/ctl/ctl.h"

struct table {
	const struct mx_ctl_command *rows;
	const size_t *n;
};

static const struct table tables[] = {
	{ mx_ctl_key_commands, &mx_ctl_key_command_count },
};
enum { TABLES = sizeof(tables) / sizeof(tables[0]) };

static const char options_help[] =
	"Options, anywhere on the line:\n"
	"  --config FILE        the server's configuration (default: " MX_SYSCONFDIR "/myelin/myelin.conf)\n"
	"  --set SECTION.NAME=VALUE\n"
	"                       overrides the configuration, as for myelind\n"
	"  --json               the answer as JSON, where a command has one\n"
	"  --help, --version\n"
	"\n"
	"Exit status: 0 done, 1 failed, 2 wrong usage, 78 a mistake in the configuration.\n";

/* ---- finding ---- */

static size_t
words_in(const char *name)
{
	size_t n = 1;

	for (; *name != 0; name++)
		n += *name == ' ';
	return n;
}

/* How many of the words name begins with (all of them: the words are a beginning of it), or is. */
static bool
begins(const char *name, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t m = strlen(words[i]);

		if (strncmp(name, words[i], m) != 0 || (name[m] != ' ' && name[m] != 0))
			return false;
		name += m;
		if (*name == 0)
			return i + 1 == n;
		name++;
	}
	return true;
}

static const struct mx_ctl_command *
find(const char *const *words, size_t n)
{
	for (size_t t = 0; t < TABLES; t++) {
		for (size_t i = 0; i < *tables[t].n; i++) {
			const struct mx_ctl_command *c = &tables[t].rows[i];
			size_t length = words_in(c->name);

			if (n >= length && begins(c->name, words, length))
				return c;
		}
	}
	return NULL;
}

/* ---- help ---- */

static void
show_line(const char *name, const char *usage, const char *help)
{
	int width = printf("  %s%s%s", name, usage[0] != 0 ? " " : "", usage);

	printf("%*s%s\n", width < 38 ? 39 - width : 1, "", help);
}

/* The commands that begin with these words; how many there are. */
static size_t
show_commands(const char *const *words, size_t n)
{
	size_t shown = 0;

	for (size_t t = 0; t < TABLES; t++) {
		for (size_t i = 0; i < *tables[t].n; i++) {
			const struct mx_ctl_command *c = &tables[t].rows[i];

			if (!begins(c->name, words, n))
				continue;
			if (shown++ == 0)
				puts("Commands:");
			show_line(c->name, c->usage, c->help);
		}
	}
	return shown;
}

static int
help(const char *const *words, size_t n)
{
	const struct mx_ctl_command *c = find(words, n);

	if (c != NULL) {
		printf("usage: myelinctl [--config FILE] %s%s%s\n%s%s%s\n\n%s", c->name, c->usage[0] != 0 ? " " : "", c->usage,
		       c->help, c->more != NULL ? "\n\n" : "", c->more != NULL ? c->more : "", options_help);
		return MX_CTL_OK;
	}
	puts("usage: myelinctl [OPTIONS] COMMAND [ARGUMENTS]\n"
	     "Manages a Myelin homeserver: its configuration, key, users, modules and database.\n");
	if (show_commands(words, n) == 0)
		show_commands(NULL, 0);
	printf("\n%s", options_help);
	return MX_CTL_OK;
}

/* ---- running ---- */

static void
complain(const char *text)
{
	fprintf(stderr, "myelinctl: %s\n", text);
}

static int
usage(const struct mx_ctl_command *c)
{
	fprintf(stderr, "usage: myelinctl [--config FILE] %s%s%s\n", c->name, c->usage[0] != 0 ? " " : "", c->usage);
	return MX_CTL_USAGE;
}

/* Prints what went wrong, takes e, and says what to exit with. */
static int
finish(mx_error *e, int status)
{
	if (fflush(stdout) != 0 && e == NULL) {
		complain("the output could not be written");
		return MX_CTL_FAILED;
	}
	if (e == NULL)
		return status;
	complain(mx_error_text(e));
	if (status == MX_CTL_OK)
		status = mx_error_is(e, MX_E_CONFIG) ? MX_CTL_CONFIG : MX_CTL_FAILED;
	mx_error_free(&e);
	return status;
}

static int
run(struct mx_ctl *ctl, const char *const *words, size_t n)
{
	const struct mx_ctl_command *c = find(words, n);
	size_t length;
	int status = MX_CTL_OK;
	mx_error *e;

	if (c == NULL) {
		fprintf(stderr, "myelinctl: there is no command %s; myelinctl --help lists them\n", words[0]);
		return MX_CTL_USAGE;
	}
	length = words_in(c->name);
	if (n - length < c->min || n - length > c->max)
		return usage(c);
	e = c->run(ctl, words + length, n - length, &status);
	if (status == MX_CTL_USAGE) {
		if (e != NULL)
			complain(mx_error_text(e));
		mx_error_free(&e);
		return usage(c);
	}
	return finish(e, status);
}

/* The value of an option: behind its "=", or the next argument. */
static const char *
value_of(const char *name, int argc, char **argv, int *i)
{
	size_t n = strlen(name);

	if (strncmp(argv[*i], name, n) != 0)
		return NULL;
	if (argv[*i][n] == '=')
		return argv[*i] + n + 1;
	return argv[*i][n] == 0 && *i + 1 < argc ? argv[++*i] : NULL;
}

static bool
is_option(const char *argument, const char *name)
{
	size_t n = strlen(name);

	return strncmp(argument, name, n) == 0 && (argument[n] == 0 || argument[n] == '=');
}

int
mx_ctl_main(int argc, char **argv)
{
	struct mx_ctl ctl = { .config = MX_SYSCONFDIR "/myelin/myelin.conf" };
	MX_AUTO(mx_arena) *a = mx_arena_new();
	const char **words = mx_arena_alloc(a, ((size_t)argc + 1) * sizeof(*words));
	const char **set = mx_arena_alloc(a, ((size_t)argc + 1) * sizeof(*set));
	bool want_help = false, want_version = false, only_words = false;
	size_t n = 0;

	ctl.set = set;
	for (int i = 1; i < argc; i++) {
		bool config = is_option(argv[i], "--config"), override = is_option(argv[i], "--set");

		if (only_words || !(argv[i][0] == '-' && argv[i][1] != 0)) {
			words[n++] = argv[i];
		} else if (config || override) {
			const char *name = config ? "--config" : "--set", *value = value_of(name, argc, argv, &i);

			if (value == NULL) {
				fprintf(stderr, "myelinctl: %s needs a value\n", name);
				return MX_CTL_USAGE;
			}
			if (config)
				ctl.config = value;
			else
				set[ctl.set_count++] = value;
		} else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			want_help = true;
		} else if (strcmp(argv[i], "--version") == 0) {
			want_version = true;
		} else if (strcmp(argv[i], "--json") == 0) {
			ctl.json = true;
		} else if (strcmp(argv[i], "--") == 0) {
			only_words = true;
		} else {
			words[n++] = argv[i];
		}
	}
	if (want_version || (n == 1 && strcmp(words[0], "version") == 0 && !want_help)) {
		printf("myelinctl %s\n", mx_version());
		return finish(NULL, MX_CTL_OK);
	}
	if (n > 0 && strcmp(words[0], "help") == 0)
		return finish(NULL, help(words + 1, n - 1));
	if (want_help)
		return finish(NULL, help(words, n));
	if (n == 0) {
		complain("no command was given; myelinctl --help lists them");
		return MX_CTL_USAGE;
	}
	return run(&ctl, words, n);
}
