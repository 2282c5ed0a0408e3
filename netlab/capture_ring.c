/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/capture_ring.h"

#include <assert.h>
#include <emmintrin.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* Theory of operation
 * -------------------
 * A block is filled from its start; 'filled' is how far the consumer may read, stored with release semantics after the
 * records' bytes, when they are announced: were it stored for each record, a consumer that keeps up would have its
 * cache line each time the producer wants it.  When the next record does not fit, the producer announces what there is,
 * takes another block and stores it in 'next', after which 'filled' of the old one does not change.  So a consumer that
 * has read a block up to 'filled' and then finds a 'next' must look at 'filled' once more, and if it is still the same,
 * is done with the block and gives it back.
 *
 * Records are written into the stage, which is small enough to stay in the producer's cache, and come from there into
 * the block with stores that go past the caches, whole lines at a time.  The block's lines are in the cache of the
 * consumer, who has read what was there before; an ordinary store would have to fetch each from there, which takes
 * longer than all else that is done for a short frame.  The lines of the stage must have been written a while before
 * they are read, since reading back what is just being written waits for all stores before it; hence STAGE_SIZE.  To
 * wait for the last of such stores takes longer than a few lines do, so these are copied as usual.
 *
 * So 'filled' is a multiple of a line.  What remains of the last one when records are announced has no record, which
 * 'size' says if there is room for it: the next record begins with the next line.
 *
 * Blocks given back are a stack, onto which the consumer pushes one and from which the producer takes all
 * at once.  That no block is taken singly is what makes compare-and-swap safe here (there is no ABA).
 * Blocks never used yet are taken in order from the mapping, whose pages do not exist before that.
 *
 * Sleeping: the consumer stores 'sleeping', then looks at 'announced'; the producer stores 'announced',
 * then looks at 'sleeping'.  All four are sequentially consistent, so at least one of the two sees the
 * other's store, and no announcement is slept through.  'announced' is a number of records and not a flag
 * because a consumer may have taken what is just being announced, and may sleep then.
 */

#define ALIGNMENT 8
#define CACHE_LINE 64

/* Bytes in the stage that go into the block with the next record, if they are not announced before. */
#define STAGE_SIZE 16384

/* Bytes that are worth stores past the caches. */
#define STREAM_MIN 1024

struct block {
	_Alignas(CACHE_LINE) _Atomic(struct block *) next; /* The block filled after this one. */
	_Atomic size_t filled;                             /* Bytes of 'records'. */
	struct block *next_free; /* In the stack of blocks given back, or in the producer's list. */
	_Alignas(CACHE_LINE) uint8_t records[];
};

/* Before each record. */
struct record {
	uint64_t size; /* Of 'bytes'; NO_RECORD: the line has no more. */
	uint8_t bytes[];
};

#define NO_RECORD UINT64_MAX

struct capture_ring {
	/* Constant. */
	size_t block_size, block_count;
	uint8_t *memory;
	int event_fd;

	/* The producer's. */
	_Alignas(CACHE_LINE) struct block *tail; /* Being filled. */
	size_t tail_filled;
	uint8_t *stage;     /* What comes behind that, ... */
	size_t staged;      /* ... so many bytes. */
	pthread_t producer; /* Which announced last. */
	struct block *free; /* Blocks to fill next, most recently used first. */
	size_t blocks_used; /* Blocks taken from the mapping so far. */
	uint64_t written;   /* Records. */
	_Atomic uint64_t announced;

	/* The consumer's. */
	_Alignas(CACHE_LINE) struct block *head; /* Being read. */
	size_t head_read;
	size_t head_filled;     /* As last seen. */
	_Atomic uint64_t taken; /* Records. */

	/* Both. */
	_Alignas(CACHE_LINE) _Atomic(struct block *) returned;
	_Atomic bool sleeping;
	_Atomic bool closed;
};

static_assert(sizeof(struct block) == CACHE_LINE, "records begin with a line");
static_assert(sizeof(struct record) == ALIGNMENT, "what is no record fits where there is no room for one");

static size_t block_capacity(const struct capture_ring *ring)
{
	return ring->block_size - sizeof(struct block);
}

size_t capture_ring_record_max(const struct capture_ring *ring)
{
	return block_capacity(ring) - sizeof(struct record);
}

