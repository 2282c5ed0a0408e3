/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/topology_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "netlab/allocate.h"

/* Bounds that keep what is sent to a guest's agent small. */
#define CMDLINE_MAX 1024 /* A kernel takes 2048, and has some of its own. */
#define SYSCTLS_MAX 100  /* In one map; every node inherits those of the defaults. */
#define SYSCTL_VALUE_MAX 256
#define COMMAND_MAX 16384
#define LIST_MAX 1000
#define MIB (1ull << 20)

static void read_image(struct topology_reader *reader, const struct yaml_tree_node *value, struct topology_node *node)
{
	const char *text = yaml_reader_text(&reader->yaml, value, "image");
	const char *problem = text ? topology_check_name(text) : NULL;

	if (problem)
		yaml_reader_error(&reader->yaml, value->mark, "image name \"%s\" %s", text, problem);
	if (!text || problem)
		return;
	free(node->image);
	node->image = allocate_copy(text);
}

static void read_memory(struct topology_reader *reader, const struct yaml_tree_node *value, struct topology_node *node)
{
	const char *text = yaml_reader_text(&reader->yaml, value, "memory");
	const char *problem;
	uint64_t bytes = 0;

	if (!text)
		return;
	problem = topology_parse_size(text, &bytes);
	if (!problem && (bytes < TOPOLOGY_MEMORY_MIN || bytes > TOPOLOGY_MEMORY_MAX)) {
		yaml_reader_error(&reader->yaml, value->mark, "memory must be from %lluM to %lluM, not %s",
				  TOPOLOGY_MEMORY_MIN / MIB, TOPOLOGY_MEMORY_MAX / MIB, text);
		return;
	}
	if (!problem && bytes % MIB)
		problem = "is not a whole number of mebibytes";
	if (problem)
		yaml_reader_error(&reader->yaml, value->mark, "memory \"%s\" %s", text, problem);
	else
		node->memory = bytes;
}

static void read_cmdline(struct topology_reader *reader, const struct yaml_tree_node *value, struct topology_node *node)
{
	const char *text = yaml_reader_text(&reader->yaml, value, "cmdline");

	if (!text)
		return;
	if (strlen(text) > CMDLINE_MAX) {
		yaml_reader_error(&reader->yaml, value->mark, "cmdline is longer than %d bytes", CMDLINE_MAX);
		return;
	}
	free(node->cmdline);
	node->cmdline = allocate_copy(text);
}

/* "clone" too, so that a node can say other than its defaults. */
static void read_boot(struct topology_reader *reader, const struct yaml_tree_node *value, struct topology_node *node)
{
	static const char *const words[] = {"clone", "cold"};
	const char *text = yaml_reader_text(&reader->yaml, value, "boot");

	if (!text)
		return;
	node->boots = !strcmp(text, "cold");
	if (node->boots || !strcmp(text, "clone"))
		return;
	yaml_reader_error(&reader->yaml, value->mark, "boot must be clone or cold, not \"%s\"", text);
	yaml_reader_suggest(&reader->yaml, text, words, 2);
}

static void set_sysctl(struct topology_node *node, const char *key, const char *value)
{
	size_t i = 0;

	while (i < node->sysctl_count && strcmp(node->sysctls[i].key, key))
		i++;
	if (i == node->sysctl_count) {
		node->sysctls = allocate_grow(node->sysctls, node->sysctl_count, sizeof(node->sysctls[0]));
		node->sysctls[node->sysctl_count++].key = allocate_copy(key);
	} else {
		free(node->sysctls[i].value);
	}
	node->sysctls[i].value = allocate_copy(value);
}

