/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio_blk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/machine.h"
#include "devices/virtio_pci.h"

/* Theory of operation
 * -------------------
 * A request is a chain: a header to read, data, and last a byte to write the status to (5.2.6).  The status byte is taken off the
 * end of the chain's last buffer before the data is looked at, so that data can never reach it. */

#define DEVICE_ID_BLK 2
#define FEATURE(bit) (1ull << (bit))

#define SECTOR_SIZE 512u
/* The configuration up to the block size; what follows belongs to features not offered. */
#define CONFIG_SIZE offsetof(struct virtio_blk_config, physical_block_exp)
/* Data buffers of a request: what a chain holds less header and status. */
#define SEGMENTS_MAX (VIRTQUEUE_SIZE_MAX - 2)
/* Bytes read for one request, and requests answered before others have their turn. */
#define REQUEST_SIZE_MAX (1u << 20)
#define BATCH 16

struct virtio_blk {
	struct virtio_device device; /* First. */
	int fd;
	uint64_t sectors;
	struct loop_task more;
	struct virtqueue_chain chain;
};

/* Reads into the chain's writable buffers; 'left' is the room for data.  Returns bytes read, or a negative number. */
static ssize_t read_data(struct virtio_blk *blk, uint64_t sector, size_t left)
{
	struct iovec *buffers = blk->chain.buffers + blk->chain.readable_count;
	uint64_t offset = sector * SECTOR_SIZE;
	ssize_t total = 0;

	if (left % SECTOR_SIZE != 0 || left > REQUEST_SIZE_MAX || sector > blk->sectors ||
	    left / SECTOR_SIZE > blk->sectors - sector)
		return -1;
	for (unsigned int i = 0; i < blk->chain.writable_count && left > 0; i++) {
		size_t part = buffers[i].iov_len < left ? buffers[i].iov_len : left;

		if (pread(blk->fd, buffers[i].iov_base, part, (off_t)offset) != (ssize_t)part)
			return -1;
		offset += part;
		left -= part;
		total += (ssize_t)part;
	}
	return total;
}

static ssize_t write_id(struct virtio_blk *blk, size_t room)
{
	static const char id[VIRTIO_BLK_ID_BYTES] = "netlab-image";
	struct iov_cursor to = {
		.buffers = blk->chain.buffers + blk->chain.readable_count,
		.count = blk->chain.writable_count,
	};

	return (ssize_t)iov_write(&to, id, room < sizeof(id) ? room : sizeof(id));
}

/* Finds the place of the status byte, the chain's last.  NULL: there is none. */
static uint8_t *status_byte(const struct virtqueue_chain *chain)
{
	for (unsigned int i = chain->writable_count; i > 0; i--) {
		const struct iovec *buffer = &chain->buffers[chain->readable_count + i - 1];

		if (buffer->iov_len > 0)
			return (uint8_t *)buffer->iov_base + buffer->iov_len - 1;
	}
	return NULL;
}

/* Answers the request in blk->chain.  Returns false when it is none. */
static bool answer(struct virtio_blk *blk)
{
	struct iov_cursor from = {.buffers = blk->chain.buffers, .count = blk->chain.readable_count};
	struct virtio_blk_outhdr header;
	uint8_t *status = status_byte(&blk->chain);
	ssize_t count = 0;

	if (!status || iov_read(&from, &header, sizeof(header)) != sizeof(header))
		return false;
	switch (header.type) {
	case VIRTIO_BLK_T_IN:
		count = read_data(blk, header.sector, blk->chain.writable_size - 1);
		*status = count < 0 ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
		break;
	case VIRTIO_BLK_T_GET_ID:
		count = write_id(blk, blk->chain.writable_size - 1);
		*status = VIRTIO_BLK_S_OK;
		break;
	case VIRTIO_BLK_T_OUT:
		*status = VIRTIO_BLK_S_IOERR;
		break;
	default:
		*status = VIRTIO_BLK_S_UNSUPP;
		break;
	}
	virtqueue_push(virtio_device_queue(&blk->device, 0), blk->chain.head, count < 0 ? 1 : (uint32_t)count + 1);
	return true;
}

