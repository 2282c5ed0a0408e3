/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's agent, run on the host and driven over a Unix socket as netlabd drives it over a virtio port.
 *
 * The agent is compiled here, with the sanitizers, from scripts/guest; NETLAB_TEST_AGENT names a compiled one
 * instead.  Nothing here changes the host: lines of configuration are sent only in forms that are refused. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "netlab/agent_protocol.h"

#define PATIENCE_MS 20000
#define BULK_SIZE (5u << 20)

struct session {
	char folder[64];
	int listener;
	int fd;
	pid_t pid;
};

struct message {
	struct agent_header header;
	uint8_t payload[AGENT_MESSAGE_MAX + 1]; /* With a NUL after it, so that text can be compared. */
};

/* What a finished command or transfer gave. */
struct result {
	size_t output_length, error_length;
	uint8_t *output; /* BULK_SIZE bytes. */
	char error[4096];
	uint32_t status, signal, mode;
};

/* --- Talking to the agent --- */

static void send_bytes(struct session *session, const void *bytes, size_t length)
{
	const uint8_t *next = bytes;

	while (length) {
		ssize_t put = send(session->fd, next, length, MSG_NOSIGNAL);

		assert_true(put > 0);
		next += put;
		length -= (size_t)put;
	}
}

static void send_message(struct session *session, uint32_t channel, uint16_t type, const void *payload, size_t length)
{
	struct agent_header header = {.length = (uint32_t)length, .channel = channel, .type = type};

	send_bytes(session, &header, sizeof(header));
	send_bytes(session, payload, length);
}

static void receive_bytes(struct session *session, void *bytes, size_t length)
{
	uint8_t *next = bytes;

	while (length) {
		struct pollfd poller = {.fd = session->fd, .events = POLLIN};
		ssize_t got;

		assert_int_equal(poll(&poller, 1, PATIENCE_MS), 1);
		got = recv(session->fd, next, length, 0);
		assert_true(got > 0);
		next += got;
		length -= (size_t)got;
	}
}

static void receive_message(struct session *session, struct message *message)
{
	receive_bytes(session, &message->header, sizeof(message->header));
	assert_true(message->header.length <= AGENT_MESSAGE_MAX);
	receive_bytes(session, message->payload, message->header.length);
	message->payload[message->header.length] = '\0';
}

static void send_credit(struct session *session, uint32_t channel, uint32_t bytes)
{
	send_message(session, channel, AGENT_CREDIT, &bytes, sizeof(bytes));
}

/* Opens a channel that runs "sh -c SCRIPT". */
static void send_script(struct session *session, uint32_t channel, uint32_t flags, const char *script)
{
	const uint16_t size[2] = {33, 77};
	uint8_t payload[1024];
	const uint32_t words = 3;
	size_t length = 12;

	memcpy(payload, &flags, 4);
	memcpy(payload + 4, size, 4);
	memcpy(payload + 8, &words, 4);
	memcpy(payload + length, "sh\0-c", 6);
	length += 6;
	strcpy((char *)payload + length, script);
	length += strlen(script) + 1;
	memcpy(payload + length, "GREETING=hello", 15);
	send_message(session, channel, AGENT_EXEC, payload, length + 15);
}

static void send_program(struct session *session, uint32_t channel, const char *path)
{
	uint8_t payload[256] = {0};

	payload[8] = 1; /* Words. */
	strcpy((char *)payload + 12, path);
	send_message(session, channel, AGENT_EXEC, payload, 12 + strlen(path) + 1);
}

static void take_output(struct result *result, const struct message *message)
{
	size_t length = message->header.length;

	if (message->header.type == AGENT_STDOUT) {
		assert_true(result->output_length + length <= BULK_SIZE);
		memcpy(result->output + result->output_length, message->payload, length);
		result->output_length += length;
		return;
	}
	assert_true(result->error_length + length < sizeof(result->error));
	memcpy(result->error + result->error_length, message->payload, length + 1);
	result->error_length += length;
}

/* Takes one message of a channel; true if it was the last. */
static bool take_message(struct session *session, struct result *result, uint32_t *window, uint32_t channel)
{
	struct message message;
	uint32_t numbers[2];

	receive_message(session, &message);
	assert_int_equal(message.header.channel, channel);
	memcpy(numbers, message.payload, sizeof(numbers));
	switch (message.header.type) {
	case AGENT_STDOUT:
	case AGENT_STDERR:
		take_output(result, &message);
		send_credit(session, channel, message.header.length);
		return false;
	case AGENT_CREDIT:
		*window += numbers[0];
		assert_true(*window <= AGENT_WINDOW);
		return false;
	case AGENT_FILE_MODE:
		result->mode = numbers[0];
		return false;
	default:
		assert_int_equal(message.header.type, AGENT_EXIT);
		result->status = numbers[0];
		result->signal = numbers[1];
		return true;
	}
}

/* Sends all of the input, as the window allows, and takes all messages until the channel ends. */
static void finish(struct session *session, uint32_t channel, const uint8_t *input, size_t length,
		   struct result *result)
{
	uint32_t window = AGENT_WINDOW;
	size_t sent = 0;
	bool ended = false;

