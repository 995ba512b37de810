/* How a configuration lies in memory: for conf.c, conf_read.c and conf_print.c. */
#ifndef CORE_RUNTIME_CONF_PRIVATE_H
#define CORE_RUNTIME_CONF_PRIVATE_H

#include "core/runtime/conf.h"

struct mx_config_entry {
	const char *section, *name;
	mx_str value;
	unsigned file, line;		/* file: index into files */
	bool known;			/* some declared option took it */
};

struct mx_config_section {
	const char *name;
	const struct mx_option *rows;
	size_t n;
	uint32_t flags;
	bool tolerated;			/* anything goes */
};

struct mx_config_mistake {
	unsigned file, line;
	size_t order;
	const char *text;
};

struct mx_config {
	struct mx_arena *arena;
	const char **files;		/* as messages name them; the last is "--set" */
	unsigned file_count;
	struct mx_config_entry *entries;
	size_t entry_count, entry_room;
	struct mx_config_section *sections;
	size_t section_count, section_room;
	struct mx_config_mistake *mistakes;
	size_t mistake_count, mistake_room;
	struct mx_config_head {		/* where a section's name stands, for those without any option */
		const char *section;
		unsigned file, line;
	} *heads;
	size_t head_count, head_room;
};

/* Makes room for one more of n things of this size. */
void *mx_config_more(void *v, size_t n, size_t *room, size_t size);
unsigned mx_config_add_file(struct mx_config *c, const char *label);
void mx_config_note(struct mx_config *c, unsigned file, unsigned line, const char *fmt, ...)
	MX_PRINTF(4, 5);
/* Reads one file; a missing one is a mistake unless optional. */
void mx_config_read_file(struct mx_config *c, const char *path, const char *label);
/* The entry that counts: the last one. */
struct mx_config_entry *mx_config_find(const struct mx_config *c, const char *section,
				       const char *name);

#endif
