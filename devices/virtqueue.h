/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEVICES_VIRTQUEUE_H
#define DEVICES_VIRTQUEUE_H 1

/* Split virtqueue, the device's side (virtio 1.2, section 2.7)
 * ============================================================
 *
 * This is the only code that touches ring memory.  Everything in the rings is the driver's word, and may change while
 * it is read: an index, descriptor or length is copied once and checked before use.  A driver that breaks the rules
 * makes the queue broken, for good until it is started again; virtqueue_error() says which rule, and the device's
 * transport quarantines the device (virtio_device_quarantine()).
 *
 * A device takes chains of buffers with virtqueue_pop(), gives them back with virtqueue_push(), and makes what it
 * gave back visible with virtqueue_publish().  Chains not yet pushed can be taken back with virtqueue_unpop().
 *
 * Thread-safety: a queue belongs to its device's loop once started.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct guest_memory;
struct state;

/* Largest queue offered.  Also the most descriptors in a chain: a driver must not make longer ones (2.7.5.3.1). */
#define VIRTQUEUE_SIZE_MAX 256

#define VIRTIO_FEATURE_INDIRECT_DESC (1ull << 28)
#define VIRTIO_FEATURE_EVENT_IDX (1ull << 29)

enum virtqueue_result {
	VIRTQUEUE_OK,
	VIRTQUEUE_EMPTY,
	VIRTQUEUE_BROKEN,
};

struct virtqueue {
	/* Set by the transport while the queue is stopped. */
	uint16_t size;
	uint64_t descriptor_area, driver_area, device_area; /* Guest-physical. */

	const struct guest_memory *memory;
	const uint8_t *descriptors;
	const uint8_t *available;
	uint8_t *used;
	bool started;
	bool indirect, event_index;
	uint16_t next_available; /* Index of the next chain to take. */
	uint16_t seen_available; /* The driver's index, as last looked at. */
	uint16_t next_used;      /* Index of the next used element to write. */
	uint16_t published;      /* Used index the driver has been shown. */
	bool interrupted_before;
	const char *error; /* Why it is broken, or NULL. */
};

/* The buffers of a chain: first those the device reads, then those it writes.  The memory is the guest's. */
struct virtqueue_chain {
	uint16_t head;
	unsigned int readable_count, writable_count;
	size_t readable_size, writable_size; /* Bytes. */
	struct iovec buffers[VIRTQUEUE_SIZE_MAX];
};

/* Begins to use the rings at the addresses set.  'features' are those negotiated.  Returns false, with an error set, if
 * they are not aligned (16, 2, 4), not whole in RAM, or the size is no power of two within VIRTQUEUE_SIZE_MAX. */
bool virtqueue_start(struct virtqueue *queue, const struct guest_memory *memory, uint64_t features);

/* A queue as the transport set it up, and how far its rings have been worked off.  What is restored is stopped; the
 * transport starts it again with virtqueue_resume(), which checks what virtqueue_start() does. */
void virtqueue_save(const struct virtqueue *queue, struct state *state);
void virtqueue_restore(struct virtqueue *queue, struct state *state);
bool virtqueue_resume(struct virtqueue *queue, const struct guest_memory *memory, uint64_t features);

/* Forgets everything, addresses included. */
void virtqueue_reset(struct virtqueue *queue);

/* Takes the next chain the driver made available. */
enum virtqueue_result virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain);

/* Puts the last 'count' chains popped back, as if never taken. */
void virtqueue_unpop(struct virtqueue *queue, unsigned int count);

/* Gives a chain back, 'written' bytes of whose writable buffers were filled in. */
void virtqueue_push(struct virtqueue *queue, uint16_t head, uint32_t written);

/* Shows the driver what was pushed.  Returns true if it wants an interrupt for it. */
bool virtqueue_publish(struct virtqueue *queue);

/* Whether the driver has made a chain available that was not taken, or something is wrong with its index. */
bool virtqueue_has_more(const struct virtqueue *queue);

/* Chains that it has made available and that were not taken; 0 if something is wrong. */
uint16_t virtqueue_waiting(const struct virtqueue *queue);

/* Asks the driver to notify when it makes more chains available.  Returns true if it has done so meanwhile: go on
 * popping, no notification will come for those. */
bool virtqueue_enable_notify(struct virtqueue *queue);
/* Asks it not to (a hint). */
void virtqueue_disable_notify(struct virtqueue *queue);

const char *virtqueue_error(const struct virtqueue *queue);

/* Copies between lists of buffers.  A cursor stands at a byte within a list. */
struct iov_cursor {
	const struct iovec *buffers;
	unsigned int count; /* Buffers from 'buffers' on. */
	size_t offset;      /* Within the first. */
};

/* Copies up to 'limit' bytes and moves both cursors; returns how many were copied. */
size_t iov_copy(struct iov_cursor *to, struct iov_cursor *from, size_t limit);
/* The same with one side in private memory. */
size_t iov_read(struct iov_cursor *from, void *to, size_t limit);
size_t iov_write(struct iov_cursor *to, const void *from, size_t limit);
/* Moves the cursor past up to 'limit' bytes; returns how many there were. */
size_t iov_skip(struct iov_cursor *cursor, size_t limit);

#endif /* virtqueue.h */
