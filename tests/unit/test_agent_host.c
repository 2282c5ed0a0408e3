/* SPDX-License-Identifier: Apache-2.0 */

/* The host's end of the agent protocol, and guests whose agent does not keep to it. */

#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "netlab/agent.h"
#include "netlab/agent_protocol.h"

#define SENT_MAX (1u << 20)

#define CHANNELS_MAX 600

struct channel {
	struct fixture *fixture;
	struct agent_channel *channel;
	size_t output, errors;
	unsigned int writable, ended, mode;
	int status, signal;
	bool keep;                 /* Does not say that it consumed the output. */
	bool abandon;              /* Abandons itself at the next callback. */
	struct channel *companion; /* Is abandoned too. */
};

struct fixture {
	struct agent *agent;
	uint8_t sent[SENT_MAX]; /* To the guest. */
	size_t sent_size, room;
	unsigned int greeted, lost;
	char reason[128];
	struct channel channels[CHANNELS_MAX]; /* They end with the agent, when a test's stack is gone. */
	unsigned int channel_count;
};

static size_t on_send(void *opaque, const uint8_t *data, size_t size)
{
	struct fixture *fixture = opaque;
	size_t taken = size < fixture->room ? size : fixture->room;

	assert_true(fixture->sent_size + taken <= SENT_MAX);
	memcpy(fixture->sent + fixture->sent_size, data, taken);
	fixture->sent_size += taken;
	fixture->room -= taken;
	return taken;
}

static void on_greeted(void *opaque)
{
	((struct fixture *)opaque)->greeted++;
}

static void on_lost(void *opaque, const char *reason)
{
	struct fixture *fixture = opaque;

	assert_true(strlen(reason) < sizeof(fixture->reason));
	strcpy(fixture->reason, reason);
	fixture->lost++;
}

static void abandon(struct channel *channel)
{
	if (channel->companion) {
		agent_channel_abandon(channel->companion->channel);
		channel->companion = NULL;
	}
	if (channel->abandon)
		agent_channel_abandon(channel->channel);
}

static void on_output(void *opaque, bool is_error, const uint8_t *data, size_t size)
{
	struct channel *channel = opaque;
	uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum ^= data[i]; /* All of it can be read. */
	*(is_error ? &channel->errors : &channel->output) += size + (sum & 0);
	if (!channel->keep)
		agent_channel_consumed(channel->channel, size);
	abandon(channel);
}

static void on_writable(void *opaque)
{
	struct channel *channel = opaque;

	channel->writable++;
	abandon(channel);
}

static void on_mode(void *opaque, unsigned int mode)
{
	struct channel *channel = opaque;

	channel->mode = mode;
	abandon(channel);
}

static void on_ended(void *opaque, int status, int signal)
{
	struct channel *channel = opaque;

	channel->ended++;
	channel->status = status;
	channel->signal = signal;
	abandon(channel);
	/* Whatever is asked for here does not bring a dead connection back. */
	if (status == AGENT_LOST)
		assert_null(agent_read_file(channel->fixture->agent, "/x", NULL, NULL));
}

static const struct agent_channel_ops channel_ops = {.output = on_output,
						     .writable = on_writable,
						     .file_mode = on_mode,
						     .ended = on_ended};

static void receive(struct fixture *fixture, const void *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	assert_non_null(copy);
	memcpy(copy, data, size);
	agent_receive(fixture->agent, copy, size);
	free(copy);
}

static void receive_header(struct fixture *fixture, uint32_t channel, uint16_t type, uint32_t length)
{
	const struct agent_header header = {.length = htole32(length),
					    .channel = htole32(channel),
					    .type = htole16(type)};

	receive(fixture, &header, sizeof(header));
}

static void receive_message(struct fixture *fixture, uint32_t channel, uint16_t type, const void *payload,
			    uint32_t size)
{
	receive_header(fixture, channel, type, size);
	receive(fixture, payload, size);
}

static void receive_numbers(struct fixture *fixture, uint32_t channel, uint16_t type, unsigned int count,
			    uint32_t first, uint32_t second)
{
	const uint32_t payload[2] = {htole32(first), htole32(second)};

	receive_message(fixture, channel, type, payload, count * 4);
}

