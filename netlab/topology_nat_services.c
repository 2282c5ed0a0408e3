/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/topology_reader.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "netlab/allocate.h"

/* What the gateway of a network with NAT does for guests beside passing on what they send: names, leases, files. */

static bool is_switch(const struct yaml_tree_node *node)
{
	static const char *const words[] = {"on", "off", "true", "false", "yes", "no"};

	for (size_t i = 0; node->type == YAML_TREE_SCALAR && i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcasecmp(node->text, words[i]))
			return true;
	return false;
}

/* Reads an IPv4 address without a prefix length.  Returns false after reporting what is wrong. */
static bool read_ipv4(struct topology_reader *reader, const struct yaml_tree_node *node, const char *what,
		      struct in_addr *address)
{
	const char *text = yaml_reader_text(&reader->yaml, node, what);

	if (!text)
		return false;
	if (inet_pton(AF_INET, text, address) == 1 && address->s_addr != INADDR_ANY)
		return true;
	yaml_reader_error(&reader->yaml, node->mark, "%s \"%s\" is no IPv4 address, as 192.0.2.53 is", what, text);
	return false;
}

/* Host names. */

static void add_host(struct topology_reader *reader, const char *name, const struct yaml_tree_node *item,
		     struct topology_network *network)
{
	const char *text = yaml_reader_text(&reader->yaml, item, "the address of a host");
	struct topology_host host = {.name = NULL};

	if (!text)
		return;
	if (inet_pton(AF_INET, text, host.address) == 1) {
		host.family = AF_INET;
	} else if (inet_pton(AF_INET6, text, host.address) == 1) {
		host.family = AF_INET6;
	} else {
		yaml_reader_error(&reader->yaml, item->mark, "host \"%s\" has no IP address: \"%s\"", name, text);
		yaml_reader_help(&reader->yaml, "write host: {files.example: 10.0.2.2, db: [10.0.9.1, \"fd00::5\"]}");
		return;
	}
	host.name = allocate_copy(name);
	network->hosts = allocate_grow(network->hosts, network->host_count, sizeof(network->hosts[0]));
	network->hosts[network->host_count++] = host;
}

static void read_host(struct topology_reader *reader, const struct yaml_tree_pair *pair,
		      struct topology_network *network)
{
	const char *problem = topology_check_host_name(pair->key);
	const struct yaml_tree_node *value = pair->value;
	size_t length = strlen(pair->key), zone = strlen("." NAT_DNS_ZONE);

	if (!problem && length > zone && !strcasecmp(pair->key + length - zone, "." NAT_DNS_ZONE))
		problem = "ends in ." NAT_DNS_ZONE ", which the gateway adds by itself";
	if (problem) {
		yaml_reader_error(&reader->yaml, pair->key_mark, "host \"%s\" %s", pair->key, problem);
		return;
	}
	if (value->type == YAML_TREE_LIST && value->count == 0)
		yaml_reader_error(&reader->yaml, value->mark, "host \"%s\" has no address", pair->key);
	for (size_t i = 0; value->type == YAML_TREE_LIST && i < value->count; i++)
		add_host(reader, pair->key, value->items[i], network);
	if (value->type != YAML_TREE_LIST)
		add_host(reader, pair->key, value, network);
}

static void read_hosts(struct topology_reader *reader, const struct yaml_tree_node *map,
		       struct topology_network *network)
{
	if (map->type != YAML_TREE_MAP && map->type != YAML_TREE_NULL) {
		yaml_reader_error(&reader->yaml, map->mark, "host must be a map of names and addresses, not %s",
				  yaml_tree_type_name(map));
		return;
	}
	for (size_t i = 0; map->type == YAML_TREE_MAP && i < map->count; i++)
		read_host(reader, &map->pairs[i], network);
}

/* DHCP. */

static void add_domain(struct topology_reader *reader, const struct yaml_tree_node *item,
		       struct topology_network *network)
{
	const char *text = yaml_reader_text(&reader->yaml, item, "a domain of \"search\"");
	const char *problem = text ? topology_check_host_name(text) : NULL;
	size_t length = text ? strlen(text) : 0;

