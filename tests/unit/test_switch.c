/* SPDX-License-Identifier: Apache-2.0 */
/* The learning switch: what it learns, forgets and decides.  Time is given, so nothing here waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "netlab/switch.h"

#define SECOND 1000000000ull
#define AGEING 300
#define PORTS 16

struct fixture {
	struct switch_table *table;
	struct switch_port ports[PORTS];
	uint16_t vlan;
	uint64_t now;
};

static void set_up(struct fixture *fixture, size_t size)
{
	fixture->vlan = 0;
	fixture->table = switch_create(size, AGEING);
	assert_non_null(fixture->table);
	for (int i = 0; i < PORTS; i++)
		switch_port_init(&fixture->ports[i]);
	fixture->now = 1000 * SECOND;
}

/* Address 'number', of a station (not a group), never zero. */
static void make_address(uint8_t *address, uint64_t number)
{
	address[0] = 0x52;
	for (int i = 5; i > 0; i--) {
		address[i] = (uint8_t)number;
		number >>= 8;
	}
}

static enum switch_decision send_raw(struct fixture *fixture, int from, const uint8_t *destination,
				     const uint8_t *source, struct switch_port **to)
{
	uint8_t header[12];

	memcpy(header, destination, 6);
	memcpy(header + 6, source, 6);
	return switch_frame(fixture->table, &fixture->ports[from], fixture->vlan, header, fixture->now, to);
}

static enum switch_decision send(struct fixture *fixture, int from, uint64_t destination, uint64_t source,
				 struct switch_port **to)
{
	uint8_t addresses[2][6];

	make_address(addresses[0], destination);
	make_address(addresses[1], source);
	return send_raw(fixture, from, addresses[0], addresses[1], to);
}

/* The number of the port behind which address 'number' is, or -1. */
static int where(const struct fixture *fixture, uint64_t number)
{
	struct switch_port *port;
	uint8_t address[6];

	make_address(address, number);
	port = switch_lookup(fixture->table, fixture->vlan, address, fixture->now);
	return port ? (int)(port - fixture->ports) : -1;
}

static void learns_sources_and_forwards(void **state)
{
	struct fixture fixture;
	struct switch_port *to;

	(void)state;
	set_up(&fixture, 64);
	assert_int_equal(send(&fixture, 0, 2, 1, &to), SWITCH_FLOOD);
	assert_int_equal(send(&fixture, 1, 1, 2, &to), SWITCH_FORWARD);
	assert_ptr_equal(to, &fixture.ports[0]);
	assert_int_equal(send(&fixture, 0, 2, 1, &to), SWITCH_FORWARD);
	assert_ptr_equal(to, &fixture.ports[1]);
	assert_int_equal(switch_count(fixture.table), 2);
	switch_destroy(fixture.table);
}

static void frames_to_own_port_go_nowhere(void **state)
{
	struct fixture fixture;
	struct switch_port *to;

	(void)state;
	set_up(&fixture, 64);
	send(&fixture, 3, 2, 1, &to);
	assert_int_equal(send(&fixture, 3, 1, 2, &to), SWITCH_SAME_PORT);
	assert_int_equal(send(&fixture, 3, 1, 1, &to), SWITCH_SAME_PORT);
	switch_destroy(fixture.table);
}

static void groups_are_flooded(void **state)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t multicast[6] = {0x33, 0x33, 0, 0, 0, 1};
	struct fixture fixture;
	struct switch_port *to;
	uint8_t source[6];

	(void)state;
	set_up(&fixture, 64);
	make_address(source, 1);
	assert_int_equal(send_raw(&fixture, 0, broadcast, source, &to), SWITCH_FLOOD);
	assert_int_equal(send_raw(&fixture, 0, multicast, source, &to), SWITCH_FLOOD);
	switch_destroy(fixture.table);
}

