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
#include <unistd.h>

#include <cmocka.h>

#include "core/loop.h"
#include "netlab/capture.h"
#include "netlab/dataplane.h"
#include "netlab/impairment.h"
#include "netlab/pcapng.h"
#include "netlab/pcapng_reader.h"
#include "netlab/port_rules.h"
#include "tcp_frame.h"

#define PORTS 4
#define SIZE 4096u /* Of a frame that is sent: 4042 bytes of payload, */
#define SEGMENT 1000
#define SEGMENTS 5 /* the last one of 42 bytes. */

enum taking { TAKES_NOTHING, TAKES_CHECKSUMS, TAKES_ALL };

/* Stands for a NIC. */
struct station {
	struct port *port;
	enum taking takes;
	unsigned int frames, offloaded;
	size_t bytes, payload; /* In sum; of frames as on a wire. */
	bool has_tags;
	struct frame_offload offload; /* The last one's. */
	uint8_t address[6];
	struct station *answers_as; /* Answers once, by a frame with undone work. */
};

struct fixture {
	struct dataplane *dataplane;
	struct network *network;
	struct station stations[PORTS];
};

static void transmit(struct station *station, const uint8_t *destination, uint16_t segment_size)
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

/* One that is none has the payload that comes next, and all else is true. */
static void check_wire_frame(struct station *station, const uint8_t *bytes, size_t size)
{
	size_t headers = TCP_FRAME_HEADERS + (bytes[12] == 0x81 ? 4 : 0);

	assert_true(tcp_frame_is_true(bytes, size));
	for (size_t i = headers; i < size; i++)
		assert_int_equal(bytes[i], (uint8_t)(station->payload + i - headers));
	station->payload += size - headers;
}

static enum port_result deliver(void *opaque, const struct frame *frame)
{
	struct station *station = opaque, *as = station->answers_as;
	uint8_t bytes[SIZE + 4];

	assert_in_range(frame->size, FRAME_SIZE_MIN, sizeof(bytes));
	frame_copy(frame, bytes, frame->size);
	station->frames++;
	station->bytes += frame->size;
	station->has_tags = bytes[12] == 0x81;
	station->offload = frame->offload;
	if (frame_is_offloaded(frame))
		station->offloaded++;
	else
		check_wire_frame(station, bytes, frame->size);
	station->answers_as = NULL;
	if (as)
		transmit(as, station->address, SEGMENT);
	return PORT_DELIVERED;
}

static bool takes(void *opaque, const struct frame *frame)
{
	const struct station *station = opaque;

	assert_true(frame_is_offloaded(frame));
	return station->takes == TAKES_ALL || (station->takes == TAKES_CHECKSUMS && frame->offload.segment_size == 0);
}

static const struct port_ops ops = {.deliver = deliver, .takes = takes};
static const struct port_ops plain_ops = {.deliver = deliver};

static void set_up(struct fixture *fixture)
{
	static const char *const names[PORTS] = {"h0:eth0", "h1:eth0", "h2:eth0", "h3:eth0"};

	memset(fixture, 0, sizeof(*fixture));
	fixture->dataplane = dataplane_create(NULL);
	assert_non_null(fixture->dataplane);
	loop_adopt(dataplane_loop(fixture->dataplane));
	for (int i = 0; i < PORTS; i++) {
		struct station *station = &fixture->stations[i];

		memcpy(station->address, (const uint8_t[]){0x52, 0x54, 0, 0, 0, (uint8_t)(i + 1)}, 6);
		station->port = dataplane_add_port(fixture->dataplane, names[i]);
		assert_non_null(station->port);
		port_plug(station->port, &ops, station);
	}
}

static void set_up_link(struct fixture *fixture)
{
	set_up(fixture);
	port_join_port(fixture->stations[0].port, fixture->stations[1].port);
}

