/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/topology.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netlab/allocate.h"
#include "netlab/topology_reader.h"

#define MTU_MIN 68 /* RFC 791. */
#define MTU_MAX 65535
#define MAC_TABLE_DEFAULT 4096
#define MAC_TABLE_MAX 65536
#define MAC_AGING_DEFAULT 300
#define MAC_AGING_MAX 86400
#define SECOND 1000000000ull

void topology_read_mtu(struct topology_reader *reader, const struct yaml_tree_node *node, unsigned int *mtu)
{
	unsigned long value;

	if (yaml_reader_number(&reader->yaml, node, "mtu", MTU_MIN, MTU_MAX, &value))
		*mtu = (unsigned int)value;
}

void topology_read_offload(struct topology_reader *reader, const struct yaml_tree_node *map, bool *on)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(map, "offload");

	if (pair)
		yaml_reader_switch(&reader->yaml, pair->value, "offload", on);
}

/* Calls 'function' for the name, or the name with settings, that is 'item'.  Returns false to stop. */
static bool read_named_item(struct topology_reader *reader, const struct yaml_tree_node *item, const char *what,
			    topology_named_function *function)
{
	const struct yaml_tree_node nothing = {.type = YAML_TREE_NULL, .mark = item->mark, .text = ""};

	if (item->type == YAML_TREE_SCALAR)
		return function(reader, item->text, item->mark, &nothing);
	if (item->type == YAML_TREE_MAP && item->count == 1)
		return function(reader, item->pairs[0].key, item->pairs[0].key_mark, item->pairs[0].value);
	if (item->type == YAML_TREE_MAP && item->count > 1) {
		yaml_reader_error(&reader->yaml, item->pairs[1].key_mark, "a second key beside the %s's name", what);
		yaml_reader_help(&reader->yaml, "indent the settings of \"%s\" further than its name",
				 item->pairs[0].key);
	} else {
		yaml_reader_error(&reader->yaml, item->mark, "a %s must be a name, or a name with settings, not %s",
				  what, yaml_tree_type_name(item));
	}
	return true;
}

void topology_for_each_named(struct topology_reader *reader, const struct yaml_tree_node *list, const char *what,
			     topology_named_function *function)
{
	bool more = true;

	if (list->type == YAML_TREE_SCALAR)
		yaml_reader_error(&reader->yaml, list->mark, "%ss must be a list or a map, not text", what);
	for (size_t i = 0; i < list->count && more; i++) {
		if (list->type == YAML_TREE_MAP)
			more = function(reader, list->pairs[i].key, list->pairs[i].key_mark, list->pairs[i].value);
		else
			more = read_named_item(reader, list->items[i], what, function);
	}
}

/* Orders names without regard to case, as host names are compared; equal ones as they were read. */
static int compare_names(const void *left, const void *right)
{
	const struct topology_name *a = left, *b = right;
	int order = strcasecmp(a->text, b->text);

	if (order)
		return order;
	if (a->is_network != b->is_network)
		return a->is_network ? 1 : -1;
	return (a->index > b->index) - (a->index < b->index);
}

void topology_sort_names(struct topology_reader *reader)
{
	struct topology_name *names = reader->names;

	if (reader->name_count)
		qsort(names, reader->name_count, sizeof(names[0]), compare_names);
	for (size_t i = 1; i < reader->name_count; i++) {
		const struct topology_name *first = &names[i - 1], *second = &names[i];

		if (strcasecmp(first->text, second->text))
			continue;
		if (strcmp(first->text, second->text))
			yaml_reader_error(&reader->yaml, second->mark, "\"%s\" and \"%s\" differ only in case",
					  second->text, first->text);
		else
			yaml_reader_error(&reader->yaml, second->mark,
					  first->is_network == second->is_network ?
						  "the name \"%s\" is given twice" :
						  "the name \"%s\" is given to a node and to a network",
					  second->text);
		yaml_reader_help(&reader->yaml, "the other is the %s in line %u; nodes and networks share their names",
				 first->is_network ? "network" : "node", first->mark.line);
	}
}

