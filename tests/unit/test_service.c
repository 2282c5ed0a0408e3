/* SPDX-License-Identifier: Apache-2.0 */
/* Nobody waits for others longer than for a batch of each: guests that are drivers alone (tests/bench/switch/), on a
 * data plane that is turned by hand, so that what is counted is turns and frames, and not time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "netlab/dataplane.h"
#include "tests/bench/switch/lan.h"

/* Frames of one guest in a turn. */
#define BATCH 64
#define GUESTS 8

static int set_up(void **state, unsigned int networks)
{
	const struct lan_options options = {.guests = GUESTS,
					    .networks = networks,
					    .size = 64,
					    .by_hand = true,
					    .both_ways = true};
	struct lan *lan = malloc(sizeof(*lan));

	if (!lan)
		return -1;
	lan_create(lan, &options);
	*state = lan;
	return 0;
}

static int set_up_two_networks(void **state)
{
	return set_up(state, 2);
}

static int set_up_one_network(void **state)
{
	return set_up(state, 1);
}

static int tear_down(void **state)
{
	lan_destroy(*state);
	free(*state);
	return 0;
}

/* The turns it takes until a frame of one guest, and the other's answer, are there. */
static unsigned int ping(struct lan *lan, unsigned int from, unsigned int to, void (*meanwhile)(struct lan *lan))
{
	unsigned int turns = 0;

	for (unsigned int way = 0; way < 2; way++) {
		struct guest *sender = &lan->guests[way ? to : from], *receiver = &lan->guests[way ? from : to];

		assert_int_equal(guest_send(sender, 1), 1);
		do {
			meanwhile(lan);
			lan_turn(lan);
			turns++;
			assert_in_range(turns, 1, 1000);
		} while (guest_receive(receiver) == 0);
	}
	return turns;
}

static void nothing(struct lan *lan)
{
	(void)lan;
}

/* All of the first network send to all of it, as much as is taken. */
static void storm(struct lan *lan)
{
	for (unsigned int i = 0; i < GUESTS; i++) {
		if (i / 2 % 2 != 0)
			continue;
		guest_receive(&lan->guests[i]);
		guest_send(&lan->guests[i], GUEST_RING);
	}
}

static void storms_elsewhere_do_not_delay(void **state)
{
	struct lan *lan = *state;
	unsigned int idle = ping(lan, 2, 3, nothing);
	uint64_t before, flooded = 0;

	for (unsigned int i = 0; i < GUESTS; i++)
		if (i / 2 % 2 == 0)
			guest_address(&lan->guests[i], i, GUEST_ALL);
	for (unsigned int turn = 0; turn < 100; turn++) { /* It rages. */
		storm(lan);
		lan_turn(lan);
	}
	before = lan->guests[0].received;
	for (unsigned int i = 0; i < 100; i++) {
		assert_true(ping(lan, 2, 3, storm) <= idle);
		assert_true(ping(lan, 7, 6, storm) <= idle);
	}
	/* There was a storm, though never more of it between a frame and its arrival than a batch of each. */
	flooded = lan->guests[0].received - before;
	assert_in_range(flooded, 200ull * idle, 200ull * idle * BATCH * 3);
}

/* What one guest sends in a turn does not depend on what others send. */
static void each_has_a_batch_a_turn(void **state)
{
	struct lan *lan = *state;
	uint64_t first = 0;

	for (unsigned int turn = 0; turn < 50; turn++) {
		/* One pair has much to send, and the others a little. */
		guest_send(&lan->guests[0], GUEST_RING);
		for (unsigned int i = 2; i < GUESTS; i += 2)
			assert_int_equal(guest_send(&lan->guests[i], 1), 1);
		lan_turn(lan);
		assert_in_range(guest_receive(&lan->guests[1]), 1, 2 * BATCH);
		for (unsigned int i = 2; i < GUESTS; i += 2)
			assert_int_equal(guest_receive(&lan->guests[i + 1]), 1);
		first = lan->guests[1].received;
	}
	assert_true(first >= 50 * BATCH / 2);
	lan_settle(lan);
}

/* A guest that takes nothing out of its ring is the only one that loses frames, and nobody waits for it, least of all
 * who sends to it. */
static void slow_receivers_are_their_own_loss(void **state)
{
	struct lan *lan = *state;
	struct port_counters counters;
	struct guest *slow = &lan->guests[1];

	for (unsigned int turn = 0; turn < 100; turn++) {
		guest_send(&lan->guests[0], BATCH);
		assert_int_equal(guest_send(&lan->guests[2], BATCH), BATCH);
		lan_turn(lan);
		assert_int_equal(guest_receive(&lan->guests[3]), BATCH);
	}
	lan_turn(lan);
	assert_int_equal(lan->guests[0].sent, 100 * BATCH);
	assert_int_equal(guest_receive(slow), GUEST_RING);
	port_read_counters(slow->port, &counters);
	assert_int_equal(counters.dropped[DROP_RECEIVE_RING_FULL], 100 * BATCH - GUEST_RING);
	for (unsigned int i = 0; i < GUESTS; i++) {
		port_read_counters(lan->guests[i].port, &counters);
		if (i != 1)
			assert_int_equal(counters.dropped[DROP_RECEIVE_RING_FULL], 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(storms_elsewhere_do_not_delay, set_up_two_networks, tear_down),
		cmocka_unit_test_setup_teardown(each_has_a_batch_a_turn, set_up_one_network, tear_down),
		cmocka_unit_test_setup_teardown(slow_receivers_are_their_own_loss, set_up_one_network, tear_down),
	};

	return cmocka_run_group_tests_name("service", tests, NULL, NULL);
}
