/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/topology_reader.h"

#include <stdlib.h>
#include <string.h>

#include "netlab/allocate.h"

#define INTERFACE_MAX 16 /* Bytes an interface's name may take; more is none. */
#define IPV6_MTU_MIN 1280

/* Bytes of the longest link "A:ethN-B:ethN"; looking for the place to cut takes time by the square of the length. */
#define SHORT_LINK_MAX (2 * (TOPOLOGY_NAME_MAX + INTERFACE_MAX) + 1)

/* A place where "A-B" may be cut in two. */
struct cut {
	const struct topology_name *names[2];
	const char *interfaces[2]; /* What follows ':', not terminated, or NULL. */
	size_t interface_lengths[2];
};

/* Reads "NAME" or "NAME:INTERFACE" from the 'length' bytes at 'text' into one side of 'cut'. */
static void split_end(const struct topology_reader *reader, const char *text, size_t length, struct cut *cut,
		      size_t side)
{
	const char *colon = memchr(text, ':', length);
	size_t name_length = colon ? (size_t)(colon - text) : length;

	cut->names[side] = topology_find_name(reader, text, name_length);
	cut->interfaces[side] = colon ? colon + 1 : NULL;
	cut->interface_lengths[side] = colon ? length - name_length - 1 : 0;
}

/* Finds the places where 'text' can be cut at a '-' so that both sides begin with known names.  Returns how many
 * there are and leaves the first two in 'cuts'. */
static size_t find_cuts(const struct topology_reader *reader, const char *text, struct cut cuts[2])
{
	size_t count = 0;

	for (const char *dash = strchr(text, '-'); dash; dash = strchr(dash + 1, '-')) {
		struct cut cut;

		split_end(reader, text, (size_t)(dash - text), &cut, 0);
		split_end(reader, dash + 1, strlen(dash + 1), &cut, 1);
		if (!cut.names[0] || !cut.names[1])
			continue;
		if (count < 2)
			cuts[count] = cut;
		count++;
	}
	return count;
}

/* Suggests, of all nodes and networks, what the 'length' bytes at 'text' may have meant. */
static void suggest_name(struct topology_reader *reader, const char *text, size_t length)
{
	const char **known = allocate_zeroed(reader->name_count, sizeof(known[0]));
	char *word = allocate_copy_part(text, length);

	for (size_t i = 0; i < reader->name_count; i++)
		known[i] = reader->names[i].text;
	yaml_reader_suggest(&reader->yaml, word, known, reader->name_count);
	free(word);
	free(known);
}

static void report_unknown_name(struct topology_reader *reader, struct yaml_mark mark, const char *text, size_t length)
{
	const char *colon = memchr(text, ':', length);

	if (colon)
		length = (size_t)(colon - text);
	yaml_reader_error(&reader->yaml, mark, "there is no node or network \"%.*s\"", (int)length, text);
	suggest_name(reader, text, length);
}

/* Reports why 'text' cannot be cut in two known names. */
static void report_no_cut(struct topology_reader *reader, struct yaml_mark mark, const char *text)
{
	const char *first = strchr(text, '-');
	struct cut cut, rest[2];

	if (!first) {
		yaml_reader_error(&reader->yaml, mark, "link \"%s\" has one end only", text);
		yaml_reader_help(&reader->yaml, "write both, as in \"h1-r1\"");
		return;
	}
	for (const char *dash = first; dash; dash = strchr(dash + 1, '-')) {
		split_end(reader, text, (size_t)(dash - text), &cut, 0);
		if (!cut.names[0])
			continue;
		if (find_cuts(reader, dash + 1, rest)) {
			yaml_reader_error(&reader->yaml, mark, "link \"%s\" has more than two ends", text);
			yaml_reader_help(&reader->yaml, "join them by a network under \"networks:\"");
		} else {
			report_unknown_name(reader, mark, dash + 1, strlen(dash + 1));
		}
		return;
	}
	report_unknown_name(reader, mark, text, (size_t)(first - text));
}

static void set_end_name(struct topology_end *end, const struct topology_name *name)
{
	end->kind = name->is_network ? TOPOLOGY_END_NETWORK : TOPOLOGY_END_NODE;
	end->has_interface = !name->is_network;
	end->index = name->index;
}

