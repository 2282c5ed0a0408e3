/* SPDX-License-Identifier: Apache-2.0 */

/* A read-only disk whose driver is the input.  Whatever it did, the device reads again after a reset. */

#include <linux/virtio_blk.h>

#include "core/loop.h"
#include "devices/virtio_blk.h"
#include "virtio_input.h"

#define SLOT 3

static void operation(void *opaque, struct input *input)
{
	(void)input;
	loop_turn(opaque);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};
	struct machine *machine = stand_in_create(VIRTIO_INPUT_MEMORY);
	struct loop *loop = stand_in_loop(machine);
	struct virtio_input driver = {
		.machine = machine,
		.input = &input,
		.slot = SLOT,
		.queue_count = 1,
		.features = 1ull << VIRTIO_BLK_F_RO,
		.operation = operation,
		.opaque = loop,
	};
	struct error error;
	/* Any file will do: what is read does not matter. */
	struct virtio_blk *blk = virtio_blk_create(machine, loop, SLOT, "/proc/self/exe", &error);

	stand_in_check(blk);
	virtio_input_run(&driver);
	virtio_input_start(&driver, 0);
	loop_turn(loop);
	stand_in_check(!virtio_blk_quarantine_reason(blk));
	stand_in_destroy(machine);
	return 0;
}