	for (size_t i = 0; i < network->search_count; i++)
		length += strlen(network->search[i]);
	if (text && !problem && (network->search_count == NAT_SEARCH_MAX || length > NAT_SEARCH_LENGTH_MAX))
		problem = "is one too many: there is room for six, of 100 characters together";
	if (problem)
		yaml_reader_error(&reader->yaml, item->mark, "domain \"%s\" %s", text, problem);
	if (!text || problem)
		return;
	network->search = allocate_grow(network->search, network->search_count, sizeof(network->search[0]));
	network->search[network->search_count++] = allocate_copy(text);
}

static void read_dhcp(struct topology_reader *reader, const struct yaml_tree_node *map,
		      struct topology_network *network)
{
	static const char *const keys[] = {"first", "search"};
	const struct yaml_tree_pair *first, *search;
	bool is_on;

	if (is_switch(map)) {
		if (yaml_reader_switch(&reader->yaml, map, "dhcp", &is_on))
			network->is_dhcp_off = !is_on;
		return;
	}
	if (map->type != YAML_TREE_MAP) {
		yaml_reader_error(&reader->yaml, map->mark, "dhcp must be off or a map, not %s",
				  yaml_tree_type_name(map));
		yaml_reader_help(&reader->yaml, "write dhcp: {first: 10.0.2.50}");
		return;
	}
	yaml_reader_check_keys(&reader->yaml, map, "dhcp", keys, sizeof(keys) / sizeof(keys[0]));
	first = yaml_tree_find(map, "first");
	search = yaml_tree_find(map, "search");
	if (first)
		read_ipv4(reader, first->value, "first", &network->first_lease);
	if (search && search->value->type != YAML_TREE_LIST)
		add_domain(reader, search->value, network);
	for (size_t i = 0; search && search->value->type == YAML_TREE_LIST && i < search->value->count; i++)
		add_domain(reader, search->value->items[i], network);
}

/* Which resolver questions for names outside of the lab go to. */
static void read_dns(struct topology_reader *reader, const struct yaml_tree_node *node,
		     struct topology_network *network)
{
	bool is_on;

	if (!is_switch(node))
		read_ipv4(reader, node, "dns", &network->resolver);
	else if (yaml_reader_switch(&reader->yaml, node, "dns", &is_on))
		network->is_dns_off = !is_on;
}

/* Files. */

/* A snapshot does not have the folder, which may be gone when that is restored; and who made one that was imported does
 * not say which folders of this machine are served. */
static void read_tftp(struct topology_reader *reader, const struct yaml_tree_node *node,
		      struct topology_network *network)
{
	const char *text = yaml_reader_text(&reader->yaml, node, "tftp");
	const char *problem = NULL;
	struct stat status;

	if (!text || reader->topology->is_foreign)
		return;
	network->tftp = *text == '/' ? allocate_copy(text) : allocate_text("%s/%s", reader->folder, text);
	if (reader->is_kept)
		return;
	if (stat(network->tftp, &status))
		problem = strerror(errno);
	else if (!S_ISDIR(status.st_mode))
		problem = "it is no folder";
	if (!problem)
		return;
	yaml_reader_error(&reader->yaml, node->mark, "cannot serve \"%s\" by TFTP: %s", text, problem);
	yaml_reader_help(&reader->yaml, "looked for %s", network->tftp);
}

static void read_bootfile(struct topology_reader *reader, const struct yaml_tree_node *node,
			  struct topology_network *network)
{
	const char *text = yaml_reader_text(&reader->yaml, node, "bootfile");
	const char *problem = NULL;

	if (!text)
		return;
	if (!*text)
		problem = "is empty";
	else if (strlen(text) > NAT_BOOTFILE_MAX)
		problem = "is longer than 127 characters";
	for (const char *at = text; *at && !problem; at++)
		if (!isgraph((unsigned char)*at))
			problem = "holds a character that no file's name should have";
	if (problem)
		yaml_reader_error(&reader->yaml, node->mark, "bootfile \"%s\" %s", text, problem);
	else
		network->bootfile = allocate_copy(text);
}