/* Sets the interface of 'end' to the 'length' bytes at 'text'. */
static bool set_end_interface(struct topology_reader *reader, struct topology_end *end, struct yaml_mark mark,
			      const char *text, size_t length)
{
	char name[INTERFACE_MAX] = "";
	const char *problem;

	if (end->kind == TOPOLOGY_END_NETWORK) {
		yaml_reader_error(&reader->yaml, mark, "a network has no interface \"%.*s\"", (int)length, text);
		yaml_reader_help(&reader->yaml, "write \"%s\" alone", reader->topology->networks[end->index].name);
		return false;
	}
	if (length < sizeof(name))
		memcpy(name, text, length);
	problem = topology_parse_interface(name, &end->number);
	if (problem) {
		yaml_reader_error(&reader->yaml, mark, "interface \"%.*s\" %s", (int)length, text, problem);
		return false;
	}
	end->is_numbered = true;
	return true;
}

/* Reads a link written "A-B". */
static bool read_short_link(struct topology_reader *reader, const struct yaml_tree_node *item,
			    struct topology_wire *wire)
{
	struct cut cuts[2];
	size_t count;

	if (strlen(item->text) > SHORT_LINK_MAX) {
		yaml_reader_error(&reader->yaml, item->mark, "a link \"A-B\" of more than %d characters",
				  SHORT_LINK_MAX);
		return false;
	}
	count = find_cuts(reader, item->text, cuts);
	if (!count) {
		report_no_cut(reader, item->mark, item->text);
		return false;
	}
	if (count > 1) {
		yaml_reader_error(&reader->yaml, item->mark,
				  "link \"%s\" is ambiguous: \"%s\" and \"%s\", or \"%s\" and \"%s\"", item->text,
				  cuts[0].names[0]->text, cuts[0].names[1]->text, cuts[1].names[0]->text,
				  cuts[1].names[1]->text);
		yaml_reader_help(&reader->yaml, "write endpoints: [\"%s\", \"%s\"]", cuts[0].names[0]->text,
				 cuts[0].names[1]->text);
		return false;
	}
	for (size_t side = 0; side < 2; side++) {
		wire->ends[side].mark = item->mark;
		set_end_name(&wire->ends[side], cuts->names[side]);
		if (cuts->interfaces[side] && !set_end_interface(reader, &wire->ends[side], item->mark,
								 cuts->interfaces[side], cuts->interface_lengths[side]))
			return false;
	}
	return true;
}

static void add_address(struct topology_reader *reader, struct topology_end *end, const struct yaml_tree_node *item)
{
	const char *text = yaml_reader_text(&reader->yaml, item, "ip");
	struct topology_written_address written = {.mark = item->mark};
	const char *problem = text ? topology_parse_address(text, &written.address) : NULL;

	if (problem)
		yaml_reader_error(&reader->yaml, item->mark, "address \"%s\" %s", text, problem);
	if (!text || problem)
		return;
	end->addresses = allocate_grow(end->addresses, end->address_count, sizeof(end->addresses[0]));
	end->addresses[end->address_count++] = written;
}

void topology_read_ip(struct topology_reader *reader, struct topology_end *end, const struct yaml_tree_node *value)
{
	if (end->address_count) {
		yaml_reader_error(&reader->yaml, value->mark, "ip is given for the link and for its endpoint");
		return;
	}
	if (value->type != YAML_TREE_LIST)
		add_address(reader, end, value);
	for (size_t i = 0; value->type == YAML_TREE_LIST && i < value->count; i++)
		add_address(reader, end, value->items[i]);
}

void topology_read_mac(struct topology_reader *reader, struct topology_end *end, const struct yaml_tree_node *value)
{
	const char *text = yaml_reader_text(&reader->yaml, value, "mac");
	const char *problem;

	if (!text)
		return;
	if (end->has_mac) {
		yaml_reader_error(&reader->yaml, value->mark, "mac is given for the link and for its endpoint");
		return;
	}
	problem = topology_parse_mac(text, end->mac);
	if (problem) {
		yaml_reader_error(&reader->yaml, value->mark, "mac \"%s\" %s", text, problem);
		if (value->plain && !strchr(text, ':'))
			yaml_reader_help(&reader->yaml, "put it in quotes: mac: \"52:54:00:12:34:56\"");
		return;
	}
	end->has_mac = true;
	end->mac_mark = value->mark;
}

/* Returns the known name that 'value', the name of a node or network, is; NULL after reporting. */
static const struct topology_name *read_end_name(struct topology_reader *reader, const struct yaml_tree_node *value,
						 bool is_network)
{
	const char *what = is_network ? "network" : "node";
	const char *text = yaml_reader_text(&reader->yaml, value, what);
	const struct topology_name *name = text ? topology_find_name(reader, text, strlen(text)) : NULL;

	if (text && !name) {
		yaml_reader_error(&reader->yaml, value->mark, "there is no %s \"%s\"", what, text);
		suggest_name(reader, text, strlen(text));
	} else if (name && name->is_network != is_network) {
		yaml_reader_error(&reader->yaml, value->mark, "\"%s\" is a %s", text, is_network ? "node" : "network");
		yaml_reader_help(&reader->yaml, "write %s: %s", is_network ? "node" : "network", text);
		name = NULL;
	}
	return name;
}

