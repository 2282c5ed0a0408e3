/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of ports: VLANs, isolation, mirrors, limits and guards, as frames meet them in the data plane. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "netlab/dataplane.h"
#include "netlab/port_rules.h"

#define PORTS 5
#include "stations.h"

/* Which stations have been given a frame since the last time, "0134"; 'text' has PORTS + 1 bytes. */
static const char *reached(struct fixture *fixture, char *text)
{
	size_t count = 0;

	for (int i = 0; i < PORTS; i++) {
		if (fixture->stations[i].frames > 0)
			text[count++] = (char)('0' + i);
		fixture->stations[i].frames = 0;
	}
	text[count] = '\0';
	return text;
}

#define expect_reached(fixture, expected) \
	do { \
		char text_[PORTS + 1]; \
		assert_string_equal(reached(fixture, text_), expected); \
	} while (0)

/* The control information of the tag of what a station got last, or UNTAGGED. */
static unsigned int tag_of(const struct station *station)
{
	if (station->bytes[12] != 0x81 || station->bytes[13] != 0)
		return UNTAGGED;
	return (unsigned int)station->bytes[14] << 8 | station->bytes[15];
}

static void set_rules(struct station *station, uint16_t vlan, uint16_t first, uint16_t last)
{
	struct port_rules rules = {.vlan = vlan};

	if (first)
		port_rules_add_trunk(&rules, first, last);
	port_set_rules(station->port, &rules);
}

/* 0 and 1 in VLAN 10, 2 in VLAN 20, 3 a trunk of both, 4 a trunk of all with 1 as the VLAN without tags. */
static void set_up_vlans(struct fixture *fixture)
{
	const struct network_options options = {.has_vlans = true};

	set_up_network(fixture);
	network_set_options(fixture->network, &options);
	set_rules(&fixture->stations[0], 10, 0, 0);
	set_rules(&fixture->stations[1], 10, 0, 0);
	set_rules(&fixture->stations[2], 20, 0, 0);
	set_rules(&fixture->stations[3], 0, 10, 20);
	set_rules(&fixture->stations[4], 1, 1, 4094);
}

static void network_without_vlans_passes_tags(void **state)
{
	struct fixture fixture;

	(void)state;
	set_up_network(&fixture);
	transmit_tagged(&fixture.stations[0], broadcast, 10, 60);
	expect_reached(&fixture, "1234");
	assert_int_equal(tag_of(&fixture.stations[1]), 10);
	transmit_tagged(&fixture.stations[0], broadcast, 4095, 60);
	expect_reached(&fixture, "1234");
	assert_int_equal(tag_of(&fixture.stations[4]), 4095);
	dataplane_destroy(fixture.dataplane);
}

static void frames_stay_in_their_vlan(void **state)
{
	struct fixture fixture;
	struct station *stations = fixture.stations;

	(void)state;
	set_up_vlans(&fixture);
	transmit(&stations[0], broadcast, 60);
	expect_reached(&fixture, "134");
	assert_int_equal(tag_of(&stations[1]), UNTAGGED);
	assert_int_equal(tag_of(&stations[3]), 10);
	assert_int_equal(tag_of(&stations[4]), 10);
	transmit(&stations[2], broadcast, 60);
	expect_reached(&fixture, "34");
	assert_int_equal(tag_of(&stations[3]), 20);
	/* VLAN 1 is on the last port alone. */
	transmit(&stations[4], broadcast, 60);
	expect_reached(&fixture, "");
	assert_int_equal(dropped(&stations[4], DROP_NO_DESTINATION), 1);
	transmit_tagged(&stations[4], broadcast, 15, 60);
	expect_reached(&fixture, "3");
	assert_int_equal(tag_of(&stations[3]), 15);
	dataplane_destroy(fixture.dataplane);
}