/* Reports what contradicts another key. */
static void check_services(struct topology_reader *reader, const struct yaml_tree_node *map,
			   const struct topology_network *network)
{
	const struct yaml_tree_pair *host = yaml_tree_find(map, "host"), *bootfile = yaml_tree_find(map, "bootfile");

	if (host && network->is_dns_off)
		yaml_reader_error(&reader->yaml, host->key_mark, "\"host\" is of no use with \"dns: off\"");
	if (bootfile && network->is_dhcp_off)
		yaml_reader_error(&reader->yaml, bootfile->key_mark,
				  "\"bootfile\" is told by DHCP, so it is of no use with \"dhcp: off\"");
}

void topology_read_nat_services(struct topology_reader *reader, const struct yaml_tree_node *map,
				struct topology_network *network)
{
	static const struct {
		const char *key;
		void (*read)(struct topology_reader *reader, const struct yaml_tree_node *node,
			     struct topology_network *network);
	} keys[] = {
		{"host", read_hosts}, {"dhcp", read_dhcp},         {"dns", read_dns},
		{"tftp", read_tftp},  {"bootfile", read_bootfile},
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const struct yaml_tree_pair *pair = yaml_tree_find(map, keys[i].key);

		if (pair)
			keys[i].read(reader, pair->value, network);
	}
	check_services(reader, map, network);
}

/* Leases: NAT_LEASES_MAX addresses in a row that no node was given. */

/* The host numbers that may be leased: all but the subnet's own, the gateway's and the broadcast address. */
static uint32_t last_number(const struct topology_network *network)
{
	return (uint32_t)((1ull << (32 - network->prefix_length)) - 2);
}

/* Sets '*number' to the highest of the 'count' host numbers from 'first' on that a node on the network was given, and
 * returns whose it is, or NULL for none. */
static const struct topology_node *find_given(const struct topology *topology, size_t network, uint32_t first,
					      uint32_t count, uint32_t *number)
{
	const struct topology_node *found = NULL;
	uint32_t subnet = ntohl(topology->networks[network].subnet.s_addr);

	for (size_t i = 0; i < 2 * topology->link_count; i++) {
		const struct topology_link *link = &topology->links[i / 2];
		const struct topology_endpoint *end = &link->endpoints[i % 2], *other = &link->endpoints[1 - i % 2];
		const struct topology_interface *interface;

		if (end->kind != TOPOLOGY_END_NODE || other->kind != TOPOLOGY_END_NETWORK || other->network != network)
			continue;
		interface = &topology->nodes[end->node].interfaces[end->interface];
		for (size_t j = 0; j < interface->address_count; j++) {
			struct topology_address address;
			uint32_t bytes;

			if (topology_parse_address(interface->addresses[j], &address) || address.family != AF_INET)
				continue;
			memcpy(&bytes, address.bytes, sizeof(bytes));
			bytes = ntohl(bytes) - subnet;
			if (bytes < first || bytes - first >= count || (found && bytes < *number))
				continue;
			*number = bytes;
			found = &topology->nodes[end->node];
		}
	}
	return found;
}

static bool choose_among(const struct topology *topology, size_t index, uint32_t first, uint32_t last)
{
	struct topology_network *network = &topology->networks[index];
	uint32_t taken;

	while (first <= last && last - first >= NAT_LEASES_MAX - 1) {
		if (!find_given(topology, index, first, NAT_LEASES_MAX, &taken)) {
			network->first_lease = nat_host_address(network->subnet, first);
			return true;
		}
		first = taken + 1;
	}
	return false;
}