const struct topology_name *topology_find_name(const struct topology_reader *reader, const char *text, size_t length)
{
	size_t low = 0, high = reader->name_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct topology_name *name = &reader->names[middle];
		int order = strncasecmp(text, name->text, length);

		if (!order && !name->text[length])
			return strncmp(text, name->text, length) ? NULL : name;
		if (order > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

struct yaml_mark topology_network_mark(const struct topology_reader *reader, const struct topology_network *network)
{
	const struct topology_name *name = topology_find_name(reader, network->name, strlen(network->name));

	return name ? name->mark : (struct yaml_mark){0};
}

static const char *const mode_names[] = {[TOPOLOGY_ISOLATED] = "isolated",
					 [TOPOLOGY_NAT] = "nat",
					 [TOPOLOGY_BRIDGE] = "bridge",
					 [TOPOLOGY_MACVTAP] = "macvtap"};

const char *topology_mode_name(enum topology_mode mode)
{
	return mode_names[mode];
}

/* Reads the mode 'pair'.  Returns false after reporting one that this version does not know. */
static bool read_mode(struct topology_reader *reader, const struct yaml_tree_pair *pair, enum topology_mode *mode)
{
	const size_t count = sizeof(mode_names) / sizeof(mode_names[0]);
	const char *text = yaml_reader_text(&reader->yaml, pair->value, "mode");

	if (!text)
		return false;
	for (size_t i = 0; i < count; i++) {
		*mode = (enum topology_mode)i;
		if (!strcmp(text, mode_names[i]))
			return true;
	}
	yaml_reader_error(&reader->yaml, pair->value->mark, "unknown mode \"%s\" of a network", text);
	yaml_reader_suggest(&reader->yaml, text, mode_names, count);
	return false;
}

static void read_mac_aging(struct topology_reader *reader, const struct yaml_tree_node *node, unsigned int *seconds)
{
	const char *text = yaml_reader_text(&reader->yaml, node, "mac-aging");
	const char *problem;
	uint64_t time;

	if (!text)
		return;
	problem = topology_parse_time(text, &time);
	if (!problem && (time < SECOND || time > MAC_AGING_MAX * SECOND))
		problem = "must be from 1s to 86400s";
	if (!problem && time % SECOND)
		problem = "must be whole seconds";
	if (problem)
		yaml_reader_error(&reader->yaml, node->mark, "mac-aging \"%s\" %s", text, problem);
	else
		*seconds = (unsigned int)(time / SECOND);
}

/* The outer port is "network:NAME", with the capture network-NAME.pcap: neither may be an interface's. */
static void check_outer_name(struct topology_reader *reader, const struct yaml_tree_node *map,
			     const struct topology_network *network)
{
	const char *dash = strrchr(network->name, '-');
	unsigned int number;

	if (!topology_parse_interface(dash ? dash + 1 : network->name, &number))
		yaml_reader_error(&reader->yaml, map->mark, "a network with \"mode: %s\" cannot be called \"%s\"",
				  topology_mode_name(network->mode), network->name);
}

static void read_network_settings(struct topology_reader *reader, const struct yaml_tree_node *map,
				  struct topology_network *network)
{
	const struct yaml_tree_pair *mode = yaml_tree_find(map, "mode"), *pair;
	char *where;
	unsigned long number;
	bool is_map;

	/* The other keys make sense only in a mode we know. */
	if (mode && !read_mode(reader, mode, &network->mode))
		return;
	where = allocate_text("network \"%s\"", network->name);
	is_map = topology_check_keys(reader, map, TOPOLOGY_IN_NETWORK, where);
	free(where);
	if (!is_map)
		return;
	pair = yaml_tree_find(map, "mac-table");
	if (pair && yaml_reader_number(&reader->yaml, pair->value, "mac-table", 1, MAC_TABLE_MAX, &number))
		network->mac_table_size = number;
	pair = yaml_tree_find(map, "mac-aging");
	if (pair)
		read_mac_aging(reader, pair->value, &network->mac_aging);
	if (network->mode != TOPOLOGY_ISOLATED)
		check_outer_name(reader, map, network);
	topology_read_nat(reader, map, network);
	topology_read_bridge(reader, map, network);
	topology_read_switch(reader, map, network);
	topology_read_network_impair(reader, map, network);
	topology_read_offload(reader, map, &network->has_offload);
}

static bool read_network(struct topology_reader *reader, const char *name, struct yaml_mark mark,
			 const struct yaml_tree_node *value)
{
	struct topology *topology = reader->topology;
	const char *problem = topology_check_name(name);
	struct topology_network *network;

	if (problem)
		yaml_reader_error(&reader->yaml, mark, "network name \"%s\" %s", name, problem);
	if (topology->network_count == TOPOLOGY_NETWORKS_MAX) {
		yaml_reader_error(&reader->yaml, mark, "more than %d networks", TOPOLOGY_NETWORKS_MAX);
		return false;
	}
	topology->networks = allocate_grow(topology->networks, topology->network_count, sizeof(topology->networks[0]));
	network = &topology->networks[topology->network_count];
	*network = (struct topology_network){.name = allocate_copy(name),
					     .mac_table_size = MAC_TABLE_DEFAULT,
					     .mac_aging = MAC_AGING_DEFAULT,
					     .has_offload = reader->has_offload};
	reader->names = allocate_grow(reader->names, reader->name_count, sizeof(reader->names[0]));
	reader->names[reader->name_count++] = (struct topology_name){.text = network->name,
								     .mark = mark,
								     .is_network = true,
								     .index = topology->network_count};
	topology->network_count++;
	read_network_settings(reader, value, network);
	return true;
}

/* The name of a lab whose file says none: the folder's, or the file's when it is not called topology. */
static char *default_name(const struct topology_reader *reader)
{
	const char *file = strrchr(reader->topology->path, '/') + 1;
	const char *dot = strrchr(file, '.');

	if (strcmp(file, "topology.yaml") && strcmp(file, "topology.yml"))
		return allocate_copy_part(file, dot && dot != file ? (size_t)(dot - file) : strlen(file));
	return allocate_copy(strrchr(reader->folder, '/') + 1);
}

/* Sets the lab's name: 'given', which may be NULL, before the file's, before the default. */
static void read_name(struct topology_reader *reader, const struct yaml_tree_node *root, const char *given)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(root, "name");
	struct topology *topology = reader->topology;
	const char *text, *problem;

	if (pair) {
		text = yaml_reader_text(&reader->yaml, pair->value, "name");
		problem = text ? topology_check_name(text) : NULL;
		if (problem)
			yaml_reader_error(&reader->yaml, pair->value->mark, "lab name \"%s\" %s", text, problem);
		if (text && !given)
			topology->name = allocate_copy(text);
	} else if (!given) {
		topology->name = default_name(reader);
		problem = topology_check_name(topology->name);
		if (problem) {
			yaml_reader_error(&reader->yaml, root->mark, "lab name \"%s\", taken from the path, %s",
					  topology->name, problem);
			yaml_reader_help(&reader->yaml, "give the lab a name, as in \"name: office\"");
		}
	}
	if (given) {
		topology->name = allocate_copy(given);
		problem = topology_check_name(given);
		if (problem)
			yaml_reader_error(&reader->yaml, (struct yaml_mark){0}, "the given lab name \"%s\" %s", given,
					  problem);
	}
	if (!topology->name)
		topology->name = allocate_copy("");
}

static void read_lab(struct topology_reader *reader, const struct yaml_tree_node *root, const char *name)
{
	const struct yaml_tree_pair *defaults, *nodes, *networks, *links, *capture, *tests;

	if (root->type != YAML_TREE_MAP) {
		yaml_reader_error(&reader->yaml, root->mark, "a topology must be a map, not %s",
				  yaml_tree_type_name(root));
		yaml_reader_help(&reader->yaml, "it begins with keys such as \"nodes:\" and \"links:\"");
		return;
	}
	topology_check_keys(reader, root, TOPOLOGY_IN_LAB, "a topology");
	read_name(reader, root, name);
	defaults = yaml_tree_find(root, "defaults");
	nodes = yaml_tree_find(root, "nodes");
	networks = yaml_tree_find(root, "networks");
	links = yaml_tree_find(root, "links");
	capture = yaml_tree_find(root, "capture");
	tests = yaml_tree_find(root, "validate");
	if (defaults)
		topology_read_defaults(reader, defaults->value);
	if (nodes) {
		reader->topology->nodes_line = nodes->key_mark.line;
		reader->topology->nodes_column = nodes->key_mark.column;
		topology_for_each_named(reader, nodes->value, "node", topology_read_node);
	}
	if (!nodes)
		yaml_reader_error(&reader->yaml, root->mark, "the topology has no \"nodes:\"");
	else if (nodes->value->type != YAML_TREE_SCALAR && !nodes->value->count)
		yaml_reader_error(&reader->yaml, nodes->key_mark, "a lab needs at least one node");
	if (networks)
		topology_for_each_named(reader, networks->value, "network", read_network);
	topology_sort_names(reader);
	if (links)
		topology_read_links(reader, links->value);
	topology_read_capture(reader, capture ? capture->value : NULL);
	topology_build_interfaces(reader);
	if (!reader->yaml.error_count) {
		topology_settle_nat(reader);
		topology_settle_bridges(reader);
		topology_settle_switch(reader);
	}
	if (tests)
		topology_read_tests(reader, tests->value);
}

/* The absolute path of the folder that 'path' is in. */
static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash ? allocate_copy_part(path, slash == path ? 1 : (size_t)(slash - path)) :
			       allocate_copy(".");
	char *absolute = realpath(folder, NULL);

	/* A folder that is not there: text from elsewhere than a file. */
	if (!absolute && *folder == '/')
		absolute = allocate_copy(folder);
	if (!absolute) {
		char *here = getcwd(NULL, 0);

		absolute = allocate_text("%s/%s", here ? here : "", folder);
		free(here);
	}
	free(folder);
	return absolute;
}

