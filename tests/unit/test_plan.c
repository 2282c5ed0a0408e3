/* SPDX-License-Identifier: Apache-2.0 */
/* Plans: what differs between pairs of topologies, as it is told and as it is given to a guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/plan.h"

/* The lab most pairs begin with. */
#define BASE \
	"nodes: {h1: , h2: , r1: {memory: 64M, sysctl: {net.ipv4.ip_forward: 1}}}\n" \
	"networks: {lan: , dmz: }\n" \
	"links:\n" \
	"- {endpoints: [h1, lan], ip: [10.0.0.1/24]}\n" \
	"- {endpoints: [h2, lan], ip: [10.0.0.2/24]}\n" \
	"- {endpoints: [r1, lan], ip: [10.0.0.254/24]}\n"

#define OUTSIDE \
	"nodes: [h1]\n" \
	"networks: {lan: }\n" \
	"links:\n" \
	"- {endpoints: [h1, lan]}\n"

static struct topology *read_text(const char *text)
{
	struct topology *topology = topology_read_text(text, strlen(text), "/nowhere/office/topology.yaml", NULL,
						       stderr);

	assert_non_null(topology);
	return topology;
}

/* "+node h3|~node r1: memory 64M -> 96M": what a plan says, "!" standing for a restart and "?" for later. */
static char *words_of(const struct plan *plan)
{
	static const char signs[] =
		{[PLAN_ADD] = '+', [PLAN_REMOVE] = '-', [PLAN_RESTART] = '!', [PLAN_CHANGE] = '~', [PLAN_LATER] = '?'};
	static const char *const kinds[] =
		{[PLAN_NODE] = "node", [PLAN_NETWORK] = "network", [PLAN_ATTACHMENT] = "attachment",
		 [PLAN_LINK] = "link", [PLAN_TEST] = "test",       [PLAN_CAPTURE] = "capture"};
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_change *change = &plan->changes[i];

		fprintf(out, "%s%c%s %s%s%s", i ? "|" : "", signs[change->action], kinds[change->kind], change->name,
			change->reason[0] ? ": " : "", change->reason);
	}
	fclose(out);
	return text;
}

static void check(const char *from_text, const char *to_text, const char *expected)
{
	struct topology *from = read_text(from_text), *to = read_text(to_text);
	struct plan *plan = plan_create(from, to);
	char *words = words_of(plan);

	assert_string_equal(words, expected);
	free(words);
	plan_free(plan);
	topology_free(from);
	topology_free(to);
}

static void same_topologies_have_an_empty_plan(void **state)
{
	(void)state;
	check(BASE, BASE, "");
	/* The same in another order, and in other words. */
	check(BASE,
	      "# A comment.\n"
	      "networks: {dmz: {mac-table: 4096}, lan: {mac-aging: 300s}}\n"
	      "defaults: {sysctl: {net.ipv4.ip_forward: 1}, memory: 64M}\n"
	      "nodes: {r1: , h2: , h1: }\n"
	      "links:\n"
	      "- {endpoints: [lan, {node: r1, ip: 10.0.0.254/24}]}\n"
	      "- {endpoints: [{node: h2, interface: eth0, ip: 10.0.0.2/24}, lan], mtu: 1500}\n"
	      "- {endpoints: [h1, lan], ip: [10.0.0.1/24]}\n",
	      "!node h2: memory the image's -> 64M, sysctl net.ipv4.ip_forward = 1|"
	      "!node h1: memory the image's -> 64M, sysctl net.ipv4.ip_forward = 1");
	check("nodes: [a, b]\nlinks: [a-b]\n", "nodes: {b: , a: }\nlinks: [b-a]\n", "");
}

static void everything_comes_to_nothing(void **state)
{
	struct topology *to = read_text("nodes: [a]\nnetworks: [n]\nlinks: [a-n]\n");
	struct plan *plan = plan_create(NULL, to);
	char *words = words_of(plan);

	(void)state;
	assert_string_equal(words, "+node a|+network n|+link a:eth0 - n");
	free(words);
	plan_free(plan);
	topology_free(to);
}

static void nodes_come_and_go(void **state)
{
	(void)state;
	check(BASE,
	      "nodes: {h1: , h3: , r1: {memory: 64M, sysctl: {net.ipv4.ip_forward: 1}}}\n"
	      "networks: {lan: , dmz: }\n"
	      "links:\n"
	      "- {endpoints: [h1, lan], ip: [10.0.0.1/24]}\n"
	      "- {endpoints: [h3, lan], ip: [10.0.0.3/24]}\n"
	      "- {endpoints: [r1, lan], ip: [10.0.0.254/24]}\n",
	      "+node h3|-node h2|+link h3:eth0 - lan|-link h2:eth0 - lan");
	check("nodes: [a, b]\n", "nodes: [b, c]\n", "+node c|-node a");
}