static void greet(struct fixture *fixture)
{
	static const char greeting[] = "version 1\nuptime 0.25\ninit 0.125\n";

	receive_message(fixture, 0, AGENT_HELLO, greeting, sizeof(greeting) - 1);
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const struct agent_transport transport = {.send = on_send,
						  .greeted = on_greeted,
						  .lost = on_lost,
						  .opaque = fixture};

	assert_non_null(fixture);
	fixture->room = SENT_MAX;
	fixture->agent = agent_create(&transport);
	assert_non_null(fixture->agent);
	agent_opened(fixture->agent, true);
	greet(fixture);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	agent_destroy(fixture->agent);
	free(fixture);
	return 0;
}

static struct channel *new_channel(struct fixture *fixture)
{
	struct channel *channel = &fixture->channels[fixture->channel_count++];

	assert_true(fixture->channel_count <= CHANNELS_MAX);
	channel->fixture = fixture;
	return channel;
}

/* Opens a channel; the first of an agent is number 1. */
static struct channel *open_channel(struct fixture *fixture)
{
	static const char *const argv[] = {"cat", NULL};
	struct channel *channel = new_channel(fixture);

	channel->channel = agent_exec(fixture->agent, argv, NULL, NULL, &channel_ops, channel);
	assert_non_null(channel->channel);
	return channel;
}

static struct channel *open_file(struct fixture *fixture)
{
	struct channel *channel = new_channel(fixture);

	channel->channel = agent_read_file(fixture->agent, "/etc/motd", &channel_ops, channel);
	assert_non_null(channel->channel);
	return channel;
}

/* Counts the messages of a type that were sent on a channel. */
static unsigned int count_sent(const struct fixture *fixture, uint32_t channel, uint16_t type)
{
	unsigned int count = 0;

	for (size_t at = 0; at < fixture->sent_size;) {
		struct agent_header header;

		assert_true(fixture->sent_size - at >= sizeof(header));
		memcpy(&header, fixture->sent + at, sizeof(header));
		count += le32toh(header.channel) == channel && le16toh(header.type) == type;
		at += sizeof(header) + le32toh(header.length);
	}
	return count;
}

static void expect_lost(struct fixture *fixture, struct channel *channel, const char *reason)
{
	assert_int_equal(fixture->lost, 1);
	assert_string_equal(fixture->reason, reason);
	assert_false(agent_is_connected(fixture->agent));
	if (channel) {
		assert_int_equal(channel->ended, 1);
		assert_int_equal(channel->status, AGENT_LOST);
	}
	/* Nothing is heard until the port is opened anew. */
	greet(fixture);
	assert_false(agent_is_connected(fixture->agent));
	agent_opened(fixture->agent, false);
	agent_opened(fixture->agent, true);
	greet(fixture);
	assert_true(agent_is_connected(fixture->agent));
}

static void greets_and_runs_a_command(void **state)
{
	struct fixture *fixture = *state;
	struct channel *channel;
	struct agent_header header;

	assert_int_equal(fixture->greeted, 1);
	assert_true(agent_greeting_value(fixture->agent, "uptime") == 0.25);
	assert_true(agent_greeting_value(fixture->agent, "nothing") == 0);
	channel = open_channel(fixture);
	memcpy(&header, fixture->sent, sizeof(header));
	assert_int_equal(le32toh(header.channel), 1);
	assert_int_equal(le16toh(header.type), AGENT_EXEC);
	receive_message(fixture, 1, AGENT_STDOUT, "hello", 5);
	receive_message(fixture, 1, AGENT_STDERR, "oh", 2);
	receive_numbers(fixture, 1, AGENT_EXIT, 2, 3, 0);
	assert_int_equal(channel->output, 5);
	assert_int_equal(channel->errors, 2);
	assert_int_equal(channel->ended, 1);
	assert_int_equal(channel->status, 3);
	assert_int_equal(fixture->lost, 0);
}

