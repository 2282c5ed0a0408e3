/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/topology_reader.h"

#include <stdlib.h>
#include <string.h>

#include "netlab/allocate.h"
#include "netlab/frame_filter.h"
#include "netlab/output_match.h"

/* "validate:", the tests of a lab. */

#define MILLISECOND 1000000ull
#define SECOND 1000000000ull
#define HOUR (3600 * SECOND)

#define TIMEOUT_DEFAULT (30 * SECOND)
#define INTERVAL_DEFAULT SECOND
#define WITHIN_DEFAULT (5 * SECOND)
#define ATTEMPTS_MAX 1000

#define NETWORK_PORT "network:"

/* Reads a time, if the key is there. */
static void read_time(struct topology_reader *reader, const struct yaml_tree_node *map, const char *key,
		      uint64_t *nanoseconds)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(map, key);
	const char *text = pair ? yaml_reader_text(&reader->yaml, pair->value, key) : NULL;
	const char *problem;
	uint64_t time;

	if (!text)
		return;
	problem = topology_parse_time(text, &time);
	if (!problem && (time < MILLISECOND || time > HOUR))
		problem = "must be from 1ms to 1h";
	if (problem)
		yaml_reader_error(&reader->yaml, pair->value->mark, "%s \"%s\" %s", key, text, problem);
	else
		*nanoseconds = time;
}

/* Replaces '*to' by a copy of the text, if the key is there. */
static void read_text(struct topology_reader *reader, const struct yaml_tree_node *map, const char *key, char **to)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(map, key);
	const char *text = pair ? yaml_reader_text(&reader->yaml, pair->value, key) : NULL;

	if (!text)
		return;
	free(*to);
	*to = allocate_copy(text);
}

/* An item, or a list of them. */

typedef void item_function(struct topology_reader *reader, struct topology_test *test, const char *key,
			   const struct yaml_tree_node *item);

static void for_each_item(struct topology_reader *reader, struct topology_test *test, const struct yaml_tree_node *map,
			  const char *key, item_function *function)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(map, key);

	if (pair && pair->value->type != YAML_TREE_LIST) {
		function(reader, test, key, pair->value);
		return;
	}
	if (pair && !pair->value->count)
		yaml_reader_error(&reader->yaml, pair->value->mark, "%s is an empty list", key);
	for (size_t i = 0; pair && i < pair->value->count; i++)
		function(reader, test, key, pair->value->items[i]);
}

static bool has_node(const struct topology_test *test, size_t index)
{
	for (size_t i = 0; i < test->node_count; i++)
		if (test->nodes[i] == index)
			return true;
	return false;
}

static void suggest_node(struct topology_reader *reader, const char *text)
{
	const struct topology *topology = reader->topology;
	const char **names = allocate_zeroed(topology->node_count, sizeof(names[0]));

	for (size_t i = 0; i < topology->node_count; i++)
		names[i] = topology->nodes[i].name;
	yaml_reader_suggest(&reader->yaml, text, names, topology->node_count);
	free(names);
}

static void read_node_name(struct topology_reader *reader, struct topology_test *test, const char *key,
			   const struct yaml_tree_node *item)
{
	const char *text = yaml_reader_text(&reader->yaml, item, key);
	const struct topology_name *name = text ? topology_find_name(reader, text, strlen(text)) : NULL;

	if (!text)
		return;
	if (!name || name->is_network) {
		yaml_reader_error(&reader->yaml, item->mark,
				  name ? "\"%s\" is a network; commands run in nodes" : "there is no node \"%s\"",
				  text);
		if (!name)
			suggest_node(reader, text);
		return;
	}
	if (has_node(test, name->index)) {
		yaml_reader_error(&reader->yaml, item->mark, "node \"%s\" is named twice", text);
		return;
	}
	test->nodes = allocate_grow(test->nodes, test->node_count, sizeof(test->nodes[0]));
	test->nodes[test->node_count++] = name->index;
}

/* Returns a copy of the pattern, or NULL after reporting what is wrong with it. */
static char *read_pattern(struct topology_reader *reader, const char *key, const struct yaml_tree_node *item)
{
	const char *text = yaml_reader_text(&reader->yaml, item, key);
	char room[OUTPUT_PROBLEM_MAX];
	const char *problem = text ? output_check_pattern(text, room) : NULL;

	if (problem)
		yaml_reader_error(&reader->yaml, item->mark, "%s \"%s\" %s", key, text, problem);
	return text && !problem ? allocate_copy(text) : NULL;
}