/* Reports the keys of an endpoint that a network cannot have. */
static bool check_network_end(struct topology_reader *reader, const struct yaml_tree_node *map)
{
	static const char *const keys[] = {"node",  "interface", "ip",    "mac",   "mtu",   "vlan",
					   "trunk", "isolate",   "storm", "guard", "mirror"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const struct yaml_tree_pair *pair = yaml_tree_find(map, keys[i]);

		if (pair) {
			yaml_reader_error(&reader->yaml, pair->key_mark, "an endpoint that is a network has no \"%s\"",
					  pair->key);
			yaml_reader_help(&reader->yaml, "the other end has it, or the link");
			return false;
		}
	}
	return true;
}

static bool read_end_map(struct topology_reader *reader, const struct yaml_tree_node *map, struct topology_end *end)
{
	const struct yaml_tree_pair *network = yaml_tree_find(map, "network"), *node = yaml_tree_find(map, "node"),
				    *pair;
	unsigned int errors_before = reader->yaml.error_count;
	const struct topology_name *name;

	topology_check_keys(reader, map, TOPOLOGY_IN_ENDPOINT, "an endpoint");
	end->impair = yaml_tree_find(map, "impair");
	if (topology_is_attachment(reader, map)) {
		topology_read_rules(reader, map, &end->rules);
		return topology_read_attachment(reader, map, end);
	}
	if (!network && !node) {
		if (reader->yaml.error_count == errors_before)
			yaml_reader_error(&reader->yaml, map->mark,
					  "an endpoint needs \"node:\", \"network:\", or what else it is, such as "
					  "\"socket:\"");
		return false;
	}
	if (network && !check_network_end(reader, map))
		return false;
	name = read_end_name(reader, network ? network->value : node->value, network != NULL);
	if (!name)
		return false;
	set_end_name(end, name);
	pair = yaml_tree_find(map, "interface");
	if (pair) {
		const char *text = yaml_reader_text(&reader->yaml, pair->value, "interface");

		if (!text || !set_end_interface(reader, end, pair->value->mark, text, strlen(text)))
			return false;
	}
	pair = yaml_tree_find(map, "ip");
	if (pair)
		topology_read_ip(reader, end, pair->value);
	pair = yaml_tree_find(map, "mac");
	if (pair)
		topology_read_mac(reader, end, pair->value);
	pair = yaml_tree_find(map, "mtu");
	if (pair)
		topology_read_mtu(reader, pair->value, &end->mtu);
	topology_read_rules(reader, map, &end->rules);
	return true;
}

static bool read_end(struct topology_reader *reader, const struct yaml_tree_node *item, struct topology_end *end)
{
	struct cut cut;

	end->mark = item->mark;
	if (item->type == YAML_TREE_MAP)
		return read_end_map(reader, item, end);
	if (item->type != YAML_TREE_SCALAR) {
		yaml_reader_error(&reader->yaml, item->mark, "an endpoint must be a name or a map, not %s",
				  yaml_tree_type_name(item));
		return false;
	}
	split_end(reader, item->text, strlen(item->text), &cut, 0);
	if (!cut.names[0]) {
		report_unknown_name(reader, item->mark, item->text, strlen(item->text));
		return false;
	}
	set_end_name(end, cut.names[0]);
	return !cut.interfaces[0] ||
	       set_end_interface(reader, end, item->mark, cut.interfaces[0], cut.interface_lengths[0]);
}

static bool read_ends(struct topology_reader *reader, const struct yaml_tree_pair *pair, struct topology_wire *wire)
{
	const struct yaml_tree_node *list = pair->value;
	bool good = true;

	if (list->type != YAML_TREE_LIST) {
		yaml_reader_error(&reader->yaml, list->mark, "endpoints must be a list of two, not %s",
				  yaml_tree_type_name(list));
		return false;
	}
	if (list->count != 2) {
		yaml_reader_error(&reader->yaml, list->mark, "a link has two endpoints, not %zu", list->count);
		if (list->count > 2)
			yaml_reader_help(&reader->yaml, "join more than two by a network under \"networks:\"");
		return false;
	}
	for (size_t side = 0; side < 2; side++)
		good = read_end(reader, list->items[side], &wire->ends[side]) && good;
	return good;
}

