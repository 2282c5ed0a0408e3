/* SPDX-License-Identifier: Apache-2.0 */
/* The host's end of the agent protocol, saved and restored in the middle of things. */

#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/state.h"
#include "netlab/agent.h"
#include "netlab/agent_protocol.h"
#include "tests/state_bytes.h"

#define SENT_MAX (4u << 20)

#define TAG_AGENT STATE_TAG('a', 'g', 'n', 't')
#define TAG_GREETING STATE_TAG('g', 'r', 'e', 't')
#define TAG_MESSAGE STATE_TAG('a', 'm', 's', 'g')
#define TAG_CHANNEL STATE_TAG('c', 'h', 'a', 'n')

/* What is saved of a connection and of a channel begins like this. */
struct saved_agent {
	uint32_t next_id, channels;
};
struct saved_channel {
	uint32_t id, send_window, receive_window;
};

static const char greeting[] = "version 1\nuptime 0.25\ninit 0.125\n";

/* One end, and what it has sent to the guest. */
struct end {
	struct agent *agent;
	uint8_t sent[SENT_MAX];
	size_t sent_size, room;
	unsigned int greeted, lost;
	size_t output;
	unsigned int ended;
	bool keeps; /* Does not say that it has consumed the output. */
	struct agent_channel *channel;
};

/* Before and after. */
struct fixture {
	struct end saved, restored;
};

static size_t on_send(void *opaque, const uint8_t *data, size_t size)
{
	struct end *end = opaque;
	size_t taken = size < end->room ? size : end->room;

	assert_true(end->sent_size + taken <= SENT_MAX);
	memcpy(end->sent + end->sent_size, data, taken);
	end->sent_size += taken;
	end->room -= taken;
	return taken;
}

static void on_greeted(void *opaque)
{
	((struct end *)opaque)->greeted++;
}

static void on_lost(void *opaque, const char *reason)
{
	(void)reason;
	((struct end *)opaque)->lost++;
}

static void on_output(void *opaque, bool is_error, const uint8_t *data, size_t size)
{
	struct end *end = opaque;

	(void)is_error;
	(void)data;
	end->output += size;
	if (!end->keeps)
		agent_channel_consumed(end->channel, size);
}

static void on_ended(void *opaque, int status, int signal)
{
	(void)status;
	(void)signal;
	((struct end *)opaque)->ended++;
}

static const struct agent_channel_ops channel_ops = {.output = on_output, .ended = on_ended};

static void make_end(struct end *end)
{
	const struct agent_transport transport = {.send = on_send,
						  .greeted = on_greeted,
						  .lost = on_lost,
						  .opaque = end};

	end->agent = agent_create(&transport);
	assert_non_null(end->agent);
	end->room = SENT_MAX;
}

static void receive_header(struct end *end, uint32_t channel, uint16_t type, uint32_t length)
{
	const struct agent_header header = {.length = htole32(length),
					    .channel = htole32(channel),
					    .type = htole16(type)};

	agent_receive(end->agent, (const uint8_t *)&header, sizeof(header));
}

static void receive_message(struct end *end, uint32_t channel, uint16_t type, const void *payload, uint32_t size)
{
	receive_header(end, channel, type, size);
	agent_receive(end->agent, payload, size);
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	make_end(&fixture->saved);
	make_end(&fixture->restored);
	agent_opened(fixture->saved.agent, true);
	receive_message(&fixture->saved, 0, AGENT_HELLO, greeting, sizeof(greeting) - 1);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	agent_destroy(fixture->saved.agent);
	agent_destroy(fixture->restored.agent);
	free(fixture);
	return 0;
}

static struct state save(const struct fixture *fixture)
{
	struct state state = {0};

	agent_save(fixture->saved.agent, &state);
	assert_false(state.bad);
	return state;
}

static void restore(struct fixture *fixture, struct state *state)
{
	agent_restore(fixture->restored.agent, state);
	assert_false(state->bad);
	assert_int_equal(state->at, state->size);
	state_release(state);
}

static void save_and_restore(struct fixture *fixture)
{
	struct state state = save(fixture);

	restore(fixture, &state);
}

