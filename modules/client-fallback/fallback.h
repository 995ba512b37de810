/* client-fallback inside: pages.c has the pages, module.c serves them. */
#ifndef CLIENT_FALLBACK_H
#define CLIENT_FALLBACK_H

#include <myelin/module.h>

/* A page is put together of these: the same head, what the page asks for, and its script. */
extern const char page_style[], page_login[], page_login_script[], page_stage_script[];
/* What the stage asks for; NULL when there is no page for it. */
const char *page_stage(mx_str stage);

#endif