/* Nothing but the tag differs between what is sent and what arrives, wherever the frame ends. */
static void tags_come_and_go_and_nothing_else(void **state)
{
	static const size_t sizes[] = {18, 19, 59, 60, 61, 63, 64, 65, 67, 68, 69, 1514, 1518};
	struct fixture fixture;
	struct station *stations = fixture.stations;

	(void)state;
	set_up_vlans(&fixture);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t size = sizes[i];

		transmit_tagged(&stations[3], broadcast, 0xf00a, size); /* Priority 7, drop eligible. */
		assert_int_equal(stations[0].size, size - 4);
		assert_memory_equal(stations[0].bytes, broadcast, 6);
		assert_memory_equal(stations[0].bytes + 6, stations[3].address, 6);
		assert_int_equal(stations[4].size, size);
		assert_int_equal(tag_of(&stations[4]), 0xf00a);
		for (size_t at = 16; at < size; at++) {
			assert_int_equal(stations[0].bytes[at - 4], byte_of(size, at));
			assert_int_equal(stations[4].bytes[at], byte_of(size, at));
		}
		transmit(&stations[0], broadcast, size);
		assert_int_equal(stations[1].size, size);
		assert_int_equal(stations[4].size, size + 4);
		assert_int_equal(tag_of(&stations[4]), 10);
		for (size_t at = 12; at < size; at++) {
			assert_int_equal(stations[1].bytes[at], byte_of(size, at));
			assert_int_equal(stations[4].bytes[at + 4], byte_of(size, at));
		}
	}
	dataplane_destroy(fixture.dataplane);
}

static void tag_without_vlan_is_priority_alone(void **state)
{
	struct fixture fixture;
	struct station *stations = fixture.stations;

	(void)state;
	set_up_vlans(&fixture);
	transmit_tagged(&stations[0], broadcast, 0xa000, 60);
	expect_reached(&fixture, "134");
	assert_int_equal(tag_of(&stations[1]), UNTAGGED);
	assert_int_equal(stations[1].size, 56);
	assert_int_equal(tag_of(&stations[3]), 0xa00a);
	assert_int_equal(stations[3].size, 60);
	transmit_tagged(&stations[3], broadcast, 0xa000, 60); /* A trunk without a VLAN for it. */
	expect_reached(&fixture, "");
	assert_int_equal(dropped(&stations[3], DROP_VLAN), 1);
	dataplane_destroy(fixture.dataplane);
}

static void frames_of_other_vlans_do_not_come_in(void **state)
{
	static const uint8_t cut_short[17] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0, 0, 0, 0, 1, 0x81, 0, 0, 10};
	struct fixture fixture;
	struct station *stations = fixture.stations;

	(void)state;
	set_up_vlans(&fixture);
	transmit_tagged(&stations[0], broadcast, 20, 60);
	transmit_tagged(&stations[0], broadcast, 1, 60);
	transmit_tagged(&stations[0], broadcast, 4095, 60);
	transmit_bytes(&stations[0], cut_short, sizeof(cut_short));
	transmit_bytes(&stations[0], cut_short, 14);
	assert_int_equal(dropped(&stations[0], DROP_VLAN), 5);
	transmit_tagged(&stations[3], broadcast, 9, 60);
	transmit_tagged(&stations[3], broadcast, 21, 60);
	transmit(&stations[3], broadcast, 60);
	assert_int_equal(dropped(&stations[3], DROP_VLAN), 3);
	transmit_tagged(&stations[4], broadcast, 4095, 60);
	assert_int_equal(dropped(&stations[4], DROP_VLAN), 1);
	expect_reached(&fixture, "");
	assert_int_equal(network_mac_count(fixture.network), 0);
	/* Its own VLAN may be in a tag. */
	transmit_tagged(&stations[0], broadcast, 10, 60);
	expect_reached(&fixture, "134");
	assert_int_equal(tag_of(&stations[1]), UNTAGGED);
	dataplane_destroy(fixture.dataplane);
}

/* Of two tags the inner one is what any frame carries: this is how one hops from a trunk's VLAN without tags. */
static void inner_tags_are_not_looked_at(void **state)
{
	uint8_t bytes[64] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0, 0, 0, 0, 1, 0x81, 0, 0, 10, 0x81, 0, 0, 20};
	struct fixture fixture;
	struct station *stations = fixture.stations;

	(void)state;
	set_up_vlans(&fixture);
	transmit_bytes(&stations[0], bytes, sizeof(bytes));
	expect_reached(&fixture, "134");
	assert_int_equal(tag_of(&stations[1]), 20);
	assert_int_equal(stations[1].size, 60);
	bytes[12] = 0x88; /* A service tag is none of ours. */
	bytes[13] = 0xa8;
	transmit_bytes(&stations[0], bytes, sizeof(bytes));
	expect_reached(&fixture, "134");
	assert_int_equal(stations[1].size, 64);
	dataplane_destroy(fixture.dataplane);
}