static void group_and_zero_sources_are_not_learnt(void **state)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t multicast[6] = {0x01, 0, 0x5e, 0, 0, 1};
	static const uint8_t zero[6];
	struct fixture fixture;
	struct switch_port *to;
	uint8_t destination[6];

	(void)state;
	set_up(&fixture, 64);
	make_address(destination, 1);
	assert_int_equal(send_raw(&fixture, 0, destination, broadcast, &to), SWITCH_FLOOD);
	assert_int_equal(send_raw(&fixture, 0, destination, multicast, &to), SWITCH_FLOOD);
	assert_int_equal(send_raw(&fixture, 0, destination, zero, &to), SWITCH_FLOOD);
	assert_int_equal(switch_count(fixture.table), 0);
	/* Nor do frames to them find a port. */
	assert_int_equal(send_raw(&fixture, 1, multicast, destination, &to), SWITCH_FLOOD);
	assert_int_equal(send_raw(&fixture, 1, zero, destination, &to), SWITCH_FLOOD);
	switch_destroy(fixture.table);
}

static void reserved_addresses_are_not_forwarded(void **state)
{
	uint8_t destination[6] = {0x01, 0x80, 0xc2, 0x00, 0x00, 0x00};
	struct fixture fixture;
	struct switch_port *to;
	uint8_t source[6];

	(void)state;
	set_up(&fixture, 64);
	make_address(source, 7);
	for (int last = 0; last <= 0x0f; last++) {
		destination[5] = (uint8_t)last;
		assert_int_equal(send_raw(&fixture, 0, destination, source, &to), SWITCH_RESERVED);
	}
	assert_int_equal(where(&fixture, 7), 0); /* Their source is learnt. */
	destination[5] = 0x10;
	assert_int_equal(send_raw(&fixture, 0, destination, source, &to), SWITCH_FLOOD);
	destination[4] = 1;
	destination[5] = 0;
	assert_int_equal(send_raw(&fixture, 0, destination, source, &to), SWITCH_FLOOD);
	switch_destroy(fixture.table);
}

static void moved_station_is_relearnt_at_once(void **state)
{
	struct fixture fixture;
	struct switch_port *to;

	(void)state;
	set_up(&fixture, 64);
	send(&fixture, 0, 9, 1, &to);
	assert_int_equal(where(&fixture, 1), 0);
	send(&fixture, 5, 9, 1, &to);
	assert_int_equal(where(&fixture, 1), 5);
	assert_int_equal(send(&fixture, 0, 1, 2, &to), SWITCH_FORWARD);
	assert_ptr_equal(to, &fixture.ports[5]);
	assert_int_equal(switch_count(fixture.table), 2);
	assert_int_equal(fixture.ports[0].count, 1);
	assert_int_equal(fixture.ports[5].count, 1);
	switch_destroy(fixture.table);
}

static void aged_addresses_are_unknown(void **state)
{
	struct fixture fixture;
	struct switch_port *to;

	(void)state;
	set_up(&fixture, 64);
	send(&fixture, 0, 9, 1, &to);
	fixture.now += AGEING * SECOND - 1;
	assert_int_equal(where(&fixture, 1), 0);
	fixture.now += 1;
	assert_int_equal(where(&fixture, 1), -1);
	assert_int_equal(send(&fixture, 1, 1, 2, &to), SWITCH_FLOOD);
	/* A new frame revives it. */
	send(&fixture, 0, 9, 1, &to);
	assert_int_equal(where(&fixture, 1), 0);
	switch_destroy(fixture.table);
}

static void frames_keep_addresses_young(void **state)
{
	struct fixture fixture;
	struct switch_port *to;

	(void)state;
	set_up(&fixture, 64);
	for (int i = 0; i < 10; i++) {
		send(&fixture, 0, 9, 1, &to);
		fixture.now += AGEING * SECOND / 2;
	}
	assert_int_equal(where(&fixture, 1), 0);
	switch_destroy(fixture.table);
}

