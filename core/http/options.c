#include "config.h"

#include "core/http/server.h"

#define HTTP(member, ...) MX_OPT(struct mx_http_options, member, __VA_ARGS__)

const struct mx_option mx_http_option_rows[] = {
	HTTP(listen, .def = "127.0.0.1:8008",
	     .help = "Where to listen: ADDRESS:PORT, [IPV6]:PORT, unix:PATH, each with tls: before it for TLS."),
	HTTP(unix_mode, .def = "0660", .help = "Permissions of Unix sockets, in octal."),
	HTTP(tls_certificate, .flags = MX_OPT_RELOAD, .help = "File with the certificate and its chain (PEM)."),
	HTTP(tls_key, .flags = MX_OPT_RELOAD, .help = "File with the private key (PEM)."),
	HTTP(trusted_proxies, .def = "127.0.0.1, ::1, unix",
	     .help = "Networks whose X-Forwarded-For is believed; unix stands for Unix sockets."),
	HTTP(io_threads, .max = 64, .help = "Threads that read and write; 0: one a core, 4 at most."),
	HTTP(workers, .def = "16", .min = 1, .max = 1024, .help = "Threads that run handlers."),
	HTTP(remote_workers, .def = "32", .min = 1, .max = 4096, .help = "Threads that wait for other servers."),
	HTTP(cpu_workers, .max = 256, .help = "Threads for heavy computing (password hashes); 0: one a core."),
	HTTP(backlog, .def = "1024", .min = 1, .max = 65535, .help = "Connections that may wait to be accepted."),
	HTTP(max_connections, .def = "200000", .min = 1, .max = 10000000, .help = "Open connections."),
	HTTP(max_connections_per_address, .def = "2000", .max = 10000000,
	     .help = "Open connections of one address (IPv6: /64), but for trusted proxies; 0: any number."),
	HTTP(max_queue, .def = "20000", .min = 1, .max = 10000000, .help = "Requests that may wait for a worker."),
	HTTP(body_limit, .def = "4M", .min = 1024, .max = 1 << 30, .help = "The largest body, where a route says nothing else."),
	HTTP(header_limit, .def = "32K", .min = 1024, .max = 60000, .help = "The most bytes before a body."),
	HTTP(uri_limit, .def = "16K", .min = 256, .max = 60000, .help = "The longest path with its query."),
	HTTP(header_count, .def = "100", .min = 8, .max = 128, .help = "The most headers of a request."),
	HTTP(header_timeout, .def = "20s", .min = 1, .max = 3600000, .help = "How long a client may take for the head of a request."),
	HTTP(body_timeout, .def = "30s", .min = 1, .max = 3600000,
	     .help = "How long a body may take, beside a second for each 1,000 bytes."),
	HTTP(write_timeout, .def = "60s", .min = 1, .max = 3600000, .help = "How long a client may take nothing of an answer."),
	HTTP(idle_timeout, .def = "5m", .min = 1, .max = 86400000, .help = "How long a connection stays open between requests."),
	HTTP(drain_timeout, .def = "20s", .max = 3600000, .help = "How long requests may take to end when the server stops."),
	HTTP(rate_limits, .def = "yes", .flags = MX_OPT_RELOAD, .help = "Whether requests are limited by user and address."),
	HTTP(rate_table, .def = "65536", .min = 512, .max = 1 << 26, .help = "Users and addresses that are counted at one time."),
	HTTP(read_every, .def = "20ms", .flags = MX_OPT_RELOAD, .help = "Reading: one more request is granted each; 0: no limit."),
	HTTP(read_burst, .def = "500", .min = 1, .max = 1000000, .flags = MX_OPT_RELOAD, .help = "Reading: requests at once."),
	HTTP(write_every, .def = "100ms", .flags = MX_OPT_RELOAD, .help = "Sending and joining: the same; 0: no limit."),
	HTTP(write_burst, .def = "100", .min = 1, .max = 1000000, .flags = MX_OPT_RELOAD, .help = "Sending: requests at once."),
	HTTP(login_every, .def = "5s", .flags = MX_OPT_RELOAD, .help = "Logging in, by address and by account; 0: no limit."),
	HTTP(login_burst, .def = "10", .min = 1, .max = 1000000, .flags = MX_OPT_RELOAD, .help = "Logging in: requests at once."),
	HTTP(register_every, .def = "10s", .flags = MX_OPT_RELOAD, .help = "Registering, by address; 0: no limit."),
	HTTP(register_burst, .def = "10", .min = 1, .max = 1000000, .flags = MX_OPT_RELOAD, .help = "Registering: requests at once."),
};
const size_t mx_http_option_count = sizeof(mx_http_option_rows) / sizeof(mx_http_option_rows[0]);