static void longest_frame_has_no_room_for_a_tag(void **state)
{
	struct fixture fixture;
	struct station *stations = fixture.stations;

	(void)state;
	set_up_vlans(&fixture);
	transmit(&stations[0], broadcast, FRAME_SIZE_MAX);
	expect_reached(&fixture, "1");
	assert_int_equal(dropped(&stations[3], DROP_TOO_LONG), 1);
	transmit(&stations[0], broadcast, FRAME_SIZE_MAX - 4);
	expect_reached(&fixture, "134");
	dataplane_destroy(fixture.dataplane);
}

static void each_vlan_learns_for_itself(void **state)
{
	struct fixture fixture;
	struct station *stations = fixture.stations;

	(void)state;
	set_up_vlans(&fixture);
	memcpy(stations[2].address, stations[0].address, 6);
	transmit(&stations[0], broadcast, 60);
	transmit(&stations[2], broadcast, 60);
	expect_reached(&fixture, "134");
	assert_int_equal(network_mac_count(fixture.network), 2);
	transmit_tagged(&stations[3], stations[0].address, 10, 60);
	expect_reached(&fixture, "0");
	transmit_tagged(&stations[3], stations[0].address, 20, 60);
	expect_reached(&fixture, "2");
	transmit(&stations[4], stations[0].address, 60); /* VLAN 1. */
	expect_reached(&fixture, "");
	/* A port that changes its VLAN is learnt anew. */
	set_rules(&stations[0], 20, 0, 0);
	transmit_tagged(&stations[3], stations[0].address, 10, 60);
	expect_reached(&fixture, "14");
	transmit_tagged(&stations[4], stations[3].address, 10, 60);
	expect_reached(&fixture, "3");
	assert_int_equal(network_flush(fixture.network), 5);
	dataplane_destroy(fixture.dataplane);
}

static void isolated_ports_reach_no_isolated_ones(void **state)
{
	struct port_rules rules = port_rules_default;
	struct fixture fixture;
	struct station *stations = fixture.stations;

	(void)state;
	set_up_network(&fixture);
	rules.is_isolated = true;
	for (int i = 0; i < 3; i++)
		port_set_rules(stations[i].port, &rules);
	transmit(&stations[0], broadcast, 60);
	expect_reached(&fixture, "34");
	transmit(&stations[1], stations[0].address, 60);
	expect_reached(&fixture, "");
	assert_int_equal(dropped(&stations[1], DROP_ISOLATED), 1);
	transmit(&stations[3], stations[0].address, 60);
	expect_reached(&fixture, "0");
	transmit(&stations[3], broadcast, 60);
	expect_reached(&fixture, "0124");
	dataplane_destroy(fixture.dataplane);
}

static void hub_floods_all_and_learns_nothing(void **state)
{
	static const uint8_t lldp[6] = {0x01, 0x80, 0xc2, 0, 0, 0x0e};
	const struct network_options options = {.is_hub = true, .passes_reserved = true};
	struct fixture fixture;
	struct station *stations = fixture.stations;

	(void)state;
	set_up_network(&fixture);
	transmit(&stations[1], broadcast, 60);
	expect_reached(&fixture, "0234");
	network_set_options(fixture.network, &options);
	assert_int_equal(network_mac_count(fixture.network), 0);
	transmit(&stations[1], stations[0].address, 60);
	transmit(&stations[0], stations[1].address, 60);
	expect_reached(&fixture, "01234");
	transmit(&stations[0], lldp, 60);
	transmit(&stations[0], stations[0].address, 60);
	expect_reached(&fixture, "1234");
	assert_int_equal(network_mac_count(fixture.network), 0);
	dataplane_destroy(fixture.dataplane);
}

static void reserved_addresses_pass_by_choice(void **state)
{
	uint8_t reserved[6] = {0x01, 0x80, 0xc2, 0, 0, 0};
	const struct network_options options = {.passes_reserved = true};
	struct fixture fixture;
	struct station *stations = fixture.stations;

	(void)state;
	set_up_network(&fixture);
	transmit(&stations[0], reserved, 60);
	assert_int_equal(dropped(&stations[0], DROP_RESERVED_ADDRESS), 1);
	expect_reached(&fixture, "");
	network_set_options(fixture.network, &options);
	for (; reserved[5] < 0x10; reserved[5]++) {
		transmit(&stations[0], reserved, 60);
		expect_reached(&fixture, "1234");
	}
	dataplane_destroy(fixture.dataplane);
}

