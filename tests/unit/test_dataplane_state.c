/* SPDX-License-Identifier: Apache-2.0 */
/* Saving and restoring a data plane: counters and addresses come back, and what does not fit makes the state bad. */
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
#include "netlab/port_rules.h"
#include "tests/state_bytes.h"

#define PORTS 3
#include "stations.h"

#define AGEING 300u
#define SECOND 1000000000ull

#define TAG_PORT STATE_TAG('p', 'o', 'r', 't')
#define TAG_NETWORK STATE_TAG('n', 'e', 't', 'w')
#define TAG_ADDRESS STATE_TAG('m', 'a', 'c', ' ')

/* The beginning of what is saved of an address. */
struct saved_address {
	uint64_t address;
	uint64_t age; /* Nanoseconds. */
	uint64_t vlan;
	char port[16];
};

#define AWAY 9 /* A station that is not there. */

/* A frame from station 'from' to the address of station 'to'. */
static void pass(struct fixture *fixture, int from, int to)
{
	const uint8_t address[6] = {0x52, 0x54, 0, 0, 0, (uint8_t)(to + 1)};

	transmit(&fixture->stations[from], address, 60);
}

static unsigned int frames(const struct fixture *fixture)
{
	unsigned int sum = 0;

	for (int i = 0; i < PORTS; i++)
		sum += fixture->stations[i].frames;
	return sum;
}

/* Whether a frame goes to that station alone. */
static bool is_known(struct fixture *fixture, int station)
{
	unsigned int all = frames(fixture), own = fixture->stations[station].frames;

	pass(fixture, station == 0, station);
	assert_int_equal(fixture->stations[station].frames, own + 1);
	return frames(fixture) == all + 1;
}

/* All three have sent, and one frame was lost. */
static struct state save_some(void)
{
	struct fixture fixture;
	struct state state = {0};

	set_up_network(&fixture);
	for (int i = 0; i < PORTS; i++)
		pass(&fixture, i, AWAY);
	fixture.stations[1].result = PORT_RING_FULL;
	pass(&fixture, 0, 1);
	pass(&fixture, 1, 0);
	dataplane_save(fixture.dataplane, &state);
	assert_false(state.bad);
	dataplane_destroy(fixture.dataplane);
	return state;
}

static void restore(struct fixture *fixture, struct state *state)
{
	state->at = 0;
	state->bad = false;
	dataplane_restore(fixture->dataplane, state);
}

static void counters_come_back(void **unused)
{
	struct state state = save_some();
	struct port_counters counters;
	struct fixture fixture;

	(void)unused;
	set_up_network(&fixture);
	pass(&fixture, 2, AWAY);
	restore(&fixture, &state);
	assert_false(state.bad);
	assert_int_equal(state.at, state.size);
	port_read_counters(fixture.stations[0].port, &counters);
	assert_int_equal(counters.transmitted_frames, 2);
	assert_int_equal(counters.transmitted_bytes, 120);
	assert_int_equal(counters.received_frames, 3);
	assert_int_equal(counters.received_bytes, 180);
	port_read_counters(fixture.stations[1].port, &counters);
	assert_int_equal(counters.transmitted_frames, 2);
	assert_int_equal(counters.received_frames, 2);
	assert_int_equal(counters.dropped[DROP_RECEIVE_RING_FULL], 1);
	port_read_counters(fixture.stations[2].port, &counters);
	assert_int_equal(counters.transmitted_frames, 1);
	/* And go on from there. */
	pass(&fixture, 2, 0);
	port_read_counters(fixture.stations[2].port, &counters);
	assert_int_equal(counters.transmitted_frames, 2);
	state_release(&state);
	dataplane_destroy(fixture.dataplane);
}

static void addresses_come_back(void **unused)
{
	struct state state = save_some();
	struct fixture fixture;

	(void)unused;
	set_up_network(&fixture);
	assert_false(is_known(&fixture, 2));
	restore(&fixture, &state);
	assert_int_equal(network_mac_count(fixture.network), 3);
	for (int i = 0; i < PORTS; i++)
		assert_true(is_known(&fixture, i));
	state_release(&state);
	dataplane_destroy(fixture.dataplane);
}

