/* `myelinctl user …`: run by a running server over its control socket, or by myelinctl itself on
 * the database when no server runs. A password comes as the argument behind --password; asking for
 * it or reading it from standard input, so that it stands in no list of processes, is myelinctl's
 * part. */
#ifndef CORE_ACCOUNT_COMMANDS_H
#define CORE_ACCOUNT_COMMANDS_H

#include "core/runtime/control.h"

extern const struct mx_control_row mx_account_commands[];
extern const size_t mx_account_command_count;

#endif
