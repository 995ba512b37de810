/* Addresses of clients: one form for IPv4, IPv6 and Unix sockets, networks of trusted proxies,
 * and what X-Forwarded-For says behind them. */
#ifndef CORE_HTTP_ADDRESS_H
#define CORE_HTTP_ADDRESS_H

#include <myelin/error.h>
#include <sys/socket.h>

enum mx_address_family { MX_ADDRESS_UNIX = 0, MX_ADDRESS_IP = 1 };

struct mx_address {
	uint8_t ip[16];			/* IPv4 as ::ffff:a.b.c.d */
	uint8_t family;
};

enum { MX_ADDRESS_TEXT = 46 };		/* the longest text with its NUL */

struct mx_networks;

void mx_address_from(const struct sockaddr *sa, struct mx_address *out);
/* "192.0.2.1", "2001:db8::1", "[2001:db8::1]:443", "192.0.2.1:1234"; false for anything else. */
bool mx_address_parse(mx_str text, struct mx_address *out);
size_t mx_address_text(const struct mx_address *a, char out[MX_ADDRESS_TEXT]);
/* What limits count: an IPv4 address, or the /64 network of an IPv6 address, that is, one
 * customer. */
uint64_t mx_address_key(const struct mx_address *a);
mx_str mx_address_bytes(const struct mx_address *a);	/* what that is a hash of; borrowed */

/* Words: "10.0.0.0/8", "::1", "unix". MX_E_CONFIG names the option and the word that is none. */
mx_error *mx_networks_new(const char *option, const char *const *words, size_t n,
			  struct mx_networks **out) MX_MUST_USE;
void mx_networks_free(struct mx_networks **w);
bool mx_networks_have(const struct mx_networks *w, const struct mx_address *a);
/* Who asks, when *who sent these addresses with X-Forwarded-For: the last one that is no trusted
 * proxy. False when the header is not to be read further: a word that is no address ends the
 * chain, what stands before it was not written by a proxy of ours. */
bool mx_networks_client(const struct mx_networks *w, struct mx_address *who, mx_str forwarded);

#endif
