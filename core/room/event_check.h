/* What events may hold, shared by those that come in and those that are made. */
#ifndef CORE_ROOM_EVENT_CHECK_H
#define CORE_ROOM_EVENT_CHECK_H

#include <myelin/json.h>

/* MX_E_BAD_JSON when there is a number that is no integer, or more than depth levels (strict
 * canonical JSON has none, and 1e3 or 1.0 would not come back as they were). */
mx_error *mx_event_check_numbers(const json_t *v, unsigned depth) MX_MUST_USE;

#endif
