/* SPDX-License-Identifier: Apache-2.0 */
/* Impaired links of a data plane, and what the capture says of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/loop.h"
#include "core/state.h"
#include "netlab/capture.h"
#include "netlab/dataplane.h"
#include "netlab/impairment.h"
#include "netlab/pcapng_reader.h"
#include "netlab/wire.h"

#define MILLISECOND 1000000ull

struct fixture {
	char folder[64];
	struct capture *capture;
	struct dataplane *dataplane;
	struct port *ports[2];
	unsigned int received;
	uint8_t bytes[60]; /* The last one. */
};

static enum port_result deliver(void *opaque, const struct frame *frame)
{
	struct fixture *fixture = opaque;

	fixture->received++;
	frame_copy(frame, fixture->bytes, frame->size < 60 ? frame->size : 60);
	return PORT_DELIVERED;
}

static const struct port_ops ops = {.deliver = deliver};

static void set_up(struct fixture *fixture)
{
	struct capture_options options = {.has_lab_file = true};

	*fixture = (struct fixture){.folder = "/tmp/test-wires-XXXXXX"};
	assert_non_null(mkdtemp(fixture->folder));
	options.folder = fixture->folder;
	fixture->dataplane = dataplane_create(NULL);
	fixture->capture = capture_create(&options, NULL);
	dataplane_set_capture(fixture->dataplane, fixture->capture);
	fixture->ports[0] = dataplane_add_port(fixture->dataplane, "h1:eth0");
	fixture->ports[1] = dataplane_add_port(fixture->dataplane, "h2:eth0");
	for (int i = 0; i < 2; i++)
		port_plug(fixture->ports[i], &ops, fixture);
	port_join_port(fixture->ports[0], fixture->ports[1]);
	/* Adds the ports to the capture.  Frames are sent by this thread. */
	assert_int_equal(dataplane_start(fixture->dataplane, NULL), 0);
	dataplane_stop(fixture->dataplane);
	loop_adopt(dataplane_loop(fixture->dataplane));
}

static void tear_down(struct fixture *fixture)
{
	char path[96];

	snprintf(path, sizeof(path), "%s", capture_lab_path(fixture->capture));
	dataplane_destroy(fixture->dataplane);
	capture_destroy(fixture->capture);
	unlink(path);
	rmdir(fixture->folder);
}

static void impair(struct fixture *fixture, const struct impairment *impairment)
{
	assert_int_equal(port_impair(fixture->ports[0], PORT_SENDS, impairment, 1), 0);
}

static void send(struct fixture *fixture)
{
	static const uint8_t bytes[60] = {0x52, 0x54, [6] = 0x52, 0x55};
	struct frame frame;
	struct iovec rest;

	frame_set(&frame, &rest, bytes, sizeof(bytes));
	port_transmit(fixture->ports[0], &frame);
}

static bool is_empty(const struct fixture *fixture)
{
	struct wire_counters counters;

	return !port_read_wire(fixture->ports[0], PORT_SENDS, &counters) || counters.waiting + counters.in_flight == 0;
}

static void wait_for_all(struct fixture *fixture)
{
	while (!is_empty(fixture))
		loop_turn(dataplane_loop(fixture->dataplane));
}

/* What the capture has: the number of packets, of which 'comments' have one with 'wanted' in it. */
static unsigned int count_packets(struct fixture *fixture, const char *wanted, unsigned int *comments)
{
	struct pcapng_reader_packet packet;
	struct pcapng_reader *reader;
	unsigned int count = 0;
	char path[96];
	FILE *stream;

	snprintf(path, sizeof(path), "%s", capture_lab_path(fixture->capture));
	dataplane_set_capture(fixture->dataplane, NULL);
	capture_destroy(fixture->capture);
	stream = fopen(path, "r");
	reader = pcapng_reader_create(stream);
	*comments = 0;
	for (; pcapng_reader_next(reader, &packet) == 1; count++)
		for (int i = 0; packet.comments[i]; i++)
			*comments += strstr(packet.comments[i], wanted) != NULL;
	pcapng_reader_destroy(reader);
	fclose(stream);
	unlink(path);
	fixture->capture =
		capture_create(&(const struct capture_options){.has_lab_file = true, .folder = fixture->folder}, NULL);
	return count;
}

