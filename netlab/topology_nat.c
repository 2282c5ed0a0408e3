/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/topology_reader.h"

#include <arpa/inet.h>
#include <string.h>

#include "netlab/allocate.h"

/* The part of a default subnet that differs from network to network: 10.0.N.0/24, fd6e:6574:6c61:N::/64. */
#define DEFAULT_FIRST 2
#define DEFAULT_PREFIX_LENGTH 24

static void read_subnet(struct topology_reader *reader, const struct yaml_tree_node *item,
			struct topology_network *network)
{
	const char *text = yaml_reader_text(&reader->yaml, item, "subnet");
	struct topology_address address;
	const char *problem = text ? topology_parse_prefix(text, &address) : NULL;
	bool is_ipv4;

	if (!text)
		return;
	is_ipv4 = !problem && address.family == AF_INET;
	if (!problem && topology_has_host_bits(&address))
		problem = "has bits set beyond its prefix length";
	else if (is_ipv4 && (address.prefix < NAT_PREFIX_LENGTH_MIN || address.prefix > NAT_PREFIX_LENGTH_MAX))
		problem = "must have a prefix length from 8 to 27, as in 10.0.2.0/24";
	else if (!problem && !is_ipv4 && address.prefix != NAT_PREFIX6_LENGTH)
		problem = "must have a prefix length of 64, as in fd00:2::/64";
	else if (is_ipv4 ? network->prefix_length != 0 : !problem && !IN6_IS_ADDR_UNSPECIFIED(&network->prefix6))
		problem = is_ipv4 ? "is a second IPv4 subnet" : "is a second IPv6 prefix";
	if (problem) {
		yaml_reader_error(&reader->yaml, item->mark, "subnet \"%s\" %s", text, problem);
		return;
	}
	if (is_ipv4) {
		memcpy(&network->subnet, address.bytes, sizeof(network->subnet));
		network->prefix_length = address.prefix;
	} else {
		memcpy(&network->prefix6, address.bytes, sizeof(network->prefix6));
	}
}

static void read_forward(struct topology_reader *reader, const struct yaml_tree_node *item, size_t network)
{
	const char *text = yaml_reader_text(&reader->yaml, item, "forward");
	struct topology_written_forward written = {.mark = item->mark, .network = network};
	const char *problem = text ? topology_parse_forward(text, &written.forward) : NULL;

	if (problem)
		yaml_reader_error(&reader->yaml, item->mark, "forward \"%s\" %s", text, problem);
	if (!text || problem)
		return;
	reader->forwards = allocate_grow(reader->forwards, reader->forward_count, sizeof(reader->forwards[0]));
	reader->forwards[reader->forward_count++] = written;
}

/* Reports keys that need another mode. */
static void check_nat_keys(struct topology_reader *reader, const struct yaml_tree_node *map)
{
	static const char *const keys[] = {"subnet", "forward", "restrict", "host", "dhcp", "dns", "tftp", "bootfile"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const struct yaml_tree_pair *pair = yaml_tree_find(map, keys[i]);

		if (pair)
			yaml_reader_error(&reader->yaml, pair->key_mark, "\"%s\" is for networks with \"mode: nat\"",
					  keys[i]);
	}
}

void topology_read_nat(struct topology_reader *reader, const struct yaml_tree_node *map,
		       struct topology_network *network)
{
	const struct yaml_tree_pair *subnet = yaml_tree_find(map, "subnet"), *forward = yaml_tree_find(map, "forward");
	const struct yaml_tree_pair *restricted = yaml_tree_find(map, "restrict");
	size_t index = (size_t)(network - reader->topology->networks);

	if (network->mode != TOPOLOGY_NAT) {
		check_nat_keys(reader, map);
		return;
	}
	if (subnet && subnet->value->type != YAML_TREE_LIST)
		read_subnet(reader, subnet->value, network);
	for (size_t i = 0; subnet && subnet->value->type == YAML_TREE_LIST && i < subnet->value->count; i++)
		read_subnet(reader, subnet->value->items[i], network);
	if (forward && forward->value->type != YAML_TREE_LIST)
		read_forward(reader, forward->value, index);
	for (size_t i = 0; forward && forward->value->type == YAML_TREE_LIST && i < forward->value->count; i++)
		read_forward(reader, forward->value->items[i], index);
	if (restricted)
		yaml_reader_switch(&reader->yaml, restricted->value, "restrict", &network->is_restricted);
	topology_read_nat_services(reader, map, network);
}

/* Subnets. */

static bool overlap(const struct topology_network *a, const struct topology_network *b)
{
	unsigned int shorter = a->prefix_length < b->prefix_length ? a->prefix_length : b->prefix_length;

	return !((ntohl(a->subnet.s_addr) ^ ntohl(b->subnet.s_addr)) >> (32 - shorter));
}

