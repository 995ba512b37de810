#include "config.h"

#include "core/http/fetch.h"

#define FETCH(member, ...) MX_OPT(struct mx_fetch_options, member, __VA_ARGS__)

/* IANA's registries of special-purpose addresses, multicast, and what embeds an IPv4 address that
 * cannot be looked at (6to4, Teredo). */
static const char SPECIAL[] =
	"0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, "
	"192.0.0.0/24, 192.0.2.0/24, 192.88.99.0/24, 192.168.0.0/16, 198.18.0.0/15, "
	"198.51.100.0/24, 203.0.113.0/24, 224.0.0.0/4, 240.0.0.0/4, ::/128, ::1/128, "
	"64:ff9b:1::/48, 100::/64, 2001::/23, 2001:db8::/32, 2002::/16, 3fff::/20, 5f00::/16, "
	"fc00::/7, fe80::/10, fec0::/10, ff00::/8";

const struct mx_option mx_fetch_option_rows[] = {
	FETCH(deny_addresses, .def = SPECIAL,
	      .help = "Networks that are never connected to, whatever name leads there."),
	FETCH(allow_addresses, .help = "Networks that are, although deny_addresses has them."),
	FETCH(user_agent,
	      .help = "How the server names itself to others; by default Myelin and its version."),
	FETCH(ca_file, .help = "File with certificates (PEM) of authorities that are trusted beside "
			       "the system's."),
	FETCH(proxy, .flags = MX_OPT_SECRET,
	      .help = "What all requests go through: http://USER:PASSWORD@HOST:PORT."),
	FETCH(bind, .help = "The address that connections are made from."),
	FETCH(connections, .def = "512", .min = 1, .max = 65535,
	      .help = "Open connections to other servers; requests beyond them wait."),
	FETCH(connections_per_host, .def = "8", .min = 1, .max = 1024,
	      .help = "Open connections to one host and port."),
	FETCH(connect_timeout, .def = "10s", .min = 1, .max = 3600000,
	      .help = "How long connecting may take, with the name's resolution and TLS."),
	FETCH(stall_timeout, .def = "30s", .min = 1000, .max = 3600000,
	      .help = "How long nothing may come or go, in whole seconds."),
	FETCH(timeout, .def = "60s", .min = 1, .max = 86400000,
	      .help = "How long a request may take, unless its sender knows better."),
	FETCH(body_limit, .def = "32M", .min = 1024, .max = 1 << 30,
	      .help = "The largest answer, unless its receiver knows better."),
};
const size_t mx_fetch_option_count = sizeof(mx_fetch_option_rows) / sizeof(mx_fetch_option_rows[0]);