	memset(result->error, 0, sizeof(result->error));
	result->output_length = result->error_length = 0;
	do {
		while (input && sent < length && window >= 1000) {
			size_t part = length - sent < 30000 ? length - sent : 30000;

			part = part < window ? part : window;
			send_message(session, channel, AGENT_STDIN, input + sent, part);
			sent += part;
			window -= (uint32_t)part;
		}
		if (input && sent == length && !ended) {
			send_message(session, channel, AGENT_STDIN_END, NULL, 0);
			ended = true;
		}
	} while (!take_message(session, result, &window, channel));
	result->output[result->output_length < BULK_SIZE ? result->output_length : BULK_SIZE - 1] = '\0';
}

static void finish_script(struct session *session, const char *script, struct result *result)
{
	send_script(session, 9, 0, script);
	finish(session, 9, NULL, 0, result);
}

static void accept_agent(struct session *session)
{
	struct pollfd poller = {.fd = session->listener, .events = POLLIN};
	struct message hello;

	assert_int_equal(poll(&poller, 1, PATIENCE_MS), 1);
	session->fd = accept4(session->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(session->fd >= 0);
	receive_message(session, &hello);
	assert_int_equal(hello.header.type, AGENT_HELLO);
	assert_int_equal(hello.header.channel, 0);
	assert_non_null(strstr((char *)hello.payload, "version 1\n"));
	assert_non_null(strstr((char *)hello.payload, "\nuptime "));
	assert_non_null(strstr((char *)hello.payload, "\nkernel "));
}

/* The agent must see an error, close, connect again, greet again, and still work. */
static void expect_new_connection(struct session *session, struct result *result)
{
	close(session->fd);
	accept_agent(session);
	finish_script(session, "exit 3", result);
	assert_int_equal(result->status, 3);
}

/* --- Tests --- */

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
	const uint32_t number = SIGTERM;

	send_script(session, 2, 0, "sleep 100; echo not reached");
	send_message(session, 2, AGENT_SIGNAL, &number, sizeof(number));
	finish(session, 2, NULL, 0, result);
	assert_int_equal(result->signal, SIGTERM);
	assert_int_equal(result->output_length, 0);
}

static void fill(uint8_t *bytes, size_t length)
{
	uint32_t number = 12345;

	for (size_t index = 0; index < length; index++) {
		number = number * 1664525u + 1013904223u;
		bytes[index] = (uint8_t)(number >> 24);
	}
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
	const uint32_t number = SIGKILL;
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
	send_message(session, 4, AGENT_SIGNAL, &number, sizeof(number));
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
	struct message message;

	send_script(session, 6, AGENT_EXEC_TERMINAL, "stty size; read line; stty size; echo err >&2; cat");
	receive_message(session, &message);
	assert_int_equal(message.header.type, AGENT_STDOUT);
	assert_string_equal((char *)message.payload, "33 77\r\n");
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
	struct timespec before, after;

	clock_gettime(CLOCK_MONOTONIC, &before);
	finish_script(session, "sleep 6 & echo done; exit 5", result);
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_int_equal(result->status, 5);
	assert_string_equal((char *)result->output, "done\n");
	assert_true(after.tv_sec - before.tv_sec < 5);
	finish_script(session, "(while echo x; do :; done) & exit 6", result);
	assert_int_equal(result->status, 6);
}

static void send_write(struct session *session, uint32_t channel, uint32_t mode, const char *path)
{
	uint8_t payload[512];

	memcpy(payload, &mode, sizeof(mode));
	strcpy((char *)payload + sizeof(mode), path);
	send_message(session, channel, AGENT_WRITE_FILE, payload, sizeof(mode) + strlen(path) + 1);
}

static void test_files(void **state)
{
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];
	const size_t length = 3u << 20;
	uint8_t *input = malloc(length);
	char path[128];

	assert_non_null(input);
	fill(input, length);
	snprintf(path, sizeof(path), "%s/new/folder/file", session->folder);
	send_write(session, 7, 0640, path);
	finish(session, 7, input, length, result);
	assert_int_equal(result->status, 0);
	send_message(session, 7, AGENT_READ_FILE, path, strlen(path) + 1);
	finish(session, 7, NULL, 0, result);
	assert_int_equal(result->status, 0);
	assert_int_equal(result->mode, 0640);
	assert_int_equal(result->output_length, length);
	assert_memory_equal(result->output, input, length);
	send_write(session, 7, 0644, "/dev/null");
	finish(session, 7, input, length, result);
	assert_int_equal(result->status, 0);
	free(input);
}

static void test_files_that_cannot(void **state)
{
	static const char *const unreadable[] = {"/no/such/file", "/etc"};
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];

	for (size_t index = 0; index < 2; index++) {
		send_message(session, 8, AGENT_READ_FILE, unreadable[index], strlen(unreadable[index]) + 1);
		finish(session, 8, NULL, 0, result);
		assert_int_equal(result->status, 1);
		assert_non_null(strstr(result->error, unreadable[index]));
	}
	send_write(session, 8, 0644, "/proc/no/such/file");
	finish(session, 8, (const uint8_t *)"x", 1, result);
	assert_int_equal(result->status, 1);
}