/* Sets the topology's absolute path and the reader's folders. */
static void resolve_path(struct topology_reader *reader, const char *path, const char *origin)
{
	const char *slash = strrchr(path, '/');

	reader->folder = folder_of(path);
	reader->socket_folder = folder_of(origin ? origin : path);
	reader->topology->path = allocate_text("%s/%s", strcmp(reader->folder, "/") ? reader->folder : "",
					       slash ? slash + 1 : path);
}

static void clear_reader(struct topology_reader *reader)
{
	for (size_t i = 0; i < reader->wire_count; i++)
		topology_clear_wire(&reader->wires[i]);
	topology_clear_node(&reader->defaults);
	for (size_t i = 0; i < reader->topology->attachment_count; i++)
		free(reader->attachments[i].label);
	free(reader->attachments);
	free(reader->forwards);
	free(reader->wires);
	free(reader->names);
	free(reader->folder);
	free(reader->socket_folder);
}

/* Where a topology comes from. */
struct source {
	const char *path;
	bool is_kept;
	const char *origin; /* Where it was read from before it was kept, or NULL: elsewhere. */
};

static struct topology *read_text(const char *text, size_t size, const struct source *source, const char *name,
				  FILE *errors)
{
	struct topology_reader reader = {.yaml = {.file = source->path, .errors = errors},
					 .mtu = TOPOLOGY_MTU_DEFAULT,
					 .is_kept = source->is_kept};
	struct yaml_tree *tree;

	if (size > TOPOLOGY_FILE_SIZE_MAX) {
		yaml_reader_error(&reader.yaml, (struct yaml_mark){1, 1}, "the file is bigger than %u MiB",
				  TOPOLOGY_FILE_SIZE_MAX >> 20);
		return NULL;
	}
	tree = yaml_tree_read(text, size, &reader.yaml);
	if (!tree)
		return NULL;
	reader.topology = allocate_zeroed(1, sizeof(*reader.topology));
	reader.topology->text = allocate_copy_part(text, size);
	reader.topology->is_foreign = source->is_kept && !source->origin;
	resolve_path(&reader, source->path, source->origin);
	read_lab(&reader, yaml_tree_root(tree), name);
	yaml_tree_free(tree);
	clear_reader(&reader);
	if (!reader.yaml.error_count)
		return reader.topology;
	topology_free(reader.topology);
	return NULL;
}

