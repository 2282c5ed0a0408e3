/* SPDX-License-Identifier: Apache-2.0 */

/* The bus with a NIC, a console, an entropy device, a balloon and a UART on it, and accesses of any kind to all of it:
 * configuration space through ECAM and ports, BARs (which the input may move anywhere), MSI-X, the PCI access window,
 * UART registers. */

#include <string.h>

#include "core/loop.h"
#include "core/machine.h"
#include "core/pci.h"
#include "core/platform.h"
#include "full_machine.h"
#include "stand_in.h"

#define OPERATIONS_MAX 300

/* Offset of the access window's fields from its capability, and where the devices here have it. */
#define CAPABILITY_VENDOR 9
#define CAPABILITY_WINDOW 5

static unsigned int pick_slot(uint8_t choice)
{
	static const uint8_t slots[] = {0, FULL_MACHINE_SLOT_CONSOLE, FULL_MACHINE_SLOT_RNG, FULL_MACHINE_SLOT_BALLOON,
					FULL_MACHINE_SLOT_NET};

	return choice & 0x80 ? choice & 31 : slots[choice % sizeof(slots)];
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
	static const uint8_t slots[] = {FULL_MACHINE_SLOT_CONSOLE, FULL_MACHINE_SLOT_RNG, FULL_MACHINE_SLOT_BALLOON,
					FULL_MACHINE_SLOT_NET};

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
	struct machine *machine = full_machine_create();

	for (unsigned int i = 0; i < OPERATIONS_MAX && input.size > 0; i++)
		any_access(machine, &input);
	check_identity(machine);
	stand_in_destroy(machine);
	return 0;
}