/* Returns the network among the first 'count' whose subnet overlaps, or NULL. */
static const struct topology_network *find_overlap(const struct topology *topology, size_t count,
						   const struct topology_network *network)
{
	for (size_t i = 0; i < count; i++) {
		const struct topology_network *other = &topology->networks[i];

		if (other != network && other->mode == TOPOLOGY_NAT && other->prefix_length && overlap(other, network))
			return other;
	}
	return NULL;
}

static const struct topology_network *find_overlap6(const struct topology *topology, size_t count,
						    const struct topology_network *network)
{
	for (size_t i = 0; i < count; i++) {
		const struct topology_network *other = &topology->networks[i];

		if (other != network && other->mode == TOPOLOGY_NAT &&
		    !memcmp(&other->prefix6, &network->prefix6, NAT_PREFIX6_LENGTH / 8))
			return other;
	}
	return NULL;
}

static void choose_subnet(struct topology_reader *reader, struct topology_network *network)
{
	const struct topology *topology = reader->topology;

	if (network->prefix_length)
		return;
	network->prefix_length = DEFAULT_PREFIX_LENGTH;
	for (uint32_t number = DEFAULT_FIRST; number <= UINT16_MAX; number++) {
		network->subnet.s_addr = htonl(10u << 24 | number << 8);
		if (!find_overlap(topology, topology->network_count, network))
			return;
	}
	yaml_reader_error(&reader->yaml, topology_network_mark(reader, network),
			  "no subnet is left in 10.0.0.0/8 for network \"%s\"", network->name);
	yaml_reader_help(&reader->yaml, "give it one: subnet: 192.168.2.0/24");
}

static void choose_prefix6(const struct topology *topology, struct topology_network *network)
{
	uint32_t number = DEFAULT_FIRST - 1;

	if (!IN6_IS_ADDR_UNSPECIFIED(&network->prefix6))
		return;
	inet_pton(AF_INET6, "fd6e:6574:6c61::", &network->prefix6);
	do { /* There are more of these than networks. */
		number++;
		network->prefix6.s6_addr[6] = (uint8_t)(number >> 8);
		network->prefix6.s6_addr[7] = (uint8_t)number;
	} while (find_overlap6(topology, topology->network_count, network));
}

static void check_overlap(struct topology_reader *reader, size_t index)
{
	const struct topology *topology = reader->topology;
	const struct topology_network *network = &topology->networks[index];
	const struct topology_network *other = network->prefix_length ? find_overlap(topology, index, network) : NULL;
	const char *what = "subnet";

	if (!other && !IN6_IS_ADDR_UNSPECIFIED(&network->prefix6)) {
		other = find_overlap6(topology, index, network);
		what = "IPv6 prefix";
	}
	if (!other)
		return;
	yaml_reader_error(&reader->yaml, topology_network_mark(reader, network),
			  "the %s of network \"%s\" overlaps that of \"%s\"", what, network->name, other->name);
	yaml_reader_help(&reader->yaml, "give them different ones, or none: then they are chosen");
}

/* Guests. */

bool topology_is_in_subnet(const struct topology_network *network, struct in_addr address)
{
	return !((ntohl(network->subnet.s_addr) ^ ntohl(address.s_addr)) >> (32 - network->prefix_length));
}

bool topology_has_name_server(const struct topology_network *network)
{
	return !network->is_dns_off && network->resolver.s_addr == INADDR_ANY;
}

static bool find_address(const struct topology_interface *interface, const struct topology_network *network,
			 struct in_addr *found)
{
	for (size_t i = 0; i < interface->address_count; i++) {
		struct topology_address address;

		if (topology_parse_address(interface->addresses[i], &address) || address.family != AF_INET)
			continue;
		memcpy(found, address.bytes, sizeof(*found));
		if (topology_is_in_subnet(network, *found))
			return true;
	}
	return false;
}

bool topology_is_on(const struct topology *topology, const struct topology_interface *interface, size_t network)
{
	const struct topology_endpoint *ends = topology->links[interface->link].endpoints;

	for (size_t side = 0; side < 2; side++)
		if (ends[side].kind == TOPOLOGY_END_NETWORK && ends[side].network == network)
			return true;
	return false;
}

bool topology_find_guest(const struct topology *topology, size_t network, const struct topology_node *node,
			 struct in_addr *found)
{
	for (size_t i = 0; i < node->interface_count; i++)
		if (topology_is_on(topology, &node->interfaces[i], network) &&
		    find_address(&node->interfaces[i], &topology->networks[network], found))
			return true;
	return false;
}

