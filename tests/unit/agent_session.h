/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_AGENT_SESSION_H
#define TESTS_UNIT_AGENT_SESSION_H 1

/* The guest's agent, run on the host and driven over a Unix socket as netlabd drives it over a virtio port.  To be
 * included by one file of a test program.
 *
 * The agent is compiled here, with the sanitizers, from scripts/guest; NETLAB_TEST_AGENT names a compiled one
 * instead.  Nothing here changes the host. */

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
#include <unistd.h>

#include <cmocka.h>

#include "netlab/agent_protocol.h"

/* For what is sure to come, on however slow a machine. */
#define PATIENCE_MS 300000
#define BULK_SIZE (5u << 20)
/* Flags, rows, columns and the number of arguments of AGENT_EXEC. */
#define EXEC_NUMBERS_SIZE 12

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

static inline void send_bytes(struct session *session, const void *bytes, size_t length)
{
	const uint8_t *next = bytes;

	while (length) {
		ssize_t put = send(session->fd, next, length, MSG_NOSIGNAL);

		assert_true(put > 0);
		next += put;
		length -= (size_t)put;
	}
}

static inline void send_message(struct session *session, uint32_t channel, uint16_t type, const void *payload,
				size_t length)
{
	struct agent_header header = {.length = (uint32_t)length, .channel = channel, .type = type};

	send_bytes(session, &header, sizeof(header));
	send_bytes(session, payload, length);
}

static inline void receive_bytes(struct session *session, void *bytes, size_t length)
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

static inline void receive_message(struct session *session, struct message *message)
{
	receive_bytes(session, &message->header, sizeof(message->header));
	assert_true(message->header.length <= AGENT_MESSAGE_MAX);
	receive_bytes(session, message->payload, message->header.length);
	message->payload[message->header.length] = '\0';
}

static inline void send_credit(struct session *session, uint32_t channel, uint32_t bytes)
{
	send_message(session, channel, AGENT_CREDIT, &bytes, sizeof(bytes));
}

/* Opens a channel that runs "sh -c SCRIPT". */
static inline void send_script(struct session *session, uint32_t channel, uint32_t flags, const char *script)
{
	const uint16_t size[2] = {33, 77};
	uint8_t payload[1024];
	const uint32_t words = 3;
	size_t length = EXEC_NUMBERS_SIZE;

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

static inline void send_program(struct session *session, uint32_t channel, const char *path)
{
	uint8_t payload[256] = {0};

	payload[8] = 1; /* Words. */
	strcpy((char *)payload + EXEC_NUMBERS_SIZE, path);
	send_message(session, channel, AGENT_EXEC, payload, EXEC_NUMBERS_SIZE + strlen(path) + 1);
}

static inline void send_signal(struct session *session, uint32_t channel, uint32_t number)
{
	send_message(session, channel, AGENT_SIGNAL, &number, sizeof(number));
}

/* Receives standard output up to the end of a line, in however many messages it comes. */
static inline void receive_line(struct session *session, uint32_t channel, char *line, size_t size)
{
	size_t length = 0;

	do {
		struct message message;

		receive_message(session, &message);
		assert_int_equal(message.header.channel, channel);
		assert_int_equal(message.header.type, AGENT_STDOUT);
		assert_true(length + message.header.length < size);
		memcpy(line + length, message.payload, message.header.length + 1);
		length += message.header.length;
	} while (line[length - 1] != '\n');
}

static inline void take_output(struct result *result, const struct message *message)
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
static inline bool take_message(struct session *session, struct result *result, uint32_t *window, uint32_t channel)
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
static inline void finish(struct session *session, uint32_t channel, const uint8_t *input, size_t length,
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

static inline void finish_script(struct session *session, const char *script, struct result *result)
{
	send_script(session, 9, 0, script);
	finish(session, 9, NULL, 0, result);
}

static inline void accept_agent(struct session *session)
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

/* The agent must connect again, greet again, and still work. */
static inline void expect_new_connection(struct session *session, struct result *result)
{
	close(session->fd);
	accept_agent(session);
	finish_script(session, "exit 3", result);
	assert_int_equal(result->status, 3);
}

/* The agent must see an error, close, and all that. */
static inline void expect_break(struct session *session, struct result *result)
{
	struct pollfd poller = {.fd = session->fd, .events = POLLIN};
	uint8_t bytes[4096];

	do
		assert_int_equal(poll(&poller, 1, PATIENCE_MS), 1);
	while (recv(session->fd, bytes, sizeof(bytes), 0) > 0);
	expect_new_connection(session, result);
}

static inline void fill(uint8_t *bytes, size_t length)
{
	uint32_t number = 12345;

	for (size_t index = 0; index < length; index++) {
		number = number * 1664525u + 1013904223u;
		bytes[index] = (uint8_t)(number >> 24);
	}
}

/* --- Setting up --- */

static inline int compile_agent(const char *folder)
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

static inline int set_up(void **state)
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

static inline int tear_down(void **state)
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

#endif /* agent_session.h */