struct topology *topology_read_text(const char *text, size_t size, const char *path, const char *name, FILE *errors)
{
	const struct source source = {.path = path};

	return read_text(text, size, &source, name, errors);
}

static struct topology *read_file(const struct source *source, const char *name, FILE *errors)
{
	struct yaml_reader reader = {.file = source->path, .errors = errors};
	FILE *file = fopen(source->path, "re");
	struct topology *topology = NULL;
	size_t size = 0;
	struct stat status;
	char *text;

	if (!file || fstat(fileno(file), &status)) {
		yaml_reader_error(&reader, (struct yaml_mark){0}, "cannot be opened: %s", strerror(errno));
		if (file)
			fclose(file);
		return NULL;
	}
	if (S_ISDIR(status.st_mode)) {
		yaml_reader_error(&reader, (struct yaml_mark){0}, "is a folder, not a topology file");
		fclose(file);
		return NULL;
	}
	/* One byte more than a file may have, so that a bigger one is noticed; a pipe has no size to ask for. */
	text = allocate_zeroed(TOPOLOGY_FILE_SIZE_MAX + 1, 1);
	size = fread(text, 1, TOPOLOGY_FILE_SIZE_MAX + 1, file);
	if (ferror(file))
		yaml_reader_error(&reader, (struct yaml_mark){0}, "cannot be read: %s", strerror(errno));
	else
		topology = read_text(text, size, source, name, errors);
	free(text);
	fclose(file);
	return topology;
}

