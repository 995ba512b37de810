/* The commands of the control socket that are about rooms. */
#ifndef CORE_ROOM_COMMANDS_H
#define CORE_ROOM_COMMANDS_H

#include "core/runtime/control.h"

extern const struct mx_control_row mx_room_commands[];
extern const size_t mx_room_command_count;

#endif
