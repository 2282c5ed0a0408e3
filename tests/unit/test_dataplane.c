/* SPDX-License-Identifier: Apache-2.0 */
/* The data plane: where frames go, what is counted, and who is flushed.  Most of it runs without a thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/loop.h"
#include "netlab/dataplane.h"

#define PORTS 4
#include "stations.h"

static void link_passes_frames_both_ways(void **state)
{
	struct fixture fixture;
	struct station *a = &fixture.stations[0], *b = &fixture.stations[1];

	(void)state;
	set_up_link(&fixture);
	transmit(a, b->address, 60);
	transmit(b, a->address, 1514);
	assert_int_equal(b->frames, 1);
	assert_int_equal(b->size, 60);
	assert_memory_equal(b->bytes, b->address, 6);
	assert_memory_equal(b->bytes + 6, a->address, 6);
	assert_int_equal(b->bytes[59], byte_of(60, 59));
	assert_int_equal(a->frames, 1);
	assert_int_equal(a->size, 1514);
	assert_int_equal(counters_of(a).transmitted_frames, 1);
	assert_int_equal(counters_of(a).transmitted_bytes, 60);
	assert_int_equal(counters_of(a).received_frames, 1);
	assert_int_equal(counters_of(a).received_bytes, 1514);
	assert_int_equal(fixture.stations[2].frames, 0);
	dataplane_destroy(fixture.dataplane);
}

static void link_passes_what_a_bridge_would_not(void **state)
{
	static const uint8_t zero[6];
	uint8_t reserved[6] = {0x01, 0x80, 0xc2, 0, 0, 0};
	struct fixture fixture;
	struct station *a = &fixture.stations[0], *b = &fixture.stations[1];

	(void)state;
	set_up_link(&fixture);
	for (int last = 0; last <= 0x0f; last++) {
		reserved[5] = (uint8_t)last;
		transmit(a, reserved, 60);
	}
	transmit(a, zero, 60);
	transmit(a, a->address, 60);
	memset(a->address, 0xff, 6);
	transmit(a, b->address, 60);
	transmit(a, b->address, FRAME_SIZE_MIN);
	transmit(a, b->address, FRAME_SIZE_MAX);
	assert_int_equal(b->frames, 16 + 5);
	assert_int_equal(b->size_before, FRAME_SIZE_MIN);
	assert_int_equal(b->size, FRAME_SIZE_MAX);
	dataplane_destroy(fixture.dataplane);
}

/* A NIC that does not want it: it was on the wire, and nobody is to be told of it. */
static void filtered_frame_was_received(void **state)
{
	struct fixture fixture;
	struct station *a = &fixture.stations[0], *b = &fixture.stations[1];

	(void)state;
	set_up_link(&fixture);
	b->result = PORT_FILTERED;
	transmit(a, b->address, 60);
	dataplane_end_turn(fixture.dataplane);
	assert_int_equal(b->flushes, 0);
	assert_int_equal(counters_of(b).received_frames, 1);
	assert_int_equal(counters_of(b).received_bytes, 60);
	assert_int_equal(counters_of(b).filtered_frames, 1);
	for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
		assert_int_equal(dropped(b, reason), 0);
	b->result = PORT_DELIVERED;
	transmit(a, b->address, 60);
	dataplane_end_turn(fixture.dataplane);
	assert_int_equal(b->flushes, 1);
	assert_int_equal(counters_of(b).received_frames, 2);
	assert_int_equal(counters_of(b).filtered_frames, 1);
	dataplane_destroy(fixture.dataplane);
}

static void network_learns_and_floods(void **state)
{
	struct fixture fixture;
	struct station *stations = fixture.stations;

	(void)state;
	set_up_network(&fixture);
	transmit(&stations[0], stations[1].address, 60); /* Unknown: flooded. */
	for (int i = 1; i < PORTS; i++)
		assert_int_equal(stations[i].frames, 1);
	assert_int_equal(stations[0].frames, 0);
	transmit(&stations[1], stations[0].address, 60); /* Known. */
	assert_int_equal(stations[0].frames, 1);
	transmit(&stations[0], stations[1].address, 60);
	assert_int_equal(stations[1].frames, 2);
	assert_int_equal(stations[2].frames, 1);
	transmit(&stations[3], broadcast, 60);
	assert_int_equal(stations[0].frames, 2);
	assert_int_equal(stations[1].frames, 3);
	assert_int_equal(stations[2].frames, 2);
	assert_int_equal(network_mac_count(fixture.network), 3);
	assert_string_equal(network_name(fixture.network), "lan");
	dataplane_destroy(fixture.dataplane);
}

