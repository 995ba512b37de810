/* For texts that quote bytes of any kind: error texts, log lines. */
#ifndef CORE_BASE_UTF8_H
#define CORE_BASE_UTF8_H

#include <myelin/base.h>

/* The longest prefix of s that is well-formed UTF-8. */
size_t mx_utf8_prefix(mx_str s);

#endif
