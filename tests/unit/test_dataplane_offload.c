/* SPDX-License-Identifier: Apache-2.0 */
/* Frames on which work was left undone, on their way through the data plane: who takes them as they are gets them so,
 * and all others what a wire would carry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/loop.h"
#include "netlab/dataplane.h"
#include "netlab/impairment.h"
#include "netlab/pcapng.h"
#include "netlab/pcapng_reader.h"
#include "netlab/port_rules.h"
#include "recording.h"
#include "tcp_frame.h"

#define PORTS 4
#include "stations.h"

#define SIZE 4096u /* Of a frame that is sent: 4042 bytes of payload, */
#define SEGMENT 1000
#define SEGMENTS 5 /* the last one of 42 bytes. */

/* Sends a frame on which work was left undone. */
static void transmit_undone(struct station *station, const uint8_t *destination, uint16_t segment_size)
{
	uint8_t bytes[SIZE];
	struct frame_offload offload;
	struct frame frame;
	struct iovec rest;

	tcp_frame_make(bytes, sizeof(bytes), segment_size, &offload);
	memcpy(bytes, destination, 6);
	memcpy(bytes + 6, station->address, 6);
	frame_set(&frame, &rest, bytes, sizeof(bytes));
	frame.offload = offload;
	port_transmit(station->port, &frame);
}

static bool has_tag(const struct station *station)
{
	return station->bytes[12] == 0x81;
}

/* A frame as on a wire has the payload that comes next, and all else is true. */
static void check_frame(struct station *station)
{
	size_t headers = TCP_FRAME_HEADERS + (has_tag(station) ? 4 : 0);

	assert_in_range(station->size, FRAME_SIZE_MIN, STATION_KEPT);
	if (station->offload.checksum_start > 0)
		return;
	assert_true(tcp_frame_is_true(station->bytes, station->size));
	for (size_t i = headers; i < station->size; i++)
		assert_int_equal(station->bytes[i], (uint8_t)(station->payload + i - headers));
	station->payload += station->size - headers;
}

static void answer(struct station *station)
{
	check_frame(station);
	station->hears = check_frame;
	transmit_undone(station, broadcast, SEGMENT);
}

/* All look at what they hear.  Frames are sent by this thread. */
static void start(struct fixture *fixture)
{
	loop_adopt(dataplane_loop(fixture->dataplane));
	for (int i = 0; i < PORTS; i++)
		fixture->stations[i].hears = check_frame;
}

static void start_link(struct fixture *fixture)
{
	set_up_link(fixture);
	start(fixture);
}

static void start_network(struct fixture *fixture)
{
	set_up_network(fixture);
	start(fixture);
}

/* The frame as it was sent. */
static void expect_whole(struct station *station, size_t size)
{
	assert_int_equal(station->frames, 1);
	assert_int_equal(station->offloaded, 1);
	assert_int_equal(station->size, size);
	assert_int_equal(station->offload.segment_size, SEGMENT);
	assert_int_equal(station->offload.checksum_start, 34 + size - SIZE);
	assert_int_equal(counters_of(station).received_frames, 1);
	assert_int_equal(counters_of(station).received_bytes, size);
}

/* All of its segments, with 'more' bytes of tags each. */
static void expect_segments(struct station *station, size_t more)
{
	const struct port_counters counters = counters_of(station);

	assert_int_equal(station->frames, SEGMENTS);
	assert_int_equal(station->offloaded, 0);
	assert_int_equal(station->payload, SIZE - TCP_FRAME_HEADERS);
	assert_int_equal(counters.received_frames, SEGMENTS);
	assert_int_equal(counters.received_bytes, SIZE - TCP_FRAME_HEADERS + SEGMENTS * (TCP_FRAME_HEADERS + more));
}

static void link_to_one_that_takes_it(void **state)
{
	struct fixture fixture;

	(void)state;
	start_link(&fixture);
	fixture.stations[1].takes = TAKES_ALL;
	transmit_undone(&fixture.stations[0], broadcast, SEGMENT);
	expect_whole(&fixture.stations[1], SIZE);
	dataplane_destroy(fixture.dataplane);
}

