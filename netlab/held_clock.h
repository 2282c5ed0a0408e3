/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_HELD_CLOCK_H
#define NETLAB_HELD_CLOCK_H 1

/* A clock that can be held: the loop's (loop_now()), less the time for which it stood still.  What is due by it is as
 * far away when it goes on as it was when it was held.  Zero-initialise it; it runs then.
 *
 * Thread-safety: one thread. */

#include <stdbool.h>
#include <stdint.h>

struct held_clock {
	uint64_t since; /* When by the loop's clock it was held, or 0: it runs. */
	uint64_t held;  /* Nanoseconds for which it had stood still before. */
};

static inline bool held_clock_is_held(const struct held_clock *clock)
{
	return clock->since != 0;
}

/* Its time when the loop's is 'now'. */
static inline uint64_t held_clock_read(const struct held_clock *clock, uint64_t now)
{
	return (clock->since ? clock->since : now) - clock->held;
}

/* When by the loop's clock it will be 'time', if it is not held any more. */
static inline uint64_t held_clock_when(const struct held_clock *clock, uint64_t time)
{
	return time + clock->held;
}

/* Do nothing when it is held, or runs, already. */

static inline void held_clock_hold(struct held_clock *clock, uint64_t now)
{
	if (!clock->since)
		clock->since = now;
}

static inline void held_clock_release(struct held_clock *clock, uint64_t now)
{
	if (clock->since)
		clock->held += now - clock->since;
	clock->since = 0;
}

#endif /* held_clock.h */
