/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BENCH_SWITCH_LAN_H
#define TESTS_BENCH_SWITCH_LAN_H 1

/* A network of guests (tests/bench/switch/guest.h), and what its data plane makes of their frames
 * ==============================================================================================
 *
 * The data plane has a thread and a processor of its own; the drivers of all guests are the calling thread, on another
 * one.  A guest has no more frames on their way than its peer has buffers, so nothing is lost, and what is measured is
 * the slower of the two threads.
 *
 * Thread-safety: one thread.
 */

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/switch/guest.h"

#define LAN_GUESTS_MAX 16
#define LAN_NETWORKS_MAX 4

struct lan_options {
	unsigned int guests;   /* An even number: they come in pairs. */
	unsigned int networks; /* Pairs take turns with them; 0: there is one. */
	bool both_ways;        /* Else the first of each pair sends to the second. */
	uint32_t size;         /* Of frames, bytes without the FCS. */
	bool are_untouched;    /* Nobody looks at frames but the data plane. */
	const char *captures;  /* Folder for the captures of all ports and of the lab, or NULL. */
	bool by_hand;          /* The data plane has no thread: lan_turn() turns it. */
};

struct lan {
	struct lan_options options;
	cpu_set_t processors; /* Of the thread, before it was given one. */
	struct dataplane *dataplane;
	struct capture *capture;
	struct guest guests[LAN_GUESTS_MAX];
	bool has_storm;      /* In the first network, ... */
	unsigned int raging; /* ... whose guest of this number sent last. */
};

/* Makes it, and has every guest learnt.  Ends the program when that fails. */
void lan_create(struct lan *lan, const struct lan_options *options);
void lan_destroy(struct lan *lan);

/* Each guest that sends fills its window once, and all take what there is.  Returns how many frames were received. */
unsigned int lan_drive(struct lan *lan);
/* By hand: a turn of the data plane. */
void lan_turn(struct lan *lan);

/* Waits until all that was sent has arrived. */
void lan_settle(struct lan *lan);

/* Drives it for so long, and returns frames per second. */
double lan_measure_rate(struct lan *lan, uint64_t nanoseconds);
/* The time from posting a frame to its arrival, when there is no other: the median of 'count', nanoseconds. */
double lan_measure_latency(struct lan *lan, unsigned int count);
/* The time from a frame of guest 2 to the answer of guest 3: the median of 'count', nanoseconds.  With a storm, all
 * guests of the first network, of two then, send to all others there meanwhile. */
double lan_measure_round_trip(struct lan *lan, unsigned int count, bool has_storm);
/* The processor's time that the data plane takes of a second in which nothing happens, nanoseconds. */
uint64_t lan_measure_idle(struct lan *lan);

/* Frames that were sent and did not arrive, came out of order, or are missing in the captures. */
uint64_t lan_count_faults(const struct lan *lan);

#endif /* lan.h */