static void set_up_network(struct fixture *fixture)
{
	set_up(fixture);
	fixture->network = dataplane_add_network(fixture->dataplane, "lan", 64, 300);
	assert_non_null(fixture->network);
	for (int i = 0; i < PORTS; i++)
		port_join_network(fixture->stations[i].port, fixture->network);
}

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* The frame as it was sent. */
static void expect_whole(struct station *station, size_t size)
{
	struct port_counters counters;

	assert_int_equal(station->frames, 1);
	assert_int_equal(station->offloaded, 1);
	assert_int_equal(station->bytes, size);
	assert_int_equal(station->offload.segment_size, SEGMENT);
	assert_int_equal(station->offload.checksum_start, 34 + size - SIZE);
	port_read_counters(station->port, &counters);
	assert_int_equal(counters.received_frames, 1);
	assert_int_equal(counters.received_bytes, size);
}

/* All of its segments, with 'more' bytes of tags each. */
static void expect_segments(struct station *station, size_t more)
{
	struct port_counters counters;

	assert_int_equal(station->frames, SEGMENTS);
	assert_int_equal(station->offloaded, 0);
	assert_int_equal(station->payload, SIZE - TCP_FRAME_HEADERS);
	port_read_counters(station->port, &counters);
	assert_int_equal(counters.received_frames, SEGMENTS);
	assert_int_equal(counters.received_bytes, SIZE - TCP_FRAME_HEADERS + SEGMENTS * (TCP_FRAME_HEADERS + more));
}

static void link_to_one_that_takes_it(void **state)
{
	struct fixture fixture;

	(void)state;
	set_up_link(&fixture);
	fixture.stations[1].takes = TAKES_ALL;
	transmit(&fixture.stations[0], broadcast, SEGMENT);
	expect_whole(&fixture.stations[1], SIZE);
	dataplane_destroy(fixture.dataplane);
}

static void link_to_one_that_does_not(void **state)
{
	struct fixture fixture;
	struct port_counters counters;

	(void)state;
	for (int i = 0; i < 3; i++) {
		set_up_link(&fixture);
		fixture.stations[1].takes = i == 1 ? TAKES_CHECKSUMS : TAKES_NOTHING;
		if (i == 2)
			port_plug(fixture.stations[1].port, &plain_ops, &fixture.stations[1]);
		transmit(&fixture.stations[0], broadcast, SEGMENT);
		expect_segments(&fixture.stations[1], 0);
		port_read_counters(fixture.stations[0].port, &counters);
		assert_int_equal(counters.transmitted_frames, 1);
		assert_int_equal(counters.transmitted_bytes, SIZE);
		dataplane_destroy(fixture.dataplane);
	}
}

static void checksums_alone(void **state)
{
	struct fixture fixture;

	(void)state;
	set_up_link(&fixture);
	fixture.stations[1].takes = TAKES_CHECKSUMS;
	transmit(&fixture.stations[0], broadcast, 0);
	assert_int_equal(fixture.stations[1].offloaded, 1);
	fixture.stations[1].takes = TAKES_NOTHING;
	transmit(&fixture.stations[0], broadcast, 0);
	assert_int_equal(fixture.stations[1].offloaded, 1);
	assert_int_equal(fixture.stations[1].frames, 2);
	assert_int_equal(fixture.stations[1].payload, SIZE - TCP_FRAME_HEADERS);
	dataplane_destroy(fixture.dataplane);
}

static void network_of_both_kinds(void **state)
{
	struct fixture fixture;

	(void)state;
	set_up_network(&fixture);
	fixture.stations[2].takes = TAKES_ALL;
	transmit(&fixture.stations[0], broadcast, SEGMENT);
	expect_segments(&fixture.stations[1], 0);
	expect_whole(&fixture.stations[2], SIZE);
	expect_segments(&fixture.stations[3], 0);
	dataplane_destroy(fixture.dataplane);
}

