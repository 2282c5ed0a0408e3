/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FUZZ_AGENT_INPUT_H
#define TESTS_FUZZ_AGENT_INPUT_H 1

/* The two sides of an agent connection, made of fuzz input
 * ========================================================
 *
 * The guest's bytes are the input, as they are or in well-formed messages, while the host's side opens, uses and
 * abandons channels, also from within callbacks.  What the host's side may rely on is checked.
 *
 * In a header, since other targets have a stand-in for the agent. */

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/agent.h"
#include "netlab/agent_protocol.h"
#include "stand_in.h"

#define AGENT_INPUT_CHANNELS 8
#define AGENT_INPUT_OPERATIONS 200 /* At most. */

struct agent_target {
	struct agent *agent;
	struct input *input;
	struct slot {
		struct agent_target *target;
		struct agent_channel *channel; /* NULL: free, ended or abandoned. */
		bool said;                     /* The mode of a file, or output. */
	} slots[AGENT_INPUT_CHANNELS];
	size_t allowed; /* Bytes the transport still takes. */
	bool greeted;   /* And not lost. */
};

static void use(struct agent_target *target);

static size_t on_send(void *opaque, const uint8_t *data, size_t size)
{
	struct agent_target *target = opaque;
	size_t taken = size < target->allowed ? size : target->allowed;
	uint8_t sum = 0;

	for (size_t i = 0; i < taken; i++)
		sum ^= data[i];
	target->allowed -= taken;
	return sum == 0 && taken > 1 ? taken - 1 : taken;
}

static void on_greeted(void *opaque)
{
	struct agent_target *target = opaque;

	stand_in_check(!target->greeted);
	target->greeted = true;
	use(target);
}

static void on_lost(void *opaque, const char *reason)
{
	struct agent_target *target = opaque;

	target->greeted = false;
	stand_in_check(reason && !agent_is_connected(target->agent));
	for (unsigned int i = 0; i < AGENT_INPUT_CHANNELS; i++)
		stand_in_check(!target->slots[i].channel);
}

static void on_output(void *opaque, bool is_error, const uint8_t *data, size_t size)
{
	struct slot *slot = opaque;

	(void)data;
	stand_in_check(slot->channel && size > 0 && size <= AGENT_WINDOW);
	slot->said = true;
	if (!is_error)
		agent_channel_consumed(slot->channel, size);
	use(slot->target);
}

static void on_writable(void *opaque)
{
	struct slot *slot = opaque;

	stand_in_check(slot->channel);
	use(slot->target);
}

static void on_mode(void *opaque, unsigned int mode)
{
	struct slot *slot = opaque;

	stand_in_check(slot->channel && mode <= 07777 && !slot->said);
	slot->said = true;
	use(slot->target);
}

static void on_ended(void *opaque, int status, int signal)
{
	struct slot *slot = opaque;

	stand_in_check(slot->channel && status >= AGENT_LOST && status < 256 && signal >= 0 && signal < 128);
	slot->channel = NULL;
	use(slot->target);
}

static const struct agent_channel_ops channel_ops = {.output = on_output,
						     .writable = on_writable,
						     .file_mode = on_mode,
						     .ended = on_ended};

static void open_channel(struct agent_target *target, struct slot *slot, uint8_t how)
{
	static const char *const argv[] = {"true", "x", NULL};
	static const struct agent_terminal terminal = {.rows = 24, .columns = 80};

	slot->target = target;
	slot->said = false;
	switch (how % 4) {
	case 0:
		slot->channel = agent_exec(target->agent, argv, argv, how & 4 ? &terminal : NULL, &channel_ops, slot);
		break;
	case 1:
		slot->channel = agent_read_file(target->agent, "/etc/motd", &channel_ops, slot);
		break;
	case 2:
		slot->channel = agent_write_file(target->agent, "/etc/motd", 0644, &channel_ops, slot);
		break;
	default:
		slot->channel = agent_configure(target->agent, "hostname x\n", &channel_ops, slot);
		break;
	}
}

