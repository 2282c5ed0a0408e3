/* SPDX-License-Identifier: Apache-2.0 */
#include "full_machine.h"

#include "core/machine.h"
#include "devices/uart.h"
#include "devices/virtio_balloon.h"
#include "devices/virtio_console.h"
#include "devices/virtio_net.h"
#include "devices/virtio_rng.h"
#include "virtio_input.h"

static void on_transmit(void *opaque, const struct frame *frame)
{
	(void)opaque;
	stand_in_check(frame->size >= FRAME_SIZE_MIN);
}

static void on_refused(void *opaque, enum virtio_net_refusal reason, const struct frame *frame, size_t size)
{
	(void)opaque;
	(void)reason;
	(void)frame;
	(void)size;
}

static void on_output(void *opaque, enum virtio_console_port port, const uint8_t *data, size_t size)
{
	(void)opaque;
	stand_in_check(port < VIRTIO_CONSOLE_PORTS && data && size > 0);
}

static void on_writable(void *opaque, enum virtio_console_port port)
{
	(void)opaque;
	stand_in_check(port < VIRTIO_CONSOLE_PORTS);
}

static void on_opened(void *opaque, enum virtio_console_port port, bool open)
{
	(void)opaque;
	(void)open;
	stand_in_check(port < VIRTIO_CONSOLE_PORTS);
}

static void on_uart(void *opaque, const char *data, size_t size, size_t lost)
{
	(void)opaque;
	stand_in_check(data && (size > 0 || lost > 0));
}

static const struct virtio_net_ops net_ops = {.transmit = on_transmit, .refused = on_refused};
static const struct virtio_console_ops console_ops = {.output = on_output,
						      .writable = on_writable,
						      .opened = on_opened};
static const struct uart_ops uart_ops = {.output = on_uart};

struct machine *full_machine_create(void)
{
	struct machine *machine = stand_in_create(VIRTIO_INPUT_MEMORY);
	struct loop *loop = stand_in_loop(machine);
	const struct virtio_net_options net = {.slot = FULL_MACHINE_SLOT_NET,
					       .name = "fuzz",
					       .mtu = 1500,
					       .ops = &net_ops};
	const struct virtio_console_options console = {.slot = FULL_MACHINE_SLOT_CONSOLE,
						       .stream_name = "fuzz",
						       .ops = &console_ops};
	struct error error;

	stand_in_check(virtio_net_create(machine, loop, &net, &error));
	stand_in_check(virtio_console_create(machine, loop, &console, &error));
	stand_in_check(virtio_rng_create(machine, loop, FULL_MACHINE_SLOT_RNG, &error));
	stand_in_check(virtio_balloon_create(machine, loop, FULL_MACHINE_SLOT_BALLOON, &error));
	stand_in_check(uart_create(machine, &uart_ops, NULL, &error) == 0);
	return machine;
}
