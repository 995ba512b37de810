/* An example of a module, built with nothing but Myelin's installed headers: notes that users leave for themselves, and a word
 * that nobody may say. myelin-modules(7) explains each part. */
#include <stdatomic.h>
#include <stdlib.h>

#include <myelin/fetch.h>
#include <myelin/module.h>

/* ---- what the operator may set: [example-module] in myelin.conf ---- */

struct example_options {
	const char *refused_word;
	int64_t notes;
	struct mx_duration keep;
	struct mx_size measured;
};

static const struct mx_option options[] = {
	MX_OPT(struct example_options, refused_word, .def = "xyzzy", .flags = MX_OPT_RELOAD,
	       .help = "Messages with this word are refused."),
	MX_OPT(struct example_options, notes, .def = "100", .min = 1, .max = 10000, .flags = MX_OPT_RELOAD,
	       .help = "The most notes that a user may keep."),
	MX_OPT(struct example_options, keep, .def = "30d", .min = 1000, .flags = MX_OPT_RELOAD,
	       .help = "How long a note is kept."),
	MX_OPT(struct example_options, measured, .def = "8M", .min = 1, .max = 1 << 30, .flags = MX_OPT_RELOAD,
	       .help = "The longest body that is measured."),
};

/* ---- what it keeps: a table of its own, named with its prefix ---- */

static const struct mx_migration migrations[] = {
	{ 1, "notes", "CREATE TABLE example_module_note (nid {key}, user_nid BIGINT NOT NULL, made BIGINT NOT NULL, "
	  "text TEXT NOT NULL);\n" },
	{ 2, "notes by user", "CREATE INDEX example_module_note_user ON example_module_note (user_nid, nid);\n" },
};

static const struct mx_sql COUNT = MX_SQL("SELECT COUNT(*) FROM example_module_note WHERE user_nid = $1");
static const struct mx_sql COUNT_ALL = MX_SQL("SELECT COUNT(*) FROM example_module_note");
static const struct mx_sql LIST = MX_SQL("SELECT text FROM example_module_note WHERE user_nid = $1 ORDER BY nid");
static const struct mx_sql INSERT =
	MX_SQL("INSERT INTO example_module_note (nid, user_nid, made, text) "
	       "VALUES ((SELECT COALESCE(MAX(nid), 0) + 1 FROM example_module_note), $1, {now}, $2)");
static const struct mx_sql EXPIRE = MX_SQL("DELETE FROM example_module_note WHERE made < $1");

/* ---- what it remembers while it runs ---- */

struct state {
	_Atomic int64_t messages, refused;
};

/* ---- routes ---- */

struct note {
	mx_nid user;
	mx_str text;
	int64_t most;
};

/* On the writer's thread, in its transaction: premises are checked here. */
static mx_error *
write_note(struct mx_txn *tx, void *arg)
{
	const struct note *note = arg;
	struct mx_conn *c = mx_txn_conn(tx);
	struct mx_query *q = mx_query(c, &COUNT);
	int64_t count;

	mx_bind_int(q, 1, note->user);
	count = mx_query_next(q) ? mx_col_int(q, 0) : 0;
	MX_TRY(mx_query_end(q));
	if (count >= note->most)
		return mx_error_new(MX_E_FORBIDDEN, "you have %lld notes; more are not kept", (long long)count);
	q = mx_query(c, &INSERT);
	mx_bind_int(q, 1, note->user);
	mx_bind_str(q, 2, note->text);
	return mx_query_run(q);
}

static mx_error *
add_note(struct mx_request *rq)
{
	const struct example_options *o = mx_self_options(mx_request_self(rq));
	struct note note = { .user = mx_request_auth(rq)->user, .most = o->notes };
	json_t *body;

	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(mx_json_get_str(body, "text", &note.text));
	if (note.text.n > 1000)
		return mx_error_new(MX_E_TOO_LARGE, "a note has at most 1000 bytes");
	return mx_write(mx_core_db(mx_request_core(rq)), write_note, &note);
}

static enum mx_outcome
post_note(struct mx_request *rq)
{
	mx_error *e = add_note(rq);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

static enum mx_outcome
get_notes(struct mx_request *rq)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_jw w = mx_jw_on(b);
	struct mx_query *q = mx_query(mx_request_conn(rq), &LIST);
	mx_error *e;

	mx_jw_object(&w);
	mx_jw_key(&w, MX_S("notes"));
	mx_jw_array(&w);
	mx_bind_int(q, 1, mx_request_auth(rq)->user);
	while (mx_query_next(q))
		mx_jw_str(&w, mx_col_str(q, 0));
	mx_jw_array_end(&w);
	mx_jw_object_end(&w);
	e = mx_query_end(q);
	return e != NULL ? mx_reply_error(rq, e) : mx_reply_buf(rq, 200, &b);
}

/* A body is read as it comes, and never kept as a whole. */
static enum mx_outcome
measure(struct mx_request *rq)
{
	const struct example_options *o = mx_self_options(mx_request_self(rq));
	int64_t bytes = 0, lines = 0;
	char piece[16384];
	size_t n;

	mx_request_set_limit(rq, (uint64_t)o->measured.bytes);
	do {
		mx_error *e = mx_request_read(rq, piece, sizeof(piece), &n);

		if (e != NULL)
			return mx_reply_error(rq, e);
		for (size_t i = 0; i < n; i++)
			lines += piece[i] == '\n';
		bytes += (int64_t)n;
	} while (n > 0);
	return mx_reply_json(rq, 200, json_pack("{s:I,s:I}", "bytes", (json_int_t)bytes, "lines", (json_int_t)lines));
}

