/* What became of an event, in words. */
#include "config.h"

#include "core/room/outlier.h"

static const char *const FATES[MX_FATE_COUNT] = {
	[MX_FATE_ACCEPTED] = "accepted", [MX_FATE_SOFT_FAILED] = "soft_failed",
	[MX_FATE_REJECTED] = "rejected", [MX_FATE_WAITING] = "waiting",
	[MX_FATE_DROPPED] = "dropped",
};

static const char *const REASONS[MX_REASON_COUNT] = {
	[MX_REASON_NONE] = "none",
	[MX_REASON_KNOWN] = "known",
	[MX_REASON_MALFORMED] = "malformed",
	[MX_REASON_SIZE] = "size",
	[MX_REASON_ROOM] = "room",
	[MX_REASON_SIGNATURE] = "signature",
	[MX_REASON_HASH] = "hash",
	[MX_REASON_ACL] = "acl",
	[MX_REASON_MISSING_PREV] = "missing_prev",
	[MX_REASON_MISSING_AUTH] = "missing_auth",
	[MX_REASON_AUTH_EVENTS] = "auth_events",
	[MX_REASON_AUTH] = "auth",
	[MX_REASON_CURRENT_STATE] = "current_state",
	[MX_REASON_LIMIT] = "limit",
	[MX_REASON_VOUCHER] = "voucher",
};

const char *
mx_fate_name(enum mx_fate f)
{
	return (unsigned)f < MX_FATE_COUNT ? FATES[f] : "unknown";
}

const char *
mx_reason_name(enum mx_reason r)
{
	return (unsigned)r < MX_REASON_COUNT ? REASONS[r] : "unknown";
}

void
mx_arrival_words(struct mx_arrival *v, const char *words)
{
	size_t n = strlen(words);

	/* Words are stored and shown: no half of a character at the end. */
	if (n >= sizeof(v->words))
		for (n = sizeof(v->words) - 1; n > 0 && ((unsigned char)words[n] & 0xc0) == 0x80;)
			n--;
	memcpy(v->words, words, n);
	v->words[n] = '\0';
}

void
mx_arrival_drop(struct mx_arrival *v, enum mx_reason reason, const char *words)
{
	mx_event_unref(&v->event);
	v->fate = MX_FATE_DROPPED;
	v->reason = reason;
	mx_arrival_words(v, words);
}

void
mx_arrivals_clear(struct mx_arrival *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		mx_event_unref(&v[i].event);
}

void
mx_arrivals_count(struct mx_rooms *rs, const struct mx_arrival *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		atomic_fetch_add_explicit(&rs->arrived[v[i].fate][v[i].reason], 1,
					  memory_order_relaxed);
}
