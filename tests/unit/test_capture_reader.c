/* SPDX-License-Identifier: Apache-2.0 */
/* Captures as they are read live or from the recorder, and the lab's file: what each reader is given, and what it is
 * told of what it is not given. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/loop.h"
#include "core/memory_usage.h"
#include "netlab/capture.h"
#include "netlab/capture_reader.h"
#include "netlab/capture_recorder.h"
#include "netlab/dataplane.h"
#include "netlab/pcapng_reader.h"

#define SECOND 1000000000ull
#define FRAME_SIZE 200u

struct fixture {
	char folder[64];
	struct capture *capture;
	int ports[2];
	uint64_t time; /* Of the next frame. */
	uint64_t id;   /* Of the last one. */
};

static void create(struct fixture *fixture, const struct capture_options *options)
{
	fixture->capture = capture_create(options, NULL);
	assert_non_null(fixture->capture);
	fixture->ports[0] = capture_add_port(fixture->capture, "h1:eth0", NULL);
	fixture->ports[1] = capture_add_port(fixture->capture, "h2:eth0", NULL);
	assert_int_equal(capture_describe_port(fixture->capture, 0, "link to h2:eth0", NULL), 0);
	assert_int_equal(capture_start(fixture->capture, NULL), 0);
	fixture->time = capture_time(fixture->capture, loop_now());
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/test-capture-reader-XXXXXX");
	*state = fixture;
	return mkdtemp(fixture->folder) ? 0 : -1;
}

static int set_up_recorder(void **state)
{
	const struct capture_options options = {.recorder_size = CAPTURE_RECORDER_SIZE_MIN};
	int result = set_up(state);

	if (result == 0)
		create(*state, &options);
	return result;
}

static void remove_file(const struct fixture *fixture, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", fixture->folder, name);
	unlink(path);
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	capture_destroy(fixture->capture);
	remove_file(fixture, "lab.pcapng");
	for (int i = 1; i < 100; i++) {
		char name[32];

		snprintf(name, sizeof(name), "lab-%05d.pcapng", i);
		remove_file(fixture, name);
	}
	rmdir(fixture->folder);
	free(fixture);
	return 0;
}

/* A frame from port 0 that port 1 receives, or for 'reason' does not; the writer is not told. */
static void send_quietly(struct fixture *fixture, size_t size, int reason)
{
	static uint8_t bytes[65536];
	struct frame frame;
	struct iovec rest;

	memset(bytes, (int)fixture->id, 16);
	frame_set(&frame, &rest, bytes, size);
	capture_begin(fixture->capture, &frame, ++fixture->id, fixture->time++);
	capture_send(fixture->capture, fixture->ports[0]);
	if (reason < 0)
		capture_receive(fixture->capture, fixture->ports[1], &frame);
	else
		capture_drop_received(fixture->capture, fixture->ports[1], &frame, reason, 7);
	capture_end(fixture->capture);
}

static void send_frame(struct fixture *fixture, size_t size, int reason)
{
	send_quietly(fixture, size, reason);
	capture_wake(fixture->capture);
}

/* Has the writer come to all that was captured before. */
static void reached(struct capture_mark *mark)
{
	*(volatile bool *)mark->opaque = true;
}