static void check_leases(struct topology_reader *reader, size_t index)
{
	const struct topology_network *network = &reader->topology->networks[index];
	const struct yaml_mark mark = topology_network_mark(reader, network);
	uint32_t first = ntohl(network->first_lease.s_addr) - ntohl(network->subnet.s_addr), taken;
	const struct topology_node *node;

	if (!topology_is_in_subnet(network, network->first_lease) || first <= NAT_HOST_NAME_SERVER ||
	    first + NAT_LEASES_MAX - 1 > last_number(network)) {
		yaml_reader_error(&reader->yaml, mark, "network \"%s\" has no room for 16 leases from %s on",
				  network->name, inet_ntoa(network->first_lease));
		yaml_reader_help(&reader->yaml, "they must be in its subnet, behind the name server: first: %s",
				 inet_ntoa(nat_host_address(network->subnet, NAT_HOST_FIRST_LEASE)));
		return;
	}
	node = find_given(reader->topology, index, first, NAT_LEASES_MAX, &taken);
	if (!node)
		return;
	yaml_reader_error(&reader->yaml, mark, "%s of node \"%s\" is among the leases of network \"%s\"",
			  inet_ntoa(nat_host_address(network->subnet, taken)), node->name, network->name);
	yaml_reader_help(&reader->yaml, "leases are 16 addresses; without \"first\" free ones are chosen");
}

static void settle_leases(struct topology_reader *reader, size_t index)
{
	const struct topology_network *network = &reader->topology->networks[index];
	uint32_t last = last_number(network);

	if (network->is_dhcp_off)
		return;
	if (network->first_lease.s_addr != INADDR_ANY) {
		check_leases(reader, index);
		return;
	}
	if (choose_among(reader->topology, index, NAT_HOST_FIRST_LEASE, last) ||
	    choose_among(reader->topology, index, NAT_HOST_NAME_SERVER + 1, last))
		return;
	yaml_reader_error(&reader->yaml, topology_network_mark(reader, network),
			  "no 16 addresses in a row are left for leases on network \"%s\"", network->name);
	yaml_reader_help(&reader->yaml, "give it a larger subnet, or write dhcp: off");
}

/* A resolver in the subnet is the gateway, and so this host, or a node. */
static void settle_resolver(struct topology_reader *reader, size_t index)
{
	const struct topology_network *network = &reader->topology->networks[index];
	uint32_t number = ntohl(network->resolver.s_addr) - ntohl(network->subnet.s_addr), taken;

	if (network->resolver.s_addr == INADDR_ANY || !topology_is_in_subnet(network, network->resolver) ||
	    number == NAT_HOST_GATEWAY || find_given(reader->topology, index, number, 1, &taken))
		return;
	yaml_reader_error(&reader->yaml, topology_network_mark(reader, network),
			  "no node on network \"%s\" has the address of its resolver, %s", network->name,
			  inet_ntoa(network->resolver));
}

static void settle_hosts(struct topology_reader *reader, const struct topology_network *network)
{
	for (size_t i = 0; i < network->host_count; i++) {
		const char *name = network->hosts[i].name;

		if (!topology_find_node(reader->topology, name) || (i > 0 && !strcmp(network->hosts[i - 1].name, name)))
			continue;
		yaml_reader_error(&reader->yaml, topology_network_mark(reader, network),
				  "host \"%s\" of network \"%s\" has the name of a node", name, network->name);
	}
}

void topology_settle_nat_services(struct topology_reader *reader, size_t index)
{
	settle_leases(reader, index);
	settle_resolver(reader, index);
	settle_hosts(reader, &reader->topology->networks[index]);
}

bool topology_same_search(const struct topology_network *a, const struct topology_network *b)
{
	for (size_t i = 0; i < a->search_count && i < b->search_count; i++)
		if (strcmp(a->search[i], b->search[i]) != 0)
			return false;
	return a->search_count == b->search_count;
}

void topology_clear_nat_services(struct topology_network *network)
{
	for (size_t i = 0; i < network->host_count; i++)
		free(network->hosts[i].name);
	for (size_t i = 0; i < network->search_count; i++)
		free(network->search[i]);
	free(network->hosts);
	free(network->search);
	free(network->tftp);
	free(network->bootfile);
}