#define NOTES "/_matrix/client/unstable/org.example.module/notes"
#define MEASURE "/_matrix/client/unstable/org.example.module/measure"

static const struct mx_route routes[] = {
	{ "GET", NOTES, get_notes, MX_AUTH_USER, MX_RATE_READ, 0, 0 },
	{ "POST", NOTES, post_note, MX_AUTH_USER, MX_RATE_WRITE, 0, 4096 },
	{ "POST", MEASURE, measure, MX_AUTH_USER, MX_RATE_WRITE, MX_ROUTE_STREAM | MX_ROUTE_RAW_BODY, 0 },
};

/* ---- hooks ---- */

static const char *const message_types[] = { "m.room.message", NULL };

/* Decides: refuses a word. */
static enum mx_verdict
check(struct mx_module_self *self, struct mx_room *room, const struct mx_draft *draft, mx_error **why)
{
	const struct example_options *o = mx_self_options(self);
	struct state *state = mx_self_state(self);
	mx_str body = mx_json_str(draft->content, "body"), word = mx_str_of(o->refused_word);

	(void)room;
	if (word.n == 0 || body.p == NULL || memmem(body.p, body.n, word.p, word.n) == NULL)
		return MX_NO_OPINION;
	atomic_fetch_add(&state->refused, 1);
	*why = mx_error_new(MX_E_FORBIDDEN, "nobody says %s here", o->refused_word);
	return MX_REFUSE;
}

/* Is told: counts. */
static void
stored(struct mx_module_self *self, struct mx_event *event)
{
	struct state *state = mx_self_state(self);

	(void)event;
	atomic_fetch_add(&state->messages, 1);
}

static const struct mx_hook_row hooks[] = {
	MX_ON_TYPES(event_check, MX_PRIO_POLICY, check, message_types),
	MX_ON_TYPES(event_stored, MX_PRIO_NORMAL, stored, message_types),
};

/* ---- a job, metrics, a command of myelinctl ---- */

static mx_error *
expire(struct mx_txn *tx, void *arg)
{
	const struct example_options *o = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &EXPIRE);

	mx_bind_int(q, 1, mx_now() - o->keep.ms);
	return mx_query_run(q);
}

static mx_error *
expire_notes(struct mx_module_self *self)
{
	struct example_options o = *(const struct example_options *)mx_self_options(self);

	return mx_write_aside(mx_core_db(mx_self_core(self)), expire, &o);
}

static const struct mx_job_row jobs[] = {
	{ "old notes", 60000, MX_ONE_PROCESS, expire_notes },
};

static int64_t
messages(struct mx_module_self *self)
{
	return atomic_load(&((struct state *)mx_self_state(self))->messages);
}

static int64_t
refused(struct mx_module_self *self)
{
	return atomic_load(&((struct state *)mx_self_state(self))->refused);
}

static const struct mx_metric_row metrics[] = {
	{ "messages_total", "Messages that were stored.", 1, messages },
	{ "refused_total", "Messages that were refused for a word.", 1, refused },
};

static mx_error *
count(struct mx_module_self *self, const mx_str *args, size_t n, struct mx_buf *out)
{
	MX_AUTO(mx_conn) *c = NULL;
	struct mx_query *q;

	(void)args;
	if (n > 0)
		return mx_error_new(MX_E_BAD_REQUEST, "expected no arguments");
	MX_TRY(mx_conn_get(mx_core_db(mx_self_core(self)), &c));
	q = mx_query(c, &COUNT_ALL);
	if (mx_query_next(q))
		mx_buf_printf(out, "%lld notes\n", (long long)mx_col_int(q, 0));
	return mx_query_end(q);
}

/* Another server is asked in one straight line. */
static mx_error *
look(struct mx_module_self *self, const mx_str *args, size_t n, struct mx_buf *out)
{
	MX_AUTO(mx_arena) *arena = mx_arena_new();
	struct mx_fetch_request rq = { .size = sizeof(rq), .flags = MX_FETCH_REDIRECTS, .limit = 65536, .timeout = 10000 };
	struct mx_fetch_response rs = { .size = sizeof(rs) };

	if (n != 1)
		return mx_error_new(MX_E_BAD_REQUEST, "expected one argument: a URL");
	rq.url = args[0];
	MX_TRY(mx_fetch(mx_self_core(self), &rq, arena, &rs));
	mx_buf_printf(out, "%d, %zu bytes\n", rs.status, rs.body.n);
	return NULL;
}

static const struct mx_command_row commands[] = {
	{ "example count", "", "Counts the notes.", count },
	{ "example look", "URL", "Asks for a page and tells its status and size.", look },
};

/* ---- life ---- */

static mx_error *
configure(struct mx_module_self *self)
{
	const struct example_options *o = mx_self_options(self);

	if (strchr(o->refused_word, ' ') != NULL)
		return mx_error_new(MX_E_CONFIG, "[example-module] refused_word: one word, without spaces");
	return NULL;
}

static mx_error *
start(struct mx_module_self *self)
{
	mx_self_set_state(self, mx_alloc(sizeof(struct state)));
	return NULL;
}

static void
stop(struct mx_module_self *self)
{
	free(mx_self_state(self));
}

MX_MODULE(example_module) = {
	MX_MODULE_HEAD("example-module", "1.0", "Notes, and a word that nobody may say"),
	.options = MX_TABLE(options), .options_size = sizeof(struct example_options),
	.migrations = MX_TABLE(migrations),
	.routes = MX_TABLE(routes),
	.hooks = MX_TABLE(hooks),
	.jobs = MX_TABLE(jobs),
	.metrics = MX_TABLE(metrics),
	.commands = MX_TABLE(commands),
	.configure = configure,
	.start = start,
	.stop = stop,
};
