#include "config.h"

#include "tests/unit/http/harness.h"

#include "core/http/address.h"
#include "core/http/parse.h"
#include "core/http/rate.h"
#include "core/http/text.h"
#include "core/http/wheel.h"

/* ---- the wheel ---- */

enum { ENTRIES = 2000, MS = 1000 };

static int64_t
draw(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (int64_t)(*seed >> 20);
}

static void
the_wheel_is_never_early_and_hardly_late(void **state)
{
	static const int64_t spans[] = { 10 * MS, 2000 * MS, 100000 * (int64_t)MS,
					 100000000 * (int64_t)MS };
	struct mx_wheel_entry *entries = calloc(ENTRIES, sizeof(*entries));
	int64_t *at = calloc(ENTRIES, sizeof(*at));
	struct mx_wheel *w = calloc(1, sizeof(*w));
	uint64_t seed = 1;

	(void)state;
	for (size_t k = 0; k < COUNT(spans); k++) {
		int64_t now = draw(&seed) % 1000000000000;
		int left = ENTRIES;

		mx_wheel_init(w, now);
		for (int i = 0; i < ENTRIES; i++) {
			at[i] = now + draw(&seed) % spans[k];
			mx_wheel_set(w, &entries[i], at[i]);
		}
		/* Some are moved, some removed. */
		for (int i = 0; i < ENTRIES; i += 3) {
			at[i] = now + draw(&seed) % spans[k];
			mx_wheel_set(w, &entries[i], at[i]);
		}
		for (int i = 0; i < ENTRIES; i += 7) {
			mx_wheel_remove(w, &entries[i]);
			at[i] = -1;
			left--;
		}
		while (left > 0) {
			int64_t next = mx_wheel_next(w);
			struct mx_wheel_entry *e;

			assert_true(next > now - 2 * MX_WHEEL_UNIT_US && next != INT64_MAX);
			/* As a timer does, or an unrelated wake-up somewhere before. */
			now = draw(&seed) % 4 == 0 && next > now ? now + (next - now) / 2
			      : next > now                       ? next
								 : now;
			mx_wheel_advance(w, now);
			while ((e = mx_wheel_pop(w)) != NULL) {
				int64_t due = at[e - entries];

				assert_true(due >= 0);
				assert_true(now >= due);
				assert_true(now - due <= 2 * MX_WHEEL_UNIT_US);
				at[e - entries] = -1;
				left--;
			}
		}
		assert_true(mx_wheel_next(w) == INT64_MAX);
	}
	free(entries);
	free(at);
	free(w);
}

static void
the_wheel_lets_what_is_due_be_moved(void **state)
{
	struct mx_wheel_entry a = { 0 }, b = { 0 };
	struct mx_wheel *w = calloc(1, sizeof(*w));

	(void)state;
	mx_wheel_init(w, 0);
	mx_wheel_set(w, &a, 10 * MS);
	mx_wheel_set(w, &b, 10 * MS);
	mx_wheel_advance(w, 50 * MS);
	mx_wheel_set(w, &a, 100 * MS);
	assert_ptr_equal(mx_wheel_pop(w), &b);
	assert_null(mx_wheel_pop(w));
	mx_wheel_advance(w, 50 * MS);
	assert_null(mx_wheel_pop(w));
	mx_wheel_advance(w, 101 * MS);
	assert_ptr_equal(mx_wheel_pop(w), &a);
	mx_wheel_set(w, &a, INT64_MAX);
	assert_true(mx_wheel_next(w) > 101 * MS);
	mx_wheel_advance(w, INT64_MAX / 4096);
	mx_wheel_remove(w, &a);
	free(w);
}

/* ---- texts ---- */

