/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_FATE_H
#define NETLAB_FATE_H 1

/* What a link's impairments do to the n-th frame, as far as chance decides that
 * =============================================================================
 *
 * A source of fates gives one frame after the other its own.  With the same impairments and the same seed the n-th
 * frame has the same fate in each run and on each machine, whenever it comes and whatever is in it.
 *
 * Correlations are those of numbers that are normally distributed before they are made into others (a Gaussian copula):
 * frames close together tend to be alike, and still just as many of them are lost as without a correlation.
 *
 * Thread-safety: one thread. */

#include <stdbool.h>
#include <stdint.h>

#include "netlab/impairment.h"

struct fate {
	bool is_lost;
	bool is_duplicated;
	bool is_corrupted;
	bool overtakes;    /* It has no delay. */
	uint64_t position; /* If it is corrupted: random bits, to choose one of its bits. */
	uint64_t delay;    /* Nanoseconds. */
};

/* What is decided by chance. */
enum fate_kind {
	FATE_LOSS,
	FATE_STATE, /* Of Gilbert and Elliott's chain, */
	FATE_BURST, /* and whether the frame is lost in it. */
	FATE_DUPLICATE,
	FATE_CORRUPT,
	FATE_POSITION,
	FATE_REORDER,
	FATE_JITTER,
	FATE_EARLY, /* Dropped by RED. */
	FATE_KIND_COUNT,
};

/* Plain data: its bytes are its state. */
struct fate_source {
	uint64_t seed;
	uint64_t count;                 /* Frames that have their fate. */
	double normal[FATE_KIND_COUNT]; /* The last one of each, where there is a correlation. */
	bool is_bad;                    /* Gilbert and Elliott's state. */
};

void fate_begin(struct fate_source *source, uint64_t seed);

/* Decides about the next frame. */
void fate_next(struct fate_source *source, const struct impairment *impairment, struct fate *fate);

/* A number from 0 to 1 that belongs to the frame that was decided about last. */
double fate_chance(const struct fate_source *source, enum fate_kind kind);

#endif /* fate.h */
