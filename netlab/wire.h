/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_WIRE_H
#define NETLAB_WIRE_H 1

/* A wire: one direction of a link that has impairments
 * ====================================================
 *
 * A frame is put in at one end with wire_send(), which may lose it at once, or let it pass by untouched.  Else it is
 * copied, waits in the queue for its turn at the link's rate, is on its way as long as its delay, and comes out of
 * wire_run(), as one frame or as two, or as one that died in there.
 *
 *      wire_send() -> MTU, loss -> queue (rate) -> in flight (delay) -> wire_run() -> ops->arrive or ops->die
 *
 * Every frame that was taken comes out, so that each is accounted for.  Times within a wire are those at which things
 * should have happened, not those at which somebody came to do them: a loop that is late delivers late, and adds
 * nothing to the time of the next frame, or to the rate.
 *
 * Frames keep their order, whatever the jitter is, but for those that 'reorder' lets overtake others, and when the
 * impairments are changed meanwhile.
 *
 * Thread-safety: one thread, but for wire_read_counters(). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/frame.h"
#include "netlab/buffer_pool.h"
#include "netlab/deadline_heap.h"
#include "netlab/impairment.h"

struct frame_filter;
struct state;
struct wire;

/* A frame that comes out. */
struct wire_frame {
	const struct frame *frame;
	uint64_t id;        /* Of the frame in the lab. */
	uint64_t sent, due; /* When it was put in, and when it was to come out: nanoseconds, as 'now'. */
	bool is_duplicate;  /* It is the second one. */
	bool is_corrupted;  /* In this bit, counted from the first one of the first byte. */
	uint32_t corrupted_bit;
	bool has_overtaken; /* It had no delay. */
};

/* Why a frame died in a wire: the reasons of enum drop_reason that follow from impairments. */
enum wire_death {
	WIRE_MTU,
	WIRE_LOSS,
	WIRE_QUEUE_FULL,
	WIRE_EARLY,
	WIRE_IN_FLIGHT_FULL,
	WIRE_CUT, /* wire_lose_all() */
};

enum wire_result {
	WIRE_PASSES, /* Nothing happens to the frame: it goes on at once. */
	WIRE_TAKEN,
	WIRE_DIED,
};

struct wire_ops {
	void (*arrive)(void *opaque, const struct wire_frame *frame);
	void (*die)(void *opaque, const struct wire_frame *frame, enum wire_death death);
};

/* Each is right by itself, and never falls save for 'waiting' and 'in_flight'. */
struct wire_counters {
	uint64_t frames;     /* That were put in. */
	uint64_t passed;     /* Of these, those that went on at once. */
	uint64_t lost;       /* By chance, as the n-th or by a filter; */
	uint64_t mtu;        /* as they were too long; */
	uint64_t queue_full; /* as the queue was full, */
	uint64_t early;      /* or dropped by RED or CoDel; */
	uint64_t no_room;    /* as too much was in flight; */
	uint64_t cut;        /* as the link went down. */
	uint64_t arrived;    /* With duplicates, */
	uint64_t duplicated; /* of which there were these. */
	uint64_t corrupted, overtaking;
	uint64_t waiting, in_flight; /* Frames that are in the queue, and on their way, now. */
	uint64_t late_sum, late_max; /* How much later than due frames came out: nanoseconds, in sum and at most. */
};

/* Returns a wire without impairments, or NULL when out of memory.  The frames in it are from 'pool'. */
struct wire *wire_create(struct buffer_pool *pool, const struct wire_ops *ops, void *opaque);
/* Frames that are in it are gone without a word: see wire_lose_all(). */
void wire_destroy(struct wire *wire);

/* From now on.  'seed' belongs to the direction, and is mixed with that of the impairment if there is one.  Numbers
 * out of range are made the nearest that is not (impairment_limit()).  What was sent and its rate has not paid for yet
 * is paid at the new rate.  The wire has no filter until it is given. */
void wire_set(struct wire *wire, const struct impairment *impairment, uint64_t seed, uint64_t now);
/* Has frames that pass the filter, which is the impairment's 'loss_match', be lost.  Compiling one can take long, which
 * whoever runs wires has no time for.  It becomes the wire's, and '*filter' none. */
void wire_set_filter(struct wire *wire, struct frame_filter *filter);
const struct impairment *wire_impairment(const struct wire *wire);

/* Puts a frame in.  With WIRE_DIED, 'death' says of what, and 'limit' is the number it was above, or 0. */
enum wire_result wire_send(struct wire *wire, const struct frame *frame, uint64_t id, uint64_t now,
			   enum wire_death *death, uint32_t *limit);

/* When wire_run() has something to do; UINT64_MAX: nothing is in the wire. */
uint64_t wire_deadline(const struct wire *wire);
/* Lets out at most 'most' frames that are due at 'now', in the order in which they are.  From within ops nothing may be
 * done with the wire but wire_send(). */
void wire_run(struct wire *wire, uint64_t now, unsigned int most);
/* All that is in it dies now (WIRE_CUT). */
void wire_lose_all(struct wire *wire, uint64_t now);

/* Any thread. */
void wire_read_counters(const struct wire *wire, struct wire_counters *counters);

/* The wire with what is in it; times are kept as those left at 'now'.  What is restored is bad (state->bad) when it
 * does not fit.  A filter is saved as its text: the wire that is restored is to be given it. */
void wire_save(const struct wire *wire, struct state *state, uint64_t now);
void wire_restore(struct wire *wire, struct state *state, uint64_t now);

#endif /* wire.h */
