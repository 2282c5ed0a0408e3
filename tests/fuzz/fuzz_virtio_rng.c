/* SPDX-License-Identifier: Apache-2.0 */

/* An entropy device whose driver is the input.  Whatever it did, the device answers again after a reset. */

#include "core/loop.h"
#include "devices/virtio_rng.h"
#include "virtio_input.h"

#define SLOT 2

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
		.writable_queues = 1,
		.operation = operation,
		.opaque = loop,
	};
	struct error error;
	struct virtio_rng *rng = virtio_rng_create(machine, loop, SLOT, &error);

	stand_in_check(rng);
	virtio_input_run(&driver);
	virtio_input_start(&driver, 0);
	virtio_input_offer(&driver, 0, 1, 64);
	loop_turn(loop);
	stand_in_check(!virtio_rng_quarantine_reason(rng));
	stand_in_destroy(machine);
	return 0;
}