static void
percent_escapes_are_exact(void **state)
{
	char out[16];
	size_t n;

	(void)state;
	assert_true(mx_percent_decode(MX_S("a%2fb%2F+"), false, out, &n));
	assert_true(mx_str_eq((mx_str){ out, n }, MX_S("a/b/+")));
	assert_true(mx_percent_decode(MX_S("a+%2B"), true, out, &n));
	assert_true(mx_str_eq((mx_str){ out, n }, MX_S("a +")));
	assert_false(mx_percent_decode(MX_S("%"), true, out, &n));
	assert_false(mx_percent_decode(MX_S("%1"), true, out, &n));
	assert_false(mx_percent_decode(MX_S("%1g"), true, out, &n));
	assert_false(mx_percent_valid(MX_S("/a%%20")));
	assert_true(mx_percent_valid(MX_S("/a%20%41")));
	assert_true(mx_percent_valid(MX_S("")));
}

static void
queries_are_found_by_name(void **state)
{
	mx_str q = MX_S("a=1&b&a=2&c%20d=3&=4&a==5&&x"), v;

	(void)state;
	assert_true(mx_query_find(q, MX_S("a"), 0, &v) && mx_str_eq(v, MX_S("1")));
	assert_true(mx_query_find(q, MX_S("a"), 1, &v) && mx_str_eq(v, MX_S("2")));
	assert_true(mx_query_find(q, MX_S("a"), 2, &v) && mx_str_eq(v, MX_S("=5")));
	assert_false(mx_query_find(q, MX_S("a"), 3, &v));
	assert_true(mx_query_find(q, MX_S("b"), 0, &v) && v.n == 0);
	assert_true(mx_query_find(q, MX_S("c d"), 0, &v) && mx_str_eq(v, MX_S("3")));
	assert_true(mx_query_find(q, MX_S("x"), 0, &v));
	assert_false(mx_query_find(q, MX_S("y"), 0, &v));
	assert_false(mx_query_find(MX_S(""), MX_S("y"), 0, &v));
}

static void
dates_are_as_http_has_them(void **state)
{
	char out[MX_HTTP_DATE];

	(void)state;
	mx_http_date(784111777, out);
	assert_string_equal(out, "Sun, 06 Nov 1994 08:49:37 GMT");
	mx_http_date(0, out);
	assert_string_equal(out, "Thu, 01 Jan 1970 00:00:00 GMT");
}

/* ---- addresses ---- */

static struct mx_address
parsed(const char *text)
{
	struct mx_address a;

	assert_true(mx_address_parse(mx_str_of(text), &a));
	return a;
}

static void
addresses_are_read_with_and_without_ports(void **state)
{
	static const char *const rows[][2] = {
		{ "192.0.2.1", "192.0.2.1" },     { "192.0.2.1:80", "192.0.2.1" },
		{ "2001:DB8::1", "2001:db8::1" }, { "[2001:db8::1]", "2001:db8::1" },
		{ "[::1]:443", "::1" },           { "::ffff:10.0.0.1", "10.0.0.1" },
	};
	static const char *const bad[] = { "",    "x",       "1.2.3",   "1.2.3.4.5", "[::1",
					   "::g", "unknown", "_hidden", "1.2.3.4 " };
	struct mx_address a;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[MX_ADDRESS_TEXT];

		a = parsed(rows[i][0]);
		(void)mx_address_text(&a, text);
		assert_string_equal(text, rows[i][1]);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(mx_address_parse(mx_str_of(bad[i]), &a));
}

static void
a_customer_is_an_address_or_a_64_network(void **state)
{
	struct mx_address a = parsed("2001:db8::1"), b = parsed("2001:db8::ffff:1"),
			  c = parsed("2001:db8:0:1::1");
	struct mx_address v4 = parsed("192.0.2.1"), other = parsed("192.0.2.2");

	(void)state;
	assert_true(mx_address_key(&a) == mx_address_key(&b));
	assert_true(mx_address_key(&a) != mx_address_key(&c));
	assert_true(mx_address_key(&v4) != mx_address_key(&other));
}

