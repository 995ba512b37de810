#include "config.h"

#include "core/room/rules.h"
#include "tests/fuzz/fuzz_room.h"
#include "tests/sim/oracle.h"

/* Input: a byte for the version, one for the kind of event, one for what the state has; then lines:
 * the event's content, and those of m.room.create, m.room.power_levels, m.room.join_rules, the
 * sender's and the target's m.room.member, and an m.room.third_party_invite. A line that is no
 * object makes that event absent. */

static const char *const types[] = { "m.room.member",    "m.room.power_levels",
				     "m.room.create",    "m.room.message",
				     "m.room.name",      "m.room.third_party_invite",
				     "m.room.redaction", "m.room.aliases" };

static struct mx_event *
make(const struct mx_room_version *v, const char *type, const char *key, const char *sender,
     mx_str content)
{
	MX_AUTO_JSON *tree = NULL;
	MX_AUTO(mx_buf) *canonical = mx_buf_new(0);
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_event_row row = { .version = v,
				    .id = MX_S("$create"),
				    .room_id = MX_S("!create") };
	struct mx_event *ev = NULL;

	if (mx_error_drop(mx_json_parse(content, &tree)) || !json_is_object(tree) ||
	    mx_error_drop(mx_json_canonical(tree, v->strict_json, canonical)))
		return NULL;
	mx_buf_printf(b, "{\"content\":%s,\"prev_events\":[%s]", mx_buf_cstr(canonical),
		      strcmp(type, "m.room.create") == 0 ? "" : "\"$create\"");
	if (!v->room_id_is_create_hash || strcmp(type, "m.room.create") != 0)
		mx_buf_printf(b, ",\"room_id\":\"!create\"");
	mx_buf_printf(b, ",\"sender\":\"%s\"", sender);
	if (key != NULL)
		mx_buf_printf(b, ",\"state_key\":\"%s\"", key);
	mx_buf_printf(b, ",\"type\":\"%s\"}", type);
	row.json = mx_buf_view(b);
	fuzz_holds(!mx_error_drop(mx_event_from_row(&row, &ev)));
	return ev;
}

/* The selection is the same from a draft's tree and from an event's bytes. */
static void
selections_agree(const struct mx_event *ev)
{
	MX_AUTO_JSON *content = mx_event_content_parse(ev);
	struct mx_auth_types a, b;

	mx_rules_auth_types_of(ev, &a);
	mx_rules_auth_types(ev->version, mx_event_type(ev), mx_event_sender(ev),
			    mx_event_state_key(ev), content, &b);
	for (size_t i = 0; i < a.n; i++) {
		bool found = false;

		for (size_t k = 0; k < b.n; k++)
			found = found || (mx_str_eq(a.v[i].type, b.v[k].type) &&
					  mx_str_eq(a.v[i].key, b.v[k].key));
		fuzz_holds(found);
	}
}

struct asked {
	struct mx_rules_events set;
	struct mx_auth_types types;
};

/* The rules ask only for what the selection names, and for the create event. */
static const struct mx_event *
get(void *arg, mx_str type, mx_str key)
{
	struct asked *a = arg;
	struct mx_rules_state inner = mx_rules_state_of(&a->set);
	bool selected = mx_str_eq(type, MX_S("m.room.create"));

	for (size_t i = 0; i < a->types.n; i++)
		selected = selected || (mx_str_eq(a->types.v[i].type, type) &&
					mx_str_eq(a->types.v[i].key, key));
	fuzz_holds(selected);
	return inner.get(inner.arg, type, key);
}

static void
check(const struct mx_event *ev, const struct mx_event *const *state, size_t n,
      const struct mx_event *create)
{
	struct asked asked = { .set = { state, n, NULL } };
	struct mx_rules_state lookup = { .get = get, .arg = &asked };
	MX_AUTO(mx_power) *power = NULL, *strict = NULL;
	bool refused, again;

	mx_rules_auth_types_of(ev, &asked.types);
	refused = mx_error_drop(mx_rules_check(ev, &lookup));
	if (create != NULL) {
		struct mx_rules_state plain = mx_rules_state_of(&asked.set);

		power = mx_power_parse(plain.get(plain.arg, MX_S("m.room.power_levels"), MX_S("")),
				       create);
		lookup.power = power;
		again = mx_error_drop(mx_rules_check(ev, &lookup));
		fuzz_holds(again == refused);
		(void)mx_rules_redaction_applies(ev, ev, power);
		if (!mx_error_drop(mx_power_parse_content(mx_event_content(ev), create, &strict)))
			for (size_t i = 1; i < strict->users_n; i++)
				fuzz_holds(mx_str_cmp(strict->users[i - 1].key,
						      strict->users[i].key) < 0);
	}
	(void)!mx_error_drop(mx_rules_check_auth_events(ev, create, state, n));
}

/* ---- what the oracle says ---- */