static void network_drops_are_the_senders(void **state)
{
	static const uint8_t lldp[6] = {0x01, 0x80, 0xc2, 0, 0, 0x0e};
	struct fixture fixture;
	struct station *a = &fixture.stations[0];

	(void)state;
	set_up_network(&fixture);
	transmit(a, lldp, 60);
	assert_int_equal(dropped(a, DROP_RESERVED_ADDRESS), 1);
	transmit(a, a->address, 60);
	assert_int_equal(dropped(a, DROP_SAME_PORT), 1);
	assert_int_equal(counters_of(a).transmitted_frames, 2);
	for (int i = 1; i < PORTS; i++)
		assert_int_equal(fixture.stations[i].frames, 0);
	dataplane_destroy(fixture.dataplane);
}

static void port_alone_has_no_destination(void **state)
{
	struct fixture fixture;
	struct station *stations = fixture.stations;

	(void)state;
	set_up(&fixture);
	fixture.network = dataplane_add_network(fixture.dataplane, "lan", 64, 300);
	port_join_network(stations[0].port, fixture.network);
	transmit(&stations[0], broadcast, 60);
	assert_int_equal(dropped(&stations[0], DROP_NO_DESTINATION), 1);
	transmit(&stations[1], broadcast, 60); /* Joined to nothing. */
	assert_int_equal(dropped(&stations[1], DROP_NO_DESTINATION), 1);
	assert_int_equal(counters_of(&stations[1]).transmitted_frames, 1);
	dataplane_destroy(fixture.dataplane);
}

static void receivers_drops_are_the_receivers(void **state)
{
	static const struct {
		enum port_result result;
		enum drop_reason reason;
	} cases[] = {
		{PORT_RING_FULL, DROP_RECEIVE_RING_FULL},
		{PORT_NOT_READY, DROP_NOT_READY},
		{PORT_TOO_LONG, DROP_TOO_LONG},
		{PORT_MTU, DROP_MTU},
	};
	struct fixture fixture;
	struct station *a = &fixture.stations[0], *b = &fixture.stations[1];

	(void)state;
	set_up_link(&fixture);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		b->result = cases[i].result;
		transmit(a, b->address, 60);
		assert_int_equal(dropped(b, cases[i].reason), 1);
		assert_int_equal(dropped(a, cases[i].reason), 0);
	}
	assert_int_equal(counters_of(a).transmitted_frames, sizeof(cases) / sizeof(cases[0]));
	assert_int_equal(counters_of(b).received_frames, 0);
	dataplane_end_turn(fixture.dataplane);
	assert_int_equal(b->flushes, 0); /* Nothing was delivered. */
	dataplane_destroy(fixture.dataplane);
}

static void full_receiver_does_not_hurt_the_others(void **state)
{
	struct fixture fixture;
	struct station *stations = fixture.stations;

	(void)state;
	set_up_network(&fixture);
	stations[1].result = PORT_RING_FULL;
	transmit(&stations[0], broadcast, 60);
	assert_int_equal(dropped(&stations[1], DROP_RECEIVE_RING_FULL), 1);
	assert_int_equal(stations[2].frames, 1);
	assert_int_equal(stations[3].frames, 1);
	dataplane_destroy(fixture.dataplane);
}

static void unplugged_port_drops_and_is_forgotten(void **state)
{
	struct fixture fixture;
	struct station *stations = fixture.stations;

	(void)state;
	set_up_network(&fixture);
	transmit(&stations[1], broadcast, 60);
	assert_int_equal(network_mac_count(fixture.network), 1);
	port_plug(stations[1].port, NULL, NULL);
	assert_int_equal(network_mac_count(fixture.network), 0);
	transmit(&stations[0], stations[1].address, 60);
	assert_int_equal(stations[1].frames, 0);
	assert_int_equal(dropped(&stations[1], DROP_NOT_READY), 1);
	assert_int_equal(stations[2].frames, 2); /* Flooded again. */
	plug(&stations[1]);
	transmit(&stations[0], stations[1].address, 60);
	assert_int_equal(stations[1].frames, 1);
	dataplane_destroy(fixture.dataplane);
}

