/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H 1

/* What time it is, for those who ask often
 * ========================================
 *
 * clock_now() is CLOCK_MONOTONIC by the processor's time-stamp counter, in less than half of the time that the system
 * takes for it.  Each thread has the counter set by the system's clock again and again, so that threads agree with it,
 * and with each other, within a few microseconds.  For one thread time never runs backwards; it runs a little faster
 * or slower to come to where the system's clock is, and jumps only when it is far behind.
 *
 * Where the kernel does not take the counter for its own clock, neither do we, and it is CLOCK_MONOTONIC itself.
 *
 * Thread-safety: clock_now() any thread; a struct tick_clock is its owner's.
 */

#include <stdbool.h>
#include <stdint.h>

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t clock_now(void);

/* Time by a counter of constant rate, which is known by comparing it with another clock.  All zero is one that was not
 * compared yet. */
struct tick_clock {
	/* A line, which is good for 'length' ticks: 'time' nanoseconds at 'ticks', and from there on 'rate' nanoseconds
	 * times 2^32 a tick. */
	uint64_t ticks, time, rate, length;
	/* What the rate is measured from, and what it will be measured from when that is old. */
	uint64_t anchor_ticks, anchor_time, next_ticks, next_time;
	unsigned int faults; /* How often it was found far from the other clock. */
	bool is_set;
};

/* The time at 'ticks', in nanoseconds, or 0: it must be compared first. */
static inline uint64_t tick_clock_read(const struct tick_clock *clock, uint64_t ticks)
{
	uint64_t since = ticks - clock->ticks;

	return since < clock->length ? clock->time + (since * clock->rate >> 32) : 0;
}

/* The other clock had 'time' (nanoseconds, not 0) at 'ticks', not before those of any earlier call.  Returns what this
 * one has, which is no less than it ever had before, or 0 when it cannot tell yet, or the counter is not to be
 * trusted. */
uint64_t tick_clock_compare(struct tick_clock *clock, uint64_t ticks, uint64_t time);

/* Whether the counter does not run at a constant rate. */
bool tick_clock_is_bad(const struct tick_clock *clock);

#endif /* clock.h */