static void nothing_is_plugged_in(void **state)
{
	struct fixture fixture;
	struct port_counters counters;

	(void)state;
	set_up_link(&fixture);
	port_plug(fixture.stations[1].port, NULL, NULL);
	transmit(&fixture.stations[0], broadcast, SEGMENT);
	port_read_counters(fixture.stations[1].port, &counters);
	assert_int_equal(counters.dropped[DROP_NOT_READY], 1);
	dataplane_destroy(fixture.dataplane);
}

static void mirrors_get_what_they_take(void **state)
{
	struct fixture fixture;

	(void)state;
	set_up_link(&fixture);
	fixture.stations[1].takes = fixture.stations[2].takes = TAKES_ALL;
	port_add_mirror(fixture.stations[0].port, fixture.stations[2].port);
	port_add_mirror(fixture.stations[1].port, fixture.stations[3].port);
	transmit(&fixture.stations[0], broadcast, SEGMENT);
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
	set_up_link(&fixture);
	fixture.stations[2].takes = TAKES_ALL;
	port_add_mirror(fixture.stations[1].port, fixture.stations[2].port);
	transmit(&fixture.stations[0], broadcast, SEGMENT);
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
	set_up_network(&fixture);
	network_set_options(fixture.network, &options);
	port_rules_add_trunk(&trunk, 10, 10);
	port_set_rules(fixture.stations[0].port, &access);
	port_set_rules(fixture.stations[1].port, &access);
	port_set_rules(fixture.stations[2].port, &trunk);
	port_set_rules(fixture.stations[3].port, &trunk);
	fixture.stations[3].takes = TAKES_ALL;
	transmit(&fixture.stations[0], broadcast, SEGMENT);
	expect_segments(&fixture.stations[1], 0);
	expect_segments(&fixture.stations[2], 4);
	assert_true(fixture.stations[2].has_tags && fixture.stations[3].has_tags);
	expect_whole(&fixture.stations[3], SIZE + 4);
	dataplane_destroy(fixture.dataplane);
}

/* A second's frames may be owed, and then what a frame stands for is owed as well. */
static void floods_are_counted_as_on_a_wire(void **state)
{
	struct port_rules rules = port_rules_default;
	struct port_counters counters;
	struct fixture fixture;

	(void)state;
	set_up_network(&fixture);
	fixture.stations[1].takes = TAKES_ALL;
	port_part(fixture.stations[2].port);
	port_part(fixture.stations[3].port);
	rules.storm = 2 * SEGMENTS;
	port_set_rules(fixture.stations[0].port, &rules);
	for (unsigned int i = 0; i < 4; i++)
		transmit(&fixture.stations[0], broadcast, SEGMENT);
	port_read_counters(fixture.stations[0].port, &counters);
	assert_int_equal(counters.dropped[DROP_STORM], 2);
	assert_int_equal(fixture.stations[1].frames, 2);
	dataplane_destroy(fixture.dataplane);
}

static void answers_keep_what_is_undone(void **state)
{
	struct fixture fixture;

	(void)state;
	set_up_link(&fixture);
	fixture.stations[0].takes = fixture.stations[1].takes = TAKES_ALL;
	fixture.stations[1].answers_as = &fixture.stations[1];
	transmit(&fixture.stations[0], broadcast, SEGMENT);
	expect_whole(&fixture.stations[0], SIZE);
	expect_whole(&fixture.stations[1], SIZE);
	dataplane_destroy(fixture.dataplane);
}

/* ---- Wires with impairments ---- */

static void impaired_where_it_is_sent(void **state)
{
	const struct impairment impairment = {.loss = IMPAIRMENT_ALL}, none = {.loss = 0};
	struct port_counters counters;
	struct fixture fixture;

	(void)state;
	set_up_link(&fixture);
	fixture.stations[1].takes = TAKES_ALL;
	assert_int_equal(port_impair(fixture.stations[0].port, PORT_SENDS, &impairment, 1), 0);
	transmit(&fixture.stations[0], broadcast, SEGMENT);
	port_read_counters(fixture.stations[0].port, &counters);
	assert_int_equal(counters.transmitted_frames, SEGMENTS);
	assert_int_equal(counters.dropped[DROP_LOSS], SEGMENTS);
	assert_int_equal(port_impair(fixture.stations[0].port, PORT_SENDS, &none, 1), 0);
	transmit(&fixture.stations[0], broadcast, SEGMENT);
	expect_whole(&fixture.stations[1], SIZE);
	dataplane_destroy(fixture.dataplane);
}