static void test_configuration_refused(void **state)
{
	static const char text[] = "nonsense x\nhostname \nmachine-id 12\ntime soon\nentropy xyz\nrescan now\n"
				   "interface 52:54:00 eth0 1500\naddress eth0\naddress nosuchlink0 10.0.0.1/24\n"
				   "address eth0 10.0.0.1/99\nsysctl net//x 1\nhost localhost name\n";
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];
	size_t lines = 0;

	send_message(session, 10, AGENT_CONFIGURE, text, sizeof(text) - 1);
	finish(session, 10, NULL, 0, result);
	assert_int_equal(result->status, 1);
	for (const char *next = result->error; *next; next++)
		lines += *next == '\n';
	assert_int_equal(lines, 12);
	send_message(session, 10, AGENT_CONFIGURE, "", 0);
	finish(session, 10, NULL, 0, result);
	assert_int_equal(result->status, 0);
}

static void test_lost_connection_ends_commands(void **state)
{
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];
	struct message message;
	pid_t pid;

	send_script(session, 11, 0, "echo $$; exec sleep 100");
	receive_message(session, &message);
	pid = (pid_t)strtol((char *)message.payload, NULL, 10);
	assert_true(pid > 1 && !kill(pid, 0));
	expect_new_connection(session, result);
	for (int try = 0; try < 200 && !kill(pid, 0); try++)
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
	expect_new_connection(session, result);
	send_message(session, 1, 99, NULL, 0);
	expect_new_connection(session, result);
	send_message(session, 0, AGENT_EXEC, zeros, 10);
	expect_new_connection(session, result);
	send_message(session, 1, AGENT_EXEC, zeros, 3);
	expect_new_connection(session, result);
	send_message(session, 1, AGENT_READ_FILE, "no end", 6);
	expect_new_connection(session, result);
	send_script(session, 1, 0, "sleep 100");
	send_credit(session, 1, 1);
	expect_new_connection(session, result);
	send_script(session, 1, 0, "sleep 100");
	for (size_t sent = 0; sent <= AGENT_WINDOW; sent += sizeof(zeros))
		send_message(session, 1, AGENT_STDIN, zeros, sizeof(zeros));
	expect_new_connection(session, result);
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

/* --- Setting up --- */

static int compile_agent(const char *folder)
{
	char command[2048];

	snprintf(command, sizeof(command),
		 "cd \"$(dirname '%s')/../..\" && if [ -n \"$NETLAB_TEST_AGENT\" ]; then "
		 "cp \"$NETLAB_TEST_AGENT\" '%s/agent'; else "
		 "${CC:-cc} -D_GNU_SOURCE -std=c17 -g -fsanitize=address,undefined -fno-sanitize-recover=all -Inetlab "
		 "-o '%s/agent' $(ls scripts/guest/*.c | grep -v /init.c); fi",
		 __FILE__, folder, folder);
	return system(command);
}

static int set_up(void **state)
{
	static struct session session = {.folder = "/tmp/netlab-test-agent-XXXXXX"};
	static struct result result;
	static void *parts[2] = {&session, &result};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char agent[128];

	if (!mkdtemp(session.folder) || compile_agent(session.folder))
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", session.folder);
	snprintf(agent, sizeof(agent), "%s/agent", session.folder);
	session.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(session.listener, (struct sockaddr *)&address, sizeof(address)) || listen(session.listener, 4))
		return -1;
	session.pid = fork();
	if (session.pid == 0) {
		unsetenv("NETLAB_INIT_TIME");
		execl(agent, "netlab-agent", "--socket", address.sun_path, (char *)NULL);
		_exit(127);
	}
	result.output = malloc(BULK_SIZE);
	*state = parts;
	accept_agent(&session);
	return 0;
}

static int tear_down(void **state)
{
	struct session *session = ((void **)*state)[0];
	struct result *result = ((void **)*state)[1];
	char command[128];
	int status;

	/* It must have lived through everything. */
	if (waitpid(session->pid, &status, WNOHANG) != 0)
		return -1;
	kill(session->pid, SIGKILL);
	waitpid(session->pid, &status, 0);
	close(session->fd);
	close(session->listener);
	free(result->output);
	snprintf(command, sizeof(command), "rm -rf '%s'", session->folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_and_streams),
		cmocka_unit_test(test_command_that_cannot_start),
		cmocka_unit_test(test_signal_reaches_the_group),
		cmocka_unit_test(test_binary_data_both_ways),
		cmocka_unit_test(test_stalled_channel_stalls_no_other),
		cmocka_unit_test(test_input_nobody_reads),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_background_holder_does_not_hang),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_files_that_cannot),
		cmocka_unit_test(test_configuration_refused),
		cmocka_unit_test(test_lost_connection_ends_commands),
		cmocka_unit_test(test_broken_rules),
		cmocka_unit_test(test_closed_channel_is_ignored),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
