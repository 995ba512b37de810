/* A module that is linked into the program (libtool's -dlpreopen) is found without a file, takes
 * the way of every other module, leaves and comes back; only a reload is refused. */
#include "config.h"

#include "tests/unit/support/unit.h"

#include <ltdl.h>

#include "core/runtime/loader.h"
#include "core/runtime/registry.h"

extern const lt_dlsymlist lt_preloaded_symbols[];

struct world {
	struct mx_core *core;
	struct mx_config *config;
};

static struct world
begin(const char *const *load, size_t n)
{
	static const char *nowhere[] = { "/nowhere", NULL };
	struct world w = { mx_core_new("x"), mx_config_read("/dev/null", NULL) };
	struct mx_modules_options options = { .load = { load, n }, .path = { nowhere, 1 } };
	struct mx_modules_setup setup = { .options = &options, .folder = "/nowhere" };

	setenv("MYELIN_MODULE_PATH", "/nowhere", 1);
	mx_modules_open(w.core, w.config, &setup);
	unit_ok(mx_config_check(w.config));
	unit_ok(mx_modules_configure(w.core));
	unit_ok(mx_modules_register(w.core));
	unit_ok(mx_modules_start(w.core));
	return w;
}

static void
end(struct world *w)
{
	mx_modules_drain(w->core);
	mx_modules_stop(w->core);
	mx_modules_close(w->core);
	mx_config_free(&w->config);
	mx_core_free(&w->core);
}

static void
expect(mx_error *e, const char *part)
{
	assert_non_null(e);
	if (strstr(mx_error_text(e), part) == NULL)
		assert_string_equal(mx_error_text(e), part);
	mx_error_free(&e);
}

/* Whether it answers. */
static void
there(struct world *w, bool is)
{
	mx_error *e = mx_check_register(w->core, MX_S("x"), MX_S("::1"));

	if (is)
		expect(e, "refused by 1 linked");
	else
		unit_ok(e);
}

static void
linked_module_is_found_without_a_file(void **state)
{
	static const char *all[] = { "*" };
	struct world w = begin(all, 1);
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_image *im;
	const char **names;

	(void)state;
	assert_int_equal(mx_modules_installed(w.core, a, &names), 1);
	assert_string_equal(names[0], "t-linked");
	there(&w, true);
	unit_ok(mx_module_peek(w.core, "t-linked", &im));
	assert_string_equal(im->file, "linked:t_linked");
	assert_string_equal(im->summary, "Is linked in");
	mx_image_free(&im);
	end(&w);
}

static void
unloaded_linked_module_leaves_and_comes_back(void **state)
{
	static const char *named[] = { "t-linked" };
	struct world w = begin(named, 1);

	(void)state;
	for (int i = 0; i < 3; i++) {
		unit_ok(mx_module_unload(w.core, "t-linked"));
		assert_int_equal(mx_modules_reap(w.core), 0);
		there(&w, false);
		unit_ok(mx_module_load(w.core, w.config, "t-linked"));
		there(&w, true);
	}
	end(&w);
}

static void
reload_of_a_linked_module_is_refused_in_words(void **state)
{
	static const char *named[] = { "t-linked" };
	struct world w = begin(named, 1);

	(void)state;
	expect(mx_module_reload(w.core, w.config, "t-linked"),
	       "linked into the server and cannot be reloaded");
	there(&w, true);
	end(&w);
}

static void
linked_module_is_not_there_twice(void **state)
{
	static const char *named[] = { "t-linked" };
	struct world w = begin(named, 1);
	struct mx_module_self *self = mx_registry_module(w.core, "t-linked");

	(void)state;
	unit_ok(mx_module_unload(w.core, "t-linked"));
	assert_int_equal(mx_modules_reap(w.core), 1);
	expect(mx_module_load(w.core, w.config, "t-linked"), "has not left yet");
	mx_self_unpin(self);
	assert_int_equal(mx_modules_reap(w.core), 0);
	unit_ok(mx_module_load(w.core, w.config, "t-linked"));
	there(&w, true);
	end(&w);
}

static void
other_names_are_not_linked(void **state)
{
	struct world w = begin(NULL, 0);
	struct mx_image *im;

	(void)state;
	expect(mx_module_peek(w.core, "t-link", &im), "there is no module t-link");
	expect(mx_module_load(w.core, w.config, "t-linked-too"), "there is no module t-linked-too");
	end(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(linked_module_is_found_without_a_file),
		cmocka_unit_test(unloaded_linked_module_leaves_and_comes_back),
		cmocka_unit_test(reload_of_a_linked_module_is_refused_in_words),
		cmocka_unit_test(linked_module_is_not_there_twice),
		cmocka_unit_test(other_names_are_not_linked),
	};

	mx_modules_linked(lt_preloaded_symbols);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