static void reads_a_file(void **state)
{
	struct fixture *fixture = *state;
	struct channel *channel = open_file(fixture);

	receive_numbers(fixture, 1, AGENT_FILE_MODE, 1, 0100644, 0);
	receive_message(fixture, 1, AGENT_STDOUT, "hello", 5);
	receive_numbers(fixture, 1, AGENT_EXIT, 2, 0, 0);
	assert_int_equal(channel->mode, 0644);
	assert_int_equal(channel->output, 5);
	assert_int_equal(channel->ended, 1);
	assert_int_equal(fixture->lost, 0);
}

/* It would be an event for a client, which no window bounds. */
static void output_of_nothing(void **state)
{
	static const uint16_t types[] = {AGENT_STDOUT, AGENT_STDERR};
	struct fixture *fixture = *state;

	for (uint32_t i = 0; i < 2; i++) {
		struct channel *channel = open_channel(fixture);

		fixture->lost = 0;
		receive_message(fixture, i + 1, types[i], "", 0);
		expect_lost(fixture, channel, "the guest's agent breaks the protocol");
	}
}

/* So would a mode be. */
static void file_mode_at_a_wrong_time(void **state)
{
	struct fixture *fixture = *state;
	struct channel *channel = open_file(fixture);

	receive_numbers(fixture, 1, AGENT_FILE_MODE, 1, 0644, 0);
	receive_numbers(fixture, 1, AGENT_FILE_MODE, 1, 0600, 0);
	assert_int_equal(channel->mode, 0644);
	expect_lost(fixture, channel, "the guest's agent breaks the protocol");

	fixture->lost = 0;
	channel = open_file(fixture);
	receive_message(fixture, 2, AGENT_STDOUT, "x", 1);
	receive_numbers(fixture, 2, AGENT_FILE_MODE, 1, 0644, 0);
	expect_lost(fixture, channel, "the guest's agent breaks the protocol");

	fixture->lost = 0;
	channel = open_channel(fixture);
	receive_numbers(fixture, 3, AGENT_FILE_MODE, 1, 0644, 0);
	expect_lost(fixture, channel, "the guest's agent breaks the protocol");
	assert_int_equal(channel->mode, 0);
}

static void end_of_input_is_said_once(void **state)
{
	struct fixture *fixture = *state;
	struct channel *channel = open_channel(fixture);

	assert_int_equal(agent_channel_write(channel->channel, (const uint8_t *)"in", 2), 2);
	agent_channel_end_input(channel->channel);
	agent_channel_end_input(channel->channel);
	assert_int_equal(agent_channel_write(channel->channel, (const uint8_t *)"late", 4), 0);
	agent_channel_abandon(channel->channel);
	assert_int_equal(count_sent(fixture, 1, AGENT_STDIN), 1);
	assert_int_equal(count_sent(fixture, 1, AGENT_STDIN_END), 1);
	assert_int_equal(count_sent(fixture, 1, AGENT_SIGNAL), 1);
}

static void abandoning_ends_the_input(void **state)
{
	struct fixture *fixture = *state;
	struct channel *channel = open_channel(fixture);

	agent_channel_abandon(channel->channel);
	assert_int_equal(count_sent(fixture, 1, AGENT_SIGNAL), 1);
	assert_int_equal(count_sent(fixture, 1, AGENT_STDIN_END), 1);
}

static void takes_messages_byte_by_byte(void **state)
{
	struct fixture *fixture = *state;
	const struct agent_header header = {.length = htole32(5), .channel = htole32(1), .type = htole16(AGENT_STDOUT)};
	struct channel *channel;

	channel = open_channel(fixture);
	for (size_t i = 0; i < sizeof(header); i++)
		receive(fixture, (const uint8_t *)&header + i, 1);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(channel->output, 0);
		receive(fixture, "x", 1);
	}
	assert_int_equal(channel->output, 5);
}

