/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_CAPTURE_RING_H
#define NETLAB_CAPTURE_RING_H 1

/* Ring of blocks between two threads
 * ==================================
 *
 * A bounded first-in first-out queue of records of any size, from one producer to one consumer, without
 * locks.  Records are contiguous in memory and stay where they are until released, so neither side needs a
 * buffer of its own.
 *
 * The producer never waits: a record for which there is no room is refused.  It makes a system call only in
 * capture_ring_announce(), and only when the consumer sleeps.
 *
 * A ring is made of blocks that go round from producer to consumer and back, the one that came back last
 * being used first.  So the memory in use, and with it the share of the processor's cache, follows what is
 * waiting in the ring and not the ring's size: a ring can be made large enough for the longest stall of its
 * consumer, and costs that memory only when the stall comes.
 *
 * Thread-safety: as said with each function.  create and destroy are for when neither side is active.
 */

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"
#include "core/memory_usage.h"

struct capture_ring;

/* Returns a ring of 'block_count' (at least 2) blocks of 'block_size' bytes (a multiple of 4096), or NULL
 * with 'error' set. */
struct capture_ring *capture_ring_create(size_t block_size, size_t block_count, struct error *error);
void capture_ring_destroy(struct capture_ring *ring);

/* The longest record that fits. */
size_t capture_ring_record_max(const struct capture_ring *ring);

/* Producer.  Returns room for a record of at most 'size' bytes, aligned to 8, or NULL when the ring is full or
 * 'size' is more than capture_ring_record_max().  It is the consumer's once capture_ring_commit() is
 * called, which says how long it became; without it, or when announcing comes first, it is void. */
void *capture_ring_reserve(struct capture_ring *ring, size_t size);
void capture_ring_commit(struct capture_ring *ring, size_t size);

/* Producer.  Lets the consumer have what was committed, and wakes it if it sleeps.  To be called after a batch of
 * records; of those not announced the consumer sees none, unless room for others was asked for. */
void capture_ring_announce(struct capture_ring *ring);
/* In the handler of a fault, any thread: the same if the fault is the producer's.  Else it will announce by itself. */
void capture_ring_announce_last(struct capture_ring *ring);

/* Any thread, after the producer's last call; announces what it has committed.  The consumer's capture_ring_wait()
 * says so after the last record. */
void capture_ring_close(struct capture_ring *ring);

/* Consumer.  Returns the oldest record and sets '*size', or returns NULL when there is none.  It is the
 * consumer's until capture_ring_release(), which must be called before the next one is asked for. */
const void *capture_ring_next(struct capture_ring *ring, size_t *size);
void capture_ring_release(struct capture_ring *ring);

/* Any thread.  Has the first 'size' bytes of the ring in memory before they are needed, so that the
 * producer is not held up by page faults. */
void capture_ring_populate(struct capture_ring *ring, size_t size);

/* Any thread.  Where its memory is. */
struct memory_range capture_ring_memory(const struct capture_ring *ring);

/* Any thread.  Has the consumer's capture_ring_wait() return, now or when it is called next. */
void capture_ring_wake(struct capture_ring *ring);

enum capture_ring_event {
	CAPTURE_RING_RECORD, /* There is a record. */
	CAPTURE_RING_WOKEN, /* There is none: capture_ring_wake() was called, a descriptor is ready, or time is over. */
	CAPTURE_RING_CLOSED, /* There is none, and will be none. */
};

/* Consumer.  Sleeps until there is a record, but no longer than 'milliseconds' (-1: for ever).  It waits as poll(2)
 * does for the 'count' descriptors from others[1] on, and sets their 'revents'; others[0] is the ring's.  When there
 * is a record already it does not look at them. */
enum capture_ring_event capture_ring_wait(struct capture_ring *ring, struct pollfd *others, size_t count,
					  int milliseconds);

/* Any thread.  Whether the consumer has taken all that was announced. */
bool capture_ring_is_drained(const struct capture_ring *ring);

#endif /* capture_ring.h */
