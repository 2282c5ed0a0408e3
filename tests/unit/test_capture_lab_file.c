/* SPDX-License-Identifier: Apache-2.0 */
/* The lab's file: what is in it while it is written and at its end, and how it is changed meanwhile. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/loop.h"
#include "netlab/capture.h"
#include "netlab/capture_recorder.h"
#include "netlab/dataplane.h"
#include "tests/unit/capture_fixture.h"

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

static struct statistics read_statistics_of(const struct fixture *fixture, const char *name)
{
	static uint8_t bytes[1 << 20];
	struct statistics statistics = {.counts = {0}};
	char path[128];
	size_t size, at = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", fixture->folder, name);
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

static struct statistics read_statistics(const struct fixture *fixture)
{
	return read_statistics_of(fixture, "lab.pcapng");
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

/* What a file's statistics say is lost is not said again by the next file, whichever it is that has it. */
static void losses_are_said_by_one_file(void **state)
{
	struct fixture *fixture = *state;
	const struct capture_options options = {.folder = fixture->folder,
						.has_lab_file = true,
						.ring_size = 1,
						.rotation = {.size = 100000},
						.statistics_interval = SECOND / 20};
	struct statistics sum, one;
	uint64_t lost[2] = {0};

	create(fixture, &options);
	send_frame(fixture, FRAME_SIZE, -1);
	wait_for_statistics(fixture, 1);
	/* The last one is lost, so that no frame of this file tells of it. */
	for (int i = 0; i < 20 || lost[1] == capture_lost(fixture->capture, 1); i++) {
		lost[1] = capture_lost(fixture->capture, 1);
		send_quietly(fixture, 60000, -1);
	}
	capture_wake(fixture->capture);
	while (!is_file(fixture, "lab-00001.pcapng"))
		usleep(1000);
	send_frame(fixture, FRAME_SIZE, -1);
	for (int i = 0; i < 2; i++)
		lost[i] = capture_lost(fixture->capture, i);
	capture_destroy(fixture->capture);
	fixture->capture = NULL;
	sum = read_statistics(fixture);
	for (unsigned int i = 1; i < 100; i++) {
		char name[32];

		snprintf(name, sizeof(name), "lab-%05u.pcapng", i);
		if (!is_file(fixture, name))
			break;
		one = read_statistics_of(fixture, name);
		sum.lost[0] += one.lost[0];
		sum.lost[1] += one.lost[1];
	}
	for (int i = 0; i < 2; i++) {
		assert_true(lost[i] > 0);
		assert_int_equal(sum.lost[i], lost[i]);
	}
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

/* A capture of ports whose descriptions are more than is written at once. */
static void create_large(struct fixture *fixture)
{
	const struct capture_options options = {.folder = fixture->folder, .has_lab_file = true};

	create(fixture, &options);
	for (int i = 0; i < 5000; i++) {
		char name[64];

		snprintf(name, sizeof(name), "a-node-whose-name-is-long-enough-%04d:eth0", i);
		assert_true(capture_add_port(fixture->capture, name, NULL) > 0);
	}
}

/* Files may not grow.  Returns the limit there was. */
static struct rlimit fill_disk(void)
{
	struct rlimit before, small;

	getrlimit(RLIMIT_FSIZE, &before);
	small = before;
	small.rlim_cur = 1000;
	signal(SIGXFSZ, SIG_IGN); /* For this thread, which closes the file. */
	setrlimit(RLIMIT_FSIZE, &small);
	return before;
}

static void empty_disk(const struct rlimit *before)
{
	setrlimit(RLIMIT_FSIZE, before);
	signal(SIGXFSZ, SIG_DFL);
}

static void full_disk_is_survived_by_a_large_lab(void **state)
{
	struct fixture *fixture = *state;
	struct contents *contents;
	struct rlimit before;

	create_large(fixture);
	before = fill_disk();
	for (int i = 0; i < 20; i++) {
		send_frame(fixture, 4000, -1);
		wait_for_writer(fixture);
	}
	assert_int_equal(capture_lost(fixture->capture, 0), 20);
	assert_int_equal(capture_lost(fixture->capture, 1), 20);
	assert_int_equal(capture_failure(fixture->capture), EFBIG);
	empty_disk(&before);
	for (int i = 0; i < 1000 && capture_failure(fixture->capture) != 0; i++) {
		send_frame(fixture, 4000, -1);
		wait_for_writer(fixture);
	}
	assert_int_equal(capture_failure(fixture->capture), 0);
	send_frame(fixture, 4000, -1);
	capture_destroy(fixture->capture);
	fixture->capture = NULL;
	contents = read_file(fixture, "lab.pcapng");
	assert_true(contents->count >= 2);
	assert_int_equal(contents->ids[contents->count - 1], fixture->id);
	assert_int_equal(contents->count + contents->lost, 2 * fixture->id);
	free_contents(contents);
}

static void large_lab_ends_on_a_full_disk(void **state)
{
	struct fixture *fixture = *state;
	struct contents *contents;
	struct rlimit before;

	create_large(fixture);
	before = fill_disk();
	send_frame(fixture, 4000, -1);
	capture_destroy(fixture->capture);
	fixture->capture = NULL;
	empty_disk(&before);
	contents = read_file(fixture, "lab.pcapng");
	assert_int_equal(contents->count, 0);
	free_contents(contents);
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(file_is_rotated),
		test(file_is_changed),
		test(refused_frames_have_bytes),
		test(statistics_are_renewed),
		test(statistics_have_losses),
		test(losses_are_said_by_one_file),
		test(last_event_is_told),
		test(full_disk_is_survived),
		test(full_disk_is_survived_by_a_large_lab),
		test(large_lab_ends_on_a_full_disk),
	};

	return cmocka_run_group_tests_name("capture_lab_file", tests, NULL, NULL);
}
