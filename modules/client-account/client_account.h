/* What the files of client-account share. */
#ifndef CLIENT_ACCOUNT_H
#define CLIENT_ACCOUNT_H

#include <myelin/module.h>

/* openid.c */
mx_handler openid_request_token, openid_userinfo;
mx_error *openid_collect(struct mx_module_self *self) MX_MUST_USE;

/* leave.c: deactivated users leave their rooms. Any thread. */
mx_error *leave_departing(struct mx_module_self *self) MX_MUST_USE;

#endif
