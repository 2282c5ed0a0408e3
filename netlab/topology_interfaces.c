/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/topology_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlab/allocate.h"

/* A set of MAC addresses: open addressing, never more than half full. */
struct mac_set {
	uint64_t *slots; /* 0: free; no interface has that address. */
	size_t mask;
};

static uint64_t mac_number(const uint8_t mac[6])
{
	uint64_t number = 0;

	for (size_t i = 0; i < 6; i++)
		number = number << 8 | mac[i];
	return number;
}

/* Adds 'mac'; returns false when it is there already. */
static bool mac_set_add(struct mac_set *set, const uint8_t mac[6])
{
	uint64_t number = mac_number(mac);
	size_t slot = (size_t)(number * 0x9e3779b97f4a7c15u >> 32) & set->mask;

	for (; set->slots[slot]; slot = (slot + 1) & set->mask)
		if (set->slots[slot] == number)
			return false;
	set->slots[slot] = number;
	return true;
}

/* FNV-1a, 64 bits. */
static uint64_t hash_text(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
	return hash;
}

/* Sets 'mac' to 52:54:00 and 24 bits that are the same in every run for the same three names.  'attempt' counts up from
 * 0 until an address is found that the lab does not have yet. */
static void derive_mac(const char *lab, const char *node, const char *interface, unsigned int attempt, uint8_t mac[6])
{
	char *text = attempt ? allocate_text("%s/%s/%s#%u", lab, node, interface, attempt) :
			       allocate_text("%s/%s/%s", lab, node, interface);
	uint64_t hash = hash_text(text);

	free(text);
	/* FNV alone gives neighbouring names neighbouring numbers; this is the finish of MurmurHash3. */
	hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdu;
	hash ^= hash >> 33;
	mac[0] = 0x52;
	mac[1] = 0x54;
	mac[2] = 0x00;
	mac[3] = (uint8_t)(hash >> 16);
	mac[4] = (uint8_t)(hash >> 8);
	mac[5] = (uint8_t)hash;
}

/* N of "ethN". */
static unsigned int interface_number(const struct topology_interface *interface)
{
	return (unsigned int)strtoul(interface->name + 3, NULL, 10);
}

static struct topology_interface *find_interface(const struct topology_node *node, unsigned int number)
{
	for (size_t i = 0; i < node->interface_count; i++)
		if (interface_number(&node->interfaces[i]) == number)
			return &node->interfaces[i];
	return NULL;
}

/* Sets what the end of 'link' says of its interface. */
static void set_interface(struct topology_interface *interface, const struct topology_end *end, size_t link)
{
	interface->mtu = end->mtu;
	interface->has_offload = end->has_offload;
	interface->link = link;
	memcpy(interface->mac, end->mac, sizeof(interface->mac));
	for (size_t i = 0; i < end->address_count; i++) {
		interface->addresses = allocate_grow(interface->addresses, i, sizeof(interface->addresses[0]));
		interface->addresses[i] = allocate_copy(end->addresses[i].address.text);
		interface->address_count++;
	}
}

char *topology_end_name(const struct topology_reader *reader, const struct topology_end *end)
{
	if (end->kind == TOPOLOGY_END_ATTACHMENT)
		return allocate_copy(reader->topology->attachments[end->index].name);
	return allocate_text("%s:eth%u", reader->topology->nodes[end->index].name, end->number);
}

/* Gives the node at 'end' the interface with the end's number, for the link at 'link'. */
static bool add_interface(struct topology_reader *reader, const struct topology_end *end, size_t link)
{
	struct topology_node *node = &reader->topology->nodes[end->index];
	struct topology_interface *interface = find_interface(node, end->number);

	if (interface) {
		bool is_same = interface->link == link;

		yaml_reader_error(&reader->yaml, end->mark,
				  is_same ? "both ends of the link are %s:eth%u" : "interface %s:eth%u is used twice",
				  node->name, end->number);
		if (!is_same)
			yaml_reader_help(&reader->yaml, "the link in line %u uses it too",
					 reader->wires[interface->link].mark.line);
		return false;
	}
	if (node->interface_count == TOPOLOGY_INTERFACES_MAX) {
		yaml_reader_error(&reader->yaml, end->mark, "node \"%s\" has more than %d interfaces", node->name,
				  TOPOLOGY_INTERFACES_MAX);
		return false;
	}
	node->interfaces = allocate_grow(node->interfaces, node->interface_count, sizeof(node->interfaces[0]));
	interface = &node->interfaces[node->interface_count++];
	*interface = (struct topology_interface){.name = ""};
	snprintf(interface->name, sizeof(interface->name), "eth%u", end->number);
	set_interface(interface, end, link);
	return true;
}

