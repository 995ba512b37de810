/* The configuration: myelin.conf and conf.d/ANY.conf beside it, read once into entries, then bound
 * to the options that the core's areas and the modules declare. Nothing stops at a mistake: all are
 * kept and told in one report, each with its file and line, by mx_config_check.
 *
 *	# comments and ; comments stand on lines of their own
 *	[section]
 *	name = value		up to the end of the line; "…" around it keeps spaces at the ends
 *
 * A later file overrides an earlier one, option by option; within one file a second value is a
 * mistake. */
#ifndef CORE_RUNTIME_CONF_H
#define CORE_RUNTIME_CONF_H

#include <myelin/module.h>

struct mx_config;

/* Reads the files. label: how messages name the file; NULL: as path. Never fails; mx_config_check
 * has what was wrong. */
struct mx_config *mx_config_read(const char *path, const char *label);
void mx_config_free(struct mx_config **c);
/* "section.name=value" from the command line: overrides the files. */
void mx_config_set(struct mx_config *c, const char *assignment);

/* A filled options struct, with the memory of its strings. */
struct mx_values {
	void *data;
	struct mx_arena *arena;
};
void mx_values_free(struct mx_values **v);

enum mx_config_bind_flags {
	MX_BIND_MODULE = 1 << 0,	/* a module's section: "enabled" is the loader's unless the module declares it */
	MX_BIND_IDLE = 1 << 1,		/* the section is known but not in use: only what stands there is checked */
};
/* Declares a section and reads its values into a new struct of this size. Always gives one; what is
 * wrong in the file becomes a mistake and leaves the default. rows are copied. */
struct mx_values *mx_config_bind(struct mx_config *c, const char *section,
				 const struct mx_option *rows, size_t n, size_t size,
				 uint32_t flags);
/* The section exists, but what it may hold is not known (its module is broken or belongs to another
 * database). */
void mx_config_tolerate(struct mx_config *c, const char *section);
/* The value that stands in the files for an option, declared or not; {NULL, 0} when none does. */
mx_str mx_config_text(const struct mx_config *c, const char *section, const char *name);
/* Adds a mistake about an option (name NULL: the section; section NULL: the whole): placed at its
 * line when it has one. */
void mx_config_mistake(struct mx_config *c, const char *section, const char *name, const char *fmt,
		       ...) MX_PRINTF(4, 5);

/* NULL, or MX_E_CONFIG with every mistake, a line each, in the order of files and lines. Sections
 * and options that nobody has declared by now are mistakes too. */
mx_error *mx_config_check(struct mx_config *c) MX_MUST_USE;

/* Calls fn with each section of the files that is not declared yet. */
void mx_config_undeclared(struct mx_config *c, void (*fn)(void *arg, const char *section),
			  void *arg);

/* What is in force, as a file that could be read again; secrets are not shown. */
void mx_config_dump(const struct mx_config *c, struct mx_buf *b);
/* A section of the reference configuration: each option with its help, what it takes and its
 * default, commented out. */
void mx_options_reference(const char *section, const char *summary, const struct mx_option *rows,
			  size_t n, struct mx_buf *b);
/* All about one option, for a person. */
void mx_option_explain(const char *section, const struct mx_option *row, struct mx_buf *b);

#endif
