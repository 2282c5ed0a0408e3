/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/topology_reader.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "netlab/allocate.h"
#include "netlab/dataplane.h"

/* What a file asks of networks' switches and of ports: VLANs, isolation, limits, guards, mirrors. */

#define PORT_PREFIX "network:" /* Of the name of a network's outer port. */

static const char *const rule_names[TOPOLOGY_RULE_COUNT] = {
	[TOPOLOGY_RULE_VLAN] = "vlan",   [TOPOLOGY_RULE_TRUNK] = "trunk", [TOPOLOGY_RULE_ISOLATE] = "isolate",
	[TOPOLOGY_RULE_STORM] = "storm", [TOPOLOGY_RULE_GUARD] = "guard", [TOPOLOGY_RULE_MIRROR] = "mirror",
};

static bool is_given(const struct topology_written_rules *written, enum topology_rule rule)
{
	return written->marks[rule].line != 0;
}

/* Items of a list, or what stands there instead of one. */
static size_t item_count(const struct yaml_tree_node *value)
{
	return value->type == YAML_TREE_LIST ? value->count : 1;
}

static const struct yaml_tree_node *item_of(const struct yaml_tree_node *value, size_t index)
{
	return value->type == YAML_TREE_LIST ? value->items[index] : value;
}

/* One key each. */

static void read_vlan(struct topology_reader *reader, const struct yaml_tree_node *value, struct port_rules *rules)
{
	unsigned long number;

	if (yaml_reader_number(&reader->yaml, value, "vlan", 1, VLAN_MAX, &number))
		rules->vlan = (uint16_t)number;
}

static void read_trunk(struct topology_reader *reader, const struct yaml_tree_node *value, struct port_rules *rules)
{
	if (value->type == YAML_TREE_LIST && value->count == 0)
		yaml_reader_error(&reader->yaml, value->mark,
				  "trunk has no VLANs; write trunk: [10, 20-29] or trunk: all");
	for (size_t i = 0; i < item_count(value); i++) {
		const struct yaml_tree_node *item = item_of(value, i);
		const char *text = yaml_reader_text(&reader->yaml, item, "trunk"), *problem = NULL;
		uint16_t first = 1, last = VLAN_MAX;

		if (!text)
			return;
		if (item != value || strcmp(text, "all") != 0)
			problem = topology_parse_vlans(text, &first, &last);
		if (problem)
			yaml_reader_error(&reader->yaml, item->mark, "\"%s\" in trunk %s", text, problem);
		else
			port_rules_add_trunk(rules, first, last);
	}
}

static void read_storm(struct topology_reader *reader, const struct yaml_tree_node *value, struct port_rules *rules)
{
	const char *text = yaml_reader_text(&reader->yaml, value, "storm");
	const char *problem = text ? topology_parse_frame_rate(text, &rules->storm) : NULL;

	if (problem)
		yaml_reader_error(&reader->yaml, value->mark, "storm \"%s\" %s", text, problem);
}

static void read_guard(struct topology_reader *reader, const struct yaml_tree_node *value, struct port_rules *rules)
{
	static const char *const words[] = {"mac", "arp", "ip"}; /* In the order of their bits. */
	const unsigned int all = PORT_GUARD_MAC | PORT_GUARD_ARP | PORT_GUARD_IP;

	for (size_t i = 0; i < item_count(value); i++) {
		const struct yaml_tree_node *item = item_of(value, i);
		const char *text = yaml_reader_text(&reader->yaml, item, "guard");
		size_t word = 0;

		if (!text)
			return;
		while (word < sizeof(words) / sizeof(words[0]) && strcmp(text, words[word]) != 0)
			word++;
		if (word < sizeof(words) / sizeof(words[0]))
			rules->guard |= 1u << word;
		else if (item == value && (!strcasecmp(text, "on") || !strcasecmp(text, "off")))
			rules->guard = !strcasecmp(text, "on") ? all : 0;
		else
			yaml_reader_error(&reader->yaml, item->mark,
					  "guard must be on, off, or a list of mac, arp and ip, not \"%s\"", text);
	}
}

static void read_rule(struct topology_reader *reader, enum topology_rule rule, const struct yaml_tree_node *value,
		      struct topology_written_rules *written)
{
	struct port_rules *rules = written->rules;

