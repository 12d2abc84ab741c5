/*
 * no_wait - work that a loop does itself, since it is over before a worker would have begun.
 *
 * Between begin and end the thread must not wait. Who would have to (for a disk, for other threads)
 * or finds the time over ends with WOULD_WAIT, and the work is begun anew on a worker. Other
 * threads do not help (platform/parallel.h). It holds for the calling thread; it does not nest.
 */
#ifndef PLATFORM_NO_WAIT_H
#define PLATFORM_NO_WAIT_H

#include <stdbool.h>
#include <stdint.h>

/* `until_ns` is on the monotonic clock, not 0. */
void no_wait_begin(uint64_t until_ns);
void no_wait_end(void);

bool no_wait_applies(void);

/* Whether it applies and its time is over. */
bool no_wait_is_over(uint64_t now_ns);

#endif
