/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BENCH_PEERS_ENDS_H
#define TESTS_BENCH_PEERS_ENDS_H 1

/* The two ends of a peer, and what is measured between them.
 *
 * All of it is in the process in which one peer is measured (peers.c), and one thread of it. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FRAME_MAX 2048
#define ROUNDS_MAX 16

/* Two ports.  Both functions do not wait, and return a negative value where they would. */
struct ends {
	void *ends[2];
	ssize_t (*send)(void *end, const void *frame, size_t size);
	ssize_t (*receive)(void *end, void *frame, size_t size);
};

/* What the process that measures has to say. */
struct outcome {
	char failure[128];        /* Empty: there are rates. */
	double rates[ROUNDS_MAX]; /* Frames a second. */
	double lost;              /* The part of all frames that is not in the capture, 0 to 1. */
};

void fail(struct outcome *outcome, const char *text);

/* Lets the calling thread run on processor 'place' alone. */
void pin(int place);

/* Ends the process of a switch, if there is one ('child' above 0). */
void end_switch(pid_t child);

/* Measures 'rounds' times for 'nanoseconds' each, with frames of 'size' bytes, at most FRAME_MAX. */
void measure_rounds(const struct ends *ends, uint32_t size, struct outcome *outcome, unsigned int rounds,
		    uint64_t nanoseconds);

/* The same for one peer each, which they start and end. */
void measure_vde(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds);
void measure_bridge(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds);
void measure_bridge_dumped(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds);
void measure_qemu(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds);
void measure_qemu_dumped(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds);
void measure_dpdk(uint32_t size, struct outcome *outcome, unsigned int rounds, uint64_t nanoseconds);

#endif /* ends.h */