static void add_pattern(char ***list, size_t *count, char *pattern)
{
	if (!pattern)
		return;
	*list = allocate_grow(*list, *count, sizeof(**list));
	(*list)[(*count)++] = pattern;
}

static void read_expect(struct topology_reader *reader, struct topology_test *test, const char *key,
			const struct yaml_tree_node *item)
{
	add_pattern(&test->expects, &test->expect_count, read_pattern(reader, key, item));
}

static void read_reject(struct topology_reader *reader, struct topology_test *test, const char *key,
			const struct yaml_tree_node *item)
{
	add_pattern(&test->rejects, &test->reject_count, read_pattern(reader, key, item));
}

/* The command. */

static void read_status(struct topology_reader *reader, const struct yaml_tree_node *map, int *status)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(map, "status");
	unsigned long number;

	if (pair && pair->value->type == YAML_TREE_SCALAR && !strcmp(pair->value->text, "any"))
		*status = TOPOLOGY_STATUS_ANY;
	else if (pair && yaml_reader_number(&reader->yaml, pair->value, "status", 0, 255, &number))
		*status = (int)number;
}

/* What is about a command, without one. */
static void check_no_command(struct topology_reader *reader, const struct yaml_tree_node *map)
{
	static const char *const keys[] = {"node", "nodes", "expect", "reject", "status", "timeout"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const struct yaml_tree_pair *pair = yaml_tree_find(map, keys[i]);

		if (pair)
			yaml_reader_error(&reader->yaml, pair->key_mark,
					  "\"%s\" is about a command, and there is no \"exec\"", keys[i]);
	}
}

static void read_command(struct topology_reader *reader, struct topology_test *test, const struct yaml_tree_node *map)
{
	const struct yaml_tree_pair *command = yaml_tree_find(map, "exec"), *node = yaml_tree_find(map, "node");
	const struct yaml_tree_pair *nodes = yaml_tree_find(map, "nodes");

	if (!command) {
		check_no_command(reader, map);
		return;
	}
	read_text(reader, map, "exec", &test->command);
	if (test->command && !test->command[strspn(test->command, " ")])
		yaml_reader_error(&reader->yaml, command->value->mark, "exec is an empty command");
	if (test->command && strlen(test->command) > TOPOLOGY_COMMAND_MAX)
		yaml_reader_error(&reader->yaml, command->value->mark, "exec is longer than %d bytes",
				  TOPOLOGY_COMMAND_MAX);
	if (node && nodes)
		yaml_reader_error(&reader->yaml, nodes->key_mark,
				  "\"node\" and \"nodes\" mean the same; one is enough");
	else if (!node && !nodes)
		yaml_reader_error(&reader->yaml, command->key_mark, "\"exec\" needs a node to run in: \"node: %s\"",
				  reader->topology->node_count ? reader->topology->nodes[0].name : "NAME");
	for_each_item(reader, test, map, node ? "node" : "nodes", read_node_name);
	for_each_item(reader, test, map, "expect", read_expect);
	for_each_item(reader, test, map, "reject", read_reject);
	read_status(reader, map, &test->status);
	read_time(reader, map, "timeout", &test->timeout);
}

/* The capture. */

static bool has_interface(const struct topology_node *node, const char *name)
{
	for (size_t i = 0; i < node->interface_count; i++)
		if (!strcmp(node->interfaces[i].name, name))
			return true;
	return false;
}

static void check_network_port(struct topology_reader *reader, const struct yaml_tree_node *item, const char *network)
{
	const struct topology_name *name = topology_find_name(reader, network, strlen(network));

	if (!name || !name->is_network) {
		yaml_reader_error(&reader->yaml, item->mark, "port \"%s\": there is no network \"%s\"", item->text,
				  network);
	} else if (reader->topology->networks[name->index].mode == TOPOLOGY_ISOLATED) {
		yaml_reader_error(&reader->yaml, item->mark,
				  "port \"%s\": network \"%s\" is isolated, so nothing leads out of it", item->text,
				  network);
		yaml_reader_help(&reader->yaml, "name the port of a node on it, as in h1:eth0");
	}
}