static void open_channel(struct end *end)
{
	static const char *const argv[] = {"cat", NULL};

	end->channel = agent_exec(end->agent, argv, NULL, NULL, &channel_ops, end);
	assert_non_null(end->channel);
}

/* The next message sent from '*at' on; moves '*at' past it. */
static struct agent_header next_sent(const struct end *end, size_t *at)
{
	struct agent_header header;

	assert_true(end->sent_size - *at >= sizeof(header));
	memcpy(&header, end->sent + *at, sizeof(header));
	header.length = le32toh(header.length);
	header.channel = le32toh(header.channel);
	header.type = le16toh(header.type);
	*at += sizeof(header) + header.length;
	assert_true(*at <= end->sent_size);
	return header;
}

/* Bytes the guest was allowed on a channel. */
static size_t credit_sent(const struct end *end, uint32_t channel)
{
	size_t sum = 0;

	for (size_t at = 0; at < end->sent_size;) {
		struct agent_header header = next_sent(end, &at);
		uint32_t credit;

		if (header.channel != channel || header.type != AGENT_CREDIT)
			continue;
		memcpy(&credit, end->sent + at - sizeof(credit), sizeof(credit));
		sum += le32toh(credit);
	}
	return sum;
}

static void connection_goes_on(void **state)
{
	struct fixture *fixture = *state;
	struct end *restored = &fixture->restored;

	save_and_restore(fixture);
	assert_true(agent_is_connected(restored->agent));
	assert_true(agent_greeting_value(restored->agent, "uptime") == 0.25);
	assert_string_equal(agent_greeting(restored->agent), greeting);
	assert_int_equal(restored->greeted + restored->lost, 0); /* Nothing is told of it. */
	open_channel(restored);
	receive_message(restored, 1, AGENT_STDOUT, "hello", 5);
	assert_int_equal(restored->output, 5);
}

static void connection_that_is_not_there(void **state)
{
	struct fixture *fixture = *state;

	agent_opened(fixture->saved.agent, false);
	save_and_restore(fixture);
	assert_false(agent_is_connected(fixture->restored.agent));
	receive_message(&fixture->restored, 0, AGENT_HELLO, greeting, sizeof(greeting) - 1);
	assert_false(agent_is_connected(fixture->restored.agent)); /* The port is closed. */
	agent_opened(fixture->restored.agent, true);
	receive_message(&fixture->restored, 0, AGENT_HELLO, greeting, sizeof(greeting) - 1);
	assert_true(agent_is_connected(fixture->restored.agent));
}

/* Cut wherever it may be. */
static void half_a_message_is_completed(void **state)
{
	const struct agent_header header = {.length = htole32(sizeof(greeting) - 1), .type = htole16(AGENT_HELLO)};
	struct fixture *fixture = *state;
	uint8_t bytes[sizeof(header) + sizeof(greeting) - 1];

	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), greeting, sizeof(greeting) - 1);
	for (size_t cut = 1; cut < sizeof(bytes); cut++) {
		agent_opened(fixture->saved.agent, false);
		agent_opened(fixture->saved.agent, true);
		agent_receive(fixture->saved.agent, bytes, cut);
		agent_destroy(fixture->restored.agent);
		make_end(&fixture->restored);
		save_and_restore(fixture);
		assert_false(agent_is_connected(fixture->restored.agent));
		agent_receive(fixture->restored.agent, bytes + cut, sizeof(bytes) - cut);
		assert_true(agent_is_connected(fixture->restored.agent));
	}
}

/* What the guest had not taken comes after what it had, without a gap, in the middle of a message. */
static void backlog_is_sent(void **state)
{
	static uint8_t input[100000];
	struct fixture *fixture = *state;
	struct end *saved = &fixture->saved, *restored = &fixture->restored;
	size_t at = 0, sum = 0;

	for (size_t i = 0; i < sizeof(input); i++)
		input[i] = (uint8_t)(i / 7);
	saved->room = 50000;
	open_channel(saved);
	assert_int_equal(agent_channel_write(saved->channel, input, sizeof(input)), sizeof(input));
	assert_int_equal(saved->sent_size, 50000);
	restored->room = 0;
	save_and_restore(fixture);
	memcpy(restored->sent, saved->sent, saved->sent_size);
	restored->sent_size = saved->sent_size;
	restored->room = 1000;
	agent_resume(restored->agent);
	restored->room = SENT_MAX;
	agent_resume(restored->agent);
	assert_int_equal(next_sent(restored, &at).type, AGENT_EXEC);
	while (at < restored->sent_size) {
		struct agent_header header = next_sent(restored, &at);

		assert_int_equal(header.type, AGENT_STDIN);
		assert_memory_equal(restored->sent + at - header.length, input + sum, header.length);
		sum += header.length;
	}
	assert_int_equal(sum, sizeof(input));
}