	switch (rule) {
	case TOPOLOGY_RULE_VLAN:
		read_vlan(reader, value, rules);
		break;
	case TOPOLOGY_RULE_TRUNK:
		read_trunk(reader, value, rules);
		break;
	case TOPOLOGY_RULE_ISOLATE:
		yaml_reader_switch(&reader->yaml, value, "isolate", &rules->is_isolated);
		break;
	case TOPOLOGY_RULE_STORM:
		read_storm(reader, value, rules);
		break;
	case TOPOLOGY_RULE_GUARD:
		read_guard(reader, value, rules);
		break;
	default:
		written->mirrored = value; /* The names in it are known when all has been read. */
		rules->is_mirror = true;
		break;
	}
}

void topology_read_rules(struct topology_reader *reader, const struct yaml_tree_node *map,
			 struct topology_written_rules *written)
{
	for (int rule = 0; rule < TOPOLOGY_RULE_COUNT; rule++) {
		const struct yaml_tree_pair *pair = yaml_tree_find(map, rule_names[rule]);

		if (!pair)
			continue;
		if (is_given(written, (enum topology_rule)rule)) {
			yaml_reader_error(&reader->yaml, pair->key_mark,
					  "%s is given for the link and for its endpoint", pair->key);
			continue;
		}
		if (!written->rules) {
			written->rules = allocate_zeroed(1, sizeof(*written->rules));
			*written->rules = port_rules_default;
		}
		written->marks[rule] = pair->key_mark;
		read_rule(reader, (enum topology_rule)rule, pair->value, written);
	}
	/* A trunk has no VLAN without tags but the one that is given. */
	if (written->rules && is_given(written, TOPOLOGY_RULE_TRUNK) && !is_given(written, TOPOLOGY_RULE_VLAN))
		written->rules->vlan = 0;
}

/* Networks. */

static void read_reserved(struct topology_reader *reader, const struct yaml_tree_node *value, bool *passes)
{
	const char *text = yaml_reader_text(&reader->yaml, value, "reserved-addresses");

	if (text && strcmp(text, "pass") != 0 && strcmp(text, "drop") != 0)
		yaml_reader_error(&reader->yaml, value->mark, "reserved-addresses must be pass or drop, not \"%s\"",
				  text);
	*passes = text && !strcmp(text, "pass");
}

/* Reads the VLANs of what leads out of the network. */
static void read_outer_port(struct topology_reader *reader, const struct yaml_tree_node *map,
			    struct topology_network *network)
{
	struct topology_written_rules written = {.rules = NULL};
	const struct yaml_tree_pair *vlan = yaml_tree_find(map, "vlan"), *trunk = yaml_tree_find(map, "trunk");
	const struct yaml_tree_pair *first = vlan ? vlan : trunk;

	if (!first)
		return;
	topology_read_rules(reader, map, &written);
	network->rules = written.rules;
	network->has_vlans = true;
	if (network->mode == TOPOLOGY_ISOLATED) {
		yaml_reader_error(
			&reader->yaml, first->key_mark,
			"\"%s\" of a network is that of what leads out of it, and nothing leads out of \"%s\"",
			first->key, network->name);
		yaml_reader_help(&reader->yaml, "the ends of its links have it: {endpoints: [h1, %s], %s: 10}",
				 network->name, first->key);
	} else if (network->mode == TOPOLOGY_NAT && trunk) {
		yaml_reader_error(&reader->yaml, trunk->key_mark, "the gateway of a network with NAT knows no tags");
		yaml_reader_help(&reader->yaml, "give it one VLAN, vlan: 10, and have a router lead there from others");
	}
}

void topology_read_switch(struct topology_reader *reader, const struct yaml_tree_node *map,
			  struct topology_network *network)
{
	const struct yaml_tree_pair *hub = yaml_tree_find(map, "hub");
	const struct yaml_tree_pair *reserved = yaml_tree_find(map, "reserved-addresses");

	if (hub)
		yaml_reader_switch(&reader->yaml, hub->value, "hub", &network->is_hub);
	if (reserved)
		read_reserved(reader, reserved->value, &network->passes_reserved);
	if (reserved && network->is_hub && !network->passes_reserved)
		yaml_reader_error(&reader->yaml, reserved->key_mark, "a hub passes reserved addresses, as all others");
	network->passes_reserved = network->passes_reserved || network->is_hub;
	read_outer_port(reader, map, network);
	if (hub && network->is_hub && network->has_vlans)
		yaml_reader_error(&reader->yaml, hub->key_mark, "a hub knows no VLANs");
}

/* What needs the whole lab. */

/* An end of a link to be settled. */
struct end {
	struct topology_reader *reader;
	struct topology_end *written;
	struct topology_endpoint *endpoint;
	struct topology_network *network; /* At the other end, or NULL. */
	const struct topology_node *node; /* NULL: it leads out of the lab, or is a network. */
	const struct topology_attachment *attachment;
	const struct topology_interface *interface; /* NULL: it has none whose addresses are known. */
};

