/* SPDX-License-Identifier: Apache-2.0 */
#include "netlab/test_json.h"

#include "netlab/json_text.h"

static double seconds(uint64_t nanoseconds)
{
	return (double)nanoseconds / 1e9;
}

static json_t *texts_json(char *const *texts, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, json_text(texts[i]));
	return array;
}

static void add_command(json_t *json, const struct topology *topology, const struct topology_test *test)
{
	json_t *nodes = json_array();

	for (size_t i = 0; i < test->node_count; i++)
		json_array_append_new(nodes, json_string(topology->nodes[test->nodes[i]].name));
	json_object_set_new(json, "nodes", nodes);
	json_object_set_new(json, "exec", json_text(test->command));
	json_object_set_new(json, "expect", texts_json(test->expects, test->expect_count));
	json_object_set_new(json, "reject", texts_json(test->rejects, test->reject_count));
	json_object_set_new(json, "status",
			    test->status == TOPOLOGY_STATUS_ANY ? json_null() : json_integer(test->status));
	json_object_set_new(json, "timeout", json_real(seconds(test->timeout)));
}

static json_t *capture_json(const struct topology_test_capture *capture)
{
	char count[TOPOLOGY_COUNT_TEXT_MAX];

	return json_pack("{s:s, s:o, s:s, s:f}", "port", capture->port, "filter", json_text(capture->filter), "count",
			 topology_print_count(&capture->count, count), "within", seconds(capture->within));
}

json_t *test_json(const struct topology *topology, const struct topology_test *test)
{
	json_t *json = json_pack("{s:s, s:o, s:o, s:o, s:b, s:f, s:I, s:f}", "name", test->name, "description",
				 json_text(test->description), "pass", json_text(test->pass), "fail",
				 json_text(test->fail), "warning", test->is_warning, "wait", seconds(test->wait),
				 "attempts", (json_int_t)test->attempts, "interval", seconds(test->interval));

	if (test->command)
		add_command(json, topology, test);
	if (test->capture.port)
		json_object_set_new(json, "capture", capture_json(&test->capture));
	return json;
}

json_t *tests_json(const struct topology *topology)
{
	json_t *array = json_array();

	for (size_t i = 0; i < topology->test_count; i++)
		json_array_append_new(array, test_json(topology, &topology->tests[i]));
	return array;
}
