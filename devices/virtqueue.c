/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtqueue.h"

#include <linux/virtio_ring.h>
#include <string.h>

#include "core/memory.h"
#include "core/state.h"

/* Theory of operation
 * -------------------
 * Areas (2.7): the descriptor table has 16 bytes per descriptor; the driver area is flags, index, ring of heads,
 * used_event; the device area is flags, index, ring of (head, length), avail_event.  start() checks each area whole, so
 * that every later access at an index below 'size' is within RAM.
 *
 * Ring fields are accessed as volatile, once.  Order: what the driver wrote before moving its index is seen after an
 * acquire load of the index; what we wrote is seen by the driver before our index through a release store.  Where one
 * side stores and then loads what the other stores (index against event), a full fence stands between.
 *
 * The driver wrote all this on another processor, so the first look at a line of it takes as long as the rest of a
 * frame's way.  The driver's index is therefore looked at once for all chains it has made available, and the buffers of
 * chains to come are fetched while others are worked on. */

#define TAG_QUEUE STATE_TAG('v', 'q', 'u', 'e')

#define RING_FLAGS 0
#define RING_INDEX 2
#define RING_START 4

#define CACHE_LINE 64
/* Chains between the one that is taken and those whose buffers and descriptors are fetched, some hundred nanoseconds of
 * work, and elements of the used ring. */
#define BUFFERS_AHEAD 6
#define DESCRIPTORS_AHEAD 16
#define USED_AHEAD 16
/* Of a cache line. */
#define DESCRIPTORS_EACH (CACHE_LINE / 16)
#define USED_EACH (CACHE_LINE / 8)

static bool fail(struct virtqueue *queue, const char *error)
{
	if (!queue->error)
		queue->error = error;
	return false;
}

static uint16_t load_16(const uint8_t *at)
{
	return __atomic_load_n((const uint16_t *)(const void *)at, __ATOMIC_ACQUIRE);
}

static void store_16(uint8_t *at, uint16_t value)
{
	__atomic_store_n((uint16_t *)(void *)at, value, __ATOMIC_RELEASE);
}

static const uint8_t *used_event(const struct virtqueue *queue)
{
	return queue->available + RING_START + 2u * queue->size;
}

static uint8_t *avail_event(const struct virtqueue *queue)
{
	return queue->used + RING_START + 8u * queue->size;
}

/* Where the rings are, all but how far they have been worked off. */
static bool map_rings(struct virtqueue *queue, const struct guest_memory *memory, uint64_t features)
{
	uint64_t size = queue->size;

	queue->error = NULL;
	if (size == 0 || size > VIRTQUEUE_SIZE_MAX || (size & (size - 1)) != 0)
		return fail(queue, "queue size is no power of two, or too large");
	if (queue->descriptor_area % 16 != 0 || queue->driver_area % 2 != 0 || queue->device_area % 4 != 0)
		return fail(queue, "queue area is not aligned");
	queue->descriptors = guest_memory_slice(memory, queue->descriptor_area, size * 16);
	queue->available = guest_memory_slice(memory, queue->driver_area, RING_START + size * 2 + 2);
	queue->used = guest_memory_slice(memory, queue->device_area, RING_START + size * 8 + 2);
	if (!queue->descriptors || !queue->available || !queue->used)
		return fail(queue, "queue area is outside of memory");
	queue->memory = memory;
	queue->indirect = features & VIRTIO_FEATURE_INDIRECT_DESC;
	queue->event_index = features & VIRTIO_FEATURE_EVENT_IDX;
	queue->started = true;
	return true;
}

bool virtqueue_start(struct virtqueue *queue, const struct guest_memory *memory, uint64_t features)
{
	queue->next_available = 0;
	queue->seen_available = 0;
	queue->next_used = 0;
	queue->published = 0;
	queue->interrupted_before = false;
	return map_rings(queue, memory, features);
}

bool virtqueue_resume(struct virtqueue *queue, const struct guest_memory *memory, uint64_t features)
{
	return map_rings(queue, memory, features);
}

struct queue_state {
	uint64_t descriptor_area, driver_area, device_area;
	uint16_t size, next_available, next_used, published;
	uint8_t interrupted_before;
	uint8_t reserved[7];
};

void virtqueue_save(const struct virtqueue *queue, struct state *state)
{
	const struct queue_state saved = {
		.descriptor_area = queue->descriptor_area,
		.driver_area = queue->driver_area,
		.device_area = queue->device_area,
		.size = queue->size,
		.next_available = queue->next_available,
		.next_used = queue->next_used,
		.published = queue->published,
		.interrupted_before = queue->interrupted_before,
	};

	state_put(state, TAG_QUEUE, &saved, sizeof(saved));
}

