/* SPDX-License-Identifier: Apache-2.0 */
/* Captures that are replayed: order, time, speed, rounds, and files that are damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <pcap/pcap.h>

#include "attachment_fixture.h"
#include "recording.h"

#define SMALL 60
#define MILLISECOND 1000000ull

/* Writes a capture of 'count' frames, the times of which are 'times', nanoseconds; each begins with its number, times
 * two. */
static void write_capture(const char *path, const uint64_t *times, size_t count, uint32_t size)
{
	pcap_t *pcap = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, 262144, PCAP_TSTAMP_PRECISION_NANO);
	pcap_dumper_t *dumper = pcap_dump_open(pcap, path);
	uint8_t *bytes = calloc(1, size);

	assert_true(dumper && bytes);
	for (size_t i = 0; i < count; i++) {
		struct pcap_pkthdr header = {.caplen = size, .len = size};

		header.ts.tv_sec = 1700000000 + (time_t)(times[i] / 1000000000);
		header.ts.tv_usec = (suseconds_t)(times[i] % 1000000000);
		bytes[0] = (uint8_t)(2 * i);
		pcap_dump((u_char *)dumper, &header, bytes);
	}
	pcap_dump_close(dumper);
	pcap_close(pcap);
	free(bytes);
}

static void plug_capture(struct fixture *fixture, const uint64_t *times, size_t count)
{
	write_capture(fixture->path, times, count, SMALL);
	fixture->topology.kind = TOPOLOGY_PCAP;
	fixture_plug(fixture);
}

static int set_up(void **state)
{
	struct fixture *fixture;

	fixture_set_up(state);
	fixture = *state;
	fixture->topology.speed = 1000;
	fixture->topology.rounds = 1;
	return 0;
}

static void expect_detail(const struct fixture *fixture, const char *detail)
{
	struct attachment_status status;

	attachment_describe(fixture->attachment, &status);
	assert_string_equal(status.detail, detail);
}

/* Nothing before it is started; then all, in order, none before its time. */
static void frames_come_in_order_and_in_time(void **state)
{
	static const uint64_t times[] = {5 * MILLISECOND, 5 * MILLISECOND, 25 * MILLISECOND, 20 * MILLISECOND,
					 65 * MILLISECOND};
	struct fixture *fixture = *state;
	uint64_t begin;

	plug_capture(fixture, times, 5);
	for (unsigned int i = 0; i < 10; i++)
		fixture_turn(fixture);
	assert_string_equal(fixture_state(fixture), "waiting");
	assert_int_equal(fixture->heard, 0);
	begin = loop_now();
	attachment_start(fixture->attachment);
	fixture_await(fixture, 5);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(fixture->heads[i][0], 2 * i);
	assert_true(fixture->times[2] >= begin + 20 * MILLISECOND);
	assert_true(fixture->times[3] >= begin + 20 * MILLISECOND);
	assert_true(fixture->times[4] >= begin + 60 * MILLISECOND);
	fixture_await_state(fixture, "done");
	expect_detail(fixture, "5/5");
}

static void speed_is_applied(void **state)
{
	static const uint64_t times[] = {0, 10 * MILLISECOND, 3600000 * MILLISECOND};
	struct fixture *fixture = *state;
	uint64_t begin = loop_now();

	fixture->topology.speed = 500;
	plug_capture(fixture, times, 2);
	attachment_start(fixture->attachment);
	fixture_await(fixture, 2);
	assert_true(fixture->times[1] >= begin + 20 * MILLISECOND);
	fixture_unplug(fixture);
	/* An hour, at once. */
	fixture->topology.speed = 0;
	plug_capture(fixture, times, 3);
	attachment_start(fixture->attachment);
	fixture_await(fixture, 5);
}

static void begins_after_a_while(void **state)
{
	static const uint64_t times[] = {0};
	struct fixture *fixture = *state;
	uint64_t begin;

	fixture->topology.speed = 0;
	fixture->topology.delay = 30 * MILLISECOND;
	plug_capture(fixture, times, 1);
	begin = loop_now();
	attachment_start(fixture->attachment);
	fixture_await(fixture, 1);
	assert_true(fixture->times[0] >= begin + 30 * MILLISECOND);
}

static void rounds_follow_each_other(void **state)
{
	static const uint64_t times[] = {0, 2 * MILLISECOND, 4 * MILLISECOND};
	struct fixture *fixture = *state;
	uint64_t begin;

	fixture->topology.rounds = 3;
	plug_capture(fixture, times, 3);
	begin = loop_now();
	attachment_start(fixture->attachment);
	fixture_await(fixture, 9);
	for (unsigned int i = 0; i < 9; i++)
		assert_int_equal(fixture->heads[i][0], 2 * (i % 3));
	assert_true(fixture->times[8] >= begin + 16 * MILLISECOND);
	fixture_await_state(fixture, "done");
	expect_detail(fixture, "9/9");
}