/* What was learnt since is forgotten. */
static void addresses_of_now_go(void **unused)
{
	struct fixture fixture;
	struct state state = {0};

	(void)unused;
	set_up_network(&fixture);
	dataplane_save(fixture.dataplane, &state);
	pass(&fixture, 1, AWAY);
	assert_true(is_known(&fixture, 1));
	restore(&fixture, &state);
	assert_false(state.bad);
	assert_int_equal(network_mac_count(fixture.network), 0);
	assert_false(is_known(&fixture, 1));
	state_release(&state);
	dataplane_destroy(fixture.dataplane);
}

/* Gives address 'number' another age.  They stand oldest first: those of stations 2, 0 and 1. */
static void set_age(struct state *state, unsigned int number, uint64_t age)
{
	memcpy((uint8_t *)state_section(state, TAG_ADDRESS, number, NULL) + offsetof(struct saved_address, age), &age,
	       sizeof(age));
}

static uint64_t age_of(const struct state *state, unsigned int number)
{
	struct saved_address saved;

	memcpy(&saved, state_section(state, TAG_ADDRESS, number, NULL), sizeof(saved));
	return saved.age;
}

/* Saved again, they are older by the time that has passed here. */
static void expect_same_ages(struct fixture *fixture, struct state *state)
{
	uint64_t before = loop_now(), passed;
	struct state again = {0};

	restore(fixture, state);
	assert_false(state->bad);
	dataplane_save(fixture->dataplane, &again);
	passed = loop_now() - before;
	for (unsigned int i = 0; i < PORTS; i++)
		assert_in_range(age_of(&again, i) - age_of(state, i), 0, passed);
	state_release(&again);
}

static void ages_come_back(void **unused)
{
	struct state state = save_some();
	struct fixture fixture;

	(void)unused;
	set_up_network(&fixture);
	set_age(&state, 0, 200 * SECOND);
	set_age(&state, 1, 100 * SECOND);
	set_age(&state, 2, 7);
	expect_same_ages(&fixture, &state);
	for (int i = 0; i < PORTS; i++)
		assert_true(is_known(&fixture, i));
	state_release(&state);
	dataplane_destroy(fixture.dataplane);
}

/* In a lab that is paused, nobody can send and so be seen. */
static void ages_stand_still_in_a_pause(void **unused)
{
	struct state first = {0}, second = {0};
	struct fixture fixture;

	(void)unused;
	set_up_network(&fixture);
	for (int i = 0; i < PORTS; i++)
		pass(&fixture, i, AWAY);
	dataplane_pause(fixture.dataplane, true);
	dataplane_save(fixture.dataplane, &first);
	usleep(20000);
	dataplane_hold(fixture.dataplane, true);
	dataplane_hold(fixture.dataplane, false);
	dataplane_save(fixture.dataplane, &second);
	for (unsigned int i = 0; i < PORTS; i++)
		assert_int_equal(age_of(&first, i), age_of(&second, i));
	dataplane_pause(fixture.dataplane, false);
	for (int i = 0; i < PORTS; i++)
		assert_true(is_known(&fixture, i));
	state_release(&first);
	state_release(&second);
	dataplane_destroy(fixture.dataplane);
}

static void address_that_has_aged_is_not_known(void **unused)
{
	struct state state = save_some();
	struct fixture fixture;

	(void)unused;
	set_up_network(&fixture);
	set_age(&state, 0, AGEING * SECOND);
	restore(&fixture, &state);
	assert_false(state.bad);
	assert_false(is_known(&fixture, 2));
	assert_true(is_known(&fixture, 1));
	state_release(&state);
	dataplane_destroy(fixture.dataplane);
}

