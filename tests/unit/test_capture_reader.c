/* SPDX-License-Identifier: Apache-2.0 */
/* Captures as they are read live or from the recorder: what each reader is given, and what it is told of what it is not
 * given. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/loop.h"
#include "core/memory_usage.h"
#include "netlab/capture.h"
#include "netlab/capture_reader.h"
#include "netlab/capture_recorder.h"
#include "netlab/dataplane.h"
#include "tests/unit/capture_fixture.h"

static int set_up_recorder(void **state)
{
	const struct capture_options options = {.recorder_size = CAPTURE_RECORDER_SIZE_MIN};
	int result = set_up(state);

	if (result == 0)
		create(*state, &options);
	return result;
}

/* Begins to read, and returns the reading end. */
static int read_capture(struct fixture *fixture, const struct capture_reader_options *options)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(capture_reader_add(fixture->capture, fds[1], options, NULL), 0);
	return fds[0];
}

/* Waits until the reader has begun: its header comes. */
static void wait_for_header(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, MSG_PEEK), 1);
}

/* Ends the capture that is read by 'fd', and reads it. */
static struct contents *end_and_read(int fd)
{
	shutdown(fd, SHUT_WR);
	return read_stream(fdopen(fd, "r"));
}

static void readers_are_given_what_crosses(void **state)
{
	struct fixture *fixture = *state;
	const struct capture_reader_options options = {0};
	struct contents *contents;
	int fd;

	send_frame(fixture, FRAME_SIZE, -1); /* Before it began. */
	wait_for_writer(fixture);
	fd = read_capture(fixture, &options);
	wait_for_header(fd);
	send_frame(fixture, FRAME_SIZE, -1);
	send_frame(fixture, FRAME_SIZE, DROP_MTU);
	wait_for_writer(fixture);
	contents = end_and_read(fd);
	assert_int_equal(contents->count, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(contents->ids[i], 2 + i / 2);
		assert_string_equal(contents->names[i], i % 2 ? "h2:eth0" : "h1:eth0");
		assert_int_equal(contents->directions[i], i % 2 ? 1 : 2);
		assert_int_equal(contents->captured[i], FRAME_SIZE);
	}
	assert_string_equal(contents->comments[2], "");
	assert_string_equal(contents->comments[3], "netlab: drop=mtu size=200 limit=7");
	assert_int_equal(contents->lost, 0);
	free_contents(contents);
}

static void readers_choose(void **state)
{
	struct fixture *fixture = *state;
	const char *const ports[] = {"h2:eth0"};
	const struct capture_reader_options all = {0},
					    one = {.ports = ports, .port_count = 1, .snap_len = 20, .is_clean = true},
					    filtered = {.filter = "greater 300"};
	struct contents *contents;
	int fds[3] = {read_capture(fixture, &all), read_capture(fixture, &one), read_capture(fixture, &filtered)};

	for (int i = 0; i < 3; i++)
		wait_for_header(fds[i]);
	send_frame(fixture, 200, -1);
	send_frame(fixture, 400, -1);
	send_frame(fixture, 400, DROP_RECEIVE_RING_FULL);
	wait_for_writer(fixture);
	contents = end_and_read(fds[0]);
	assert_int_equal(contents->count, 6);
	free_contents(contents);
	contents = end_and_read(fds[1]);
	assert_int_equal(contents->count, 2); /* The dropped one is left out. */
	assert_int_equal(contents->captured[1], 20);
	assert_string_equal(contents->names[0], "h2:eth0");
	free_contents(contents);
	contents = end_and_read(fds[2]);
	assert_int_equal(contents->count, 4);
	assert_int_equal(contents->ids[0], 2);
	free_contents(contents);
}

static void recorder_has_the_last(void **state)
{
	struct fixture *fixture = *state;
	const struct capture_reader_options all = {.has_last = true}, last = {.has_last = true, .last = 100 * SECOND};
	struct contents *contents;
	int fd;

	fixture->time -= 1000 * SECOND;
	send_frame(fixture, FRAME_SIZE, -1);
	fixture->time += 1000 * SECOND;
	send_frame(fixture, FRAME_SIZE, -1);
	wait_for_writer(fixture);
	contents = read_stream(fdopen(read_capture(fixture, &all), "r"));
	assert_int_equal(contents->count, 4);
	free_contents(contents);
	fd = read_capture(fixture, &last);
	contents = read_stream(fdopen(fd, "r"));
	assert_int_equal(contents->count, 2);
	assert_int_equal(contents->ids[0], 2);
	free_contents(contents);
}

