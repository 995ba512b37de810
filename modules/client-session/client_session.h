/* What the files of client-session share: its handlers. */
#ifndef CLIENT_SESSION_H
#define CLIENT_SESSION_H

#include <myelin/module.h>

mx_handler session_login_flows, session_login, session_refresh, session_logout, session_logout_all,
	session_whoami;
mx_handler session_devices, session_device_get, session_device_put, session_device_delete,
	session_delete_devices;

#endif
