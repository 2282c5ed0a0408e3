/* SPDX-License-Identifier: Apache-2.0 */
/* VLANs and rules of ports, as the topology has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/plan.h"
#include "netlab/topology.h"
#include "netlab/topology_units.h"

#define NODES "nodes: [h1, h2, r1]\nnetworks: {lan: , up: {mode: nat}}\nlinks:\n"

static struct topology *read_good(const char *text)
{
	struct topology *topology = topology_read_text(text, strlen(text), "/nowhere/office/topology.yaml", NULL,
						       stderr);

	assert_non_null(topology);
	return topology;
}

static void expect_rules(const struct topology *topology, size_t link, size_t side, const char *expected)
{
	char *text = topology_rules_text(&topology->links[link].endpoints[side]);

	assert_string_equal(text, expected);
	free(text);
}

static void rules_belong_to_their_end(void **state)
{
	struct topology *topology = read_good(NODES "- {endpoints: [h1, lan], vlan: 10, isolate: on, storm: 100pps}\n"
						    "- {endpoints: [lan, {node: h2, trunk: [20-29, 10]}], vlan: 7}\n"
						    "- {endpoints: [{node: r1, trunk: all}, lan]}\n"
						    "- {endpoints: [h1, h2], guard: mac}\n"
						    "- {endpoints: [{node: h1, guard: [mac]}, r1]}\n"
						    "- {endpoints: [r1, up], mirror: [lan, 'h1:eth0', 'network:up']}\n"
						    "- {endpoints: [h2, up], ip: 10.0.2.9/24, guard: on}\n");

	(void)state;
	expect_rules(topology, 0, 0, "vlan 10, isolate, storm 100pps");
	expect_rules(topology, 0, 1, "no rules");
	expect_rules(topology, 1, 0, "no rules");
	expect_rules(topology, 1, 1, "trunk 10,20-29, vlan 7");
	expect_rules(topology, 2, 0, "trunk all");
	expect_rules(topology, 3, 0, "guard mac");
	expect_rules(topology, 3, 1, "guard mac");
	expect_rules(topology, 4, 0, "guard mac");
	expect_rules(topology, 4, 1, "no rules");
	expect_rules(topology, 5, 0, "mirror of lan, mirror of h1:eth0, mirror of network:up");
	expect_rules(topology, 6, 0, "guard mac arp ip");
	assert_true(topology->links[5].endpoints[0].rules->is_mirror);
	assert_true(topology->networks[0].has_vlans);
	assert_false(topology->networks[1].has_vlans);
	topology_free(topology);
}

static void guard_has_the_interfaces_addresses(void **state)
{
	struct topology *topology = read_good(
		NODES "- {endpoints: [h1, lan], ip: [[10.0.0.1/24, 'fd00::1/64', 10.0.1.1/24]], guard: on, "
		      "mac: ['52:54:00:00:00:07']}\n");
	const struct port_rules *rules = topology->links[0].endpoints[0].rules;
	char text[INET6_ADDRSTRLEN];

	(void)state;
	assert_int_equal(rules->guard, PORT_GUARD_MAC | PORT_GUARD_ARP | PORT_GUARD_IP);
	assert_int_equal(rules->mac[5], 7);
	assert_int_equal(rules->ipv4_count, 2);
	assert_string_equal(inet_ntoa(rules->ipv4[1]), "10.0.1.1");
	assert_int_equal(rules->ipv6_count, 1);
	assert_string_equal(inet_ntop(AF_INET6, &rules->ipv6[0], text, sizeof(text)), "fd00::1");
	topology_free(topology);
}

static void networks_have_their_own(void **state)
{
	struct topology *topology = read_good("nodes: [h1]\n"
					      "networks:\n"
					      "  up: {mode: nat, vlan: 20, reserved-addresses: pass}\n"
					      "  wire: {hub: on}\n"
					      "  plain: {hub: off, reserved-addresses: drop}\n");
	const struct topology_network *up = &topology->networks[0], *wire = &topology->networks[1];

	(void)state;
	assert_true(up->has_vlans);
	assert_int_equal(up->rules->vlan, 20);
	assert_false(port_rules_is_trunk(up->rules));
	assert_true(up->passes_reserved);
	assert_false(up->is_hub);
	assert_true(wire->is_hub);
	assert_true(wire->passes_reserved);
	assert_null(wire->rules);
	assert_false(topology->networks[2].passes_reserved);
	topology_free(topology);
}

static void what_leads_out_has_rules_too(void **state)
{
	struct topology *topology = read_good(
		"nodes: [h1]\nnetworks: [lan]\nlinks:\n"
		"- {endpoints: [lan, {socket: /tmp/q.sock}], vlan: 10, isolate: on}\n"
		"- {endpoints: [{netns: web, trunk: [10], guard: on, ip: 10.0.0.5/24}, lan]}\n"
		"- {endpoints: [{netns: sniffer, mirror: ['socket:q', 'netns:web']}, lan]}\n");
	const struct port_rules *rules = topology->links[1].endpoints[0].rules;

	(void)state;
	expect_rules(topology, 0, 1, "vlan 10, isolate");
	expect_rules(topology, 1, 0, "trunk 10, guard mac arp ip");
	assert_string_equal(inet_ntoa(rules->ipv4[0]), "10.0.0.5");
	assert_memory_equal(rules->mac, topology->attachments[1].interface.mac, 6);
	assert_true(rules->mac[0]);
	expect_rules(topology, 2, 0, "mirror of socket:q, mirror of netns:web");
	topology_free(topology);
}

static void words(void **state)
{
	uint16_t first = 0, last = 0;
	uint32_t rate = 0;

	(void)state;
	assert_null(topology_parse_vlans("10", &first, &last));
	assert_int_equal(first, 10);
	assert_int_equal(last, 10);
	assert_null(topology_parse_vlans("1-4094", &first, &last));
	assert_int_equal(first, 1);
	assert_int_equal(last, 4094);
	assert_non_null(topology_parse_vlans("", &first, &last));
	assert_non_null(topology_parse_vlans("-1", &first, &last));
	assert_non_null(topology_parse_vlans("1-2-3", &first, &last));
	assert_non_null(topology_parse_vlans("00000000000000000000000000000001", &first, &last));
	assert_null(topology_parse_frame_rate("10000000pps", &rate));
	assert_int_equal(rate, PORT_STORM_MAX);
	assert_non_null(topology_parse_frame_rate("10000001pps", &rate));
	assert_non_null(topology_parse_frame_rate("pps", &rate));
	assert_non_null(topology_parse_frame_rate("1 pps", &rate));
}

/* What a change of one of the keys does to a lab that runs: nothing stops. */
static void check_plan(const char *from_link, const char *to_link, const char *expected)
{
	char from_text[512], to_text[512], *text = NULL;
	struct topology *from, *to;
	struct plan *plan;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	snprintf(from_text, sizeof(from_text), NODES "- {endpoints: [h1, lan]%s}\n- h2-lan\n", from_link);
	snprintf(to_text, sizeof(to_text), NODES "- h2-lan\n- {endpoints: [lan, h1]%s}\n", to_link);
	from = read_good(from_text);
	to = read_good(to_text);
	plan = plan_create(from, to);
	for (size_t i = 0; i < plan->count; i++) {
		assert_int_equal(plan->changes[i].action, PLAN_CHANGE);
		fprintf(out, "%s%s: %s", i ? "|" : "", plan->changes[i].name, plan->changes[i].reason);
	}
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
	plan_free(plan);
	topology_free(from);
	topology_free(to);
}