static void expiry_frees_what_has_aged(void **state)
{
	struct fixture fixture;
	struct switch_port *to;

	(void)state;
	set_up(&fixture, 1024);
	assert_int_equal(switch_expire(fixture.table, fixture.now), 0);
	for (uint64_t i = 0; i < 1000; i++)
		send(&fixture, (int)(i % PORTS), 5000, i, &to);
	fixture.now += SECOND;
	send(&fixture, 0, 5000, 4000, &to);
	assert_int_equal(switch_expire(fixture.table, fixture.now), fixture.now + (AGEING - 1) * SECOND);
	assert_int_equal(switch_count(fixture.table), 1001);
	fixture.now += (AGEING - 1) * SECOND;
	/* A bounded number at a time. */
	assert_int_equal(switch_expire(fixture.table, fixture.now), fixture.now);
	assert_in_range(switch_count(fixture.table), 2, 1000);
	while (switch_expire(fixture.table, fixture.now) == fixture.now)
		;
	assert_int_equal(switch_count(fixture.table), 1);
	assert_int_equal(where(&fixture, 4000), 0);
	assert_int_equal(switch_expire(fixture.table, fixture.now + SECOND), 0);
	assert_int_equal(switch_count(fixture.table), 0);
	switch_destroy(fixture.table);
}

static void forgotten_port_leaves_others(void **state)
{
	struct fixture fixture;
	struct switch_port *to;

	(void)state;
	set_up(&fixture, 64);
	send(&fixture, 0, 9, 1, &to);
	send(&fixture, 0, 9, 2, &to);
	send(&fixture, 1, 9, 3, &to);
	switch_forget_port(fixture.table, &fixture.ports[0]);
	assert_int_equal(where(&fixture, 1), -1);
	assert_int_equal(where(&fixture, 2), -1);
	assert_int_equal(where(&fixture, 3), 1);
	assert_int_equal(switch_count(fixture.table), 1);
	switch_destroy(fixture.table);
}

static void flood_of_addresses_pushes_out_its_own(void **state)
{
	struct fixture fixture;
	struct switch_port *to;

	(void)state;
	set_up(&fixture, 256);
	for (int port = 1; port < PORTS; port++) {
		for (uint64_t i = 0; i < 10; i++)
			send(&fixture, port, 99999, (uint64_t)port * 100 + i, &to);
	}
	for (uint64_t i = 0; i < 100000; i++) {
		fixture.now++;
		send(&fixture, 0, 99999, 1000000 + i, &to);
		assert_in_range(switch_count(fixture.table), 1, 256);
	}
	assert_int_equal(switch_count(fixture.table), 256);
	for (int port = 1; port < PORTS; port++) {
		for (uint64_t i = 0; i < 10; i++)
			assert_int_equal(where(&fixture, (uint64_t)port * 100 + i), port);
	}
	/* Port 0 keeps its newest. */
	assert_int_equal(where(&fixture, 1000000 + 99999), 0);
	assert_int_equal(where(&fixture, 1000000 + 99999 - 105), 0);
	assert_int_equal(where(&fixture, 1000000 + 99999 - 106), -1);
	switch_destroy(fixture.table);
}

static void newcomer_gets_room_from_the_largest(void **state)
{
	struct fixture fixture;
	struct switch_port *to;

	(void)state;
	set_up(&fixture, 64);
	for (uint64_t i = 0; i < 64; i++)
		send(&fixture, i < 40 ? 0 : 1, 99999, i, &to);
	send(&fixture, 2, 99999, 1000, &to);
	assert_int_equal(where(&fixture, 1000), 2);
	assert_int_equal(where(&fixture, 0), -1); /* Port 0's longest unseen. */
	assert_int_equal(fixture.ports[0].count, 39);
	assert_int_equal(fixture.ports[1].count, 24);
	/* All ports flood: each ends with its share. */
	for (uint64_t i = 0; i < 64000; i++)
		send(&fixture, (int)(i % PORTS), 99999, 100000 + i, &to);
	for (int port = 0; port < PORTS; port++)
		assert_int_equal(fixture.ports[port].count, 64 / PORTS);
	switch_destroy(fixture.table);
}

static void eviction_takes_aged_addresses_first(void **state)
{
	struct fixture fixture;
	struct switch_port *to;

	(void)state;
	set_up(&fixture, 4);
	send(&fixture, 1, 99999, 1, &to);
	fixture.now += AGEING * SECOND;
	for (uint64_t i = 0; i < 3; i++)
		send(&fixture, 0, 99999, 10 + i, &to);
	send(&fixture, 2, 99999, 20, &to);
	assert_int_equal(fixture.ports[0].count, 3);
	assert_int_equal(fixture.ports[1].count, 0);
	assert_int_equal(where(&fixture, 20), 2);
	switch_destroy(fixture.table);
}

