#include "config.h"

#include "tests/unit/http/harness.h"

static enum mx_outcome
handler(struct mx_request *rq)
{
	return mx_reply_empty(rq);
}

#define R(method_, path_) { .method = method_, .path = path_, .handler = handler }

static const struct mx_route routes[] = {
	R("GET", "/_matrix/client/versions"),
	R("GET", "/_matrix/client/v3/rooms/{roomId}/state"),
	R("GET", "/_matrix/client/v3/rooms/{roomId}/state/{eventType}"),
	R("PUT", "/_matrix/client/v3/rooms/{roomId}/state/{eventType}"),
	R("GET", "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}"),
	R("PUT", "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}"),
	R("PUT", "/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}"),
	R("GET", "/_matrix/client/v3/rooms/{roomId}/members"),
	R("GET", "/_matrix/client/v3/other/{roomId}/members"),
	R("POST", "/_matrix/client/v3/other/{roomId}/{anything}"),
	R("GET", "/_matrix/client/unstable/org.example/x"),
	R("GET", "/_matrix/static/{path*}"),
	R("GET", "/_matrix/client/v1/rooms/{roomId}/hierarchy"),
	R("GET", "/_matrix/client/v3/rules/"),
	R("GET", "/_matrix/client/v3/rules/x/{id}"),
};

static struct mx_router *router;
static struct mx_router_match m;

static enum mx_router_result
find(const char *method, const char *path)
{
	return mx_router_find(router, mx_str_of(method), mx_str_of(path), &m);
}

static bool
value_is(size_t i, const char *name, const char *value)
{
	return i < m.n && strcmp(m.names[i], name) == 0 && mx_str_eq(m.values[i], mx_str_of(value));
}