/* A command goes on in the guest: nobody hears it, and it is never held up for want of credit. */
static void output_of_old_channels_is_dropped_and_paid_for(void **state)
{
	static const uint8_t output[AGENT_MESSAGE_MAX];
	struct fixture *fixture = *state;
	struct end *saved = &fixture->saved, *restored = &fixture->restored;
	size_t window = AGENT_WINDOW; /* As the guest sees it. */

	saved->keeps = true; /* A client that reads nothing. */
	open_channel(saved);
	for (int i = 0; i < 7; i++) {
		receive_message(saved, 1, AGENT_STDOUT, output, sizeof(output));
		window -= sizeof(output);
	}
	save_and_restore(fixture);
	for (size_t sent = 0; sent < 10 * (size_t)AGENT_WINDOW; sent += sizeof(output)) {
		window += credit_sent(restored, 1);
		restored->sent_size = 0;
		assert_true(window >= sizeof(output));
		receive_message(restored, 1, AGENT_STDOUT, output, sizeof(output));
		window -= sizeof(output);
	}
	assert_int_equal(restored->output + restored->ended + restored->lost, 0);
	assert_true(agent_is_connected(restored->agent));
}

/* With the whole window used up, and a little less than what is credited at once. */
static void used_up_windows_are_credited(void **state)
{
	static const uint8_t output[AGENT_MESSAGE_MAX];
	struct fixture *fixture = *state;
	struct end *saved = &fixture->saved, *restored = &fixture->restored;

	saved->keeps = true;
	open_channel(saved);
	for (size_t sent = 0; sent < AGENT_WINDOW; sent += sizeof(output))
		receive_message(saved, 1, AGENT_STDOUT, output, sizeof(output));
	open_channel(saved);
	receive_message(saved, 2, AGENT_STDOUT, output, sizeof(output));
	agent_channel_consumed(saved->channel, 1000); /* It owes that, and does not own it. */
	save_and_restore(fixture);
	assert_int_equal(credit_sent(restored, 1), AGENT_WINDOW);
	assert_int_equal(credit_sent(restored, 2), 0);
	receive_message(restored, 2, AGENT_STDOUT, output, sizeof(output));
	assert_int_equal(credit_sent(restored, 2), 2 * sizeof(output));
	assert_int_equal(restored->lost, 0);
}

static void old_channels_end(void **state)
{
	const uint32_t numbers[2] = {0, 0}, credit = htole32(5);
	struct fixture *fixture = *state;
	struct end *saved = &fixture->saved, *restored = &fixture->restored;

	open_channel(saved);
	agent_channel_write(saved->channel, (const uint8_t *)"input", 5);
	saved->channel = agent_read_file(saved->agent, "/etc/motd", &channel_ops, saved);
	save_and_restore(fixture);
	receive_message(restored, 1, AGENT_CREDIT, &credit, 4);
	receive_message(restored, 2, AGENT_FILE_MODE, &numbers, 4);
	receive_message(restored, 2, AGENT_EXIT, numbers, 8);
	receive_message(restored, 1, AGENT_EXIT, numbers, 8);
	assert_int_equal(restored->lost, 0);
	/* Once. */
	receive_message(restored, 1, AGENT_EXIT, numbers, 8);
	assert_int_equal(restored->lost, 1);
	assert_int_equal(restored->ended, 0);
}

static void windows_of_old_channels_hold(void **state)
{
	const uint32_t credit = htole32(6);
	struct fixture *fixture = *state;

	open_channel(&fixture->saved);
	agent_channel_write(fixture->saved.channel, (const uint8_t *)"input", 5);
	save_and_restore(fixture);
	receive_message(&fixture->restored, 1, AGENT_CREDIT, &credit, 4);
	assert_int_equal(fixture->restored.lost, 1);
}