static void mirror_gets_what_crosses(void **state)
{
	struct port_rules rules = {.is_mirror = true};
	struct fixture fixture;
	struct station *stations = fixture.stations, *mirror = &fixture.stations[4];

	(void)state;
	set_up_network(&fixture);
	port_part(mirror->port);
	port_set_rules(mirror->port, &rules);
	port_add_mirror(stations[0].port, mirror->port);
	port_add_mirror(stations[0].port, mirror->port); /* Once is enough. */
	transmit_tagged(&stations[0], broadcast, 7, 60);
	assert_int_equal(mirror->frames, 1);
	assert_int_equal(tag_of(mirror), 7);
	expect_reached(&fixture, "1234");
	transmit(&stations[1], stations[0].address, 77);
	assert_int_equal(mirror->size, 77);
	expect_reached(&fixture, "04");
	transmit(&stations[0], stations[1].address, 78);
	expect_reached(&fixture, "14");
	transmit(&stations[1], stations[2].address, 60); /* Flooded, so it comes to port 0. */
	expect_reached(&fixture, "0234");
	/* It sends nothing, and is not on the network. */
	transmit(mirror, broadcast, 60);
	expect_reached(&fixture, "");
	assert_int_equal(dropped(mirror, DROP_MIRROR), 1);
	/* What another port drops did not cross it. */
	port_plug(stations[0].port, NULL, NULL);
	transmit(&stations[1], stations[0].address, 60);
	expect_reached(&fixture, "23");
	dataplane_remove_port(mirror->port);
	transmit(&stations[0], broadcast, 60);
	expect_reached(&fixture, "123");
	dataplane_destroy(fixture.dataplane);
}

static void all_ports_of_a_network_are_mirrored(void **state)
{
	struct fixture fixture;
	struct station *stations = fixture.stations, *mirror = &fixture.stations[4];

	(void)state;
	set_up_network(&fixture);
	port_part(mirror->port);
	network_add_mirror(fixture.network, mirror->port);
	transmit(&stations[0], broadcast, 60);
	assert_int_equal(mirror->frames, 4); /* It came in once and left three times. */
	dataplane_clear_mirrors(fixture.dataplane);
	transmit(&stations[0], broadcast, 60);
	assert_int_equal(mirror->frames, 4);
	dataplane_destroy(fixture.dataplane);
}

/* The topology has none of these; the data plane is not to run in circles all the same. */
static void mirrors_have_no_mirrors(void **state)
{
	struct fixture fixture;
	struct station *stations = fixture.stations;

	(void)state;
	set_up_network(&fixture);
	for (int i = 0; i < PORTS; i++)
		for (int j = 0; j < PORTS; j++)
			port_add_mirror(stations[i].port, stations[j].port);
	transmit(&stations[1], stations[0].address, 60);
	/* The first has all others for mirrors, and they have none. */
	assert_int_equal(stations[0].frames, 1);
	for (int i = 1; i < PORTS; i++)
		assert_int_equal(stations[i].frames, i == 1 ? 1 : 2);
	dataplane_destroy(fixture.dataplane);
}

static void port_has_so_many_mirrors(void **state)
{
	struct fixture fixture;
	struct port *more;

	(void)state;
	set_up_network(&fixture);
	more = dataplane_add_port(fixture.dataplane, "more:eth0");
	for (int i = 1; i < PORTS; i++)
		port_add_mirror(fixture.stations[0].port, fixture.stations[i].port);
	port_add_mirror(fixture.stations[0].port, more);
	port_add_mirror(fixture.stations[1].port, fixture.stations[1].port);
	port_part(fixture.stations[0].port);
	transmit(&fixture.stations[0], broadcast, 60);
	assert_int_equal(PORT_MIRRORS_MAX, PORTS - 1);
	expect_reached(&fixture, "1234");
	dataplane_destroy(fixture.dataplane);
}