/* Interfaces are known when nothing was wrong so far. */
static void check_port(struct topology_reader *reader, const struct yaml_tree_node *item, const char *text,
		       bool has_interfaces)
{
	const char *colon = strchr(text, ':');
	const struct topology_name *name = colon ? topology_find_name(reader, text, (size_t)(colon - text)) : NULL;
	const struct topology_node *node;
	unsigned int number;

	if (!strncmp(text, NETWORK_PORT, strlen(NETWORK_PORT))) {
		check_network_port(reader, item, text + strlen(NETWORK_PORT));
	} else if (!colon || topology_parse_interface(colon + 1, &number)) {
		/* What leads out of the lab has its name when nothing was wrong so far. */
		if (!has_interfaces || !topology_find_attachment(reader->topology, text))
			yaml_reader_error(
				&reader->yaml, item->mark,
				"port \"%s\" is not a node's, as in h1:eth0, nor a network's, as in network:uplink",
				text);
	} else if (!name || name->is_network) {
		yaml_reader_error(&reader->yaml, item->mark, "port \"%s\": there is no node \"%.*s\"", text,
				  (int)(colon - text), text);
	} else if (has_interfaces) {
		node = &reader->topology->nodes[name->index];
		if (!has_interface(node, colon + 1))
			yaml_reader_error(&reader->yaml, item->mark, "port \"%s\": node \"%s\" has no %s", text,
					  node->name, colon + 1);
	}
}

static void read_filter(struct topology_reader *reader, const struct yaml_tree_node *map,
			struct topology_test_capture *capture)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(map, "filter");
	struct frame_filter filter;
	char room[FRAME_FILTER_PROBLEM_MAX];
	const char *problem;

	if (!pair)
		return;
	read_text(reader, map, "filter", &capture->filter);
	problem = frame_filter_compile(&filter, capture->filter, room);
	if (problem)
		yaml_reader_error(&reader->yaml, pair->value->mark, "filter \"%s\" %s", capture->filter, problem);
	else
		frame_filter_clear(&filter);
}

static void read_count(struct topology_reader *reader, const struct yaml_tree_node *map, struct topology_count *count)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(map, "count");
	const char *text = pair ? yaml_reader_text(&reader->yaml, pair->value, "count") : NULL;
	const char *problem = text ? topology_parse_count(text, count) : NULL;

	if (problem)
		yaml_reader_error(&reader->yaml, pair->value->mark, "count \"%s\" %s", text, problem);
}

static void read_capture(struct topology_reader *reader, struct topology_test *test, const struct yaml_tree_node *map,
			 bool has_interfaces)
{
	const struct yaml_tree_pair *pair = yaml_tree_find(map, "capture");
	const struct yaml_tree_pair *port = pair ? yaml_tree_find(pair->value, "port") : NULL;
	char *where;
	bool is_map;

	if (!pair)
		return;
	where = allocate_text("\"capture\" of test \"%s\"", test->name);
	if (pair->value->type == YAML_TREE_NULL)
		yaml_reader_error(&reader->yaml, pair->value->mark, "%s is empty", where);
	is_map = topology_check_keys(reader, pair->value, TOPOLOGY_IN_CAPTURE, where);
	if (is_map && !port)
		yaml_reader_error(&reader->yaml, pair->key_mark, "%s needs a port, as in \"port: h1:eth0\"", where);
	free(where);
	if (!is_map || !port)
		return;
	read_text(reader, pair->value, "port", &test->capture.port);
	if (test->capture.port)
		check_port(reader, port->value, test->capture.port, has_interfaces);
	read_filter(reader, pair->value, &test->capture);
	read_count(reader, pair->value, &test->capture.count);
	read_time(reader, pair->value, "within", &test->capture.within);
}

/* A test. */

static void read_level(struct topology_reader *reader, const struct yaml_tree_node *map, bool *is_warning)
{
	static const char *const levels[] = {"error", "warning"};
	const struct yaml_tree_pair *pair = yaml_tree_find(map, "level");
	const char *text = pair ? yaml_reader_text(&reader->yaml, pair->value, "level") : NULL;

	if (!text)
		return;
	*is_warning = !strcmp(text, "warning");
	if (*is_warning || !strcmp(text, "error"))
		return;
	yaml_reader_error(&reader->yaml, pair->value->mark, "unknown level \"%s\"", text);
	yaml_reader_suggest(&reader->yaml, text, levels, 2);
}

