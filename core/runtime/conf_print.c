/* What the tables of options say, as text: for myelinctl, the manual pages and the reference
 * configuration. */
#include "config.h"

#include "core/runtime/conf_private.h"
#include "core/runtime/core.h"
#include "core/runtime/option.h"

static void
put_default(const struct mx_option *row, struct mx_buf *b)
{
	if ((row->flags & MX_OPT_REQUIRED) != 0)
		mx_buf_str(b, MX_S("required"));
	else if (row->def != NULL && row->def[0] != 0)
		mx_buf_printf(b, "default %s", row->def);
	else if (row->type == MX_OPT_BOOL)
		mx_buf_str(b, MX_S("default no"));
	else if (row->type == MX_OPT_STR || row->type == MX_OPT_LIST)
		mx_buf_str(b, MX_S("default empty"));
	else
		mx_buf_str(b, MX_S("default 0"));
}

static void
dump_section(const struct mx_config *c, const struct mx_config_section *s, struct mx_buf *b)
{
	mx_buf_printf(b, "[%s]\n", s->name);
	for (size_t i = 0; i < s->n; i++) {
		const struct mx_option *row = &s->rows[i];
		mx_str text = mx_config_text(c, s->name, row->name);

		if ((row->flags & MX_OPT_SECRET) != 0)
			mx_buf_printf(b, "# %s is a secret and not shown%s\n", row->name,
				      text.p != NULL ? "; it is set" : "");
		else if (text.p != NULL)
			mx_buf_printf(b, "%s = %.*s\n", row->name, MX_SFMT(text));
		else if (row->def != NULL)
			mx_buf_printf(b, "%s = %s\n", row->name, row->def);
		else
			mx_buf_printf(b, "# %s is not set\n", row->name);
	}
	mx_buf_byte(b, '\n');
}

void
mx_config_dump(const struct mx_config *c, struct mx_buf *b)
{
	for (size_t i = 0; i < c->section_count; i++)
		if (!c->sections[i].tolerated && (c->sections[i].flags & MX_BIND_IDLE) == 0)
			dump_section(c, &c->sections[i], b);
}

static void
put_traits(const struct mx_option *row, struct mx_buf *b)
{
	mx_option_words(row, b);
	mx_buf_str(b, MX_S("; "));
	put_default(row, b);
	if ((row->flags & MX_OPT_RELOAD) != 0)
		mx_buf_str(b, MX_S("; a reload takes it up"));
}

void
mx_options_reference(const char *section, const char *summary, const struct mx_option *rows,
		     size_t n, struct mx_buf *b)
{
	if (summary != NULL)
		mx_buf_printf(b, "# %s\n", summary);
	mx_buf_printf(b, "[%s]\n", section);
	for (size_t i = 0; i < n; i++) {
		const struct mx_option *row = &rows[i];

		mx_buf_printf(b, "\n# %s\n# ", row->help != NULL ? row->help : row->name);
		put_traits(row, b);
		if ((row->flags & MX_OPT_SECRET) != 0)
			mx_buf_printf(b, "\n# Or read it from a file: %s_file = PATH", row->name);
		mx_buf_printf(b, "\n%s%s =%s%s\n", (row->flags & MX_OPT_REQUIRED) != 0 ? "" : "#",
			      row->name, row->def != NULL && row->def[0] != 0 ? " " : "",
			      row->def != NULL ? row->def : "");
	}
	mx_buf_byte(b, '\n');
}

void
mx_option_explain(const char *section, const struct mx_option *row, struct mx_buf *b)
{
	mx_buf_printf(b, "[%s] %s\n  %s\n  Takes: ", section, row->name,
		      row->help != NULL ? row->help : "");
	put_traits(row, b);
	mx_buf_byte(b, '\n');
	if ((row->flags & MX_OPT_SECRET) != 0)
		mx_buf_printf(b,
			      "  A secret: never printed. %s_file = PATH reads it from a file, and "
			      "so does the credential\n"
			      "  %s.%s of the service manager (systemd: LoadCredential=).\n",
			      row->name, section, row->name);
}