static void storm_is_limited(void **state)
{
	struct port_rules rules = port_rules_default;
	struct fixture fixture;
	struct station *stations = fixture.stations;

	(void)state;
	set_up_network(&fixture);
	rules.storm = 1; /* One, and the next a second later. */
	transmit(&stations[1], broadcast, 60);
	port_set_rules(stations[0].port, &rules);
	transmit(&stations[0], broadcast, 60);
	assert_int_equal(stations[1].frames, 1);
	for (int i = 0; i < 10; i++) {
		transmit(&stations[0], stations[2].address, 60); /* Unknown. */
		transmit(&stations[0], stations[1].address, 60); /* Known: as many as it likes. */
	}
	assert_int_equal(stations[1].frames, 11);
	assert_int_equal(stations[2].frames, 2);
	assert_int_equal(dropped(&stations[0], DROP_STORM), 10);
	rules.storm = 1000;
	port_set_rules(stations[0].port, &rules);
	for (int i = 0; i < 1000; i++)
		transmit(&stations[0], broadcast, 60);
	assert_int_equal(stations[2].frames, 2 + 1000);
	rules.storm = 0;
	port_set_rules(stations[0].port, &rules);
	for (int i = 0; i < 5000; i++)
		transmit(&stations[0], broadcast, 60);
	assert_int_equal(stations[2].frames, 2 + 1000 + 5000);
	dataplane_destroy(fixture.dataplane);
}

/* Guards. */

static uint8_t *put(uint8_t *to, const void *bytes, size_t size)
{
	memcpy(to, bytes, size);
	return to + size;
}

/* ARP, with that sender's addresses, behind 'tags' tags.  Returns the size. */
static size_t make_arp(uint8_t *bytes, const uint8_t *source, const uint8_t *sender, const char *ip, unsigned int tags)
{
	uint8_t *at = put(bytes, broadcast, 6);
	struct in_addr address;

	memset(at, 0, 60);
	assert_int_equal(inet_pton(AF_INET, ip, &address), 1);
	at = put(at, source, 6);
	while (tags-- > 0)
		at = put(at, "\x81\0\0\x0a", 4);
	at = put(at, "\x08\x06\0\x01\x08\0\x06\x04\0\x02", 10);
	at = put(at, sender, 6);
	at = put(at, &address, 4);
	return (size_t)(at + 10 - bytes);
}

static size_t make_ip(uint8_t *bytes, const uint8_t *source, const char *ip)
{
	int family = strchr(ip, ':') ? AF_INET6 : AF_INET;
	uint8_t *at = put(bytes, broadcast, 6), address[16];

	memset(at, 0, 60);
	assert_int_equal(inet_pton(family, ip, address), 1);
	at = put(at, source, 6);
	at = put(at, family == AF_INET ? "\x08\0\x45" : "\x86\xdd\x60", 3);
	put(at + (family == AF_INET ? 11 : 7), address, family == AF_INET ? 4 : 16);
	return 60;
}

/* Port 0, with two addresses of each family, is guarded. */
static void set_up_guard(struct fixture *fixture, unsigned int guard)
{
	static struct in_addr ipv4[2];
	static struct in6_addr ipv6[2];
	struct port_rules rules =
		{.vlan = VLAN_DEFAULT, .guard = guard, .ipv4 = ipv4, .ipv4_count = 2, .ipv6 = ipv6, .ipv6_count = 2};

	set_up_network(fixture);
	inet_pton(AF_INET, "10.0.0.1", &ipv4[0]);
	inet_pton(AF_INET, "10.0.1.1", &ipv4[1]);
	inet_pton(AF_INET6, "fd00::1", &ipv6[0]);
	inet_pton(AF_INET6, "fe80::77", &ipv6[1]);
	memcpy(rules.mac, fixture->stations[0].address, sizeof(rules.mac));
	port_set_rules(fixture->stations[0].port, &rules);
}

static bool passes(struct fixture *fixture, const uint8_t *bytes, size_t size)
{
	unsigned int before = fixture->stations[1].frames;

	transmit_bytes(&fixture->stations[0], bytes, size);
	return fixture->stations[1].frames > before;
}

