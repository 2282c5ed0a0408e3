/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio_rng.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "core/machine.h"
#include "devices/virtio_pci.h"

#define DEVICE_ID_RNG 4

/* Bytes given for one request, however large: a guest asks again, and nobody waits for a gigabyte of random bytes. */
#define REQUEST_MAX 4096u
/* Requests answered before others have their turn. */
#define BATCH 16

struct virtio_rng {
	struct virtio_device device; /* First. */
	struct loop_task more;
	struct virtqueue_chain chain;
};

static void fill(struct virtio_rng *rng)
{
	struct iov_cursor to = {.buffers = rng->chain.buffers, .count = rng->chain.writable_count};
	uint8_t bytes[REQUEST_MAX];
	size_t size = rng->chain.writable_size < sizeof(bytes) ? rng->chain.writable_size : sizeof(bytes);
	ssize_t count = getrandom(bytes, size, 0);

	if (count < 0)
		count = 0;
	iov_write(&to, bytes, (size_t)count);
	virtqueue_push(virtio_device_queue(&rng->device, 0), rng->chain.head, (uint32_t)count);
}

/* Returns true when there is nothing left to do. */
static bool answer(struct virtio_rng *rng)
{
	struct virtqueue *queue = virtio_device_queue(&rng->device, 0);

	for (unsigned int i = 0; i < BATCH; i++) {
		switch (virtqueue_pop(queue, &rng->chain)) {
		case VIRTQUEUE_EMPTY:
			if (!virtqueue_enable_notify(queue))
				return true;
			break;
		case VIRTQUEUE_BROKEN:
			virtio_device_quarantine(&rng->device, virtqueue_error(queue));
			return true;
		case VIRTQUEUE_OK:
			if (rng->chain.readable_count > 0 || rng->chain.writable_size == 0) {
				virtio_device_quarantine(&rng->device, "request for entropy has no room for it");
				return true;
			}
			fill(rng);
			break;
		}
	}
	return false;
}

static void run(void *opaque)
{
	struct virtio_rng *rng = opaque;

	if (!virtio_device_is_running(&rng->device) || !virtio_device_queue(&rng->device, 0)->started)
		return;
	if (!answer(rng))
		loop_task_queue(rng->device.owner, &rng->more);
	virtio_device_publish(&rng->device, 0);
}

static void kicked(struct virtio_device *device, unsigned int queue)
{
	(void)queue;
	run(device);
}

static void activate(struct virtio_device *device)
{
	run(device);
}

static void reset(struct virtio_device *device)
{
	loop_task_cancel(device->owner, &((struct virtio_rng *)device)->more);
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
	.destroy = destroy,
};

struct virtio_rng *virtio_rng_create(struct machine *machine, struct loop *loop, unsigned int slot, struct error *error)
{
	struct virtio_rng *rng = calloc(1, sizeof(*rng));
	char name[48];
	const struct virtio_device_options options = {
		.machine = machine,
		.owner = loop,
		.name = name,
		.device_id = DEVICE_ID_RNG,
		.class_code = VIRTIO_CLASS_OTHER,
		.queue_count = 1,
		.slot = slot,
		.ops = &device_ops,
	};

	if (!rng) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	snprintf(name, sizeof(name), "%s rng", machine_name(machine));
	rng->more = (struct loop_task){.function = run, .opaque = rng};
	if (virtio_device_init(&rng->device, &options, error) < 0) {
		free(rng);
		return NULL;
	}
	return rng;
}

const char *virtio_rng_quarantine_reason(const struct virtio_rng *rng)
{
	return virtio_device_quarantine_reason(&rng->device);
}