/* What the ring and the recorder take of the host's memory now. */
static uint64_t memory_of(const struct capture *capture)
{
	struct memory_range ranges[CAPTURE_MEMORY_RANGES];
	struct memory_usage rest;
	uint64_t sum = 0;

	capture_memory(capture, ranges);
	assert_int_equal(memory_usage_read_own(ranges, CAPTURE_MEMORY_RANGES, &rest), 0);
	for (size_t i = 0; i < CAPTURE_MEMORY_RANGES; i++)
		sum += ranges[i].usage.private;
	return sum;
}

static void memory_is_that_in_use(void **state)
{
	struct fixture *fixture = *state;
	uint64_t before = memory_of(fixture->capture);

	for (unsigned int i = 0; i < 300; i++) {
		send_frame(fixture, 9000, -1);
		if (i == 49) {
			wait_for_writer(fixture);
			assert_true(memory_of(fixture->capture) >= before + 50 * 9000u);
		}
	}
	wait_for_writer(fixture);
	assert_in_range(memory_of(fixture->capture), CAPTURE_RECORDER_SIZE_MIN,
			CAPTURE_RECORDER_SIZE_MIN + CAPTURE_RING_SIZE);
}

static void triggers_begin_and_end(void **state)
{
	struct fixture *fixture = *state;
	const struct capture_reader_options options = {.trigger = "greater 500",
						       .before = 5 * SECOND,
						       .after = 5 * SECOND};
	int fd = read_capture(fixture, &options);
	struct contents *contents;
	char byte;

	/* A frame each second: 4 to 6 are within 5 seconds before the seventh, which is the one, and 8 to 12 after. */
	wait_for_writer(fixture);
	for (int i = 1; i <= 20; i++) {
		send_frame(fixture, i == 7 ? 600 : 100, -1);
		fixture->time += SECOND - 1;
		if (i == 6) {
			wait_for_writer(fixture);
			assert_int_equal(recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT), -1);
		}
	}
	wait_for_writer(fixture);
	contents = read_stream(fdopen(fd, "r"));
	assert_int_equal(contents->count, 2 * 11);
	assert_int_equal(contents->ids[0], 2);
	assert_int_equal(contents->ids[21], 12);
	free_contents(contents);
}

/* One that does not read is told of exactly what it did not get, and nobody waits for it. */
static void slow_readers_are_told(void **state)
{
	struct fixture *fixture = *state;
	const struct capture_reader_options options = {0};
	int slow = read_capture(fixture, &options);
	struct contents *contents;
	const uint64_t frames = 3000; /* Of 4 KB: many times what the recorder and the socket have room for. */

	wait_for_header(slow);
	for (uint64_t i = 0; i < frames; i++) {
		send_frame(fixture, 4096, -1);
		if (i % 100 == 0)
			wait_for_writer(fixture);
	}
	wait_for_writer(fixture);
	assert_int_equal(capture_lost(fixture->capture, 0) + capture_lost(fixture->capture, 1), 0);
	contents = end_and_read(slow);
	assert_in_range(contents->count, 100, frames);
	assert_int_equal(contents->count + contents->lost, 2 * frames);
	/* The last ones are there. */
	assert_int_equal(contents->ids[contents->count - 1], frames);
	free_contents(contents);
}

struct counts {
	uint64_t written, lost;
};

static void take_counts(void *opaque, uint64_t written, uint64_t lost, int errnum)
{
	struct counts *counts = opaque;

	(void)errnum;
	*counts = (struct counts){.written = written, .lost = lost};
}

/* What came after the end of what one wanted, it has not lost. */
static void slow_readers_have_an_end(void **state)
{
	struct fixture *fixture = *state;
	struct counts counts = {0};
	const struct capture_reader_options options = {.has_last = true, .done = take_counts, .opaque = &counts};
	const uint64_t frames = CAPTURE_RECORDER_SIZE_MIN / 5000;
	struct contents *contents;
	int slow;

	for (uint64_t i = 0; i < frames; i++)
		send_frame(fixture, 4096, -1);
	wait_for_writer(fixture);
	slow = read_capture(fixture, &options);
	wait_for_header(slow);
	for (uint64_t i = 0; i < 3 * frames; i++) {
		send_frame(fixture, 4096, -1);
		if (i % 100 == 0)
			wait_for_writer(fixture);
	}
	wait_for_writer(fixture);
	contents = read_stream(fdopen(slow, "r"));
	wait_for_writer(fixture);
	assert_in_range(counts.written, 1, 2 * frames - 1);
	assert_int_equal(counts.written, contents->count);
	assert_int_equal(counts.written + counts.lost, 2 * frames);
	free_contents(contents);
}

