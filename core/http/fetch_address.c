#include "config.h"

#include "core/http/fetch_internal.h"

/* An IPv4 address behind a translator (RFC 6052) is the IPv4 address. */
static void
unwrap(struct mx_address *a)
{
	static const uint8_t nat64[12] = { 0, 0x64, 0xff, 0x9b };
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (memcmp(a->ip, nat64, sizeof(nat64)) == 0)
		memcpy(a->ip, mapped, sizeof(mapped));
}

bool
mx_fetch_allows(const struct mx_fetcher *f, const struct mx_address *a)
{
	struct mx_address real = *a;

	if (real.family != MX_ADDRESS_IP)
		return false;
	unwrap(&real);
	return !mx_networks_have(f->deny, &real) || mx_networks_have(f->allow, &real);
}