/* Returns true when there is nothing left to do. */
static bool answer_batch(struct virtio_blk *blk)
{
	struct virtqueue *queue = virtio_device_queue(&blk->device, 0);

	for (unsigned int i = 0; i < BATCH; i++) {
		switch (virtqueue_pop(queue, &blk->chain)) {
		case VIRTQUEUE_EMPTY:
			if (!virtqueue_enable_notify(queue))
				return true;
			break;
		case VIRTQUEUE_BROKEN:
			virtio_device_quarantine(&blk->device, virtqueue_error(queue));
			return true;
		case VIRTQUEUE_OK:
			if (!answer(blk)) {
				virtio_device_quarantine(&blk->device, "disk request without header or status");
				return true;
			}
			break;
		}
	}
	return false;
}

static void run(void *opaque)
{
	struct virtio_blk *blk = opaque;

	if (!virtio_device_is_running(&blk->device) || !virtio_device_queue(&blk->device, 0)->started)
		return;
	virtqueue_disable_notify(virtio_device_queue(&blk->device, 0));
	if (!answer_batch(blk))
		loop_task_queue(blk->device.owner, &blk->more);
	virtio_device_publish(&blk->device, 0);
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
	loop_task_cancel(device->owner, &((struct virtio_blk *)device)->more);
}

static void destroy(struct virtio_device *device)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;

	virtio_device_release(device);
	close(blk->fd);
	free(blk);
}

static const struct virtio_device_ops device_ops = {
	.activate = activate,
	.reset = reset,
	.kicked = kicked,
	.destroy = destroy,
};

static int open_file(struct virtio_blk *blk, const char *path, struct error *error)
{
	struct stat status;

	blk->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (blk->fd < 0 || fstat(blk->fd, &status) < 0)
		return error_set(error, ERROR_HOST, errno, "cannot open the disk %s: %s", path, strerror(errno));
	blk->sectors = (uint64_t)status.st_size / SECTOR_SIZE;
	return 0;
}

static int init(struct virtio_blk *blk, struct machine *machine, struct loop *loop, unsigned int slot,
		struct error *error)
{
	char name[48];
	const struct virtio_device_options options = {
		.machine = machine,
		.owner = loop,
		.name = name,
		.device_id = DEVICE_ID_BLK,
		.class_code = VIRTIO_CLASS_STORAGE,
		.features = FEATURE(VIRTIO_BLK_F_RO) | FEATURE(VIRTIO_BLK_F_SEG_MAX) | FEATURE(VIRTIO_BLK_F_BLK_SIZE),
		.queue_count = 1,
		.config_size = CONFIG_SIZE,
		.slot = slot,
		.ops = &device_ops,
	};
	struct virtio_blk_config config = {
		.capacity = blk->sectors,
		.seg_max = SEGMENTS_MAX,
		.blk_size = SECTOR_SIZE,
	};
	int result;

	snprintf(name, sizeof(name), "%s disk", machine_name(machine));
	blk->more = (struct loop_task){.function = run, .opaque = blk};
	result = virtio_device_init(&blk->device, &options, error);
	if (result == 0)
		virtio_device_set_config(&blk->device, 0, &config, CONFIG_SIZE);
	return result;
}

struct virtio_blk *virtio_blk_create(struct machine *machine, struct loop *loop, unsigned int slot, const char *path,
				     struct error *error)
{
	struct virtio_blk *blk = calloc(1, sizeof(*blk));

	if (!blk) {
		error_set(error, ERROR_FAILED, ENOMEM, "out of memory");
		return NULL;
	}
	if (open_file(blk, path, error) < 0 || init(blk, machine, loop, slot, error) < 0) {
		if (blk->fd >= 0)
			close(blk->fd);
		free(blk);
		return NULL;
	}
	return blk;
}

const char *virtio_blk_quarantine_reason(const struct virtio_blk *blk)
{
	return virtio_device_quarantine_reason(&blk->device);
}
