/* SPDX-License-Identifier: Apache-2.0 */

/* The bus with a NIC, a console, an entropy device and a UART on it, and accesses of any kind to all of it:
 * configuration space through ECAM and ports, BARs (which the input may move anywhere), MSI-X, the PCI access window,
 * UART registers. */

#include <string.h>

#include "core/loop.h"
#include "core/machine.h"
#include "core/pci.h"
#include "core/platform.h"
#include "devices/uart.h"
#include "devices/virtio_console.h"
#include "devices/virtio_net.h"
#include "devices/virtio_rng.h"
#include "virtio_input.h"

#define SLOT_CONSOLE 1
#define SLOT_RNG 2
#define SLOT_NET 31
#define OPERATIONS_MAX 300

/* Offset of the access window's fields from its capability, and where the devices here have it. */
#define CAPABILITY_VENDOR 9
#define CAPABILITY_WINDOW 5

static void on_transmit(void *opaque, const struct frame *frame)
{
	(void)opaque;
	stand_in_check(frame->size >= FRAME_SIZE_MIN);
}

static void on_refused(void *opaque, enum virtio_net_refusal reason, size_t size)
{
	(void)opaque;
	(void)reason;
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

static struct machine *build(void)
{
	struct machine *machine = stand_in_create(VIRTIO_INPUT_MEMORY);
	struct loop *loop = stand_in_loop(machine);
	const struct virtio_net_options net = {.slot = SLOT_NET, .name = "fuzz", .mtu = 1500, .ops = &net_ops};
	const struct virtio_console_options console = {.slot = SLOT_CONSOLE,
						       .stream_name = "fuzz",
						       .ops = &console_ops};
	struct error error;

	stand_in_check(virtio_net_create(machine, loop, &net, &error));
	stand_in_check(virtio_console_create(machine, loop, &console, &error));
	stand_in_check(virtio_rng_create(machine, loop, SLOT_RNG, &error));
	stand_in_check(uart_create(machine, &uart_ops, NULL, &error) == 0);
	return machine;
}

static unsigned int pick_slot(uint8_t choice)
{
	static const uint8_t slots[] = {0, SLOT_CONSOLE, SLOT_RNG, SLOT_NET};

	return choice & 0x80 ? choice & 31 : slots[choice & 3];
}

/* The offset of the access window's capability, or 0. */
static unsigned int find_window(struct machine *machine, unsigned int slot)
{
	unsigned int at = (unsigned int)stand_in_config(machine, slot, PCI_CONFIG_CAPABILITIES, 1, 0, false);

	for (unsigned int steps = 0; at != 0 && at != 0xff; steps++) {
		stand_in_check(steps < 32);
		if (stand_in_config(machine, slot, at, 1, 0, false) == CAPABILITY_VENDOR &&
		    stand_in_config(machine, slot, at + 3, 1, 0, false) == CAPABILITY_WINDOW)
			return at;
		at = (unsigned int)stand_in_config(machine, slot, at + 1, 1, 0, false);
	}
	return 0;
}

static void through_window(struct machine *machine, struct input *input, unsigned int slot)
{
	unsigned int window = find_window(machine, slot);
	uint8_t kind = input_8(input);

	if (window == 0)
		return;
	stand_in_config(machine, slot, window + 4, 1, kind >> 6 == 3, true);
	stand_in_config(machine, slot, window + 8, 4, kind & 1 ? input_32(input) : input_16(input), true);
	stand_in_config(machine, slot, window + 12, 4, kind & 2 ? input_32(input) : 1u << (kind >> 2 & 3), true);
	stand_in_config(machine, slot, window + 16 - (kind & 8 ? 2 : 0), 4, input_32(input), kind & 16);
}

static void access_bar(struct machine *machine, struct input *input, unsigned int slot)
{
	uint64_t bar = stand_in_config(machine, slot, PCI_CONFIG_BAR0, 4, 0, false) & ~0xfull;
	uint16_t offset = input_16(input);
	uint8_t kind = input_8(input);

	if (kind & 0x20) /* The MSI-X table and pending bits. */
		offset = (uint16_t)(0x4000 + offset % 0x1100);
	stand_in_access(machine, bar + offset, kind % 8 + 1u, input_32(input), kind & 0x40);
}

static void any_access(struct machine *machine, struct input *input)
{
	uint8_t what = input_8(input);
	unsigned int slot = pick_slot(input_8(input));
	unsigned int size = (what >> 5) + 1u;
	uint16_t offset;

	switch (what % 8) {
	case 0:
		offset = input_16(input);
		stand_in_config(machine, slot, offset & 0x7fff, size, input_32(input), offset & 0x8000);
		break;
	case 1:
		stand_in_config(machine, slot, PCI_CONFIG_BAR0, 4, input_32(input), true);
		stand_in_config(machine, slot, PCI_CONFIG_COMMAND, 2, input_8(input), true);
		break;
	case 2:
		stand_in_port(machine, PLATFORM_PORT_PCI_CONFIG, 4, input_32(input), true);
		break;
	case 3:
		offset = input_8(input);
		stand_in_port(machine, PLATFORM_PORT_PCI_CONFIG + offset % 8, 1u << size % 3, input_32(input),
			      offset & 0x80);
		break;
	case 4:
		through_window(machine, input, slot);
		break;
	case 5:
		access_bar(machine, input, slot);
		break;
	case 6:
		offset = input_8(input);
		stand_in_port(machine, PLATFORM_PORT_UART + offset % 8, 1u << size % 3, input_32(input), offset & 0x80);
		break;
	default:
		loop_turn(stand_in_loop(machine));
		break;
	}
}

/* What no guest may change. */
static void check_identity(struct machine *machine)
{
	static const uint8_t slots[] = {SLOT_CONSOLE, SLOT_RNG, SLOT_NET};

	for (size_t i = 0; i < sizeof(slots); i++) {
		stand_in_check(stand_in_config(machine, slots[i], 0, 2, 0, false) == 0x1af4);
		stand_in_check((stand_in_config(machine, slots[i], PCI_CONFIG_BAR0, 4, 0, false) & 0x7fff) == 0);
		stand_in_check(find_window(machine, slots[i]) != 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};
	struct machine *machine = build();

	for (unsigned int i = 0; i < OPERATIONS_MAX && input.size > 0; i++)
		any_access(machine, &input);
	check_identity(machine);
	stand_in_destroy(machine);
	return 0;
}
