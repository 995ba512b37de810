/* Loading real modules: what is refused and how that is said, and what unloading and reloading
 * leave behind. */
#include "config.h"

#include "tests/unit/support/unit.h"

#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/runtime/control.h"
#include "core/runtime/jobs.h"
#include "core/runtime/loader.h"
#include "core/runtime/pool.h"
#include "core/runtime/registry.h"

#define LIBS MX_BUILDDIR "/tests/unit/runtime/.libs"

static char folder[] = "/tmp/mx-loader-XXXXXX";

/* Puts a built module into the folder that the test loads from; as: under another name. */
static void
install(const char *file, const char *as)
{
	char command[1024];

	/* A new inode: what is mapped is never written over. */
	snprintf(command, sizeof(command), "rm -f %s/%s.so && cp " LIBS "/%s.so %s/%s.so", folder,
		 as, file, folder, as);
	assert_int_equal(system(command), 0);
}

static void
uninstall_all(void)
{
	char command[256];

	snprintf(command, sizeof(command), "rm -rf %s/*", folder);
	assert_int_equal(system(command), 0);
}

static struct mx_config *
config_of(const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/myelin.conf", folder);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return mx_config_read(path, "myelin.conf");
}

struct world {
	struct mx_core *core;
	struct mx_config *config;
	mx_error *error;		/* of the start */
};

/* Starts a server without parts with the modules of this [modules] load. */
static struct world
begin(const char *load, const char *optional, const char *text)
{
	struct world w = { .core = mx_core_new("x"), .config = config_of(text) };
	static const char *v[8], *o[2];
	const char *path[] = { folder, NULL };
	char *words = strdup(load);
	struct mx_modules_options options = { .load = { v, 0 },
					      .path = { path, 1 },
					      .optional = { o, 0 } };
	struct mx_modules_setup setup = { .options = &options, .folder = folder };

	for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " "))
		v[options.load.n++] = word;
	if (optional != NULL)
		o[options.optional.n++] = optional;
	setenv("MYELIN_MODULE_PATH", folder, 1);
	mx_modules_open(w.core, w.config, &setup);
	free(words);
	w.error = mx_config_check(w.config);
	if (w.error == NULL)
		w.error = mx_modules_configure(w.core);
	if (w.error == NULL)
		w.error = mx_modules_register(w.core);
	if (w.error == NULL)
		w.error = mx_modules_start(w.core);
	return w;
}

static void
end(struct world *w)
{
	mx_modules_drain(w->core);
	mx_modules_stop(w->core);
	mx_modules_close(w->core);
	mx_control_stop(w->core);
	mx_config_free(&w->config);
	mx_core_free(&w->core);
	uninstall_all();
}

static mx_error *
live(struct world *w,
     mx_error *(*fn)(struct mx_core *core, struct mx_config *config, const char *name),
     const char *name, const char *text)
{
	struct mx_config *config = config_of(text);
	mx_error *e = fn(w->core, config, name);

	mx_config_free(&config);
	return e;
}

/* What the server says to a registration of "bad": tells whether, and which, t-good is there. */
static void
expect_refusal(struct world *w, const char *text)
{
	mx_error *e = mx_check_register(w->core, MX_S("bad"), MX_S("::1"));

	if (text == NULL) {
		unit_ok(e);
		return;
	}
	assert_non_null(e);
	assert_string_equal(mx_error_text(e), text);
	mx_error_free(&e);
}

static void
expect_command(struct world *w, const char *line, const char *answer)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	mx_str words[4], rest = mx_str_of(line);
	json_t *json = NULL;
	size_t n = 0;

	while (rest.n > 0) {
		if (!mx_str_cut(rest, ' ', &words[n++], &rest))
			rest = (mx_str){ NULL, 0 };
	}
	unit_ok(mx_control_run(w->core, words, n, b, &json));
	assert_string_equal(mx_buf_cstr(b), answer);
	json_decref(json);
}

/* ---- what is refused ---- */

#define MINE "1.3; it needs a newer Myelin"
_Static_assert(MX_ABI_MAJOR == 1 && MX_ABI_MINOR == 3, "the refusals say these");