static void
networks_have_their_addresses(void **state)
{
	static const char *const words[] = { "10.0.0.0/8", "192.0.2.128/25", "2001:db8::/33",
					     "::1" };
	static const char *const in[] = { "10.255.0.1", "192.0.2.200", "2001:db8:7fff::1", "::1" };
	static const char *const out[] = { "11.0.0.1", "192.0.2.127", "2001:db8:8000::1", "::2",
					   "127.0.0.1" };
	static const char *const bad[] = { "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "x",
					   "[::1]",       "::/129",      "" };
	struct mx_address unix_peer = { .family = MX_ADDRESS_UNIX };
	struct mx_networks *w;

	(void)state;
	must(mx_networks_new("[http] trusted_proxies", words, COUNT(words), &w));
	for (size_t i = 0; i < COUNT(in); i++) {
		struct mx_address a = parsed(in[i]);

		assert_true(mx_networks_have(w, &a));
	}
	for (size_t i = 0; i < COUNT(out); i++) {
		struct mx_address a = parsed(out[i]);

		assert_false(mx_networks_have(w, &a));
	}
	assert_false(mx_networks_have(w, &unix_peer));
	mx_networks_free(&w);
	for (size_t i = 0; i < COUNT(bad); i++) {
		mx_error *e = mx_networks_new("[http] trusted_proxies", &bad[i], 1, &w);

		assert_true(mx_error_is(e, MX_E_CONFIG));
		mx_error_free(&e);
	}
}

/* ---- rates ---- */

static void
a_bucket_fills_again(void **state)
{
	struct mx_rates *r = mx_rates_new(1000);
	int64_t now = 5000000;

	(void)state;
	mx_rates_set(r, MX_RATE_WRITE, (struct mx_rate){ .every_us = 100 * MS, .burst = 3 });
	for (int i = 0; i < 3; i++)
		assert_int_equal(mx_rates_take(r, MX_RATE_WRITE, 7, now), 0);
	assert_int_equal(mx_rates_take(r, MX_RATE_WRITE, 7, now), 100);
	assert_int_equal(mx_rates_take(r, MX_RATE_WRITE, 8, now), 0);
	assert_int_equal(mx_rates_take(r, MX_RATE_READ, 7, now), 0);
	assert_int_equal(mx_rates_take(r, MX_RATE_WRITE, 7, now + 99 * MS), 1);
	assert_int_equal(mx_rates_take(r, MX_RATE_WRITE, 7, now + 100 * MS), 0);
	assert_int_equal(mx_rates_take(r, MX_RATE_WRITE, 7, now + 100 * MS), 100);
	/* After long it is full, and no fuller. */
	now += 1000000 * (int64_t)MS;
	for (int i = 0; i < 3; i++)
		assert_int_equal(mx_rates_take(r, MX_RATE_WRITE, 7, now), 0);
	assert_int_not_equal(mx_rates_take(r, MX_RATE_WRITE, 7, now), 0);
	mx_rates_free(&r);
}

static void
strangers_do_not_push_out_who_is_limited(void **state)
{
	struct mx_rates *r = mx_rates_new(512);
	int64_t now = 5000000;
	uint64_t key = 42, seed = 3;

	(void)state;
	mx_rates_set(r, MX_RATE_LOGIN, (struct mx_rate){ .every_us = 1000 * MS, .burst = 10 });
	while (mx_rates_take(r, MX_RATE_LOGIN, key, now) == 0)
		continue;
	for (int i = 0; i < 100000; i++)
		(void)mx_rates_take(r, MX_RATE_LOGIN, (uint64_t)draw(&seed) << 20, now);
	assert_int_not_equal(mx_rates_take(r, MX_RATE_LOGIN, key, now), 0);
	mx_rates_free(&r);
}

struct told {
	struct mx_rates *to;
	int64_t now;
	unsigned messages;
};