static void half_a_message_and_the_end(void **state)
{
	struct fixture *fixture = *state;
	struct channel *channel;

	channel = open_channel(fixture);
	receive_header(fixture, 1, AGENT_STDOUT, 1000);
	receive(fixture, "half", 4);
	agent_opened(fixture->agent, false);
	assert_int_equal(channel->output, 0);
	assert_int_equal(channel->ended, 1);
	assert_int_equal(channel->status, AGENT_LOST);
	assert_int_equal(fixture->lost, 1);
	assert_string_equal(fixture->reason, "");
	/* The other half is not taken for a message of the next connection. */
	agent_opened(fixture->agent, true);
	greet(fixture);
	assert_true(agent_is_connected(fixture->agent));
}

static void message_too_long(void **state)
{
	static const uint32_t lengths[] = {AGENT_MESSAGE_MAX + 1, 0x80000000, 0xfffffff4, 0xffffffff};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct channel *channel;

		fixture->lost = 0;
		channel = open_channel(fixture);
		receive_header(fixture, 1, AGENT_STDOUT, lengths[i]);
		expect_lost(fixture, channel, "the guest's agent sends a message that is too long");
	}
}

static void longest_message(void **state)
{
	static const uint8_t payload[AGENT_MESSAGE_MAX];
	struct fixture *fixture = *state;
	struct channel *channel;

	channel = open_channel(fixture);
	receive_message(fixture, 1, AGENT_STDOUT, payload, sizeof(payload));
	assert_int_equal(channel->output, AGENT_MESSAGE_MAX);
	assert_true(agent_is_connected(fixture->agent));
}

static void unknown_channel(void **state)
{
	struct fixture *fixture = *state;
	struct channel *channel;

	channel = open_channel(fixture);
	receive_message(fixture, 77, AGENT_STDOUT, "x", 1);
	expect_lost(fixture, channel, "the guest's agent breaks the protocol");
}

static void exit_for_unknown_channel(void **state)
{
	struct fixture *fixture = *state;

	receive_numbers(fixture, 1, AGENT_EXIT, 2, 0, 0);
	expect_lost(fixture, NULL, "the guest's agent breaks the protocol");
}

static void exit_twice(void **state)
{
	struct fixture *fixture = *state;
	struct channel *channel;

	channel = open_channel(fixture);
	receive_numbers(fixture, 1, AGENT_EXIT, 2, 0, 9);
	assert_int_equal(channel->signal, 9);
	receive_numbers(fixture, 1, AGENT_EXIT, 2, 0, 0);
	assert_int_equal(channel->ended, 1);
	expect_lost(fixture, NULL, "the guest's agent breaks the protocol");
}

static void unknown_type_and_bad_sizes(void **state)
{
	static const struct {
		uint16_t type, size;
	} messages[] = {{0, 0},          {99, 4},         {0xffff, 0},       {AGENT_EXEC, 8},     {AGENT_EXIT, 0},
			{AGENT_EXIT, 7}, {AGENT_EXIT, 9}, {AGENT_CREDIT, 3}, {AGENT_FILE_MODE, 5}};
	static const uint8_t payload[16];
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		struct channel *channel;

		fixture->lost = 0;
		channel = open_channel(fixture);
		receive_message(fixture, (uint32_t)i + 1, messages[i].type, payload, messages[i].size);
		expect_lost(fixture, channel, "the guest's agent breaks the protocol");
	}
}

static void too_much_output(void **state)
{
	static const uint8_t payload[AGENT_MESSAGE_MAX];
	struct fixture *fixture = *state;
	struct channel *channel;

	channel = open_channel(fixture);
	channel->keep = true;
	for (size_t sent = 0; sent < AGENT_WINDOW; sent += sizeof(payload))
		receive_message(fixture, 1, AGENT_STDERR, payload, sizeof(payload));
	assert_int_equal(fixture->lost, 0);
	receive_message(fixture, 1, AGENT_STDOUT, payload, 1);
	assert_int_equal(channel->output, 0);
	expect_lost(fixture, channel, "the guest's agent sends more than was allowed");
}

static void output_without_end_is_paid_for(void **state)
{
	static const uint8_t payload[AGENT_MESSAGE_MAX];
	struct fixture *fixture = *state;
	struct channel *channel;

	channel = open_channel(fixture);
	for (size_t i = 0; i < 100; i++)
		receive_message(fixture, 1, AGENT_STDOUT, payload, sizeof(payload));
	assert_int_equal(channel->output, 100 * sizeof(payload));
	assert_int_equal(fixture->lost, 0);
}

