/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_LINK_LAB_H
#define TESTS_UNIT_LINK_LAB_H 1

/* A lab without machines, for testing its links
 * =============================================
 *
 * Its data plane and control loop are this thread's.  To be included by one file of a test program. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/loop.h"
#include "core/state.h"
#include "netlab/dataplane.h"
#include "netlab/lab_link_internal.h"
#include "netlab/lab_network.h"

#define NODES 3
#define FRAMES 200u
#define MILLISECOND 1000000ull

#define NODES_TEXT "nodes: [h1, h2, r1]\nnetworks: {lan: , uplink: {mode: nat}}\n"
#define TOPOLOGY \
	NODES_TEXT "links:\n" \
		   "  - {endpoints: [h1, h2], impair: {delay: 20ms}, impair-ba: {loss: 5%}}\n" \
		   "  - {endpoints: [r1, lan], impair-ba: {loss: 100%}}\n" \
		   "  - {endpoints: [\"h2:eth1\", uplink]}\n"

struct fixture {
	struct lab lab;
	struct loop *loop;
	struct topology *topologies[2];
	struct node nodes[NODES];
	struct lab_network networks[2];
	unsigned int frames[NODES]; /* That came to the node's first port. */
	uint8_t fates[FRAMES];      /* Which of them. */
	char told[256];             /* What was told of a flapping. */
};

static inline struct topology *read_topology(const char *text)
{
	struct topology *topology = topology_read_text(text, strlen(text), "/nowhere/topology.yaml", "office", stderr);

	assert_non_null(topology);
	return topology;
}

static inline enum port_result deliver(void *opaque, const struct frame *frame)
{
	struct fixture *fixture = opaque;

	fixture->frames[frame->header[5]]++;
	fixture->fates[frame->header[14]] = 1;
	return PORT_DELIVERED;
}

static const struct port_ops ops = {.deliver = deliver};

static inline void make_node(struct fixture *fixture, size_t index)
{
	struct node *node = &fixture->nodes[index];

	*node = (struct node){.topology = &fixture->topologies[0]->nodes[index]};
	node->interfaces = calloc(node->topology->interface_count, sizeof(node->interfaces[0]));
	for (size_t i = 0; i < node->topology->interface_count; i++) {
		struct node_interface *interface = &node->interfaces[i];

		interface->topology = &node->topology->interfaces[i];
		snprintf(interface->port_name, sizeof(interface->port_name), "%s:%s", node->topology->name,
			 interface->topology->name);
		interface->port = dataplane_add_port(fixture->lab.context.dataplane, interface->port_name);
		port_plug(interface->port, &ops, fixture);
	}
	fixture->lab.nodes[index] = node;
}

static inline struct fixture *make_lab(const char *text)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct lab *lab = &fixture->lab;

	assert_non_null(fixture);
	fixture->topologies[0] = read_topology(text);
	fixture->loop = loop_create(NULL);
	loop_adopt(fixture->loop);
	lab->topology = fixture->topologies[0];
	lab->context = (struct node_context){.control = fixture->loop, .dataplane = dataplane_create(NULL)};
	lab->nodes = calloc(NODES, sizeof(lab->nodes[0]));
	lab->networks = calloc(2, sizeof(lab->networks[0]));
	lab->node_count = NODES;
	for (size_t i = 0; i < 2; i++) {
		lab->networks[i] = &fixture->networks[i];
		fixture->networks[i].network = dataplane_add_network(lab->context.dataplane,
								     lab->topology->networks[i].name, 64, 300);
	}
	fixture->networks[1].outer = dataplane_add_port(lab->context.dataplane, "network:uplink");
	port_join_network(fixture->networks[1].outer, fixture->networks[1].network);
	for (size_t i = 0; i < NODES; i++)
		make_node(fixture, i);
	lab_join_all(lab);
	assert_int_equal(lab_links_create(lab, NULL), 0);
	return fixture;
}