static void readers_may_go(void **state)
{
	struct fixture *fixture = *state;
	const struct capture_reader_options options = {0};
	int gone = read_capture(fixture, &options), other = read_capture(fixture, &options);
	struct contents *contents;

	wait_for_header(gone);
	wait_for_header(other);
	close(gone);
	for (int i = 0; i < 500; i++)
		send_frame(fixture, FRAME_SIZE, -1);
	wait_for_writer(fixture);
	contents = end_and_read(other);
	assert_int_equal(contents->count, 1000);
	free_contents(contents);
}

static void bad_readers_are_refused(void **state)
{
	struct fixture *fixture = *state;
	const char *const ports[] = {"h1:eth1"};
	const struct capture_reader_options unknown = {.ports = ports, .port_count = 1}, filter = {.filter = "tcp and"},
					    trigger = {.trigger = "port"};
	struct error error;

	assert_int_equal(capture_reader_add(fixture->capture, -1, &unknown, &error), -ENOENT);
	assert_non_null(strstr(error.text, "did you mean h1:eth0?"));
	assert_int_equal(capture_reader_add(fixture->capture, -1, &filter, &error), -EINVAL);
	assert_int_equal(capture_reader_add(fixture->capture, -1, &trigger, &error), -EINVAL);
}

static void there_are_only_so_many(void **state)
{
	struct fixture *fixture = *state;
	const struct capture_reader_options options = {0};
	int fds[CAPTURE_READERS_MAX];
	struct error error;

	for (int i = 0; i < CAPTURE_READERS_MAX; i++)
		fds[i] = read_capture(fixture, &options);
	assert_int_equal(capture_reader_add(fixture->capture, -1, &options, &error), -EUSERS);
	for (int i = 0; i < CAPTURE_READERS_MAX; i++)
		close(fds[i]);
}

/* A flooded frame is one record, and crosses every port. */
static void many_crossings(void **state)
{
	struct fixture *fixture = *state;
	const struct capture_reader_options options = {0};
	int ports[200], fd = read_capture(fixture, &options);
	uint8_t bytes[100] = {0};
	struct contents *contents;
	struct frame frame;
	struct iovec rest;

	wait_for_header(fd);
	for (int i = 0; i < 200; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%d:eth0", i);
		ports[i] = capture_add_port(fixture->capture, name, NULL);
	}
	frame_set(&frame, &rest, bytes, sizeof(bytes));
	capture_begin(fixture->capture, &frame, 1, fixture->time);
	capture_send(fixture->capture, ports[0]);
	for (int i = 1; i < 200; i++)
		capture_receive(fixture->capture, ports[i], &frame);
	capture_end(fixture->capture);
	wait_for_writer(fixture);
	contents = end_and_read(fd);
	assert_int_equal(contents->count, 200);
	assert_string_equal(contents->names[199], "n199:eth0");
	assert_int_equal(contents->ids[199], 1);
	free_contents(contents);
}

static void events_are_comments(void **state)
{
	struct fixture *fixture = *state;
	const struct capture_reader_options options = {.has_events = true};
	struct contents *contents;
	int fd = read_capture(fixture, &options);

	wait_for_header(fd);
	capture_event(fixture->capture, "h1 ready", fixture->time);
	capture_event(fixture->capture, "h2 crashed", fixture->time);
	send_frame(fixture, FRAME_SIZE, -1);
	send_frame(fixture, FRAME_SIZE, -1);
	wait_for_writer(fixture);
	contents = end_and_read(fd);
	assert_string_equal(contents->comments[0], "netlab: event=h1 ready; event=h2 crashed");
	assert_string_equal(contents->comments[1], "");
	assert_string_equal(contents->comments[2], "");
	free_contents(contents);
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up_recorder, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(readers_are_given_what_crosses), test(readers_choose),         test(recorder_has_the_last),
		test(memory_is_that_in_use),          test(triggers_begin_and_end), test(slow_readers_are_told),
		test(slow_readers_have_an_end),       test(readers_may_go),         test(bad_readers_are_refused),
		test(there_are_only_so_many),         test(many_crossings),         test(events_are_comments),
	};

	return cmocka_run_group_tests_name("capture_reader", tests, NULL, NULL);
}
