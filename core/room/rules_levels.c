/* Who may change power levels, and how far. Room version 12, rule 10. */
#include "config.h"

#include "core/room/rules_private.h"

/* What is compared: a level that was (or was not) and one that is to be. */
struct change {
	mx_str key;
	bool had, has;
	int64_t old, new;
};

static bool
is_change(const struct change *ch)
{
	return ch->had != ch->has || (ch->had && ch->old != ch->new);
}

static mx_error *
check_change(const struct change *ch, int64_t mine)
{
	char a[24], b[24];

	if (!is_change(ch))
		return NULL;
	if (ch->had && ch->old > mine)
		return MX_REFUSE("%.*s stands at %s, above your power of %s", MX_SFMT(ch->key),
				 mx_check_level(ch->old, a), mx_check_level(mine, b));
	if (ch->has && ch->new > mine)
		return MX_REFUSE("%.*s cannot be set to %s, above your power of %s",
				 MX_SFMT(ch->key), mx_check_level(ch->new, a),
				 mx_check_level(mine, b));
	return NULL;
}

/* Two sorted lists side by side: the next key of either. False at the end of both. */
struct merge {
	const struct mx_power_entry *old, *old_end, *new, *new_end;
};

static bool
next_change(struct merge *m, struct change *ch)
{
	int c;

	if (m->old == m->old_end && m->new == m->new_end)
		return false;
	c = m->old == m->old_end   ? 1
	    : m->new == m->new_end ? -1
				   : mx_str_cmp(m->old->key, m->new->key);
	*ch = (struct change){ .had = c <= 0, .has = c >= 0 };
	if (ch->had) {
		ch->key = m->old->key;
		ch->old = m->old++->level;
	}
	if (ch->has) {
		ch->key = m->new->key;
		ch->new = m->new++->level;
	}
	return true;
}

static mx_error *
check_entries(struct merge m, int64_t mine)
{
	struct change ch;

	while (next_change(&m, &ch))
		MX_TRY(check_change(&ch, mine));
	return NULL;
}

static mx_error *
check_users(struct merge m, int64_t mine, mx_str sender)
{
	struct change ch;
	char a[24];

	while (next_change(&m, &ch)) {
		if (is_change(&ch) && ch.had && ch.old >= mine && !mx_str_eq(ch.key, sender))
			return MX_REFUSE("you may not change the power of %.*s, which is not below "
					 "yours (%s)",
					 MX_SFMT(ch.key), mx_check_level(mine, a));
		MX_TRY(check_change(&ch, mine));
	}
	return NULL;
}

static mx_error *
check_levels(const struct mx_power *old, const struct mx_power *new, int64_t mine)
{
	static const char *const names[MX_POWER_LEVELS] = { "ban",          "events_default",
							    "invite",       "kick",
							    "redact",       "state_default",
							    "users_default" };

	for (size_t i = 0; i < MX_POWER_LEVELS; i++) {
		struct change ch = { mx_str_of(names[i]), old->has[i], new->has[i], old->level[i],
				     new->level[i] };

		MX_TRY(check_change(&ch, mine));
	}
	return NULL;
}

mx_error *
mx_check_power_levels(const struct mx_check *c)
{
	MX_AUTO(mx_power) *new = NULL;
	const struct mx_power *old = c->power;
	int64_t mine = mx_power_of_user(old, c->sender);

	MX_TRY(mx_power_parse_content(mx_event_content(c->ev), c->create, &new));
	for (size_t i = 0; i < new->users_n; i++)
		if (mx_power_is_creator(new, new->users[i].key))
			return MX_REFUSE("%.*s is a creator, whose power cannot be set",
					 MX_SFMT(new->users[i].key));
	if (!old->has_event)
		return NULL;
	MX_TRY(check_levels(old, new, mine));
	MX_TRY(check_entries((struct merge){ old->events, old->events + old->events_n, new->events,
					     new->events + new->events_n }, mine));
	if (c->version->rule_notifications)
		MX_TRY(check_entries((struct merge){ old->notifications,
						     old->notifications + old->notifications_n,
						     new->notifications,
						     new->notifications + new->notifications_n },
				     mine));
	return check_users((struct merge){ old->users, old->users + old->users_n, new->users,
					   new->users + new->users_n },
			   mine, c->sender);
}
