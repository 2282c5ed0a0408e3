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
#include "stations.h"

/* From one station to another, or to all. */
static void pass(struct fixture *fixture, int from, int to)
{
	transmit(&fixture->stations[from], to < 0 ? broadcast : fixture->stations[to].address, 60);
}

/* Frames that found the link down at this port. */
static uint64_t died(const struct fixture *fixture, int station)
{
	return dropped(&fixture->stations[station], DROP_LINK_DOWN);
}

static void expect_frames(const struct fixture *fixture, unsigned int h1, unsigned int h2, unsigned int h3)
{
	assert_int_equal(fixture->stations[0].frames, h1);
	assert_int_equal(fixture->stations[1].frames, h2);
	assert_int_equal(fixture->stations[2].frames, h3);
}

static void both_ends_of_a_link_lose_carrier(void **state)
{
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
	pass(&fixture, 0, 1);
	pass(&fixture, 1, 0);
	expect_frames(&fixture, 0, 0, 0);
	assert_int_equal(died(&fixture, 0), 1);
	assert_int_equal(died(&fixture, 1), 1);
	assert_int_equal(counters_of(&fixture.stations[0]).transmitted_frames, 1);
	port_set_carrier(fixture.stations[0].port, true);
	assert_true(fixture.stations[0].is_up && fixture.stations[1].is_up);
	pass(&fixture, 0, 1);
	pass(&fixture, 1, 0);
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
		pass(&fixture, i, i == 2 ? 1 : 2);
	assert_int_equal(network_mac_count(fixture.network), 3);
	for (int i = 0; i < PORTS; i++)
		fixture.stations[i].frames = 0;
	port_set_carrier(fixture.stations[1].port, false);
	assert_true(port_has_carrier(fixture.stations[0].port) && port_has_carrier(fixture.stations[2].port));
	assert_int_equal(network_mac_count(fixture.network), 2);
	pass(&fixture, 1, 0); /* Dies where it came from, and is not learnt from. */
	assert_int_equal(network_mac_count(fixture.network), 2);
	assert_int_equal(died(&fixture, 1), 1);
	pass(&fixture, 0, 1); /* Is flooded: dies where it came to, at that port. */
	expect_frames(&fixture, 0, 0, 1);
	assert_int_equal(died(&fixture, 1), 2);
	pass(&fixture, 0, -1);
	expect_frames(&fixture, 0, 0, 2);
	assert_int_equal(died(&fixture, 1), 3);
	assert_int_equal(died(&fixture, 0), 0);
	port_set_carrier(fixture.stations[1].port, true);
	pass(&fixture, 0, 1);
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
	pass(&fixture, 0, 1);
	pass(&fixture, 1, 0);
	expect_frames(&fixture, 1, 0, 0);
	assert_int_equal(died(&fixture, 0), 1);
	port_cut(port, PORT_SENDS, false);
	port_cut(port, PORT_RECEIVES, true);
	pass(&fixture, 0, 1);
	pass(&fixture, 1, 0);
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
