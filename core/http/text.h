/* Percent-encoding, the query of a URL, and HTTP dates. RFC 3986, 2.1; WHATWG URL, 5.1. */
#ifndef CORE_HTTP_TEXT_H
#define CORE_HTTP_TEXT_H

#include <myelin/base.h>

/* Whether each % is followed by two hexadecimal digits. */
bool mx_percent_valid(mx_str s);
/* Decodes into out[s.n]; plus: "+" is a space. False for a bad escape. */
bool mx_percent_decode(mx_str s, bool plus, char *out, size_t *n);
/* Whether names and values of the query decode to UTF-8 without NUL. scratch: query.n bytes. */
bool mx_query_valid(mx_str query, char *scratch);
/* The nth parameter of that name, still encoded; false when there are fewer. */
bool mx_query_find(mx_str query, mx_str name, size_t nth, mx_str *value);
/* "Tue, 24 Nov 2026 10:10:00 GMT" */
enum { MX_HTTP_DATE = 30 };
void mx_http_date(int64_t seconds, char out[MX_HTTP_DATE]);

#endif