static void
pass_on(void *arg, mx_str text)
{
	struct told *t = arg;

	t->messages++;
	mx_rates_told(t->to, text, t->now);
}

/* How many are granted by two processes that are asked in turn. */
static int64_t
granted_by_two(int64_t burst, struct told t[2])
{
	static const unsigned char secret[MX_RATE_SECRET] = { 1, 2, 3 };
	struct mx_rates *r[2] = { mx_rates_new(1000), mx_rates_new(1000) };
	uint64_t key = mx_rates_key(r[0], "alice", 5);
	int64_t granted = 0;

	assert_true(key != mx_rates_key(r[1], "alice", 5));
	for (int i = 0; i < 2; i++) {
		t[i] = (struct told){ .to = r[1 - i], .now = 5000000 };
		mx_rates_set(r[i], MX_RATE_LOGIN,
			     (struct mx_rate){ .every_us = 1000 * MS, .burst = burst });
		mx_rates_share(r[i], secret, pass_on, &t[i]);
	}
	key = mx_rates_key(r[0], "alice", 5);
	assert_true(key == mx_rates_key(r[1], "alice", 5));
	for (int64_t i = 0; i < 4 * burst; i++)
		granted += mx_rates_take(r[i % 2], MX_RATE_LOGIN, key, 5000000) == 0;
	/* It comes back at the pace of one process, too. */
	for (int i = 0; i < 2; i++)
		t[i].now += 4000 * MS;
	for (int i = 0; i < 20; i++)
		(void)mx_rates_take(r[i % 2], MX_RATE_LOGIN, key, t[0].now);
	assert_int_not_equal(mx_rates_take(r[0], MX_RATE_LOGIN, key, t[0].now), 0);
	assert_int_not_equal(mx_rates_take(r[1], MX_RATE_LOGIN, key, t[0].now), 0);
	for (int i = 0; i < 2; i++)
		mx_rates_free(&r[i]);
	return granted;
}

static void
processes_count_together(void **state)
{
	static const int64_t bursts[] = { 1, 2, 3, 10, 100, 500, 10000 };
	struct told t[2];

	(void)state;
	for (size_t i = 0; i < sizeof(bursts) / sizeof(bursts[0]); i++) {
		int64_t granted = granted_by_two(bursts[i], t);

		assert_in_range(granted, bursts[i], bursts[i] + bursts[i] / 8);
		/* Not a message for each. */
		assert_in_range(t[0].messages + t[1].messages, 1,
				bursts[i] < 16 ? 2 * bursts[i] + 8 : 40);
	}
}

static void
who_is_far_from_a_limit_is_not_told_of(void **state)
{
	static const unsigned char secret[MX_RATE_SECRET] = { 1 };
	struct mx_rates *r = mx_rates_new(1000);
	struct told t = { .to = r };
	int64_t now = 5000000;

	(void)state;
	mx_rates_set(r, MX_RATE_READ, (struct mx_rate){ .every_us = 20 * MS, .burst = 500 });
	mx_rates_share(r, secret, pass_on, &t);
	for (int i = 0; i < 5000; i++)
		assert_int_equal(mx_rates_take(r, MX_RATE_READ, 7, now += 20 * MS), 0);
	assert_int_equal(t.messages, 0);
	mx_rates_free(&r);
}

static void
nonsense_that_is_told_changes_nothing(void **state)
{
	static const char *const told[] = { "", " ", "2", "2 5", "2 5 ", "2 5 0", "2 5 -1", "9 5 1",
					    "-1 5 1", "2 -5 1", "2 5 1x", "x 5 1", "2 5 99999999999" };
	struct mx_rates *r = mx_rates_new(1000);

	(void)state;
	for (int c = 0; c < MX_RATE_CLASSES; c++)
		mx_rates_set(r, (enum mx_rate_class)c, (struct mx_rate){ .every_us = MS, .burst = 1 });
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		mx_rates_told(r, mx_str_of(told[i]), 5000000);
	for (int c = 1; c < MX_RATE_CLASSES; c++)
		assert_int_equal(mx_rates_take(r, (enum mx_rate_class)c, 5, 5000000), 0);
	mx_rates_told(r, MX_S("2 6 2147483647"), 5000000);
	assert_int_equal(mx_rates_take(r, (enum mx_rate_class)2, 6, 5000000), 1);
	mx_rates_free(&r);
}

