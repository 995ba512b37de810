/* The pages. They are constant: what differs from one visit to the next their scripts read from the
 * address. Nothing in them comes from elsewhere. */
#include "config.h"

#include "fallback.h"

const char page_style[] =
	"body{font:16px/1.5 sans-serif;max-width:22em;margin:3em auto;padding:0 1em}"
	"label{display:block;margin:1em 0 .2em}input,button{font:inherit;width:100%;"
	"box-sizing:border-box;padding:.5em}button{margin-top:1.5em}#say{color:#a00}";

#define FORM(title, fields, button)                                                                \
	"<h1>" title "</h1><form id=form>" fields "<button>" button "</button></form>"             \
	"<p id=say role=alert></p>"
#define SECRET(name, label, kind)                                                                  \
	"<label for=" name ">" label "</label><input id=" name " name=" name " type=" kind         \
	" required autocomplete=off>"

const char page_login[] =
	FORM("Log in",
	     "<label for=user>User name</label><input id=user name=user required "
	     "autocomplete=username>" SECRET("password", "Password", "password"),
	     "Log in");

static const struct {
	const char *stage, *html;
} stages[] = {
	{ "m.login.dummy", FORM("Continue", "<p>Nothing is asked for at this step.</p>",
				"Continue") },
	{ "m.login.registration_token",
	  FORM("Registration token",
	       SECRET("token", "The token that this server has given you", "text"), "Continue") },
	{ "m.login.password",
	  FORM("Confirm that it is you", SECRET("password", "Your password", "password"),
	       "Confirm") },
};

const char *
page_stage(mx_str stage)
{
	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++)
		if (mx_str_eq(stage, mx_str_of(stages[i].stage)))
			return stages[i].html;
	return NULL;
}

#define COMMON                                                                                     \
	"'use strict';"                                                                            \
	"const form=document.getElementById('form'),say=document.getElementById('say'),"           \
	"query=new URLSearchParams(location.search);"                                              \
	"async function send(url,body){"                                                           \
	"const r=await fetch(url,{method:'POST',headers:{'Content-Type':'application/json'},"      \
	"body:JSON.stringify(body)});const j=await r.json().catch(()=>({}));"                      \
	"if(!r.ok)throw new Error(j.error||'The server did not accept this');return j}"            \
	"function end(text){form.remove();say.style.color='inherit';say.textContent=text}"         \
	"form.addEventListener('submit',async ev=>{ev.preventDefault();say.textContent='';"        \
	"try{await go(Object.fromEntries(new FormData(form)))}"                                    \
	"catch(e){say.textContent=e.message}});"

/* Client-Server API, "Fallback": what the page does when the stage is done. */
const char page_stage_script[] =
	COMMON
	"async function go(fields){fields.session=query.get('session')||'';"
	"await send(location.pathname,fields);end('Done. You can close this window.');"
	"if(window.onAuthDone)window.onAuthDone();"
	"else if(window.opener&&window.opener.postMessage)"
	"window.opener.postMessage('authDone','*')}";

/* Client-Server API, "Login Fallback". */
const char page_login_script[] =
	COMMON
	"async function go(fields){const body=Object.fromEntries(query);"
	"if('refresh_token' in body)body.refresh_token=body.refresh_token==='true';"
	"Object.assign(body,{type:'m.login.password',password:fields.password,"
	"identifier:{type:'m.id.user',user:fields.user}});"
	"const answer=await send('/_matrix/client/v3/login',body);"
	"end('You are logged in. You can close this window.');"
	"if(window.matrixLogin&&window.matrixLogin.onLogin)window.matrixLogin.onLogin(answer)}";