typedef void end_function(struct topology_reader *reader, struct topology_end *end, const struct yaml_tree_node *value);

/* Gives the value of "ip:" or "mac:" of a link to its ends: one item for each, or, where one end can have none, one
 * for the other alone. */
static void share_out(struct topology_reader *reader, struct topology_wire *wire, const struct yaml_tree_pair *pair,
		      end_function *function)
{
	const struct yaml_tree_node *value = pair->value;
	bool is_first = wire->ends[0].has_interface, is_second = wire->ends[1].has_interface;
	bool is_list = value->type == YAML_TREE_LIST;

	if (value->type == YAML_TREE_NULL)
		return;
	if (!is_first && !is_second) {
		yaml_reader_error(&reader->yaml, pair->key_mark, "neither end of the link can have \"%s\"", pair->key);
		return;
	}
	if (is_first != is_second && (!is_list || value->count == 1)) {
		struct topology_end *end = &wire->ends[is_second];

		if (!is_list || value->items[0]->type != YAML_TREE_NULL)
			function(reader, end, is_list ? value->items[0] : value);
		return;
	}
	if (!is_list) {
		yaml_reader_error(&reader->yaml, value->mark, "%s needs a list with one item for each endpoint, not %s",
				  pair->key, yaml_tree_type_name(value));
		return;
	}
	if (value->count != 2) {
		yaml_reader_error(&reader->yaml, value->mark,
				  "%s needs one item for each of the two endpoints, not %zu", pair->key, value->count);
		if (value->count > 2 && !strcmp(pair->key, "ip"))
			yaml_reader_help(&reader->yaml,
					 "several addresses of one end: [[10.0.0.1/24, fd00::1/64], 10.0.0.2/24]");
		return;
	}
	for (size_t side = 0; side < 2; side++) {
		const struct yaml_tree_node *item = value->items[side];

		if (item->type == YAML_TREE_NULL)
			continue;
		if (wire->ends[side].has_interface) {
			function(reader, &wire->ends[side], item);
			continue;
		}
		yaml_reader_error(&reader->yaml, item->mark, "%s has no %s",
				  wire->ends[side].kind == TOPOLOGY_END_NETWORK ? "a network" :
										  "an end that leads out of the lab",
				  pair->key);
		if (!strcmp(pair->key, "ip"))
			yaml_reader_help(&reader->yaml, "several addresses of the node: [[10.0.0.1/24, fd00::1/64]]");
	}
}

static void read_link_settings(struct topology_reader *reader, const struct yaml_tree_node *map,
			       struct topology_wire *wire)
{
	const struct yaml_tree_pair *ip = yaml_tree_find(map, "ip"), *mac = yaml_tree_find(map, "mac");
	const struct yaml_tree_pair *mtu = yaml_tree_find(map, "mtu");
	unsigned int value = reader->mtu, errors_before = reader->yaml.error_count;

	if (ip)
		share_out(reader, wire, ip, topology_read_ip);
	if (mac)
		share_out(reader, wire, mac, topology_read_mac);
	if (mtu)
		topology_read_mtu(reader, mtu->value, &value);
	for (size_t side = 0; side < 2; side++)
		if (!wire->ends[side].mtu)
			wire->ends[side].mtu = value;
	for (size_t side = 0; side < 2 && reader->yaml.error_count == errors_before; side++)
		if (wire->ends[side].kind != TOPOLOGY_END_NETWORK)
			topology_read_rules(reader, map, &wire->ends[side].rules);
	topology_read_link_impair(reader, map, wire);
}

/* Reports a link that is written as ipspace netlab has it: "{h1: ..., r1: ...}". */
static bool is_foreign_link(struct topology_reader *reader, const struct yaml_tree_node *map)
{
	const char *text = map->count ? map->pairs[0].key : "";

	if (!topology_find_name(reader, text, strlen(text)))
		return false;
	yaml_reader_error(&reader->yaml, map->pairs[0].key_mark, "a link's ends stand under \"endpoints:\"");
	yaml_reader_help(&reader->yaml, "write endpoints: [%s, %s]", text, map->count > 1 ? map->pairs[1].key : "...");
	return true;
}

static bool read_long_link(struct topology_reader *reader, const struct yaml_tree_node *map, struct topology_wire *wire)
{
	const struct yaml_tree_pair *endpoints = yaml_tree_find(map, "endpoints");
	unsigned int errors_before = reader->yaml.error_count;

	if (!endpoints && is_foreign_link(reader, map))
		return false;
	topology_check_keys(reader, map, TOPOLOGY_IN_LINK, "a link");
	if (!endpoints) {
		if (reader->yaml.error_count == errors_before)
			yaml_reader_error(&reader->yaml, map->mark, "a link needs \"endpoints:\"");
		return false;
	}
	if (!read_ends(reader, endpoints, wire))
		return false;
	read_link_settings(reader, map, wire);
	return true;
}