static struct end find_end(struct topology_reader *reader, size_t link, size_t side)
{
	struct topology *topology = reader->topology;
	struct topology_endpoint *endpoints = topology->links[link].endpoints;
	struct end end = {.reader = reader, .written = &reader->wires[link].ends[side], .endpoint = &endpoints[side]};

	if (endpoints[1 - side].kind == TOPOLOGY_END_NETWORK)
		end.network = &topology->networks[endpoints[1 - side].network];
	if (end.endpoint->kind == TOPOLOGY_END_NODE) {
		end.node = &topology->nodes[end.endpoint->node];
		end.interface = &end.node->interfaces[end.endpoint->interface];
	} else if (end.endpoint->kind == TOPOLOGY_END_ATTACHMENT) {
		end.attachment = &topology->attachments[end.endpoint->attachment];
		end.interface = end.written->has_interface ? &end.attachment->interface : NULL;
	}
	return end;
}

/* The first rule that is given and not among 'but' (bits), or TOPOLOGY_RULE_COUNT. */
static enum topology_rule find_given(const struct topology_written_rules *written, unsigned int but)
{
	int rule = 0;

	while (rule < TOPOLOGY_RULE_COUNT && (!is_given(written, (enum topology_rule)rule) || but >> rule & 1))
		rule++;
	return (enum topology_rule)rule;
}

/* Reports rules that make no sense where they are. */
static bool check_place(const struct end *end)
{
	const struct topology_written_rules *written = &end->written->rules;
	struct yaml_reader *yaml = &end->reader->yaml;
	enum topology_rule rule = find_given(written, 1u << TOPOLOGY_RULE_GUARD);

	if (!end->network && rule < TOPOLOGY_RULE_COUNT) {
		yaml_reader_error(yaml, written->marks[rule], "\"%s\" is for the end of a link to a network",
				  rule_names[rule]);
		yaml_reader_help(yaml, "a link passes all that comes; join the two by a network");
		return false;
	}
	if (written->rules->guard && !end->interface && end->attachment) {
		yaml_reader_error(yaml, written->marks[TOPOLOGY_RULE_GUARD],
				  "\"guard\" at \"%s\", whose addresses are not known here", end->attachment->name);
		yaml_reader_help(yaml, "nodes and namespaces can be guarded");
		return false;
	}
	rule = find_given(written, ~(1u << TOPOLOGY_RULE_VLAN | 1u << TOPOLOGY_RULE_TRUNK));
	if (end->network && end->network->is_hub && rule < TOPOLOGY_RULE_COUNT) {
		yaml_reader_error(yaml, written->marks[rule], "\"%s\" at \"%s\", which is a hub and knows no VLANs",
				  rule_names[rule], end->network->name);
		return false;
	}
	rule = find_given(written, 1u << TOPOLOGY_RULE_MIRROR);
	if (is_given(written, TOPOLOGY_RULE_MIRROR) && rule < TOPOLOGY_RULE_COUNT) {
		yaml_reader_error(yaml, written->marks[rule],
				  "\"%s\" beside \"mirror\": that port only receives copies", rule_names[rule]);
		return false;
	}
	return true;
}

static void set_guarded_addresses(const struct end *end)
{
	struct port_rules *rules = end->written->rules.rules;

	memcpy(rules->mac, end->interface->mac, sizeof(rules->mac));
	for (size_t i = 0; i < end->interface->address_count; i++) {
		struct topology_address address;

		if (topology_parse_address(end->interface->addresses[i], &address))
			continue; /* They are good. */
		if (address.family == AF_INET) {
			rules->ipv4 = allocate_grow(rules->ipv4, rules->ipv4_count, sizeof(rules->ipv4[0]));
			memcpy(&rules->ipv4[rules->ipv4_count++], address.bytes, sizeof(rules->ipv4[0]));
		} else {
			rules->ipv6 = allocate_grow(rules->ipv6, rules->ipv6_count, sizeof(rules->ipv6[0]));
			memcpy(&rules->ipv6[rules->ipv6_count++], address.bytes, sizeof(rules->ipv6[0]));
		}
	}
	if (end->interface->address_count == 0 && rules->guard & (PORT_GUARD_ARP | PORT_GUARD_IP)) {
		char *name = topology_end_name(end->reader, end->written);

		yaml_reader_error(&end->reader->yaml, end->written->rules.marks[TOPOLOGY_RULE_GUARD],
				  "\"guard\" of %s, which has no addresses here that it could be held to", name);
		free(name);
		yaml_reader_help(&end->reader->yaml, "give it some, ip: 10.0.0.1/24, or write guard: mac");
	}
}

