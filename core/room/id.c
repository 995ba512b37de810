#include "config.h"

#include <myelin/id.h>

#define MAX_ID 255

/* "X" local ":" server, for the sigils that have both; *local and *server may be NULL. */
static bool
split(mx_str s, char sigil, mx_str *localpart, mx_str *server)
{
	mx_str local, host;

	if (s.n < 2 || s.n > MAX_ID || s.p[0] != sigil)
		return false;
	if (!mx_str_cut((mx_str){ s.p + 1, s.n - 1 }, ':', &local, &host))
		return false;
	if (!mx_id_server(host) || memchr(local.p, '\0', local.n) != NULL || !mx_str_utf8(local))
		return false;
	if (localpart != NULL)
		*localpart = local;
	if (server != NULL)
		*server = host;
	return true;
}

bool
mx_id_user(mx_str s, mx_str *localpart, mx_str *server)
{
	return split(s, '@', localpart, server);
}

bool
mx_id_alias(mx_str s, mx_str *localpart, mx_str *server)
{
	return split(s, '#', localpart, server);
}

/* Whether s is what a sigil may stand before when no server follows: a hash in either alphabet of
 * base64. */
static bool
is_hash(mx_str s)
{
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '_' || c == '+' || c == '/'))
			return false;
	}
	return true;
}

static bool
hash_or_name(mx_str s, char sigil)
{
	if (s.n < 2 || s.n > MAX_ID || s.p[0] != sigil)
		return false;
	return is_hash((mx_str){ s.p + 1, s.n - 1 }) || split(s, sigil, NULL, NULL);
}

bool
mx_id_room(mx_str s)
{
	return hash_or_name(s, '!');
}

bool
mx_id_event(mx_str s)
{
	return hash_or_name(s, '$');
}

static bool
is_port(mx_str s)
{
	int64_t port;

	return s.n <= 5 && mx_str_int(s, 0, 65535, &port) && s.p[0] != '-' && s.p[0] != '+';
}

/* "[" IPv6 "]" [":" port] */
static bool
is_ipv6(mx_str s)
{
	const char *close = memchr(s.p, ']', s.n);
	size_t n = close != NULL ? (size_t)(close - s.p) - 1 : 0;

	if (n < 2 || n > 45)
		return false;
	for (size_t i = 1; i <= n; i++) {
		char c = s.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') ||
		      c == ':' || c == '.'))
			return false;
	}
	s = (mx_str){ close + 1, s.n - n - 2 };
	return s.n == 0 || (s.p[0] == ':' && is_port((mx_str){ s.p + 1, s.n - 1 }));
}

bool
mx_id_server(mx_str s)
{
	mx_str host, port;

	if (s.n == 0 || s.n > MAX_ID)
		return false;
	if (s.p[0] == '[')
		return is_ipv6(s);
	if (mx_str_cut(s, ':', &host, &port) && !is_port(port))
		return false;
	if (host.n == 0)
		return false;
	for (size_t i = 0; i < host.n; i++) {
		char c = host.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      c == '-' || c == '.'))
			return false;
	}
	return true;
}

bool
mx_id_localpart_strict(mx_str s)
{
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
		      c == '=' || c == '-' || c == '/' || c == '+'))
			return false;
	}
	return true;
}

bool
mx_id_opaque(mx_str s, size_t max)
{
	if (s.n == 0 || s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      c == '.' || c == '_' || c == '~' || c == '-'))
			return false;
	}
	return true;
}

mx_str
mx_id_server_of(mx_str id)
{
	mx_str local, server;

	return mx_str_cut(id, ':', &local, &server) ? server : (mx_str){ NULL, 0 };
}

mx_error *
mx_id_check_user(mx_str s, const char *what)
{
	if (mx_id_user(s, NULL, NULL))
		return NULL;
	return mx_error_new(MX_E_INVALID_PARAM, "%s is not a user id", what);
}

mx_error *
mx_id_check_room(mx_str s, const char *what)
{
	if (mx_id_room(s))
		return NULL;
	return mx_error_new(MX_E_INVALID_PARAM, "%s is not a room id", what);
}