static void link_to_one_that_does_not(void **state)
{
	static const struct port_ops plain_ops = {.deliver = station_deliver};
	struct fixture fixture;

	(void)state;
	for (int i = 0; i < 3; i++) {
		start_link(&fixture);
		fixture.stations[1].takes = i == 1 ? TAKES_CHECKSUMS : TAKES_NOTHING;
		if (i == 2)
			port_plug(fixture.stations[1].port, &plain_ops, &fixture.stations[1]);
		transmit_undone(&fixture.stations[0], broadcast, SEGMENT);
		expect_segments(&fixture.stations[1], 0);
		assert_int_equal(counters_of(&fixture.stations[0]).transmitted_frames, 1);
		assert_int_equal(counters_of(&fixture.stations[0]).transmitted_bytes, SIZE);
		dataplane_destroy(fixture.dataplane);
	}
}

static void checksums_alone(void **state)
{
	struct fixture fixture;

	(void)state;
	start_link(&fixture);
	fixture.stations[1].takes = TAKES_CHECKSUMS;
	transmit_undone(&fixture.stations[0], broadcast, 0);
	assert_int_equal(fixture.stations[1].offloaded, 1);
	fixture.stations[1].takes = TAKES_NOTHING;
	transmit_undone(&fixture.stations[0], broadcast, 0);
	assert_int_equal(fixture.stations[1].offloaded, 1);
	assert_int_equal(fixture.stations[1].frames, 2);
	assert_int_equal(fixture.stations[1].payload, SIZE - TCP_FRAME_HEADERS);
	dataplane_destroy(fixture.dataplane);
}

static void network_of_both_kinds(void **state)
{
	struct fixture fixture;

	(void)state;
	start_network(&fixture);
	fixture.stations[2].takes = TAKES_ALL;
	transmit_undone(&fixture.stations[0], broadcast, SEGMENT);
	expect_segments(&fixture.stations[1], 0);
	expect_whole(&fixture.stations[2], SIZE);
	expect_segments(&fixture.stations[3], 0);
	dataplane_destroy(fixture.dataplane);
}

static void nothing_is_plugged_in(void **state)
{
	struct fixture fixture;

	(void)state;
	start_link(&fixture);
	port_plug(fixture.stations[1].port, NULL, NULL);
	transmit_undone(&fixture.stations[0], broadcast, SEGMENT);
	assert_int_equal(dropped(&fixture.stations[1], DROP_NOT_READY), 1);
	dataplane_destroy(fixture.dataplane);
}

static void mirrors_get_what_they_take(void **state)
{
	struct fixture fixture;

	(void)state;
	start_link(&fixture);
	fixture.stations[1].takes = fixture.stations[2].takes = TAKES_ALL;
	port_add_mirror(fixture.stations[0].port, fixture.stations[2].port);
	port_add_mirror(fixture.stations[1].port, fixture.stations[3].port);
	transmit_undone(&fixture.stations[0], broadcast, SEGMENT);
	expect_whole(&fixture.stations[1], SIZE);
	expect_whole(&fixture.stations[2], SIZE);
	expect_segments(&fixture.stations[3], 0);
	dataplane_destroy(fixture.dataplane);
}

/* What the port has got, its mirror gets. */
static void mirror_of_one_that_takes_nothing(void **state)
{
	struct fixture fixture;

	(void)state;
	start_link(&fixture);
	fixture.stations[2].takes = TAKES_ALL;
	port_add_mirror(fixture.stations[1].port, fixture.stations[2].port);
	transmit_undone(&fixture.stations[0], broadcast, SEGMENT);
	expect_segments(&fixture.stations[1], 0);
	expect_segments(&fixture.stations[2], 0);
	dataplane_destroy(fixture.dataplane);
}

