/* m.room.canonical_alias: its aliases must exist and lead to the room. Client-Server API,
 * "m.room.canonical_alias". */
#include "config.h"

#include "rooms.h"

enum { ALIASES_MAX = 500 };	/* each costs a lookup */

static bool
has_alias(const json_t *content, mx_str alias)
{
	const json_t *item;
	size_t i;

	if (content == NULL)
		return false;
	if (mx_str_eq(mx_json_str(content, "alias"), alias))
		return true;
	json_array_foreach(json_object_get(content, "alt_aliases"), i, item)
		if (json_is_string(item) &&
		    mx_str_eq((mx_str){ json_string_value(item), json_string_length(item) }, alias))
			return true;
	return false;
}

static mx_error *
check_alias(const struct rooms_call *c, mx_str room_id, mx_str taken, const json_t *before,
	    mx_str alias)
{
	const struct mx_directory_service *directory = rooms_directory(c);
	mx_str leads_to = { NULL, 0 };
	mx_error *e;

	if (has_alias(before, alias) || (taken.n > 0 && mx_str_eq(alias, taken)))
		return NULL;
	if (!mx_id_alias(alias, NULL, NULL))
		return mx_error_new(MX_E_INVALID_PARAM,
				    "m.room.canonical_alias holds something that is no alias");
	if (directory != NULL) {
		e = directory->resolve(c->core, c->conn, alias, c->arena, &leads_to);
		if (mx_error_is(e, MX_E_NOT_FOUND))
			mx_error_free(&e);
		MX_TRY(e);
	}
	if (room_id.n == 0 || !mx_str_eq(leads_to, room_id))
		return mx_error_new(MX_E_BAD_ALIAS, "The alias %.*s does not lead to this room",
				    MX_SFMT(alias));
	return NULL;
}

mx_error *
rooms_check_aliases(const struct rooms_call *c, mx_str room_id, mx_str taken, const json_t *before,
		    const json_t *content)
{
	const json_t *main_alias = json_object_get(content, "alias");
	json_t *others = NULL, *item;
	size_t i;

	/* null and "" take the main alias away. */
	if (main_alias != NULL && !json_is_null(main_alias)) {
		if (!json_is_string(main_alias))
			return mx_error_new(MX_E_BAD_JSON, "alias must be a string");
		if (json_string_length(main_alias) > 0)
			MX_TRY(check_alias(c, room_id, taken, before,
					   (mx_str){ json_string_value(main_alias),
						     json_string_length(main_alias) }));
	}
	MX_TRY(mx_json_opt_array(content, "alt_aliases", &others));
	if (json_array_size(others) > ALIASES_MAX)
		return mx_error_new(MX_E_BAD_JSON, "alt_aliases has more than %d entries",
				    ALIASES_MAX);
	json_array_foreach(others, i, item) {
		if (!json_is_string(item))
			return mx_error_new(MX_E_BAD_JSON, "alt_aliases must hold strings only");
		MX_TRY(check_alias(c, room_id, taken, before,
				   (mx_str){ json_string_value(item), json_string_length(item) }));
	}
	return NULL;
}