static size_t record_size(size_t size)
{
	return (sizeof(struct record) + size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static void reset_block(struct block *block)
{
	atomic_store_explicit(&block->next, NULL, memory_order_relaxed);
	atomic_store_explicit(&block->filled, 0, memory_order_relaxed);
}

/* Returns a block to fill, or NULL when all hold records. */
static struct block *take_block(struct capture_ring *ring)
{
	struct block *returned = atomic_exchange_explicit(&ring->returned, NULL, memory_order_acquire);
	struct block *block;

	if (returned) {
		for (block = returned; block->next_free; block = block->next_free)
			;
		block->next_free = ring->free;
		ring->free = returned;
	}
	block = ring->free;
	if (block) {
		ring->free = block->next_free;
	} else {
		if (ring->blocks_used == ring->block_count)
			return NULL;
		block = (struct block *)(ring->memory + ring->blocks_used++ * ring->block_size);
	}
	reset_block(block);
	return block;
}

static void give_block_back(struct capture_ring *ring, struct block *block)
{
	struct block *top = atomic_load_explicit(&ring->returned, memory_order_relaxed);

	do {
		block->next_free = top;
	} while (!atomic_compare_exchange_weak_explicit(&ring->returned, &top, block, memory_order_release,
							memory_order_relaxed));
}

struct capture_ring *capture_ring_create(size_t block_size, size_t block_count, struct error *error)
{
	struct capture_ring *ring = aligned_alloc(CACHE_LINE, sizeof(*ring));

	if (!ring) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	memset(ring, 0, sizeof(*ring));
	ring->block_size = block_size;
	ring->block_count = block_count;
	ring->memory = mmap(NULL, block_size * block_count, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ring->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ring->stage = aligned_alloc(CACHE_LINE, STAGE_SIZE + block_size);
	if (ring->memory == MAP_FAILED || ring->event_fd < 0 || !ring->stage) {
		error_set(error, ERROR_FAILED, errno, "cannot make the capture's ring of %zu bytes: %s",
			  block_size * block_count, strerror(errno));
		capture_ring_destroy(ring);
		return NULL;
	}
	/* A page fault takes the producer microseconds, and so it should be a large page's, where there are some. */
	(void)madvise(ring->memory, block_size * block_count, MADV_HUGEPAGE);
	ring->tail = ring->head = take_block(ring);
	return ring;
}

void capture_ring_destroy(struct capture_ring *ring)
{
	if (!ring)
		return;
	if (ring->memory != MAP_FAILED)
		munmap(ring->memory, ring->block_size * ring->block_count);
	if (ring->event_fd >= 0)
		close(ring->event_fd);
	free(ring->stage);
	free(ring);
}

struct memory_range capture_ring_memory(const struct capture_ring *ring)
{
	return (struct memory_range){.base = ring->memory, .size = ring->block_size * ring->block_count};
}

/* Copies whole lines, past the caches when there are some. */
static void copy_lines(uint8_t *to, const uint8_t *from, size_t size)
{
	if (size < STREAM_MIN) {
		memcpy(to, from, size);
		return;
	}
	for (size_t at = 0; at < size; at += sizeof(__m128i))
		_mm_stream_si128((__m128i *)(to + at), *(const __m128i *)(from + at));
	/* They have no order of their own. */
	_mm_sfence();
}

/* Has what is staged in the block: all lines that are begun. */
static void flush_stage(struct capture_ring *ring)
{
	size_t size = (ring->staged + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
	uint8_t *to = ring->tail->records + ring->tail_filled;

	if (ring->staged < size)
		((struct record *)(ring->stage + ring->staged))->size = NO_RECORD;
	copy_lines(to, ring->stage, size);
	ring->tail_filled += size;
	ring->staged = 0;
}

void *capture_ring_reserve(struct capture_ring *ring, size_t size)
{
	struct block *block;

	if (size > capture_ring_record_max(ring))
		return NULL;
	/* Before it is looked whether there is room: it takes whole lines. */
	if (ring->staged >= STAGE_SIZE)
		flush_stage(ring);
	if (record_size(size) > block_capacity(ring) - ring->tail_filled - ring->staged) {
		/* What is in a block must be announced before there is a next one; and so much was not that the
		 * consumer should start on it, above all when the ring is full. */
		capture_ring_announce(ring);
		block = take_block(ring);
		if (!block)
			return NULL;
		atomic_store_explicit(&ring->tail->next, block, memory_order_release);
		ring->tail = block;
		ring->tail_filled = 0;
	}
	return ((struct record *)(ring->stage + ring->staged))->bytes;
}

void capture_ring_commit(struct capture_ring *ring, size_t size)
{
	((struct record *)(ring->stage + ring->staged))->size = size;
	ring->staged += record_size(size);
	ring->written++;
}

static void wake_sleeper(struct capture_ring *ring)
{
	if (atomic_load(&ring->sleeping) && atomic_exchange(&ring->sleeping, false))
		eventfd_write(ring->event_fd, 1);
}

void capture_ring_wake(struct capture_ring *ring)
{
	eventfd_write(ring->event_fd, 1);
}

void capture_ring_announce(struct capture_ring *ring)
{
	/* Its only writer is this thread. */
	if (atomic_load_explicit(&ring->announced, memory_order_relaxed) == ring->written)
		return;
	ring->producer = pthread_self();
	flush_stage(ring);
	atomic_store_explicit(&ring->tail->filled, ring->tail_filled, memory_order_release);
	atomic_store(&ring->announced, ring->written);
	wake_sleeper(ring);
}

void capture_ring_announce_last(struct capture_ring *ring)
{
	if (atomic_load(&ring->announced) > 0 && pthread_equal(ring->producer, pthread_self()))
		capture_ring_announce(ring);
}

void capture_ring_close(struct capture_ring *ring)
{
	capture_ring_announce(ring);
	atomic_store(&ring->closed, true);
	wake_sleeper(ring);
}

/* Makes sure that 'head' has a record to read. */
static bool find_record(struct capture_ring *ring)
{
	struct block *next;

	if (ring->head_read < ring->head_filled)
		return true;
	next = atomic_load_explicit(&ring->head->next, memory_order_acquire);
	ring->head_filled = atomic_load_explicit(&ring->head->filled, memory_order_acquire);
	if (ring->head_read < ring->head_filled)
		return true;
	if (!next)
		return false;
	give_block_back(ring, ring->head);
	ring->head = next;
	ring->head_read = 0;
	ring->head_filled = atomic_load_explicit(&next->filled, memory_order_acquire);
	return ring->head_read < ring->head_filled;
}

const void *capture_ring_next(struct capture_ring *ring, size_t *size)
{
	const struct record *record;

	if (!find_record(ring))
		return NULL;
	record = (const struct record *)(ring->head->records + ring->head_read);
	*size = record->size;
	return record->bytes;
}

void capture_ring_release(struct capture_ring *ring)
{
	const struct record *record = (const struct record *)(ring->head->records + ring->head_read);

	ring->head_read += record_size(record->size);
	record = (const struct record *)(ring->head->records + ring->head_read);
	if (ring->head_read % CACHE_LINE > 0 && record->size == NO_RECORD)
		ring->head_read += CACHE_LINE - ring->head_read % CACHE_LINE;
	atomic_store_explicit(&ring->taken, atomic_load_explicit(&ring->taken, memory_order_relaxed) + 1,
			      memory_order_release);
}

void capture_ring_populate(struct capture_ring *ring, size_t size)
{
	if (size > ring->block_size * ring->block_count)
		size = ring->block_size * ring->block_count;
	/* Kernels before 5.14 do not: then first writes take longer. */
	(void)madvise(ring->memory, size, MADV_POPULATE_WRITE);
}

static void sleep_until_woken(struct capture_ring *ring, struct pollfd *others, size_t count, int milliseconds)
{
	eventfd_t value;

	others[0] = (struct pollfd){.fd = ring->event_fd, .events = POLLIN};
	if (poll(others, count + 1, milliseconds) > 0 && others[0].revents)
		(void)eventfd_read(ring->event_fd, &value); /* Whatever woke it, it looks again. */
}

enum capture_ring_event capture_ring_wait(struct capture_ring *ring, struct pollfd *others, size_t count,
					  int milliseconds)
{
	/* Before looking for a record: what was written before closing must be found. */
	bool closed = atomic_load(&ring->closed);

	if (find_record(ring))
		return CAPTURE_RING_RECORD;
	if (closed)
		return CAPTURE_RING_CLOSED;
	atomic_store(&ring->sleeping, true);
	if (atomic_load(&ring->announced) <= ring->taken && !atomic_load(&ring->closed))
		sleep_until_woken(ring, others, count, milliseconds);
	atomic_store(&ring->sleeping, false);
	closed = atomic_load(&ring->closed);
	if (find_record(ring))
		return CAPTURE_RING_RECORD;
	return closed ? CAPTURE_RING_CLOSED : CAPTURE_RING_WOKEN;
}

bool capture_ring_is_drained(const struct capture_ring *ring)
{
	return atomic_load(&ring->announced) <= atomic_load(&ring->taken);
}