static void receivers_are_flushed_once_a_turn(void **state)
{
	struct fixture fixture;
	struct station *stations = fixture.stations;

	(void)state;
	set_up_network(&fixture);
	dataplane_end_turn(fixture.dataplane);
	transmit(&stations[0], broadcast, 60);
	transmit(&stations[0], broadcast, 60);
	transmit(&stations[1], stations[0].address, 60);
	assert_int_equal(stations[2].flushes, 0);
	dataplane_end_turn(fixture.dataplane);
	dataplane_end_turn(fixture.dataplane);
	for (int i = 0; i < PORTS; i++)
		assert_int_equal(stations[i].flushes, 1);
	transmit(&stations[0], stations[1].address, 60);
	dataplane_end_turn(fixture.dataplane);
	assert_int_equal(stations[1].flushes, 2);
	assert_int_equal(stations[2].flushes, 1);
	dataplane_destroy(fixture.dataplane);
}

static void what_was_unplugged_is_not_flushed(void **state)
{
	struct fixture fixture;
	struct station *a = &fixture.stations[0], *b = &fixture.stations[1], *c = &fixture.stations[2];

	(void)state;
	set_up_link(&fixture);
	transmit(a, b->address, 60);
	port_plug(b->port, NULL, NULL);
	dataplane_end_turn(fixture.dataplane);
	assert_int_equal(b->flushes, 0);
	/* Replaced in the turn: only the new one is flushed, and only for what is its own. */
	plug(b);
	transmit(a, b->address, 60);
	port_plug(b->port, &station_ops, c);
	transmit(a, b->address, 60);
	dataplane_end_turn(fixture.dataplane);
	assert_int_equal(b->flushes, 0);
	assert_int_equal(c->flushes, 1);
	dataplane_destroy(fixture.dataplane);
}

static void malformed_frames_are_refused(void **state)
{
	struct fixture fixture;
	struct station *a = &fixture.stations[0], *b = &fixture.stations[1];
	struct frame frame = {.header_size = 13, .size = 13};

	(void)state;
	set_up_link(&fixture);
	port_transmit(a->port, &frame);
	frame.size = FRAME_SIZE_MAX + 1;
	port_transmit(a->port, &frame);
	frame.size = SIZE_MAX;
	port_transmit(a->port, &frame);
	port_refused(a->port, NULL, 5);
	assert_int_equal(dropped(a, DROP_MALFORMED), 4);
	assert_int_equal(counters_of(a).transmitted_frames, 0);
	assert_int_equal(b->frames, 0);
	dataplane_destroy(fixture.dataplane);
}

static void answer(struct station *station)
{
	transmit(station, broadcast, 200);
}

static void answer_once(struct station *station)
{
	station->hears = NULL;
	answer(station);
}

/* The second station answers a broadcast before the third has seen it, or so it wants. */
static void answers_come_after_their_question(void **state)
{
	struct fixture fixture;
	struct station *stations = fixture.stations;

	(void)state;
	set_up_network(&fixture);
	stations[1].hears = answer_once;
	transmit(&stations[0], broadcast, 100);
	assert_int_equal(stations[2].frames, 2);
	assert_int_equal(stations[2].size_before, 100);
	assert_int_equal(stations[2].size, 200);
	assert_memory_equal(stations[2].bytes + 6, stations[1].address, 6);
	assert_int_equal(stations[2].bytes[63], byte_of(200, 63));
	assert_int_equal(stations[0].frames, 1);
	dataplane_destroy(fixture.dataplane);
}

static void endless_answers_end(void **state)
{
	struct fixture fixture;
	struct station *a = &fixture.stations[0], *b = &fixture.stations[1];

	(void)state;
	set_up_link(&fixture);
	a->hears = b->hears = answer;
	transmit(a, b->address, 60);
	assert_int_equal(a->frames + b->frames, 1 + PORT_ANSWERS_MAX);
	assert_int_equal(dropped(a, DROP_QUEUE_FULL) + dropped(b, DROP_QUEUE_FULL), 1);
	/* And the next frame has its own. */
	transmit(a, b->address, 60);
	assert_int_equal(a->frames + b->frames, 2 * (1 + PORT_ANSWERS_MAX));
	dataplane_destroy(fixture.dataplane);
}

static void every_frame_is_accounted_for(void **state)
{
	struct fixture fixture;
	struct station *stations = fixture.stations;
	uint64_t transmitted = 0, ended = 0;
	uint32_t random = 1;

	(void)state;
	set_up_link(&fixture);
	port_join_port(stations[2].port, stations[3].port);
	for (int i = 0; i < 10000; i++) {
		random = random * 1664525 + 1013904223;
		stations[random >> 30].result = (enum port_result)((random >> 16) % (PORT_MTU + 1));
		transmit(&stations[random >> 26 & 3], broadcast, 14 + (random >> 16 & 1023));
	}
	for (int i = 0; i < PORTS; i++) {
		struct port_counters counters = counters_of(&stations[i]);

		transmitted += counters.transmitted_frames;
		ended += counters.received_frames;
		for (int reason = 0; reason < DROP_REASON_COUNT; reason++)
			ended += counters.dropped[reason];
	}
	assert_int_equal(transmitted, 10000);
	assert_int_equal(ended, transmitted);
	dataplane_destroy(fixture.dataplane);
}

