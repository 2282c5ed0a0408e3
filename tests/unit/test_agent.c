/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's agent: commands, flow control, connections and broken rules.  Lines of configuration are sent only in
 * forms that are refused, as they are for the host this runs on. */
#include "tests/unit/agent_session.h"

static void test_status_and_streams(void **state)
{
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];

	finish_script(session, "echo out $GREETING; echo err >&2; exit 7", result);
	assert_int_equal(result->status, 7);
	assert_int_equal(result->signal, 0);
	assert_string_equal((char *)result->output, "out hello\n");
	assert_string_equal(result->error, "err\n");
}

/* Sends "sh -c SCRIPT" with a number of empty arguments and of variables "V=x". */
static void send_many(struct session *session, uint32_t channel, const char *script, uint32_t arguments,
		      uint32_t variables)
{
	const uint32_t words = 3 + arguments;
	uint8_t payload[AGENT_MESSAGE_MAX] = {0};
	size_t length = EXEC_NUMBERS_SIZE;

	memcpy(payload + 8, &words, sizeof(words));
	memcpy(payload + length, "sh\0-c", 6);
	strcpy((char *)payload + length + 6, script);
	length += 6 + strlen(script) + 1 + arguments;
	for (uint32_t index = 0; index < variables; index++, length += 4)
		memcpy(payload + length, "V=x", 4);
	assert_true(length <= sizeof(payload));
	send_message(session, channel, AGENT_EXEC, payload, length);
}

static void test_command_of_many_words(void **state)
{
	static const char script[] = "echo $# $V";
	/* Of a script, two numbers of words at which an array of 4096 was too small, and as many as fit. */
	static const struct {
		uint32_t arguments, variables;
	} counts[] = {{4092, 2}, {4092, 3}, {4093, 1}, {4094, 0}, {1, 5000}, {20000, 3000}, {32735, 0}};
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];
	char expected[32];

	for (size_t index = 0; index < sizeof(counts) / sizeof(counts[0]); index++) {
		send_many(session, 17, script, counts[index].arguments, counts[index].variables);
		finish(session, 17, NULL, 0, result);
		/* The first of the arguments is $0. */
		snprintf(expected, sizeof(expected), "%u%s\n", counts[index].arguments - 1,
			 counts[index].variables ? " x" : "");
		assert_string_equal((char *)result->output, expected);
		assert_int_equal(result->status, 0);
	}
}

static void test_end_of_input_twice(void **state)
{
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];

	send_script(session, 18, 0, "cat; exec sleep 1000");
	send_message(session, 18, AGENT_STDIN_END, NULL, 0);
	send_message(session, 18, AGENT_STDIN_END, NULL, 0);
	send_signal(session, 18, SIGTERM);
	finish(session, 18, NULL, 0, result);
	assert_int_equal(result->signal, SIGTERM);
}

static void test_command_that_cannot_start(void **state)
{
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];

	send_program(session, 1, "no-such-program");
	finish(session, 1, NULL, 0, result);
	assert_int_equal(result->status, 127);
	assert_non_null(strstr(result->error, "no-such-program"));
	send_program(session, 1, "/etc/passwd");
	finish(session, 1, NULL, 0, result);
	assert_int_equal(result->status, 126);
	assert_true(result->error_length > 0);
}

static void test_signal_reaches_the_group(void **state)
{
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];

	send_script(session, 2, 0, "sleep 1000; echo not reached");
	send_signal(session, 2, SIGTERM);
	finish(session, 2, NULL, 0, result);
	assert_int_equal(result->signal, SIGTERM);
	assert_int_equal(result->output_length, 0);
}

static void test_binary_data_both_ways(void **state)
{
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];
	uint8_t *input = malloc(BULK_SIZE);

	assert_non_null(input);
	fill(input, BULK_SIZE);
	send_script(session, 3, 0, "cat");
	finish(session, 3, input, BULK_SIZE - 1, result);
	assert_int_equal(result->status, 0);
	assert_int_equal(result->output_length, BULK_SIZE - 1);
	assert_memory_equal(result->output, input, BULK_SIZE - 1);
	free(input);
}

static void test_stalled_channel_stalls_no_other(void **state)
{
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];
	struct message message;
	size_t got = 0;

	send_script(session, 4, 0, "exec cat /dev/zero");
	while (got < AGENT_WINDOW) {
		receive_message(session, &message);
		assert_int_equal(message.header.type, AGENT_STDOUT);
		got += message.header.length;
	}
	assert_int_equal(got, AGENT_WINDOW);
	finish_script(session, "echo still here", result);
	assert_string_equal((char *)result->output, "still here\n");
	send_signal(session, 4, SIGKILL);
	send_credit(session, 4, AGENT_WINDOW);
	finish(session, 4, NULL, 0, result);
	assert_int_equal(result->signal, SIGKILL);
}

static void test_input_nobody_reads(void **state)
{
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];
	uint8_t *input = calloc(1, 1u << 20);

	assert_non_null(input);
	send_script(session, 5, 0, "exec 0<&-; sleep 0.2; exit 4");
	finish(session, 5, input, 1u << 20, result);
	assert_int_equal(result->status, 4);
	free(input);
}

static void test_terminal(void **state)
{
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];
	const uint16_t size[2] = {50, 132};
	char line[64];

	send_script(session, 6, AGENT_EXEC_TERMINAL, "stty size; read line; stty size; echo err >&2; cat");
	receive_line(session, 6, line, sizeof(line));
	assert_string_equal(line, "33 77\r\n");
	send_message(session, 6, AGENT_RESIZE, size, sizeof(size));
	finish(session, 6, (const uint8_t *)"go\n", 3, result);
	assert_int_equal(result->status, 0);
	assert_non_null(strstr((char *)result->output, "50 132\r\n"));
	assert_non_null(strstr((char *)result->output, "err\r\n"));
	assert_int_equal(result->error_length, 0);
}