/* More than is read ahead, and without end: it can be ended at any time. */
static void endless_one_is_bounded_and_can_be_ended(void **state)
{
	static const uint64_t times[200];
	struct fixture *fixture = *state;

	fixture->topology.rounds = 0;
	fixture->topology.speed = 0;
	write_capture(fixture->path, times, 200, FRAME_SIZE_MAX);
	fixture->topology.kind = TOPOLOGY_PCAP;
	fixture_plug(fixture);
	attachment_start(fixture->attachment);
	fixture_await(fixture, 500);
	assert_string_equal(fixture_state(fixture), "replaying");
}

static void what_it_receives_is_thrown_away(void **state)
{
	static const uint64_t times[] = {0};
	struct fixture *fixture = *state;
	struct port_counters counters;

	plug_capture(fixture, times, 1);
	fixture_transmit(fixture, 2, SMALL);
	port_read_counters(fixture->port, &counters);
	assert_int_equal(counters.received_frames, 1);
}

static void damaged_end_is_told_after_what_is_whole(void **state)
{
	static const uint64_t times[] = {0, 0, 0};
	struct fixture *fixture = *state;
	struct attachment_status status;

	write_capture(fixture->path, times, 3, SMALL);
	assert_int_equal(truncate(fixture->path, 24 + 2 * (16 + SMALL) + 30), 0);
	fixture->topology.kind = TOPOLOGY_PCAP;
	fixture_plug(fixture);
	attachment_start(fixture->attachment);
	fixture_await(fixture, 2);
	fixture_await_state(fixture, "failed");
	attachment_describe(fixture->attachment, &status);
	assert_memory_equal(status.detail, "2: truncated", strlen("2: truncated"));
}

static void file_that_has_gone_is_told(void **state)
{
	static const uint64_t times[] = {0};
	struct fixture *fixture = *state;

	write_capture(fixture->path, times, 1, SMALL);
	fixture->topology.kind = TOPOLOGY_PCAP;
	fixture->topology.path = fixture->other_path;
	fixture_plug(fixture);
	attachment_start(fixture->attachment);
	fixture_await_state(fixture, "failed");
	assert_int_equal(fixture->heard, 0);
}

/* Frames that are none are counted, and the lab's capture has what a frame can have of them. */
static void impossible_frames_are_counted(void **state)
{
	static const uint64_t times[] = {0, 0};
	struct fixture *fixture = *state;
	struct recording recording;

	recording_begin(&recording, fixture->dataplane, 0);
	write_capture(fixture->path, times, 2, FRAME_SIZE_MAX + 1);
	fixture->topology.kind = TOPOLOGY_PCAP;
	fixture_plug(fixture);
	attachment_start(fixture->attachment);
	fixture_await_state(fixture, "done");
	assert_int_equal(fixture_dropped(fixture, DROP_MALFORMED), 2);
	fixture_unplug(fixture);
	write_capture(fixture->path, times, 2, 13);
	fixture_plug(fixture);
	attachment_start(fixture->attachment);
	fixture_await_state(fixture, "done");
	assert_int_equal(fixture_dropped(fixture, DROP_MALFORMED), 4);
	assert_int_equal(fixture->heard, 0);
	recording_end(&recording);
	for (uint8_t i = 0; i < 2; i++)
		recording_expect_refused(&recording, FRAME_SIZE_MAX + 1, FRAME_SIZE_MAX, (uint8_t)(2 * i));
	for (uint8_t i = 0; i < 2; i++)
		recording_expect_refused(&recording, 13, 13, (uint8_t)(2 * i));
	recording_release(&recording);
}

/* Times that jump by more than any capture lasts do not keep frames for ever. */
static void impossible_times_are_ignored(void **state)
{
	struct fixture *fixture = *state;
	/* pcap's header with nanoseconds; two frames of 14 bytes, the second at the end of time. */
	static const uint32_t words[] = {0xa1b23c4d, 0x00040002, 0, 0, 262144, 1, 0, 0, 14, 14};
	static const uint32_t second[] = {0xffffffff, 0xffffffff, 14, 14};
	static const uint8_t frame[14];
	FILE *file = fopen(fixture->path, "w");

	assert_non_null(file);
	fwrite(words, sizeof(words), 1, file);
	fwrite(frame, sizeof(frame), 1, file);
	fwrite(second, sizeof(second), 1, file);
	fwrite(frame, sizeof(frame), 1, file);
	fclose(file);
	fixture->topology.kind = TOPOLOGY_PCAP;
	fixture_plug(fixture);
	attachment_start(fixture->attachment);
	fixture_await(fixture, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(frames_come_in_order_and_in_time, set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(speed_is_applied, set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(begins_after_a_while, set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(rounds_follow_each_other, set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(endless_one_is_bounded_and_can_be_ended, set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(what_it_receives_is_thrown_away, set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(damaged_end_is_told_after_what_is_whole, set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(file_that_has_gone_is_told, set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(impossible_frames_are_counted, set_up, fixture_tear_down),
		cmocka_unit_test_setup_teardown(impossible_times_are_ignored, set_up, fixture_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