static void read_attempts(struct topology_reader *reader, const struct yaml_tree_node *map, struct topology_test *test)
{
	const struct yaml_tree_pair *retry = yaml_tree_find(map, "retry"), *wait = yaml_tree_find(map, "wait");
	const struct yaml_tree_pair *interval = yaml_tree_find(map, "interval");
	unsigned long number;

	read_time(reader, map, "wait", &test->wait);
	read_time(reader, map, "interval", &test->interval);
	if (interval && !retry && !wait)
		yaml_reader_error(&reader->yaml, interval->key_mark,
				  "\"interval\" is between attempts; \"wait\" or \"retry\" says how many there are");
	if (retry && yaml_reader_number(&reader->yaml, retry->value, "retry", 1, ATTEMPTS_MAX, &number))
		test->attempts = (unsigned int)number;
	else if (!wait)
		test->attempts = 1;
}

static void read_settings(struct topology_reader *reader, struct topology_test *test, struct yaml_mark mark,
			  const struct yaml_tree_node *map, bool has_interfaces)
{
	bool has_command = yaml_tree_find(map, "exec"), has_capture = yaml_tree_find(map, "capture");

	read_command(reader, test, map);
	read_capture(reader, test, map, has_interfaces);
	read_text(reader, map, "description", &test->description);
	read_text(reader, map, "pass", &test->pass);
	read_text(reader, map, "fail", &test->fail);
	read_level(reader, map, &test->is_warning);
	read_attempts(reader, map, test);
	if (!has_command && !has_capture)
		yaml_reader_error(&reader->yaml, mark,
				  "test \"%s\" tests nothing: it needs \"exec\", \"capture\" or both", test->name);
	else if (!has_capture && test->status == TOPOLOGY_STATUS_ANY && !yaml_tree_find(map, "expect") &&
		 !yaml_tree_find(map, "reject"))
		yaml_reader_error(&reader->yaml, mark,
				  "test \"%s\" cannot fail: with any status and any output it passes", test->name);
}

static void read_test(struct topology_reader *reader, const struct yaml_tree_pair *pair, bool has_interfaces)
{
	struct topology *topology = reader->topology;
	const char *problem = topology_check_name(pair->key);
	struct topology_test *test;
	char *where;

	if (problem)
		yaml_reader_error(&reader->yaml, pair->key_mark, "name of a test \"%s\" %s", pair->key, problem);
	topology->tests = allocate_grow(topology->tests, topology->test_count, sizeof(topology->tests[0]));
	test = &topology->tests[topology->test_count++];
	*test = (struct topology_test){
		.name = allocate_copy(pair->key),
		.description = allocate_copy(""),
		.pass = allocate_copy(""),
		.fail = allocate_copy(""),
		.timeout = TIMEOUT_DEFAULT,
		.interval = INTERVAL_DEFAULT,
		.capture.filter = allocate_copy(""),
		.capture.count = {.minimum = 1, .maximum = TOPOLOGY_COUNT_NO_MAXIMUM},
		.capture.within = WITHIN_DEFAULT,
	};
	where = allocate_text("test \"%s\"", test->name);
	if (pair->value->type == YAML_TREE_NULL)
		yaml_reader_error(&reader->yaml, pair->key_mark, "%s is empty", where);
	else if (topology_check_keys(reader, pair->value, TOPOLOGY_IN_TEST, where))
		read_settings(reader, test, pair->key_mark, pair->value, has_interfaces);
	free(where);
}

void topology_read_tests(struct topology_reader *reader, const struct yaml_tree_node *map)
{
	bool has_interfaces = !reader->yaml.error_count;

	if (map->type != YAML_TREE_MAP) {
		if (map->type != YAML_TREE_NULL)
			yaml_reader_error(&reader->yaml, map->mark, "\"validate\" must be a map of named tests, not %s",
					  yaml_tree_type_name(map));
		return;
	}
	if (map->count > TOPOLOGY_TESTS_MAX)
		yaml_reader_error(&reader->yaml, map->pairs[TOPOLOGY_TESTS_MAX].key_mark, "more than %d tests",
				  TOPOLOGY_TESTS_MAX);
	for (size_t i = 0; i < map->count && i < TOPOLOGY_TESTS_MAX; i++)
		read_test(reader, &map->pairs[i], has_interfaces);
}

static void free_list(char **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

void topology_clear_test(struct topology_test *test)
{
	free(test->name);
	free(test->description);
	free(test->pass);
	free(test->fail);
	free(test->nodes);
	free(test->command);
	free_list(test->expects, test->expect_count);
	free_list(test->rejects, test->reject_count);
	free(test->capture.port);
	free(test->capture.filter);
}