static void guard_of_mac(void **state)
{
	struct fixture fixture;
	const uint8_t *own, *other;
	uint8_t bytes[128];

	(void)state;
	set_up_guard(&fixture, PORT_GUARD_MAC);
	own = fixture.stations[0].address;
	other = fixture.stations[2].address;
	assert_true(passes(&fixture, bytes, make_arp(bytes, own, other, "10.9.9.9", 0)));
	assert_true(passes(&fixture, bytes, make_ip(bytes, own, "192.0.2.1")));
	assert_false(passes(&fixture, bytes, make_ip(bytes, other, "10.0.0.1")));
	assert_int_equal(dropped(&fixture.stations[0], DROP_SPOOFED_MAC), 1);
	/* And nothing was learnt of it. */
	assert_int_equal(network_mac_count(fixture.network), 1);
	dataplane_destroy(fixture.dataplane);
}

static void guard_of_arp(void **state)
{
	struct fixture fixture;
	const uint8_t *own, *other;
	uint8_t bytes[128];
	size_t size;

	(void)state;
	set_up_guard(&fixture, PORT_GUARD_ARP);
	own = fixture.stations[0].address;
	other = fixture.stations[2].address;
	assert_true(passes(&fixture, bytes, make_arp(bytes, own, own, "10.0.0.1", 0)));
	assert_true(passes(&fixture, bytes, make_arp(bytes, own, own, "10.0.1.1", 2)));
	assert_true(passes(&fixture, bytes, make_arp(bytes, own, own, "0.0.0.0", 0)));
	assert_true(passes(&fixture, bytes, make_ip(bytes, own, "192.0.2.1")));
	assert_false(passes(&fixture, bytes, make_arp(bytes, own, own, "10.0.0.2", 0)));
	assert_false(passes(&fixture, bytes, make_arp(bytes, own, own, "10.0.0.2", 1)));
	assert_false(passes(&fixture, bytes, make_arp(bytes, own, own, "10.0.0.2", 3)));
	assert_false(passes(&fixture, bytes, make_arp(bytes, own, other, "10.0.0.1", 0)));
	assert_false(passes(&fixture, bytes, make_arp(bytes, own, other, "0.0.0.0", 0)));
	assert_int_equal(dropped(&fixture.stations[0], DROP_SPOOFED_ARP), 5);
	/* What cannot be judged: cut short, of another kind, or behind tags without end. */
	size = make_arp(bytes, own, own, "10.0.0.1", 0);
	assert_false(passes(&fixture, bytes, size - 11));
	assert_true(passes(&fixture, bytes, size - 10));
	for (size_t at = 14; at < 20; at++) {
		bytes[at] ^= 4;
		assert_false(passes(&fixture, bytes, size));
		bytes[at] ^= 4;
	}
	for (size_t at = 12; at < sizeof(bytes); at += 4)
		put(bytes + at, at % 8 ? "\x81\0\0\x01" : "\x88\xa8\0\x01", 4);
	for (size = 14; size <= sizeof(bytes); size++)
		assert_false(passes(&fixture, bytes, size));
	dataplane_destroy(fixture.dataplane);
}