static void too_much_credit(void **state)
{
	static const uint32_t credits[] = {1, AGENT_WINDOW, 0x80000000, 0xffffffff};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(credits) / sizeof(credits[0]); i++) {
		struct channel *channel;

		fixture->lost = 0;
		channel = open_channel(fixture);
		receive_numbers(fixture, (uint32_t)i + 1, AGENT_CREDIT, 1, credits[i], 0);
		expect_lost(fixture, channel, "the guest's agent allows more than the window");
	}
}

static void credit_makes_a_channel_writable(void **state)
{
	static const uint8_t input[AGENT_WINDOW + 1];
	struct fixture *fixture = *state;
	struct channel *channel;

	channel = open_channel(fixture);
	assert_int_equal(agent_channel_write(channel->channel, input, sizeof(input)), AGENT_WINDOW);
	assert_int_equal(agent_channel_write(channel->channel, input, 1), 0);
	receive_numbers(fixture, 1, AGENT_CREDIT, 1, 10, 0);
	assert_int_equal(channel->writable, 1);
	assert_int_equal(agent_channel_write(channel->channel, input, 100), 10);
}

static void greeting_of_another_version(void **state)
{
	static const char *const greetings[] = {"version 2\n", "", "version nan\n", "uptime 1\n", "version 1.5\n"};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(greetings) / sizeof(greetings[0]); i++) {
		fixture->lost = 0;
		agent_opened(fixture->agent, false);
		agent_opened(fixture->agent, true);
		fixture->lost = 0;
		receive_message(fixture, 0, AGENT_HELLO, greetings[i], (uint32_t)strlen(greetings[i]));
		expect_lost(fixture, NULL,
			    "the guest's agent speaks another version of the protocol; build the image anew");
	}
}

/* Or a guest had its node set up again by 12 bytes. */
static void greeting_twice(void **state)
{
	struct fixture *fixture = *state;
	struct channel *channel;

	channel = open_channel(fixture);
	for (int i = 0; i < 100; i++)
		greet(fixture);
	assert_int_equal(fixture->greeted, 1);
	expect_lost(fixture, channel, "the guest's agent greets twice");
	assert_int_equal(fixture->greeted, 2);
}

static void greeting_longer_than_is_kept(void **state)
{
	struct fixture *fixture = *state;
	char greeting[AGENT_MESSAGE_MAX] = "version 1\n";

	memset(greeting + 10, 'x', sizeof(greeting) - 10);
	agent_opened(fixture->agent, false);
	agent_opened(fixture->agent, true);
	receive_message(fixture, 0, AGENT_HELLO, greeting, sizeof(greeting));
	assert_true(agent_is_connected(fixture->agent));
}

static void message_before_greeting(void **state)
{
	struct fixture *fixture = *state;

	agent_opened(fixture->agent, false);
	receive_message(fixture, 0, AGENT_HELLO, "version 1\n", 10);
	assert_false(agent_is_connected(fixture->agent)); /* The port is closed. */
	agent_opened(fixture->agent, true);
	fixture->lost = 0;
	receive_message(fixture, 1, AGENT_STDOUT, "x", 1);
	expect_lost(fixture, NULL, "the guest's agent breaks the protocol");
}

