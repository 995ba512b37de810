/* The command line: the options that every command takes, finding the command, help, and how it
 * ends. */
#include "config.h"

#include <unistd.h>

#include <myelin/core.h>

#include "core/ctl/ctl.h"

struct table {
	const struct mx_ctl_command *rows;
	const size_t *n;
};

static const struct table tables[] = {
	{ mx_ctl_server_commands, &mx_ctl_server_command_count },
	{ mx_ctl_user_commands, &mx_ctl_user_command_count },
	{ mx_ctl_room_commands, &mx_ctl_room_command_count },
	{ mx_ctl_module_commands, &mx_ctl_module_command_count },
	{ mx_ctl_config_commands, &mx_ctl_config_command_count },
	{ mx_ctl_db_commands, &mx_ctl_db_command_count },
	{ mx_ctl_key_commands, &mx_ctl_key_command_count },
};
enum { TABLES = sizeof(tables) / sizeof(tables[0]) };

static const char options_help[] =
	"Options, anywhere on the line:\n"
	"  --config FILE        the server's configuration (default: " MX_SYSCONFDIR
	"/myelin/myelin.conf)\n"
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

static bool
is_ours(const char *name)
{
	for (size_t t = 0; t < TABLES; t++)
		for (size_t i = 0; i < *tables[t].n; i++)
			if (strcmp(tables[t].rows[i].name, name) == 0)
				return true;
	return false;
}

/* ---- help ---- */

static void
show_line(const char *name, const char *usage, const char *help)
{
	int width = printf("  %s%s%s", name, usage[0] != 0 ? " " : "", usage);

	/* A long one has its help on the next line. */
	if (width > 38)
		width = printf("\n") - 1;
	printf("%*s%s\n", 39 - width, "", help);
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

/* The commands of modules, when a server is there to ask. */
static void
show_commands_there(struct mx_ctl *ctl, const char *const *words, size_t n)
{
	struct mx_ctl_answer answer = { 0 };
	int status, fd, shown = 0;
	mx_error *e = mx_ctl_connect(ctl, &fd);
	json_t *one;
	size_t i;

	if (e == NULL && fd >= 0) {
		e = mx_ctl_exchange(fd, (const mx_str[]){ MX_S("help") }, 1, &answer, &status);
		close(fd);
	}
	json_array_foreach(answer.json, i, one) {
		const char *name = json_string_value(json_object_get(one, "name"));
		const char *usage = json_string_value(json_object_get(one, "usage"));
		const char *text = json_string_value(json_object_get(one, "help"));

		if (name == NULL || usage == NULL || text == NULL || !begins(name, words, n) ||
		    is_ours(name))
			continue;
		if (shown++ == 0)
			puts("\nCommands of the running server's modules:");
		show_line(name, usage, text);
	}
	mx_ctl_answer_free(&answer);
	mx_error_free(&e);
}

static int
help(struct mx_ctl *ctl, const char *const *words, size_t n)
{
	const struct mx_ctl_command *c = find(words, n);

	if (c != NULL) {
		printf("usage: myelinctl [--config FILE] %s%s%s\n%s%s%s\n\n%s", c->name,
		       c->usage[0] != 0 ? " " : "", c->usage, c->help,
		       c->more != NULL ? "\n\n" : "", c->more != NULL ? c->more : "", options_help);
		return MX_CTL_OK;
	}
	puts("usage: myelinctl [OPTIONS] COMMAND [ARGUMENTS]\n"
	     "Manages a Myelin homeserver: its configuration, key, users, modules and database.\n");
	if (show_commands(words, n) == 0 && n > 0)
		show_commands(NULL, n = 0);
	show_commands_there(ctl, words, n);
	printf("\n%s", options_help);
	return MX_CTL_OK;
}

/* ---- running ---- */

/* A text of several lines has a mistake on each. */
static void
complain(const char *text)
{
	for (mx_str rest = mx_str_of(text), line; rest.n > 0;) {
		if (!mx_str_cut(rest, '\n', &line, &rest))
			rest = (mx_str){ NULL, 0 };
		fprintf(stderr, "myelinctl: %.*s\n", MX_SFMT(line));
	}
}

static int
usage(const struct mx_ctl_command *c)
{
	fprintf(stderr, "usage: myelinctl [--config FILE] %s%s%s\n", c->name,
		c->usage[0] != 0 ? " " : "", c->usage);
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

/* What is not in the tables may be a command of a module, which only the server knows. */
static int
run_there(struct mx_ctl *ctl, const char *const *words, size_t n)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_str *all = mx_arena_alloc(a, n * sizeof(*all));
	int status = MX_CTL_OK, fd;
	mx_error *e = mx_ctl_connect(ctl, &fd);

	if (e == NULL && fd >= 0) {
		close(fd);
		for (size_t i = 0; i < n; i++)
			all[i] = mx_str_of(words[i]);
		e = mx_ctl_forward(ctl, MX_CTL_SERVER, all, n, &status);
		if (e != NULL &&
		    mx_str_starts(mx_str_of(mx_error_text(e)), MX_S("there is no command")))
			status = MX_CTL_USAGE;
		return finish(e, status);
	}
	fprintf(stderr,
		"myelinctl: there is no command %s%s%s; myelinctl --help lists them\n"
		"(commands of modules are the running server's, %s)\n",
		words[0], n > 1 ? " " : "", n > 1 ? words[1] : "",
		e != NULL ? mx_error_text(e) : "and none runs");
	mx_error_free(&e);
	return MX_CTL_USAGE;
}

static int
run(struct mx_ctl *ctl, const char *const *words, size_t n)
{
	const struct mx_ctl_command *c = find(words, n);
	size_t length;
	int status = MX_CTL_OK;
	mx_error *e;

	if (c == NULL)
		return run_there(ctl, words, n);
	length = words_in(c->name);
	if (n - length < c->min || n - length > c->max)
		return usage(c);
	e = c->run(ctl, words + length, n - length, &status);
	return e == NULL && status == MX_CTL_USAGE ? usage(c) : finish(e, status);
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
		bool config = is_option(argv[i], "--config"),
		     override = is_option(argv[i], "--set");

		if (only_words || !(argv[i][0] == '-' && argv[i][1] != 0)) {
			words[n++] = argv[i];
		} else if (config || override) {
			const char *name = config ? "--config" : "--set",
				   *value = value_of(name, argc, argv, &i);

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
		return finish(NULL, help(&ctl, words + 1, n - 1));
	if (want_help)
		return finish(NULL, help(&ctl, words, n));
	if (n == 0) {
		complain("no command was given; myelinctl --help lists them");
		return MX_CTL_USAGE;
	}
	return run(&ctl, words, n);
}