static void guard_of_ip(void **state)
{
	static const char *const good[] =
		{"10.0.0.1", "10.0.1.1", "0.0.0.0", "fd00::1", "fe80::77", "::", "fe80::5054:ff:fe00:1"};
	static const char *const bad[] = {"10.0.0.2",        "255.255.255.255",
					  "127.0.0.1",       "fd00::2",
					  "fe80::1",         "fe80::5054:ff:fe00:2",
					  "::ffff:10.0.0.1", "fd00::5054:ff:fe00:1"};
	struct fixture fixture;
	const uint8_t *own;
	uint8_t bytes[128];

	(void)state;
	set_up_guard(&fixture, PORT_GUARD_IP);
	own = fixture.stations[0].address;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(passes(&fixture, bytes, make_ip(bytes, own, good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(passes(&fixture, bytes, make_ip(bytes, own, bad[i])));
	assert_true(passes(&fixture, bytes, make_arp(bytes, own, own, "10.0.0.2", 0)));
	make_ip(bytes, own, "10.0.0.1");
	assert_true(passes(&fixture, bytes, 30));
	assert_false(passes(&fixture, bytes, 29));
	make_ip(bytes, own, "fd00::1");
	assert_true(passes(&fixture, bytes, 38));
	assert_false(passes(&fixture, bytes, 37));
	assert_int_equal(dropped(&fixture.stations[0], DROP_SPOOFED_IP), sizeof(bad) / sizeof(bad[0]) + 2);
	dataplane_destroy(fixture.dataplane);
}

static void guard_on_a_link(void **state)
{
	struct fixture fixture;
	const uint8_t *own;
	uint8_t bytes[128];

	(void)state;
	set_up_guard(&fixture, PORT_GUARD_MAC | PORT_GUARD_ARP | PORT_GUARD_IP);
	own = fixture.stations[0].address;
	port_join_port(fixture.stations[0].port, fixture.stations[1].port);
	assert_true(passes(&fixture, bytes, make_ip(bytes, own, "10.0.0.1")));
	assert_false(passes(&fixture, bytes, make_ip(bytes, own, "10.0.0.2")));
	assert_false(passes(&fixture, bytes, make_arp(bytes, own, own, "10.0.0.2", 0)));
	assert_false(passes(&fixture, bytes, make_arp(bytes, broadcast, own, "10.0.0.1", 0)));
	dataplane_destroy(fixture.dataplane);
}

static void stations_are_told(void *opaque, const struct network_station *station)
{
	unsigned int *sum = opaque;

	assert_string_equal(port_name(station->port), station->vlan == 20 ? "h3:eth0" : "h1:eth0");
	assert_true(station->age < 300 * 1000000000ull);
	*sum += station->vlan;
}

static void what_was_learnt_is_told(void **state)
{
	struct fixture fixture;
	unsigned int sum = 0;

	(void)state;
	set_up_vlans(&fixture);
	transmit(&fixture.stations[0], broadcast, 60);
	transmit(&fixture.stations[2], broadcast, 60);
	network_for_each_station(fixture.network, stations_are_told, &sum);
	assert_int_equal(sum, 30);
	dataplane_destroy(fixture.dataplane);
}

static void trunks_in_words(void **state)
{
	static const struct {
		uint16_t ranges[3][2];
		const char *text;
	} cases[] = {
		{{{0}}, ""},
		{{{10, 10}}, "10"},
		{{{1, 4094}}, "all"},
		{{{20, 29}, {10, 10}}, "10,20-29"},
		{{{63, 64}, {4094, 4094}, {1, 1}}, "1,63-64,4094"},
		{{{1, 63}, {64, 4093}}, "1-4093"},
		{{{5, 9}, {8, 12}, {13, 13}}, "5-13"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct port_rules rules = {.vlan = 0};
		char *text;

		for (int j = 0; j < 3 && cases[i].ranges[j][0]; j++)
			port_rules_add_trunk(&rules, cases[i].ranges[j][0], cases[i].ranges[j][1]);
		text = port_rules_trunk_text(&rules);
		assert_string_equal(text, cases[i].text);
		assert_int_equal(port_rules_is_trunk(&rules), *text != '\0');
		assert_false(port_rules_is_in(&rules, 0));
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(network_without_vlans_passes_tags),
		cmocka_unit_test(frames_stay_in_their_vlan),
		cmocka_unit_test(tags_come_and_go_and_nothing_else),
		cmocka_unit_test(tag_without_vlan_is_priority_alone),
		cmocka_unit_test(frames_of_other_vlans_do_not_come_in),
		cmocka_unit_test(inner_tags_are_not_looked_at),
		cmocka_unit_test(longest_frame_has_no_room_for_a_tag),
		cmocka_unit_test(each_vlan_learns_for_itself),
		cmocka_unit_test(isolated_ports_reach_no_isolated_ones),
		cmocka_unit_test(hub_floods_all_and_learns_nothing),
		cmocka_unit_test(reserved_addresses_pass_by_choice),
		cmocka_unit_test(mirror_gets_what_crosses),
		cmocka_unit_test(all_ports_of_a_network_are_mirrored),
		cmocka_unit_test(mirrors_have_no_mirrors),
		cmocka_unit_test(port_has_so_many_mirrors),
		cmocka_unit_test(storm_is_limited),
		cmocka_unit_test(guard_of_mac),
		cmocka_unit_test(guard_of_arp),
		cmocka_unit_test(guard_of_ip),
		cmocka_unit_test(guard_on_a_link),
		cmocka_unit_test(what_was_learnt_is_told),
		cmocka_unit_test(trunks_in_words),
	};

	return cmocka_run_group_tests_name("dataplane_rules", tests, NULL, NULL);
}
