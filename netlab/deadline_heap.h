/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETLAB_DEADLINE_HEAP_H
#define NETLAB_DEADLINE_HEAP_H 1

/* What is due first: a binary heap of things with a time, ordered by that, and those of one time by the order in which
 * they were added.  A thing has a struct deadline in it, and knows its place, so that it can be taken out from
 * anywhere.
 *
 * Thread-safety: one thread. */

#include <stddef.h>
#include <stdint.h>

struct deadline {
	uint64_t time;
	uint64_t order; /* The heap's. */
	size_t place;   /* The same: 0, or its place in the heap plus 1. */
};

struct deadline_heap { /* All zero is an empty one. */
	struct deadline **items;
	size_t count, room;
	uint64_t order;
};

void deadline_heap_release(struct deadline_heap *heap);

/* Makes room for so many in all, which can then be added without fail.  Returns 0 or -ENOMEM. */
int deadline_heap_reserve(struct deadline_heap *heap, size_t count);

/* Returns 0, or -ENOMEM. */
int deadline_heap_add(struct deadline_heap *heap, struct deadline *deadline, uint64_t time);
/* Does nothing when it is in none. */
void deadline_heap_remove(struct deadline_heap *heap, struct deadline *deadline);
/* What is due first, or NULL. */
static inline struct deadline *deadline_heap_first(const struct deadline_heap *heap)
{
	return heap->count > 0 ? heap->items[0] : NULL;
}

#endif /* deadline_heap.h */