static void impaired_where_it_is_received(void **state)
{
	struct impairment impairment = {.loss_every = 2};
	struct port_counters counters;
	struct fixture fixture;

	(void)state;
	set_up_network(&fixture);
	fixture.stations[1].takes = fixture.stations[2].takes = TAKES_ALL;
	assert_int_equal(port_impair(fixture.stations[1].port, PORT_RECEIVES, &impairment, 1), 0);
	impairment = (struct impairment){.loss = IMPAIRMENT_ALL};
	assert_int_equal(port_impair(fixture.stations[3].port, PORT_RECEIVES, &impairment, 1), 0);
	/* Whose payload is not looked at, as some is missing. */
	port_plug(fixture.stations[1].port, NULL, NULL);
	transmit(&fixture.stations[0], broadcast, SEGMENT);
	port_read_counters(fixture.stations[0].port, &counters);
	assert_int_equal(counters.transmitted_frames, 1);
	port_read_counters(fixture.stations[1].port, &counters);
	assert_int_equal(counters.dropped[DROP_LOSS], 2);
	assert_int_equal(counters.dropped[DROP_NOT_READY], 3);
	expect_whole(&fixture.stations[2], SIZE);
	port_read_counters(fixture.stations[3].port, &counters);
	assert_int_equal(counters.dropped[DROP_LOSS], SEGMENTS);
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

static void expect_captured(const char *path, const struct crossing *crossings, unsigned int count)
{
	FILE *stream = fopen(path, "r");
	struct pcapng_reader *reader = pcapng_reader_create(stream);
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
	pcapng_reader_destroy(reader);
	fclose(stream);
}

static void captures_have_what_crossed_each_port(void **state)
{
	const uint32_t checksum = PCAPNG_CHECKSUM_NOT_READY, both = checksum | PCAPNG_SEGMENTATION_OFFLOADED;
	const struct crossing crossings[] = {
		{"h0:eth0", 2, SIZE, both, 1}, {"h1:eth0", 1, 1054, 0, 1},    {"h1:eth0", 1, 1054, 0, 1},
		{"h1:eth0", 1, 1054, 0, 1},    {"h1:eth0", 1, 1054, 0, 1},    {"h1:eth0", 1, 96, 0, 1},
		{"h2:eth0", 1, SIZE, both, 1}, {"h3:eth0", 1, SIZE, both, 1}, {"h2:eth0", 2, SIZE, checksum, 2},
		{"h0:eth0", 1, SIZE, 0, 2},
	};
	char folder[] = "/tmp/test-dataplane-offload-XXXXXX", path[64];
	const struct capture_options options = {.folder = folder, .has_lab_file = true};
	struct fixture fixture;
	struct capture *capture;

	(void)state;
	assert_non_null(mkdtemp(folder));
	capture = capture_create(&options, NULL);
	assert_non_null(capture);
	set_up_network(&fixture);
	dataplane_set_capture(fixture.dataplane, capture);
	assert_int_equal(dataplane_start(fixture.dataplane, NULL), 0);
	dataplane_stop(fixture.dataplane);
	fixture.stations[2].takes = fixture.stations[3].takes = TAKES_ALL;
	transmit(&fixture.stations[0], broadcast, SEGMENT);
	transmit(&fixture.stations[2], fixture.stations[0].address, 0);
	snprintf(path, sizeof(path), "%s", capture_lab_path(capture));
	dataplane_destroy(fixture.dataplane);
	capture_destroy(capture);
	expect_captured(path, crossings, sizeof(crossings) / sizeof(crossings[0]));
	unlink(path);
	rmdir(folder);
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