void virtqueue_restore(struct virtqueue *queue, struct state *state)
{
	struct queue_state saved;

	if (!state_get(state, TAG_QUEUE, &saved, sizeof(saved)))
		return;
	*queue = (struct virtqueue){
		.size = saved.size,
		.descriptor_area = saved.descriptor_area,
		.driver_area = saved.driver_area,
		.device_area = saved.device_area,
		.next_available = saved.next_available,
		.seen_available = saved.next_available,
		.next_used = saved.next_used,
		.published = saved.published,
		.interrupted_before = saved.interrupted_before != 0,
	};
}

void virtqueue_reset(struct virtqueue *queue)
{
	*queue = (struct virtqueue){.size = VIRTQUEUE_SIZE_MAX};
}

/* Reads a descriptor once: the driver may be changing it. */
static struct vring_desc read_descriptor(const uint8_t *table, unsigned int index)
{
	const volatile uint64_t *from = (const volatile uint64_t *)(const void *)(table + 16u * index);
	uint64_t words[2] = {from[0], from[1]};
	struct vring_desc descriptor;

	memcpy(&descriptor, words, sizeof(descriptor));
	return descriptor;
}

static bool add_buffer(struct virtqueue *queue, struct virtqueue_chain *chain, const struct vring_desc *descriptor)
{
	unsigned int count = chain->readable_count + chain->writable_count;
	void *base;

	if (count == VIRTQUEUE_SIZE_MAX)
		return fail(queue, "descriptor chain is too long, or a loop");
	base = guest_memory_slice(queue->memory, descriptor->addr, descriptor->len);
	if (!base)
		return fail(queue, "buffer is outside of memory");
	if (descriptor->flags & VRING_DESC_F_WRITE) {
		chain->writable_count++;
		chain->writable_size += descriptor->len;
	} else {
		if (chain->writable_count > 0)
			return fail(queue, "readable descriptor after a writable one");
		chain->readable_count++;
		chain->readable_size += descriptor->len;
	}
	chain->buffers[count] = (struct iovec){.iov_base = base, .iov_len = descriptor->len};
	return true;
}

/* A descriptor that stands for a table of descriptors (2.7.5.3). */
static bool add_indirect(struct virtqueue *queue, struct virtqueue_chain *chain, const struct vring_desc *indirect)
{
	unsigned int count = indirect->len / 16, index = 0;
	const uint8_t *table;

	if (!queue->indirect)
		return fail(queue, "indirect descriptor without the feature");
	if (indirect->flags & VRING_DESC_F_NEXT)
		return fail(queue, "indirect descriptor with a next one");
	if (indirect->len == 0 || indirect->len % 16 != 0 || count > queue->size)
		return fail(queue, "indirect table has a bad size");
	/* The specification sets no alignment; Linux aligns, and what is not could not be read once. */
	table = indirect->addr % 8 == 0 ? guest_memory_slice(queue->memory, indirect->addr, indirect->len) : NULL;
	if (!table)
		return fail(queue, "indirect table is outside of memory or not aligned");
	for (unsigned int steps = 0;; steps++) {
		struct vring_desc descriptor = read_descriptor(table, index);

		if (descriptor.flags & VRING_DESC_F_INDIRECT)
			return fail(queue, "indirect descriptor within an indirect table");
		if (steps == count)
			return fail(queue, "indirect table is a loop");
		if (!add_buffer(queue, chain, &descriptor))
			return false;
		if (!(descriptor.flags & VRING_DESC_F_NEXT))
			return true;
		index = descriptor.next;
		if (index >= count)
			return fail(queue, "next descriptor is outside of the indirect table");
	}
}

static bool read_chain(struct virtqueue *queue, struct virtqueue_chain *chain)
{
	unsigned int index = chain->head;

	chain->readable_count = chain->writable_count = 0;
	chain->readable_size = chain->writable_size = 0;
	for (unsigned int steps = 0;; steps++) {
		struct vring_desc descriptor;

		if (index >= queue->size)
			return fail(queue, "descriptor index is outside of the queue");
		if (steps == queue->size)
			return fail(queue, "descriptor chain is a loop");
		descriptor = read_descriptor(queue->descriptors, index);
		if (descriptor.flags & VRING_DESC_F_INDIRECT)
			return add_indirect(queue, chain, &descriptor);
		if (!add_buffer(queue, chain, &descriptor))
			return false;
		if (!(descriptor.flags & VRING_DESC_F_NEXT))
			return true;
		index = descriptor.next;
	}
}

