/* SPDX-License-Identifier: Apache-2.0 */
/* Impaired links of a data plane, and what the capture says of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/loop.h"
#include "core/state.h"
#include "netlab/dataplane.h"
#include "netlab/impairment.h"
#include "netlab/pcapng_reader.h"
#include "netlab/wire.h"
#include "recording.h"

#define PORTS 2
#include "stations.h"

#define MILLISECOND 1000000ull

/* Two stations, whose link and all that crosses it is recorded. */
struct recorded_link {
	struct fixture fixture;
	struct recording recording;
	struct station *from, *to;
};

static void begin(struct recorded_link *link, const struct impairment *impairment)
{
	set_up_link(&link->fixture);
	recording_begin(&link->recording, link->fixture.dataplane, 0);
	link->from = &link->fixture.stations[0];
	link->to = &link->fixture.stations[1];
	assert_int_equal(port_impair(link->from->port, PORT_SENDS, impairment, 1), 0);
}

static void end(struct recorded_link *link)
{
	recording_release(&link->recording);
	dataplane_destroy(link->fixture.dataplane);
}

static void send(struct recorded_link *link)
{
	transmit(link->from, link->to->address, 100);
}

static bool is_empty(const struct recorded_link *link)
{
	struct wire_counters counters;

	return !port_read_wire(link->from->port, PORT_SENDS, &counters) || counters.waiting + counters.in_flight == 0;
}

static void wait_for_all(struct recorded_link *link)
{
	while (!is_empty(link))
		loop_turn(dataplane_loop(link->fixture.dataplane));
}

/* What the capture has: the number of packets, of which 'comments' have one with 'wanted' in it. */
static unsigned int count_packets(struct recorded_link *link, const char *wanted, unsigned int *comments)
{
	struct pcapng_reader_packet packet;
	unsigned int count = 0;

	recording_end(&link->recording);
	*comments = 0;
	for (; pcapng_reader_next(link->recording.reader, &packet) == 1; count++)
		for (int i = 0; packet.comments[i]; i++)
			*comments += strstr(packet.comments[i], wanted) != NULL;
	return count;
}

static void test_delayed_frames_say_so(void **state)
{
	const struct impairment impairment = {.delay = 2 * MILLISECOND};
	struct pcapng_reader_packet packet;
	struct recorded_link link;
	uint64_t sent;

	(void)state;
	begin(&link, &impairment);
	send(&link);
	assert_int_equal(link.to->frames, 0);
	wait_for_all(&link);
	assert_int_equal(link.to->frames, 1);
	recording_end(&link.recording);
	assert_int_equal(pcapng_reader_next(link.recording.reader, &packet), 1);
	assert_int_equal(packet.direction, 2);
	assert_null(packet.comments[0]);
	sent = packet.time;
	assert_int_equal(pcapng_reader_next(link.recording.reader, &packet), 1);
	assert_int_equal(packet.direction, 1);
	assert_string_equal(packet.interface->name, "h2:eth0");
	assert_true(packet.time - sent >= 2 * MILLISECOND);
	assert_int_equal(strncmp(packet.comments[0], "netlab: delay=", 14), 0);
	/* What it says is what the times say, but for what passed between two looks at the clock. */
	assert_true(strtod(packet.comments[0] + 14, NULL) <= (double)(packet.time - sent) / 1e6 + 5);
	assert_true(strtod(packet.comments[0] + 14, NULL) >= 2);
	assert_non_null(strstr(packet.comments[0], "ms late="));
	assert_null(packet.comments[1]);
	end(&link);
}