struct topology *topology_read(const char *path, const char *name, FILE *errors)
{
	const struct source source = {.path = path};

	return read_file(&source, name, errors);
}

struct topology *topology_read_kept(const char *folder, const char *origin, const char *name, FILE *errors)
{
	char *path = allocate_text("%s/topology.yaml", folder);
	const struct source source = {.path = path, .is_kept = true, .origin = origin};
	struct topology *topology = read_file(&source, name, errors);

	free(path);
	return topology;
}

static void clear_endpoint(struct topology_endpoint *endpoint)
{
	port_rules_free(endpoint->rules);
	for (size_t i = 0; i < endpoint->mirrored_count; i++)
		free(endpoint->mirrored[i]);
	free(endpoint->mirrored);
}

void topology_free(struct topology *topology)
{
	if (!topology)
		return;
	for (size_t i = 0; i < topology->node_count; i++)
		topology_clear_node(&topology->nodes[i]);
	for (size_t i = 0; i < topology->network_count; i++) {
		free(topology->networks[i].name);
		free(topology->networks[i].forwards);
		free(topology->networks[i].host_bridge);
		free(topology->networks[i].host_interface);
		free(topology->networks[i].host_tap);
		free(topology->networks[i].host_addresses);
		topology_clear_nat_services(&topology->networks[i]);
		port_rules_free(topology->networks[i].rules);
	}
	for (size_t i = 0; i < topology->attachment_count; i++)
		topology_clear_attachment(&topology->attachments[i]);
	for (size_t i = 0; i < topology->link_count; i++)
		for (size_t j = 0; j < 2; j++)
			clear_endpoint(&topology->links[i].endpoints[j]);
	for (size_t i = 0; i < topology->link_count; i++)
		free(topology->links[i].events);
	free(topology->nodes);
	free(topology->networks);
	free(topology->attachments);
	free(topology->links);
	for (size_t i = 0; i < topology->test_count; i++)
		topology_clear_test(&topology->tests[i]);
	free(topology->tests);
	free(topology->name);
	free(topology->path);
	free(topology->text);
	for (size_t i = 0; i < topology->source_count; i++)
		free(topology->sources[i]);
	free(topology->sources);
	free(topology);
}

const struct topology_node *topology_find_node(const struct topology *topology, const char *name)
{
	for (size_t i = 0; i < topology->node_count; i++)
		if (!strcmp(topology->nodes[i].name, name))
			return &topology->nodes[i];
	return NULL;
}
