/* SPDX-License-Identifier: Apache-2.0 */

/* A balloon whose driver is the input.  Whatever it did, reports are taken again after a reset. */

#include <linux/virtio_balloon.h>
#include <string.h>

#include "core/loop.h"
#include "core/machine.h"
#include "core/memory.h"
#include "devices/virtio_balloon.h"
#include "virtio_input.h"

#define SLOT 4
#define QUEUES 5
#define REPORTS 2

static void operation(void *opaque, struct input *input)
{
	struct virtio_input *driver = opaque;

	/* Good chains of virtio_input_run() have less than a page. */
	if (input_8(input) % 2)
		virtio_input_offer(driver, REPORTS + input_8(input) % 3u, 1, input_16(input) % 0x4000u);
	loop_turn(stand_in_loop(driver->machine));
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
		.queue_count = QUEUES,
		.writable_queues = 7u << REPORTS,
		.features = 1u << VIRTIO_BALLOON_F_REPORTING,
		.operation = operation,
		.opaque = &driver,
	};
	struct error error;
	struct virtio_balloon *balloon = virtio_balloon_create(machine, loop, SLOT, &error);

	stand_in_check(balloon);
	virtio_input_run(&driver);
	virtio_input_start(&driver, driver.features);
	memset(machine_memory(machine)->base + 0x8000, 0x5a, 0x1000);
	virtio_input_offer(&driver, REPORTS, 1, 0x1000);
	for (unsigned int i = 0; i < 4; i++)
		loop_turn(loop);
	stand_in_check(!virtio_balloon_quarantine_reason(balloon));
	stand_in_check(machine_memory(machine)->base[0x8000] == 0 && machine_memory(machine)->base[0x8fff] == 0);
	stand_in_destroy(machine);
	return 0;
}
