/* What the files of client-account share. */
#ifndef CLIENT_ACCOUNT_H
#define CLIENT_ACCOUNT_H

#include <myelin/module.h>
#include <myelin/service/threepids.h>

/* openid.c */
mx_handler openid_request_token, openid_userinfo;
mx_error *openid_collect(struct mx_module_self *self) MX_MUST_USE;

/* threepid.c */
extern const struct mx_threepids_service threepids_service;
mx_error *threepids_forget(struct mx_core *core, mx_nid user) MX_MUST_USE;
mx_handler threepid_list, threepid_delete, threepid_unbind, threepid_post, threepid_bind,
	threepid_add, threepid_mail_token, threepid_phone_token;

/* leave.c: deactivated users leave their rooms. Any thread. */
mx_error *leave_departing(struct mx_module_self *self) MX_MUST_USE;

#endif
