/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/topology_reader.h"

#include <stdlib.h>
#include <string.h>

#include "netlab/allocate.h"

/* Networks that reach into the host: "mode: bridge" and "mode: macvtap". */

char *topology_read_device(struct topology_reader *reader, const struct yaml_tree_node *map, const char *key)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(map, key);
	const char *text = pair ? yaml_reader_text(&reader->yaml, pair->value, key) : NULL;

	if (!text)
		return NULL;
	if (bridge_name_is_valid(text))
		return allocate_copy(text);
	yaml_reader_error(&reader->yaml, pair->value->mark, "%s \"%s\" cannot be the name of a network device", key,
			  text);
	yaml_reader_help(&reader->yaml, "1 to %d letters, digits, \".\", \"-\", \"_\" and \"@\"", IF_NAMESIZE - 1);
	return NULL;
}

static void add_address(struct topology_reader *reader, const struct yaml_tree_node *item,
			struct topology_network *network)
{
	const char *text = yaml_reader_text(&reader->yaml, item, "address");
	struct topology_address address;
	const char *problem = text ? topology_parse_address(text, &address) : NULL;
	struct bridge_address *added;

	if (problem)
		yaml_reader_error(&reader->yaml, item->mark, "address \"%s\" %s", text, problem);
	if (!text || problem)
		return;
	if (network->host_address_count == BRIDGE_ADDRESSES_MAX) {
		yaml_reader_error(&reader->yaml, item->mark, "more than %d addresses", BRIDGE_ADDRESSES_MAX);
		return;
	}
	network->host_addresses = allocate_grow(network->host_addresses, network->host_address_count,
						sizeof(network->host_addresses[0]));
	added = &network->host_addresses[network->host_address_count++];
	*added = (struct bridge_address){.family = address.family, .prefix_length = address.prefix};
	memcpy(added->bytes, address.bytes, sizeof(added->bytes));
}

static void read_addresses(struct topology_reader *reader, const struct yaml_tree_node *map,
			   struct topology_network *network)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(map, "address");

	if (pair && pair->value->type != YAML_TREE_LIST)
		add_address(reader, pair->value, network);
	for (size_t i = 0; pair && pair->value->type == YAML_TREE_LIST && i < pair->value->count; i++)
		add_address(reader, pair->value->items[i], network);
}

/* Reports the first of the keys, a list that ends with NULL, that stands in the map. */
static bool refuse(struct topology_reader *reader, const struct yaml_tree_node *map, const char *const *keys,
		   const char *why)
{
	for (; *keys; keys++) {
		const struct yaml_tree_pair *pair = yaml_tree_find(map, *keys);

		if (!pair)
			continue;
		yaml_reader_error(&reader->yaml, pair->key_mark, "\"%s\" is %s", *keys, why);
		return true;
	}
	return false;
}

static void check_bridge(struct topology_reader *reader, const struct yaml_tree_node *map)
{
	static const char *const beside_tap[] = {"bridge", "interface", "address", NULL};

	if (yaml_tree_find(map, "tap")) {
		refuse(reader, map, beside_tap, "for bridges; what a TAP is on is for its maker to say");
	} else if (!yaml_tree_find(map, "bridge")) {
		yaml_reader_error(&reader->yaml, map->mark, "a network with \"mode: bridge\" needs a \"bridge\"");
		yaml_reader_help(&reader->yaml,
				 "write bridge: nlbr0, which is made if there is none, or tap: NAME for a "
				 "TAP that you have");
	}
}

static void check_macvtap(struct topology_reader *reader, const struct yaml_tree_node *map)
{
	static const char *const others[] = {"bridge", "tap", "address", NULL};

	if (refuse(reader, map, others, "for networks with \"mode: bridge\"") || yaml_tree_find(map, "interface"))
		return;
	yaml_reader_error(&reader->yaml, map->mark, "a network with \"mode: macvtap\" needs an \"interface\"");
	yaml_reader_help(&reader->yaml, "write interface: eth0, with the name of one of this host's");
}

