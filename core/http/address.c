#include "config.h"

#include "core/http/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

struct network {
	struct mx_address address;
	unsigned bits;
};

struct mx_networks {
	bool unix_too;
	size_t n;
	struct network v[];
};

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static bool
is_v4(const struct mx_address *a)
{
	return memcmp(a->ip, mapped, sizeof(mapped)) == 0;
}

void
mx_address_from(const struct sockaddr *sa, struct mx_address *out)
{
	*out = (struct mx_address){ .family = MX_ADDRESS_UNIX };
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		memcpy(out->ip, mapped, sizeof(mapped));
		memcpy(out->ip + sizeof(mapped), &in.sin_addr, 4);
		out->family = MX_ADDRESS_IP;
	} else if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		memcpy(out->ip, &in6.sin6_addr, 16);
		out->family = MX_ADDRESS_IP;
	}
}

/* Cuts the port off: "[v6]:port", "v4:port". */
static mx_str
without_port(mx_str s)
{
	const char *end, *colon;

	if (s.n > 0 && s.p[0] == '[') {
		end = memchr(s.p, ']', s.n);
		return end != NULL ? (mx_str){ s.p + 1, (size_t)(end - s.p) - 1 } : s;
	}
	colon = s.n > 0 ? memchr(s.p, ':', s.n) : NULL;
	if (colon != NULL && memchr(colon + 1, ':', s.n - (size_t)(colon - s.p) - 1) == NULL)
		s.n = (size_t)(colon - s.p);
	return s;
}

bool
mx_address_parse(mx_str text, struct mx_address *out)
{
	char z[MX_ADDRESS_TEXT];
	mx_str s = without_port(text);

	if (s.n == 0 || s.n >= sizeof(z))
		return false;
	memcpy(z, s.p, s.n);
	z[s.n] = 0;
	*out = (struct mx_address){ .family = MX_ADDRESS_IP };
	memcpy(out->ip, mapped, sizeof(mapped));
	return inet_pton(AF_INET, z, out->ip + sizeof(mapped)) == 1 ||
	       inet_pton(AF_INET6, z, out->ip) == 1;
}

size_t
mx_address_text(const struct mx_address *a, char out[MX_ADDRESS_TEXT])
{
	if (a->family == MX_ADDRESS_UNIX)
		(void)snprintf(out, MX_ADDRESS_TEXT, "unix");
	else if (is_v4(a))
		(void)inet_ntop(AF_INET, a->ip + sizeof(mapped), out, MX_ADDRESS_TEXT);
	else
		(void)inet_ntop(AF_INET6, a->ip, out, MX_ADDRESS_TEXT);
	return strlen(out);
}

mx_str
mx_address_bytes(const struct mx_address *a)
{
	return (mx_str){ (const char *)a->ip, is_v4(a) ? 16 : 8 };
}

uint64_t
mx_address_key(const struct mx_address *a)
{
	mx_str bytes = mx_address_bytes(a);

	return mx_hash(bytes.p, bytes.n);
}

static bool
parse_network(mx_str word, struct network *out)
{
	mx_str address, bits;
	int64_t n, most;

	if (!mx_str_cut(word, '/', &address, &bits))
		bits = (mx_str){ NULL, 0 };
	if (!mx_address_parse(address, &out->address) || memchr(address.p, '[', address.n) != NULL)
		return false;
	most = is_v4(&out->address) ? 32 : 128;
	n = most;
	if (bits.p != NULL && !mx_str_int(bits, 0, most, &n))
		return false;
	out->bits = (unsigned)(n + 128 - most);
	return true;
}

mx_error *
mx_networks_new(const char *option, const char *const *words, size_t n, struct mx_networks **out)
{
	struct mx_networks *w = mx_alloc(sizeof(*w) + n * sizeof(w->v[0]));

	for (size_t i = 0; i < n; i++) {
		if (strcmp(words[i], "unix") == 0) {
			w->unix_too = true;
		} else if (parse_network(mx_str_of(words[i]), &w->v[w->n])) {
			w->n++;
		} else {
			free(w);
			return mx_error_new(MX_E_CONFIG,
					    "%s: \"%s\" is neither an address nor a network "
					    "(10.0.0.0/8) nor \"unix\"",
					    option, words[i]);
		}
	}
	*out = w;
	return NULL;
}

void
mx_networks_free(struct mx_networks **w)
{
	free(*w);
	*w = NULL;
}

static bool
within(const struct network *n, const struct mx_address *a)
{
	unsigned bytes = n->bits / 8, rest = n->bits % 8;

	if (memcmp(n->address.ip, a->ip, bytes) != 0)
		return false;
	return rest == 0 || ((n->address.ip[bytes] ^ a->ip[bytes]) >> (8 - rest)) == 0;
}

bool
mx_networks_have(const struct mx_networks *w, const struct mx_address *a)
{
	if (a->family == MX_ADDRESS_UNIX)
		return w->unix_too;
	for (size_t i = 0; i < w->n; i++) {
		if (within(&w->v[i], a))
			return true;
	}
	return false;
}

/* Takes the last of the words that commas separate off *s. */
static bool
last_word(mx_str *s, mx_str *word)
{
	size_t from = s->n;

	if (s->n == 0)
		return false;
	while (from > 0 && s->p[from - 1] != ',')
		from--;
	*word = (mx_str){ s->p + from, s->n - from };
	s->n = from > 0 ? from - 1 : 0;
	while (word->n > 0 && (word->p[0] == ' ' || word->p[0] == '\t'))
		*word = (mx_str){ word->p + 1, word->n - 1 };
	while (word->n > 0 && (word->p[word->n - 1] == ' ' || word->p[word->n - 1] == '\t'))
		word->n--;
	return true;
}

bool
mx_networks_client(const struct mx_networks *w, struct mx_address *who, mx_str forwarded)
{
	mx_str word;

	while (mx_networks_have(w, who)) {
		struct mx_address next;

		if (!last_word(&forwarded, &word))
			return true;
		if (!mx_address_parse(word, &next))
			return false;
		*who = next;
	}
	return false;
}
