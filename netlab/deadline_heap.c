/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/deadline_heap.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

static bool is_before(const struct deadline *a, const struct deadline *b)
{
	return a->time != b->time ? a->time < b->time : a->order < b->order;
}

static void put(struct deadline_heap *heap, size_t at, struct deadline *deadline)
{
	heap->items[at] = deadline;
	deadline->place = at + 1;
}

/* Moves what belongs at 'at' or above it there. */
static void rise(struct deadline_heap *heap, size_t at, struct deadline *deadline)
{
	while (at > 0 && is_before(deadline, heap->items[(at - 1) / 2])) {
		put(heap, at, heap->items[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	put(heap, at, deadline);
}

/* The same, below it. */
static void sink(struct deadline_heap *heap, size_t at, struct deadline *deadline)
{
	size_t child;

	while ((child = 2 * at + 1) < heap->count) {
		if (child + 1 < heap->count && is_before(heap->items[child + 1], heap->items[child]))
			child++;
		if (!is_before(heap->items[child], deadline))
			break;
		put(heap, at, heap->items[child]);
		at = child;
	}
	put(heap, at, deadline);
}

int deadline_heap_reserve(struct deadline_heap *heap, size_t count)
{
	size_t room = heap->room > 0 ? heap->room : 16;
	struct deadline **items;

	if (count <= heap->room)
		return 0;
	while (room < count)
		room *= 2;
	items = realloc(heap->items, room * sizeof(struct deadline *));
	if (!items)
		return -ENOMEM;
	heap->items = items;
	heap->room = room;
	return 0;
}

int deadline_heap_add(struct deadline_heap *heap, struct deadline *deadline, uint64_t time)
{
	if (deadline_heap_reserve(heap, heap->count + 1) < 0)
		return -ENOMEM;
	deadline->time = time;
	deadline->order = heap->order++;
	rise(heap, heap->count++, deadline);
	return 0;
}

void deadline_heap_remove(struct deadline_heap *heap, struct deadline *deadline)
{
	struct deadline *last;
	size_t at = deadline->place;

	if (at-- == 0)
		return;
	deadline->place = 0;
	last = heap->items[--heap->count];
	if (last == deadline)
		return;
	if (is_before(last, deadline))
		rise(heap, at, last);
	else
		sink(heap, at, last);
}

void deadline_heap_release(struct deadline_heap *heap)
{
	free(heap->items);
	*heap = (struct deadline_heap){0};
}