/* Mirrors. */

/* How many mirrors a port is copied to, by its end of a link and by its network. */
struct mirror_counts {
	unsigned int *of_ends; /* Two for each link. */
	unsigned int *of_networks;
	unsigned int *of_outer_ports;
};

static bool report_name(const struct end *end, const struct yaml_tree_node *item, const char *problem)
{
	yaml_reader_error(&end->reader->yaml, item->mark, "mirror of \"%s\": %s", item->text, problem);
	return false;
}

/* Finds the end of a link whose port has the name, "NODE:ethN" or an attachment's.  Reports why there is none. */
static bool find_port(const struct end *end, const struct yaml_tree_node *item, size_t *link, size_t *side)
{
	const struct topology *topology = end->reader->topology;
	const char *colon = strchr(item->text, ':');
	const struct topology_name *name =
		topology_find_name(end->reader, item->text, colon ? (size_t)(colon - item->text) : strlen(item->text));
	const struct topology_attachment *attachment = topology_find_attachment(topology, item->text);
	const struct topology_node *node;

	if (attachment) {
		*link = attachment->link;
		*side = topology->links[*link].endpoints[0].kind != TOPOLOGY_END_ATTACHMENT;
		return true;
	}
	if (!name || name->is_network)
		return report_name(end, item, "there is no such port, nor such a network");
	if (!colon)
		return report_name(end, item, "that is a node; name an interface of it, as in h1:eth0");
	node = &topology->nodes[name->index];
	for (size_t i = 0; i < node->interface_count; i++) {
		const struct topology_endpoint *ends;

		if (strcmp(node->interfaces[i].name, colon + 1) != 0)
			continue;
		*link = node->interfaces[i].link;
		ends = topology->links[*link].endpoints;
		*side = ends[0].kind != TOPOLOGY_END_NODE || ends[0].node != name->index || ends[0].interface != i;
		return true;
	}
	return report_name(end, item, "the node has no such interface");
}

/* Finds what counts the mirrors of a network, or of its outer port; NULL when the name is neither's. */
static unsigned int *find_network_count(const struct end *end, const char *text, const struct mirror_counts *counts)
{
	bool is_outer = !strncmp(text, PORT_PREFIX, strlen(PORT_PREFIX));
	const char *name = is_outer ? text + strlen(PORT_PREFIX) : text;
	const struct topology_name *found = topology_find_name(end->reader, name, strlen(name));

	if (!found || !found->is_network)
		return NULL;
	if (!is_outer)
		return &counts->of_networks[found->index];
	return end->reader->topology->networks[found->index].mode == TOPOLOGY_ISOLATED ?
		       NULL :
		       &counts->of_outer_ports[found->index];
}

/* Finds what counts the mirrors of what the item names.  Reports why it can have none. */
static unsigned int *find_count(const struct end *end, const struct yaml_tree_node *item,
				const struct mirror_counts *counts)
{
	unsigned int *count = find_network_count(end, item->text, counts);
	size_t link = 0, side = 0;

	if (count)
		return count;
	if (!find_port(end, item, &link, &side))
		return NULL;
	if (&end->reader->topology->links[link].endpoints[side] == end->endpoint) {
		report_name(end, item, "a port cannot be its own mirror");
		return NULL;
	}
	if (is_given(&end->reader->wires[link].ends[side].rules, TOPOLOGY_RULE_MIRROR)) {
		report_name(end, item, "it is a mirror itself");
		yaml_reader_help(&end->reader->yaml, "name the ports that it is a mirror of");
		return NULL;
	}
	return &counts->of_ends[2 * link + side];
}

static void settle_mirror(const struct end *end, const struct mirror_counts *counts)
{
	const struct yaml_tree_node *value = end->written->rules.mirrored;
	struct topology_endpoint *endpoint = end->endpoint;

	if (item_count(value) == 0)
		yaml_reader_error(&end->reader->yaml, value->mark, "mirror names no ports");
	for (size_t i = 0; i < item_count(value); i++) {
		const struct yaml_tree_node *item = item_of(value, i);
		unsigned int *count = yaml_reader_text(&end->reader->yaml, item, "mirror") ?
					      find_count(end, item, counts) :
					      NULL;

		if (!count)
			return;
		(*count)++;
		endpoint->mirrored = allocate_grow(endpoint->mirrored, endpoint->mirrored_count,
						   sizeof(endpoint->mirrored[0]));
		endpoint->mirrored[endpoint->mirrored_count++] = allocate_copy(item->text);
	}
}