static void tags_of_vlans(void **state)
{
	const struct network_options options = {.has_vlans = true};
	struct port_rules trunk = {.vlan = 0}, access = {.vlan = 10};
	struct fixture fixture;

	(void)state;
	start_network(&fixture);
	network_set_options(fixture.network, &options);
	port_rules_add_trunk(&trunk, 10, 10);
	port_set_rules(fixture.stations[0].port, &access);
	port_set_rules(fixture.stations[1].port, &access);
	port_set_rules(fixture.stations[2].port, &trunk);
	port_set_rules(fixture.stations[3].port, &trunk);
	fixture.stations[3].takes = TAKES_ALL;
	transmit_undone(&fixture.stations[0], broadcast, SEGMENT);
	expect_segments(&fixture.stations[1], 0);
	expect_segments(&fixture.stations[2], 4);
	assert_true(has_tag(&fixture.stations[2]) && has_tag(&fixture.stations[3]));
	expect_whole(&fixture.stations[3], SIZE + 4);
	dataplane_destroy(fixture.dataplane);
}

/* A second's frames may be owed, and then what a frame stands for is owed as well. */
static void floods_are_counted_as_on_a_wire(void **state)
{
	struct port_rules rules = port_rules_default;
	struct fixture fixture;

	(void)state;
	start_network(&fixture);
	fixture.stations[1].takes = TAKES_ALL;
	port_part(fixture.stations[2].port);
	port_part(fixture.stations[3].port);
	rules.storm = 2 * SEGMENTS;
	port_set_rules(fixture.stations[0].port, &rules);
	for (unsigned int i = 0; i < 4; i++)
		transmit_undone(&fixture.stations[0], broadcast, SEGMENT);
	assert_int_equal(dropped(&fixture.stations[0], DROP_STORM), 2);
	assert_int_equal(fixture.stations[1].frames, 2);
	dataplane_destroy(fixture.dataplane);
}

static void answers_keep_what_is_undone(void **state)
{
	struct fixture fixture;

	(void)state;
	start_link(&fixture);
	fixture.stations[0].takes = fixture.stations[1].takes = TAKES_ALL;
	fixture.stations[1].hears = answer;
	transmit_undone(&fixture.stations[0], broadcast, SEGMENT);
	expect_whole(&fixture.stations[0], SIZE);
	expect_whole(&fixture.stations[1], SIZE);
	dataplane_destroy(fixture.dataplane);
}

/* ---- Wires with impairments ---- */

static void impaired_where_it_is_sent(void **state)
{
	const struct impairment impairment = {.loss = IMPAIRMENT_ALL}, none = {.loss = 0};
	struct fixture fixture;

	(void)state;
	start_link(&fixture);
	fixture.stations[1].takes = TAKES_ALL;
	assert_int_equal(port_impair(fixture.stations[0].port, PORT_SENDS, &impairment, 1), 0);
	transmit_undone(&fixture.stations[0], broadcast, SEGMENT);
	assert_int_equal(counters_of(&fixture.stations[0]).transmitted_frames, SEGMENTS);
	assert_int_equal(dropped(&fixture.stations[0], DROP_LOSS), SEGMENTS);
	assert_int_equal(port_impair(fixture.stations[0].port, PORT_SENDS, &none, 1), 0);
	transmit_undone(&fixture.stations[0], broadcast, SEGMENT);
	expect_whole(&fixture.stations[1], SIZE);
	dataplane_destroy(fixture.dataplane);
}