void topology_read_bridge(struct topology_reader *reader, const struct yaml_tree_node *map,
			  struct topology_network *network)
{
	static const char *const all[] = {"bridge", "interface", "tap", "address", NULL};

	if (network->mode == TOPOLOGY_BRIDGE)
		check_bridge(reader, map);
	else if (network->mode == TOPOLOGY_MACVTAP)
		check_macvtap(reader, map);
	else if (refuse(reader, map, all, "for networks with \"mode: bridge\""))
		return;
	network->host_bridge = topology_read_device(reader, map, "bridge");
	network->host_interface = topology_read_device(reader, map, "interface");
	network->host_tap = topology_read_device(reader, map, "tap");
	read_addresses(reader, map, network);
}

static bool is_same_device(const char *a, const char *b)
{
	return a && b && !strcmp(a, b);
}

static void check_twice(struct topology_reader *reader, size_t index)
{
	const struct topology *topology = reader->topology;
	const struct topology_network *network = &topology->networks[index];

	for (size_t i = 0; i < index; i++) {
		const struct topology_network *other = &topology->networks[i];

		if (!is_same_device(network->host_bridge, other->host_bridge) &&
		    !is_same_device(network->host_tap, other->host_tap) &&
		    !is_same_device(network->host_interface, other->host_interface))
			continue;
		yaml_reader_error(&reader->yaml, topology_network_mark(reader, network),
				  "networks \"%s\" and \"%s\" are plugged into the same device", other->name,
				  network->name);
		yaml_reader_help(&reader->yaml, "one network is enough: all ends of links may be on it");
		return;
	}
}

/* A macvtap lets in what is for one MAC address, so that is the one of the one node. */
static void check_single(struct topology_reader *reader, const struct topology_network *network, size_t count)
{
	if (network->mode != TOPOLOGY_MACVTAP || count < 2)
		return;
	yaml_reader_error(
		&reader->yaml, topology_network_mark(reader, network),
		"network \"%s\" has \"mode: macvtap\", which is for one node, and %zu ends of links are on it",
		network->name, count);
	yaml_reader_help(&reader->yaml, "put a node that routes between them, give each a network, or use \"mode: "
					"bridge\"");
}

/* Stations behind these have addresses of their own. */
static size_t count_attachments(const struct topology *topology, size_t network)
{
	size_t count = 0;

	for (size_t i = 0; i < 2 * topology->link_count; i++) {
		const struct topology_endpoint *ends = topology->links[i / 2].endpoints;

		count += ends[i % 2].kind == TOPOLOGY_END_ATTACHMENT && ends[1 - i % 2].kind == TOPOLOGY_END_NETWORK &&
			 ends[1 - i % 2].network == network;
	}
	return count;
}

/* Sets what the host's device has to fit: the largest MTU on the network, and its last node's MAC address. */
static void settle_device(struct topology_reader *reader, size_t index)
{
	const struct topology *topology = reader->topology;
	struct topology_network *network = &topology->networks[index];
	size_t count = 0;

	for (size_t i = 0; i < topology->node_count; i++) {
		for (size_t j = 0; j < topology->nodes[i].interface_count; j++) {
			const struct topology_interface *interface = &topology->nodes[i].interfaces[j];

			if (!topology_is_on(topology, interface, index))
				continue;
			count++;
			if (interface->mtu > network->host_mtu)
				network->host_mtu = interface->mtu;
			memcpy(network->host_mac, interface->mac, sizeof(network->host_mac));
		}
	}
	if (count == 0)
		network->host_mtu = TOPOLOGY_MTU_DEFAULT;
	count += count_attachments(topology, index);
	check_single(reader, network, count);
}

void topology_settle_bridges(struct topology_reader *reader)
{
	for (size_t i = 0; i < reader->topology->network_count; i++) {
		const enum topology_mode mode = reader->topology->networks[i].mode;

		if (mode != TOPOLOGY_BRIDGE && mode != TOPOLOGY_MACVTAP)
			continue;
		check_twice(reader, i);
		settle_device(reader, i);
	}
}