/* Looks at the driver's index. */
static enum virtqueue_result look(struct virtqueue *queue)
{
	uint16_t index = load_16(queue->available + RING_INDEX);

	if (index == queue->next_available)
		return VIRTQUEUE_EMPTY;
	if ((uint16_t)(index - queue->next_available) > queue->size) { /* Also when the index went backwards. */
		fail(queue, "available index jumped");
		return VIRTQUEUE_BROKEN;
	}
	for (unsigned int i = 0; i < (uint16_t)(index - queue->next_available); i += CACHE_LINE / 2)
		__builtin_prefetch(queue->available + RING_START +
				   2u * ((queue->next_available + i) & (queue->size - 1u)));
	queue->seen_available = index;
	return VIRTQUEUE_OK;
}

/* Fetches a line that is going to be written.  The compiler has this instruction only for processors that it is told
 * of; those that do not know it take it for none. */
static inline void prefetch_for_write(const void *line)
{
	__asm__ volatile("prefetchw %0" : : "m"(*(const uint8_t *)line));
}

static inline uint16_t head_in(const uint8_t *ring, unsigned int mask, unsigned int index)
{
	return load_16(ring + 2u * (index & mask));
}

/* Fetches what a chain to come begins with, and before that the line of its descriptor.  These are only hints: what is
 * read here is read again, and checked, when the chain is taken. */
static inline void prefetch(const struct virtqueue *queue)
{
	const uint8_t *ring = queue->available + RING_START, *table = queue->descriptors, *base;
	const unsigned int mask = queue->size - 1u, next = queue->next_available;
	const unsigned int waiting = (uint16_t)(queue->seen_available - next);
	struct vring_desc descriptor;

	if (waiting <= BUFFERS_AHEAD)
		return;
	if (waiting > DESCRIPTORS_AHEAD && next % DESCRIPTORS_EACH == 0)
		__builtin_prefetch(table + 16u * (head_in(ring, mask, next + DESCRIPTORS_AHEAD) & mask));
	descriptor = read_descriptor(table, head_in(ring, mask, next + BUFFERS_AHEAD) & mask);
	base = guest_memory_slice(queue->memory, descriptor.addr, 2 * CACHE_LINE);
	if (!base)
		return;
	if (descriptor.flags & VRING_DESC_F_WRITE) {
		prefetch_for_write(base);
		prefetch_for_write(base + CACHE_LINE);
	} else {
		__builtin_prefetch(base);
		__builtin_prefetch(base + CACHE_LINE);
	}
}

/* A chain of one buffer, as most are.  Returns false if it is no such chain, or one that breaks a rule. */
static inline bool read_single(const struct virtqueue *queue, struct virtqueue_chain *chain)
{
	struct vring_desc descriptor;
	void *base;

	if (chain->head >= queue->size)
		return false;
	descriptor = read_descriptor(queue->descriptors, chain->head);
	base = guest_memory_slice(queue->memory, descriptor.addr, descriptor.len);
	if ((descriptor.flags & (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT)) || !base)
		return false;
	chain->buffers[0] = (struct iovec){.iov_base = base, .iov_len = descriptor.len};
	if (descriptor.flags & VRING_DESC_F_WRITE) {
		chain->readable_count = 0;
		chain->readable_size = 0;
		chain->writable_count = 1;
		chain->writable_size = descriptor.len;
	} else {
		chain->readable_count = 1;
		chain->readable_size = descriptor.len;
		chain->writable_count = 0;
		chain->writable_size = 0;
	}
	return true;
}

enum virtqueue_result virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain)
{
	if (queue->error || !queue->started)
		return VIRTQUEUE_BROKEN;
	if (queue->next_available == queue->seen_available) {
		enum virtqueue_result result = look(queue);

		if (result != VIRTQUEUE_OK)
			return result;
	}
	prefetch(queue);
	chain->head = head_in(queue->available + RING_START, queue->size - 1u, queue->next_available);
	if (!read_single(queue, chain) && !read_chain(queue, chain))
		return VIRTQUEUE_BROKEN;
	queue->next_available++;
	return VIRTQUEUE_OK;
}

void virtqueue_unpop(struct virtqueue *queue, unsigned int count)
{
	queue->next_available = (uint16_t)(queue->next_available - count);
}

