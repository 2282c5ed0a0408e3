/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio_balloon.h"

#include <errno.h>
#include <linux/virtio_balloon.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/machine.h"
#include "core/memory.h"
#include "devices/virtio_pci.h"

#define DEVICE_ID_BALLOON 5

/* The specification numbers the queues: 0 inflateq, 1 deflateq, 2 statsq, 3 free_page_vq, 4 reporting_vq (5.5.2).
 * Linux counts only those that were negotiated (init_vqs() of the driver, vp_find_vqs_msix() of its transport), so that
 * its reporting_vq is 2 here, where the two before it are not offered; others keep to the specification.  So every
 * queue from 2 on is one for reports. */
#define QUEUE_REPORTING 2
#define QUEUES 5

/* num_pages and actual; the rest is there only with features that are not offered.  Both stay 0. */
#define CONFIG_SIZE 8

/* Bytes given back before others have their turn, give or take a piece.  Pieces end at multiples of PIECE, the largest
 * block that Linux reports; a chain, an empty range or a page costs about as much as PIECE_MIN. */
#define BATCH (16u << 20)
#define PIECE (4u << 20)
#define PIECE_MIN (64u << 10)

struct virtio_balloon {
	struct virtio_device device; /* First. */
	struct loop_task work;
	struct virtqueue_chain chain;
	bool has_chain;           /* One is taken, and not yet pushed. */
	unsigned int queue;       /* Whose it is. */
	struct iov_cursor ranges; /* What is still to be given back of it. */
};

/* Gives back the next piece of the report at hand. */
static size_t give_back(struct virtio_balloon *balloon)
{
	const struct guest_memory *memory = machine_memory(balloon->device.machine);
	struct iov_cursor *at = &balloon->ranges;
	uint64_t address = (uint64_t)((uint8_t *)at->buffers->iov_base - memory->base) + at->offset;
	size_t size = at->buffers->iov_len - at->offset;

	if (size > PIECE - address % PIECE)
		size = PIECE - address % PIECE;
	guest_memory_discard(memory, address, size); /* Where that fails, the guest has them still. */
	at->offset += size;
	if (at->offset == at->buffers->iov_len) {
		at->buffers++;
		at->count--;
		at->offset = 0;
	}
	return size > PIECE_MIN ? size : PIECE_MIN;
}

/* What the guest puts into the balloon's other queues is given back as it came: nobody asked for it.  Returns false for
 * a report that is none. */
static bool begin(struct virtio_balloon *balloon, unsigned int queue)
{
	const struct virtqueue_chain *chain = &balloon->chain;
	bool is_report = queue >= QUEUE_REPORTING &&
			 virtio_device_has(&balloon->device, 1u << VIRTIO_BALLOON_F_REPORTING);

	if (is_report && chain->readable_count > 0) {
		virtio_device_quarantine(&balloon->device, "report of free pages has a readable buffer");
		return false;
	}
	balloon->has_chain = true;
	balloon->queue = queue;
	balloon->ranges = (struct iov_cursor){.buffers = chain->buffers,
					      .count = is_report ? chain->writable_count : 0};
	return true;
}

/* Takes the next chain.  Returns false when there is none. */
static bool take(struct virtio_balloon *balloon, unsigned int queue)
{
	struct virtqueue *ring = virtio_device_queue(&balloon->device, queue);
	enum virtqueue_result result;

	if (!ring->started)
		return false;
	result = virtqueue_pop(ring, &balloon->chain);
	if (result == VIRTQUEUE_EMPTY && virtqueue_enable_notify(ring))
		result = virtqueue_pop(ring, &balloon->chain);
	if (result == VIRTQUEUE_BROKEN)
		virtio_device_quarantine(&balloon->device, virtqueue_error(ring));
	return result == VIRTQUEUE_OK && begin(balloon, queue);
}

static bool take_from_any(struct virtio_balloon *balloon)
{
	for (unsigned int i = 0; i < QUEUES && virtio_device_is_running(&balloon->device); i++) {
		if (take(balloon, i))
			return true;
	}
	return false;
}

/* The task: all queues, until there is nothing left to do or it was enough for one turn. */
static void run(void *opaque)
{
	struct virtio_balloon *balloon = opaque;

	for (size_t done = 0; done < BATCH;) {
		if (!balloon->has_chain && !take_from_any(balloon))
			return;
		done += balloon->ranges.count > 0 ? give_back(balloon) : PIECE_MIN;
		if (balloon->ranges.count > 0)
			continue;
		virtqueue_push(virtio_device_queue(&balloon->device, balloon->queue), balloon->chain.head, 0);
		virtio_device_publish(&balloon->device, balloon->queue);
		balloon->has_chain = false;
	}
	loop_task_queue(balloon->device.owner, &balloon->work);
}

static void activate(struct virtio_device *device)
{
	loop_task_queue(device->owner, &((struct virtio_balloon *)device)->work);
}

static void kicked(struct virtio_device *device, unsigned int queue)
{
	(void)queue;
	activate(device);
}

static void reset(struct virtio_device *device)
{
	struct virtio_balloon *balloon = (struct virtio_balloon *)device;

	loop_task_cancel(device->owner, &balloon->work);
	balloon->has_chain = false;
}

/* A report that is half done is taken anew: giving the same back twice is giving it back. */
static void drain(struct virtio_device *device)
{
	struct virtio_balloon *balloon = (struct virtio_balloon *)device;

	if (balloon->has_chain)
		virtqueue_unpop(virtio_device_queue(device, balloon->queue), 1);
	balloon->has_chain = false;
}

static void destroy(struct virtio_device *device)
{
	virtio_device_release(device);
	free(device);
}

static const struct virtio_device_ops device_ops = {
	.activate = activate,
	.reset = reset,
	.kicked = kicked,
	.drain = drain,
	.destroy = destroy,
};

struct virtio_balloon *virtio_balloon_create(struct machine *machine, struct loop *loop, unsigned int slot,
					     struct error *error)
{
	struct virtio_balloon *balloon = calloc(1, sizeof(*balloon));
	char name[48];
	const struct virtio_device_options options = {
		.machine = machine,
		.owner = loop,
		.name = name,
		.device_id = DEVICE_ID_BALLOON,
		.class_code = VIRTIO_CLASS_OTHER,
		.features = 1u << VIRTIO_BALLOON_F_REPORTING,
		.queue_count = QUEUES,
		.config_size = CONFIG_SIZE,
		.slot = slot,
		.ops = &device_ops,
	};

	if (!balloon) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	snprintf(name, sizeof(name), "%s balloon", machine_name(machine));
	balloon->work = (struct loop_task){.function = run, .opaque = balloon};
	if (virtio_device_init(&balloon->device, &options, error) < 0) {
		free(balloon);
		return NULL;
	}
	return balloon;
}

const char *virtio_balloon_quarantine_reason(const struct virtio_balloon *balloon)
{
	return virtio_device_quarantine_reason(&balloon->device);
}
