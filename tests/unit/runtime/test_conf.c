/* What an operator may write into myelin.conf, and what is said about the rest. */
#include "config.h"

#include "tests/unit/support/unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "core/runtime/conf.h"
#include "core/runtime/option.h"

struct options {
	bool flag;
	int64_t count;
	const char *text, *choice, *password;
	struct mx_duration time;
	struct mx_size size;
	struct mx_list list;
};

static const struct mx_option ROWS[] = {
	MX_OPT(struct options, flag, .def = "yes", .help = "A flag."),
	MX_OPT(struct options, count, .def = "5", .min = 1, .max = 20, .help = "A number."),
	MX_OPT(struct options, text, .help = "A text."),
	MX_OPT(struct options, choice, .def = "a", .choices = "a|b|c", .help = "A choice."),
	MX_OPT(struct options, password, .flags = MX_OPT_SECRET, .help = "A secret."),
	MX_OPT(struct options, time, .def = "10s", .max = 60000, .flags = MX_OPT_RELOAD,
	       .help = "A time."),
	MX_OPT(struct options, size, .def = "64K", .help = "A size."),
	MX_OPT(struct options, list, .help = "A list."),
};
enum { ROW_COUNT = sizeof(ROWS) / sizeof(ROWS[0]) };

static char folder[] = "/tmp/mx-conf-XXXXXX";

static const char *
write_file(const char *name, mx_str text)
{
	static char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
	assert_int_equal(fclose(f), 0);
	return path;
}

static int
make_folder(void **state)
{
	char path[256];

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/conf.d", folder);
	return mkdir(path, 0700);
}

static int
remove_folder(void **state)
{
	static const char *const names[] = {
		"myelin.conf",      "secret",           "conf.d/10-a.conf",
		"conf.d/20-b.conf", "conf.d/notes.txt", "conf.d",
		"t.text",           "t.password",       ""
	};
	char path[256];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		remove(path);
	}
	return 0;
}

static struct mx_config *
reading(mx_str text)
{
	return mx_config_read(write_file("myelin.conf", text), "myelin.conf");
}

static struct mx_values *
bound(struct mx_config *c)
{
	return mx_config_bind(c, "t", ROWS, ROW_COUNT, sizeof(struct options), 0);
}

/* Reads the text, expects no mistakes, and gives the values. */
static struct mx_values *
good(mx_str text)
{
	struct mx_config *c = reading(text);
	struct mx_values *v = bound(c);

	unit_ok(mx_config_check(c));
	mx_config_free(&c);
	return v;
}

static void
absent_options_have_their_defaults(void **state)
{
	struct mx_values *v = good(MX_S("[t]\n"));
	const struct options *o = v->data;

	(void)state;
	assert_true(o->flag);
	assert_int_equal(o->count, 5);
	assert_null(o->text);
	assert_string_equal(o->choice, "a");
	assert_int_equal(o->time.ms, 10000);
	assert_int_equal(o->size.bytes, 65536);
	assert_int_equal(o->list.n, 0);
	assert_null(o->list.v[0]);
	mx_values_free(&v);
}

static void
values_of_every_type_are_read(void **state)
{
	struct mx_values *v =
		good(MX_S("; comment\n# comment\n[t]\r\n  flag = off\ncount=20\ntext =  two "
			  "words\nchoice = c\n"
			  "time = 1m\nsize = 1M\nlist = a, \"b, c\" ,\"d \\\"e\\\"\"\n"));
	const struct options *o = v->data;

	(void)state;
	assert_false(o->flag);
	assert_int_equal(o->count, 20);
	assert_string_equal(o->text, "two words");
	assert_string_equal(o->choice, "c");
	assert_int_equal(o->time.ms, 60000);
	assert_int_equal(o->size.bytes, 1 << 20);
	assert_int_equal(o->list.n, 3);
	assert_string_equal(o->list.v[0], "a");
	assert_string_equal(o->list.v[1], "b, c");
	assert_string_equal(o->list.v[2], "d \"e\"");
	assert_null(o->list.v[3]);
	mx_values_free(&v);
}