static void callbacks_abandon_channels(void **state)
{
	struct fixture *fixture = *state;
	struct channel *first, *second;
	static const uint8_t input[AGENT_WINDOW + 1];

	/* In output, itself and another. */
	first = open_channel(fixture);
	second = open_channel(fixture);
	first->abandon = true;
	first->companion = second;
	receive_message(fixture, 1, AGENT_STDOUT, "x", 1);
	receive_message(fixture, 1, AGENT_STDOUT, "y", 1);
	receive_message(fixture, 2, AGENT_STDOUT, "z", 1);
	assert_int_equal(first->output, 1);
	assert_int_equal(second->output, 0);
	receive_numbers(fixture, 2, AGENT_EXIT, 2, 0, 0);
	receive_numbers(fixture, 1, AGENT_EXIT, 2, 0, 0);
	assert_int_equal(first->ended + second->ended, 0);
	/* In writable, the mode, and at its end. */
	first = open_channel(fixture);
	agent_channel_write(first->channel, input, sizeof(input));
	first->abandon = true;
	receive_numbers(fixture, 3, AGENT_CREDIT, 1, 5, 0);
	first = open_file(fixture);
	first->abandon = true;
	receive_numbers(fixture, 4, AGENT_FILE_MODE, 1, 5, 0);
	receive_message(fixture, 4, AGENT_STDOUT, "x", 1);
	assert_int_equal(first->mode, 5);
	assert_int_equal(first->output, 0);
	first = open_channel(fixture);
	second = open_channel(fixture);
	first->abandon = true;
	first->companion = second;
	receive_numbers(fixture, 5, AGENT_EXIT, 2, 0, 0);
	assert_int_equal(first->ended, 1);
	receive_numbers(fixture, 6, AGENT_EXIT, 2, 0, 0);
	assert_int_equal(second->ended, 0);
	assert_int_equal(fixture->lost, 0);
	assert_true(agent_is_connected(fixture->agent));
}

static void callbacks_abandon_channels_while_the_connection_is_lost(void **state)
{
	struct fixture *fixture = *state;
	struct channel *channels[4];

	for (size_t i = 0; i < 4; i++)
		channels[i] = open_channel(fixture);
	/* The newest ends first-> */
	channels[3]->abandon = true;
	channels[3]->companion = channels[1];
	receive_message(fixture, 99, AGENT_STDOUT, "x", 1);
	assert_int_equal(channels[3]->ended, 1);
	assert_int_equal(channels[2]->ended, 1);
	assert_int_equal(channels[1]->ended, 0);
	assert_int_equal(channels[0]->ended, 1);
	expect_lost(fixture, NULL, "the guest's agent breaks the protocol");
}

static void guest_that_takes_nothing_is_cut_off(void **state)
{
	static const uint8_t input[AGENT_WINDOW];
	struct fixture *fixture = *state;
	struct channel *channel;
	unsigned int opened = 0;

	fixture->room = 0;
	while (agent_is_connected(fixture->agent) && opened < 2 * AGENT_BACKLOG_MAX / AGENT_WINDOW) {
		channel = open_channel(fixture);
		agent_channel_write(channel->channel, input, sizeof(input));
		agent_channel_abandon(channel->channel);
		opened++;
	}
	assert_false(agent_is_connected(fixture->agent));
	assert_in_range(opened, 1, AGENT_BACKLOG_MAX / AGENT_WINDOW);
	receive(fixture, "x", 1);
	fixture->room = SENT_MAX;
	expect_lost(fixture, NULL, "the guest's agent does not take what it is sent");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(greets_and_runs_a_command),
		CASE(reads_a_file),
		CASE(output_of_nothing),
		CASE(file_mode_at_a_wrong_time),
		CASE(end_of_input_is_said_once),
		CASE(abandoning_ends_the_input),
		CASE(takes_messages_byte_by_byte),
		CASE(half_a_message_and_the_end),
		CASE(message_too_long),
		CASE(longest_message),
		CASE(unknown_channel),
		CASE(exit_for_unknown_channel),
		CASE(exit_twice),
		CASE(unknown_type_and_bad_sizes),
		CASE(too_much_output),
		CASE(output_without_end_is_paid_for),
		CASE(too_much_credit),
		CASE(credit_makes_a_channel_writable),
		CASE(greeting_of_another_version),
		CASE(greeting_twice),
		CASE(greeting_longer_than_is_kept),
		CASE(message_before_greeting),
		CASE(callbacks_abandon_channels),
		CASE(callbacks_abandon_channels_while_the_connection_is_lost),
		CASE(guest_that_takes_nothing_is_cut_off),
	};

	return cmocka_run_group_tests_name("unit/agent_host", tests, NULL, NULL);
}
