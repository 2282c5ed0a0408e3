/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_QUEUE_DISCIPLINE_H
#define NETLAB_QUEUE_DISCIPLINE_H 1

/* How a queue keeps itself short: RED (Floyd and Jacobson, 1993), which looks at what comes, and CoDel (RFC 8289),
 * which looks at how long what goes has waited.
 *
 * Times are nanoseconds of any one clock.  Thread-safety: plain data, of one thread. */

#include <stdbool.h>
#include <stdint.h>

#include "netlab/impairment.h"

struct red {
	double average;      /* Frames in the queue. */
	uint64_t idle_since; /* 0: it is not empty. */
	int64_t since;       /* Frames since one was dropped; -1: the average is below the minimum. */
};

/* Whether a frame is dropped that finds 'waiting' others at 'now'.  'chance' is a random number from 0 to 1, 'pause'
 * how long a frame of middling size takes to be sent, and 'room' how many frames the queue can hold. */
bool red_drops(struct red *red, const struct impairment *impairment, uint32_t waiting, uint32_t room, uint64_t now,
	       uint64_t pause, double chance);
/* The queue has become empty. */
void red_idle(struct red *red, uint64_t now);

struct codel {
	uint64_t first_above; /* When what waits will have waited too long for an interval; 0: it does not. */
	uint64_t drop_next;
	uint32_t count, last_count; /* Drops in this state of dropping, and in the one before. */
	bool is_dropping;
};

/* Whether the frame that is taken out of the queue at 'now', having waited since 'since', is dropped; 'left' bytes stay
 * behind it.  If so, it is asked again about the next one, at the same time. */
bool codel_drops(struct codel *codel, const struct impairment *impairment, uint64_t since, uint64_t now, uint64_t left);
/* There was none to take out. */
void codel_idle(struct codel *codel);

#endif /* queue_discipline.h */