static void read_sysctls(struct topology_reader *reader, const struct yaml_tree_node *map, struct topology_node *node)
{
	if (map->type != YAML_TREE_MAP && map->type != YAML_TREE_NULL) {
		yaml_reader_error(&reader->yaml, map->mark, "sysctl must be a map, not %s", yaml_tree_type_name(map));
		yaml_reader_help(&reader->yaml, "write sysctl: {net.ipv4.ip_forward: 1}");
	} else if (map->count > SYSCTLS_MAX) {
		yaml_reader_error(&reader->yaml, map->mark, "more than %d sysctl keys", SYSCTLS_MAX);
		return;
	}
	for (size_t i = 0; map->type == YAML_TREE_MAP && i < map->count; i++) {
		const struct yaml_tree_pair *pair = &map->pairs[i];
		const char *problem = topology_check_sysctl(pair->key);
		const char *value;

		if (problem) {
			yaml_reader_error(&reader->yaml, pair->key_mark, "sysctl key \"%s\" %s", pair->key, problem);
			continue;
		}
		value = yaml_reader_text(&reader->yaml, pair->value, pair->key);
		if (value && strlen(value) > SYSCTL_VALUE_MAX)
			yaml_reader_error(&reader->yaml, pair->value->mark, "the value of %s is longer than %d bytes",
					  pair->key, SYSCTL_VALUE_MAX);
		else if (value)
			set_sysctl(node, pair->key, value);
	}
}

/* Reports when 'list', the value of "WHAT:", is no list, with an example to help. */
static bool check_list(struct topology_reader *reader, const struct yaml_tree_node *list, const char *what,
		       const char *example)
{
	if (list->type != YAML_TREE_LIST && list->type != YAML_TREE_NULL) {
		yaml_reader_error(&reader->yaml, list->mark, "%s must be a list, not %s", what,
				  yaml_tree_type_name(list));
		yaml_reader_help(&reader->yaml, "write %s: [\"%s\"]", what, example);
		return false;
	}
	if (list->count > LIST_MAX) {
		yaml_reader_error(&reader->yaml, list->mark, "more than %d items in %s", LIST_MAX, what);
		return false;
	}
	return list->type == YAML_TREE_LIST;
}

static void read_routes(struct topology_reader *reader, const struct yaml_tree_node *list, struct topology_node *node)
{
	if (!check_list(reader, list, "routes", "default via 10.0.0.1"))
		return;
	for (size_t i = 0; i < list->count; i++) {
		const struct yaml_tree_node *item = list->items[i];
		const char *text = yaml_reader_text(&reader->yaml, item, "a route");
		const char *problem = text ? topology_check_route(text) : NULL;

		if (problem)
			yaml_reader_error(&reader->yaml, item->mark, "route \"%s\" %s", text, problem);
		if (!text || problem)
			continue;
		node->routes = allocate_grow(node->routes, node->route_count, sizeof(node->routes[0]));
		node->routes[node->route_count++] = allocate_copy(text);
	}
}

static void read_startup(struct topology_reader *reader, const struct yaml_tree_node *list, struct topology_node *node)
{
	if (!check_list(reader, list, "startup", "ip route add default via 10.0.0.1"))
		return;
	for (size_t i = 0; i < list->count; i++) {
		const struct yaml_tree_node *item = list->items[i];

		/* Not yaml_reader_text(): a script of several lines is fine here. */
		if (item->type != YAML_TREE_SCALAR) {
			yaml_reader_error(&reader->yaml, item->mark, "a startup command must be text, not %s",
					  yaml_tree_type_name(item));
			if (item->type == YAML_TREE_MAP)
				yaml_reader_help(&reader->yaml, "put a command that holds \": \" in quotes");
			continue;
		}
		if (strlen(item->text) > COMMAND_MAX) {
			yaml_reader_error(&reader->yaml, item->mark, "a startup command is longer than %d bytes",
					  COMMAND_MAX);
			yaml_reader_help(&reader->yaml, "put the script in a file and name it under \"files:\"");
			continue;
		}
		node->startup = allocate_grow(node->startup, node->startup_count, sizeof(node->startup[0]));
		node->startup[node->startup_count++] = allocate_copy(item->text);
	}
}

