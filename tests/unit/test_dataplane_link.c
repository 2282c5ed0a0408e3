/* SPDX-License-Identifier: Apache-2.0 */
/* Carrier and cuts: where frames die, who is told, and that snapshots have it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/state.h"
#include "netlab/dataplane.h"
#include "tests/state_bytes.h"

#define PORTS 3

/* Stands for a NIC. */
struct station {
	struct port *port;
	unsigned int frames, told;
	bool is_up; /* As it was told last. */
};

struct fixture {
	struct dataplane *dataplane;
	struct network *network;
	struct station stations[PORTS];
};

static enum port_result deliver(void *opaque, const struct frame *frame)
{
	struct station *station = opaque;

	(void)frame;
	station->frames++;
	return PORT_DELIVERED;
}

static void set_carrier(void *opaque, bool is_up)
{
	struct station *station = opaque;

	station->told++;
	station->is_up = is_up;
}

static const struct port_ops ops = {.deliver = deliver, .set_carrier = set_carrier};

/* As a device is made: with carrier. */
static void plug(struct station *station)
{
	station->told = 0;
	station->is_up = true;
	port_plug(station->port, &ops, station);
}

static void set_up(struct fixture *fixture)
{
	static const char *const names[PORTS] = {"h1:eth0", "h2:eth0", "h3:eth0"};

	*fixture = (struct fixture){.dataplane = dataplane_create(NULL)};
	assert_non_null(fixture->dataplane);
	for (int i = 0; i < PORTS; i++) {
		fixture->stations[i].port = dataplane_add_port(fixture->dataplane, names[i]);
		assert_non_null(fixture->stations[i].port);
		plug(&fixture->stations[i]);
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

/* From one station to another, or to all. */
static void transmit(struct fixture *fixture, int from, int to)
{
	struct frame frame = {.header_size = 60, .size = 60};

	memset(frame.header, 0, sizeof(frame.header));
	if (to < 0)
		memset(frame.header, 0xff, 6);
	else
		frame.header[5] = (uint8_t)(to + 1);
	frame.header[11] = (uint8_t)(from + 1);
	frame.header[0] |= to < 0 ? 0 : 0x52;
	frame.header[6] = 0x52;
	port_transmit(fixture->stations[from].port, &frame);
}

/* Frames that found the link down at this port. */
static uint64_t died(const struct fixture *fixture, int station)
{
	struct port_counters counters;

	port_read_counters(fixture->stations[station].port, &counters);
	return counters.dropped[DROP_LINK_DOWN];
}

static void expect_frames(const struct fixture *fixture, unsigned int h1, unsigned int h2, unsigned int h3)
{
	assert_int_equal(fixture->stations[0].frames, h1);
	assert_int_equal(fixture->stations[1].frames, h2);
	assert_int_equal(fixture->stations[2].frames, h3);
}

static void both_ends_of_a_link_lose_carrier(void **state)
{
	struct port_counters counters;
	struct fixture fixture;

	(void)state;
	set_up_link(&fixture);
	assert_true(port_has_carrier(fixture.stations[0].port));
	port_set_carrier(fixture.stations[1].port, false);
	for (int i = 0; i < 2; i++) {
		assert_false(port_has_carrier(fixture.stations[i].port));
		assert_int_equal(fixture.stations[i].told, 1);
		assert_false(fixture.stations[i].is_up);
	}
	transmit(&fixture, 0, 1);
	transmit(&fixture, 1, 0);
	expect_frames(&fixture, 0, 0, 0);
	assert_int_equal(died(&fixture, 0), 1);
	assert_int_equal(died(&fixture, 1), 1);
	port_read_counters(fixture.stations[0].port, &counters);
	assert_int_equal(counters.transmitted_frames, 1);
	port_set_carrier(fixture.stations[0].port, true);
	assert_true(fixture.stations[0].is_up && fixture.stations[1].is_up);
	transmit(&fixture, 0, 1);
	transmit(&fixture, 1, 0);
	expect_frames(&fixture, 1, 1, 0);
	dataplane_destroy(fixture.dataplane);
}

static void the_same_again_tells_nobody(void **state)
{
	struct fixture fixture;

	(void)state;
	set_up_link(&fixture);
	port_set_carrier(fixture.stations[0].port, true);
	assert_int_equal(fixture.stations[0].told, 0);
	port_set_carrier(fixture.stations[0].port, false);
	port_set_carrier(fixture.stations[1].port, false);
	assert_int_equal(fixture.stations[0].told, 1);
	assert_int_equal(fixture.stations[1].told, 1);
	dataplane_destroy(fixture.dataplane);
}

static void on_a_network_one_port_loses_carrier(void **state)
{
	struct fixture fixture;

	(void)state;
	set_up_network(&fixture);
	for (int i = 0; i < PORTS; i++)
		transmit(&fixture, i, i == 2 ? 1 : 2);
	assert_int_equal(network_mac_count(fixture.network), 3);
	for (int i = 0; i < PORTS; i++)
		fixture.stations[i].frames = 0;
	port_set_carrier(fixture.stations[1].port, false);
	assert_true(port_has_carrier(fixture.stations[0].port) && port_has_carrier(fixture.stations[2].port));
	assert_int_equal(network_mac_count(fixture.network), 2);
	transmit(&fixture, 1, 0); /* Dies where it came from, and is not learnt from. */
	assert_int_equal(network_mac_count(fixture.network), 2);
	assert_int_equal(died(&fixture, 1), 1);
	transmit(&fixture, 0, 1); /* Is flooded: dies where it came to, at that port. */
	expect_frames(&fixture, 0, 0, 1);
	assert_int_equal(died(&fixture, 1), 2);
	transmit(&fixture, 0, -1);
	expect_frames(&fixture, 0, 0, 2);
	assert_int_equal(died(&fixture, 1), 3);
	assert_int_equal(died(&fixture, 0), 0);
	port_set_carrier(fixture.stations[1].port, true);
	transmit(&fixture, 0, 1);
	expect_frames(&fixture, 0, 1, 3);
	dataplane_destroy(fixture.dataplane);
}

static void a_cut_is_of_one_direction(void **state)
{
	struct port *port;
	struct fixture fixture;

	(void)state;
	set_up_link(&fixture);
	port = fixture.stations[0].port;
	port_cut(port, PORT_SENDS, true);
	assert_true(port_is_cut(port, PORT_SENDS) && !port_is_cut(port, PORT_RECEIVES) && port_has_carrier(port));
	transmit(&fixture, 0, 1);
	transmit(&fixture, 1, 0);
	expect_frames(&fixture, 1, 0, 0);
	assert_int_equal(died(&fixture, 0), 1);
	port_cut(port, PORT_SENDS, false);
	port_cut(port, PORT_RECEIVES, true);
	transmit(&fixture, 0, 1);
	transmit(&fixture, 1, 0);
	expect_frames(&fixture, 1, 1, 0);
	assert_int_equal(died(&fixture, 0), 2); /* It came that far. */
	assert_int_equal(died(&fixture, 1), 0);
	assert_int_equal(fixture.stations[0].told + fixture.stations[1].told, 0);
	dataplane_destroy(fixture.dataplane);
}

static void carrier_and_cuts_are_apart(void **state)
{
	struct port *port;
	struct fixture fixture;

	(void)state;
	set_up_link(&fixture);
	port = fixture.stations[0].port;
	port_cut(port, PORT_RECEIVES, true);
	port_set_carrier(port, false);
	port_set_carrier(port, true);
	assert_true(port_is_cut(port, PORT_RECEIVES));
	port_set_carrier(port, false);
	port_cut(port, PORT_RECEIVES, false);
	assert_false(port_has_carrier(port));
	dataplane_destroy(fixture.dataplane);
}

static void what_is_plugged_in_later_is_told(void **state)
{
	struct station *station;
	struct fixture fixture;

	(void)state;
	set_up_link(&fixture);
	station = &fixture.stations[0];
	port_plug(station->port, NULL, NULL);
	port_set_carrier(fixture.stations[1].port, false);
	assert_int_equal(station->told, 0);
	plug(station);
	assert_int_equal(station->told, 1);
	assert_false(station->is_up);
	port_set_carrier(station->port, true);
	plug(station);
	assert_int_equal(station->told, 0);
	dataplane_destroy(fixture.dataplane);
}

/* h1's link is down, and what h3 receives is cut. */
static struct state save_some(void)
{
	struct state state = {0};
	struct fixture fixture;

	set_up_link(&fixture);
	port_set_carrier(fixture.stations[0].port, false);
	port_cut(fixture.stations[2].port, PORT_RECEIVES, true);
	dataplane_save(fixture.dataplane, &state);
	assert_false(state.bad);
	dataplane_destroy(fixture.dataplane);
	return state;
}

static void snapshots_have_it(void **unused)
{
	struct state state = save_some();
	struct fixture fixture;

	(void)unused;
	set_up_link(&fixture);
	port_cut(fixture.stations[0].port, PORT_SENDS, true);
	dataplane_restore(fixture.dataplane, &state);
	assert_false(state.bad);
	assert_false(port_has_carrier(fixture.stations[0].port) || port_has_carrier(fixture.stations[1].port));
	assert_false(port_is_cut(fixture.stations[0].port, PORT_SENDS));
	assert_false(fixture.stations[0].is_up || fixture.stations[1].is_up);
	assert_true(fixture.stations[2].is_up);
	assert_true(port_is_cut(fixture.stations[2].port, PORT_RECEIVES));
	dataplane_destroy(fixture.dataplane);
	state_release(&state);
}

/* The first port's record. */
static void bad_bits_make_a_state_bad(void **unused)
{
	struct state state = save_some();
	struct fixture fixture;
	uint8_t *record;
	size_t size;

	(void)unused;
	record = state_section(&state, STATE_TAG('p', 'o', 'r', 't'), 0, &size);
	record[size - sizeof(uint64_t)] = 8;
	set_up_link(&fixture);
	dataplane_restore(fixture.dataplane, &state);
	assert_true(state.bad);
	dataplane_destroy(fixture.dataplane);
	state_release(&state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ends_of_a_link_lose_carrier),
		cmocka_unit_test(the_same_again_tells_nobody),
		cmocka_unit_test(on_a_network_one_port_loses_carrier),
		cmocka_unit_test(a_cut_is_of_one_direction),
		cmocka_unit_test(carrier_and_cuts_are_apart),
		cmocka_unit_test(what_is_plugged_in_later_is_told),
		cmocka_unit_test(snapshots_have_it),
		cmocka_unit_test(bad_bits_make_a_state_bad),
	};

	return cmocka_run_group_tests_name("dataplane_link", tests, NULL, NULL);
}