static void table_of_size_zero_is_a_hub(void **state)
{
	struct fixture fixture;
	struct switch_port *to;

	(void)state;
	set_up(&fixture, 0);
	send(&fixture, 0, 2, 1, &to);
	assert_int_equal(send(&fixture, 1, 1, 2, &to), SWITCH_FLOOD);
	assert_int_equal(switch_count(fixture.table), 0);
	switch_destroy(fixture.table);
}

static void table_of_size_one_works(void **state)
{
	struct fixture fixture;
	struct switch_port *to;

	(void)state;
	set_up(&fixture, 1);
	for (uint64_t i = 0; i < 100; i++) {
		send(&fixture, (int)(i % PORTS), 99999, i, &to);
		assert_int_equal(where(&fixture, i), (int)(i % PORTS));
		assert_int_equal(switch_count(fixture.table), 1);
	}
	switch_destroy(fixture.table);
}

static void arguments_out_of_range_are_refused(void **state)
{
	(void)state;
	assert_null(switch_create(SWITCH_TABLE_SIZE_MAX + 1, AGEING));
	assert_null(switch_create(16, 0));
	switch_destroy(NULL);
}

/* A table against a model that has room for all: with moves, ageing and expiry mixed by a fixed seed. */
static void agrees_with_a_model(void **state)
{
	enum { STATIONS = 200 };
	struct {
		int port;
		uint64_t seen;
	} model[STATIONS];
	struct fixture fixture;
	struct switch_port *to;
	uint32_t random = 12345;

	(void)state;
	set_up(&fixture, STATIONS);
	for (int i = 0; i < STATIONS; i++)
		model[i].port = -1;
	for (int round = 0; round < 200000; round++) {
		int station, port;

		random = random * 1664525 + 1013904223;
		station = (int)(random >> 8) % STATIONS;
		port = (int)(random >> 16) % PORTS;
		fixture.now += random % (4 * SECOND);
		if (random >> 28 == 0)
			switch_expire(fixture.table, fixture.now);
		send(&fixture, port, 99999, (uint64_t)station, &to);
		model[station].port = port;
		model[station].seen = fixture.now;
		station = (int)(random >> 12) % STATIONS;
		assert_int_equal(where(&fixture, (uint64_t)station),
				 model[station].port >= 0 && fixture.now - model[station].seen < AGEING * SECOND ?
					 model[station].port :
					 -1);
	}
	switch_destroy(fixture.table);
}

/* What switch_for_each() gives, in its order. */
struct listed {
	const struct switch_port *ports;
	size_t count;
	struct {
		uint64_t address, seen;
		int port;
		unsigned int vlan;
	} entries[64];
};

static void list(void *opaque, const struct switch_station *station)
{
	struct listed *listed = opaque;

	assert_true(listed->count < 64);
	listed->entries[listed->count].address = station->address;
	listed->entries[listed->count].seen = station->seen;
	listed->entries[listed->count].vlan = station->vlan;
	listed->entries[listed->count++].port = (int)(station->port - listed->ports);
}

static void list_all(const struct fixture *fixture, struct listed *listed)
{
	*listed = (struct listed){.ports = fixture->ports};
	switch_for_each(fixture->table, list, listed);
}

static void learn(struct fixture *fixture, int port, unsigned int vlan, uint64_t address, uint64_t seen)
{
	const struct switch_station station = {.address = address,
					       .vlan = (uint16_t)vlan,
					       .port = &fixture->ports[port],
					       .seen = seen};

	switch_learn(fixture->table, &station);
}