/* Returns what is wrong with 'path' as a path in the guest, or NULL. */
static const char *check_guest_path(const char *path)
{
	size_t length = strlen(path);

	if (*path != '/')
		return "must be absolute";
	if (path[length - 1] == '/')
		return "names a folder, not a file";
	if (length > 1000)
		return "is too long";
	if (strstr(path, "/../") || !strcmp(path + length - (length < 3 ? length : 3), "/.."))
		return "holds \"..\"";
	for (const char *at = path; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			return "holds a control character";
	return NULL;
}

char *topology_read_source(struct topology_reader *reader, struct yaml_mark mark, const char *text)
{
	const char *problem = NULL;
	struct stat status;
	char *source;

	if (reader->is_kept)
		source = allocate_text("%s/file-%zu", reader->folder, reader->topology->source_count);
	else
		source = *text == '/' ? allocate_copy(text) : allocate_text("%s/%s", reader->folder, text);
	if (stat(source, &status))
		problem = strerror(errno);
	else if (S_ISDIR(status.st_mode))
		problem = "it is a folder";
	else if (!S_ISREG(status.st_mode))
		problem = "it is not a regular file";
	if (problem) {
		yaml_reader_error(&reader->yaml, mark, "cannot take \"%s\": %s", text, problem);
		yaml_reader_help(&reader->yaml, "looked for %s", source);
		free(source);
		return NULL;
	}
	reader->topology->sources = allocate_grow(reader->topology->sources, reader->topology->source_count,
						  sizeof(reader->topology->sources[0]));
	reader->topology->sources[reader->topology->source_count++] = allocate_copy(source);
	return source;
}

static void read_file(struct topology_reader *reader, const struct yaml_tree_pair *pair, struct topology_node *node)
{
	const char *problem = check_guest_path(pair->key);
	const char *text = yaml_reader_text(&reader->yaml, pair->value, "the source of a file");
	char *source;

	if (problem) {
		yaml_reader_error(&reader->yaml, pair->key_mark, "path \"%s\" in the guest %s", pair->key, problem);
		yaml_reader_help(&reader->yaml, "write files: {/etc/motd: motd.txt}, first the path in the guest");
	}
	if (problem || !text)
		return;
	source = topology_read_source(reader, pair->value->mark, text);
	if (!source)
		return;
	node->files = allocate_grow(node->files, node->file_count, sizeof(node->files[0]));
	node->files[node->file_count++] = (struct topology_file){allocate_copy(pair->key), source};
}

static void read_files(struct topology_reader *reader, const struct yaml_tree_node *map, struct topology_node *node)
{
	if (map->type != YAML_TREE_MAP && map->type != YAML_TREE_NULL) {
		yaml_reader_error(&reader->yaml, map->mark, "files must be a map, not %s", yaml_tree_type_name(map));
		yaml_reader_help(&reader->yaml, "write files: {/etc/motd: motd.txt}");
	} else if (map->count > LIST_MAX) {
		yaml_reader_error(&reader->yaml, map->mark, "more than %d files", LIST_MAX);
		return;
	}
	for (size_t i = 0; map->type == YAML_TREE_MAP && i < map->count; i++)
		read_file(reader, &map->pairs[i], node);
}

/* Reads the settings in 'map', whose keys have been checked, into 'node'. */
static void read_settings(struct topology_reader *reader, const struct yaml_tree_node *map, struct topology_node *node)
{
	static const struct {
		const char *key;
		void (*read)(struct topology_reader *, const struct yaml_tree_node *, struct topology_node *);
	} settings[] = {
		{"image", read_image},   {"memory", read_memory},   {"cmdline", read_cmdline}, {"sysctl", read_sysctls},
		{"routes", read_routes}, {"startup", read_startup}, {"files", read_files},     {"boot", read_boot},
	};
	const struct yaml_tree_pair *cpus = yaml_tree_find(map, "cpus");
	unsigned long number;

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		const struct yaml_tree_pair *pair = yaml_tree_find(map, settings[i].key);

		if (pair)
			settings[i].read(reader, pair->value, node);
	}
	if (cpus && yaml_reader_number(&reader->yaml, cpus->value, "cpus", 1, TOPOLOGY_CPUS_MAX, &number))
		node->cpus = (unsigned int)number;
}

