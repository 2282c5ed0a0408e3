/* SPDX-License-Identifier: Apache-2.0 */

/* Feeds topology_read_text() whatever comes.  Errors are formatted and thrown away; a topology that is accepted is
 * walked, so that a dangling index or pointer in it is found.  Seeds: tests/topologies/good, tests/topologies/bad,
 * labs/. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/topology.h"

static void check(bool condition)
{
	if (!condition)
		abort();
}

static void check_node(const struct topology *topology, const struct topology_node *node)
{
	check(node->image && topology_find_node(topology, node->name) == node);
	check(node->interface_count <= TOPOLOGY_INTERFACES_MAX);
	for (size_t i = 0; i < node->interface_count; i++) {
		const struct topology_interface *interface = &node->interfaces[i];

		check(interface->link < topology->link_count && interface->mtu >= 68 && !(interface->mac[0] & 1));
		for (size_t j = 0; j < interface->address_count; j++)
			check(strchr(interface->addresses[j], '/'));
	}
	for (size_t i = 0; i < node->file_count; i++)
		check(node->files[i].guest_path[0] == '/' && node->files[i].source[0] == '/');
}

static void check_test(const struct topology *topology, const struct topology_test *test)
{
	check(test->name && (test->command || test->capture.port) && (!test->command == !test->node_count));
	check(test->wait || test->attempts);
	for (size_t i = 0; i < test->node_count; i++)
		check(test->nodes[i] < topology->node_count);
	check(test->capture.count.minimum <= test->capture.count.maximum);
}

/* What it is in words is read again as the same, unless it has a key that does nothing, because the one it needs was
 * switched off on top of it. */
static void check_impairment(const struct impairment *impairment)
{
	struct impairment again = {.delay = 0};
	char *text = impairment_text(impairment);
	char *map = NULL;
	struct error error = {0};

	check(text != NULL);
	check(asprintf(&map, strcmp(text, "none") != 0 ? "{%s}" : "%s", text) >= 0);
	if (topology_read_impairment_text(map, &again, &error) < 0)
		check(strstr(error.text, "does nothing without"));
	else
		check(impairment_is_equal(impairment, &again));
	free(map);
	free(text);
}

static void check_impairments(const struct topology_link *link)
{
	uint64_t before = 0;

	for (size_t side = 0; side < 2; side++)
		check_impairment(&link->impairments[side]);
	check(link->event_count <= TOPOLOGY_EVENTS_MAX);
	for (size_t i = 0; i < link->event_count; i++) {
		const struct topology_event *event = &link->events[i];

		check(event->at >= before);
		before = event->at;
		check(event->carrier != TOPOLOGY_CARRIER_STAYS || event->is_impaired[0] || event->is_impaired[1]);
	}
}

static void check_topology(const struct topology *topology)
{
	check(topology->node_count && topology->node_count <= TOPOLOGY_NODES_MAX);
	for (size_t i = 0; i < topology->node_count; i++)
		check_node(topology, &topology->nodes[i]);
	for (size_t i = 0; i < topology->test_count; i++)
		check_test(topology, &topology->tests[i]);
	for (size_t i = 0; i < topology->link_count; i++) {
		const struct topology_endpoint *ends = topology->links[i].endpoints;

		check_impairments(&topology->links[i]);
		check(ends[0].kind == TOPOLOGY_END_NODE || ends[0].kind != ends[1].kind);
		for (size_t side = 0; side < 2; side++) {
			if (ends[side].kind == TOPOLOGY_END_NETWORK)
				check(ends[side].network < topology->network_count);
			else if (ends[side].kind == TOPOLOGY_END_ATTACHMENT)
				check(topology->attachments[ends[side].attachment].link == i &&
				      topology->attachments[ends[side].attachment].name);
			else
				check(topology->nodes[ends[side].node].interfaces[ends[side].interface].link == i);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *messages = NULL;
	size_t length = 0;
	FILE *errors = open_memstream(&messages, &length);
	struct topology *topology;

	if (!errors)
		return 0;
	topology = topology_read_text((const char *)data, size, "/nowhere/lab/topology.yaml", NULL, errors);
	fclose(errors);
	/* Either a topology, perhaps with warnings, or a word about why there is none. */
	check(topology || length);
	if (topology)
		check_topology(topology);
	topology_free(topology);
	free(messages);
	return 0;
}