static void test_delayed_frames_say_so(void **state)
{
	const struct impairment impairment = {.delay = 2 * MILLISECOND};
	struct pcapng_reader_packet packet;
	struct pcapng_reader *reader;
	struct fixture fixture;
	uint64_t sent;
	char text[96];
	FILE *stream;

	(void)state;
	set_up(&fixture);
	impair(&fixture, &impairment);
	send(&fixture);
	assert_int_equal(fixture.received, 0);
	wait_for_all(&fixture);
	assert_int_equal(fixture.received, 1);
	snprintf(text, sizeof(text), "%s", capture_lab_path(fixture.capture));
	dataplane_set_capture(fixture.dataplane, NULL);
	capture_destroy(fixture.capture);
	stream = fopen(text, "r");
	reader = pcapng_reader_create(stream);
	assert_int_equal(pcapng_reader_next(reader, &packet), 1);
	assert_int_equal(packet.direction, 2);
	assert_null(packet.comments[0]);
	sent = packet.time;
	assert_int_equal(pcapng_reader_next(reader, &packet), 1);
	assert_int_equal(packet.direction, 1);
	assert_string_equal(packet.interface->name, "h2:eth0");
	assert_true(packet.time - sent >= 2 * MILLISECOND);
	assert_int_equal(strncmp(packet.comments[0], "netlab: delay=", 14), 0);
	/* What it says is what the times say, but for what passed between two looks at the clock. */
	assert_true(strtod(packet.comments[0] + 14, NULL) <= (double)(packet.time - sent) / 1e6 + 5);
	assert_true(strtod(packet.comments[0] + 14, NULL) >= 2);
	assert_non_null(strstr(packet.comments[0], "ms late="));
	assert_null(packet.comments[1]);
	pcapng_reader_destroy(reader);
	fclose(stream);
	fixture.capture =
		capture_create(&(const struct capture_options){.has_lab_file = true, .folder = fixture.folder}, NULL);
	tear_down(&fixture);
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
		{"drop=mtu size=60 limit=40", {.mtu = 40}, 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned int comments, packets;
		struct fixture fixture;

		set_up(&fixture);
		impair(&fixture, &cases[i].impairment);
		send(&fixture);
		wait_for_all(&fixture);
		packets = count_packets(&fixture, cases[i].text, &comments);
		assert_int_equal(packets, cases[i].packets);
		assert_int_equal(comments, 1);
		tear_down(&fixture);
	}
}

/* A frame that is lost with its link: a second line of its sender. */
static void test_frames_are_lost_with_their_link(void **state)
{
	const struct impairment impairment = {.delay = 100000 * MILLISECOND};
	struct port_counters counters;
	unsigned int comments;
	struct fixture fixture;

	(void)state;
	set_up(&fixture);
	impair(&fixture, &impairment);
	send(&fixture);
	send(&fixture);
	port_set_carrier(fixture.ports[0], false);
	assert_true(is_empty(&fixture));
	port_read_counters(fixture.ports[0], &counters);
	assert_int_equal(counters.dropped[DROP_LINK_DOWN], 2);
	assert_int_equal(count_packets(&fixture, "drop=link-down", &comments), 4);
	assert_int_equal(comments, 2);
	tear_down(&fixture);
}

/* While the lab is held, nothing arrives. */
static void test_held_wires_stand_still(void **state)
{
	const struct impairment impairment = {.delay = 20 * MILLISECOND};
	struct fixture fixture;

	(void)state;
	set_up(&fixture);
	impair(&fixture, &impairment);
	send(&fixture);
	dataplane_hold(fixture.dataplane, true);
	usleep(30000);
	loop_turn(dataplane_loop(fixture.dataplane));
	assert_int_equal(fixture.received, 0);
	dataplane_hold(fixture.dataplane, false);
	wait_for_all(&fixture);
	assert_int_equal(fixture.received, 1);
	tear_down(&fixture);
}

/* Nor while it is paused, also when it is saved meanwhile. */
static void test_paused_wires_stand_still(void **state)
{
	const struct impairment impairment = {.delay = 20 * MILLISECOND};
	struct fixture fixture;

	(void)state;
	set_up(&fixture);
	impair(&fixture, &impairment);
	send(&fixture);
	dataplane_pause(fixture.dataplane, true);
	send(&fixture); /* From outside of the lab. */
	dataplane_hold(fixture.dataplane, true);
	dataplane_hold(fixture.dataplane, false);
	usleep(30000);
	loop_turn(dataplane_loop(fixture.dataplane));
	assert_int_equal(fixture.received, 0);
	dataplane_hold(fixture.dataplane, true);
	dataplane_pause(fixture.dataplane, false);
	usleep(30000);
	loop_turn(dataplane_loop(fixture.dataplane));
	assert_int_equal(fixture.received, 0);
	dataplane_hold(fixture.dataplane, false);
	wait_for_all(&fixture);
	assert_int_equal(fixture.received, 2);
	tear_down(&fixture);
}

static void test_what_is_on_its_way_is_saved(void **state)
{
	const struct impairment impairment = {.delay = 20 * MILLISECOND};
	struct fixture before, after;
	struct state saved = {0};

	(void)state;
	set_up(&before);
	impair(&before, &impairment);
	send(&before);
	dataplane_hold(before.dataplane, true);
	dataplane_save(before.dataplane, &saved);
	set_up(&after);
	dataplane_restore(after.dataplane, &saved);
	assert_false(saved.bad);
	assert_int_equal(saved.at, saved.size);
	assert_int_equal(port_impairment(after.ports[0], PORT_SENDS)->delay, 20 * MILLISECOND);
	assert_null(port_impairment(after.ports[0], PORT_RECEIVES));
	wait_for_all(&after);
	assert_int_equal(after.received, 1);
	assert_int_equal(after.bytes[7], 0x55);
	state_release(&saved);
	tear_down(&before);
	tear_down(&after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delayed_frames_say_so),
		cmocka_unit_test(test_changed_frames_say_so),
		cmocka_unit_test(test_frames_are_lost_with_their_link),
		cmocka_unit_test(test_held_wires_stand_still),
		cmocka_unit_test(test_paused_wires_stand_still),
		cmocka_unit_test(test_what_is_on_its_way_is_saved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