/* The host has booted since. */
static void age_larger_than_the_clock(void **unused)
{
	struct state state = save_some();
	struct fixture fixture;
	uint64_t age = loop_now() + 1000 * SECOND;

	(void)unused;
	set_up_ageing_network(&fixture, (unsigned int)(age / SECOND) + 1000);
	set_age(&state, 0, age);
	expect_same_ages(&fixture, &state);
	assert_true(is_known(&fixture, 2));
	set_age(&state, 0, age + 1000 * SECOND);
	restore(&fixture, &state);
	assert_false(is_known(&fixture, 2));
	set_age(&state, 0, INT64_MAX);
	restore(&fixture, &state);
	assert_false(state.bad);
	assert_false(is_known(&fixture, 2));
	set_age(&state, 0, UINT64_MAX); /* It would be younger than new. */
	restore(&fixture, &state);
	assert_true(state.bad);
	state_release(&state);
	dataplane_destroy(fixture.dataplane);
}

static void on_time_out(void *opaque)
{
	loop_stop(opaque);
}

/* Restored addresses are forgotten by themselves: the timer runs, though no frame comes. */
static void restored_addresses_are_forgotten(void **unused)
{
	struct state state = save_some();
	struct fixture fixture;
	struct loop_timer timer = {.function = on_time_out};
	struct loop *loop;

	(void)unused;
	set_up_ageing_network(&fixture, 1);
	for (unsigned int i = 0; i < PORTS; i++)
		set_age(&state, i, 0); /* However long saving took. */
	restore(&fixture, &state);
	loop = dataplane_loop(fixture.dataplane);
	assert_int_equal(network_mac_count(fixture.network), 3);
	timer.opaque = loop;
	for (int i = 0; i < 600 && network_mac_count(fixture.network) > 0; i++) {
		loop_timer_set(loop, &timer, loop_now() + SECOND / 10);
		loop_run(loop);
	}
	assert_int_equal(network_mac_count(fixture.network), 0);
	state_release(&state);
	dataplane_destroy(fixture.dataplane);
}

/* Else a guest that is saved next would have frames of which it is never told. */
static void saving_ends_the_turn(void **unused)
{
	struct state state = {0};
	struct fixture fixture;

	(void)unused;
	set_up_network(&fixture);
	pass(&fixture, 0, AWAY);
	assert_int_equal(fixture.stations[1].flushes, 0);
	dataplane_save(fixture.dataplane, &state);
	assert_int_equal(fixture.stations[1].flushes, 1);
	assert_int_equal(fixture.stations[2].flushes, 1);
	state_release(&state);
	dataplane_destroy(fixture.dataplane);
}

/* Changes a byte of a section, and has the state refused, and the right one taken after it. */
static void expect_bad(uint32_t tag, unsigned int number, size_t offset, uint8_t value)
{
	struct state state = save_some();
	struct fixture fixture;
	uint8_t *at = (uint8_t *)state_section(&state, tag, number, NULL) + offset, before = *at;

	assert_int_not_equal(before, value);
	set_up_network(&fixture);
	*at = value;
	restore(&fixture, &state);
	assert_true(state.bad);
	*at = before;
	restore(&fixture, &state);
	assert_false(state.bad);
	state_release(&state);
	dataplane_destroy(fixture.dataplane);
}

static void unknown_port(void **unused)
{
	(void)unused;
	expect_bad(TAG_PORT, 0, 1, '9');
	expect_bad(TAG_PORT, PORTS - 1, 0, '\0');
}

static void unknown_network(void **unused)
{
	(void)unused;
	expect_bad(TAG_NETWORK, 0, 0, 'w');
}

static void address_of_unknown_port(void **unused)
{
	(void)unused;
	expect_bad(TAG_ADDRESS, 1, offsetof(struct saved_address, port) + 1, '9');
}

static void address_that_is_none(void **unused)
{
	(void)unused;
	expect_bad(TAG_ADDRESS, 0, offsetof(struct saved_address, address) + 6, 1);
}

/* One that is younger than the next. */
static void addresses_out_of_order(void **unused)
{
	(void)unused;
	expect_bad(TAG_ADDRESS, 2, offsetof(struct saved_address, age) + 7, 1);
}

static const struct network_options with_vlans = {.has_vlans = true};

