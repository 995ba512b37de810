#include "config.h"

#include <math.h>
#include <stdlib.h>

#include "core/room/power.h"
#include "core/room/scan.h"

/* In the order of the enum, which is that of the keys. */
static const struct {
	mx_str key;
	int64_t standard;
} levels[MX_POWER_LEVELS] = {
	[MX_POWER_BAN] = { { "ban", 3 }, 50 },
	[MX_POWER_EVENTS_DEFAULT] = { { "events_default", 14 }, 0 },
	[MX_POWER_INVITE] = { { "invite", 6 }, 0 },
	[MX_POWER_KICK] = { { "kick", 4 }, 50 },
	[MX_POWER_REDACT] = { { "redact", 6 }, 50 },
	[MX_POWER_STATE_DEFAULT] = { { "state_default", 13 }, 50 },
	[MX_POWER_USERS_DEFAULT] = { { "users_default", 13 }, 0 },
};

/* ---- one level ---- */

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* A decimal string as old clients wrote levels: white space around, one sign, leading zeros. What
 * is beyond 64 bits is a level all the same: the greatest or the least. */
static bool
level_of_string(mx_str s, int64_t *out)
{
	bool negative;

	while (s.n != 0 && is_space(s.p[0]))
		s = (mx_str){ s.p + 1, s.n - 1 };
	while (s.n != 0 && is_space(s.p[s.n - 1]))
		s.n--;
	if (s.n > 1 && s.p[0] == '+' && s.p[1] != '-' && s.p[1] != '+')
		s = (mx_str){ s.p + 1, s.n - 1 };
	negative = s.n > 1 && s.p[0] == '-';
	if (negative)
		s = (mx_str){ s.p + 1, s.n - 1 };
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	for (; s.n > 1 && s.p[0] == '0'; s.p++)
		s.n--;
	if (s.n == 0)
		return false;
	if (!mx_str_int(s, 0, MX_POWER_CREATOR - 1, out))
		*out = MX_POWER_CREATOR - 1;
	if (negative)
		*out = -*out;
	return true;
}

