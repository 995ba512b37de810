/* The order of hooks, what their verdicts mean, and that who is not asked costs nothing. */
#include "config.h"

#include "tests/unit/runtime/fake.h"

#include "core/runtime/hooks.h"

static char order[64];
static enum mx_verdict say;
static mx_error *say_why;

static void
note(struct mx_module_self *self)
{
	snprintf(order + strlen(order), sizeof(order) - strlen(order), "%s ", mx_self_name(self));
}

static enum mx_verdict
silent(struct mx_module_self *self, mx_str localpart, mx_str address, mx_error **why)
{
	(void)localpart;
	(void)address;
	(void)why;
	note(self);
	return MX_NO_OPINION;
}

static enum mx_verdict
speaking(struct mx_module_self *self, mx_str localpart, mx_str address, mx_error **why)
{
	(void)localpart;
	(void)address;
	note(self);
	*why = say_why;
	say_why = NULL;
	return say;
}

static unsigned drafts;

static enum mx_verdict
only_topics(struct mx_module_self *self, struct mx_room *room, const struct mx_draft *draft,
	    mx_error **why)
{
	(void)self;
	(void)room;
	(void)why;
	drafts++;
	return mx_str_eq(draft->sender_id, MX_S("@bad:x")) ? MX_REFUSE : MX_NO_OPINION;
}

static void
versions_twice(struct mx_module_self *self, json_t *versions, json_t *unstable)
{
	(void)unstable;
	json_array_append_new(versions, json_string(mx_self_name(self)));
}

static const char *const TOPICS[] = { "m.room.topic", "m.room.name", NULL };
static const struct mx_hook_row SILENT[] = { MX_ON(register_check, MX_PRIO_NORMAL, silent),
					     MX_ON(versions, 0, versions_twice) };
static const struct mx_hook_row FIRST[] = { MX_ON(register_check, MX_PRIO_FIRST, silent) };
static const struct mx_hook_row SPEAKING[] = { MX_ON(register_check, MX_PRIO_NORMAL, speaking),
					       MX_ON_TYPES(event_check, MX_PRIO_POLICY, only_topics,
							   TOPICS) };

static const struct mx_module ALPHA = { MX_MODULE_HEAD("alpha", "1", ""),
					.hooks = MX_TABLE(SILENT) };
static const struct mx_module BETA = { MX_MODULE_HEAD("beta", "1", ""),
				       .hooks = MX_TABLE(SPEAKING) };
static const struct mx_module GAMMA = { MX_MODULE_HEAD("gamma", "1", ""),
					.hooks = MX_TABLE(SILENT) };
static const struct mx_module OMEGA = { MX_MODULE_HEAD("omega", "1", ""),
					.hooks = MX_TABLE(FIRST) };

struct world {
	struct mx_core *core;
	struct mx_module_self *m[4];
};

static struct world
begin(void)
{
	struct world w = { .core = mx_core_new("x") };

	order[0] = 0;
	say = MX_NO_OPINION;
	w.m[0] = fake_module(w.core, &GAMMA);
	w.m[1] = fake_module(w.core, &BETA);
	w.m[2] = fake_module(w.core, &ALPHA);
	w.m[3] = fake_module(w.core, &OMEGA);
	fake_publish(w.core, w.m, 4);
	return w;
}

static void
end(struct world *w)
{
	mx_registry_publish(w->core, NULL);
	for (size_t i = 0; i < 4; i++)
		fake_free(&w->m[i]);
	mx_core_free(&w->core);
}

static void
handlers_run_by_priority_then_by_name(void **state)
{
	struct world w = begin();

	(void)state;
	unit_ok(mx_check_register(w.core, MX_S("a"), MX_S("::1")));
	assert_string_equal(order, "omega alpha beta gamma ");
	end(&w);
}

static void
the_first_opinion_wins(void **state)
{
	struct world w = begin();

	(void)state;
	say = MX_ALLOW;
	unit_ok(mx_check_register(w.core, MX_S("a"), MX_S("::1")));
	assert_string_equal(order, "omega alpha beta ");
	end(&w);
}

static void
a_refusal_carries_its_reason(void **state)
{
	struct world w = begin();
	mx_error *e;

	(void)state;
	say = MX_REFUSE;
	say_why = mx_error_new(MX_E_LIMIT_EXCEEDED, "too many");
	unit_refused(mx_check_register(w.core, MX_S("a"), MX_S("::1")), MX_E_LIMIT_EXCEEDED);
	say = MX_REFUSE;
	e = mx_check_register(w.core, MX_S("a"), MX_S("::1"));
	assert_string_equal(mx_error_text(e), "Refused by beta");
	unit_refused(e, MX_E_FORBIDDEN);
	assert_int_equal(w.m[1]->image->hooks[0].calls, 2);
	assert_int_equal(w.m[1]->image->hooks[0].refusals, 2);
	assert_int_equal(w.m[0]->image->hooks[0].calls, 0);
	end(&w);
}