static void every_address_is_told_with_its_age(void **state)
{
	static const int order[] = {2, 3, 1}; /* 1 was heard of again. */
	struct fixture fixture;
	struct switch_port *to;
	struct listed listed;
	uint64_t start;

	(void)state;
	set_up(&fixture, 64);
	list_all(&fixture, &listed);
	assert_int_equal(listed.count, 0);
	start = fixture.now;
	for (uint64_t i = 0; i < 4; i++) {
		fixture.now = start + i * SECOND;
		send(&fixture, (int)i % 3 + 1, 99, i % 3 + 1, &to);
	}
	list_all(&fixture, &listed);
	assert_int_equal(listed.count, 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(listed.entries[i].address, 0x520000000000 + order[i]);
		assert_int_equal(listed.entries[i].port, order[i]);
		assert_true(listed.entries[i].seen == start + (uint64_t)(i + 1) * SECOND);
	}
	switch_destroy(fixture.table);
}

static void learnt_again_is_as_it_was(void **state)
{
	struct fixture fixture, again;
	struct listed listed, listed_again;
	struct switch_port *to;
	uint32_t random = 1;

	(void)state;
	set_up(&fixture, 32);
	for (int i = 0; i < 1000; i++) {
		random = random * 1664525 + 1013904223;
		fixture.now += random % SECOND;
		fixture.vlan = random >> 24 & 1 ? 4094 : 0;
		send(&fixture, (int)(random >> 8) % PORTS, 99999, random >> 16 & 63, &to);
	}
	list_all(&fixture, &listed);
	assert_int_equal(listed.count, 32);
	set_up(&again, 32);
	again.now = fixture.now;
	for (size_t i = 0; i < listed.count; i++)
		learn(&again, listed.entries[i].port, listed.entries[i].vlan, listed.entries[i].address,
		      listed.entries[i].seen);
	list_all(&again, &listed_again);
	listed_again.ports = listed.ports;
	assert_memory_equal(&listed_again, &listed, sizeof(listed));
	/* Both forget the same when time passes. */
	for (int i = 0; i < 40; i++) {
		fixture.now = again.now += AGEING * SECOND / 30;
		assert_int_equal(switch_expire(fixture.table, fixture.now), switch_expire(again.table, again.now));
		assert_int_equal(switch_count(fixture.table), switch_count(again.table));
	}
	assert_int_equal(switch_count(again.table), 0);
	switch_destroy(fixture.table);
	switch_destroy(again.table);
}

static void group_and_zero_are_not_learnt_again(void **state)
{
	struct fixture fixture;

	(void)state;
	set_up(&fixture, 64);
	learn(&fixture, 0, 0, 0, fixture.now);
	learn(&fixture, 0, 0, 0xffffffffffff, fixture.now);
	learn(&fixture, 0, 0, 0x010000000001, fixture.now);
	assert_int_equal(switch_count(fixture.table), 0);
	switch_destroy(fixture.table);
}

/* The clock of a host that has just booted: what was learnt is older. */
static void seen_before_the_clock_began(void **state)
{
	struct fixture fixture;

	(void)state;
	set_up(&fixture, 64);
	fixture.now = 100 * SECOND;
	learn(&fixture, 1, 0, 0x520000000001, fixture.now - 10 * AGEING * SECOND);
	learn(&fixture, 2, 0, 0x520000000002, fixture.now - (AGEING - 10) * SECOND);
	learn(&fixture, 3, 0, 0x520000000003, fixture.now - 10 * SECOND);
	assert_int_equal(where(&fixture, 1), -1);
	assert_int_equal(where(&fixture, 2), 2);
	assert_true(switch_expire(fixture.table, fixture.now) == fixture.now + 10 * SECOND);
	assert_int_equal(switch_count(fixture.table), 2);
	fixture.now += 10 * SECOND;
	assert_int_equal(where(&fixture, 2), -1);
	assert_int_equal(where(&fixture, 3), 3);
	assert_true(switch_expire(fixture.table, fixture.now) == fixture.now + (AGEING - 20) * SECOND);
	fixture.now += (AGEING - 20) * SECOND;
	assert_int_equal(switch_expire(fixture.table, fixture.now), 0);
	switch_destroy(fixture.table);
}