static const struct {
	const char *file, *says;
} REFUSED[] = {
	{ "t_magic",
	  "it is not a module of Myelin: its descriptor does not begin with MX_MODULE_HEAD" },
	{ "t_major", "it was built for the module interface 2.0, and this server has " MINE },
	{ "t_minor", "it was built for the module interface 1.4, and this server has " MINE },
	{ "t_version", "it does not say for which module interface it was built; rebuild it with "
		       "MX_MODULE_HEAD" },
	{ "t_size", "its descriptor has an impossible size (8 bytes)" },
	{ "t_name", "it calls itself \"somebody-else\"; its file must be called somebody_else.so" },
	{ "t_symbol",
	  "it has no symbol t_symbol_LTX_mx_module; declare it with MX_MODULE(t_symbol)" },
	{ "t_undefined", "undefined symbol: nobody_defines_this" },
	{ "t_absent", "module t-absent requires nobody, which is not loaded; load it too, or leave "
		      "t-absent out of [modules] load" },
	{ "t_later",
	  "module t-later requires the service t-thing>=9, which no loaded module publishes" },
	{ "t_requires", "what it requires cannot be read at \"t-thing=>1\"" },
	{ "t_option", "option \"n\" lies outside of its struct of 8 bytes (is options_size the "
		      "size of the struct?)" },
	{ "t_required", "myelin.conf: [t-required] n is missing. A number." },
	{ "t_job", "its job number 1 is neither every process's nor one's" },
	{ "t_hook", "it fills a hook (number 9999) that this server does not have" },
	{ "t_provider",
	  "its storage provider \"odd\" was built for version 999 of that interface" },
	{ "t_migration", "its migrations must be numbered from 1 without gaps" },
	{ "t_start", "module t-start does not start: t-start has no luck" },
	{ "t_configure",
	  "module t-configure does not accept its configuration: t-configure has no luck" },
};

static void
name_of(const char *file, char *name, size_t room)
{
	mx_module_name_of(file, name, room);
}

static void
a_refused_module_stops_the_start_and_says_what_to_do(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(REFUSED) / sizeof(REFUSED[0]); i++) {
		char name[64];
		struct world w;

		install(REFUSED[i].file, REFUSED[i].file);
		name_of(REFUSED[i].file, name, sizeof(name));
		w = begin(name, NULL, "");
		assert_true(mx_error_is(w.error, MX_E_CONFIG));
		if (strstr(mx_error_text(w.error), REFUSED[i].says) == NULL)
			fail_msg("%s: %s", REFUSED[i].file, mx_error_text(w.error));
		mx_error_free(&w.error);
		end(&w);
	}
}

static void
a_refused_module_leaves_a_running_server_as_it_was(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(REFUSED) / sizeof(REFUSED[0]); i++) {
		char name[64];
		struct world w;
		mx_error *e;

		install("t_good", "t_good");
		install(REFUSED[i].file, REFUSED[i].file);
		name_of(REFUSED[i].file, name, sizeof(name));
		w = begin("t-good", NULL, "");
		unit_ok(w.error);
		e = live(&w, mx_module_load, name, "");
		assert_non_null(e);
		if (strcmp(name, "t-later") == 0)
			assert_non_null(strstr(
				mx_error_text(e),
				"requires the service t-thing in version 9, and t-good publishes "
				"version 2; upgrade t-good"));
		else if (strstr(mx_error_text(e), REFUSED[i].says) == NULL)
			fail_msg("%s: %s", REFUSED[i].file, mx_error_text(e));
		mx_error_free(&e);
		expect_refusal(&w, "hello from 1");
		end(&w);
	}
}

static void
an_optional_module_may_be_refused(void **state)
{
	struct world w;

	(void)state;
	install("t_good", "t_good");
	install("t_major", "t_major");
	w = begin("t-good t-major", "t-major", "");
	unit_ok(w.error);
	unit_expect_log("RUN001");
	expect_refusal(&w, "hello from 1");
	end(&w);
	install("t_good", "t_good");
	install("t_start", "t_start");
	w = begin("t-good t-start", "t-start", "[t-good]\ngreeting = hi\n");
	unit_ok(w.error);
	unit_expect_log("RUN001");
	expect_refusal(&w, "hi from 1");
	end(&w);
}

static void
all_refusals_are_told_at_once(void **state)
{
	struct world w;

	(void)state;
	install("t_major", "t_major");
	install("t_hook", "t_hook");
	w = begin("t-major t-hook t-nowhere", NULL,
		  "[modules]\nload = t-major, t-hook, t-nowhere\n");
	assert_non_null(w.error);
	assert_non_null(strstr(mx_error_text(w.error), "myelin.conf:2: module t-major"));
	assert_non_null(strstr(mx_error_text(w.error), "myelin.conf:2: module t-hook"));
	assert_non_null(
		strstr(mx_error_text(w.error), "myelin.conf:2: there is no module t-nowhere"));
	mx_error_free(&w.error);
	end(&w);
}

