/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_CONTROL_FIXTURE_H
#define TESTS_UNIT_CONTROL_FIXTURE_H 1

/* A control server with the stand-in lab and one client, for the tests of the control server.  To be included
 * by one file of a test program, after cmocka.h's prerequisites. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/loop.h"
#include "netlab/base64.h"
#include "netlab/control.h"
#include "netlab/control_internal.h"
#include "tests/unit/standin_lab.h"

#define TURNS 12 /* Enough for anything that can happen without waiting for time to pass. */

struct fixture {
	struct loop *loop;
	struct lab lab;
	struct control *control;
	int fd;     /* The client's end. */
	char *text; /* What it received and has not looked at. */
	size_t size;
	unsigned int stops;
	unsigned int converges;
	char log_path[64];
};

static inline void on_stop(void *opaque)
{
	((struct fixture *)opaque)->stops++;
}

static inline void on_converged(void *opaque)
{
	((struct fixture *)opaque)->converges++;
}

static inline void stop_loop(void *opaque)
{
	loop_stop(opaque);
}

static inline void spin(struct fixture *fixture)
{
	for (int i = 0; i < TURNS; i++) {
		loop_post(fixture->loop, stop_loop, fixture->loop);
		loop_run(fixture->loop);
	}
}

static inline int connect_client(struct fixture *fixture)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(control_add_client(fixture->control, fds[1]), 0);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	return fds[0];
}

static inline int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct control_options options = {.stop = on_stop, .converged = on_converged, .opaque = fixture};
	struct error error;
	int fd;

	if (!fixture)
		return -1;
	strcpy(fixture->log_path, "/tmp/test-control-XXXXXX");
	fd = mkstemp(fixture->log_path);
	if (fd < 0)
		return -1;
	close(fd);
	standin_create(&fixture->lab, fixture->log_path);
	fixture->loop = loop_create(&error);
	fixture->control = control_create(fixture->loop, &fixture->lab, &options, &error);
	fixture->fd = connect_client(fixture);
	*state = fixture;
	return 0;
}

static inline int tear_down(void **state)
{
	struct fixture *fixture = *state;

	close(fixture->fd); /* First, so that nobody waits for it to read. */
	control_destroy(fixture->control);
	standin_destroy(&fixture->lab);
	loop_destroy(fixture->loop);
	unlink(fixture->log_path);
	free(fixture->text);
	free(fixture);
	return 0;
}

static inline void say_bytes(struct fixture *fixture, const char *bytes, size_t size)
{
	while (size) {
		ssize_t sent = send(fixture->fd, bytes, size, MSG_NOSIGNAL);

		spin(fixture);
		if (sent < 0) {
			assert_int_equal(errno, EAGAIN);
			continue;
		}
		bytes += sent;
		size -= (size_t)sent;
	}
}

static inline void say(struct fixture *fixture, const char *line)
{
	say_bytes(fixture, line, strlen(line));
	say_bytes(fixture, "\n", 1);
}

/* Reads what is there; false at the end of the connection. */
static inline bool receive(struct fixture *fixture)
{
	fixture->text = realloc(fixture->text, fixture->size + 65536);
	for (;;) {
		ssize_t size = recv(fixture->fd, fixture->text + fixture->size, 65536, 0);

		if (size <= 0)
			return size < 0;
		fixture->size += (size_t)size;
		fixture->text = realloc(fixture->text, fixture->size + 65536);
		spin(fixture);
	}
}

/* Returns the next message, or NULL if there is none. */
static inline json_t *hear(struct fixture *fixture)
{
	json_t *message;
	char *end;
	size_t length;

	spin(fixture);
	receive(fixture);
	end = memchr(fixture->text, '\n', fixture->size);
	if (!end)
		return NULL;
	length = (size_t)(end - fixture->text) + 1;
	message = json_loadb(fixture->text, length, 0, NULL);
	assert_non_null(message);
	memmove(fixture->text, fixture->text + length, fixture->size - length);
	fixture->size -= length;
	return message;
}

/* Expects 'expected', JSON with ' for its quotes, to be the next message. */
static inline void expect(struct fixture *fixture, const char *expected)
{
	char *text = strdup(expected);
	json_t *wanted, *message;

	for (char *character = text; *character; character++)
		if (*character == '\'')
			*character = '"';
	wanted = json_loads(text, 0, NULL);
	assert_non_null(wanted);
	message = hear(fixture);
	if (!message || !json_equal(message, wanted)) {
		char *heard = message ? json_dumps(message, JSON_SORT_KEYS) : strdup("nothing");

		print_message("expected %s\nheard %s\n", text, heard);
		free(heard);
		fail();
	}
	json_decref(message);
	json_decref(wanted);
	free(text);
}

static inline void expect_nothing(struct fixture *fixture)
{
	json_t *message = hear(fixture);

	if (message)
		print_message("heard %s\n", json_dumps(message, 0));
	assert_null(message);
}

/* Expects an error with this code, and id or -1. */
static inline void expect_error(struct fixture *fixture, json_int_t id, const char *code)
{
	json_t *message = hear(fixture);
	const json_t *error = json_object_get(message, "error");
	const char *heard = json_string_value(json_object_get(error, "code"));

	assert_non_null(message);
	if (!heard)
		print_message("heard no error but %s\n", json_dumps(message, 0));
	assert_non_null(heard);
	assert_string_equal(heard, code);
	assert_true(json_string_length(json_object_get(error, "message")) > 0);
	if (id < 0)
		assert_null(json_object_get(message, "id"));
	else
		assert_int_equal(json_integer_value(json_object_get(message, "id")), id);
	json_decref(message);
}

/* After whatever went wrong, the server still answers. */
static inline void expect_alive(struct fixture *fixture)
{
	say(fixture, "{\"id\":99,\"command\":\"ping\"}");
	expect(fixture, "{'id':99,'result':{}}");
}

static inline void start_exec(struct fixture *fixture)
{
	say(fixture, "{\"id\":1,\"command\":\"exec\",\"node\":\"h1\",\"argv\":[\"sh\",\"-c\",\"x\"]}");
	expect(fixture, "{'id':1,'event':'started','window':262144}");
	assert_non_null(fixture->lab.channels);
	assert_string_equal(fixture->lab.channels->what, "exec sh");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif /* control_fixture.h */