static void impaired_where_it_is_received(void **state)
{
	struct impairment impairment = {.loss_every = 2};
	struct fixture fixture;

	(void)state;
	start_network(&fixture);
	fixture.stations[1].takes = fixture.stations[2].takes = TAKES_ALL;
	assert_int_equal(port_impair(fixture.stations[1].port, PORT_RECEIVES, &impairment, 1), 0);
	impairment = (struct impairment){.loss = IMPAIRMENT_ALL};
	assert_int_equal(port_impair(fixture.stations[3].port, PORT_RECEIVES, &impairment, 1), 0);
	/* Whose payload is not looked at, as some is missing. */
	port_plug(fixture.stations[1].port, NULL, NULL);
	transmit_undone(&fixture.stations[0], broadcast, SEGMENT);
	assert_int_equal(counters_of(&fixture.stations[0]).transmitted_frames, 1);
	assert_int_equal(dropped(&fixture.stations[1], DROP_LOSS), 2);
	assert_int_equal(dropped(&fixture.stations[1], DROP_NOT_READY), 3);
	expect_whole(&fixture.stations[2], SIZE);
	assert_int_equal(dropped(&fixture.stations[3], DROP_LOSS), SEGMENTS);
	dataplane_destroy(fixture.dataplane);
}

/* ---- Captures ---- */

struct crossing {
	const char *port;
	unsigned int direction;
	size_t size;
	uint32_t undone;
	uint64_t id;
};

static void expect_captured(struct pcapng_reader *reader, const struct crossing *crossings, unsigned int count)
{
	struct pcapng_reader_packet packet;

	for (unsigned int i = 0; i < count; i++) {
		assert_int_equal(pcapng_reader_next(reader, &packet), 1);
		assert_string_equal(packet.interface->name, crossings[i].port);
		assert_int_equal(packet.direction, crossings[i].direction);
		assert_int_equal(packet.size, crossings[i].size);
		assert_int_equal(packet.captured, crossings[i].size);
		assert_int_equal(packet.flags, crossings[i].direction | crossings[i].undone);
		assert_int_equal(packet.id, crossings[i].id);
	}
	assert_int_equal(pcapng_reader_next(reader, &packet), 0);
}

static void captures_have_what_crossed_each_port(void **state)
{
	const uint32_t checksum = PCAPNG_CHECKSUM_NOT_READY, both = checksum | PCAPNG_SEGMENTATION_OFFLOADED;
	const struct crossing crossings[] = {
		{"h1:eth0", 2, SIZE, both, 1}, {"h2:eth0", 1, 1054, 0, 1},    {"h2:eth0", 1, 1054, 0, 1},
		{"h2:eth0", 1, 1054, 0, 1},    {"h2:eth0", 1, 1054, 0, 1},    {"h2:eth0", 1, 96, 0, 1},
		{"h3:eth0", 1, SIZE, both, 1}, {"h4:eth0", 1, SIZE, both, 1}, {"h3:eth0", 2, SIZE, checksum, 2},
		{"h1:eth0", 1, SIZE, 0, 2},
	};
	struct fixture fixture;
	struct recording recording;

	(void)state;
	start_network(&fixture);
	recording_begin(&recording, fixture.dataplane, 0);
	fixture.stations[2].takes = fixture.stations[3].takes = TAKES_ALL;
	transmit_undone(&fixture.stations[0], broadcast, SEGMENT);
	transmit_undone(&fixture.stations[2], fixture.stations[0].address, 0);
	recording_end(&recording);
	expect_captured(recording.reader, crossings, sizeof(crossings) / sizeof(crossings[0]));
	recording_release(&recording);
	dataplane_destroy(fixture.dataplane);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(link_to_one_that_takes_it),
		cmocka_unit_test(link_to_one_that_does_not),
		cmocka_unit_test(checksums_alone),
		cmocka_unit_test(network_of_both_kinds),
		cmocka_unit_test(nothing_is_plugged_in),
		cmocka_unit_test(mirrors_get_what_they_take),
		cmocka_unit_test(mirror_of_one_that_takes_nothing),
		cmocka_unit_test(tags_of_vlans),
		cmocka_unit_test(floods_are_counted_as_on_a_wire),
		cmocka_unit_test(answers_keep_what_is_undone),
		cmocka_unit_test(impaired_where_it_is_sent),
		cmocka_unit_test(impaired_where_it_is_received),
		cmocka_unit_test(captures_have_what_crossed_each_port),
	};

	return cmocka_run_group_tests_name("dataplane-offload", tests, NULL, NULL);
}