static void
a_value_is_not_cut_at_a_semicolon_or_a_hash(void **state)
{
	struct mx_values *v =
		good(MX_S("[t]\npassword = abc ;def # ghi\ntext = \" both ends \"\n"));
	const struct options *o = v->data;

	(void)state;
	assert_string_equal(o->password, "abc ;def # ghi");
	assert_string_equal(o->text, " both ends ");
	mx_values_free(&v);
}

static void
a_value_may_be_of_any_length(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_values *v;

	(void)state;
	mx_buf_str(b, MX_S("[t]\ntext = "));
	for (size_t i = 0; i < 100000; i++)
		mx_buf_byte(b, (char)('a' + i % 26));
	mx_buf_str(b, MX_S("\ncount = 7\n"));
	v = good(mx_buf_view(b));
	assert_int_equal(strlen(((const struct options *)v->data)->text), 100000);
	assert_int_equal(((const struct options *)v->data)->count, 7);
	mx_values_free(&v);
}

/* ---- mistakes ---- */

static const struct {
	const char *text, *report;
} MISTAKES[] = {
	{ "[t]\ncount = many\n",
	  "myelin.conf:2: [t] count = many: expected a whole number from 1 to 20" },
	{ "[t]\ncount = 21\n",
	  "myelin.conf:2: [t] count = 21: expected a whole number from 1 to 20" },
	{ "[t]\ncount = 7 ; seven\n", "myelin.conf:2: [t] count = 7 ; seven: expected a whole "
				      "number from 1 to 20 (a comment stands on "
				      "a line of its own)" },
	{ "[t]\nflag = maybe\n", "myelin.conf:2: [t] flag = maybe: expected yes or no" },
	{ "[t]\nchoice = d\n", "myelin.conf:2: [t] choice = d: expected one of: a, b, c" },
	{ "[t]\ntime = 10\n", "myelin.conf:2: [t] time = 10: expected a duration (10s, 5m, 2h, 1d, "
			      "250ms) from 0ms to 1m" },
	{ "[t]\ntime = 2m\n", "myelin.conf:2: [t] time = 2m: expected a duration (10s, 5m, 2h, 1d, "
			      "250ms) from 0ms to 1m" },
	{ "[t]\nsize = 99999999999T\n",
	  "myelin.conf:2: [t] size = 99999999999T: expected a size (512, 64K, 50M, 1G)" },
	{ "[t]\nlist = a,,b\n", "myelin.conf:2: [t] list = a,,b: an element of the list is empty" },
	{ "[t]\nlist = \"a\n", "myelin.conf:2: [t] list = \"a: a quoted string does not end" },
	{ "[t]\ncuont = 1\n", "myelin.conf:2: [t] has no option cuont; did you mean count?" },
	{ "[t]\nxyzzyx = 1\n", "myelin.conf:2: [t] has no option xyzzyx" },
	{ "[u]\ncount = 1\n",
	  "myelin.conf:1: there is no section [u] and no module of this name; did you mean [t]?" },
	{ "[quite-else]\n",
	  "myelin.conf:1: there is no section [quite-else] and no module of this name" },
	{ "count = 1\n", "myelin.conf:1: count stands before any [section]" },
	{ "[t]\ntext = a\n  b\n",
	  "myelin.conf:3: expected name = value (a value cannot go on in a second line)" },
	{ "[t]\ntext : a\n",
	  "myelin.conf:2: expected name = value (a value cannot go on in a second line)" },
	{ "[t\ncount = 1\n", "myelin.conf:1: a section is [name], alone on its line" },
	{ "[t] x\n", "myelin.conf:1: a section is [name], alone on its line" },
	{ "[t]\ncount = 1\n[t]\ncount = 2\n",
	  "myelin.conf:4: [t] count is given a second time; the first is in line 2" },
	{ "[t]\n\xff = 1\n", "myelin.conf:2: the line is not text in UTF-8" },
	{ "[t]\na b = 1\n", "myelin.conf:2: \"a b\": the name of an option is made of up to 64 "
			    "letters, digits and _" },
	{ "[aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee]\n",
	  "myelin.conf:1: [aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee]: the name of a "
	  "section is made of up to 48 letters, "
	  "digits, - and _" },
	{ "[t]\npassword_file = /nowhere/at/all\n",
	  "myelin.conf:2: [t] password_file: /nowhere/at/all cannot be read: No such file or "
	  "directory" },
	{ "[t]\npassword = a\npassword_file = b\n",
	  "myelin.conf:3: [t] password_file: password is given too: one of both" },
	{ "[t]\ncount = 0\n\n[t]\nflag = 2\nno\n",
	  "myelin.conf:2: [t] count = 0: expected a whole number from 1 to 20\n"
	  "myelin.conf:5: [t] flag = 2: expected yes or no\n"
	  "myelin.conf:6: expected name = value (a value cannot go on in a second line)" },
};

