/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/capture_recorder.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Theory of operation
 * -------------------
 * Records stand one behind the other, each behind its length; one for which there is no room up to the memory's end
 * begins at its start again, and a length of 0 says so.  So a record is always in one piece.  What is between 'begin'
 * and 'end' is whole at any instant: room is made before anything is written.
 *
 * 'busy' is how a handler that interrupts another thread finds out whether the writer is at it.  Both sides set their
 * own flag and then look at the other's, so at least one of them sees the other. */

#define ALIGNMENT 8

struct entry {
	uint64_t size; /* Of 'record'; 0: the next entry is at the memory's start. */
	struct capture_record record;
};

struct capture_recorder {
	uint8_t *memory;
	size_t size;
	uint64_t begin, end;
	void (*evicted)(void *opaque, const struct capture_record *record);
	void *opaque;
	_Atomic bool busy, frozen;
};

struct capture_recorder *capture_recorder_create(size_t size,
						 void (*evicted)(void *opaque, const struct capture_record *record),
						 void *opaque)
{
	struct capture_recorder *recorder = calloc(1, sizeof(*recorder));

	if (!recorder)
		return NULL;
	recorder->size = size / ALIGNMENT * ALIGNMENT;
	recorder->evicted = evicted;
	recorder->opaque = opaque;
	recorder->memory = mmap(NULL, recorder->size, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (recorder->memory == MAP_FAILED) {
		free(recorder);
		return NULL;
	}
	/* With one fault for many records, if there are large pages, until the memory has been filled once. */
	(void)madvise(recorder->memory, recorder->size, MADV_HUGEPAGE);
	return recorder;
}

void capture_recorder_destroy(struct capture_recorder *recorder)
{
	if (!recorder)
		return;
	munmap(recorder->memory, recorder->size);
	free(recorder);
}

struct memory_range capture_recorder_memory(const struct capture_recorder *recorder)
{
	return (struct memory_range){.base = recorder->memory, .size = recorder->size};
}

static size_t entry_size(size_t size)
{
	return (offsetof(struct entry, record) + size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static struct entry *entry_at(const struct capture_recorder *recorder, uint64_t position)
{
	return (struct entry *)(void *)(recorder->memory + position % recorder->size);
}

/* Bytes from 'position' to the memory's end. */
static size_t rest_of_turn(const struct capture_recorder *recorder, uint64_t position)
{
	return recorder->size - position % recorder->size;
}

/* The position of the entry at 'position', or of the one at the memory's start that it points to. */
static uint64_t skip_turn(const struct capture_recorder *recorder, uint64_t position)
{
	return entry_at(recorder, position)->size == 0 ? position + rest_of_turn(recorder, position) : position;
}

static void evict(struct capture_recorder *recorder)
{
	const struct entry *entry;

	recorder->begin = skip_turn(recorder, recorder->begin);
	if (recorder->begin == recorder->end)
		return;
	entry = entry_at(recorder, recorder->begin);
	recorder->evicted(recorder->opaque, &entry->record);
	recorder->begin += entry_size(entry->size);
}

static void add(struct capture_recorder *recorder, const struct capture_record *record, size_t size)
{
	size_t rest = rest_of_turn(recorder, recorder->end), wanted = entry_size(size);
	size_t skipped = rest < wanted ? rest : 0;
	struct entry *entry;

	while (recorder->end + skipped + wanted - recorder->begin > recorder->size)
		evict(recorder);
	if (skipped > 0) {
		entry_at(recorder, recorder->end)->size = 0;
		recorder->end += skipped;
	}
	entry = entry_at(recorder, recorder->end);
	entry->size = size;
	memcpy(&entry->record, record, size);
	recorder->end += wanted;
}

void capture_recorder_add(struct capture_recorder *recorder, const struct capture_record *record, size_t size)
{
	atomic_store(&recorder->busy, true);
	if (!atomic_load(&recorder->frozen))
		add(recorder, record, size);
	atomic_store_explicit(&recorder->busy, false, memory_order_release);
}

uint64_t capture_recorder_begin(const struct capture_recorder *recorder)
{
	return recorder->begin;
}

uint64_t capture_recorder_end(const struct capture_recorder *recorder)
{
	return recorder->end;
}

const struct capture_record *capture_recorder_next(const struct capture_recorder *recorder, uint64_t *position)
{
	const struct entry *entry;

	if (*position == recorder->end)
		return NULL;
	*position = skip_turn(recorder, *position);
	if (*position == recorder->end)
		return NULL;
	entry = entry_at(recorder, *position);
	*position += entry_size(entry->size);
	return &entry->record;
}

bool capture_recorder_freeze(struct capture_recorder *recorder)
{
	atomic_store(&recorder->frozen, true);
	return !atomic_load(&recorder->busy);
}
