/* SPDX-License-Identifier: Apache-2.0 */
/* Stream sockets as ends of links: peers that come, go, do not read and talk nonsense; paths that are taken. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#include "attachment_fixture.h"
#include "netlab/frame_stream.h"

#define SMALL 60

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return address;
}

static int reach(const char *path)
{
	const struct sockaddr_un address = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* A socket of another program's, bound to 'path'. */
static int occupy(const char *path, int type)
{
	const struct sockaddr_un address = address_of(path);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

/* Sends the station a frame that begins with 'first'. */
static void say(int fd, uint8_t first)
{
	uint8_t bytes[4 + SMALL] = {0, 0, 0, SMALL, first};

	assert_int_equal(send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
}

static void expect_frame(int fd, uint8_t first)
{
	uint8_t bytes[4 + SMALL];

	assert_int_equal(recv(fd, bytes, sizeof(bytes), MSG_WAITALL), sizeof(bytes));
	assert_int_equal(bytes[3], SMALL);
	assert_int_equal(bytes[4], first);
}

static void frames_go_both_ways(void **state)
{
	struct fixture *fixture = *state;
	int fd;

	fixture_plug(fixture);
	assert_string_equal(fixture_state(fixture), "listening");
	fixture_transmit(fixture, 2, SMALL);
	assert_int_equal(fixture_dropped(fixture, DROP_NOT_READY), 1);
	fd = reach(fixture->path);
	fixture_await_state(fixture, "connected");
	say(fd, 4);
	fixture_await(fixture, 1);
	assert_int_equal(fixture->sizes[0], SMALL);
	assert_int_equal(fixture->heads[0][0], 4);
	fixture_transmit(fixture, 6, SMALL);
	fixture_transmit(fixture, 8, SMALL);
	fixture_turn(fixture);
	expect_frame(fd, 6);
	expect_frame(fd, 8);
	close(fd);
}

static void peer_leaves_and_comes_back(void **state)
{
	struct fixture *fixture = *state;

	fixture_plug(fixture);
	for (uint8_t round = 0; round < 3; round++) {
		int fd = reach(fixture->path);

		fixture_await_state(fixture, "connected");
		say(fd, round);
		fixture_await(fixture, round + 1u);
		/* Half of a frame, which must not become the beginning of the next peer's. */
		assert_int_equal(send(fd, "\0\0\0\x3c....", 8, MSG_NOSIGNAL), 8);
		close(fd);
		fixture_await_state(fixture, "listening");
	}
	assert_int_equal(fixture->heads[2][0], 2);
}

static void second_peer_waits_for_the_first_to_go(void **state)
{
	struct fixture *fixture = *state;
	int first, second;

	fixture_plug(fixture);
	first = reach(fixture->path);
	fixture_await_state(fixture, "connected");
	second = reach(fixture->path);
	say(second, 9);
	say(first, 1);
	fixture_await(fixture, 1);
	fixture_turn(fixture);
	assert_int_equal(fixture->heard, 1);
	close(first);
	fixture_await(fixture, 2);
	assert_int_equal(fixture->heads[1][0], 9);
	close(second);
}

static void length_beyond_any_frame_ends_the_connection(void **state)
{
	struct fixture *fixture = *state;
	uint8_t byte;
	int fd;

	fixture_plug(fixture);
	fd = reach(fixture->path);
	fixture_await_state(fixture, "connected");
	assert_int_equal(send(fd, "\0\1\0\x16", 4, MSG_NOSIGNAL), 4);
	fixture_await_state(fixture, "listening");
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	close(fd);
}

static void frames_that_are_none_are_counted(void **state)
{
	struct fixture *fixture = *state;
	int fd;

	fixture_plug(fixture);
	fd = reach(fixture->path);
	fixture_await_state(fixture, "connected");
	assert_int_equal(send(fd, "\0\0\0\0\0\0\0\x0d.............", 21, MSG_NOSIGNAL), 21);
	say(fd, 1);
	fixture_await(fixture, 1);
	assert_int_equal(fixture_dropped(fixture, DROP_MALFORMED), 2);
	assert_int_equal(fixture->heard, 1);
	close(fd);
}

/* Whatever it does not read is lost, and nothing waits for it; what it then reads is whole. */
static void peer_that_does_not_read_loses_frames(void **state)
{
	struct fixture *fixture = *state;
	unsigned int sent = 0;
	struct attachment_status status;
	struct port_counters counters;
	uint8_t *bytes = malloc(4 + FRAME_SIZE_MAX);
	int fd;

	assert_non_null(bytes);
	fixture_plug(fixture);
	fd = reach(fixture->path);
	fixture_await_state(fixture, "connected");
	for (; fixture_dropped(fixture, DROP_QUEUE_FULL) < 10; sent++) {
		assert_true(sent < 10000);
		fixture_transmit(fixture, (uint8_t)sent, FRAME_SIZE_MAX);
		fixture_turn(fixture);
	}
	port_read_counters(fixture->port, &counters);
	assert_int_equal(counters.received_frames + 10, sent);
	attachment_describe(fixture->attachment, &status);
	assert_in_range(status.queued, 4 + FRAME_SIZE_MAX, sizeof(struct frame_writer));
	for (uint64_t i = 0; i < counters.received_frames; i++) {
		size_t got = 0;

		while (got < 4 + FRAME_SIZE_MAX) {
			ssize_t part = recv(fd, bytes + got, 4 + FRAME_SIZE_MAX - got, MSG_DONTWAIT);

			if (part > 0)
				got += (size_t)part;
			fixture_turn(fixture);
		}
		assert_memory_equal(bytes, "\0\1\0\x15", 4);
		assert_int_equal(bytes[4], (uint8_t)i);
	}
	fixture_transmit(fixture, 7, SMALL);
	fixture_turn(fixture);
	expect_frame(fd, 7);
	attachment_describe(fixture->attachment, &status);
	assert_int_equal(status.queued, 0);
	close(fd);
	free(bytes);
}

static void peer_that_listens_is_found(void **state)
{
	struct fixture *fixture = *state;
	int listener, fd;

	fixture->topology.connects = true;
	fixture_plug(fixture);
	assert_string_equal(fixture_state(fixture), "connecting");
	fixture_turn(fixture);
	listener = occupy(fixture->path, SOCK_STREAM);
	fixture_await_state(fixture, "connected");
	fd = accept(listener, NULL, NULL);
	say(fd, 3);
	fixture_await(fixture, 1);
	close(fd);
	/* And found again. */
	fixture_await_state(fixture, "connecting");
	fixture_await_state(fixture, "connected");
	fixture_unplug(fixture);
	assert_int_equal(access(fixture->path, F_OK), 0);
	close(listener);
}

static void path_is_removed_at_the_end(void **state)
{
	struct fixture *fixture = *state;
	int fd;

	fixture_plug(fixture);
	assert_int_equal(access(fixture->path, F_OK), 0);
	fixture_unplug(fixture);
	assert_int_equal(access(fixture->path, F_OK), -1);
	/* But not when it has become another's. */
	fixture_plug(fixture);
	assert_int_equal(unlink(fixture->path), 0);
	fd = occupy(fixture->path, SOCK_STREAM);
	fixture_unplug(fixture);
	assert_int_equal(access(fixture->path, F_OK), 0);
	close(fd);
}

static void socket_left_behind_is_replaced(void **state)
{
	struct fixture *fixture = *state;

	close(occupy(fixture->path, SOCK_STREAM));
	fixture_plug(fixture);
	close(reach(fixture->path));
}

static void path_of_another_program_is_left_alone(void **state)
{
	struct fixture *fixture = *state;
	int fd = occupy(fixture->path, SOCK_STREAM);

	fixture_fails(fixture, -EADDRINUSE, "another program, or another lab, has the socket");
	close(reach(fixture->path));
	close(fd);
	unlink(fixture->path);
	fd = occupy(fixture->path, SOCK_DGRAM);
	fixture_fails(fixture, -EADDRINUSE, "another program, or another lab, has the socket");
	close(fd);
}

static void what_is_no_socket_is_left_alone(void **state)
{
	struct fixture *fixture = *state;
	int fd = open(fixture->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, "mine", 4), 4);
	close(fd);
	fixture_fails(fixture, -EEXIST, "is no socket");
	assert_int_equal(unlink(fixture->path), 0);
	assert_int_equal(symlink(fixture->other_path, fixture->path), 0);
	fixture_fails(fixture, -EEXIST, "is no socket");
	assert_int_equal(access(fixture->other_path, F_OK), -1);
}

static void folder_must_be_there(void **state)
{
	struct fixture *fixture = *state;

	fixture->topology.path = (char *)(uintptr_t) "/nowhere/at/all.sock";
	fixture_fails(fixture, -ENOENT, "cannot make the socket /nowhere/at/all.sock: No such file");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(frames_go_both_ways, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(peer_leaves_and_comes_back, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(second_peer_waits_for_the_first_to_go, fixture_set_up,
						fixture_tear_down),
		cmocka_unit_test_setup_teardown(length_beyond_any_frame_ends_the_connection, fixture_set_up,
						fixture_tear_down),
		cmocka_unit_test_setup_teardown(frames_that_are_none_are_counted, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(peer_that_does_not_read_loses_frames, fixture_set_up,
						fixture_tear_down),
		cmocka_unit_test_setup_teardown(peer_that_listens_is_found, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(path_is_removed_at_the_end, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(socket_left_behind_is_replaced, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(path_of_another_program_is_left_alone, fixture_set_up,
						fixture_tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_socket_is_left_alone, fixture_set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(folder_must_be_there, fixture_set_up, fixture_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