void topology_read_defaults(struct topology_reader *reader, const struct yaml_tree_node *map)
{
	const struct yaml_tree_pair *pair;
	struct topology_node settings = {.name = NULL};

	if (!topology_check_keys(reader, map, TOPOLOGY_IN_DEFAULTS, "\"defaults:\""))
		return;
	read_settings(reader, map, &settings);
	reader->defaults = settings;
	pair = yaml_tree_find(map, "mtu");
	if (pair)
		topology_read_mtu(reader, pair->value, &reader->mtu);
	topology_read_offload(reader, map, &reader->has_offload);
	topology_read_default_impair(reader, map);
}

static void inherit(struct topology_node *node, const struct topology_node *defaults)
{
	node->image = allocate_copy(defaults->image ? defaults->image : TOPOLOGY_IMAGE_DEFAULT);
	node->memory = defaults->memory;
	node->cpus = defaults->cpus;
	node->boots = defaults->boots;
	node->cmdline = defaults->cmdline ? allocate_copy(defaults->cmdline) : NULL;
	for (size_t i = 0; i < defaults->sysctl_count; i++)
		set_sysctl(node, defaults->sysctls[i].key, defaults->sysctls[i].value);
}

bool topology_read_node(struct topology_reader *reader, const char *name, struct yaml_mark mark,
			const struct yaml_tree_node *value)
{
	struct topology *topology = reader->topology;
	const char *problem = topology_check_node_name(name);
	struct topology_node *node;
	char *where;

	if (topology->node_count == TOPOLOGY_NODES_MAX) {
		yaml_reader_error(&reader->yaml, mark, "more than %d nodes", TOPOLOGY_NODES_MAX);
		return false;
	}
	if (problem)
		yaml_reader_error(&reader->yaml, mark, "node name \"%s\" %s", name, problem);
	topology->nodes = allocate_grow(topology->nodes, topology->node_count, sizeof(topology->nodes[0]));
	node = &topology->nodes[topology->node_count];
	*node = (struct topology_node){.name = allocate_copy(name)};
	inherit(node, &reader->defaults);
	reader->names = allocate_grow(reader->names, reader->name_count, sizeof(reader->names[0]));
	reader->names[reader->name_count++] =
		(struct topology_name){.text = node->name, .mark = mark, .index = topology->node_count};
	topology->node_count++;
	where = allocate_text("node \"%s\"", name);
	if (topology_check_keys(reader, value, TOPOLOGY_IN_NODE, where))
		read_settings(reader, value, node);
	free(where);
	return true;
}

void topology_clear_node(struct topology_node *node)
{
	for (size_t i = 0; i < node->interface_count; i++) {
		for (size_t j = 0; j < node->interfaces[i].address_count; j++)
			free(node->interfaces[i].addresses[j]);
		free(node->interfaces[i].addresses);
	}
	for (size_t i = 0; i < node->route_count; i++)
		free(node->routes[i]);
	for (size_t i = 0; i < node->startup_count; i++)
		free(node->startup[i]);
	for (size_t i = 0; i < node->sysctl_count; i++) {
		free(node->sysctls[i].key);
		free(node->sysctls[i].value);
	}
	for (size_t i = 0; i < node->file_count; i++) {
		free(node->files[i].guest_path);
		free(node->files[i].source);
	}
	free(node->interfaces);
	free(node->routes);
	free(node->startup);
	free(node->sysctls);
	free(node->files);
	free(node->name);
	free(node->image);
	free(node->cmdline);
}