static void
every_mistake_is_told_with_its_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(MISTAKES) / sizeof(MISTAKES[0]); i++) {
		struct mx_config *c = reading(mx_str_of(MISTAKES[i].text));
		struct mx_values *v = bound(c);
		mx_error *e = mx_config_check(c);

		assert_true(mx_error_is(e, MX_E_CONFIG));
		assert_string_equal(mx_error_text(e), MISTAKES[i].report);
		mx_error_free(&e);
		mx_values_free(&v);
		mx_config_free(&c);
	}
}

static void
a_nul_byte_is_a_mistake(void **state)
{
	struct mx_config *c = reading(MX_S("[t]\ntext = a\0b\n"));
	struct mx_values *v = bound(c);
	mx_error *e = mx_config_check(c);

	(void)state;
	assert_string_equal(mx_error_text(e), "myelin.conf:2: the line is not text in UTF-8");
	mx_error_free(&e);
	mx_values_free(&v);
	mx_config_free(&c);
}

static void
a_missing_file_is_a_mistake(void **state)
{
	struct mx_config *c = mx_config_read("/nowhere/myelin.conf", "myelin.conf");
	mx_error *e = mx_config_check(c);

	(void)state;
	assert_string_equal(mx_error_text(e),
			    "myelin.conf: cannot be read: No such file or directory");
	mx_error_free(&e);
	mx_config_free(&c);
}

static void
a_required_option_is_missed(void **state)
{
	static const struct mx_option row[] = { MX_OPT(
		struct options, text, .flags = MX_OPT_REQUIRED, .help = "The name.") };
	static const struct mx_option secret[] = { MX_OPT(struct options, password,
							  .flags = MX_OPT_REQUIRED | MX_OPT_SECRET,
							  .help = "The word.") };
	struct mx_config *c = reading(MX_S("\n[t]\n"));
	struct mx_values *v = mx_config_bind(c, "t", row, 1, sizeof(struct options), 0);
	struct mx_values *w = mx_config_bind(c, "u", secret, 1, sizeof(struct options), 0);
	struct mx_values *idle =
		mx_config_bind(c, "w", secret, 1, sizeof(struct options), MX_BIND_IDLE);
	mx_error *e = mx_config_check(c);

	(void)state;
	assert_string_equal(mx_error_text(e),
			    "myelin.conf: [u] password is missing, or password_file. The word.\n"
			    "myelin.conf:2: [t] text is missing. The name.");
	mx_error_free(&e);
	mx_values_free(&v);
	mx_values_free(&w);
	mx_values_free(&idle);
	mx_config_free(&c);
}

static void
a_secret_is_never_repeated(void **state)
{
	static const struct mx_option row[] = { MX_OPT(struct options, password,
						       .flags = MX_OPT_SECRET, .choices = "x|y") };
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_config *c = reading(MX_S("[t]\npassword = hunter2\n"));
	struct mx_values *v = mx_config_bind(c, "t", row, 1, sizeof(struct options), 0);
	mx_error *e = mx_config_check(c);

	(void)state;
	assert_string_equal(mx_error_text(e), "myelin.conf:2: [t] password: expected one of: x, y");
	mx_config_dump(c, b);
	assert_null(strstr(mx_buf_cstr(b), "hunter2"));
	assert_non_null(strstr(mx_buf_cstr(b), "# password is a secret and not shown; it is set"));
	mx_error_free(&e);
	mx_values_free(&v);
	mx_config_free(&c);
}

static void
a_secret_comes_from_a_file(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_values *v;

	(void)state;
	mx_buf_printf(b, "[t]\npassword_file = %s\n",
		      write_file("secret", MX_S("s3cret with spaces \n")));
	v = good(mx_buf_view(b));
	assert_string_equal(((const struct options *)v->data)->password, "s3cret with spaces ");
	mx_values_free(&v);
}