/* Gives every end its interface: first those that were written, then the lowest free number for each of the others in
 * file order.  Returns false when there was an error. */
static bool number_interfaces(struct topology_reader *reader)
{
	bool good = true;

	for (size_t i = 0; i < reader->wire_count; i++)
		for (size_t side = 0; side < 2; side++)
			if (reader->wires[i].ends[side].is_numbered)
				good = add_interface(reader, &reader->wires[i].ends[side], i) && good;
	for (size_t i = 0; i < reader->wire_count; i++) {
		for (size_t side = 0; side < 2; side++) {
			struct topology_end *end = &reader->wires[i].ends[side];

			if (end->kind != TOPOLOGY_END_NODE || end->is_numbered)
				continue;
			while (find_interface(&reader->topology->nodes[end->index], end->number))
				end->number++;
			end->is_numbered = true;
			good = add_interface(reader, end, i) && good;
		}
	}
	return good;
}

static int compare_interfaces(const void *left, const void *right)
{
	unsigned int a = interface_number(left), b = interface_number(right);

	return (a > b) - (a < b);
}

/* Sorts the interfaces of every node and makes the links, which need their indices. */
static void build_links(struct topology_reader *reader)
{
	struct topology *topology = reader->topology;

	for (size_t i = 0; i < topology->node_count; i++)
		if (topology->nodes[i].interface_count)
			qsort(topology->nodes[i].interfaces, topology->nodes[i].interface_count,
			      sizeof(topology->nodes[i].interfaces[0]), compare_interfaces);
	topology->links = allocate_zeroed(reader->wire_count, sizeof(topology->links[0]));
	topology->link_count = reader->wire_count;
	for (size_t i = 0; i < reader->wire_count; i++) {
		struct topology_wire *wire = &reader->wires[i];

		if (wire->impairments)
			memcpy(topology->links[i].impairments, wire->impairments,
			       sizeof(topology->links[i].impairments));
		topology->links[i].events = wire->events;
		topology->links[i].event_count = wire->event_count;
		wire->events = NULL;
		for (size_t side = 0; side < 2; side++) {
			const struct topology_end *end = &wire->ends[side];
			struct topology_endpoint *endpoint = &topology->links[i].endpoints[side];
			const struct topology_node *node;

			endpoint->kind = end->kind;
			if (end->kind == TOPOLOGY_END_NETWORK) {
				endpoint->network = end->index;
				continue;
			}
			if (end->kind == TOPOLOGY_END_ATTACHMENT) {
				endpoint->attachment = end->index;
				continue;
			}
			node = &topology->nodes[end->index];
			endpoint->node = end->index;
			endpoint->interface = (size_t)(find_interface(node, end->number) - node->interfaces);
		}
	}
}

/* Reports that the address at 'end' is another's. */
static void report_same_mac(struct topology_reader *reader, const struct topology_end *end)
{
	char *name;

	yaml_reader_error(&reader->yaml, end->mac_mark, "mac address %02x:%02x:%02x:%02x:%02x:%02x is used twice",
			  end->mac[0], end->mac[1], end->mac[2], end->mac[3], end->mac[4], end->mac[5]);
	for (size_t i = 0; i < reader->wire_count; i++) {
		for (size_t side = 0; side < 2; side++) {
			const struct topology_end *other = &reader->wires[i].ends[side];

			if (!other->has_mac || memcmp(other->mac, end->mac, sizeof(end->mac)))
				continue;
			name = topology_end_name(reader, other);
			yaml_reader_help(&reader->yaml, "%s has it in line %u", name, other->mac_mark.line);
			free(name);
			return;
		}
	}
}

/* Gives an interface that has no MAC address the one that follows from its names. */
static void set_mac(const struct topology *topology, const char *node, struct topology_interface *interface,
		    struct mac_set *set)
{
	static const uint8_t none[6];