static void
a_circle_is_named(void **state)
{
	struct world w;

	(void)state;
	install("t_ring_a", "t_ring_a");
	install("t_ring_b", "t_ring_b");
	w = begin("t-ring-a t-ring-b", NULL, "");
	assert_non_null(
		strstr(mx_error_text(w.error),
		       "in a circle: t-ring-a requires t-ring-b, t-ring-b requires t-ring-a;"));
	unit_refused(w.error, MX_E_CONFIG);
	end(&w);
}

static void
a_route_that_is_taken_is_refused_with_both_names(void **state)
{
	struct world w;
	mx_error *e;

	(void)state;
	install("t_good", "t_good");
	install("t_route", "t_route");
	w = begin("t-good", NULL, "");
	unit_ok(w.error);
	e = live(&w, mx_module_load, "t-route", "");
	assert_non_null(strstr(mx_error_text(e), "t-good"));
	assert_non_null(strstr(mx_error_text(e), "t-route"));
	unit_refused(e, MX_E_CONFIG);
	end(&w);
}

/* ---- which are loaded ---- */

static void
a_star_loads_what_is_installed_but_what_is_switched_off_or_not_configured(void **state)
{
	struct world w;
	struct mx_module_self *self;

	(void)state;
	install("t_good", "t_good");
	install("t_user", "t_user");
	install("t_required", "t_required");
	w = begin("*", NULL, "");
	unit_ok(w.error);
	expect_command(&w, "user ask", "42 0");
	assert_null(mx_registry_module(w.core, "t-required"));
	end(&w);
	install("t_good", "t_good");
	install("t_user", "t_user");
	install("t_required", "t_required");
	w = begin("*", NULL, "[t-user]\nenabled = no\n[t-required]\nn = 5\n");
	unit_ok(w.error);
	assert_null(mx_registry_module(w.core, "t-user"));
	self = mx_registry_module(w.core, "t-required");
	assert_non_null(self);
	mx_self_unpin(self);
	end(&w);
}

static void
the_section_of_a_module_that_is_not_loaded_is_checked_too(void **state)
{
	struct world w;

	(void)state;
	install("t_good", "t_good");
	install("t_user", "t_user");
	w = begin("t-good", NULL, "[t-user]\nnothing = 1\n[t-good]\nlimit = 11\n");
	assert_string_equal(
		mx_error_text(w.error),
		"myelin.conf:2: [t-user] has no option nothing\n"
		"myelin.conf:4: [t-good] limit = 11: expected a whole number from 0 to 10");
	mx_error_free(&w.error);
	end(&w);
}

static void
looking_at_a_file_runs_nothing_of_it(void **state)
{
	struct world w;
	struct mx_image *im;

	(void)state;
	install("t_good", "t_good");
	w = begin("", NULL, "");
	unit_ok(mx_module_peek(w.core, "t-good", &im));
	assert_string_equal(im->name, "t-good");
	assert_int_equal(im->option_count, 2);
	assert_string_equal(im->options[0].def, "hello");
	assert_string_equal(im->routes[0].path, "/_t/good");
	mx_image_free(&im);
	end(&w);
}

/* ---- coming, going, changing ---- */

static void
a_module_comes_and_goes(void **state)
{
	struct world w;

	(void)state;
	install("t_good", "t_good");
	w = begin("", NULL, "");
	unit_ok(w.error);
	expect_refusal(&w, NULL);
	unit_ok(live(&w, mx_module_load, "t-good",
		     "[t-good]\ngreeting = ciao\n[something-else]\nx = y\n"));
	expect_refusal(&w, "ciao from 1");
	expect_command(&w, "good say you", "ciao you");
	unit_refused(live(&w, mx_module_load, "t-good", ""), MX_E_BAD_REQUEST);
	unit_ok(mx_module_unload(w.core, "t-good"));
	assert_int_equal(mx_modules_reap(w.core), 0);
	expect_refusal(&w, NULL);
	unit_refused(mx_module_unload(w.core, "t-good"), MX_E_NOT_FOUND);
	unit_ok(live(&w, mx_module_load, "t-good", ""));
	expect_refusal(&w, "hello from 1");
	end(&w);
}