static void test_background_holder_does_not_hang(void **state)
{
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];
	pid_t holder;

	finish_script(session, "sleep 1000 & echo $!; exit 5", result);
	assert_int_equal(result->status, 5);
	holder = (pid_t)strtol((char *)result->output, NULL, 10);
	assert_true(holder > 1);
	assert_int_equal(kill(holder, SIGKILL), 0); /* It was still there. */
	finish_script(session, "(while echo x; do :; done) & exit 6", result);
	assert_int_equal(result->status, 6);
}

static void test_configuration_refused(void **state)
{
	static const char text[] = "nonsense x\nhostname \nmachine-id 12\ntime soon\nentropy xyz\nrescan now\n"
				   "interface 52:54:00 eth0 1500\naddress eth0\naddress nosuchlink0 10.0.0.1/24\n"
				   "address eth0 10.0.0.1/99\nsysctl net//x 1\nhost localhost name\n"
				   "interface 52:54:00:00:00:01 eth0 1500 52:54\npark 52:54:00\n"
				   "park 02:00:00:00:00:fe\nconsole now\n";
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];
	size_t lines = 0;

	send_message(session, 10, AGENT_CONFIGURE, text, sizeof(text) - 1);
	finish(session, 10, NULL, 0, result);
	assert_int_equal(result->status, 1);
	for (const char *next = result->error; *next; next++)
		lines += *next == '\n';
	assert_int_equal(lines, 16);
	send_message(session, 10, AGENT_CONFIGURE, "", 0);
	finish(session, 10, NULL, 0, result);
	assert_int_equal(result->status, 0);
}

static void test_lost_connection_ends_commands(void **state)
{
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];
	char line[64];
	pid_t pid;

	send_script(session, 11, 0, "echo $$; exec sleep 1000");
	receive_line(session, 11, line, sizeof(line));
	pid = (pid_t)strtol(line, NULL, 10);
	assert_true(pid > 1 && !kill(pid, 0));
	expect_new_connection(session, result);
	for (int waited = 0; waited < PATIENCE_MS && !kill(pid, 0); waited += 10)
		usleep(10000);
	assert_int_equal(kill(pid, 0), -1);
}

static void test_broken_rules(void **state)
{
	static const uint8_t zeros[AGENT_MESSAGE_MAX];
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];
	const struct agent_header too_long = {.length = AGENT_MESSAGE_MAX + 1, .channel = 1, .type = AGENT_STDIN};

	send_bytes(session, &too_long, sizeof(too_long));
	expect_break(session, result);
	send_message(session, 1, 99, NULL, 0);
	expect_break(session, result);
	send_message(session, 0, AGENT_EXEC, zeros, 10);
	expect_break(session, result);
	send_message(session, 1, AGENT_EXEC, zeros, 3);
	expect_break(session, result);
	send_message(session, 1, AGENT_EXEC, "\0\0\0\0\0\0\0\0\3\0\0\0a\0b",
		     16); /* Of three arguments one is missing. */
	expect_break(session, result);
	send_message(session, 1, AGENT_READ_FILE, "no end", 6);
	expect_break(session, result);
	send_script(session, 1, 0, "sleep 1000");
	send_credit(session, 1, 1);
	expect_break(session, result);
	send_script(session, 1, 0, "sleep 1000");
	send_message(session, 1, AGENT_STDIN_END, NULL, 0);
	send_message(session, 1, AGENT_STDIN, "late", 4);
	expect_break(session, result);
}

static void test_input_beyond_the_window(void **state)
{
	static const uint8_t zeros[AGENT_MESSAGE_MAX];
	const struct agent_header header = {.length = sizeof(zeros), .channel = 1, .type = AGENT_STDIN};
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];
	size_t sent = 0;

	/* What lies in the command's pipe has been taken, and may be credited. */
	send_script(session, 1, 0, "sleep 1000");
	while (sent < 2 * AGENT_WINDOW && send(session->fd, &header, sizeof(header), MSG_NOSIGNAL) > 0 &&
	       send(session->fd, zeros, sizeof(zeros), MSG_NOSIGNAL) > 0)
		sent += sizeof(zeros);
	assert_true(sent >= AGENT_WINDOW);
	expect_break(session, result);
}

static void test_closed_channel_is_ignored(void **state)
{
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];

	send_message(session, 77, AGENT_STDIN, "late", 4);
	send_message(session, 77, AGENT_STDIN_END, NULL, 0);
	send_credit(session, 77, 5);
	finish_script(session, "exit 0", result);
	assert_int_equal(result->status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_and_streams),
		cmocka_unit_test(test_command_of_many_words),
		cmocka_unit_test(test_end_of_input_twice),
		cmocka_unit_test(test_command_that_cannot_start),
		cmocka_unit_test(test_signal_reaches_the_group),
		cmocka_unit_test(test_binary_data_both_ways),
		cmocka_unit_test(test_stalled_channel_stalls_no_other),
		cmocka_unit_test(test_input_nobody_reads),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_background_holder_does_not_hang),
		cmocka_unit_test(test_configuration_refused),
		cmocka_unit_test(test_lost_connection_ends_commands),
		cmocka_unit_test(test_broken_rules),
		cmocka_unit_test(test_input_beyond_the_window),
		cmocka_unit_test(test_closed_channel_is_ignored),
	};

	return cmocka_run_group_tests_name("unit/agent", tests, set_up, tear_down);
}
