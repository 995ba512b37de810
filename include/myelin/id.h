/* Identifiers. Appendices, "Identifier Grammar". All are borrowed views; at most 255 bytes. */
#ifndef MYELIN_ID_H
#define MYELIN_ID_H

#include <myelin/error.h>

/* Each says whether s is well-formed; the parts may be NULL. A historical user id (any characters
 * but ":" and NUL in the localpart) passes mx_id_user; only mx_id_localpart_strict ones may be
 * registered. */
MX_API bool mx_id_user(mx_str s, mx_str *localpart, mx_str *server);
MX_API bool mx_id_room(mx_str s);			/* "!opaque[:server]" */
MX_API bool mx_id_alias(mx_str s, mx_str *localpart, mx_str *server);
MX_API bool mx_id_event(mx_str s);
MX_API bool mx_id_server(mx_str s);			/* host[:port], IPv4, [IPv6] */
MX_API bool mx_id_localpart_strict(mx_str s);		/* a-z 0-9 . _ = - / + */
MX_API bool mx_id_opaque(mx_str s, size_t max);		/* A-Z a-z 0-9 . _ ~ - : device-like ids we make */
MX_API mx_str mx_id_server_of(mx_str id);		/* behind the first ':'; {NULL, 0} when none */
/* Checks a user id from a client; MX_E_INVALID_PARAM names the parameter. */
MX_API mx_error *mx_id_check_user(mx_str s, const char *what) MX_MUST_USE;
MX_API mx_error *mx_id_check_room(mx_str s, const char *what) MX_MUST_USE;

#endif