void virtqueue_push(struct virtqueue *queue, uint16_t head, uint32_t written)
{
	struct vring_used_elem element = {.id = head, .len = written};
	uint8_t *at = queue->used + RING_START + 8u * (queue->next_used & (queue->size - 1u));

	memcpy(at, &element, sizeof(element));
	queue->next_used++;
	if (queue->next_used % USED_EACH == 0)
		prefetch_for_write(queue->used + RING_START +
				   8u * ((queue->next_used + USED_AHEAD) & (queue->size - 1u)));
}

bool virtqueue_publish(struct virtqueue *queue)
{
	uint16_t before = queue->published, after = queue->next_used;
	bool first = !queue->interrupted_before;

	if (before == after || !queue->started)
		return false;
	store_16(queue->used + RING_INDEX, after);
	queue->published = after;
	queue->interrupted_before = true;
	/* Our index must be visible before we look whether the driver wants to know. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!queue->event_index)
		return !(load_16(queue->available + RING_FLAGS) & VRING_AVAIL_F_NO_INTERRUPT);
	return first || vring_need_event(load_16(used_event(queue)), after, before);
}

bool virtqueue_has_more(const struct virtqueue *queue)
{
	return queue->started && !queue->error && load_16(queue->available + RING_INDEX) != queue->next_available;
}

uint16_t virtqueue_waiting(const struct virtqueue *queue)
{
	uint16_t waiting;

	if (!queue->started || queue->error)
		return 0;
	waiting = (uint16_t)(load_16(queue->available + RING_INDEX) - queue->next_available);
	return waiting <= queue->size ? waiting : 0;
}

bool virtqueue_enable_notify(struct virtqueue *queue)
{
	if (!queue->started)
		return false;
	if (queue->event_index)
		store_16(avail_event(queue), queue->next_available);
	else
		store_16(queue->used + RING_FLAGS, 0);
	/* The driver either sees this, or we see its new index. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return load_16(queue->available + RING_INDEX) != queue->next_available;
}

void virtqueue_disable_notify(struct virtqueue *queue)
{
	/* With event indices it is enough not to move avail_event. */
	if (queue->started && !queue->event_index)
		store_16(queue->used + RING_FLAGS, VRING_USED_F_NO_NOTIFY);
}

const char *virtqueue_error(const struct virtqueue *queue)
{
	return queue->error;
}

static void skip_empty(struct iov_cursor *cursor)
{
	while (cursor->count > 0 && cursor->offset == cursor->buffers->iov_len) {
		cursor->buffers++;
		cursor->count--;
		cursor->offset = 0;
	}
}

size_t iov_copy(struct iov_cursor *to, struct iov_cursor *from, size_t limit)
{
	size_t copied = 0;

	while (copied < limit) {
		size_t part = limit - copied;

		skip_empty(to);
		skip_empty(from);
		if (to->count == 0 || from->count == 0)
			break;
		if (part > to->buffers->iov_len - to->offset)
			part = to->buffers->iov_len - to->offset;
		if (part > from->buffers->iov_len - from->offset)
			part = from->buffers->iov_len - from->offset;
		/* Two guests' buffers never overlap, but one guest's may: it can post the same memory twice. */
		memmove((uint8_t *)to->buffers->iov_base + to->offset,
			(const uint8_t *)from->buffers->iov_base + from->offset, part);
		to->offset += part;
		from->offset += part;
		copied += part;
	}
	return copied;
}

size_t iov_read(struct iov_cursor *from, void *to, size_t limit)
{
	struct iovec buffer = {.iov_base = to, .iov_len = limit};
	struct iov_cursor cursor = {.buffers = &buffer, .count = 1};

	return iov_copy(&cursor, from, limit);
}

size_t iov_write(struct iov_cursor *to, const void *from, size_t limit)
{
	struct iovec buffer = {.iov_base = (void *)(uintptr_t)from, .iov_len = limit};
	struct iov_cursor cursor = {.buffers = &buffer, .count = 1};

	return iov_copy(to, &cursor, limit);
}

size_t iov_skip(struct iov_cursor *cursor, size_t limit)
{
	size_t skipped = 0;

	while (skipped < limit) {
		size_t part = limit - skipped;

		skip_empty(cursor);
		if (cursor->count == 0)
			break;
		if (part > cursor->buffers->iov_len - cursor->offset)
			part = cursor->buffers->iov_len - cursor->offset;
		cursor->offset += part;
		skipped += part;
	}
	return skipped;
}