/* Each VLAN has its own, and gets it back. */
static void vlans_come_back(void **unused)
{
	struct port_rules rules = {.vlan = 10};
	struct fixture fixture;
	struct state state = {0};

	(void)unused;
	for (int i = 0; i < 2; i++) {
		set_up_network(&fixture);
		network_set_options(fixture.network, &with_vlans);
		port_set_rules(fixture.stations[2].port, &rules);
		if (i == 0) {
			pass(&fixture, 0, AWAY);
			pass(&fixture, 2, AWAY);
			dataplane_save(fixture.dataplane, &state);
			dataplane_destroy(fixture.dataplane);
		}
	}
	restore(&fixture, &state);
	assert_false(state.bad);
	assert_int_equal(network_mac_count(fixture.network), 2);
	pass(&fixture, 1, 2); /* In VLAN 1 nobody knows station 2. */
	assert_int_equal(fixture.stations[2].frames, 0);
	assert_int_equal(fixture.stations[0].frames, 1);
	/* A port is in other VLANs than the state says, or the network in none. */
	rules.vlan = 11;
	port_set_rules(fixture.stations[2].port, &rules);
	restore(&fixture, &state);
	assert_true(state.bad);
	network_set_options(fixture.network, &(struct network_options){.has_vlans = false});
	restore(&fixture, &state);
	assert_true(state.bad);
	state_release(&state);
	dataplane_destroy(fixture.dataplane);
}

static void address_in_a_vlan_that_is_none(void **unused)
{
	(void)unused;
	expect_bad(TAG_ADDRESS, 0, offsetof(struct saved_address, vlan), 1);
	expect_bad(TAG_ADDRESS, 1, offsetof(struct saved_address, vlan) + 2, 1);
	expect_bad(TAG_ADDRESS, 2, offsetof(struct saved_address, vlan) + 7, 0x80);
}

static void address_of_a_port_that_is_elsewhere(void **unused)
{
	struct state state = save_some();
	struct fixture fixture;
	struct network *other;

	(void)unused;
	set_up_network(&fixture);
	other = dataplane_add_network(fixture.dataplane, "other", 64, AGEING);
	port_join_network(fixture.stations[1].port, other);
	restore(&fixture, &state);
	assert_true(state.bad);
	assert_int_equal(network_mac_count(other), 0);
	state_release(&state);
	dataplane_destroy(fixture.dataplane);
}

static void port_that_is_no_more(void **unused)
{
	struct state state = save_some();
	struct fixture fixture;

	(void)unused;
	set_up_network(&fixture);
	port_plug(fixture.stations[2].port, NULL, NULL);
	dataplane_remove_port(fixture.stations[2].port);
	restore(&fixture, &state);
	assert_true(state.bad);
	state_release(&state);
	dataplane_destroy(fixture.dataplane);
}

/* However much of it is there. */
static void state_cut_short(void **unused)
{
	struct state state = save_some();
	struct fixture fixture;
	size_t size = state.size;

	(void)unused;
	set_up_network(&fixture);
	for (state.size = 0; state.size < size; state.size++) {
		restore(&fixture, &state);
		assert_true(state.bad);
	}
	restore(&fixture, &state);
	assert_false(state.bad);
	state_release(&state);
	dataplane_destroy(fixture.dataplane);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_come_back),
		cmocka_unit_test(addresses_come_back),
		cmocka_unit_test(addresses_of_now_go),
		cmocka_unit_test(ages_come_back),
		cmocka_unit_test(ages_stand_still_in_a_pause),
		cmocka_unit_test(address_that_has_aged_is_not_known),
		cmocka_unit_test(age_larger_than_the_clock),
		cmocka_unit_test(restored_addresses_are_forgotten),
		cmocka_unit_test(saving_ends_the_turn),
		cmocka_unit_test(unknown_port),
		cmocka_unit_test(unknown_network),
		cmocka_unit_test(address_of_unknown_port),
		cmocka_unit_test(address_that_is_none),
		cmocka_unit_test(addresses_out_of_order),
		cmocka_unit_test(vlans_come_back),
		cmocka_unit_test(address_in_a_vlan_that_is_none),
		cmocka_unit_test(address_of_a_port_that_is_elsewhere),
		cmocka_unit_test(port_that_is_no_more),
		cmocka_unit_test(state_cut_short),
	};

	return cmocka_run_group_tests_name("dataplane_state", tests, NULL, NULL);
}