static void transmit_some(void *opaque)
{
	struct fixture *fixture = opaque;

	for (int i = 0; i < 10; i++)
		transmit(&fixture->stations[0], fixture->stations[1].address, 60);
}

static void thread_runs_and_flushes(void **state)
{
	struct fixture fixture;
	struct station *b = &fixture.stations[1];

	(void)state;
	set_up_link(&fixture);
	assert_int_equal(dataplane_start(fixture.dataplane, NULL), 0);
	loop_call(dataplane_loop(fixture.dataplane), transmit_some, &fixture);
	assert_int_equal(counters_of(b).received_frames, 10); /* From another thread. */
	loop_post(dataplane_loop(fixture.dataplane), transmit_some, &fixture);
	dataplane_stop(fixture.dataplane); /* What was posted is run, and the turn ended. */
	dataplane_stop(fixture.dataplane);
	assert_int_equal(b->frames, 20);
	assert_in_range(b->flushes, 1, 2);
	dataplane_destroy(fixture.dataplane);
}

static void ports_are_joined_anew(void **state)
{
	struct fixture fixture;
	struct station *stations = fixture.stations;
	struct network *other;

	(void)state;
	set_up_network(&fixture);
	transmit(&stations[0], broadcast, 60);
	/* To where it is: nothing is forgotten. */
	port_join_network(stations[0].port, fixture.network);
	assert_int_equal(network_mac_count(fixture.network), 1);
	/* To another network: the old one forgets it, and hears it no more. */
	other = dataplane_add_network(fixture.dataplane, "dmz", 64, 300);
	port_join_network(stations[0].port, other);
	port_join_network(stations[1].port, other);
	assert_int_equal(network_mac_count(fixture.network), 0);
	transmit(&stations[0], broadcast, 60);
	assert_int_equal(stations[1].frames, 2);
	assert_int_equal(stations[2].frames, 1);
	/* To a link, and to another's: who is left behind is joined to nothing. */
	port_join_port(stations[0].port, stations[2].port);
	assert_int_equal(network_mac_count(other), 0);
	transmit(&stations[0], broadcast, 60);
	assert_int_equal(stations[2].frames, 2);
	port_join_port(stations[2].port, stations[0].port);
	port_join_port(stations[0].port, stations[3].port);
	transmit(&stations[0], broadcast, 60);
	assert_int_equal(stations[3].frames, 2);
	transmit(&stations[2], broadcast, 60);
	assert_int_equal(dropped(&stations[2], DROP_NO_DESTINATION), 1);
	assert_int_equal(counters_of(&stations[0]).transmitted_frames, 4);
	dataplane_destroy(fixture.dataplane);
}

static void ports_and_networks_go(void **state)
{
	struct fixture fixture;
	struct station *stations = fixture.stations;

	(void)state;
	set_up_network(&fixture);
	transmit(&stations[0], broadcast, 60); /* It has still to be flushed to the others. */
	for (int i = 0; i < 2; i++) {
		port_plug(stations[i].port, NULL, NULL);
		dataplane_remove_port(stations[i].port);
	}
	assert_int_equal(network_mac_count(fixture.network), 0);
	transmit(&stations[2], stations[0].address, 60);
	assert_int_equal(stations[3].frames, 2);
	port_join_port(stations[2].port, stations[3].port);
	dataplane_remove_network(fixture.network);
	port_plug(stations[3].port, NULL, NULL);
	dataplane_remove_port(stations[3].port);
	transmit(&stations[2], broadcast, 60);
	assert_int_equal(dropped(&stations[2], DROP_NO_DESTINATION), 1);
	dataplane_end_turn(fixture.dataplane);
	assert_int_equal(stations[1].flushes, 0);
	dataplane_destroy(fixture.dataplane);
}

/* What the data plane's thread does for the test. */
static void join_all(void *opaque)
{
	struct fixture *fixture = opaque;

	for (int i = 0; i < 2; i++) {
		port_join_network(fixture->stations[i].port, fixture->network);
		plug(&fixture->stations[i]);
	}
}

static void unplug_all(void *opaque)
{
	struct fixture *fixture = opaque;

	for (int i = 0; i < 2; i++)
		port_plug(fixture->stations[i].port, NULL, NULL);
}