static inline void free_lab(struct fixture *fixture)
{
	lab_links_quiet(&fixture->lab, "over");
	lab_links_destroy(&fixture->lab);
	dataplane_destroy(fixture->lab.context.dataplane);
	loop_destroy(fixture->loop);
	for (size_t i = 0; i < NODES; i++)
		free(fixture->nodes[i].interfaces);
	free(fixture->lab.nodes);
	free(fixture->lab.networks);
	topology_free(fixture->topologies[0]);
	topology_free(fixture->topologies[1]);
	free(fixture);
}

static inline int set_up(void **state)
{
	*state = make_lab(TOPOLOGY);
	return 0;
}

static inline int tear_down(void **state)
{
	free_lab(*state);
	return 0;
}

static inline struct port *port_of_node(const struct fixture *fixture, size_t node)
{
	return fixture->nodes[node].interfaces[0].port;
}

/* In words what frames meet at the node's first port. */
static inline const char *met(const struct fixture *fixture, size_t node, enum port_direction direction)
{
	static char text[256];
	static const struct impairment none;
	const struct impairment *impairment = port_impairment(port_of_node(fixture, node), direction);
	char *words = impairment_text(impairment ? impairment : &none);

	snprintf(text, sizeof(text), "%s", words);
	free(words);
	return text;
}

/* One that says which it is. */
static inline void transmit(struct fixture *fixture, size_t from, size_t to, unsigned int number)
{
	struct frame frame = {.header_size = 60, .size = 60};

	memset(frame.header, 0, sizeof(frame.header));
	frame.header[0] = frame.header[6] = 0x52;
	frame.header[5] = (uint8_t)to;
	frame.header[11] = (uint8_t)from;
	frame.header[14] = (uint8_t)number;
	port_transmit(port_of_node(fixture, from), &frame);
}

static inline void turn_until(struct fixture *fixture, uint64_t time)
{
	while (loop_now() < time)
		loop_turn(fixture->loop);
	loop_turn(fixture->loop);
}

static inline void change_lab(struct fixture *fixture, const char *text)
{
	json_t *failures = json_array();
	const struct topology *former = fixture->lab.topology;

	fixture->topologies[1] = read_topology(text);
	lab_links_quiet(&fixture->lab, "the lab was changed");
	fixture->lab.topology = fixture->topologies[1];
	for (size_t i = 0; i < NODES; i++)
		fixture->nodes[i].topology = &fixture->topologies[1]->nodes[i];
	lab_join_all(&fixture->lab);
	lab_links_change(&fixture->lab, former, failures);
	assert_int_equal(json_array_size(failures), 0);
	json_decref(failures);
}

#define SCHEDULED(other) \
	NODES_TEXT "links:\n" \
		   "  - endpoints: [h1, h2]\n" \
		   "    schedule:\n" \
		   "      - {at: 0ms, link: down}\n" \
		   "      - {at: 1ms, impair-ab: {delay: 20ms}, impair-ba: {loss: 5%}}\n" \
		   "      - {at: 2ms, link: up}\n" \
		   "      - {at: 1h, impair: {delay: 1ms}}\n" \
		   "  - {endpoints: [r1, lan]" other "}\n" \
		   "  - {endpoints: [\"h2:eth1\", uplink]}\n"

/* All nodes are in that state. */
static inline void set_states(struct fixture *fixture, enum node_state state)
{
	for (size_t i = 0; i < NODES; i++)
		fixture->nodes[i].state = state;
	lab_keep_time(&fixture->lab);
}

#define LATER(other) \
	NODES_TEXT "links:\n" \
		   "  - {endpoints: [h1, h2], schedule: [{at: 20ms, link: down}, {at: 1h, link: up}]}\n" \
		   "  - {endpoints: [r1, lan]" other "}\n" \
		   "  - {endpoints: [\"h2:eth1\", uplink]}\n"

static inline void await_down(struct fixture *fixture)
{
	while (port_has_carrier(port_of_node(fixture, 0)))
		loop_turn(fixture->loop);
}

#endif /* link_lab.h */