static void test_changed_frames_say_so(void **state)
{
	static const struct {
		const char *text;
		struct impairment impairment;
		unsigned int packets;
	} cases[] = {
		{" duplicate", {.duplicate = IMPAIRMENT_ALL}, 3},
		{" corrupted-bit=", {.corrupt = IMPAIRMENT_ALL}, 2},
		{" reordered", {.delay = MILLISECOND, .corrupt = IMPAIRMENT_ALL, .reorder = IMPAIRMENT_ALL}, 2},
		{"drop=loss ", {.loss = IMPAIRMENT_ALL}, 1},
		{"drop=mtu size=100 limit=68", {.mtu = 68}, 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned int comments, packets;
		struct recorded_link link;

		begin(&link, &cases[i].impairment);
		send(&link);
		wait_for_all(&link);
		packets = count_packets(&link, cases[i].text, &comments);
		assert_int_equal(packets, cases[i].packets);
		assert_int_equal(comments, 1);
		end(&link);
	}
}

/* A frame that is lost with its link: a second line of its sender. */
static void test_frames_are_lost_with_their_link(void **state)
{
	const struct impairment impairment = {.delay = 100000 * MILLISECOND};
	struct recorded_link link;
	unsigned int comments;

	(void)state;
	begin(&link, &impairment);
	send(&link);
	send(&link);
	port_set_carrier(link.from->port, false);
	assert_true(is_empty(&link));
	assert_int_equal(dropped(link.from, DROP_LINK_DOWN), 2);
	assert_int_equal(count_packets(&link, "drop=link-down", &comments), 4);
	assert_int_equal(comments, 2);
	end(&link);
}

static void test_memory_of_what_is_on_its_way_is_known(void **state)
{
	const struct impairment impairment = {.delay = 100000 * MILLISECOND};
	struct recorded_link link;

	(void)state;
	begin(&link, &impairment);
	assert_int_equal(dataplane_wires_memory(link.fixture.dataplane), 0);
	for (unsigned int i = 1; i <= 100; i++) {
		send(&link);
		assert_in_range(dataplane_wires_memory(link.fixture.dataplane), 100 * i, 1024 * i);
	}
	recording_end(&link.recording);
	end(&link);
}

/* While the lab is held, nothing arrives. */
static void test_held_wires_stand_still(void **state)
{
	const struct impairment impairment = {.delay = 20 * MILLISECOND};
	struct recorded_link link;

	(void)state;
	begin(&link, &impairment);
	send(&link);
	dataplane_hold(link.fixture.dataplane, true);
	usleep(30000);
	loop_turn(dataplane_loop(link.fixture.dataplane));
	assert_int_equal(link.to->frames, 0);
	dataplane_hold(link.fixture.dataplane, false);
	wait_for_all(&link);
	assert_int_equal(link.to->frames, 1);
	recording_end(&link.recording);
	end(&link);
}

/* Nor while it is paused, also when it is saved meanwhile. */
static void test_paused_wires_stand_still(void **state)
{
	const struct impairment impairment = {.delay = 20 * MILLISECOND};
	struct recorded_link link;

	(void)state;
	begin(&link, &impairment);
	send(&link);
	dataplane_pause(link.fixture.dataplane, true);
	send(&link); /* From outside of the lab. */
	dataplane_hold(link.fixture.dataplane, true);
	dataplane_hold(link.fixture.dataplane, false);
	usleep(30000);
	loop_turn(dataplane_loop(link.fixture.dataplane));
	assert_int_equal(link.to->frames, 0);
	dataplane_hold(link.fixture.dataplane, true);
	dataplane_pause(link.fixture.dataplane, false);
	usleep(30000);
	loop_turn(dataplane_loop(link.fixture.dataplane));
	assert_int_equal(link.to->frames, 0);
	dataplane_hold(link.fixture.dataplane, false);
	wait_for_all(&link);
	assert_int_equal(link.to->frames, 2);
	recording_end(&link.recording);
	end(&link);
}

static void test_what_is_on_its_way_is_saved(void **state)
{
	const struct impairment impairment = {.delay = 20 * MILLISECOND}, none = {.delay = 0};
	struct recorded_link before, after;
	struct state saved = {0};

	(void)state;
	begin(&before, &impairment);
	send(&before);
	dataplane_hold(before.fixture.dataplane, true);
	dataplane_save(before.fixture.dataplane, &saved);
	begin(&after, &none);
	dataplane_hold(after.fixture.dataplane, true);
	dataplane_restore(after.fixture.dataplane, &saved);
	assert_false(saved.bad);
	assert_int_equal(saved.at, saved.size);
	assert_int_equal(port_impairment(after.from->port, PORT_SENDS)->delay, 20 * MILLISECOND);
	assert_null(port_impairment(after.from->port, PORT_RECEIVES));
	usleep(30000);
	loop_turn(dataplane_loop(after.fixture.dataplane));
	assert_int_equal(after.to->frames, 0); /* Until those who are to receive it are there. */
	dataplane_hold(after.fixture.dataplane, false);
	wait_for_all(&after);
	assert_int_equal(after.to->frames, 1);
	assert_memory_equal(after.to->bytes + 6, before.from->address, 6);
	state_release(&saved);
	recording_end(&before.recording);
	end(&before);
	recording_end(&after.recording);
	end(&after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delayed_frames_say_so),
		cmocka_unit_test(test_changed_frames_say_so),
		cmocka_unit_test(test_frames_are_lost_with_their_link),
		cmocka_unit_test(test_held_wires_stand_still),
		cmocka_unit_test(test_memory_of_what_is_on_its_way_is_known),
		cmocka_unit_test(test_paused_wires_stand_still),
		cmocka_unit_test(test_what_is_on_its_way_is_saved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
