/* libsodium wants one call before all others. */
#ifndef CORE_BASE_SODIUM_H
#define CORE_BASE_SODIUM_H

void mx_sodium(void);	/* cheap when it was called before; any thread */

#endif