static void wait_for_writer(struct fixture *fixture)
{
	volatile bool is_reached = false;
	struct capture_mark mark = {.reached = reached, .opaque = (void *)(uintptr_t)&is_reached};

	while (capture_put_mark(fixture->capture, &mark) == -EAGAIN)
		usleep(1000);
	capture_wake(fixture->capture);
	while (!is_reached)
		usleep(100);
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

/* What was read, all of it. */
struct contents {
	struct pcapng_reader *reader;
	FILE *stream;
	size_t count;
	uint64_t ids[4096];
	char names[4096][16];
	char comments[4096][64];
	uint32_t captured[4096];
	unsigned int directions[4096];
	uint64_t lost;
};

static struct contents *read_stream(FILE *stream)
{
	struct contents *contents = calloc(1, sizeof(*contents));
	struct pcapng_reader_packet packet;
	int result;

	assert_non_null(stream);
	contents->stream = stream;
	contents->reader = pcapng_reader_create(stream);
	while ((result = pcapng_reader_next(contents->reader, &packet)) == 1) {
		size_t i = contents->count++;

		assert_true(i < 4096);
		contents->ids[i] = packet.id;
		contents->captured[i] = packet.captured;
		contents->directions[i] = packet.direction;
		contents->lost += packet.lost;
		snprintf(contents->names[i], sizeof(contents->names[i]), "%s", packet.interface->name);
		snprintf(contents->comments[i], sizeof(contents->comments[i]), "%s",
			 packet.comments[0] ? packet.comments[0] : "");
	}
	if (result < 0)
		fail_msg("the capture %s", pcapng_reader_problem(contents->reader));
	return contents;
}

/* Ends the capture that is read by 'fd', and reads it. */
static struct contents *end_and_read(int fd)
{
	shutdown(fd, SHUT_WR);
	return read_stream(fdopen(fd, "r"));
}

static void free_contents(struct contents *contents)
{
	pcapng_reader_destroy(contents->reader);
	fclose(contents->stream);
	free(contents);
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

/* The lab's file. */

static struct contents *read_file(const struct fixture *fixture, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", fixture->folder, name);
	return read_stream(fopen(path, "r"));
}

static void file_is_rotated(void **state)
{
	struct fixture *fixture = *state;
	const struct capture_options options = {.folder = fixture->folder,
						.has_lab_file = true,
						.rotation = {.size = 1 << 20, .files = 3}};
	struct contents *contents;
	struct stat status;
	char path[128];
	uint64_t last = 0;
	int files = 0;

	create(fixture, &options);
	for (int i = 0; i < 1000; i++) {
		send_frame(fixture, 4000, -1);
		if (i % 20 == 0)
			wait_for_writer(fixture);
	}
	capture_destroy(fixture->capture);
	fixture->capture = NULL;
	for (int i = 1; i < 100; i++) {
		char name[32];

		snprintf(name, sizeof(name), "lab-%05d.pcapng", i);
		snprintf(path, sizeof(path), "%s/%s", fixture->folder, name);
		if (stat(path, &status) < 0)
			continue;
		files++;
		contents = read_file(fixture, name);
		assert_true(contents->count > 0);
		/* Each goes on where the one before it ended. */
		assert_true(last == 0 || contents->ids[0] == last || contents->ids[0] == last + 1);
		last = contents->ids[contents->count - 1];
		free_contents(contents);
	}
	assert_int_equal(files, 2);
	contents = read_file(fixture, "lab.pcapng");
	assert_true(contents->count == 0 || contents->ids[0] == last || contents->ids[0] == last + 1);
	free_contents(contents);
}

static bool is_file(const struct fixture *fixture, const char *name)
{
	char path[128];
	struct stat status;

	snprintf(path, sizeof(path), "%s/%s", fixture->folder, name);
	return stat(path, &status) == 0;
}

/* Sends until there is a file of that name: the writer finds out that one is complete after it wrote. */
static void send_until_there(struct fixture *fixture, const char *name)
{
	for (int i = 0; i < 10000 && !is_file(fixture, name); i++) {
		send_frame(fixture, 4000, -1);
		wait_for_writer(fixture);
	}
	assert_true(is_file(fixture, name));
}

/* What a running lab is told of its file: when it is complete, how many there may be, and whether events are in it. */
static void file_is_changed(void **state)
{
	struct fixture *fixture = *state;
	const struct capture_options options = {.folder = fixture->folder, .has_lab_file = true};
	struct capture_rotation rotation = {.size = 1 << 20, .files = 0};
	struct contents *contents;

	create(fixture, &options);
	capture_event(fixture->capture, "not wanted", fixture->time);
	for (int i = 0; i < 400; i++) {
		send_frame(fixture, 4000, -1);
		wait_for_writer(fixture);
	}
	assert_false(is_file(fixture, "lab-00001.pcapng"));
	assert_int_equal(capture_change(fixture->capture, &rotation, true), 0);
	send_until_there(fixture, "lab-00003.pcapng");
	assert_true(is_file(fixture, "lab-00001.pcapng") && is_file(fixture, "lab-00002.pcapng"));
	rotation.files = 2;
	assert_int_equal(capture_change(fixture->capture, &rotation, true), 0);
	send_until_there(fixture, "lab-00005.pcapng");
	for (int i = 1; i <= 3; i++) {
		char name[32];

		snprintf(name, sizeof(name), "lab-%05d.pcapng", i);
		assert_false(is_file(fixture, name));
	}
	rotation.size = 0;
	assert_int_equal(capture_change(fixture->capture, &rotation, true), 0);
	capture_event(fixture->capture, "wanted", fixture->time);
	send_frame(fixture, 100, -1);
	capture_destroy(fixture->capture);
	fixture->capture = NULL;
	contents = read_file(fixture, "lab.pcapng");
	assert_true(contents->count >= 2);
	assert_string_equal(contents->comments[contents->count - 2], "netlab: event=wanted");
	free_contents(contents);
}

/* What never was on the wire is there with what there is of it. */
static void refused_frames_have_bytes(void **state)
{
	static uint8_t bytes[FRAME_SIZE_MAX];
	struct fixture *fixture = *state;
	const struct capture_options options = {.folder = fixture->folder, .has_lab_file = true};
	struct contents *contents;
	struct frame frame;
	struct iovec rest;

	create(fixture, &options);
	frame_set(&frame, &rest, bytes, 5);
	capture_refuse(fixture->capture, 0, &frame, 5, 1, fixture->time, DROP_MALFORMED);
	frame_set(&frame, &rest, bytes, FRAME_SIZE_MAX);
	capture_refuse(fixture->capture, 0, &frame, 100000, 2, fixture->time, DROP_MALFORMED);
	capture_refuse(fixture->capture, 0, NULL, 7, 3, fixture->time, DROP_MALFORMED);
	capture_destroy(fixture->capture);
	fixture->capture = NULL;
	contents = read_file(fixture, "lab.pcapng");
	assert_int_equal(contents->count, 3);
	assert_int_equal(contents->captured[0], 5);
	assert_string_equal(contents->comments[0], "netlab: drop=malformed size=5");
	assert_int_equal(contents->captured[1], FRAME_SIZE_MAX);
	assert_string_equal(contents->comments[1], "netlab: drop=malformed size=100000");
	assert_int_equal(contents->captured[2], 0);
	free_contents(contents);
}

/* Statistics as they are in a file. */
struct statistics {
	size_t counts[2]; /* Blocks of each interface, and what the last one of it says. */
	uint64_t received[2], dropped[2], lost[2], delivered[2];
};

/* The value of a block's option, which is a number of 64 bits. */
static uint64_t option_of(const uint8_t *block, size_t size, uint16_t code)
{
	for (size_t at = 20; at + 12 <= size;) {
		uint16_t found[2];
		uint64_t value;

		memcpy(found, block + at, sizeof(found));
		memcpy(&value, block + at + 4, sizeof(value));
		if (found[0] == code)
			return value;
		at += 4 + (found[1] + 3u) / 4 * 4;
	}
	fail_msg("the statistics have no option %u", code);
	return 0;
}

static struct statistics read_statistics(const struct fixture *fixture)
{
	static uint8_t bytes[1 << 20];
	struct statistics statistics = {.counts = {0}};
	char path[128];
	size_t size, at = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/lab.pcapng", fixture->folder);
	file = fopen(path, "r");
	assert_non_null(file);
	size = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	while (at + 12 <= size) {
		uint32_t head[3];

		memcpy(head, bytes + at, sizeof(head));
		assert_true(head[1] >= 12);
		if (head[1] > size - at)
			break; /* It is being written. */
		if (head[0] == 5) {
			assert_in_range(head[2], 0, 1);
			statistics.counts[head[2]]++;
			statistics.received[head[2]] = option_of(bytes + at, head[1], 4);
			statistics.dropped[head[2]] = option_of(bytes + at, head[1], 5);
			statistics.lost[head[2]] = option_of(bytes + at, head[1], 7);
			statistics.delivered[head[2]] = option_of(bytes + at, head[1], 8);
		}
		at += head[1];
	}
	return statistics;
}

/* Waits until the file says that so many frames of port 1 are in it. */
static struct statistics wait_for_statistics(const struct fixture *fixture, uint64_t delivered)
{
	struct statistics statistics = {.counts = {0}};

	for (int i = 0; i < 5000 && statistics.delivered[1] != delivered; i++) {
		usleep(1000);
		statistics = read_statistics(fixture);
	}
	assert_int_equal(statistics.delivered[1], delivered);
	return statistics;
}

/* While the file is written it has them, not older than the interval, though no more frames come; and once each. */
static void statistics_are_renewed(void **state)
{
	struct fixture *fixture = *state;
	const struct capture_options options = {.folder = fixture->folder,
						.has_lab_file = true,
						.statistics_interval = SECOND / 20};
	struct statistics statistics;

	create(fixture, &options);
	send_frame(fixture, FRAME_SIZE, -1);
	send_frame(fixture, FRAME_SIZE, DROP_MTU);
	statistics = wait_for_statistics(fixture, 2);
	assert_int_equal(statistics.received[1], 1);
	assert_int_equal(statistics.dropped[1], 1);
	for (int i = 0; i < 3; i++) {
		send_frame(fixture, FRAME_SIZE, -1);
		statistics = wait_for_statistics(fixture, 3 + (uint64_t)i);
		assert_int_equal(statistics.counts[0], 1);
		assert_int_equal(statistics.counts[1], 1);
	}
	send_frame(fixture, FRAME_SIZE, DROP_MTU);
	capture_destroy(fixture->capture);
	fixture->capture = NULL;
	statistics = read_statistics(fixture);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(statistics.counts[i], 1);
		assert_int_equal(statistics.received[i], i == 0 ? 6 : 4);
		assert_int_equal(statistics.dropped[i], i == 0 ? 0 : 2);
		assert_int_equal(statistics.lost[i], 0);
		assert_int_equal(statistics.delivered[i], 6);
	}
}

/* What the ring lost is in them, and the next frame tells of it all the same. */
static void statistics_have_losses(void **state)
{
	struct fixture *fixture = *state;
	const struct capture_options options = {.folder = fixture->folder,
						.has_lab_file = true,
						.ring_size = 1,
						.statistics_interval = SECOND / 20};
	struct contents *contents;
	uint64_t lost;

	create(fixture, &options);
	send_frame(fixture, FRAME_SIZE, -1);
	wait_for_statistics(fixture, 1);
	/* Not announced, so that the ring is full before the writer sees any. */
	for (int i = 0; i < 20; i++)
		send_quietly(fixture, 60000, -1);
	lost = capture_lost(fixture->capture, 1);
	assert_true(lost > 0);
	send_frame(fixture, FRAME_SIZE, DROP_MTU);
	send_frame(fixture, FRAME_SIZE, -1);
	capture_destroy(fixture->capture);
	lost = read_statistics(fixture).lost[0] + read_statistics(fixture).lost[1];
	fixture->capture = NULL;
	contents = read_file(fixture, "lab.pcapng");
	assert_int_equal(contents->lost, lost);
	free_contents(contents);
}

/* An event behind the last frame is told though there are statistics already. */
static void last_event_is_told(void **state)
{
	struct fixture *fixture = *state;
	const struct capture_options options = {.folder = fixture->folder,
						.has_lab_file = true,
						.has_events = true,
						.statistics_interval = SECOND / 20};
	char command[160];

	create(fixture, &options);
	send_frame(fixture, FRAME_SIZE, -1);
	wait_for_statistics(fixture, 1);
	capture_event(fixture->capture, "the last one", fixture->time);
	capture_destroy(fixture->capture);
	fixture->capture = NULL;
	snprintf(command, sizeof(command), "grep -aq 'netlab: event=the last one' %s/lab.pcapng", fixture->folder);
	assert_int_equal(system(command), 0);
	assert_int_equal(read_statistics(fixture).delivered[0], 1);
}

/* A file that may not grow is a full disk. */
static void full_disk_is_survived(void **state)
{
	struct fixture *fixture = *state;
	const struct capture_options options = {.folder = fixture->folder, .has_lab_file = true};
	struct rlimit before, small;
	struct contents *contents;
	uint64_t seen, lost;

	create(fixture, &options);
	send_frame(fixture, 4000, -1);
	wait_for_writer(fixture);
	getrlimit(RLIMIT_FSIZE, &before);
	small = before;
	small.rlim_cur = 100000;
	setrlimit(RLIMIT_FSIZE, &small);
	for (int i = 0; i < 200; i++) {
		send_frame(fixture, 4000, -1);
		wait_for_writer(fixture);
	}
	setrlimit(RLIMIT_FSIZE, &before);
	send_frame(fixture, 4000, -1);
	wait_for_writer(fixture);
	lost = capture_lost(fixture->capture, 0) + capture_lost(fixture->capture, 1);
	capture_destroy(fixture->capture);
	fixture->capture = NULL;
	contents = read_file(fixture, "lab.pcapng");
	seen = contents->count;
	assert_in_range(seen, 10, 100);
	assert_int_equal(contents->ids[seen - 1], 202);
	assert_int_equal(contents->lost, lost);
	assert_int_equal(seen + contents->lost, 2 * 202);
	free_contents(contents);
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up_recorder, tear_down)
#define test_file(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(readers_are_given_what_crosses),
		test(readers_choose),
		test(recorder_has_the_last),
		test(memory_is_that_in_use),
		test(triggers_begin_and_end),
		test(slow_readers_are_told),
		test(readers_may_go),
		test(bad_readers_are_refused),
		test(there_are_only_so_many),
		test(many_crossings),
		test(events_are_comments),
		test_file(file_is_rotated),
		test_file(file_is_changed),
		test_file(refused_frames_have_bytes),
		test_file(statistics_are_renewed),
		test_file(statistics_have_losses),
		test_file(last_event_is_told),
		test_file(full_disk_is_survived),
	};

	return cmocka_run_group_tests_name("capture_reader", tests, NULL, NULL);
}