static void
paths_find_their_routes(void **state)
{
	static const struct {
		const char *method, *path, *template;
	} rows[] = {
		{ "GET", "/_matrix/client/versions", "/_matrix/client/versions" },
		{ "HEAD", "/_matrix/client/versions", "/_matrix/client/versions" },
		{ "GET", "/_matrix/client/%76ersions", "/_matrix/client/versions" },
		{ "GET", "/_matrix/client/v3/rooms/!a/members",
		  "/_matrix/client/v3/rooms/{roomId}/members" },
		{ "GET", "/_matrix/client/r0/rooms/!a/members",
		  "/_matrix/client/v3/rooms/{roomId}/members" },
		{ "GET", "/_matrix/client/v3/other/!a/members",
		  "/_matrix/client/v3/other/{roomId}/members" },
		{ "POST", "/_matrix/client/v3/other/!a/members",
		  "/_matrix/client/v3/other/{roomId}/{anything}" },
		{ "GET", "/_matrix/client/v3/rooms/!a/state",
		  "/_matrix/client/v3/rooms/{roomId}/state" },
		{ "GET", "/_matrix/client/unstable/org.example/x",
		  "/_matrix/client/unstable/org.example/x" },
		{ "GET", "/_matrix/static/a/b/c", "/_matrix/static/{path*}" },
		{ "GET", "/_matrix/static/", "/_matrix/static/{path*}" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(find(rows[i].method, rows[i].path), MX_ROUTER_FOUND);
		assert_string_equal(m.route->path, rows[i].template);
	}
}

static void
other_paths_are_unknown(void **state)
{
	static const char *const paths[] = {
		"",
		"/",
		"x",
		"/_matrix",
		"/_matrix/",
		"/_matrix/client/versions/",
		"/_matrix/client/versions/x",
		"//_matrix/client/versions",
		"/_matrix//client/versions",
		"/_matrix/client/v4/rooms/!a/members",
		"/_matrix/client/r0/rooms/!a/hierarchy",
		"/_matrix/client/v3/rooms//members",
		"/_matrix/r0",
		"/_matrix/client%2Fversions",
		"/_matrix/client/v3/rooms/!a/state/",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(paths); i++)
		assert_int_equal(find("GET", paths[i]), MX_ROUTER_UNKNOWN);
	assert_int_equal(find("GET", "/_matrix/%xx"), MX_ROUTER_MALFORMED);
}

static void
parameters_keep_what_is_escaped(void **state)
{
	(void)state;
	assert_int_equal(find("PUT", "/_matrix/client/v3/rooms/%21a%2Fb/send/m.room.message/1"),
			 MX_ROUTER_FOUND);
	assert_int_equal(m.n, 3);
	assert_true(value_is(0, "roomId", "%21a%2Fb"));
	assert_true(value_is(1, "eventType", "m.room.message"));
	assert_true(value_is(2, "txnId", "1"));
	assert_int_equal(find("GET", "/_matrix/static/a/b"), MX_ROUTER_FOUND);
	assert_true(value_is(0, "path", "a/b"));
}

static void
a_trailing_slash_after_a_parameter_is_no_segment(void **state)
{
	(void)state;
	assert_int_equal(find("PUT", "/_matrix/client/v3/rooms/!a/state/m.room.name/"),
			 MX_ROUTER_FOUND);
	assert_string_equal(m.route->path, "/_matrix/client/v3/rooms/{roomId}/state/{eventType}");
	assert_int_equal(m.n, 2);
	assert_int_equal(find("PUT", "/_matrix/client/v3/rooms/!a/state/m.room.name/k"),
			 MX_ROUTER_FOUND);
	assert_true(value_is(2, "stateKey", "k"));
	assert_int_equal(find("GET", "/_matrix/client/v3/rooms/!a/members/"), MX_ROUTER_UNKNOWN);
}

static void
a_trailing_slash_after_a_literal_is_as_the_template_has_it(void **state)
{
	(void)state;
	assert_int_equal(find("GET", "/_matrix/client/v3/rules/"), MX_ROUTER_FOUND);
	assert_string_equal(m.route->path, "/_matrix/client/v3/rules/");
	assert_int_equal(find("GET", "/_matrix/client/v3/rules/x/1"), MX_ROUTER_FOUND);
	assert_int_equal(find("PUT", "/_matrix/client/v3/rules/"), MX_ROUTER_METHOD);
	assert_int_equal(find("GET", "/_matrix/client/v3/rules"), MX_ROUTER_UNKNOWN);
	assert_int_equal(find("GET", "/_matrix/client/v3/rules//"), MX_ROUTER_UNKNOWN);
	assert_int_equal(find("GET", "/_matrix/client/v3/rules//x/1"), MX_ROUTER_UNKNOWN);
	assert_int_equal(find("GET", "/_matrix/client/v3/rules/x/"), MX_ROUTER_UNKNOWN);
}

static void
a_wrong_method_says_which_are_right(void **state)
{
	(void)state;
	assert_int_equal(find("DELETE", "/_matrix/client/v3/rooms/!a/state/t/k"), MX_ROUTER_METHOD);
	assert_string_equal(m.allow, "GET, HEAD, PUT, OPTIONS");
	assert_int_equal(find("BREW", "/_matrix/client/versions"), MX_ROUTER_METHOD);
	assert_int_equal(find("OPTIONS", "/_matrix/client/versions"), MX_ROUTER_METHOD);
}

static void
mistakes_in_tables_are_refused(void **state)
{
	static const struct mx_route bad[] = {
		R("GET", "no-slash"),
		R("GET", "/a//b"),
		R("GET", "/"),
		R("GET", "/{a}/"),
		R("GET", "/a//"),
		R("GET", "/{}"),
		R("GET", "/a{b}"),
		R("GET", "/{a*}/b"),
		R("GET", "/{*}"),
		R("OPTIONS", "/a"),
		R("get", "/a"),
		R("", "/a"),
		R("GET", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}"),
		{ .method = "GET", .path = "/a" },
		{ .method = "GET", .path = "/a", .handler = handler, .flags = MX_ROUTE_STREAM | MX_ROUTE_INLINE },
		{ .method = "GET", .path = "/a", .handler = handler, .flags = 1u << 30 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct mx_router_row row = { .route = &bad[i], .owner = "example" };
		struct mx_router *r;
		mx_error *e = mx_router_new(&row, 1, &r);

		assert_true(mx_error_is(e, MX_E_CONFIG));
		assert_has(mx_error_text(e), "example");
		mx_error_free(&e);
	}
}

static void
two_owners_of_a_route_are_named(void **state)
{
	static const struct mx_route a = R("GET", "/_matrix/client/v3/x/{one}"),
				     b = R("GET", "/_matrix/client/r0/x/{two}");
	struct mx_router_row rows[] = { { .route = &a, .owner = "first" },
					{ .route = &b, .owner = "second" } };
	struct mx_router *r;
	mx_error *e = mx_router_new(rows, 2, &r);

	(void)state;
	assert_true(mx_error_is(e, MX_E_CONFIG));
	assert_has(mx_error_text(e), "first");
	assert_has(mx_error_text(e), "second");
	mx_error_free(&e);
}

static int
set_up(void **state)
{
	(void)state;
	router = make_router(routes, COUNT(routes));
	assert_int_equal(mx_router_count(router), COUNT(routes));
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	mx_router_unref(&router);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_find_their_routes),
		cmocka_unit_test(other_paths_are_unknown),
		cmocka_unit_test(parameters_keep_what_is_escaped),
		cmocka_unit_test(a_trailing_slash_after_a_parameter_is_no_segment),
		cmocka_unit_test(a_trailing_slash_after_a_literal_is_as_the_template_has_it),
		cmocka_unit_test(a_wrong_method_says_which_are_right),
		cmocka_unit_test(mistakes_in_tables_are_refused),
		cmocka_unit_test(two_owners_of_a_route_are_named),
	};

	return cmocka_run_group_tests_name("http router", tests, set_up, tear_down);
}