static void
a_secret_comes_from_a_credential(void **state)
{
	struct mx_values *v;

	(void)state;
	write_file("t.password", MX_S("of systemd\n"));
	setenv("CREDENTIALS_DIRECTORY", folder, 1);
	v = good(MX_S("[t]\n"));
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_string_equal(((const struct options *)v->data)->password, "of systemd");
	mx_values_free(&v);
}

static void
later_files_and_the_command_line_override(void **state)
{
	struct mx_config *c;
	struct mx_values *v;
	const struct options *o;

	(void)state;
	write_file("conf.d/20-b.conf", MX_S("[t]\nchoice = c\n"));
	write_file("conf.d/10-a.conf", MX_S("[t]\nchoice = b\ncount = 2\ntext = from a\n"));
	write_file("conf.d/notes.txt", MX_S("not for us\n"));
	c = reading(MX_S("[t]\ncount = 1\nchoice = a\n"));
	mx_config_set(c, "t.text=from the line");
	v = bound(c);
	o = v->data;
	unit_ok(mx_config_check(c));
	assert_int_equal(o->count, 2);
	assert_string_equal(o->choice, "c");
	assert_string_equal(o->text, "from the line");
	mx_values_free(&v);
	mx_config_free(&c);
	write_file("conf.d/10-a.conf", MX_S(""));
	write_file("conf.d/20-b.conf", MX_S("[t]\n\nnone = 1\n"));
	c = reading(MX_S(""));
	v = bound(c);
	mx_config_set(c, "nonsense");
	mx_config_set(c, "no.thing=1");
	mx_error *e = mx_config_check(c);
	assert_string_equal(mx_error_text(e), "conf.d/20-b.conf:3: [t] has no option none\n"
					      "--set: nonsense: expected section.name=value\n"
					      "--set: there is no section [no]");
	mx_error_free(&e);
	mx_values_free(&v);
	mx_config_free(&c);
	write_file("conf.d/20-b.conf", MX_S(""));
}

static void
an_option_is_explained(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	(void)state;
	mx_option_explain("t", &ROWS[5], b);
	assert_string_equal(mx_buf_cstr(b), "[t] time\n  A time.\n  Takes: duration (10s, 5m, 2h, "
					    "1d, 250ms) from 0ms to 1m; default 10s; "
					    "a reload takes it up\n");
}

static void
the_reference_is_a_valid_configuration(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_values *v;

	(void)state;
	mx_options_reference("t", "Testing.", ROWS, ROW_COUNT, b);
	assert_non_null(
		strstr(mx_buf_cstr(b),
		       "\n# A number.\n# whole number from 1 to 20; default 5\n#count = 5\n"));
	v = good(mx_buf_view(b));
	mx_values_free(&v);
}

static void
a_row_that_lies_is_refused(void **state)
{
	struct mx_option row = ROWS[1];

	(void)state;
	unit_ok(mx_option_check(&row, sizeof(struct options)));
	unit_refused(mx_option_check(&row, row.offset + 7), MX_E_CONFIG);
	row.def = "99";
	unit_refused(mx_option_check(&row, sizeof(struct options)), MX_E_CONFIG);
	row.def = NULL;
	row.type = 77;
	unit_refused(mx_option_check(&row, sizeof(struct options)), MX_E_CONFIG);
	row.type = MX_OPT_INT;
	row.name = "Count";
	unit_refused(mx_option_check(&row, sizeof(struct options)), MX_E_CONFIG);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(absent_options_have_their_defaults),
		unit_case(values_of_every_type_are_read),
		unit_case(a_value_is_not_cut_at_a_semicolon_or_a_hash),
		unit_case(a_value_may_be_of_any_length),
		unit_case(every_mistake_is_told_with_its_line),
		unit_case(a_nul_byte_is_a_mistake),
		unit_case(a_missing_file_is_a_mistake),
		unit_case(a_required_option_is_missed),
		unit_case(a_secret_is_never_repeated),
		unit_case(a_secret_comes_from_a_file),
		unit_case(a_secret_comes_from_a_credential),
		unit_case(later_files_and_the_command_line_override),
		unit_case(an_option_is_explained),
		unit_case(the_reference_is_a_valid_configuration),
		unit_case(a_row_that_lies_is_refused),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
