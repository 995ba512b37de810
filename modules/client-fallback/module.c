/* Pages for clients that do not know a way to log in, or a stage of user-interactive
 * authentication: a browser does it for them. Client-Server API, "Login Fallback", "Fallback". */
#include "config.h"

#include "fallback.h"

enum { NONCE = 22 };

static enum mx_outcome
reply_page(struct mx_request *rq, const char *html, const char *script)
{
	struct mx_buf *b = mx_buf_new(0);
	char nonce[NONCE + 1];

	/* Only what this page brings runs in it, and it speaks to this server only. */
	mx_random_text(nonce, NONCE);
	mx_reply_header(rq, "Content-Security-Policy",
			mx_arena_printf(mx_request_arena(rq),
					"default-src 'none'; script-src 'nonce-%s'; style-src "
					"'nonce-%s'; connect-src 'self'; base-uri 'none'; "
					"form-action 'none'; frame-ancestors 'none'",
					nonce, nonce));
	mx_reply_header(rq, "Cache-Control", MX_S("no-store"));
	mx_reply_header(rq, "Referrer-Policy", MX_S("no-referrer"));
	mx_reply_header(rq, "X-Content-Type-Options", MX_S("nosniff"));
	mx_buf_printf(b,
		      "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>Matrix</title>"
		      "<meta name=viewport content=\"width=device-width,initial-scale=1\">"
		      "<style nonce=%s>%s</style>%s<script nonce=%s>%s</script></html>\n",
		      nonce, page_style, html, nonce, script);
	return mx_reply_bytes(rq, 200, "text/html; charset=utf-8", &b);
}

static enum mx_outcome
get_login(struct mx_request *rq)
{
	return reply_page(rq, page_login, page_login_script);
}

/* ---- stages ---- */

static mx_error *
no_page(void)
{
	return mx_error_new(MX_E_NOT_FOUND, "There is no page for this stage");
}

static enum mx_outcome
get_stage(struct mx_request *rq)
{
	const char *html = page_stage(mx_request_param(rq, "authType"));

	return html != NULL ? reply_page(rq, html, page_stage_script)
			    : mx_reply_error(rq, no_page());
}

/* What the page's script sends: the session, and what was typed. */
static mx_error *
pass_stage(struct mx_request *rq)
{
	mx_str stage = mx_request_param(rq, "authType"), session;
	json_t *body;

	if (page_stage(stage) == NULL)
		return no_page();
	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(mx_json_get_str(body, "session", &session));
	return mx_uia_pass(rq, session, stage, body);
}

static enum mx_outcome
post_stage(struct mx_request *rq)
{
	mx_error *e = pass_stage(rq);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

#define STAGE "/_matrix/client/v3/auth/{authType}/fallback/web"

static const struct mx_route routes[] = {
	{ "GET", STAGE, get_stage, MX_AUTH_NONE, MX_RATE_READ, 0, 0 },
	{ "POST", STAGE, post_stage, MX_AUTH_NONE, MX_RATE_LOGIN, MX_ROUTE_CPU, 16384 },
	{ "GET", "/_matrix/static/client/login/", get_login, MX_AUTH_NONE, MX_RATE_READ, 0, 0 },
};

MX_MODULE(client_fallback) = {
	MX_MODULE_HEAD("client-fallback", "0.1.0",
		       "Pages for what a client cannot ask its user for itself"),
	.routes = MX_TABLE(routes),
};
