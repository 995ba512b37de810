/* myelin.conf(5), from the options as the core and the modules declare them. mdoc(7). */
#include "config.h"

#include "core/ctl/catalog.h"
#include "core/runtime/option.h"

static const char head[] =
	".\\\" Made by: myelinctl config reference --mdoc\n"
	".Dd November 24, 2026\n"
	".Dt MYELIN.CONF 5\n"
	".Os\n"
	".Sh NAME\n"
	".Nm myelin.conf\n"
	".Nd configuration of the Myelin homeserver\n"
	".Sh DESCRIPTION\n"
	".Xr myelind 8\n"
	"reads\n"
	".Nm\n"
	"and then, in the order of their names, the files\n"
	".Pa conf.d/*.conf\n"
	"beside it.\n"
	"A later file overrides an earlier one, option by option; within one file a\n"
	"second value for an option is a mistake.\n"
	".Pp\n"
	"A section begins with its name in brackets, and an option is a line of its own:\n"
	".Bd -literal -offset indent\n"
	"# a comment\n"
	"[section]\n"
	"name = value\n"
	".Ed\n"
	".Pp\n"
	"A value goes up to the end of its line, so that a comment cannot stand behind\n"
	"it; double quotes around it keep spaces at its ends.\n"
	"Relative paths start at the folder of\n"
	".Nm .\n"
	".Pp\n"
	"An option takes one of these:\n"
	".Bl -tag -width duration\n"
	".It yes or no\n"
	"Also true, false, on, off, 1 and 0.\n"
	".It number\n"
	"A whole number.\n"
	".It text\n"
	"Anything, or one of the words that are listed.\n"
	".It duration\n"
	"Numbers with a unit: ms, s, m, h, d or w;\n"
	".Li 1h30m\n"
	"is ninety minutes.\n"
	".It size\n"
	"Bytes, or a number with K, M, G or T, which count 1024 each.\n"
	".It list\n"
	"Words separated by commas; double quotes around one let it hold a comma.\n"
	".El\n"
	".Pp\n"
	"The value of a secret can also come from a file: the option with\n"
	".Li _file\n"
	"behind its name gives the path.\n"
	"The same is done with a credential of the service manager whose name is\n"
	"section, dot, option.\n"
	".Pp\n"
	"Everything is checked before anything is started.\n"
	"All mistakes are told at once, with file, line and a hint, and\n"
	".Xr myelind 8\n"
	"ends with status 78.\n"
	"On\n"
	".Dv SIGHUP\n"
	"or\n"
	".Ic myelinctl reload\n"
	"a running server takes up the options that are marked with\n"
	".Dq reload ;\n"
	"the others need a restart.\n"
	".Sh SECTIONS OF THE CORE\n";

static const char modules_head[] =
	".Sh SECTIONS OF MODULES\n"
	"Each module reads a section of its own name.\n"
	"Every one of them also takes\n"
	".Ic enabled ;\n"
	".Li enabled = no\n"
	"leaves the module out when\n"
	".Ic load\n"
	"in\n"
	".Li [modules]\n"
	"is\n"
	".Li * .\n"
	"Modules without options are not listed here; they are in\n"
	".Ic myelinctl module list --installed .\n";

static const char tail[] =
	".Sh FILES\n"
	".Bl -tag -width Ds\n"
	".It Pa " MX_SYSCONFDIR "/myelin/myelin.conf\n"
	"where it is when nothing else is said.\n"
	".El\n"
	".Sh EXAMPLES\n"
	"A small server on SQLite, behind a proxy that does TLS:\n"
	".Bd -literal -offset indent\n"
	"[server]\n"
	"name = example.org\n"
	"public_url = https://matrix.example.org\n"
	"signing_key = signing.key\n"
	"\n"
	"[database]\n"
	"url = sqlite:myelin.db\n"
	"\n"
	"[http]\n"
	"listen = 127.0.0.1:8008\n"
	"trusted_proxies = 127.0.0.1\n"
	"\n"
	"[client-register]\n"
	"enabled = no\n"
	".Ed\n"
	".Sh SEE ALSO\n"
	".Xr myelinctl 1 ,\n"
	".Xr myelin-modules 7 ,\n"
	".Xr myelind 8\n";