/* Reports ports that would be copied to more mirrors than one can have. */
static void check_counts(struct topology_reader *reader, const struct mirror_counts *counts)
{
	const struct topology *topology = reader->topology;

	for (size_t i = 0; i < 2 * topology->link_count; i++) {
		struct end end = find_end(reader, i / 2, i % 2);
		size_t network = topology->links[i / 2].endpoints[1 - i % 2].network;
		unsigned int sum = counts->of_ends[i] + (end.network ? counts->of_networks[network] : 0);
		char *name;

		if (end.endpoint->kind == TOPOLOGY_END_NETWORK || is_given(&end.written->rules, TOPOLOGY_RULE_MIRROR) ||
		    sum <= PORT_MIRRORS_MAX)
			continue;
		name = topology_end_name(reader, end.written);
		yaml_reader_error(&reader->yaml, end.written->mark, "more than %d mirrors of %s", PORT_MIRRORS_MAX,
				  name);
		free(name);
	}
	for (size_t i = 0; i < reader->name_count; i++) {
		const struct topology_name *name = &reader->names[i];

		if (name->is_network &&
		    counts->of_outer_ports[name->index] + counts->of_networks[name->index] > PORT_MIRRORS_MAX)
			yaml_reader_error(&reader->yaml, name->mark, "more than %d mirrors of network \"%s\"",
					  PORT_MIRRORS_MAX, name->text);
	}
}

static void settle_mirrors(struct topology_reader *reader)
{
	size_t links = reader->topology->link_count, networks = reader->topology->network_count;
	struct mirror_counts counts = {
		.of_ends = allocate_zeroed(2 * links, sizeof(unsigned int)),
		.of_networks = allocate_zeroed(networks, sizeof(unsigned int)),
		.of_outer_ports = allocate_zeroed(networks, sizeof(unsigned int)),
	};

	for (size_t i = 0; i < 2 * links; i++) {
		struct end end = find_end(reader, i / 2, i % 2);

		if (is_given(&end.written->rules, TOPOLOGY_RULE_MIRROR))
			settle_mirror(&end, &counts);
	}
	check_counts(reader, &counts);
	free(counts.of_ends);
	free(counts.of_networks);
	free(counts.of_outer_ports);
}

void topology_settle_switch(struct topology_reader *reader)
{
	for (size_t i = 0; i < 2 * reader->wire_count; i++) {
		struct end end = find_end(reader, i / 2, i % 2);
		struct topology_written_rules *written = &end.written->rules;

		if (!written->rules || !check_place(&end))
			continue;
		if (end.network && (is_given(written, TOPOLOGY_RULE_VLAN) || is_given(written, TOPOLOGY_RULE_TRUNK)))
			end.network->has_vlans = true;
		if (written->rules->guard && end.interface)
			set_guarded_addresses(&end);
		end.endpoint->rules = written->rules;
		written->rules = NULL;
	}
	if (!reader->yaml.error_count)
		settle_mirrors(reader);
}

/* In words. */

char *topology_vlans_text(const struct port_rules *rules)
{
	char *trunk = port_rules_trunk_text(rules), *text;

	if (*trunk)
		text = rules->vlan ? allocate_text("trunk %s, vlan %u", trunk, rules->vlan) :
				     allocate_text("trunk %s", trunk);
	else
		text = rules->vlan == VLAN_DEFAULT ? allocate_copy("") : allocate_text("vlan %u", rules->vlan);
	free(trunk);
	return text;
}

static void add_words(FILE *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add_words(FILE *to, const char *format, ...)
{
	va_list args;

	if (ftell(to) > 0)
		fputs(", ", to);
	va_start(args, format);
	vfprintf(to, format, args);
	va_end(args);
}

char *topology_rules_text(const struct topology_endpoint *endpoint)
{
	const struct port_rules *rules = endpoint->rules ? endpoint->rules : &port_rules_default;
	char *vlans = topology_vlans_text(rules), *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (to && *vlans)
		add_words(to, "%s", vlans);
	if (to && rules->is_isolated)
		add_words(to, "isolate");
	if (to && rules->storm)
		add_words(to, "storm %upps", rules->storm);
	if (to && rules->guard)
		add_words(to, "guard");
	for (unsigned int bit = PORT_GUARD_MAC; to && bit <= PORT_GUARD_IP; bit <<= 1)
		if (rules->guard & bit)
			fprintf(to, " %s", port_guard_name(bit));
	for (size_t i = 0; to && i < endpoint->mirrored_count; i++)
		add_words(to, "mirror of %s", endpoint->mirrored[i]);
	if (to && ftell(to) == 0)
		fputs("no rules", to);
	if (to)
		fclose(to);
	free(vlans);
	return text ? text : allocate_copy("");
}
