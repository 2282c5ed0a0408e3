/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_POLLING_H
#define CORE_POLLING_H 1

/* Whether to poll before sleeping
 * ===============================
 *
 * A thread that sleeps is woken some ten microseconds late on a machine of its own, and up to a hundred on a virtual
 * one, which is more than most of what it waits for takes.  So it pays to look again and again for a while, if what it
 * waits for comes soon, and if no other thread has a use for the processor.  This module says how long; the loop
 * (core/loop.h) looks.
 *
 * Time is a parameter, in nanoseconds of a clock that never runs backwards.
 *
 * Thread-safety: none; it is its loop's.
 */

#include <stdbool.h>
#include <stdint.h>

struct polling {
	uint64_t longest; /* 0: never. */
	uint64_t budget;  /* How long to poll after something happened. */
	uint64_t since;   /* When something happened last. */
	uint64_t asked;   /* When it was last looked whether there is a processor to spare, ... */
	bool is_free;     /* ... and whether there was. */
	int load_fd;      /* /proc/loadavg */
	unsigned int processors;
};

/* Polls for up to 'longest' nanoseconds; 0, or a machine with one processor: never. */
void polling_init(struct polling *polling, uint64_t longest);
void polling_release(struct polling *polling);

/* Something happened, for which the thread did not have to be woken. */
void polling_found(struct polling *polling, uint64_t now);
/* The thread slept, and was woken by something. */
void polling_woken(struct polling *polling, uint64_t now);
/* Whether to look again, and not to sleep yet. */
bool polling_goes_on(struct polling *polling, uint64_t now);

/* Whether it would be polled if something happened now. */
static inline bool polling_is_on(const struct polling *polling)
{
	return polling->budget > 0 && polling->is_free;
}

/* The number of threads that run or want to, from the text of /proc/loadavg (proc(5)), or 0 when it is not there. */
unsigned int polling_read_load(const char *text);

#endif /* polling.h */