/* Reports what a whole link cannot be. */
static bool check_wire(struct topology_reader *reader, const struct topology_wire *wire)
{
	if (wire->ends[0].kind == TOPOLOGY_END_ATTACHMENT && wire->ends[1].kind == TOPOLOGY_END_ATTACHMENT) {
		yaml_reader_error(&reader->yaml, wire->mark, "both ends of the link lead out of the lab");
		yaml_reader_help(&reader->yaml, "put a network between them");
		return false;
	}
	if (wire->ends[0].kind == TOPOLOGY_END_NETWORK && wire->ends[1].kind == TOPOLOGY_END_NETWORK) {
		yaml_reader_error(&reader->yaml, wire->mark, "networks cannot be joined yet");
		yaml_reader_help(&reader->yaml, "put a node between them");
		return false;
	}
	for (size_t side = 0; side < 2; side++) {
		const struct topology_end *end = &wire->ends[side];

		for (size_t i = 0; i < end->address_count && end->mtu < IPV6_MTU_MIN; i++) {
			if (end->addresses[i].address.family != AF_INET6)
				continue;
			yaml_reader_error(&reader->yaml, end->addresses[i].mark,
					  "an IPv6 address on an interface with an MTU of %u; IPv6 needs %d", end->mtu,
					  IPV6_MTU_MIN);
			break;
		}
	}
	return true;
}

/* That of the link, or else of its network, or of all. */
static void read_link_offload(struct topology_reader *reader, const struct yaml_tree_node *map,
			      struct topology_wire *wire)
{
	bool on = reader->has_offload;

	for (size_t side = 0; side < 2; side++)
		if (wire->ends[side].kind == TOPOLOGY_END_NETWORK)
			on = reader->topology->networks[wire->ends[side].index].has_offload;
	topology_read_offload(reader, map, &on);
	wire->ends[0].has_offload = wire->ends[1].has_offload = on;
}

/* Reads one item of "links:" into 'wire'.  Returns false when the wire is not to be used. */
static bool read_link(struct topology_reader *reader, const struct yaml_tree_node *item, struct topology_wire *wire)
{
	bool good;

	wire->mark = item->mark;
	if (item->type == YAML_TREE_SCALAR) {
		good = read_short_link(reader, item, wire);
		wire->ends[0].mtu = wire->ends[1].mtu = reader->mtu;
		if (good)
			topology_read_link_impair(reader, item, wire);
	} else if (item->type == YAML_TREE_MAP) {
		good = read_long_link(reader, item, wire);
	} else {
		yaml_reader_error(&reader->yaml, item->mark, "a link must be text or a map, not %s",
				  yaml_tree_type_name(item));
		if (item->type == YAML_TREE_LIST && item->count > 2)
			yaml_reader_help(&reader->yaml, "join more than two nodes by a network under \"networks:\"");
		else
			yaml_reader_help(&reader->yaml, "write \"h1-r1\" or {endpoints: [h1, r1]}");
		return false;
	}
	read_link_offload(reader, item, wire);
	return good && check_wire(reader, wire);
}

void topology_clear_wire(struct topology_wire *wire)
{
	for (size_t side = 0; side < 2; side++) {
		free(wire->ends[side].addresses);
		port_rules_free(wire->ends[side].rules.rules);
	}
	free(wire->impairments);
	free(wire->events);
}

void topology_read_links(struct topology_reader *reader, const struct yaml_tree_node *list)
{
	if (list->type != YAML_TREE_LIST && list->type != YAML_TREE_NULL)
		yaml_reader_error(&reader->yaml, list->mark, "links must be a list, not %s", yaml_tree_type_name(list));
	for (size_t i = 0; list->type == YAML_TREE_LIST && i < list->count; i++) {
		struct topology_wire *wire;

		/* Each link takes an interface. */
		if (i == TOPOLOGY_NODES_MAX * TOPOLOGY_INTERFACES_MAX) {
			yaml_reader_error(&reader->yaml, list->items[i]->mark, "more than %zu links", i);
			return;
		}
		reader->wires = allocate_grow(reader->wires, reader->wire_count, sizeof(reader->wires[0]));
		wire = &reader->wires[reader->wire_count];
		memset(wire, 0, sizeof(*wire));
		if (read_link(reader, list->items[i], wire)) {
			reader->wire_count++;
			continue;
		}
		topology_clear_wire(wire);
	}
}
