/* SPDX-License-Identifier: Apache-2.0 */

/* A console whose driver is the input.  Output is answered with input from within, as the agent does. */

#include <linux/virtio_console.h>
#include <string.h>

#include "core/loop.h"
#include "devices/virtio_console.h"
#include "virtio_input.h"

#define SLOT 1
#define TERMINAL_TRANSMIT 1

struct target {
	struct machine *machine;
	struct virtio_console *console;
	size_t output;
};

static void on_output(void *opaque, enum virtio_console_port port, const uint8_t *data, size_t size)
{
	struct target *target = opaque;

	stand_in_check(size > 0 && port < VIRTIO_CONSOLE_PORTS);
	target->output += size;
	if (data[0] & 1)
		virtio_console_write(target->console, port, data, data[size - 1] % 32u % (size + 1));
}

static void on_writable(void *opaque, enum virtio_console_port port)
{
	const struct target *target = opaque;

	virtio_console_write(target->console, port, (const uint8_t *)"more", 4);
}

static void on_opened(void *opaque, enum virtio_console_port port, bool open)
{
	const struct target *target = opaque;

	if (open)
		virtio_console_write(target->console, port, (const uint8_t *)"hello", 5);
}

static const struct virtio_console_ops console_ops = {.output = on_output,
						      .writable = on_writable,
						      .opened = on_opened};

static void operation(void *opaque, struct input *input)
{
	const struct target *target = opaque;
	uint8_t what = input_8(input), bytes[600] = {0};
	size_t size = input_16(input) % sizeof(bytes);

	if (what & 0x80)
		virtio_console_resize(target->console, what, (uint16_t)size);
	else
		stand_in_check(virtio_console_write(target->console, what & 1, bytes, size) <= size);
}

static void check_works(struct target *target, struct virtio_input *driver)
{
	size_t before;

	virtio_input_start(driver, 1 << VIRTIO_CONSOLE_F_MULTIPORT);
	stand_in_check(!virtio_console_quarantine_reason(target->console));
	before = target->output;
	virtio_input_offer(driver, TERMINAL_TRANSMIT, 2, 100);
	loop_turn(stand_in_loop(target->machine));
	stand_in_check(target->output == before + 200);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};
	struct target target = {.machine = stand_in_create(VIRTIO_INPUT_MEMORY)};
	struct virtio_input driver = {
		.machine = target.machine,
		.input = &input,
		.slot = SLOT,
		.queue_count = 6,
		.writable_queues = 1 << 0 | 1 << 2 | 1 << 4,
		.features = 1 << VIRTIO_CONSOLE_F_MULTIPORT,
		.operation = operation,
		.opaque = &target,
	};
	const struct virtio_console_options options = {.slot = SLOT,
						       .stream_name = "fuzz",
						       .ops = &console_ops,
						       .opaque = &target};
	struct error error;

	target.console = virtio_console_create(target.machine, stand_in_loop(target.machine), &options, &error);
	stand_in_check(target.console);
	virtio_input_run(&driver);
	check_works(&target, &driver);
	stand_in_destroy(target.machine);
	return 0;
}