	for (unsigned int attempt = 0; !memcmp(interface->mac, none, sizeof(none)); attempt++) {
		derive_mac(topology->name, node, interface->name, attempt, interface->mac);
		if (!mac_set_add(set, interface->mac))
			memset(interface->mac, 0, sizeof(interface->mac));
	}
}

/* Checks the given MAC addresses and derives the others. */
static void set_macs(struct topology_reader *reader)
{
	struct topology *topology = reader->topology;
	struct mac_set set = {.mask = 15};

	while (set.mask < 4 * reader->wire_count)
		set.mask = 2 * set.mask + 1;
	set.slots = allocate_zeroed(set.mask + 1, sizeof(set.slots[0]));
	for (size_t i = 0; i < reader->wire_count; i++)
		for (size_t side = 0; side < 2; side++)
			if (reader->wires[i].ends[side].has_mac && !mac_set_add(&set, reader->wires[i].ends[side].mac))
				report_same_mac(reader, &reader->wires[i].ends[side]);
	for (size_t i = 0; i < topology->node_count; i++) {
		const struct topology_node *node = &topology->nodes[i];

		for (size_t j = 0; j < node->interface_count; j++)
			set_mac(topology, node->name, &node->interfaces[j], &set);
	}
	for (size_t i = 0; i < topology->attachment_count; i++)
		if (topology->attachments[i].kind == TOPOLOGY_NETNS)
			set_mac(topology, topology->attachments[i].name, &topology->attachments[i].interface, &set);
	free(set.slots);
}

/* An address, for finding the one that comes twice. */
struct use {
	const struct topology_written_address *written;
	const struct topology_end *end;
	size_t order;
};

static int compare_addresses(const struct use *a, const struct use *b)
{
	if (a->written->address.family != b->written->address.family)
		return a->written->address.family - b->written->address.family;
	return memcmp(a->written->address.bytes, b->written->address.bytes, sizeof(a->written->address.bytes));
}

static int compare_uses(const void *left, const void *right)
{
	const struct use *a = left, *b = right;
	int order = compare_addresses(a, b);

	return order ? order : (a->order > b->order) - (a->order < b->order);
}

/* fe80::/10 means something on its link only, so every interface may have the same. */
static bool is_link_local(const struct topology_address *address)
{
	return address->family == AF_INET6 && address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80;
}

/* Reports addresses that come twice. */
static void check_addresses(struct topology_reader *reader)
{
	struct use *uses = NULL;
	size_t count = 0;

	for (size_t i = 0; i < 2 * reader->wire_count; i++) {
		const struct topology_end *end = &reader->wires[i / 2].ends[i % 2];

		for (size_t j = 0; j < end->address_count; j++) {
			if (is_link_local(&end->addresses[j].address))
				continue;
			uses = allocate_grow(uses, count, sizeof(uses[0]));
			uses[count] = (struct use){&end->addresses[j], end, count};
			count++;
		}
	}
	if (count)
		qsort(uses, count, sizeof(uses[0]), compare_uses);
	for (size_t i = 1; i < count; i++) {
		const struct use *first = &uses[i - 1], *second = &uses[i];
		char *name;

		if (compare_addresses(first, second))
			continue;
		yaml_reader_error(&reader->yaml, second->written->mark, "address %s is used twice",
				  second->written->address.text);
		name = topology_end_name(reader, first->end);
		yaml_reader_help(&reader->yaml, "%s has it in line %u", name, first->written->mark.line);
		free(name);
	}
	free(uses);
}

/* Tells attachments what became of their ends. */
static void place_attachments(struct topology_reader *reader)
{
	for (size_t i = 0; i < 2 * reader->wire_count; i++) {
		const struct topology_end *end = &reader->wires[i / 2].ends[i % 2];

		if (end->kind != TOPOLOGY_END_ATTACHMENT)
			continue;
		reader->topology->attachments[end->index].link = i / 2;
		set_interface(&reader->topology->attachments[end->index].interface, end, i / 2);
	}
}

void topology_build_interfaces(struct topology_reader *reader)
{
	bool good = number_interfaces(reader);

	topology_name_attachments(reader);
	place_attachments(reader);

	set_macs(reader);
	check_addresses(reader);
	if (good)
		build_links(reader);
}