static void ids_are_not_used_again(void **state)
{
	const uint32_t numbers[2] = {0, 0};
	struct fixture *fixture = *state;
	struct end *saved = &fixture->saved, *restored = &fixture->restored;
	size_t at = 0;

	open_channel(saved);
	open_channel(saved);
	receive_message(saved, 1, AGENT_EXIT, numbers, 8);
	save_and_restore(fixture);
	open_channel(restored);
	assert_int_equal(next_sent(restored, &at).channel, 3);
	receive_message(restored, 2, AGENT_STDOUT, "old", 3);
	receive_message(restored, 3, AGENT_STDOUT, "new one", 7);
	assert_int_equal(restored->output, 7);
}

static void put_number(const struct state *state, uint32_t tag, unsigned int number, size_t offset, uint32_t value)
{
	memcpy((uint8_t *)state_section(state, tag, number, NULL) + offset, &value, sizeof(value));
}

/* Also when all have been used, or the state says that an open one comes next. */
static void ids_in_use_are_left_out(void **state)
{
	struct fixture *fixture = *state;
	struct end *saved = &fixture->saved, *restored = &fixture->restored;
	struct state bytes;
	size_t at = 0;

	for (int i = 0; i < 3; i++)
		open_channel(saved);
	bytes = save(fixture);
	put_number(&bytes, TAG_AGENT, 0, offsetof(struct saved_agent, next_id), UINT32_MAX);
	restore(fixture, &bytes);
	open_channel(restored);
	assert_true(next_sent(restored, &at).channel == UINT32_MAX);
	open_channel(restored);
	assert_int_equal(next_sent(restored, &at).channel, 4);
}

/* Restoring more than once into the same would be a fault here, not of the state. */
static void expect_bad(struct fixture *fixture, struct state *state)
{
	agent_restore(fixture->restored.agent, state);
	assert_true(state->bad);
	state_release(state);
	/* What was taken of it before goes with the agent. */
	agent_destroy(fixture->restored.agent);
	make_end(&fixture->restored);
}

static void hostile_channels(void **state)
{
	static const struct {
		unsigned int number;
		size_t offset;
		uint32_t value;
	} changes[] = {
		{1, offsetof(struct saved_channel, send_window), AGENT_WINDOW + 1},
		{2, offsetof(struct saved_channel, receive_window), UINT32_MAX},
		{1, offsetof(struct saved_channel, id), 0},
		{2, offsetof(struct saved_channel, id), 3}, /* The newest comes first: 3, 2, 1. */
	};
	struct fixture *fixture = *state;
	struct state bytes;

	for (int i = 0; i < 3; i++)
		open_channel(&fixture->saved);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		bytes = save(fixture);
		put_number(&bytes, TAG_CHANNEL, changes[i].number, changes[i].offset, changes[i].value);
		expect_bad(fixture, &bytes);
	}
	bytes = save(fixture);
	put_number(&bytes, TAG_AGENT, 0, offsetof(struct saved_agent, channels), UINT32_MAX);
	expect_bad(fixture, &bytes);
}

/* A state with half a message of 'filled' bytes, whose header says that 'length' follow it. */
static struct state state_with_message(size_t filled, uint32_t length)
{
	static const uint8_t agent[16] = {[0] = 1, [8] = 1, [9] = 1};
	const struct agent_header header = {.length = htole32(length), .type = htole16(AGENT_HELLO)};
	uint8_t *message = calloc(1, filled + sizeof(header));
	struct state state = {0};

	assert_non_null(message);
	memcpy(message, &header, sizeof(header));
	state_put(&state, TAG_AGENT, agent, sizeof(agent));
	state_put(&state, TAG_GREETING, greeting, sizeof(greeting) - 1);
	state_put(&state, TAG_MESSAGE, message, filled);
	state_put(&state, STATE_TAG('b', 'l', 'o', 'g'), NULL, 0);
	free(message);
	return state;
}

