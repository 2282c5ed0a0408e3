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
 * A request is a chain: a header to read, data, and last a byte to write the status to (5.2.6).  The status byte is
 * taken off the end of the chain's last buffer before the data is looked at, so that data can never reach it.
 *
 * A read may be as long as the disk: without VIRTIO_BLK_F_SIZE_MAX drivers know no limit (Linux asks for 1.25 MiB, or
 * more when told so), and with it FreeBSD would not take the disk.  So a long read is done in pieces, with others'
 * turns in between. */

#define DEVICE_ID_BLK 2
#define FEATURE(bit) (1ull << (bit))

#define SECTOR_SIZE 512u
/* The configuration up to the block size; what follows belongs to features not offered. */
#define CONFIG_SIZE offsetof(struct virtio_blk_config, physical_block_exp)
/* Data buffers of a request: what a chain holds less header and status. */
#define SEGMENTS_MAX (VIRTQUEUE_SIZE_MAX - 2)
/* Requests answered, and bytes read, before others have their turn. */
#define BATCH 16
#define BATCH_SIZE (1u << 20)

struct virtio_blk {
	struct virtio_device device; /* First. */
	int fd;
	uint64_t sectors;
	struct loop_task more;
	/* The request being answered. */
	struct virtqueue_chain chain;
	uint8_t *status;
	/* What is still to be read for it, where in the file, and the buffer to begin with. */
	size_t left;
	uint64_t offset;
	struct iovec *buffer;
};

static void finish(struct virtio_blk *blk, uint8_t status, size_t count)
{
	blk->left = 0;
	*blk->status = status;
	virtqueue_push(virtio_device_queue(&blk->device, 0), blk->chain.head, (uint32_t)count + 1);
}

static void begin_read(struct virtio_blk *blk, uint64_t sector)
{
	size_t size = blk->chain.writable_size - 1;

	if (size % SECTOR_SIZE != 0 || sector > blk->sectors || size / SECTOR_SIZE > blk->sectors - sector) {
		finish(blk, VIRTIO_BLK_S_IOERR, 0);
	} else if (size == 0) {
		finish(blk, VIRTIO_BLK_S_OK, 0);
	} else {
		blk->left = size;
		blk->offset = sector * SECTOR_SIZE;
		blk->buffer = blk->chain.buffers + blk->chain.readable_count;
	}
}

/* Goes on with the read, if there is one, for at most 'limit' bytes.  Returns how many it read. */
static size_t read_on(struct virtio_blk *blk, size_t limit)
{
	size_t count = 0;

	while (blk->left > 0 && count < limit) {
		size_t part = blk->left < limit - count ? blk->left : limit - count;

		if (blk->buffer->iov_len == 0) {
			blk->buffer++;
			continue;
		}
		if (part > blk->buffer->iov_len)
			part = blk->buffer->iov_len;
		if (pread(blk->fd, blk->buffer->iov_base, part, (off_t)blk->offset) != (ssize_t)part) {
			finish(blk, VIRTIO_BLK_S_IOERR, 0);
			return count;
		}
		blk->buffer->iov_base = (uint8_t *)blk->buffer->iov_base + part;
		blk->buffer->iov_len -= part;
		blk->offset += part;
		blk->left -= part;
		count += part;
		if (blk->left == 0)
			finish(blk, VIRTIO_BLK_S_OK, blk->chain.writable_size - 1);
	}
	return count;
}

static size_t write_id(struct virtio_blk *blk)
{
	static const char id[VIRTIO_BLK_ID_BYTES] = "netlab-image";
	struct iov_cursor to = {
		.buffers = blk->chain.buffers + blk->chain.readable_count,
		.count = blk->chain.writable_count,
	};
	size_t room = blk->chain.writable_size - 1;

	return iov_write(&to, id, room < sizeof(id) ? room : sizeof(id));
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

/* Answers the request in blk->chain, or begins to.  Returns false when it is none. */
static bool answer(struct virtio_blk *blk)
{
	struct iov_cursor from = {.buffers = blk->chain.buffers, .count = blk->chain.readable_count};
	struct virtio_blk_outhdr header;

	blk->status = status_byte(&blk->chain);
	if (!blk->status || iov_read(&from, &header, sizeof(header)) != sizeof(header))
		return false;
	switch (header.type) {
	case VIRTIO_BLK_T_IN:
		begin_read(blk, header.sector);
		break;
	case VIRTIO_BLK_T_GET_ID:
		finish(blk, VIRTIO_BLK_S_OK, write_id(blk));
		break;
	case VIRTIO_BLK_T_OUT:
		finish(blk, VIRTIO_BLK_S_IOERR, 0);
		break;
	default:
		finish(blk, VIRTIO_BLK_S_UNSUPP, 0);
		break;
	}
	return true;
}

/* Takes the next request, unless there is one to go on with.  Returns false when there is nothing left to do. */
static bool take_request(struct virtio_blk *blk)
{
	struct virtqueue *queue = virtio_device_queue(&blk->device, 0);

	if (blk->left > 0)
		return true;
	switch (virtqueue_pop(queue, &blk->chain)) {
	case VIRTQUEUE_EMPTY:
		return virtqueue_enable_notify(queue);
	case VIRTQUEUE_BROKEN:
		virtio_device_quarantine(&blk->device, virtqueue_error(queue));
		return false;
	case VIRTQUEUE_OK:
		break;
	}
	if (answer(blk))
		return true;
	virtio_device_quarantine(&blk->device, "disk request without header or status");
	return false;
}

/* Returns true when there is nothing left to do. */
static bool answer_batch(struct virtio_blk *blk)
{
	size_t size = 0;

	for (unsigned int i = 0; i < BATCH && size < BATCH_SIZE; i++) {
		if (!take_request(blk))
			return true;
		size += read_on(blk, BATCH_SIZE - size);
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
	struct virtio_blk *blk = (struct virtio_blk *)device;

	loop_task_cancel(device->owner, &blk->more);
	blk->left = 0;
}

/* The rest of a long read. */
static void drain(struct virtio_device *device)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;

	while (blk->left > 0)
		read_on(blk, SIZE_MAX);
	virtio_device_publish(device, 0);
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
	.drain = drain,
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

int virtio_blk_file(const struct virtio_blk *blk)
{
	return blk->fd;
}

const char *virtio_blk_quarantine_reason(const struct virtio_blk *blk)
{
	return virtio_device_quarantine_reason(&blk->device);
}