/* ---- text that is no macro ---- */

enum { COLUMNS = 78 };

/* Running text, filled; each sentence on a line of its own, and nothing that the formatter would
 * take for its own. */
static void
put_text(struct mx_buf *b, const char *z)
{
	size_t column = 0;

	for (mx_str rest = mx_str_of(z), word; rest.n > 0;) {
		if (!mx_str_cut(rest, ' ', &word, &rest))
			rest = (mx_str){ NULL, 0 };
		if (column > 0 && column + 1 + word.n > COLUMNS) {
			mx_buf_byte(b, '\n');
			column = 0;
		} else if (column > 0) {
			mx_buf_byte(b, ' ');
			column++;
		}
		if (column == 0 && word.n > 0 && (word.p[0] == '.' || word.p[0] == '\''))
			mx_buf_str(b, MX_S("\\&"));
		for (size_t i = 0; i < word.n; i++) {
			if (word.p[i] == '\\')
				mx_buf_str(b, MX_S("\\e"));
			else
				mx_buf_byte(b, word.p[i]);
		}
		column += word.n;
		if (word.n > 1 && word.p[word.n - 1] == '.' && rest.n > 0 && rest.p[0] >= 'A' &&
		    rest.p[0] <= 'Z') {
			mx_buf_byte(b, '\n');
			column = 0;
		}
	}
}

/* An argument of a macro, in quotes so that no word of it is called. */
static void
put_argument(struct mx_buf *b, const char *z)
{
	mx_buf_byte(b, '"');
	for (; *z != 0; z++) {
		if (*z == '"')
			mx_buf_str(b, MX_S("\\(dq"));
		else if (*z == '\\')
			mx_buf_str(b, MX_S("\\e"));
		else
			mx_buf_byte(b, *z);
	}
	mx_buf_byte(b, '"');
}

/* ---- options ---- */

static void
put_default(const struct mx_option *row, struct mx_buf *b)
{
	if ((row->flags & MX_OPT_REQUIRED) != 0)
		mx_buf_str(b, MX_S("; required"));
	else if (row->def != NULL && row->def[0] != 0)
		mx_buf_printf(b, "; default: %s", row->def);
	else if (row->type == MX_OPT_BOOL)
		mx_buf_str(b, MX_S("; default: no"));
	if ((row->flags & MX_OPT_SECRET) != 0)
		mx_buf_str(b, MX_S("; secret"));
	if ((row->flags & MX_OPT_RELOAD) != 0)
		mx_buf_str(b, MX_S("; reload"));
}

static void
put_option(const struct mx_option *row, struct mx_buf *b)
{
	MX_AUTO(mx_buf) *traits = mx_buf_new(0);

	mx_option_words(row, traits);
	put_default(row, traits);
	mx_buf_printf(b, ".It Ic %s No = ", row->name);
	put_argument(b, mx_buf_cstr(traits));
	mx_buf_byte(b, '\n');
	put_text(b, row->help != NULL ? row->help : row->name);
	mx_buf_byte(b, '\n');
}

struct page {
	struct mx_buf *b;
	bool modules;
};

static mx_error *
put_section(void *arg, const struct mx_ctl_section *s)
{
	struct page *p = arg;

	if (s->module && !p->modules)
		mx_buf_str(p->b, MX_S(modules_head));
	p->modules = s->module;
	mx_buf_str(p->b, MX_S(".Ss "));
	mx_buf_printf(p->b, "[%s]\\&\n", s->name);
	put_text(p->b, s->summary);
	mx_buf_printf(p->b, "%s\n.Bl -tag -width Ds\n",
		      s->summary[0] != 0 && s->summary[strlen(s->summary) - 1] == '.' ? "" : ".");
	for (size_t i = 0; i < s->n; i++)
		put_option(&s->rows[i], p->b);
	mx_buf_str(p->b, MX_S(".El\n"));
	return NULL;
}

mx_error *
mx_ctl_manual(struct mx_ctl_catalog *c, struct mx_buf *b)
{
	struct page p = { .b = b };

	mx_buf_str(b, MX_S(head));
	MX_TRY(mx_ctl_sections(c, put_section, &p));
	mx_buf_str(b, MX_S(tail));
	return NULL;
}
