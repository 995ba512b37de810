/* Base64 as other servers read it. */
#ifndef CORE_BASE_ENCODE_H
#define CORE_BASE_ENCODE_H

#include <myelin/base.h>

/* As mx_base64_decode, but the bits behind the last whole byte may be anything: what is signed or
 * used as a key must be read as the other servers read it, and the specification's own test key
 * ends in such bits. */
bool mx_base64_decode_lax(struct mx_buf *b, mx_str s);

#endif