static bool
level_of_float(mx_str s, int64_t *out)
{
	char text[64], *end;
	double d;

	if (s.n == 0 || s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = 0;
	d = strtod(text, &end);
	if (*end != 0 || !isfinite(d))
		return false;
	*out = d >= 0x1p63    ? MX_POWER_CREATOR - 1
	       : d <= -0x1p63 ? -(MX_POWER_CREATOR - 1)
			      : (int64_t)d;
	return true;
}

/* MX_POWER_CREATOR is out of reach. */
static bool
level_of(enum mx_level_form form, mx_str raw, int64_t *out)
{
	mx_str inner;

	if (mx_str_int(raw, INT64_MIN, INT64_MAX - 1, out))
		return true;
	if (form != MX_LEVEL_INTEGERS && mx_scan_string(raw, &inner))
		return level_of_string(inner, out);
	return form == MX_LEVEL_LOOSE && raw.n != 0 &&
	       (raw.p[0] == '-' || (raw.p[0] >= '0' && raw.p[0] <= '9')) &&
	       level_of_float(raw, out);
}

/* ---- reading ---- */

/* What is being filled: one block behind the struct holds the entries and every string. */
struct reader {
	struct mx_power *p;
	enum mx_level_form form;
	bool strict;		/* break off at what the grammar does not allow */
	struct mx_power_entry *entry;
	mx_str *name;
	char *text;
};

static mx_str
keep(struct reader *r, mx_str inner)
{
	mx_str out = { r->text, inner.n };

	if (mx_scan_escaped(inner))
		out.n = mx_scan_unescape(inner, r->text);
	else if (inner.n != 0)
		memcpy(r->text, inner.p, inner.n);
	r->text += out.n;
	return out;
}

/* Of what stands decoded already. */
static mx_str
keep_plain(struct reader *r, mx_str s)
{
	mx_str out = { r->text, s.n };

	memcpy(r->text, s.p, s.n);
	r->text += s.n;
	return out;
}

static mx_error *
refuse(const char *what)
{
	return mx_error_new(MX_E_FORBIDDEN, "m.room.power_levels: %s", what);
}

/* An object of levels by key. */
static mx_error *
read_entries(struct reader *r, mx_str object, bool users, struct mx_power_entry **out, size_t *n)
{
	struct mx_scan s;
	mx_str key, value;
	int64_t level;

	*out = r->entry;
	*n = 0;
	if (!mx_scan_object(&s, object))
		return r->strict ? refuse("users, events or notifications is not an object") : NULL;
	while (mx_scan_member(&s, &key, &value)) {
		mx_str name;

		if (!level_of(r->form, value, &level)) {
			if (r->strict)
				return refuse("a level is not an integer");
			continue;
		}
		name = keep(r, key);
		if (users && r->strict && !mx_id_user(name, NULL, NULL))
			return refuse("users names somebody by what is not a user id");
		*r->entry++ = (struct mx_power_entry){ name, level };
		++*n;
	}
	return NULL;
}

static mx_error *
read_level(struct reader *r, mx_str key, mx_str value)
{
	for (size_t i = 0; i < MX_POWER_LEVELS; i++) {
		if (!mx_str_eq(levels[i].key, key))
			continue;
		if (level_of(r->form, value, &r->p->level[i]))
			r->p->has[i] = true;
		else if (r->strict && r->form == MX_LEVEL_INTEGERS)
			return mx_error_new(MX_E_FORBIDDEN,
					    "m.room.power_levels: %.*s is not an integer",
					    MX_SFMT(key));
	}
	return NULL;
}

static mx_error *
read_content(struct reader *r, mx_str content)
{
	bool strict = r->strict;
	struct mx_scan s;
	mx_str key, value;
	mx_error *e = NULL;

	if (!mx_scan_object(&s, content))
		return NULL;
	while (e == NULL && mx_scan_member(&s, &key, &value)) {
		/* Before version 10, only users had to be in order. */
		r->strict =
			strict && (r->form == MX_LEVEL_INTEGERS || mx_str_eq(key, MX_S("users")));
		if (mx_str_eq(key, MX_S("users")))
			e = read_entries(r, value, true, &r->p->users, &r->p->users_n);
		else if (mx_str_eq(key, MX_S("events")))
			e = read_entries(r, value, false, &r->p->events, &r->p->events_n);
		else if (mx_str_eq(key, MX_S("notifications")))
			e = read_entries(r, value, false, &r->p->notifications,
					 &r->p->notifications_n);
		else
			e = read_level(r, key, value);
	}
	r->strict = strict;
	return e;
}

static bool
plain_entries(mx_str object)
{
	struct mx_scan s;
	mx_str key, value;
	int64_t level;

	if (!mx_scan_object(&s, object))
		return false;
	while (mx_scan_member(&s, &key, &value))
		if (!mx_scan_int(value, &level))
			return false;
	return true;
}

bool
mx_power_plain(mx_str content)
{
	struct mx_scan s;
	mx_str key, value;
	int64_t level;

	if (!mx_scan_object(&s, content))
		return false;
	while (mx_scan_member(&s, &key, &value)) {
		bool entries = mx_str_eq(key, MX_S("users")) || mx_str_eq(key, MX_S("events")) ||
			       mx_str_eq(key, MX_S("notifications"));

		if (entries && !plain_entries(value))
			return false;
		for (size_t i = 0; i < MX_POWER_LEVELS; i++)
			if (mx_str_eq(levels[i].key, key) && !mx_scan_int(value, &level))
				return false;
	}
	return true;
}

/* ---- the create event ---- */

static int
by_bytes(const void *a, const void *b)
{
	return mx_str_cmp(*(const mx_str *)a, *(const mx_str *)b);
}

static void
read_creators(struct reader *r, mx_str additional)
{
	struct mx_scan s;
	mx_str value, inner;

	r->p->creators = r->name;
	*r->name++ = r->p->creator;
	if (mx_scan_array(&s, additional))
		while (mx_scan_element(&s, &value))
			if (mx_scan_string(value, &inner))
				*r->name++ = keep(r, inner);
	r->p->creators_n = (size_t)(r->name - r->p->creators);
	qsort(r->p->creators, r->p->creators_n, sizeof(mx_str), by_bytes);
}

static void
read_create(struct reader *r, const struct mx_event *create)
{
	mx_str content = mx_event_content(create), sender = keep_plain(r, mx_event_sender(create)),
	       value, inner;

	r->p->creator_server = mx_id_server_of(sender);
	if (!create->version->rule_creator_in_content)
		r->p->creator = sender;
	else if (mx_scan_find(content, MX_S("creator"), &value) && mx_scan_string(value, &inner))
		r->p->creator = keep(r, inner);
	r->p->federate = !mx_scan_find(content, MX_S("m.federate"), &value) ||
			 !mx_str_eq(value, MX_S("false"));
	if (create->version->rule_creators) {
		if (!mx_scan_find(content, MX_S("additional_creators"), &value))
			value = (mx_str){ NULL, 0 };
		read_creators(r, value);
	}
}

/* ---- putting it together ---- */

static size_t
count_entries(mx_str content, mx_str key)
{
	struct mx_scan s;
	mx_str object, k, v;
	size_t n = 0;

	if (!mx_scan_find(content, key, &object))
		return 0;
	if (mx_scan_object(&s, object)) {
		while (mx_scan_member(&s, &k, &v))
			n++;
	} else if (mx_scan_array(&s, object)) {
		while (mx_scan_element(&s, &v))
			n++;
	}
	return n;
}

static mx_error *
parse(const mx_str *content, bool strict, const struct mx_event *create, struct mx_power **out)
{
	mx_str of_create = mx_event_content(create),
	       text = content != NULL ? *content : (mx_str){ NULL, 0 };
	size_t entries = count_entries(text, MX_S("users")) + count_entries(text, MX_S("events")) +
			 count_entries(text, MX_S("notifications"));
	size_t names = 1 + count_entries(of_create, MX_S("additional_creators"));
	struct mx_power *p =
		mx_alloc(sizeof(*p) + entries * sizeof(struct mx_power_entry) +
			 names * sizeof(mx_str) + text.n + of_create.n + mx_event_sender(create).n);
	struct reader r = { .p = p, .form = create->version->levels, .strict = strict };
	mx_error *e;

	atomic_init(&p->refs, 1);
	r.entry = (struct mx_power_entry *)(p + 1);
	p->users = p->events = p->notifications = r.entry;	/* for now, of none */
	r.name = (mx_str *)(r.entry + entries);
	r.text = (char *)(r.name + names);
	for (size_t i = 0; i < MX_POWER_LEVELS; i++)
		p->level[i] = levels[i].standard;
	p->has_event = content != NULL;
	read_create(&r, create);
	e = read_content(&r, text);
	if (e != NULL)
		mx_power_unref(&p);
	*out = p;
	return e;
}

struct mx_power *
mx_power_parse(const struct mx_event *event, const struct mx_event *create)
{
	mx_str content = event != NULL ? mx_event_content(event) : (mx_str){ NULL, 0 };
	struct mx_power *p = NULL;

	(void)mx_error_drop(parse(event != NULL ? &content : NULL, false, create, &p));	/* not strict: never fails */
	return p;
}

mx_error *
mx_power_parse_content(mx_str content, const struct mx_event *create, struct mx_power **out)
{
	return parse(&content, true, create, out);
}

struct mx_power *
mx_power_ref(struct mx_power *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void
mx_power_unref(struct mx_power **pp)
{
	struct mx_power *p = *pp;

	*pp = NULL;
	if (p != NULL && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
		free(p);
}

/* ---- asking ---- */

static const struct mx_power_entry *
find(const struct mx_power_entry *v, size_t n, mx_str key)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = mx_str_cmp(v[mid].key, key);

		if (c == 0)
			return &v[mid];
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

bool
mx_power_is_creator(const struct mx_power *p, mx_str user)
{
	return p->creators_n != 0 &&
	       bsearch(&user, p->creators, p->creators_n, sizeof(user), by_bytes) != NULL;
}

int64_t
mx_power_of_user(const struct mx_power *p, mx_str user)
{
	const struct mx_power_entry *e;

	if (mx_power_is_creator(p, user))
		return MX_POWER_CREATOR;
	if (!p->has_event)
		return mx_str_eq(p->creator, user) ? 100 : 0;
	e = find(p->users, p->users_n, user);
	return e != NULL ? e->level : p->level[MX_POWER_USERS_DEFAULT];
}

int64_t
mx_power_for_event(const struct mx_power *p, mx_str type, bool state)
{
	const struct mx_power_entry *e = find(p->events, p->events_n, type);

	return e != NULL ? e->level
			 : p->level[state ? MX_POWER_STATE_DEFAULT : MX_POWER_EVENTS_DEFAULT];
}

int64_t
mx_power_for_notification(const struct mx_power *p, mx_str key)
{
	const struct mx_power_entry *e = find(p->notifications, p->notifications_n, key);

	return e != NULL ? e->level : 50;
}
