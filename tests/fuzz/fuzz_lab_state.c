/* SPDX-License-Identifier: Apache-2.0 */
/* What is saved of a lab beside its machines: the data plane and the connections to agents.  Both are saved as they are
 * when used well, what was saved is changed by the input, or is all of its making, and what is restored from it is used
 * on. */

#include <stdlib.h>
#include <string.h>

#include "agent_input.h"
#include "core/loop.h"
#include "core/state.h"
#include "devices/frame.h"
#include "netlab/dataplane.h"
#include "netlab/impairment.h"

#define CHANGES_MAX 200
#define FRAMES_MAX 50
#define PORTS 5
#define SECTION_HEADER 8u

/* Each changes up to 8 bytes somewhere. */
static void change(struct state *state, struct input *input)
{
	unsigned int count = input_8(input) % CHANGES_MAX;

	for (unsigned int i = 0; i < count && input->size > 0 && state->size > 0; i++) {
		size_t at = input_16(input) % state->size;
		unsigned int bytes = input_8(input) % 8 + 1;

		for (unsigned int j = 0; j < bytes && at + j < state->size; j++)
			state->bytes[at + j] = input_8(input);
	}
}

/* Leaves out a section, or has it come once more at the end; sections that follow each other are alike. */
static void shuffle(struct state *state, struct input *input)
{
	size_t wanted = input_8(input), at = 0;
	uint32_t header[2] = {0};

	for (size_t i = 0; at + SECTION_HEADER <= state->size; i++) {
		memcpy(header, state->bytes + at, sizeof(header));
		if (header[1] > state->size - at - SECTION_HEADER)
			return; /* Changed before. */
		if (i == wanted % 32)
			break;
		at += SECTION_HEADER + header[1];
	}
	if (at + SECTION_HEADER > state->size)
		return;
	if (wanted & 0x80) {
		uint8_t *copy = malloc(header[1] + 1u);

		stand_in_check(copy);
		memcpy(copy, state->bytes + at + SECTION_HEADER, header[1]);
		state_put(state, header[0], copy, header[1]);
		free(copy);
	} else {
		size_t end = at + SECTION_HEADER + header[1];

		memmove(state->bytes + at, state->bytes + end, state->size - end);
		state->size -= end - at;
	}
}

static void spoil(struct state *state, struct input *input)
{
	uint8_t how = input_8(input);

	stand_in_check(!state->bad);
	if (how & 1)
		shuffle(state, input);
	if (how & 2)
		change(state, input);
	if (how & 4 && state->size > 0)
		state->size = input_16(input) % state->size;
}

/* The data plane. */

struct station {
	struct port *port;
	unsigned int frames;
};

struct stations {
	struct dataplane *dataplane;
	struct network *network;
	struct station stations[PORTS];
};

static enum port_result deliver(void *opaque, const struct frame *frame)
{
	struct station *station = opaque;

	stand_in_check(frame->size >= FRAME_SIZE_MIN && frame->size <= FRAME_SIZE_MAX);
	station->frames++;
	return (enum port_result)(station->frames % 7 == 0 ? PORT_RING_FULL : PORT_DELIVERED);
}

static const struct port_ops ops = {.deliver = deliver};

/* Two ports are linked, the others on a network. */
static void build(struct stations *stations)
{
	static const char *const names[PORTS] = {"h1:eth0", "h2:eth0", "h3:eth0", "h4:eth0", "h5:eth0"};

	*stations = (struct stations){.dataplane = dataplane_create(NULL)};
	stand_in_check(stations->dataplane);
	loop_adopt(dataplane_loop(stations->dataplane));
	stations->network = dataplane_add_network(stations->dataplane, "lan", 8, 300);
	for (int i = 0; i < PORTS; i++) {
		struct station *station = &stations->stations[i];

		station->port = dataplane_add_port(stations->dataplane, names[i]);
		stand_in_check(station->port);
		port_plug(station->port, &ops, station);
		if (i >= 2)
			port_join_network(station->port, stations->network);
	}
	port_join_port(stations->stations[0].port, stations->stations[1].port);
}