static void hostile_messages(void **state)
{
	static const size_t whole = sizeof(struct agent_header) + AGENT_MESSAGE_MAX;
	struct fixture *fixture = *state;
	struct state bytes = state_with_message(whole - 1, AGENT_MESSAGE_MAX);

	restore(fixture, &bytes); /* That much is right. */
	agent_destroy(fixture->restored.agent);
	make_end(&fixture->restored);
	bytes = state_with_message(whole, AGENT_MESSAGE_MAX);
	expect_bad(fixture, &bytes);
	bytes = state_with_message(whole + 1, AGENT_MESSAGE_MAX);
	expect_bad(fixture, &bytes);
	bytes = state_with_message(20, 8);
	expect_bad(fixture, &bytes);
	bytes = state_with_message(21, 8);
	expect_bad(fixture, &bytes);
	bytes = state_with_message(sizeof(struct agent_header), 0);
	expect_bad(fixture, &bytes);
	bytes = state_with_message(sizeof(struct agent_header), AGENT_MESSAGE_MAX + 1);
	expect_bad(fixture, &bytes);
	bytes = state_with_message(sizeof(struct agent_header), UINT32_MAX);
	expect_bad(fixture, &bytes);
}

static void hostile_greetings(void **state)
{
	static const uint8_t agent[16] = {[0] = 1, [8] = 1, [9] = 1};
	struct fixture *fixture = *state;
	struct state bytes = {0};
	char long_one[4096];

	memset(long_one, 'x', sizeof(long_one));
	memcpy(long_one, "version 1\n", 10);
	state_put(&bytes, TAG_AGENT, agent, sizeof(agent));
	state_put(&bytes, TAG_GREETING, long_one, sizeof(long_one));
	state_put(&bytes, TAG_MESSAGE, NULL, 0);
	state_put(&bytes, STATE_TAG('b', 'l', 'o', 'g'), NULL, 0);
	expect_bad(fixture, &bytes);
	/* The longest that is kept comes back. */
	agent_opened(fixture->saved.agent, false);
	agent_opened(fixture->saved.agent, true);
	receive_message(&fixture->saved, 0, AGENT_HELLO, long_one, sizeof(long_one) - 1);
	save_and_restore(fixture);
	assert_string_equal(agent_greeting(fixture->restored.agent), agent_greeting(fixture->saved.agent));
}

static void backlog_that_is_too_long(void **state)
{
	struct fixture *fixture = *state;
	struct state bytes = state_with_message(0, 0);
	uint8_t *backlog = calloc(1, AGENT_BACKLOG_MAX);

	assert_non_null(backlog);
	bytes.size -= 8; /* The section with the backlog, which is the last. */
	state_put(&bytes, STATE_TAG('b', 'l', 'o', 'g'), backlog, AGENT_BACKLOG_MAX);
	free(backlog);
	expect_bad(fixture, &bytes);
}

static void state_cut_short(void **state)
{
	struct fixture *fixture = *state;
	size_t size;

	fixture->saved.room = 100;
	for (int i = 0; i < 3; i++)
		open_channel(&fixture->saved);
	receive_header(&fixture->saved, 1, AGENT_STDOUT, 100);
	agent_receive(fixture->saved.agent, (const uint8_t *)"half", 4);
	size = 1;
	for (size_t cut = 0; cut < size; cut++) {
		struct state bytes = save(fixture);

		size = bytes.size;
		bytes.size = cut;
		expect_bad(fixture, &bytes);
	}
	save_and_restore(fixture);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(connection_goes_on),
		TEST(connection_that_is_not_there),
		TEST(half_a_message_is_completed),
		TEST(backlog_is_sent),
		TEST(output_of_old_channels_is_dropped_and_paid_for),
		TEST(used_up_windows_are_credited),
		TEST(old_channels_end),
		TEST(windows_of_old_channels_hold),
		TEST(ids_are_not_used_again),
		TEST(ids_in_use_are_left_out),
		TEST(hostile_channels),
		TEST(hostile_messages),
		TEST(hostile_greetings),
		TEST(backlog_that_is_too_long),
		TEST(state_cut_short),
	};

	return cmocka_run_group_tests_name("agent_state", tests, NULL, NULL);
}