static void send_some(void *opaque)
{
	struct fixture *fixture = opaque;

	for (int i = 0; i < 100; i++)
		transmit(&fixture->stations[i % 2], broadcast, 60);
}

static void building_goes_on_while_it_runs(void **state)
{
	struct fixture fixture = {.dataplane = dataplane_create(NULL)};
	struct loop *loop = dataplane_loop(fixture.dataplane);

	(void)state;
	assert_int_equal(dataplane_start(fixture.dataplane, NULL), 0);
	for (int round = 0; round < 100; round++) {
		fixture.network = dataplane_add_network(fixture.dataplane, "lan", 64, 300);
		for (int i = 0; i < 2; i++) {
			fixture.stations[i].port = dataplane_add_port(fixture.dataplane, i ? "h2:eth0" : "h1:eth0");
			assert_int_equal(dataplane_capture_port(fixture.stations[i].port, NULL), 0);
		}
		loop_call(loop, join_all, &fixture);
		loop_call(loop, send_some, &fixture);
		loop_call(loop, unplug_all, &fixture);
		for (int i = 0; i < 2; i++)
			dataplane_remove_port(fixture.stations[i].port);
		dataplane_remove_network(fixture.network);
	}
	assert_int_equal(fixture.stations[0].frames, 5000);
	assert_int_equal(fixture.stations[1].frames, 5000);
	dataplane_destroy(fixture.dataplane);
}

static void nothing_moves_while_it_is_held(void **state)
{
	struct fixture fixture;

	(void)state;
	set_up_link(&fixture);
	dataplane_hold(fixture.dataplane, true);
	transmit(&fixture.stations[0], broadcast, 60);
	assert_int_equal(fixture.stations[1].frames, 0);
	assert_int_equal(dropped(&fixture.stations[0], DROP_NOT_READY), 1);
	dataplane_hold(fixture.dataplane, false);
	transmit(&fixture.stations[0], broadcast, 60);
	assert_int_equal(fixture.stations[1].frames, 1);
	dataplane_destroy(fixture.dataplane);
}

static void drop_reasons_have_names(void **state)
{
	(void)state;
	for (int i = 0; i < DROP_REASON_COUNT; i++) {
		const char *name = drop_reason_name((enum drop_reason)i);

		assert_non_null(name);
		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz-"), strlen(name));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(name, drop_reason_name((enum drop_reason)j));
	}
	assert_string_equal(drop_reason_name(DROP_RESERVED_ADDRESS), "reserved-address");
	assert_string_equal(drop_reason_name(DROP_REASON_COUNT), "unknown");
}

static void networks_out_of_range_are_refused(void **state)
{
	struct fixture fixture;

	(void)state;
	set_up(&fixture);
	assert_null(dataplane_add_network(fixture.dataplane, "lan", 65537, 300));
	assert_null(dataplane_add_network(fixture.dataplane, "lan", 64, 0));
	assert_string_equal(port_name(fixture.stations[2].port), "h3:eth0");
	dataplane_destroy(fixture.dataplane);
	dataplane_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(link_passes_frames_both_ways),
		cmocka_unit_test(link_passes_what_a_bridge_would_not),
		cmocka_unit_test(filtered_frame_was_received),
		cmocka_unit_test(network_learns_and_floods),
		cmocka_unit_test(network_drops_are_the_senders),
		cmocka_unit_test(port_alone_has_no_destination),
		cmocka_unit_test(receivers_drops_are_the_receivers),
		cmocka_unit_test(full_receiver_does_not_hurt_the_others),
		cmocka_unit_test(unplugged_port_drops_and_is_forgotten),
		cmocka_unit_test(receivers_are_flushed_once_a_turn),
		cmocka_unit_test(what_was_unplugged_is_not_flushed),
		cmocka_unit_test(malformed_frames_are_refused),
		cmocka_unit_test(answers_come_after_their_question),
		cmocka_unit_test(endless_answers_end),
		cmocka_unit_test(every_frame_is_accounted_for),
		cmocka_unit_test(thread_runs_and_flushes),
		cmocka_unit_test(ports_are_joined_anew),
		cmocka_unit_test(ports_and_networks_go),
		cmocka_unit_test(building_goes_on_while_it_runs),
		cmocka_unit_test(nothing_moves_while_it_is_held),
		cmocka_unit_test(drop_reasons_have_names),
		cmocka_unit_test(networks_out_of_range_are_refused),
	};

	return cmocka_run_group_tests_name("dataplane", tests, NULL, NULL);
}