/* Whatever it is; the times of some are such that frames are on their way when the data plane is saved. */
static void impair(struct port *port, struct input *input)
{
	struct impairment impairment = {
		.delay = (uint64_t)input_16(input) << input_8(input) % 24,
		.jitter = input_16(input),
		.distribution = (enum impairment_distribution)(input_8(input) % 3),
		.loss = IMPAIRMENT_ALL / 256 * input_8(input),
		.duplicate = IMPAIRMENT_ALL / 256 * input_8(input),
		.corrupt = IMPAIRMENT_ALL / 256 * input_8(input),
		.rate = (uint64_t)input_16(input) << 8,
		.queue_frames = input_8(input),
		.discipline = (enum impairment_discipline)(input_8(input) % 3),
	};

	stand_in_check(port_impair(port, input_8(input) & 1 ? PORT_SENDS : PORT_RECEIVES, &impairment, 1) == 0);
}

/* Frames between addresses that are few enough to meet again, unplugging, or impairments. */
static void run(struct stations *stations, struct input *input, unsigned int count)
{
	for (unsigned int i = 0; i < count && input->size > 0; i++) {
		struct frame frame = {.size = FRAME_SIZE_MIN, .header_size = FRAME_SIZE_MIN};
		struct station *station = &stations->stations[input_8(input) % PORTS];
		uint8_t addresses = input_8(input);

		frame.header[0] = addresses & 0x80 ? 0xff : 0;
		frame.header[5] = addresses & 0x0f;
		frame.header[11] = addresses >> 3 & 0x0f;
		if (addresses == 0xee)
			port_plug(station->port, &ops, station);
		else if (addresses == 0xed)
			impair(station->port, input);
		else
			port_transmit(station->port, &frame);
	}
	loop_turn(dataplane_loop(stations->dataplane));
}

/* As who asks for the lab's links is told. */
static void tell_impairments(const struct stations *stations)
{
	for (int i = 0; i < 2 * PORTS; i++) {
		const struct impairment *impairment = port_impairment(stations->stations[i / 2].port,
								      i % 2 ? PORT_SENDS : PORT_RECEIVES);
		char *text = impairment ? impairment_text(impairment) : NULL;

		stand_in_check(!impairment || text);
		free(text);
	}
}

static void restore_dataplane(struct input *input)
{
	struct state state = {0}, again = {0};
	struct stations stations;

	build(&stations);
	run(&stations, input, input_8(input) % FRAMES_MAX);
	dataplane_save(stations.dataplane, &state);
	dataplane_destroy(stations.dataplane);
	spoil(&state, input);
	build(&stations);
	run(&stations, input, input_8(input) % 4);
	dataplane_restore(stations.dataplane, &state);
	stand_in_check(network_mac_count(stations.network) <= 8);
	tell_impairments(&stations);
	run(&stations, input, FRAMES_MAX);
	stand_in_check(network_mac_count(stations.network) <= 8);
	dataplane_save(stations.dataplane, &again);
	stand_in_check(!again.bad);
	dataplane_destroy(stations.dataplane);
	/* What was saved of a data plane, whatever it had been restored from, is good. */
	build(&stations);
	dataplane_restore(stations.dataplane, &again);
	stand_in_check(!again.bad && again.at == again.size);
	dataplane_destroy(stations.dataplane);
	state_release(&again);
	state_release(&state);
}

/* An agent's connection. */

/* A connection that is in use, on which the first part of the input has been spent. */
static void save_agent(struct input *input, struct state *state)
{
	struct agent_target target = {.input = input, .allowed = 4096};
	size_t part = input_16(input);
	struct input first = {.data = input->data, .size = part < input->size ? part : input->size};

	input->data += first.size;
	input->size -= first.size;
	target.input = &first;
	agent_opened(agent_input_create(&target), true);
	receive_greeting(&target, 1);
	agent_input_run(&target);
	agent_save(target.agent, state);
	agent_destroy(target.agent);
}

static void restore_agent(struct input *input)
{
	struct state state = {0}, again = {0};
	struct agent_target target = {.input = input, .allowed = 4096};

	save_agent(input, &state);
	spoil(&state, input);
	agent_restore(agent_input_create(&target), &state);
	target.greeted = agent_is_connected(target.agent);
	agent_input_run(&target);
	agent_save(target.agent, &again);
	stand_in_check(!again.bad);
	agent_destroy(target.agent);
	state_release(&again);
	state_release(&state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};

	if (input_8(&input) & 1)
		restore_dataplane(&input);
	else
		restore_agent(&input);
	return 0;
}