static void rules_are_changed_in_place(void **state)
{
	(void)state;
	check_plan("", "", "");
	check_plan(", isolate: off", "", "");
	check_plan(", vlan: 10", ", vlan: 10", "");
	check_plan(", trunk: [10, 11, 12]", ", trunk: 10-12", "");
	check_plan("", ", vlan: 10", "lan: with VLANs|lan - h1:eth0: no rules -> vlan 10");
	check_plan(", vlan: 10", "", "lan: without VLANs|lan - h1:eth0: vlan 10 -> no rules");
	check_plan(", vlan: 10", ", trunk: [20], vlan: 10", "lan - h1:eth0: vlan 10 -> trunk 20, vlan 10");
	check_plan(", storm: 5pps", ", storm: 6pps", "lan - h1:eth0: storm 5pps -> storm 6pps");
	check_plan(", isolate: on", ", guard: mac", "lan - h1:eth0: isolate -> guard mac");
	check_plan(", mirror: lan", ", mirror: 'h2:eth0'", "lan - h1:eth0: mirror of lan -> mirror of h2:eth0");
}

static void guards_of_links_are_changed_in_place(void **state)
{
	struct topology *from = read_good("nodes: [a, b]\nlinks: [{endpoints: [a, b], guard: mac}]\n");
	struct topology *to = read_good("nodes: [a, b]\nlinks: [{endpoints: [b, {node: a, guard: mac}]}]\n");
	struct plan *plan = plan_create(from, to);

	(void)state;
	assert_int_equal(plan->count, 1);
	assert_int_equal(plan->changes[0].action, PLAN_CHANGE);
	assert_string_equal(plan->changes[0].name, "b:eth0 - a:eth0");
	assert_string_equal(plan->changes[0].reason, "b:eth0: guard mac -> no rules");
	plan_free(plan);
	topology_free(from);
	topology_free(to);
}

static void networks_are_changed_in_place(void **state)
{
	static const struct {
		const char *from, *to, *reason;
	} cases[] = {
		{"", "hub: on", "hub on"},
		{"hub: on", "", "hub off"},
		{"reserved-addresses: pass", "", "reserved-addresses drop"},
		{"", "vlan: 7", "with VLANs, outer port: no rules -> vlan 7"},
		{"vlan: 7", "vlan: 8", "outer port: vlan 7 -> vlan 8"},
		{"", "vlan: 1", "with VLANs"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char from_text[256], to_text[256];
		struct topology *from, *to;
		struct plan *plan;

		snprintf(from_text, sizeof(from_text), "nodes: [h1]\nnetworks: {up: {mode: nat, %s}}\n", cases[i].from);
		snprintf(to_text, sizeof(to_text), "nodes: [h1]\nnetworks: {up: {mode: nat, %s}}\n", cases[i].to);
		from = read_good(from_text);
		to = read_good(to_text);
		plan = plan_create(from, to);
		assert_int_equal(plan->count, 1);
		assert_int_equal(plan->changes[0].action, PLAN_CHANGE);
		assert_string_equal(plan->changes[0].reason, cases[i].reason);
		plan_free(plan);
		topology_free(from);
		topology_free(to);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_belong_to_their_end),
		cmocka_unit_test(guard_has_the_interfaces_addresses),
		cmocka_unit_test(networks_have_their_own),
		cmocka_unit_test(what_leads_out_has_rules_too),
		cmocka_unit_test(words),
		cmocka_unit_test(rules_are_changed_in_place),
		cmocka_unit_test(guards_of_links_are_changed_in_place),
		cmocka_unit_test(networks_are_changed_in_place),
	};

	return cmocka_run_group_tests_name("topology_switch", tests, NULL, NULL);
}