static void
a_mistake_in_its_section_keeps_a_module_out(void **state)
{
	struct world w;
	mx_error *e;

	(void)state;
	install("t_good", "t_good");
	w = begin("", NULL, "");
	e = live(&w, mx_module_load, "t-good", "[t-good]\ngreting = ciao\n");
	assert_string_equal(
		mx_error_text(e),
		"myelin.conf:2: [t-good] has no option greting; did you mean greeting?");
	unit_refused(e, MX_E_CONFIG);
	expect_refusal(&w, NULL);
	end(&w);
}

static void
a_reload_brings_the_code_that_the_file_holds_now(void **state)
{
	struct world w;

	(void)state;
	install("t_good", "t_good");
	w = begin("t-good", NULL, "");
	unit_ok(w.error);
	expect_refusal(&w, "hello from 1");
	install("t_good2", "t_good");
	unit_ok(live(&w, mx_module_reload, "t-good", "[t-good]\ngreeting = hola\n"));
	expect_refusal(&w, "hola from 2");
	assert_int_equal(mx_modules_reap(w.core), 0);
	install("t_good", "t_good");
	unit_ok(live(&w, mx_module_reload, "t-good", ""));
	expect_refusal(&w, "hello from 1");
	end(&w);
}

static void
a_failed_reload_keeps_the_old_one(void **state)
{
	struct world w;
	mx_error *e;

	(void)state;
	install("t_good", "t_good");
	w = begin("t-good", NULL, "");
	unit_ok(w.error);
	install("t_magic", "t_good");
	e = live(&w, mx_module_reload, "t-good", "");
	assert_non_null(strstr(mx_error_text(e), "t_good.so"));
	unit_refused(e, MX_E_CONFIG);
	expect_refusal(&w, "hello from 1");
	end(&w);
}

static void
what_still_runs_keeps_a_module_in_memory(void **state)
{
	struct world w;
	struct mx_module_self *self;
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	(void)state;
	install("t_good", "t_good");
	w = begin("t-good", NULL, "");
	self = mx_registry_module(w.core, "t-good");
	unit_ok(mx_module_unload(w.core, "t-good"));
	assert_null(mx_registry_module(w.core, "t-good"));
	assert_int_equal(mx_modules_reap(w.core), 1);
	unit_ok(self->image->commands[0].run(self, NULL, 0, b));
	mx_self_unpin(self);
	assert_int_equal(mx_modules_reap(w.core), 0);
	end(&w);
}

static void
a_module_that_another_needs_stays(void **state)
{
	struct world w;
	mx_error *e;

	(void)state;
	install("t_good", "t_good");
	install("t_user", "t_user");
	w = begin("t-user t-good", NULL, "");
	unit_ok(w.error);
	e = mx_module_unload(w.core, "t-good");
	assert_string_equal(mx_error_text(e),
			    "module t-good is needed by t-user; unload that first");
	unit_refused(e, MX_E_BAD_REQUEST);
	unit_ok(mx_module_unload(w.core, "t-user"));
	unit_ok(mx_module_unload(w.core, "t-good"));
	assert_int_equal(mx_modules_reap(w.core), 0);
	end(&w);
}

static void
who_uses_a_service_is_reloaded_with_it(void **state)
{
	struct world w;
	struct mx_module_self *before, *after;

	(void)state;
	install("t_good", "t_good");
	install("t_user", "t_user");
	w = begin("t-user t-good", NULL, "");
	unit_ok(w.error);
	before = mx_registry_module(w.core, "t-user");
	unit_ok(live(&w, mx_module_reload, "t-good", ""));
	after = mx_registry_module(w.core, "t-user");
	assert_ptr_not_equal(before, after);
	/* The old user is pinned, and holds the old service. */
	assert_int_equal(mx_modules_reap(w.core), 2);
	mx_self_unpin(before);
	mx_self_unpin(after);
	assert_int_equal(mx_modules_reap(w.core), 0);
	expect_command(&w, "user ask", "42 0");
	end(&w);
}