static void machines_restart(void **state)
{
	static const struct {
		const char *from, *to, *reason;
	} cases[] = {
		{"", "memory: 96M", "memory the image's -> 96M"},
		{"memory: 64M", "memory: 1G", "memory 64M -> 1024M"},
		{"memory: 64M", "", "memory 64M -> the image's"},
		{"cpus: 1", "cpus: 2", "cpus 1 -> 2"},
		{"cpus: 4", "", "cpus 4 -> the image's"},
		{"", "image: debian", "image lab -> debian"},
		{"", "cmdline: quiet", "cmdline"},
		{"cmdline: a", "cmdline: b", "cmdline"},
		{"cmdline: a", "", "cmdline"},
		{"", "boot: cold", "boot clone -> cold"},
		{"boot: cold", "boot: clone", "boot cold -> clone"},
		{"", "routes: [default via 10.0.0.1]", "routes"},
		{"routes: [default via 10.0.0.1]", "", "routes"},
		{"routes: [10.1.0.0/16 via 10.0.0.1, 10.2.0.0/16 via 10.0.0.1]",
		 "routes: [10.2.0.0/16 via 10.0.0.1, 10.1.0.0/16 via 10.0.0.1]", "routes"},
		{"startup: [a]", "startup: [b]", "startup"},
		{"startup: [a]", "startup: [a, b]", "startup"},
		{"", "files: {/etc/motd: /etc/hostname}", "files"},
		{"files: {/etc/motd: /etc/hostname}", "files: {/etc/motd: /etc/passwd}", "files"},
		{"files: {/etc/motd: /etc/hostname}", "files: {/etc/issue: /etc/hostname}", "files"},
		{"sysctl: {a.b: 1}", "", "sysctl a.b removed"},
		{"sysctl: {a.b: 1}", "sysctl: {a.c: 1}", "sysctl a.b removed, sysctl a.c = 1"},
		{"cpus: 1, memory: 64M", "cpus: 2, memory: 96M, startup: [x]",
		 "memory 64M -> 96M, cpus 1 -> 2, startup"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char from[256], to[256], expected[256];

		snprintf(from, sizeof(from), "nodes: {a: {%s}, b: }\n", cases[i].from);
		snprintf(to, sizeof(to), "nodes: {a: {%s}, b: }\n", cases[i].to);
		snprintf(expected, sizeof(expected), "!node a: %s", cases[i].reason);
		check(from, to, expected);
	}
}

static void defaults_are_every_nodes(void **state)
{
	(void)state;
	check("nodes: [a, b]\n", "defaults: {memory: 96M}\nnodes: {a: , b: {memory: 64M}}\n",
	      "!node a: memory the image's -> 96M|!node b: memory the image's -> 64M");
	check("nodes: [a, b]\nlinks: [a-b]\n", "defaults: {mtu: 1400}\nnodes: [a, b]\nlinks: [a-b]\n",
	      "!node a: eth0 mtu 1500 -> 1400|!node b: eth0 mtu 1500 -> 1400");
	check("nodes: [a, b]\nlinks: [a-b]\n", "defaults: {offload: on}\nnodes: [a, b]\nlinks: [a-b]\n",
	      "!node a: eth0 offload off -> on|!node b: eth0 offload off -> on");
	check("nodes: [a, b]\nlinks: [{endpoints: [a, b], offload: on}]\n", "nodes: [a, b]\nlinks: [a-b]\n",
	      "!node a: eth0 offload on -> off|!node b: eth0 offload on -> off");
}

static void what_a_guest_can_be_given_needs_no_restart(void **state)
{
	(void)state;
	check("nodes: {a: }\n", "nodes: {a: {sysctl: {net.ipv4.ip_forward: 1}}}\n",
	      "~node a: sysctl net.ipv4.ip_forward = 1");
	check("nodes: {a: {sysctl: {a.b: 1, a.c: 2}}}\n", "nodes: {a: {sysctl: {a.c: 2, a.b: 3}}}\n",
	      "~node a: sysctl a.b = 3");
	check("nodes: [a, b]\nlinks: [{endpoints: [a, b], ip: [10.0.0.1/24, 10.0.0.2/24]}]\n",
	      "nodes: [a, b]\nlinks: [{endpoints: [a, b], ip: [[10.0.0.1/24, \"fd00::1/64\"], 10.0.0.2/24]}]\n",
	      "~node a: eth0 with fd00::1/64");
	/* But those that are taken away do. */
	check("nodes: [a, b]\nlinks: [{endpoints: [a, b], ip: [10.0.0.1/24, 10.0.0.2/24]}]\n",
	      "nodes: [a, b]\nlinks: [{endpoints: [a, b], ip: [10.0.0.1/24, 10.0.0.9/24]}]\n",
	      "!node b: eth0 without 10.0.0.2/24, eth0 with 10.0.0.9/24");
	/* Restarts stand before changes in place, whatever the order of the nodes. */
	check("nodes: [a, b]\n", "nodes: {a: {sysctl: {x.y: 1}}, b: {cpus: 2}}\n",
	      "!node b: cpus the image's -> 2|~node a: sysctl x.y = 1");
}

static void interfaces_are_their_nodes(void **state)
{
	(void)state;
	check("nodes: [a, b]\n", "nodes: [a, b]\nlinks: [a-b]\n",
	      "!node a: eth0 added|!node b: eth0 added|+link a:eth0 - b:eth0");
	check("nodes: [a, b]\nlinks: [a-b]\n", "nodes: [a, b]\n",
	      "!node a: eth0 removed|!node b: eth0 removed|-link a:eth0 - b:eth0");
	check("nodes: [a, b]\nlinks: [{endpoints: [\"a:eth0\", b]}]\n",
	      "nodes: [a, b]\nlinks: [{endpoints: [\"a:eth3\", b]}]\n",
	      "!node a: eth3 added, eth0 removed|+link a:eth3 - b:eth0|-link a:eth0 - b:eth0");
	check("nodes: [a, b]\nlinks: [{endpoints: [{node: a, mac: \"52:54:00:00:00:07\"}, b]}]\n",
	      "nodes: [a, b]\nlinks: [{endpoints: [{node: a, mac: \"52:54:00:00:00:08\"}, b]}]\n", "!node a: eth0 mac");
	check("nodes: [a, b]\nlinks: [{endpoints: [a, b], mtu: 1500}]\n",
	      "nodes: [a, b]\nlinks: [{endpoints: [{node: a, mtu: 9000}, b]}]\n", "!node a: eth0 mtu 1500 -> 9000");
	/* A node in the middle of a list of links goes: the others' interfaces keep their names. */
	check("nodes: [a, b, c]\nlinks: [{endpoints: [\"a:eth0\", b]}, {endpoints: [\"a:eth1\", c]}]\n",
	      "nodes: [a, c]\nlinks: [{endpoints: [\"a:eth1\", c]}]\n",
	      "-node b|!node a: eth0 removed|-link a:eth0 - b:eth0");
}

static void wires_move_without_a_restart(void **state)
{
	(void)state;
	check(BASE,
	      "nodes: {h1: , h2: , r1: {memory: 64M, sysctl: {net.ipv4.ip_forward: 1}}}\n"
	      "networks: {lan: , dmz: }\n"
	      "links:\n"
	      "- {endpoints: [h1, lan], ip: [10.0.0.1/24]}\n"
	      "- {endpoints: [h2, dmz], ip: [10.0.0.2/24]}\n"
	      "- {endpoints: [r1, lan], ip: [10.0.0.254/24]}\n",
	      "+link h2:eth0 - dmz|-link h2:eth0 - lan");
	check("nodes: [a, b, c, d]\nlinks: [a-b, c-d]\n", "nodes: [a, b, c, d]\nlinks: [a-c, b-d]\n",
	      "+link a:eth0 - c:eth0|+link b:eth0 - d:eth0|-link a:eth0 - b:eth0|-link c:eth0 - d:eth0");
}

#define WIRE(more) "nodes: [a, b]\nlinks: [{endpoints: [a, b]" more "}]\n"

static void what_links_do_to_frames_changes_in_place(void **state)
{
	(void)state;
	check(WIRE(""), WIRE(", impair: {delay: 20ms}"), "~link a:eth0 - b:eth0: none -> delay: 20ms");
	check(WIRE(", impair-ab: {delay: 1ms}"), WIRE(", impair-ab: {delay: 2ms}, impair-ba: {loss: 1%}"),
	      "~link a:eth0 - b:eth0: from a:eth0: delay: 1ms -> delay: 2ms, from b:eth0: none -> loss: 1%");
	/* The same, from the other end. */
	check(WIRE(", impair-ab: {delay: 1ms}"),
	      "nodes: [a, b]\nlinks: [{endpoints: [b, a], impair-ba: {delay: 1ms}}]\n", "");
	check(WIRE(""), WIRE(", schedule: [{at: 1s, link: down}]"), "~link a:eth0 - b:eth0: schedule added");
	check(WIRE(", schedule: [{at: 1s, link: down}]"), WIRE(""), "~link a:eth0 - b:eth0: schedule removed");
	check(WIRE(", schedule: [{at: 1s, link: down}]"), WIRE(", schedule: [{at: 2s, link: down}]"),
	      "~link a:eth0 - b:eth0: schedule");
	check(WIRE(", schedule: [{at: 1s, impair-ab: {loss: 1%}}]"),
	      "nodes: [a, b]\nlinks: [{endpoints: [b, a], schedule: [{at: 1s, impair-ba: {loss: 1%}}]}]\n", "");
	check("nodes: [a]\nnetworks: {up: {mode: nat}}\nlinks: [a-up]\n",
	      "nodes: [a]\nnetworks: {up: {mode: nat, impair: {delay: 5ms}}}\nlinks: [a-up]\n",
	      "~network up: none -> delay: 5ms");
}

static void networks_come_go_and_change(void **state)
{
	(void)state;
	check("nodes: [a]\nnetworks: [n]\n", "nodes: [a]\nnetworks: [m]\n", "+network m|-network n");
	check("nodes: [a]\nnetworks: {n: {mac-table: 16}}\nlinks: [a-n]\n",
	      "nodes: [a]\nnetworks: {n: {mac-aging: 30s}}\nlinks: [a-n]\n",
	      "~network n: mac-table 16 -> 4096, mac-aging 300s -> 30s");
	/* Of a network with NAT, hosts and forwards change in place. */
	check("nodes: [a]\nnetworks: {n: {mode: nat, host: {x: 10.9.0.1, y: 10.9.0.2}}}\nlinks: [a-n]\n",
	      "nodes: [a]\nnetworks: {n: {mode: nat, host: {x: 10.9.0.1, y: \"fd00::2\"}, dns: 192.0.2.53}}\nlinks: [a-n]\n",
	      "~network n: dns on -> 192.0.2.53, host y 10.9.0.2 removed, host y fd00::2 added");
	check("nodes: [a]\nnetworks: {n: {mode: nat, dns: off, bootfile: x}}\nlinks: [a-n]\n",
	      "nodes: [a]\nnetworks: {n: {mode: nat, dhcp: {first: 10.0.2.99, search: x}}}\nlinks: [a-n]\n",
	      "~network n: dhcp 10.0.2.15 -> 10.0.2.99, dns off -> on, bootfile x -> none, search is another");
	check("nodes: [a]\nnetworks: {n: {mode: nat}}\nlinks: [a-n]\n",
	      "nodes: [a]\nnetworks: {n: {mode: nat, dhcp: off, tftp: /}}\nlinks: [a-n]\n",
	      "~network n: dhcp 10.0.2.15 -> off, tftp off -> /");
	/* A node that becomes a network is another thing. */
	check("nodes: [a, b]\nlinks: [a-b]\n", "nodes: [a]\nnetworks: [b]\nlinks: [a-b]\n",
	      "-node b|+network b|+link a:eth0 - b|-link a:eth0 - b:eth0");
}

static void lines_for_the_guest(void **state)
{
	struct topology *from = read_text("nodes: {a: {sysctl: {x.y: 1, x.z: 2}}, b: }\n"
					  "links: [{endpoints: [{node: a, ip: 10.0.0.1/24}, b]}]\n");
	struct topology *to = read_text("nodes: {a: {sysctl: {x.z: 3, x.y: 1, x.w: 4 5}}, b: }\n"
					"links: [{endpoints: [{node: a, ip: [\"fd00::1/64\", 10.0.0.1/24]}, b]}]\n");
	char *lines = plan_node_lines(&from->nodes[0], &to->nodes[0]);

	(void)state;
	assert_string_equal(lines, "address eth0 fd00::1/64\nsysctl x.z 3\nsysctl x.w 4 5\n");
	free(lines);
	lines = plan_node_lines(&from->nodes[1], &to->nodes[1]);
	assert_string_equal(lines, "");
	free(lines);
	topology_free(from);
	topology_free(to);
}

static void restarts_can_be_added(void **state)
{
	struct topology *from = read_text("nodes: [a, b, c]\nlinks: [a-b]\n");
	struct topology *to = read_text("nodes: {a: , b: {sysctl: {x.y: 1}}, c: , d: }\nnetworks: [n]\nlinks: [a-b]\n");
	struct plan *plan = plan_create(from, to);
	char *words;

	(void)state;
	plan_restart_node(plan, "a", "it is crashed");
	plan_restart_node(plan, "b", "it is booting");
	words = words_of(plan);
	assert_string_equal(words, "+node d|!node b: sysctl x.y = 1, it is booting|!node a: it is crashed|+network n");
	free(words);
	assert_int_equal(plan_find_node(plan, "a")->action, PLAN_RESTART);
	assert_null(plan_find_node(plan, "c"));
	assert_null(plan_find_node(plan, "n"));
	plan_free(plan);
	plan = plan_create(from, from);
	plan_restart_node(plan, "c", "it is stopped");
	words = words_of(plan);
	assert_string_equal(words, "!node c: it is stopped");
	free(words);
	plan_free(plan);
	topology_free(from);
	topology_free(to);
}

static void failed_attachments_are_opened_again(void **state)
{
	struct topology *from = read_text(OUTSIDE "- {endpoints: [lan, {socket: /tmp/a.sock}]}\n");
	struct topology *to = read_text(OUTSIDE "- {endpoints: [h1, {socket: /tmp/a.sock}]}\n");
	struct plan *plan = plan_create(from, to);
	char *words;

	(void)state;
	assert_false(plan_frees_attachment(plan));
	plan_try_again(plan, PLAN_ATTACHMENT, "socket:a");
	plan_try_again(plan, PLAN_ATTACHMENT, "socket:a");
	words = words_of(plan);
	assert_string_equal(words, "!node h1: eth1 added|~attachment socket:a: it has failed|"
				   "+link h1:eth1 - socket:a|-link lan - socket:a");
	assert_true(plan_frees_attachment(plan));
	free(words);
	plan_free(plan);
	topology_free(from);
	topology_free(to);
}

#define TESTS "nodes: [a, b]\nvalidate:\n  one: {node: a, exec: id}\n  two: {node: b, exec: id}\n"

static void tests_touch_nothing_else(void **state)
{
	(void)state;
	check(TESTS, TESTS "  # A comment.\n", "");
	check(TESTS, TESTS "  three: {node: a, exec: id}\n", "+test three");
	check(TESTS, "nodes: [a, b]\n", "-test one|-test two");
	check("nodes: [a, b]\n", TESTS, "+test one|+test two");
	check(TESTS, "nodes: [a, b]\nvalidate: {one: {nodes: [a], exec: id}, two: {node: b, exec: id, wait: 5s}}\n",
	      "~test two: it tests something else");
	/* The order of nodes does not matter, that of tests does. */
	check(TESTS, "nodes: [b, a]\nvalidate: {two: {node: b, exec: id}, one: {node: a, exec: id}}\n",
	      "~test two: the order of tests");
	check(TESTS, "nodes: [b, a]\nvalidate: {two: {node: b, exec: id}, zero: {node: a, exec: id}}\n",
	      "+test zero|-test one");
}

/* What the lab's file is may change while it is written, and what is in it may not. */
static void captures_change_as_far_as_they_can(void **state)
{
	(void)state;
	check(OUTSIDE, OUTSIDE "capture: {files: [ports, lab], recorder: 64M}\n", "");
	check(OUTSIDE, OUTSIDE "capture: {events: on}\n", "~capture office: events on");
	check(OUTSIDE, OUTSIDE "capture: {rotate: {size: 2M, time: 1m, files: 3}}\n",
	      "~capture office: rotates at 2M after 60s with 3 files");
	check(OUTSIDE "capture: {rotate: {size: 2M}}\n", OUTSIDE, "~capture office: rotates never");
	check(OUTSIDE, OUTSIDE "capture: {snaplen: 128, clean: on, recorder: 8M, files: ports}\n",
	      "?capture office: files lab and ports -> ports, snaplen whole frames -> 128, clean on, "
	      "recorder 64M -> 8M");
	check(OUTSIDE "capture: {files: off}\n", OUTSIDE "capture: {files: lab, rotate: {time: 2s}, events: on}\n",
	      "~capture office: events on, rotates after 2s|?capture office: files off -> lab");
}

/* For a lab that does not run, all of it is as the file says. */
static void a_capture_that_begins_is_no_change(void **state)
{
	struct topology *to = read_text("nodes: [a]\ncapture: {snaplen: 128, events: on}\n");
	struct plan *plan = plan_create(NULL, to);

	(void)state;
	assert_int_equal(plan->count, 1);
	plan_free(plan);
	topology_free(to);
}

static void plans_are_json(void **state)
{
	struct topology *from = read_text("nodes: [a, b]\nnetworks: [n]\n");
	struct topology *to = read_text("nodes: {b: {cpus: 2}}\nnetworks: {n: {mac-table: 1}}\n");
	struct plan *plan = plan_create(from, to);
	json_t *json = plan_json(plan);
	char *text = json_dumps(json, JSON_COMPACT);

	(void)state;
	assert_string_equal(text, "[{\"kind\":\"node\",\"action\":\"remove\",\"name\":\"a\",\"reason\":\"\"},"
				  "{\"kind\":\"node\",\"action\":\"restart\",\"name\":\"b\",\"reason\":"
				  "\"cpus the image's -> 2\"},"
				  "{\"kind\":\"network\",\"action\":\"change\",\"name\":\"n\",\"reason\":"
				  "\"mac-table 4096 -> 1\"}]");
	free(text);
	json_decref(json);
	plan_free(plan);
	topology_free(from);
	topology_free(to);
}

/* What leads out of the lab comes, goes and changes without a node. */
static void attachments_are_compared(void **state)
{
	(void)state;
	check(OUTSIDE, OUTSIDE "- {endpoints: [lan, {socket: /tmp/a.sock}]}\n",
	      "+attachment socket:a|+link lan - socket:a");
	check(OUTSIDE "- {endpoints: [lan, {socket: /tmp/a.sock}]}\n", OUTSIDE,
	      "-attachment socket:a|-link lan - socket:a");
	check(OUTSIDE "- {endpoints: [lan, {socket: /tmp/a.sock}]}\n",
	      OUTSIDE "- {endpoints: [{socket: /tmp/a.sock}, lan]}\n", "");
	check(OUTSIDE "- {endpoints: [lan, {socket: /tmp/a.sock}]}\n",
	      OUTSIDE "- {endpoints: [lan, {socket: /tmp/b.sock, name: a}]}\n",
	      "~attachment socket:a: /tmp/a.sock -> /tmp/b.sock");
	check(OUTSIDE "- {endpoints: [lan, {socket: /tmp/a.sock}]}\n",
	      OUTSIDE "- {endpoints: [lan, {socket: /tmp/a.sock, connect: on}]}\n", "~attachment socket:a: settings");
	check(OUTSIDE "- {endpoints: [lan, {vxlan: {remote: 192.0.2.1, vni: 1}}]}\n",
	      OUTSIDE "- {endpoints: [lan, {vxlan: {remote: 192.0.2.2, vni: 1}}]}\n",
	      "~attachment vxlan:1: 192.0.2.1:4789 -> 192.0.2.2:4789");
	/* Moved from the network to a second interface of the node. */
	check(OUTSIDE "- {endpoints: [lan, {socket: /tmp/a.sock}]}\n",
	      OUTSIDE "- {endpoints: [h1, {socket: /tmp/a.sock}]}\n",
	      "!node h1: eth1 added|+link h1:eth1 - socket:a|-link lan - socket:a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_topologies_have_an_empty_plan),
		cmocka_unit_test(attachments_are_compared),
		cmocka_unit_test(failed_attachments_are_opened_again),
		cmocka_unit_test(everything_comes_to_nothing),
		cmocka_unit_test(nodes_come_and_go),
		cmocka_unit_test(machines_restart),
		cmocka_unit_test(defaults_are_every_nodes),
		cmocka_unit_test(what_a_guest_can_be_given_needs_no_restart),
		cmocka_unit_test(interfaces_are_their_nodes),
		cmocka_unit_test(wires_move_without_a_restart),
		cmocka_unit_test(what_links_do_to_frames_changes_in_place),
		cmocka_unit_test(networks_come_go_and_change),
		cmocka_unit_test(lines_for_the_guest),
		cmocka_unit_test(restarts_can_be_added),
		cmocka_unit_test(tests_touch_nothing_else),
		cmocka_unit_test(captures_change_as_far_as_they_can),
		cmocka_unit_test(a_capture_that_begins_is_no_change),
		cmocka_unit_test(plans_are_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