/* ---- the parser ---- */

struct collected {
	char text[4096];
	size_t n;
};

static bool
collect(void *arg, const char *p, size_t n)
{
	struct collected *c = arg;

	memcpy(c->text + c->n, p, n);
	c->n += n;
	c->text[c->n] = 0;
	return true;
}

/* Whatever the pieces, the requests are the same. */
static void
a_request_is_the_same_in_any_pieces(void **state)
{
	static const char text[] =
		"\r\nPUT /a/b?c=d HTTP/1.1\r\nHost: h\r\nX-A:  value of it \r\nEmpty:\r\n"
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\nT: 1\r\n\r\nrest";
	const struct mx_parse_limits limits = { .uri = 100, .head = 1000, .headers = 10 };
	size_t len = sizeof(text) - 1;

	(void)state;
	for (size_t piece = 1; piece <= len; piece++) {
		struct mx_head *h = calloc(1, sizeof(*h));
		struct collected body = { .n = 0 };
		enum mx_parse_result result = MX_PARSE_MORE;
		struct mx_parse ps;
		size_t at = 0, used, to;

		mx_parse_init(&ps);
		for (to = piece; result == MX_PARSE_MORE; to += piece) {
			to = to < len ? to : len;
			result = mx_parse_head(&ps, h, &limits, text, at, to, &used);
			at = used;
		}
		assert_int_equal(result, MX_PARSE_DONE);
		assert_true(mx_parse_chunked(&ps));
		assert_true(mx_str_eq((mx_str){ text + h->url.at, h->url.n }, MX_S("/a/b?c=d")));
		assert_int_equal(h->n, 4);
		assert_true(mx_str_eq(mx_head_get(h, text, MX_S("x-a")), MX_S("value of it ")) ||
			    mx_str_eq(mx_head_get(h, text, MX_S("x-a")), MX_S("value of it")));
		assert_int_equal(mx_head_get(h, text, MX_S("empty")).n, 0);
		assert_null(mx_head_get(h, text, MX_S("none")).p);
		for (result = MX_PARSE_MORE; result == MX_PARSE_MORE; at += used) {
			to = at + piece < len ? at + piece : len;
			result = mx_parse_body(&ps, collect, &body, text + at, to - at, &used);
		}
		assert_int_equal(result, MX_PARSE_DONE);
		assert_string_equal(body.text, "hello!");
		assert_string_equal(text + at, "rest");
		free(h);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_wheel_is_never_early_and_hardly_late),
		cmocka_unit_test(the_wheel_lets_what_is_due_be_moved),
		cmocka_unit_test(percent_escapes_are_exact),
		cmocka_unit_test(queries_are_found_by_name),
		cmocka_unit_test(dates_are_as_http_has_them),
		cmocka_unit_test(addresses_are_read_with_and_without_ports),
		cmocka_unit_test(a_customer_is_an_address_or_a_64_network),
		cmocka_unit_test(networks_have_their_addresses),
		cmocka_unit_test(a_bucket_fills_again),
		cmocka_unit_test(strangers_do_not_push_out_who_is_limited),
		cmocka_unit_test(processes_count_together),
		cmocka_unit_test(who_is_far_from_a_limit_is_not_told_of),
		cmocka_unit_test(nonsense_that_is_told_changes_nothing),
		cmocka_unit_test(a_request_is_the_same_in_any_pieces),
	};

	return cmocka_run_group_tests_name("http parts", tests, NULL, NULL);
}
