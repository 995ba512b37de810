/* Events and their graph: what they are, what they name, and the state around each. */
#include "config.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/oracle_private.h"

static void *
grow(void *p, size_t n, size_t size)
{
	void *q = realloc(p, (n != 0 ? n : 1) * size);

	if (q == NULL)
		abort();
	return q;
}

static char *
copy(const char *s)
{
	char *c = strdup(s);

	if (c == NULL)
		abort();
	return c;
}

static const char *
text(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

struct oracle *
oracle_new(int version, oracle_key_fn *key, void *arg)
{
	struct oracle *o = calloc(1, sizeof(*o));

	if (o == NULL)
		abort();
	o->version = version;
	o->key = key;
	o->arg = arg;
	o->create = ORACLE_NONE;
	o->v = grow(NULL, ORACLE_EVENTS, sizeof(*o->v));
	return o;
}

static void
empty(struct oracle_event *e)
{
	free(e->id);
	json_decref(e->json);
	free(e->prev);
	free(e->auth);
	oracle_state_clear(&e->before);
	oracle_state_clear(&e->after);
}

void
oracle_free(struct oracle *o)
{
	if (o == NULL)
		return;
	for (int i = 0; i < o->n; i++)
		empty(&o->v[i]);
	for (int i = 0; i < o->keys_n; i++) {
		free(o->keys[i].type);
		free(o->keys[i].name);
	}
	free(o->keys);
	free(o->v);
	free(o);
}

/* ---- redaction ---- */

static bool
listed(const char *const *list, const char *key)
{
	for (; *list != NULL; list++)
		if (strcmp(*list, key) == 0)
			return true;
	return false;
}

static const char *const *
kept_of_event(int version)
{
	static const char *const to10[] = { "event_id",	  "type",
					    "room_id",	  "sender",
					    "state_key",  "content",
					    "hashes",	  "signatures",
					    "depth",	  "prev_events",
					    "prev_state", "auth_events",
					    "origin",	  "origin_server_ts",
					    "membership", NULL };
	static const char *const from11[] = { "event_id",    "type",	    "room_id",
					      "sender",	     "state_key",   "content",
					      "hashes",	     "signatures",  "depth",
					      "prev_events", "auth_events", "origin_server_ts",
					      NULL };

	return version <= 10 ? to10 : from11;
}

static bool
keeps(int version, const char *type, const char *key)
{
	static const char *const levels[] = { "ban",   "events",	"events_default",
					      "kick",  "redact",	"state_default",
					      "users", "users_default", NULL };

	if (strcmp(type, "m.room.member") == 0)
		return strcmp(key, "membership") == 0 ||
		       (version >= 9 && strcmp(key, "join_authorised_via_users_server") == 0);
	if (strcmp(type, "m.room.create") == 0)
		return version >= 11 || strcmp(key, "creator") == 0;
	if (strcmp(type, "m.room.join_rules") == 0)
		return strcmp(key, "join_rule") == 0 || (version >= 8 && strcmp(key, "allow") == 0);
	if (strcmp(type, "m.room.power_levels") == 0)
		return listed(levels, key) || (version >= 11 && strcmp(key, "invite") == 0);
	if (strcmp(type, "m.room.aliases") == 0)
		return version <= 5 && strcmp(key, "aliases") == 0;
	if (strcmp(type, "m.room.history_visibility") == 0)
		return strcmp(key, "history_visibility") == 0;
	return version >= 11 && strcmp(type, "m.room.redaction") == 0 &&
	       strcmp(key, "redacts") == 0;
}

json_t *
oracle_redact(int version, const json_t *ev)
{
	const json_t *content = json_object_get(ev, "content"), *signed_part;
	const char *type = text(ev, "type"), *key;
	json_t *out = json_object(), *less = json_object(), *value;

	json_object_foreach ((json_t *)content, key, value)
		if (type != NULL && keeps(version, type, key))
			json_object_set(less, key, value);
	signed_part = json_object_get(json_object_get(content, "third_party_invite"), "signed");
	if (version >= 11 && type != NULL && strcmp(type, "m.room.member") == 0 &&
	    signed_part != NULL)
		json_object_set_new(less, "third_party_invite",
				    json_pack("{s:O}", "signed", signed_part));
	json_object_foreach ((json_t *)ev, key, value)
		if (listed(kept_of_event(version), key))
			json_object_set(out, key, value);
	json_object_set_new(out, "content", less);
	return out;
}

/* ---- hashes and signatures ---- */

static char *
bytes_without(const json_t *ev, const char *const *drop)
{
	json_t *c = json_copy((json_t *)ev);
	char *bytes;

	for (; *drop != NULL; drop++)
		json_object_del(c, *drop);
	bytes = json_dumps(c, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(c);
	if (bytes == NULL)
		abort();
	return bytes;
}

static char *
signed_bytes(int version, const json_t *ev)
{
	static const char *const drop[] = { "signatures", "unsigned", NULL };
	json_t *redacted = oracle_redact(version, ev);
	char *bytes = bytes_without(redacted, drop);

	json_decref(redacted);
	return bytes;
}

char *
oracle_hash_id(int version, const json_t *ev)
{
	char *bytes = signed_bytes(version, ev), *id = grow(NULL, 46, 1);
	unsigned char hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(hash, (unsigned char *)bytes, strlen(bytes));
	free(bytes);
	id[0] = '$';
	sodium_bin2base64(id + 1, 45, hash, sizeof(hash),
			  version == 3 ? sodium_base64_VARIANT_ORIGINAL_NO_PADDING
				       : sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	return id;
}

static void
content_hash(const json_t *ev, char out[45])
{
	static const char *const drop[] = { "signatures", "unsigned", "hashes", NULL };
	char *bytes = bytes_without(ev, drop);
	unsigned char hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(hash, (unsigned char *)bytes, strlen(bytes));
	free(bytes);
	sodium_bin2base64(out, 45, hash, sizeof(hash), sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
}

static bool
good_hash(const json_t *ev)
{
	const char *said = text(json_object_get(ev, "hashes"), "sha256");
	char is[45];

	content_hash(ev, is);
	return said != NULL && strcmp(said, is) == 0;
}

void
oracle_hash(json_t *ev)
{
	char hash[45];

	content_hash(ev, hash);
	json_object_set_new(ev, "hashes", json_pack("{s:s}", "sha256", hash));
}

void
oracle_sign(int version, json_t *ev, const char *server, const char *key_id,
	    const unsigned char *secret_key)
{
	char *bytes = signed_bytes(version, ev), encoded[88];
	unsigned char signature[crypto_sign_BYTES];
	json_t *all = json_object_get(ev, "signatures");

	crypto_sign_detached(signature, NULL, (unsigned char *)bytes, strlen(bytes), secret_key);
	free(bytes);
	sodium_bin2base64(encoded, sizeof(encoded), signature, sizeof(signature),
			  sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	if (all == NULL) {
		all = json_object();
		json_object_set_new(ev, "signatures", all);
	}
	json_object_set_new(all, server, json_pack("{s:s}", key_id, encoded));
}

static bool
signed_by(struct oracle *o, const json_t *ev, const char *server)
{
	const json_t *all =
		json_object_get(json_object_get(ev, "signatures"), server != NULL ? server : "");
	unsigned char signature[crypto_sign_BYTES + 1];
	char *bytes = signed_bytes(o->version, ev);
	const char *key_id;
	json_t *one;
	int good = 0, bad = 0;
	size_t n;

	json_object_foreach ((json_t *)all, key_id, one) {
		const char *s = json_string_value(one);
		const unsigned char *key = o->key(o->arg, server, key_id);

		if (key == NULL)
			continue;
		if (s != NULL &&
		    sodium_base642bin(signature, sizeof(signature), s, strlen(s), "=", &n, NULL,
				      sodium_base64_VARIANT_ORIGINAL_NO_PADDING) == 0 &&
		    n == crypto_sign_BYTES &&
		    crypto_sign_verify_detached(signature, (unsigned char *)bytes, strlen(bytes),
						key) == 0)
			good++;
		else
			bad++;
	}
	free(bytes);
	return good != 0 && bad == 0;
}

static bool
is_third_party(const json_t *ev)
{
	const json_t *content = json_object_get(ev, "content");
	const char *type = text(ev, "type"), *membership = text(content, "membership");

	return type != NULL && strcmp(type, "m.room.member") == 0 && membership != NULL &&
	       strcmp(membership, "invite") == 0 &&
	       json_object_get(content, "third_party_invite") != NULL;
}

static bool
is_vouched(struct oracle *o, const json_t *ev)
{
	const json_t *who =
		json_object_get(json_object_get(ev, "content"), "join_authorised_via_users_server");

	return o->key == NULL || who == NULL ||
	       signed_by(o, ev, oracle_domain(json_string_value(who)));
}

static bool
good_signatures(struct oracle *o, const json_t *ev)
{
	if (o->key == NULL)
		return true;
	if (!is_third_party(ev) && !signed_by(o, ev, oracle_domain(text(ev, "sender"))))
		return false;
	return o->version > 2 || signed_by(o, ev, oracle_domain(text(ev, "event_id")));
}

/* ---- the format ---- */

static bool
good_number(const json_t *ev, const char *key, json_int_t min, json_int_t max)
{
	const json_t *v = json_object_get(ev, key);

	return json_is_integer(v) && json_integer_value(v) >= min && json_integer_value(v) <= max;
}

static bool
good_string(const json_t *ev, const char *key, bool needed)
{
	const json_t *v = json_object_get(ev, key);

	return v == NULL ? !needed : json_is_string(v) && json_string_length(v) <= 255;
}

static bool
good_format(int version, const json_t *ev)
{
	bool create =
		strcmp(text(ev, "type") != NULL ? text(ev, "type") : "", "m.room.create") == 0;
	json_int_t most = version <= 5 ? INT64_MAX : (INT64_C(1) << 53) - 1;

	return good_string(ev, "type", true) && good_string(ev, "sender", true) &&
	       oracle_domain(text(ev, "sender")) != NULL && good_string(ev, "state_key", false) &&
	       good_string(ev, "room_id", version < 12 || !create) &&
	       good_string(ev, "event_id", version <= 2) &&
	       json_is_object(json_object_get(ev, "content")) &&
	       json_is_array(json_object_get(ev, "prev_events")) &&
	       json_is_array(json_object_get(ev, "auth_events")) &&
	       json_array_size(json_object_get(ev, "prev_events")) <= 20 &&
	       json_array_size(json_object_get(ev, "auth_events")) <= 10 &&
	       good_number(ev, "depth", 0, most);
}

/* ---- adding ---- */

int
oracle_key(struct oracle *o, const char *type, const char *key)
{
	for (int i = 0; i < o->keys_n; i++)
		if (strcmp(o->keys[i].type, type) == 0 && strcmp(o->keys[i].name, key) == 0)
			return i;
	o->keys = grow(o->keys, (size_t)o->keys_n + 1, sizeof(*o->keys));
	o->keys[o->keys_n].type = copy(type);
	o->keys[o->keys_n].name = copy(key);
	return o->keys_n++;
}

static void
fill(struct oracle *o, json_t *ev, char *id)
{
	struct oracle_event *e = &o->v[o->n];

	*e = (struct oracle_event){ .id = id,
				    .json = ev,
				    .content = json_object_get(ev, "content"),
				    .type = text(ev, "type"),
				    .sender = text(ev, "sender"),
				    .state_key = text(ev, "state_key"),
				    .key = ORACLE_NONE };
	e->ts = json_integer_value(json_object_get(ev, "origin_server_ts"));
	e->depth = json_integer_value(json_object_get(ev, "depth"));
	e->prev_n = (int)json_array_size(json_object_get(ev, "prev_events"));
	e->auth_n = (int)json_array_size(json_object_get(ev, "auth_events"));
	e->prev = grow(NULL, (size_t)e->prev_n, sizeof(int));
	e->auth = grow(NULL, (size_t)e->auth_n, sizeof(int));
	for (int i = 0; i < e->prev_n; i++)
		e->prev[i] = ORACLE_NONE;
	for (int i = 0; i < e->auth_n; i++)
		e->auth[i] = ORACLE_NONE;
	e->vouched = is_vouched(o, ev);
	if (e->state_key != NULL)
		e->key = oracle_key(o, e->type, e->state_key);
	if (o->create == ORACLE_NONE && oracle_is_type(o, o->n, "m.room.create", ""))
		o->create = o->n;
	o->n++;
}

int
oracle_add(struct oracle *o, const char *json, size_t n, const char *id, enum oracle_form *form)
{
	json_t *ev = json_loadb(json, n, JSON_REJECT_DUPLICATES, NULL), *less;
	enum oracle_form f = ORACLE_DROPPED;
	char *name = NULL;
	int known;

	if (form != NULL)
		*form = f;
	if (o->n == ORACLE_EVENTS)
		abort();
	if (!json_is_object(ev) || !good_format(o->version, ev) || !good_signatures(o, ev)) {
		json_decref(ev);
		return ORACLE_NONE;
	}
	name = id != NULL	 ? copy(id)
	       : o->version <= 2 ? copy(text(ev, "event_id"))
				 : oracle_hash_id(o->version, ev);
	f = ORACLE_WHOLE;
	if (o->key != NULL && !good_hash(ev)) {
		f = ORACLE_REDACTED;
		less = oracle_redact(o->version, ev);
		json_decref(ev);
		ev = less;
	}
	if (form != NULL)
		*form = f;
	known = oracle_find(o, name, strlen(name));
	if (known != ORACLE_NONE) {
		json_decref(ev);
		free(name);
		return known;
	}
	fill(o, ev, name);
	o->v[o->n - 1].redacted = f == ORACLE_REDACTED;
	return o->n - 1;
}

bool
oracle_would_allow(struct oracle *o, const json_t *ev, const struct oracle_state *now)
{
	bool good;

	fill(o, json_deep_copy(ev), copy("$would"));
	o->v[o->n - 1].vouched = true;
	good = oracle_judge(o, o->n - 1) == ORACLE_ALLOWED && oracle_allows(o, o->n - 1, now);
	empty(&o->v[--o->n]);
	return good;
}

int
oracle_version(const struct oracle *o)
{
	return o->version;
}

int
oracle_count(const struct oracle *o)
{
	return o->n;
}

int
oracle_find(const struct oracle *o, const char *id, size_t n)
{
	for (int i = 0; i < o->n; i++)
		if (strncmp(o->v[i].id, id, n) == 0 && o->v[i].id[n] == 0)
			return i;
	return ORACLE_NONE;
}

const char *
oracle_id(const struct oracle *o, int e)
{
	return e != ORACLE_NONE ? o->v[e].id : "(none)";
}

const json_t *
oracle_json(const struct oracle *o, int e)
{
	return o->v[e].json;
}

bool
oracle_is_state(const struct oracle *o, int e)
{
	return o->v[e].state_key != NULL;
}

int
oracle_key_of(const struct oracle *o, int e)
{
	return o->v[e].key;
}

const char *
oracle_key_type(const struct oracle *o, int key)
{
	return o->keys[key].type;
}

const char *
oracle_key_name(const struct oracle *o, int key)
{
	return o->keys[key].name;
}

int
oracle_create_event(const struct oracle *o)
{
	return o->create;
}

bool
oracle_is_type(const struct oracle *o, int e, const char *type, const char *key)
{
	return o->v[e].state_key != NULL && strcmp(o->v[e].type, type) == 0 &&
	       strcmp(o->v[e].state_key, key) == 0;
}

/* ---- the graph ---- */

static int
named(struct oracle *o, const char *list, int e, int i)
{
	const json_t *one = json_array_get(json_object_get(o->v[e].json, list), (size_t)i);

	if (o->version <= 2)
		one = json_array_get(one, 0);
	return json_is_string(one) ? oracle_find(o, json_string_value(one), json_string_length(one))
				   : ORACLE_NONE;
}

bool
oracle_link(struct oracle *o, int e)
{
	struct oracle_event *ev = &o->v[e];

	if (ev->linked)
		return true;
	ev->linked = true;
	for (int i = 0; i < ev->prev_n; i++) {
		ev->prev[i] = named(o, "prev_events", e, i);
		ev->linked = ev->linked && ev->prev[i] != ORACLE_NONE;
	}
	for (int i = 0; i < ev->auth_n; i++) {
		ev->auth[i] = named(o, "auth_events", e, i);
		ev->linked = ev->linked && ev->auth[i] != ORACLE_NONE;
	}
	return ev->linked;
}

int
oracle_prev_count(struct oracle *o, int e)
{
	return o->v[e].prev_n;
}

int
oracle_prev(struct oracle *o, int e, int i)
{
	(void)oracle_link(o, e);
	return o->v[e].prev[i];
}

int
oracle_auth_count(struct oracle *o, int e)
{
	return o->v[e].auth_n;
}

int
oracle_auth(struct oracle *o, int e, int i)
{
	(void)oracle_link(o, e);
	return o->v[e].auth[i];
}

/* ---- states ---- */

int
oracle_at(const struct oracle_state *s, int key)
{
	return key < s->n ? s->v[key] : ORACLE_NONE;
}

void
oracle_put(struct oracle_state *s, int key, int e)
{
	if (key >= s->n) {
		s->v = grow(s->v, (size_t)key + 1, sizeof(int));
		while (s->n <= key)
			s->v[s->n++] = ORACLE_NONE;
	}
	s->v[key] = e;
}

void
oracle_copy(struct oracle_state *to, const struct oracle_state *from)
{
	*to = (struct oracle_state){ NULL, 0 };
	for (int k = 0; k < from->n; k++)
		if (from->v[k] != ORACLE_NONE)
			oracle_put(to, k, from->v[k]);
}

void
oracle_state_clear(struct oracle_state *s)
{
	free(s->v);
	*s = (struct oracle_state){ NULL, 0 };
}

bool
oracle_same(const struct oracle_state *a, const struct oracle_state *b)
{
	for (int k = 0; k < a->n || k < b->n; k++)
		if (oracle_at(a, k) != oracle_at(b, k))
			return false;
	return true;
}

int
oracle_look(struct oracle *o, const struct oracle_lookup *l, const char *type, const char *key)
{
	int e = l->state != NULL ? oracle_at(l->state, oracle_key(o, type, key)) : ORACLE_NONE;

	if (e != ORACLE_NONE || l->fallback == ORACLE_NONE)
		return e;
	for (int i = 0; i < o->v[l->fallback].auth_n; i++) {
		e = o->v[l->fallback].auth[i];
		if (e != ORACLE_NONE && oracle_is_type(o, e, type, key) &&
		    oracle_judge(o, e) == ORACLE_ALLOWED)
			return e;
	}
	return ORACLE_NONE;
}

bool
oracle_before(struct oracle *o, int e, const struct oracle_state **out)
{
	struct oracle_event *ev = &o->v[e];
	const struct oracle_state *states[20];

	if (!ev->before_known) {
		if (ev->judging || !oracle_link(o, e))
			return false;
		ev->judging = true;
		for (int i = 0; i < ev->prev_n; i++) {
			if (!oracle_after(o, ev->prev[i], &states[i])) {
				ev->judging = false;
				return false;
			}
		}
		ev->judging = false;
		oracle_resolve(o, states, ev->prev_n, &ev->before);
		ev->before_known = true;
	}
	*out = &ev->before;
	return true;
}

bool
oracle_after(struct oracle *o, int e, const struct oracle_state **out)
{
	struct oracle_event *ev = &o->v[e];
	const struct oracle_state *before;
	enum oracle_verdict verdict;

	if (!ev->after_known) {
		verdict = oracle_judge(o, e);
		if (verdict == ORACLE_UNKNOWN || !oracle_before(o, e, &before))
			return false;
		oracle_copy(&ev->after, before);
		if (verdict == ORACLE_ALLOWED && ev->state_key != NULL)
			oracle_put(&ev->after, ev->key, e);
		ev->after_known = true;
	}
	*out = &ev->after;
	return true;
}

enum oracle_verdict
oracle_judge(struct oracle *o, int e)
{
	struct oracle_event *ev = &o->v[e];
	const struct oracle_state *before;
	bool unknown = false;

	if (ev->verdict != ORACLE_UNKNOWN || ev->judging || !oracle_link(o, e))
		return ev->verdict;
	if (!oracle_before(o, e, &before))
		return ORACLE_UNKNOWN;
	ev->judging = true;
	for (int i = 0; i < ev->auth_n; i++)
		unknown = oracle_judge(o, ev->auth[i]) == ORACLE_UNKNOWN || unknown;
	ev->judging = false;
	if (unknown && (strcmp(ev->type, "m.room.create") == 0 || oracle_names_well(o, e)))
		return ORACLE_UNKNOWN;
	ev->verdict = !oracle_allows_by_auth_events(o, e) ? ORACLE_BY_AUTH_EVENTS
		      : !oracle_allows(o, e, before)	  ? ORACLE_BY_STATE
							  : ORACLE_ALLOWED;
	return ev->verdict;
}

const struct oracle_set *
oracle_chain(struct oracle *o, int e)
{
	struct oracle_event *ev = &o->v[e];

	if (!ev->chained) {
		ev->chained = true; /* first, lest a circle never end */
		(void)oracle_link(o, e);
		for (int i = 0; i < ev->auth_n; i++) {
			if (ev->auth[i] == ORACLE_NONE)
				continue;
			oracle_set_add(&ev->chain, ev->auth[i]);
			oracle_set_union(&ev->chain, oracle_chain(o, ev->auth[i]));
		}
	}
	return &ev->chain;
}

bool
oracle_in_chain(struct oracle *o, int e, int auth)
{
	return oracle_has(oracle_chain(o, e), auth);
}

int
oracle_redacts_of(const struct oracle *o, int redaction)
{
	const struct oracle_event *r = &o->v[redaction];
	const char *id = text(o->version >= 11 ? r->content : r->json, "redacts");

	if (strcmp(r->type, "m.room.redaction") != 0 || id == NULL)
		return ORACLE_NONE;
	return oracle_find(o, id, strlen(id));
}

bool
oracle_was_redacted(const struct oracle *o, int e)
{
	return o->v[e].redacted;
}
