/* SPDX-License-Identifier: Apache-2.0 */
/* A saved state: what the file says is checked as if a guest had said it.  The input is a file as it is; or changes to
 * the state of a real machine, which is then restored and runs for a few turns. */

#include <linux/virtio_balloon.h>
#include <linux/virtio_console.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#include "core/loop.h"
#include "core/machine.h"
#include "core/memory.h"
#include "core/pci.h"
#include "core/state.h"
#include "devices/virtqueue.h"
#include "full_machine.h"
#include "virtio_input.h"

#define CHANGES_MAX 200

static void parse(const uint8_t *data, size_t size)
{
	struct state state;
	struct error error;
	uint8_t bytes[64];
	size_t got;

	if (state_parse(&state, data, size, &error) < 0)
		return;
	while (state_get_up_to(&state, STATE_TAG('a', 'a', 'a', 'a'), bytes, sizeof(bytes), &got))
		stand_in_check(got <= sizeof(bytes));
	state_release(&state);
}

/* Each changes up to 8 bytes somewhere. */
static void change(struct state *state, struct input *input)
{
	for (unsigned int i = 0; i < CHANGES_MAX && input->size > 0 && state->size > 0; i++) {
		size_t at = input_16(input) % state->size;
		unsigned int count = input_8(input) % 8 + 1;

		for (unsigned int j = 0; j < count && at + j < state->size; j++)
			state->bytes[at + j] = input_8(input);
	}
}

/* Has one of the devices run, as a good driver does; they would share one place in memory. */
static void start(struct machine *machine, uint8_t which)
{
	static const struct {
		unsigned int slot, queues;
		uint64_t features;
	} devices[] = {
		{FULL_MACHINE_SLOT_CONSOLE, 6, 1u << VIRTIO_CONSOLE_F_MULTIPORT},
		{FULL_MACHINE_SLOT_RNG, 1, 0},
		{FULL_MACHINE_SLOT_BALLOON, 5, 1u << VIRTIO_BALLOON_F_REPORTING},
		{FULL_MACHINE_SLOT_NET, 2, 1u << VIRTIO_NET_F_MRG_RXBUF},
	};
	struct input nothing = {0};
	struct virtio_input driver = {
		.machine = machine,
		.input = &nothing,
		.slot = devices[which % 4].slot,
		.queue_count = devices[which % 4].queues,
		.features = devices[which % 4].features,
		.memory = machine_memory(machine)->base,
	};

	virtio_input_start(&driver,
			   which & 8 ? driver.features | VIRTIO_FEATURE_INDIRECT_DESC | VIRTIO_FEATURE_EVENT_IDX : 0);
	virtio_input_offer(&driver, 0, 1, 64);
}

static void restore(struct input *input)
{
	static uint8_t memory[VIRTIO_INPUT_MEMORY];
	struct machine *machine = full_machine_create();
	struct state state = {0};

	start(machine, input_8(input));
	memcpy(memory, machine_memory(machine)->base, sizeof(memory));
	pci_bus_save(machine_pci(machine), &state);
	stand_in_destroy(machine);
	stand_in_check(!state.bad && state.size > 0);
	change(&state, input);
	machine = full_machine_create();
	memcpy(machine_memory(machine)->base, memory, sizeof(memory));
	pci_bus_restore(machine_pci(machine), &state);
	for (unsigned int i = 0; i < 8; i++)
		loop_turn(stand_in_loop(machine));
	stand_in_destroy(machine);
	state_release(&state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};

	if (size > 0 && data[0] % 8 == 0) {
		parse(data + 1, size - 1);
	} else {
		input_8(&input);
		restore(&input);
	}
	return 0;
}