static bool resolve_guest(struct topology_reader *reader, const struct topology_written_forward *written,
			  struct in_addr *found)
{
	const struct topology *topology = reader->topology;
	const struct topology_network *network = &topology->networks[written->network];
	const struct topology_node *node = topology_find_node(topology, written->forward.guest);
	char subnet[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &network->subnet, subnet, sizeof(subnet));
	if (inet_pton(AF_INET, written->forward.guest, found) == 1) {
		if (topology_is_in_subnet(network, *found))
			return true;
		yaml_reader_error(&reader->yaml, written->mark, "forward to %s, which is not in %s/%u",
				  written->forward.guest, subnet, network->prefix_length);
		return false;
	}
	if (!node) {
		yaml_reader_error(&reader->yaml, written->mark, "forward to \"%s\": there is no such node",
				  written->forward.guest);
		return false;
	}
	if (topology_find_guest(topology, written->network, node, found))
		return true;
	yaml_reader_error(&reader->yaml, written->mark,
			  "forward to node \"%s\", which has no address in %s/%u on \"%s\"", node->name, subnet,
			  network->prefix_length, network->name);
	yaml_reader_help(&reader->yaml, "give it one: {endpoints: [%s, %s], ip: %s/%u}", node->name, network->name,
			 inet_ntoa(nat_host_address(network->subnet, NAT_HOST_NAME_SERVER + 1)),
			 network->prefix_length);
	return false;
}

/* Forwards. */

static bool same_host_port(const struct nat_forward *a, const struct nat_forward *b)
{
	return a->is_udp == b->is_udp && a->host_port == b->host_port &&
	       (a->host_address.s_addr == b->host_address.s_addr || a->host_address.s_addr == INADDR_ANY ||
		b->host_address.s_addr == INADDR_ANY);
}

static bool is_taken(struct topology_reader *reader, size_t index)
{
	const struct nat_forward *forward = &reader->forwards[index].forward.ports;

	for (size_t i = 0; i < index; i++) {
		if (!same_host_port(&reader->forwards[i].forward.ports, forward))
			continue;
		yaml_reader_error(&reader->yaml, reader->forwards[index].mark,
				  "%s port %u of the host is forwarded twice", forward->is_udp ? "UDP" : "TCP",
				  forward->host_port);
		yaml_reader_help(&reader->yaml, "the other one is in line %u", reader->forwards[i].mark.line);
		return true;
	}
	return false;
}

static void settle_forward(struct topology_reader *reader, size_t index)
{
	const struct topology_written_forward *written = &reader->forwards[index];
	struct topology_network *network = &reader->topology->networks[written->network];
	struct nat_forward forward = written->forward.ports;

	if (is_taken(reader, index) || !resolve_guest(reader, written, &forward.guest_address))
		return;
	network->forwards = allocate_grow(network->forwards, network->forward_count, sizeof(network->forwards[0]));
	network->forwards[network->forward_count++] = forward;
}

/* What the gateway of the network has the address for, or NULL. */
static const char *use_of(const struct topology_network *network, const struct topology_address *address)
{
	struct in_addr bytes;

	memcpy(&bytes, address->bytes, sizeof(bytes));
	if (address->family != AF_INET)
		return NULL;
	if (bytes.s_addr == nat_host_address(network->subnet, NAT_HOST_GATEWAY).s_addr)
		return "gateway";
	if (!topology_has_name_server(network))
		return NULL;
	return bytes.s_addr == nat_host_address(network->subnet, NAT_HOST_NAME_SERVER).s_addr ? "name server" : NULL;
}

/* Reports addresses of the gateway that the end of a link to the network has. */
static void check_end(struct topology_reader *reader, const struct topology_end *end,
		      const struct topology_network *network)
{
	for (size_t i = 0; i < end->address_count; i++) {
		const char *use = use_of(network, &end->addresses[i].address);

		if (use)
			yaml_reader_error(&reader->yaml, end->addresses[i].mark,
					  "%.*s is the address of the %s of network \"%s\"",
					  (int)strcspn(end->addresses[i].address.text, "/"),
					  end->addresses[i].address.text, use, network->name);
	}
}

static void check_guests(struct topology_reader *reader)
{
	for (size_t i = 0; i < 2 * reader->wire_count; i++) {
		const struct topology_end *end = &reader->wires[i / 2].ends[i % 2];
		const struct topology_end *other = &reader->wires[i / 2].ends[1 - i % 2];

		if (end->has_interface && other->kind == TOPOLOGY_END_NETWORK &&
		    reader->topology->networks[other->index].mode == TOPOLOGY_NAT)
			check_end(reader, end, &reader->topology->networks[other->index]);
	}
}

void topology_settle_nat(struct topology_reader *reader)
{
	struct topology *topology = reader->topology;

	for (size_t i = 0; i < topology->network_count; i++)
		if (topology->networks[i].mode == TOPOLOGY_NAT)
			check_overlap(reader, i);
	for (size_t i = 0; i < topology->network_count; i++)
		if (topology->networks[i].mode == TOPOLOGY_NAT) {
			choose_subnet(reader, &topology->networks[i]);
			choose_prefix6(topology, &topology->networks[i]);
		}
	check_guests(reader);
	for (size_t i = 0; i < topology->network_count; i++)
		if (topology->networks[i].mode == TOPOLOGY_NAT && topology->networks[i].prefix_length)
			topology_settle_nat_services(reader, i);
	for (size_t i = 0; i < reader->forward_count; i++)
		settle_forward(reader, i);
}