/* The oracle reads whole events: what the rules do not look at is filled in. */
static int
tell(struct oracle *o, const struct mx_event *ev, const char *id)
{
	json_t *json = json_loadb(mx_event_json(ev).p, mx_event_json(ev).n, 0, NULL);
	char *bytes;
	int e;

	fuzz_holds(json != NULL);
	json_object_set_new(json, "depth", json_integer(1));
	json_object_set_new(json, "auth_events", json_array());
	json_object_set_new(json, "event_id", json_string(id));
	if (oracle_version(o) <= 2 && json_array_size(json_object_get(json, "prev_events")) != 0)
		json_object_set_new(json, "prev_events", json_pack("[[s, {}]]", "$create"));
	bytes = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
	e = oracle_add(o, bytes, strlen(bytes), id, NULL);
	free(bytes);
	json_decref(json);
	return e;
}

/* Levels beyond 64 bits are refused by us and unbounded in the text; the two differ there alone. */
static bool
has_huge_level(const json_t *v)
{
	const char *s = json_string_value(v), *key;
	json_t *item;
	size_t i;

	if (json_is_real(v))
		return !(json_real_value(v) > -9e15 && json_real_value(v) < 9e15);
	if (s != NULL)
		return strlen(s) > 15;
	json_object_foreach((json_t *)v, key, item)
		if (has_huge_level(item))
			return true;
	json_array_foreach((json_t *)v, i, item)
		if (has_huge_level(item))
			return true;
	return json_is_integer(v) && json_integer_value(v) == INT64_MAX;
}

static void
oracle_agrees(const struct mx_event *ev, const struct mx_event *const *state, size_t n)
{
	struct mx_rules_events set = { state, n, NULL };
	struct mx_rules_state lookup = mx_rules_state_of(&set);
	struct oracle *o = oracle_new(atoi(ev->version->name.p), NULL, NULL);
	struct oracle_state s = { NULL, 0 };
	bool known = true, allowed = !mx_error_drop(mx_rules_check(ev, &lookup));
	int e;

	for (size_t i = 0; i < n; i++) {
		char id[16];

		snprintf(id, sizeof(id), "$%zu", i);
		e = tell(o, state[i], mx_str_eq(mx_event_type(state[i]), MX_S("m.room.create"))
					      ? "$create"
					      : id);
		known = known && e != ORACLE_NONE && !has_huge_level(oracle_json(o, e));
		if (e != ORACLE_NONE)
			oracle_put(&s, oracle_key_of(o, e), e);
	}
	e = tell(o, ev, "$event");
	known = known && e != ORACLE_NONE && !has_huge_level(oracle_json(o, e));
	if (known && oracle_allows(o, e, &s) != allowed) {
		fprintf(stderr, "version %d, %s by the core alone: %.*s\n", oracle_version(o),
			allowed ? "allowed" : "refused", MX_SFMT(mx_event_json(ev)));
		for (size_t i = 0; i < n; i++)
			fprintf(stderr, "%.*s\n", MX_SFMT(mx_event_json(state[i])));
		abort();
	}
	oracle_state_clear(&s);
	oracle_free(o);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct {
		const char *type, *key, *sender;
	} kinds[] = {
		{ "m.room.create", "", "@c:a" },     { "m.room.power_levels", "", "@c:a" },
		{ "m.room.join_rules", "", "@c:a" }, { "m.room.member", "@s:a", "@s:a" },
		{ "m.room.member", "@t:b", "@t:b" }, { "m.room.third_party_invite", "t", "@s:a" },
	};
	const struct mx_room_version *v;
	const struct mx_event *state[6], *create = NULL;
	struct mx_event *ev, *made[6];
	size_t n = 0;
	mx_str rest, line;

	if (size < 3)
		return 0;
	v = fuzz_version(data[0]);
	rest = (mx_str){ (const char *)data + 3, size - 3 };
	(void)mx_str_cut(rest, '\n', &line, &rest);
	ev = make(v, types[data[1] % 8],
		  data[1] & 64   ? NULL
		  : data[1] & 32 ? "@s:a"
		  : data[1] & 16 ? ""
				 : "@t:b",
		  data[1] & 128 ? "@c:a" : "@s:a", line);
	for (size_t i = 0; i < 6; i++) {
		if (!mx_str_cut(rest, '\n', &line, &rest))
			rest.n = 0;
		made[i] = make(v, kinds[i].type, kinds[i].key, kinds[i].sender, line);
		if (made[i] == NULL)
			continue;
		if (i == 0)
			create = made[i];
		state[n++] = made[i];
	}
	if (ev != NULL) {
		selections_agree(ev);
		check(ev, state, n, create);
		oracle_agrees(ev, state, n);
	}
	mx_event_unref(&ev);
	for (size_t i = 0; i < 6; i++)
		mx_event_unref(&made[i]);
	return 0;
}
