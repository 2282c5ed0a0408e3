/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "netlab/cli/cli.h"
#include "netlab/cli/client.h"
#include "netlab/cli/table.h"
#include "netlab/runtime.h"

/* netlab list: running labs. */

static json_int_t count_ready(const json_t *nodes)
{
	json_int_t ready = 0;

	for (size_t i = 0; i < json_array_size(nodes); i++) {
		const json_t *node = json_array_get(nodes, i);

		ready += !strcmp(cli_string(node, "state"), "ready");
	}
	return ready;
}

/* What "list" says of a lab, from its status; or without it, if netlabd does not answer. */
static json_t *describe(const char *lab)
{
	struct error error = {0};
	json_t *status = client_call_once(lab, json_pack("{s:s}", "command", "status"), &error);
	json_t *nodes = json_object_get(status, "nodes");
	json_t *entry;
	pid_t pid;

	runtime_probe(lab, &pid);
	entry = json_pack("{s:s, s:i, s:I, s:I, s:f, s:s}", "lab", lab, "pid", (int)pid, "ready", count_ready(nodes),
			  "nodes", (json_int_t)json_array_size(nodes), "uptime",
			  json_number_value(json_object_get(status, "uptime")), "topology",
			  cli_string(status, "topology"));
	if (!status)
		cli_error("%s", error.text);
	json_decref(status);
	return entry;
}

static void put_table(const json_t *entries)
{
	struct table table = {.columns = 5};
	char text[32];

	if (!json_array_size(entries)) {
		puts("No lab is running.");
		return;
	}
	table_add(&table, "LAB");
	table_add(&table, "READY");
	table_add(&table, "UP");
	table_add(&table, "PID");
	table_add(&table, "TOPOLOGY");
	for (size_t i = 0; i < json_array_size(entries); i++) {
		const json_t *entry = json_array_get(entries, i);

		table_add(&table, "%s", cli_string(entry, "lab"));
		table_add(&table, "%lld/%lld", (long long)json_integer_value(json_object_get(entry, "ready")),
			  (long long)json_integer_value(json_object_get(entry, "nodes")));
		table_add(&table, "%s", cli_duration(json_number_value(json_object_get(entry, "uptime")), text));
		table_add(&table, "%lld", (long long)json_integer_value(json_object_get(entry, "pid")));
		table_add(&table, "%s", cli_string(entry, "topology"));
	}
	table_print(&table, stdout, 0);
}

int cli_list(struct cli *cli, int argc, char **argv)
{
	struct error error = {0};
	json_t *entries;
	size_t count;
	char **labs;

	if (cli_option(cli, argc, argv, "", NULL) == '?')
		return ERROR_USAGE;
	if (optind < argc)
		return cli_usage(cli, "too many arguments");
	if (cli_running_labs(&labs, &count, true, &error) < 0)
		return cli_fail(&error);
	entries = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(entries, describe(labs[i]));
	if (cli->json)
		cli_put_json(entries);
	else
		put_table(entries);
	json_decref(entries);
	cli_free_labs(labs, count);
	return 0;
}