/* One address, behind another port in each VLAN. */
static void vlans_learn_for_themselves(void **state)
{
	static const uint16_t vlans[] = {0, 1, 2, 0x7ff, 0x800, 4094};
	struct fixture fixture;
	struct switch_port *to;

	(void)state;
	set_up(&fixture, 64);
	for (int i = 0; i < 6; i++) {
		fixture.vlan = vlans[i];
		assert_int_equal(where(&fixture, 1), -1);
		assert_int_equal(send(&fixture, i, 2, 1, &to), SWITCH_FLOOD);
	}
	assert_int_equal(switch_count(fixture.table), 6);
	for (int i = 0; i < 6; i++) {
		fixture.vlan = vlans[i];
		assert_int_equal(where(&fixture, 1), i);
		assert_int_equal(send(&fixture, PORTS - 1, 1, 3, &to), SWITCH_FORWARD);
		assert_ptr_equal(to, &fixture.ports[i]);
	}
	/* A station that moves does so in its VLAN alone. */
	send(&fixture, 9, 2, 1, &to);
	assert_int_equal(where(&fixture, 1), 9);
	fixture.vlan = vlans[1];
	assert_int_equal(where(&fixture, 1), 1);
	switch_destroy(fixture.table);
}

/* A port that claims an address in each VLAN there is pushes out its own. */
static void flood_of_vlans_evicts_its_own(void **state)
{
	struct fixture fixture;
	struct switch_port *to;

	(void)state;
	set_up(&fixture, 64);
	fixture.vlan = 10;
	send(&fixture, 1, 99, 1, &to);
	for (uint16_t vlan = 1; vlan <= 4094; vlan++) {
		fixture.vlan = vlan;
		send(&fixture, 0, 99, 2, &to);
	}
	assert_int_equal(switch_count(fixture.table), 64);
	fixture.vlan = 10;
	assert_int_equal(where(&fixture, 1), 1);
	switch_destroy(fixture.table);
}

static void flushed_table_is_as_new(void **state)
{
	struct fixture fixture;
	struct switch_port *to;

	(void)state;
	set_up(&fixture, 16);
	for (uint64_t i = 0; i < 40; i++)
		send(&fixture, (int)i % 3, 99, i, &to);
	switch_flush(fixture.table);
	assert_int_equal(switch_count(fixture.table), 0);
	assert_int_equal(switch_expire(fixture.table, fixture.now), 0);
	assert_int_equal(where(&fixture, 39), -1);
	for (uint64_t i = 0; i < 16; i++)
		send(&fixture, (int)i % 3, 99, i, &to);
	assert_int_equal(switch_count(fixture.table), 16);
	switch_destroy(fixture.table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(learns_sources_and_forwards),
		cmocka_unit_test(frames_to_own_port_go_nowhere),
		cmocka_unit_test(groups_are_flooded),
		cmocka_unit_test(group_and_zero_sources_are_not_learnt),
		cmocka_unit_test(reserved_addresses_are_not_forwarded),
		cmocka_unit_test(moved_station_is_relearnt_at_once),
		cmocka_unit_test(aged_addresses_are_unknown),
		cmocka_unit_test(frames_keep_addresses_young),
		cmocka_unit_test(expiry_frees_what_has_aged),
		cmocka_unit_test(forgotten_port_leaves_others),
		cmocka_unit_test(flood_of_addresses_pushes_out_its_own),
		cmocka_unit_test(newcomer_gets_room_from_the_largest),
		cmocka_unit_test(eviction_takes_aged_addresses_first),
		cmocka_unit_test(table_of_size_zero_is_a_hub),
		cmocka_unit_test(table_of_size_one_works),
		cmocka_unit_test(arguments_out_of_range_are_refused),
		cmocka_unit_test(agrees_with_a_model),
		cmocka_unit_test(every_address_is_told_with_its_age),
		cmocka_unit_test(learnt_again_is_as_it_was),
		cmocka_unit_test(group_and_zero_are_not_learnt_again),
		cmocka_unit_test(seen_before_the_clock_began),
		cmocka_unit_test(vlans_learn_for_themselves),
		cmocka_unit_test(flood_of_vlans_evicts_its_own),
		cmocka_unit_test(flushed_table_is_as_new),
	};

	return cmocka_run_group_tests_name("switch", tests, NULL, NULL);
}