static void
an_error_without_a_verdict_is_the_safe_verdict(void **state)
{
	struct world w = begin();

	(void)state;
	say_why = mx_error_new(MX_E_UNAVAILABLE, "cannot tell");
	unit_refused(mx_check_register(w.core, MX_S("a"), MX_S("::1")), MX_E_UNAVAILABLE);
	say = 77;
	unit_refused(mx_check_register(w.core, MX_S("a"), MX_S("::1")), MX_E_FORBIDDEN);
	end(&w);
}

static void
an_error_beside_an_allowance_is_dropped(void **state)
{
	struct world w = begin();

	(void)state;
	say = MX_ALLOW;
	say_why = mx_error_new(MX_E_UNAVAILABLE, "never mind");
	unit_ok(mx_check_register(w.core, MX_S("a"), MX_S("::1")));
	end(&w);
}

static void
a_hook_for_some_types_does_not_see_the_others(void **state)
{
	struct world w = begin();
	struct mx_draft d = { .type = MX_S("m.room.message"), .sender_id = MX_S("@bad:x") };

	(void)state;
	drafts = 0;
	unit_ok(mx_hooks_event_check(w.core, NULL, &d));
	assert_int_equal(drafts, 0);
	d.type = MX_S("m.room.name");
	unit_refused(mx_hooks_event_check(w.core, NULL, &d), MX_E_FORBIDDEN);
	d.sender_id = MX_S("@good:x");
	unit_ok(mx_hooks_event_check(w.core, NULL, &d));
	assert_int_equal(drafts, 2);
	assert_int_equal(w.m[1]->image->hooks[1].calls, 2);
	end(&w);
}

static void
collecting_hooks_all_add_their_part(void **state)
{
	struct world w = begin();
	MX_AUTO_JSON *versions = json_array();

	(void)state;
	mx_run_versions(w.core, versions, NULL);
	assert_int_equal(json_array_size(versions), 2);
	assert_string_equal(json_string_value(json_array_get(versions, 0)), "alpha");
	end(&w);
}

static void
without_modules_everything_is_let_through(void **state)
{
	struct mx_core *core = mx_core_new("x");

	(void)state;
	unit_ok(mx_check_login(core, MX_S("@a:x"), MX_S("m.login.password")));
	unit_ok(mx_check_login(NULL, MX_S("@a:x"), MX_S("m.login.password")));
	mx_run_user_created(core, 1, MX_S("@a:x"));
	mx_core_free(&core);
}

/* ---- who registers what ---- */

static const struct mx_provider_row PROVIDERS[] = { { "search", "fast", 1, &drafts } };
static const struct mx_service_row SERVICES[] = { { "directory", 1, &drafts } };
static mx_error *
command(struct mx_module_self *self, const mx_str *args, size_t n, struct mx_buf *out)
{
	(void)self;
	(void)args;
	(void)n;
	(void)out;
	return NULL;
}
static const struct mx_command_row COMMANDS[] = { { "thing do", "", "", command } };
static enum mx_outcome
handler(struct mx_request *rq)
{
	(void)rq;
	return MX_DONE;
}
static const struct mx_route ROUTES[] = { { "GET", "/_t/{x}", handler, MX_AUTH_NONE, MX_RATE_NONE,
					    0, 0 } };

#define TWINS(table, rows)                                                                         \
	{ MX_MODULE_HEAD("one", "1", ""), .table = MX_TABLE(rows) },                               \
	{                                                                                          \
		MX_MODULE_HEAD("two", "1", ""), .table = MX_TABLE(rows)                            \
	}
static const struct mx_module TWICE[][2] = {
	{ TWINS(providers, PROVIDERS) },
	{ TWINS(services, SERVICES) },
	{ TWINS(commands, COMMANDS) },
	{ TWINS(routes, ROUTES) },
};

static void
what_two_modules_claim_is_refused_with_both_names(void **state)
{
	struct mx_core *core = mx_core_new("x");

	(void)state;
	for (size_t i = 0; i < sizeof(TWICE) / sizeof(TWICE[0]); i++) {
		struct mx_module_self *m[2] = { fake_module(core, &TWICE[i][0]),
						fake_module(core, &TWICE[i][1]) };
		struct mx_generation *g;
		mx_error *e = mx_generation_new(m, 2, &g);

		assert_null(g);
		assert_non_null(strstr(mx_error_text(e), "one"));
		assert_non_null(strstr(mx_error_text(e), "two"));
		unit_refused(e, MX_E_CONFIG);
		fake_free(&m[0]);
		fake_free(&m[1]);
	}
	mx_core_free(&core);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(handlers_run_by_priority_then_by_name),
		unit_case(the_first_opinion_wins),
		unit_case(a_refusal_carries_its_reason),
		unit_case(an_error_without_a_verdict_is_the_safe_verdict),
		unit_case(an_error_beside_an_allowance_is_dropped),
		unit_case(a_hook_for_some_types_does_not_see_the_others),
		unit_case(collecting_hooks_all_add_their_part),
		unit_case(without_modules_everything_is_let_through),
		unit_case(what_two_modules_claim_is_refused_with_both_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