static void use_channel(struct slot *slot, uint8_t how)
{
	static const uint8_t bytes[100000];

	switch (how % 6) {
	case 0:
		stand_in_check(agent_channel_write(slot->channel, bytes, how * 391u) <= how * 391u);
		break;
	case 1:
		agent_channel_end_input(slot->channel);
		break;
	case 2:
		agent_channel_signal(slot->channel, how);
		break;
	case 3:
		agent_channel_resize(slot->channel, how, how);
		break;
	case 4:
		agent_channel_abandon(slot->channel);
		slot->channel = NULL;
		break;
	default:
		break;
	}
}

/* What the host's side does, in the middle of anything. */
static void use(struct agent_target *target)
{
	uint8_t what = input_8(target->input), how = input_8(target->input);
	struct slot *slot = &target->slots[what % AGENT_INPUT_CHANNELS];

	if (slot->channel)
		use_channel(slot, how);
	else if (what & 0x80)
		open_channel(target, slot, how);
}

static void receive(struct agent_target *target, const void *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	stand_in_check(copy);
	memcpy(copy, data, size);
	agent_receive(target->agent, copy, size);
	free(copy);
}

/* A whole message, its header likely. */
static void receive_message(struct agent_target *target, uint8_t kind)
{
	static const uint16_t types[] = {AGENT_STDOUT, AGENT_STDERR,    AGENT_CREDIT, AGENT_FILE_MODE,
					 AGENT_EXIT,   AGENT_FILE_MODE, AGENT_CREDIT};
	uint8_t number = input_8(target->input);
	struct agent_header header = {.channel = htole32(number % 16), .type = htole16(types[kind % 7])};
	uint8_t payload[1024] = {0};
	uint32_t size = kind % 7 < 2 ? input_16(target->input) % sizeof(payload) : kind % 7 == 4 ? 8 : 4;

	for (uint32_t i = 0; i < size && i < 8; i++)
		payload[i] = input_8(target->input);
	header.length = htole32(size);
	receive(target, &header, sizeof(header));
	receive(target, payload, size);
}

static inline void receive_greeting(struct agent_target *target, uint8_t kind)
{
	const char *text = kind & 1 ? "version 1\nuptime 1.5\n" : "init nan\nversion 1e400\n";
	struct agent_header header = {.length = htole32((uint32_t)strlen(text)), .type = htole16(AGENT_HELLO)};

	receive(target, &header, sizeof(header));
	receive(target, text, strlen(text));
	agent_greeting_value(target->agent, "uptime");
}

static void any_operation(struct agent_target *target)
{
	uint8_t what = input_8(target->input);
	size_t size;

	switch (what % 8) {
	case 0:
		size = what >> 3;
		if (size > target->input->size)
			size = target->input->size;
		target->input->data += size;
		target->input->size -= size;
		receive(target, target->input->data - size, size);
		break;
	case 1:
		receive_greeting(target, what >> 3);
		break;
	case 2:
		agent_opened(target->agent, what & 0x80);
		break;
	case 3:
		target->allowed = input_16(target->input);
		agent_resume(target->agent);
		break;
	case 4:
	case 5:
		use(target);
		break;
	default:
		receive_message(target, what >> 3);
		break;
	}
}

static inline struct agent *agent_input_create(struct agent_target *target)
{
	const struct agent_transport transport = {.send = on_send,
						  .greeted = on_greeted,
						  .lost = on_lost,
						  .opaque = target};

	target->agent = agent_create(&transport);
	stand_in_check(target->agent);
	return target->agent;
}

static inline void agent_input_run(struct agent_target *target)
{
	for (unsigned int i = 0; i < AGENT_INPUT_OPERATIONS && target->input->size > 0; i++)
		any_operation(target);
}

#endif /* agent_input.h */