static void
changed_options_are_taken_up_where_they_may(void **state)
{
	struct world w;
	struct mx_config *config;
	MX_AUTO(mx_buf) *notes = mx_buf_new(0);
	struct mx_module_self *self;
	const char *const *old;

	(void)state;
	install("t_good", "t_good");
	w = begin("t-good", NULL, "[t-good]\ngreeting = one\n");
	unit_ok(w.error);
	self = mx_registry_module(w.core, "t-good");
	old = mx_self_options(self);
	config = config_of("[t-good]\ngreeting = two\nlimit = 4\n");
	mx_modules_reload_options(w.core, config, notes);
	mx_config_free(&config);
	assert_string_equal(mx_buf_cstr(notes), "[t-good] limit\n");
	expect_refusal(&w, "two from 1");
	assert_string_equal(*old, "one");	/* a request that began before still reads it */
	config = config_of("[t-good]\ngreeting = three\n");
	mx_modules_reload_options(w.core, config, notes);
	mx_config_free(&config);
	mx_self_unpin(self);
	mx_modules_reap(w.core);
	expect_refusal(&w, "three from 1");
	end(&w);
}

/* ---- under load ---- */

struct load {
	struct mx_core *core;
	_Atomic bool end;
	_Atomic unsigned long runs;
};

static mx_error *
on_provider(void *arg, const char *name, const void *ops, struct mx_module_self *self)
{
	(void)name;
	(void)self;
	return ((const uint32_t *)ops)[0] > 0 ? NULL : arg;
}

static void *
press(void *arg)
{
	struct load *l = arg;

	while (!l->end) {
		MX_AUTO(mx_buf) *b = mx_buf_new(0);
		mx_str words[] = { MX_S("good"), MX_S("say"), MX_S("x") };
		json_t *json = NULL;
		mx_error *e = mx_check_register(l->core, MX_S("bad"), MX_S("::1"));
		struct mx_module_self *self;

		mx_error_free(&e);
		e = mx_control_run(l->core, words, 3, b, &json);
		mx_error_free(&e);
		e = mx_core_providers(l->core, "t-kind", on_provider, NULL);
		mx_error_free(&e);
		self = mx_registry_module(l->core, "t-good");
		if (self != NULL)
			assert_true(self->image->metrics[0].read(self) < INT64_C(1) << 40);
		mx_self_unpin(self);
		l->runs++;
	}
	return NULL;
}

static void
reloading_under_load_leaves_nothing_behind(void **state)
{
	enum { THREADS = 4, ROUNDS = 30 };
	struct world w;
	struct load l = { 0 };
	pthread_t threads[THREADS];

	(void)state;
	install("t_good", "t_good");
	w = begin("t-good", NULL, "");
	unit_ok(w.error);
	mx_control_register(w.core, NULL, 0);
	mx_jobs_new(w.core);
	unit_ok(mx_jobs_start(w.core));
	l.core = w.core;
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, press, &l), 0);
	for (size_t i = 0; i < ROUNDS; i++) {
		unsigned long before = l.runs;

		if (i % 3 == 2) {
			unit_ok(mx_module_unload(w.core, "t-good"));
			unit_ok(live(&w, mx_module_load, "t-good", ""));
		} else {
			unit_ok(live(&w, mx_module_reload, "t-good", ""));
		}
		mx_jobs_poke(w.core);
		while (mx_modules_reap(w.core) > 0 || l.runs < before + THREADS)
			usleep(100);
	}
	l.end = true;
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	mx_jobs_stop(w.core);
	end(&w);
	unit_allow_log("RUN010");	/* four threads that press may slow each other's hooks down */
}

static int
make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static int
remove_folder(void **state)
{
	(void)state;
	uninstall_all();
	return rmdir(folder);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(a_refused_module_stops_the_start_and_says_what_to_do),
		unit_case(a_refused_module_leaves_a_running_server_as_it_was),
		unit_case(an_optional_module_may_be_refused),
		unit_case(all_refusals_are_told_at_once),
		unit_case(a_circle_is_named),
		unit_case(a_route_that_is_taken_is_refused_with_both_names),
		unit_case(
			a_star_loads_what_is_installed_but_what_is_switched_off_or_not_configured),
		unit_case(the_section_of_a_module_that_is_not_loaded_is_checked_too),
		unit_case(looking_at_a_file_runs_nothing_of_it),
		unit_case(a_module_comes_and_goes),
		unit_case(a_mistake_in_its_section_keeps_a_module_out),
		unit_case(a_reload_brings_the_code_that_the_file_holds_now),
		unit_case(a_failed_reload_keeps_the_old_one),
		unit_case(what_still_runs_keeps_a_module_in_memory),
		unit_case(a_module_that_another_needs_stays),
		unit_case(who_uses_a_service_is_reloaded_with_it),
		unit_case(changed_options_are_taken_up_where_they_may),
		unit_case(reloading_under_load_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
